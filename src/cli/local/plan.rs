//! What a cluster on this host consists of: its nodes, their ports, who is to replicate whom. Pure: no files, no processes.
//!
//! The plan says how a cluster is made. Once it is formed the nodes know better: roles and slots are theirs, and only the
//! list of nodes is still read here.

use std::fmt::Write;

/// Slots of a cluster.
pub(super) const SLOTS: u16 = 16384;

/// Distance of the bus port from the client port.
pub(super) const BUS: u16 = 10_000;

/// Most nodes on one host: beyond this, processes and ports are better planned by hand.
pub(super) const NODES_MAX: usize = 500;

/// From so many nodes on each primary has a replica unless told otherwise: three primaries are the fewest that can
/// elect a successor.
const NODES_WITH_REPLICAS: usize = 6;

/// First line of the file that holds a plan.
const HEAD: &str = "# A cluster on this host. 'highwater cluster up' writes and reads this file.";

/// A node, in the order in which nodes were added. Its index is its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Where clients connect.
    pub(super) port: u16,
    /// It has been made known to the others once. If it knows nobody later, somebody took it out.
    pub(super) joined: bool,
}

/// The nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) members: Vec<Member>,
    /// The first so many are there from the beginning, and share the slots.
    pub(super) founders: usize,
    /// Replicas of each primary at the beginning.
    pub(super) replicas: usize,
    /// All slots are given out, and replicas follow their primaries.
    pub(super) formed: bool,
}

impl Plan {
    /// A cluster of `nodes` processes at ports from `port` on, with `replicas` of them for each primary.
    ///
    /// # Errors
    /// There would be no primary, or no such ports.
    pub(super) fn new(nodes: usize, replicas: Option<usize>, port: u16) -> Result<Self, String> {
        let replicas = replicas.unwrap_or(usize::from(nodes >= NODES_WITH_REPLICAS));
        if nodes <= replicas {
            let needed = replicas + 1;
            return Err(format!(
                "--nodes {nodes} is too few for a primary with --replicas {replicas}: that takes --nodes {needed}"
            ));
        }
        let mut plan = Self { members: Vec::new(), founders: nodes, replicas, formed: false };
        plan.add(nodes, port)?;
        Ok(plan)
    }

    /// Adds nodes until there are `nodes`, at the ports behind the last one.
    ///
    /// # Errors
    /// There are no such ports.
    pub(super) fn grow(&mut self, nodes: usize) -> Result<(), String> {
        let more = nodes.saturating_sub(self.members.len());
        let last = self.members.iter().map(|member| member.port).max().unwrap_or(0);
        self.add(more, last.saturating_add(1))
    }

    fn add(&mut self, more: usize, port: u16) -> Result<(), String> {
        let all = self.members.len() + more;
        if all > NODES_MAX {
            return Err(format!(
                "{all} nodes are more than the {NODES_MAX} that one host may have"
            ));
        }
        let port_max = u16::MAX - BUS;
        for index in 0..more {
            let port = u16::try_from(usize::from(port) + index).ok();
            let Some(port) = port.filter(|port| (1..=port_max).contains(port)) else {
                return Err(format!(
                    "the ports have to be from 1 to {port_max}: each node listens for the others {BUS} above"
                ));
            };
            self.members.push(Member { port, joined: false });
        }
        Ok(())
    }

    /// Primaries at the beginning. What is left over when replicas are shared out are further replicas.
    pub(super) fn primaries(&self) -> usize {
        self.founders / (self.replicas + 1)
    }

    /// The slots that the member at `index` has at the beginning, first and last.
    pub(super) fn slots_of(&self, index: usize) -> Option<(u16, u16)> {
        let primaries = self.primaries();
        // Rounded to the nearest, as redis-cli does it: 5461, 5462 and 5461 slots for three.
        let end = |index: usize| (index * usize::from(SLOTS) * 2 + primaries) / (2 * primaries);
        let bound = |slot: usize| u16::try_from(slot).ok();
        (index < primaries).then(|| Some((bound(end(index))?, bound(end(index + 1) - 1)?)))?
    }

    /// Whom the member at `index` replicates at the beginning.
    pub(super) fn primary_of(&self, index: usize) -> Option<usize> {
        let primaries = self.primaries();
        (primaries..self.founders).contains(&index).then(|| (index - primaries) % primaries)
    }

    /// The ports in words: `7000 to 7005`.
    pub(super) fn ports(&self) -> String {
        let ports: Vec<u16> = self.members.iter().map(|member| member.port).collect();
        let in_line = ports.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
        match ports.as_slice() {
            [first, .., last] if in_line => format!("{first} to {last}"),
            ports => ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
        }
    }

