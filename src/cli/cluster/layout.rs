//! Who becomes a primary, who follows whom: the plan of `create`.
//!
//! Primaries are taken from the hosts in turn, so that no host holds more of them than it must. Replicas are spread the same
//! way; then pairs of replicas are swapped as long as that takes copies of one shard off each other's hosts.

use fastrand::Rng;

/// Slots of a cluster.
const SLOTS: usize = crate::keyspace::SLOT_COUNT;

/// How many swaps are tried per node.
const SWAPS_PER_NODE: usize = 500;

/// What the nodes become, by their indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The primaries in order, each with its first and last slot.
    pub(super) primaries: Vec<(usize, usize, usize)>,
    /// Replicas and their primaries, in the order in which they were given out.
    pub(super) replicas: Vec<(usize, usize)>,
    /// Those of `replicas` that no primary asked for: more nodes than the numbers needed.
    pub(super) extra_from: usize,
}

/// How well the copies of each shard are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    Perfect,
    /// Replicas of one shard share a host.
    TogetherWithReplica,
    /// A replica shares a host with its primary.
    TogetherWithPrimary,
}

/// Plans a cluster of nodes on these hosts with `replicas` for each primary, of which there is at least one.
pub(super) fn plan(hosts: &[String], replicas: usize) -> Layout {
    let primary_count = hosts.len() / (replicas + 1);
    assert!(primary_count > 0, "{} nodes with {replicas} replicas each", hosts.len());
    let order = by_turns(hosts);
    let (primaries, rest) = order.split_at(primary_count);
    let mut layout = Layout { primaries: shares(primaries), replicas: Vec::new(), extra_from: 0 };
    let mut free = rest.to_vec();
    // The first of them is the last to be taken, so that hosts that come first are not always the ones that hold more.
    if primary_count > 1 && !free.is_empty() {
        free.rotate_left(1);
    }
    for &primary in primaries {
        for _ in 0..replicas {
            if let Some(node) = take_from_elsewhere(&mut free, hosts, primary) {
                layout.replicas.push((node, primary));
            }
        }
    }
    layout.extra_from = layout.replicas.len();
    for (turn, node) in free.into_iter().enumerate() {
        layout.replicas.push((node, primaries[turn % primary_count]));
    }
    layout
}

/// The nodes, taken from one host after the other.
fn by_turns(hosts: &[String]) -> Vec<usize> {
    let mut queues: Vec<(&str, Vec<usize>)> = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        match queues.iter_mut().find(|(known, _)| known == host) {
            Some((_, queue)) => queue.push(index),
            None => queues.push((host, vec![index])),
        }
    }
    let rounds = queues.iter().map(|(_, queue)| queue.len()).max().unwrap_or(0);
    (0..rounds)
        .flat_map(|round| queues.iter().filter_map(move |(_, q)| q.get(round).copied()))
        .collect()
}

/// The slots in shares as equal as they can be.
fn shares(primaries: &[usize]) -> Vec<(usize, usize, usize)> {
    #[expect(clippy::cast_precision_loss, reason = "16384 at most")]
    let share = SLOTS as f64 / primaries.len() as f64;
    let mut first = 0;
    let mut cursor = 0.0_f64;
    let count = primaries.len();
    let shares = primaries.iter().enumerate().map(|(index, &node)| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 16384"
        )]
        let end = (cursor + share - 1.0).round().max(0.0) as usize;
        let last = if index + 1 == count { SLOTS - 1 } else { end.clamp(first, SLOTS - 1) };
        let taken = (node, first, last);
        first = last + 1;
        cursor += share;
        taken
    });
    shares.collect()
}

/// Takes the first free node that is not on the host of `primary`, or the first at all.
fn take_from_elsewhere(free: &mut Vec<usize>, hosts: &[String], primary: usize) -> Option<usize> {
    let elsewhere = free.iter().position(|&node| hosts[node] != hosts[primary]);
    let at = elsewhere.unwrap_or(0);
    (at < free.len()).then(|| free.remove(at))
}

/// A penalty for each pair on one host, and the replicas in such pairs.
fn score(hosts: &[String], replicas: &[(usize, usize)]) -> (usize, Vec<usize>) {
    let mut total = 0;
    let mut offenders = Vec::new();
    for (at, &(node, primary)) in replicas.iter().enumerate() {
        let with_primary = hosts[node] == hosts[primary];
        let beside = |&&(other, of): &&(usize, usize)| {
            other != node && of == primary && hosts[other] == hosts[node]
        };
        let with_replicas = replicas.iter().filter(beside).count();
        // A primary and its only copy on one host are lost together: that weighs more than anything among replicas.
        total += if with_primary { 10_000 } else { 0 } + with_replicas;
        if with_primary || with_replicas > 0 {
            offenders.push(at);
        }
    }
    (total, offenders)
}

