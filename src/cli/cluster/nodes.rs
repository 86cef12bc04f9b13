//! What the nodes of a cluster say of themselves and of each other, as values.

use std::collections::BTreeMap;

use crate::cluster::SlotSet;
use crate::keyspace::Slot;

use super::peer::Peer;

/// A line of CLUSTER NODES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// 0 where the line does not say.
    pub(super) bus_port: u16,
    pub(super) flags: Vec<String>,
    pub(super) primary: Option<String>,
    pub(super) config_epoch: u64,
    pub(super) is_linked: bool,
    pub(super) slots: Vec<(Slot, Slot)>,
    /// Slots on their way, and the node they go to.
    pub(super) migrating: BTreeMap<u16, String>,
    /// Slots on their way, and the node they come from.
    pub(super) importing: BTreeMap<u16, String>,
}

impl Line {
    /// Reads a line. `None`: it is none.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        let address = words.next()?;
        let flags: Vec<String> = words.next()?.split(',').map(str::to_owned).collect();
        let primary = words.next().filter(|word| *word != "-").map(str::to_owned);
        let (_ping, _pong) = (words.next()?, words.next()?);
        let config_epoch = words.next()?.parse().ok()?;
        let is_linked = words.next()? == "connected";
        let (host, port, bus_port) = address_of(address)?;
        let mut read = Self {
            id,
            host,
            port,
            bus_port,
            flags,
            primary,
            config_epoch,
            is_linked,
            slots: Vec::new(),
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
        };
        for word in words.filter(|word| !word.is_empty()) {
            read.take_slots(word)?;
        }
        Some(read)
    }

    fn take_slots(&mut self, word: &str) -> Option<()> {
        let slot = |word: &str| word.parse().ok().and_then(Slot::new);
        if let Some(open) = word.strip_prefix('[') {
            let open = open.strip_suffix(']')?;
            if let Some((number, id)) = open.split_once("->-") {
                self.migrating.insert(slot(number)?.number(), id.to_owned());
            } else if let Some((number, id)) = open.split_once("-<-") {
                self.importing.insert(slot(number)?.number(), id.to_owned());
            }
        } else {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            self.slots.push((slot(first)?, slot(last)?));
        }
        Some(())
    }

    pub(super) fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|has| has == flag)
    }
}

/// Host, port and bus port of `host:port@bus,hostname`.
fn address_of(word: &str) -> Option<(String, u16, u16)> {
    let word = word.split(',').next()?;
    let (address, bus) = word.split_once('@').unwrap_or((word, "0"));
    let (host, port) = address.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?, bus.parse().ok()?))
}

/// Reads all lines.
///
/// # Errors
/// The line that is none.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| Line::parse(line).ok_or_else(|| line.to_owned())).collect()
}

/// A node that answers.
pub(super) struct Node {
    pub(super) peer: Peer,
    pub(super) id: String,
    pub(super) bus_port: u16,
    pub(super) flags: Vec<String>,
    pub(super) primary: Option<String>,
    pub(super) config_epoch: u64,
    pub(super) slots: SlotSet,
    pub(super) migrating: BTreeMap<u16, String>,
    pub(super) importing: BTreeMap<u16, String>,
    /// How many replicas follow it.
    pub(super) replicas: usize,
    /// Whether it moves slots as a whole, once it was asked.
    pub(super) moves_whole: Option<bool>,
}

impl Node {
    /// The node behind `peer`, as its own line has it.
    pub(super) fn new(peer: Peer, line: &Line) -> Self {
        let mut node = Self {
            peer,
            id: line.id.clone(),
            bus_port: 0,
            flags: Vec::new(),
            primary: None,
            config_epoch: 0,
            slots: SlotSet::EMPTY,
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
            replicas: 0,
            moves_whole: None,
        };
        node.update(line);
        node
    }

    /// Takes over what its own line says now.
    pub(super) fn update(&mut self, line: &Line) {
        self.id.clone_from(&line.id);
        self.bus_port = line.bus_port;
        self.flags.clone_from(&line.flags);
        self.primary.clone_from(&line.primary);
        self.config_epoch = line.config_epoch;
        self.slots = SlotSet::EMPTY;
        for &(first, last) in &line.slots {
            slots_between(first, last).for_each(|slot| self.slots.insert(slot));
        }
        self.migrating.clone_from(&line.migrating);
        self.importing.clone_from(&line.importing);
    }

    pub(super) fn is_replica(&self) -> bool {
        self.primary.is_some() || self.flags.iter().any(|flag| flag == "slave")
    }