    /// The plan as the text of a file.
    pub(super) fn text(&self) -> String {
        let Self { founders, replicas, .. } = self;
        let formed = if self.formed { "yes" } else { "no" };
        let mut text =
            format!("{HEAD}\nfounders {founders}\nreplicas {replicas}\nformed {formed}\n");
        for Member { port, joined } in &self.members {
            let joined = if *joined { "joined" } else { "new" };
            writeln!(text, "node {port} {joined}").expect("a string takes any text");
        }
        text
    }

    /// Reads what [`Self::text`] wrote.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut plan = Self { members: Vec::new(), founders: 0, replicas: 0, formed: false };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            let wrong = || format!("this line is not understood: {line}");
            match words.as_slice() {
                ["founders", number] => plan.founders = number.parse().map_err(|_| wrong())?,
                ["replicas", number] => plan.replicas = number.parse().map_err(|_| wrong())?,
                ["formed", word @ ("yes" | "no")] => plan.formed = *word == "yes",
                ["node", port, word @ ("joined" | "new")] => {
                    let port = port.parse().map_err(|_| wrong())?;
                    plan.members.push(Member { port, joined: *word == "joined" });
                }
                _ => return Err(wrong()),
            }
        }
        // A member may have gone since.
        let sound = plan.founders > plan.replicas && plan.founders <= NODES_MAX;
        if !sound || plan.members.is_empty() || plan.members.len() > NODES_MAX {
            return Err("it is not whole".to_owned());
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(nodes: usize, replicas: Option<usize>, slots: &[(u16, u16)], primaries: &[usize]) {
        let plan = Plan::new(nodes, replicas, 7000).unwrap();
        let found: Vec<(u16, u16)> = (0..nodes).filter_map(|index| plan.slots_of(index)).collect();
        assert_eq!(found, slots, "{nodes} {replicas:?}");
        let found: Vec<usize> = (0..nodes).filter_map(|index| plan.primary_of(index)).collect();
        assert_eq!(found, primaries, "{nodes} {replicas:?}");
        assert_eq!(Plan::parse(&plan.text()), Ok(plan));
    }

    #[test]
    fn six_nodes_are_three_primaries_with_a_replica_each() {
        check(6, None, &[(0, 5460), (5461, 10922), (10923, 16383)], &[0, 1, 2]);
    }

    #[test]
    fn small_clusters_have_no_replicas_unless_asked() {
        check(1, None, &[(0, 16383)], &[]);
        check(3, None, &[(0, 5460), (5461, 10922), (10923, 16383)], &[]);
        check(2, Some(1), &[(0, 16383)], &[0]);
    }

    #[test]
    fn nodes_left_over_are_replicas() {
        check(5, Some(1), &[(0, 8191), (8192, 16383)], &[0, 1, 0]);
        check(4, Some(3), &[(0, 16383)], &[0, 0, 0]);
    }

    #[test]
    fn every_slot_has_one_owner() {
        for nodes in 1..60 {
            let plan = Plan::new(nodes, Some(0), 1000).unwrap();
            let mut next = 0;
            for index in 0..nodes {
                let (first, last) = plan.slots_of(index).unwrap();
                assert_eq!(first, next);
                assert!(last >= first);
                next = last + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }

    #[test]
    fn impossible_clusters_are_refused() {
        assert!(Plan::new(0, None, 7000).unwrap_err().contains("too few"));
        assert!(Plan::new(1, Some(1), 7000).unwrap_err().contains("--nodes 2"));
        assert!(Plan::new(6, None, 55_531).unwrap_err().contains("55535"));
        assert!(Plan::new(6, None, 0).is_err());
        assert!(Plan::new(NODES_MAX + 1, None, 7000).is_err());
        assert_eq!(Plan::new(6, None, 55_530).unwrap().members[5].port, 55_535);
    }

    #[test]
    fn growth_takes_the_ports_behind_and_leaves_the_beginning_as_it_was() {
        let mut plan = Plan::new(6, None, 7000).unwrap();
        plan.formed = true;
        plan.grow(8).unwrap();
        let ports: Vec<u16> = plan.members.iter().map(|member| member.port).collect();
        assert_eq!(ports, [7000, 7001, 7002, 7003, 7004, 7005, 7006, 7007]);
        assert_eq!(plan.primaries(), 3);
        assert_eq!(plan.primary_of(6), None);
        assert_eq!(plan.slots_of(6), None);
        assert_eq!(Plan::parse(&plan.text()), Ok(plan));
    }

    #[test]
    fn ports_are_named_shortly() {
        let mut plan = Plan::new(3, None, 7000).unwrap();
        assert_eq!(plan.ports(), "7000 to 7002");
        plan.members.remove(1);
        assert_eq!(plan.ports(), "7000, 7002");
    }

    #[test]
    fn broken_files_are_refused() {
        for text in ["", "founders x", "node 7000", "founders 1\nreplicas 0\nnode 99999 new"] {
            assert!(Plan::parse(text).is_err(), "{text}");
        }
    }
}