/// How well the replicas are spread.
pub(super) fn spread(hosts: &[String], replicas: &[(usize, usize)]) -> Spread {
    match score(hosts, replicas).0 {
        0 => Spread::Perfect,
        score if score >= 10_000 => Spread::TogetherWithPrimary,
        _ => Spread::TogetherWithReplica,
    }
}

/// Swaps the primaries of pairs of replicas while that spreads them better. On one host nothing does.
pub(super) fn optimize(hosts: &[String], layout: &mut Layout, random: &mut Rng) {
    if hosts.windows(2).all(|pair| pair[0] == pair[1]) {
        return;
    }
    let replicas = &mut layout.replicas;
    let (mut best, mut offenders) = score(hosts, replicas);
    for _ in 0..SWAPS_PER_NODE * hosts.len() {
        let Some(&one) = random.choice(&offenders) else { return };
        let other = random.usize(..replicas.len());
        if replicas[one].1 == replicas[other].1 {
            continue;
        }
        swap_primaries(replicas, one, other);
        let (after, still) = score(hosts, replicas);
        if after > best {
            swap_primaries(replicas, one, other);
        } else {
            (best, offenders) = (after, still);
        }
    }
}

fn swap_primaries(replicas: &mut [(usize, usize)], one: usize, other: usize) {
    let kept = replicas[one].1;
    replicas[one].1 = replicas[other].1;
    replicas[other].1 = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn three_primaries_share_the_slots_as_everybody_expects() {
        let layout = plan(&hosts("aaa"), 0);
        assert_eq!(layout.primaries, [(0, 0, 5460), (1, 5461, 10922), (2, 10923, 16383)]);
        assert_eq!(plan(&hosts("a"), 0).primaries, [(0, 0, 16383)]);
    }

    #[test]
    fn all_slots_are_given_out_whatever_the_number() {
        for count in 1..200 {
            let shares = plan(&vec!["a".to_owned(); count], 0).primaries;
            assert_eq!((shares[0].1, shares[count - 1].2), (0, SLOTS - 1));
            assert!(shares.windows(2).all(|pair| pair[0].2 + 1 == pair[1].1), "{count}");
            let sizes: Vec<usize> = shares.iter().map(|(_, first, last)| last - first).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{count}");
        }
    }

    #[test]
    fn primaries_are_taken_from_the_hosts_in_turn() {
        let layout = plan(&hosts("aabbcc"), 1);
        let primaries: Vec<usize> = layout.primaries.iter().map(|primary| primary.0).collect();
        assert_eq!(primaries, [0, 2, 4]);
        assert_eq!(spread(&hosts("aabbcc"), &layout.replicas), Spread::Perfect);
    }

    #[test]
    fn one_host_gives_out_replicas_in_the_known_order() {
        let layout = plan(&hosts("aaaaaa"), 1);
        assert_eq!(layout.replicas, [(4, 0), (5, 1), (3, 2)]);
        assert_eq!(spread(&hosts("aaaaaa"), &layout.replicas), Spread::TogetherWithPrimary);
    }

    #[test]
    fn surplus_nodes_become_replicas_too() {
        let layout = plan(&hosts("aaaaaaaa"), 1);
        assert_eq!((layout.primaries.len(), layout.replicas.len()), (4, 4));
        let layout = plan(&hosts("aaaaaaa"), 1);
        assert_eq!((layout.primaries.len(), layout.replicas.len(), layout.extra_from), (3, 4, 3));
    }

    #[test]
    fn swaps_find_a_perfect_spread_where_there_is_one() {
        let hosts = hosts("abcabcabc");
        let mut layout = plan(&hosts, 2);
        // As bad as can be: each replica beside its primary.
        let replicas = layout.replicas.iter().map(|&(node, _)| (node, node % 3)).collect();
        layout.replicas = replicas;
        assert_eq!(spread(&hosts, &layout.replicas), Spread::TogetherWithPrimary);
        optimize(&hosts, &mut layout, &mut Rng::with_seed(1));
        assert_eq!(spread(&hosts, &layout.replicas), Spread::Perfect);
    }
}