    pub(super) fn is_primary(&self) -> bool {
        !self.is_replica()
    }

    /// Host and port.
    pub(super) fn address(&self) -> String {
        self.peer.to_string()
    }

    /// The first bytes of the id, which people tell nodes apart by.
    pub(super) fn short_id(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }
}

/// The slots from `first` to `last`.
pub(super) fn slots_between(first: Slot, last: Slot) -> impl Iterator<Item = Slot> {
    (first.number()..=last.number()).filter_map(Slot::new)
}

/// Slots as people are shown them: `[0-5],[7]`.
pub(super) fn in_brackets(slots: &SlotSet) -> String {
    let one = |(first, last): (Slot, Slot)| match (first.number(), last.number()) {
        (first, last) if first == last => format!("[{first}]"),
        (first, last) => format!("[{first}-{last}]"),
    };
    slots.ranges().into_iter().map(one).collect::<Vec<_>>().join(",")
}

/// A cluster: the nodes that answer, in the order in which the first of them names them, itself first.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    /// Primaries that do not answer.
    pub(super) unreachable_primaries: usize,
    /// What is wrong with it.
    pub(super) errors: Vec<String>,
}

impl Cluster {
    /// Indexes of the primaries.
    pub(super) fn primaries(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&index| self.nodes[index].is_primary()).collect()
    }

    /// The index of the node with this id.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.id.eq_ignore_ascii_case(id))
    }

    /// The index of the primary with this id, in whole.
    pub(super) fn find_primary(&self, id: &str) -> Option<usize> {
        self.find(id).filter(|&index| self.nodes[index].is_primary())
    }

    /// Slots that some node serves.
    pub(super) fn covered(&self) -> SlotSet {
        let mut all = SlotSet::EMPTY;
        for slot in self.nodes.iter().flat_map(|node| node.slots.iter()) {
            all.insert(slot);
        }
        all
    }

    /// The primary that serves `slot`.
    pub(super) fn owner(&self, slot: Slot) -> Option<usize> {
        self.primaries().into_iter().find(|&index| self.nodes[index].slots.has(slot))
    }

    /// Counts the replicas of each node; the ids of primaries that replicas follow and nobody has.
    pub(super) fn count_replicas(&mut self) -> Vec<(String, String)> {
        let mut unknown = Vec::new();
        self.nodes.iter_mut().for_each(|node| node.replicas = 0);
        for index in 0..self.nodes.len() {
            let Some(primary) = self.nodes[index].primary.clone() else { continue };
            match self.find(&primary) {
                Some(found) => self.nodes[found].replicas += 1,
                None => unknown.push((self.nodes[index].address(), primary)),
            }
        }
        unknown
    }

    /// The primary with the fewest replicas, the first of them.
    pub(super) fn fewest_replicas(&self) -> Option<usize> {
        self.primaries().into_iter().min_by_key(|&index| self.nodes[index].replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:30004@31004,name \
        myself,master - 0 1426238317239 4 connected 0-5 7 [93-<-292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f] \
        [77->-e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca]";

    #[test]
    fn lines_are_read_in_all_their_parts() {
        let line = Line::parse(LINE).unwrap();
        assert_eq!((line.host.as_str(), line.port, line.bus_port), ("127.0.0.1", 30004, 31004));
        assert!(line.has_flag("myself") && line.has_flag("master") && line.is_linked);
        assert_eq!((line.primary.as_deref(), line.config_epoch), (None, 4));
        assert_eq!(line.importing[&93], "292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f");
        assert_eq!(line.migrating[&77], "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca");
        let node = Node::new(Peer::new(&line.host, line.port, &Default::default()), &line);
        assert_eq!(in_brackets(&node.slots), "[0-5],[7]");
        assert_eq!((node.slots.len(), node.is_replica()), (7, false));
    }

    #[test]
    fn addresses_may_hold_colons_or_nothing() {
        assert_eq!(address_of("::1:7000@17000"), Some(("::1".into(), 7000, 17000)));
        assert_eq!(address_of(":0@0"), Some((String::new(), 0, 0)));
        assert_eq!(address_of("10.0.0.1:7000"), Some(("10.0.0.1".into(), 7000, 0)));
        assert_eq!(address_of("nothing"), None);
    }

    #[test]
    fn what_is_no_line_is_refused() {
        assert!(parse("one two three\n").is_err());
        assert!(parse(&LINE.replace("0-5", "0-99999")).is_err());
        assert_eq!(parse(&format!("{LINE}\n")).unwrap().len(), 1);
    }
}
