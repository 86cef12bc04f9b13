//! Which slots leave which node: the tables behind `reshard` and `rebalance`.

use crate::cluster::SlotSet;
use crate::keyspace::{SLOT_COUNT, Slot};

/// A slot and the node that gives it.
pub(super) type Row = (Slot, usize);

/// Takes `count` slots from `sources`, from each in proportion to what it has: the largest first, with its share rounded up,
/// the others with theirs rounded down, lowest slots first.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of slots; single precision as in stock, so that both round alike"
)]
pub(super) fn take(sources: &[(usize, &SlotSet)], count: i64) -> Vec<Row> {
    let wanted = usize::try_from(count).unwrap_or(0);
    let total: usize = sources.iter().map(|(_, slots)| slots.len()).sum();
    let mut by_size: Vec<&(usize, &SlotSet)> = sources.iter().collect();
    by_size.sort_by_key(|(_, slots)| std::cmp::Reverse(slots.len()));
    let mut rows = Vec::new();
    for (place, (node, slots)) in by_size.into_iter().enumerate() {
        let share = wanted as f32 / total as f32 * slots.len() as f32;
        let share = if place == 0 { share.ceil() } else { share.floor() };
        let left = wanted.saturating_sub(rows.len());
        rows.extend(slots.iter().take((share as usize).min(left)).map(|slot| (slot, *node)));
    }
    rows
}

/// A primary in the balance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weighed {
    pub(super) node: usize,
    pub(super) weight: f64,
    pub(super) slots: usize,
}

/// How a balance is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Balance {
    /// Surplus of each node in slots, lack being negative, from the greatest lack to the greatest surplus.
    pub(super) surplus: Vec<(usize, i64)>,
    /// Source, target, slots.
    pub(super) moves: Vec<(usize, usize, usize)>,
}

/// Balances nodes by their weights. `None`: all are within `threshold_percent` of their share.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts of slots, of which there are 16384"
)]
pub(super) fn balance(nodes: &[Weighed], threshold_percent: f64) -> Option<Balance> {
    let total: f64 = nodes.iter().map(|node| node.weight).sum();
    let mut is_over = false;
    let mut surplus: Vec<(usize, i64)> = Vec::new();
    for node in nodes {
        let share = (SLOT_COUNT as f64 / total * node.weight) as i64;
        surplus.push((node.node, node.slots as i64 - share));
        is_over |= if node.slots > 0 {
            (100.0 - 100.0 * share as f64 / node.slots as f64).abs() > threshold_percent
        } else {
            share > 1
        };
    }
    if !is_over {
        return None;
    }
    spread_rounding(&mut surplus);
    surplus.sort_by_key(|(_, surplus)| *surplus);
    let mut left = surplus.clone();
    let mut moves = Vec::new();
    let (mut lacking, mut having) = (0, left.len() - 1);
    while lacking < having {
        let count = (-left[lacking].1).min(left[having].1);
        if count > 0 {
            moves.push((left[having].0, left[lacking].0, usize::try_from(count).unwrap_or(0)));
            left[lacking].1 += count;
            left[having].1 -= count;
        }
        // One of them is even now, or was.
        let (is_fed, is_empty) = (left[lacking].1 >= 0, left[having].1 <= 0);
        lacking += usize::from(is_fed);
        having -= usize::from(is_empty);
    }
    Some(Balance { surplus, moves })
}

/// Shares were rounded down: what is left over goes to those that are not above theirs.
fn spread_rounding(surplus: &mut [(usize, i64)]) {
    let mut over: i64 = surplus.iter().map(|(_, surplus)| surplus).sum();
    while over > 0 {
        let before = over;
        for (_, surplus) in surplus.iter_mut() {
            if *surplus <= 0 && over > 0 {
                *surplus -= 1;
                over -= 1;
            }
        }
        if over == before {
            return;
        }
    }
}

/// Slots as ranges, `0-5 7`, for commands and for people.
pub(super) fn ranges(slots: &SlotSet) -> Vec<(u16, u16)> {
    slots.ranges().into_iter().map(|(first, last)| (first.number(), last.number())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(ranges: &[(u16, u16)]) -> SlotSet {
        let mut set = SlotSet::EMPTY;
        for number in ranges.iter().flat_map(|&(first, last)| first..=last) {
            set.insert(Slot::new(number).unwrap());
        }
        set
    }

    #[test]
    fn sources_give_in_proportion_lowest_slots_first() {
        let (large, small) = (slots(&[(5461, 10922)]), slots(&[(10923, 16383)]));
        let taken = |count| {
            let rows = take(&[(2, &small), (1, &large)], count);
            rows.into_iter().map(|(slot, node)| (slot.number(), node)).collect::<Vec<_>>()
        };
        assert_eq!(taken(2), [(5461, 1), (5462, 1)]);
        assert_eq!(taken(3), [(5461, 1), (5462, 1), (10923, 2)]);
        assert_eq!(taken(-5), []);
        assert_eq!(taken(40_000).len(), 10923);
    }

    fn weighed(nodes: &[(f64, usize)]) -> Vec<Weighed> {
        let nodes = nodes.iter().enumerate();
        nodes.map(|(node, &(weight, slots))| Weighed { node, weight, slots }).collect()
    }

    #[test]
    fn nodes_within_the_threshold_stay_as_they_are() {
        assert_eq!(balance(&weighed(&[(1.0, 5461), (1.0, 5462), (1.0, 5461)]), 2.0), None);
    }

    #[test]
    fn an_empty_node_gets_its_share_from_all() {
        let nodes = weighed(&[(1.0, 5461), (1.0, 5461), (1.0, 0), (1.0, 5462)]);
        let moves = balance(&nodes, 2.0).unwrap().moves;
        assert_eq!(moves, [(3, 2, 1366), (1, 2, 1365), (0, 2, 1365)]);
    }

    #[test]
    fn weights_change_shares_and_what_rounding_leaves_is_spread() {
        let nodes = weighed(&[(1.0, 5461), (0.002, 0), (1.01, 5462), (1.0, 5461)]);
        let balance = balance(&nodes, 2.0).unwrap();
        assert_eq!(balance.surplus, [(2, -32), (1, -12), (0, 22), (3, 22)]);
        assert_eq!(balance.moves, [(3, 2, 22), (0, 2, 10), (0, 1, 12)]);
    }

    #[test]
    fn nodes_without_weight_are_emptied() {
        let nodes = weighed(&[(1.0, 5461), (0.0, 5462), (1.0, 5461)]);
        let moves = balance(&nodes, 2.0).unwrap().moves;
        assert_eq!(moves, [(1, 0, 2731), (1, 2, 2731)]);
    }

    #[test]
    fn balances_end_even_whatever_they_began_with() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let count = random.usize(2..20);
            let mut nodes = weighed(&vec![(1.0, 0); count]);
            for node in &mut nodes {
                node.weight = f64::from(random.u32(0..5));
            }
            nodes[0].weight = 1.0;
            for _ in 0..SLOT_COUNT {
                nodes[random.usize(..count)].slots += 1;
            }
            let Some(balance) = balance(&nodes, 0.0) else { continue };
            let mut slots: Vec<i64> =
                nodes.iter().map(|n| i64::try_from(n.slots).unwrap()).collect();
            for (source, target, moved) in balance.moves {
                slots[source] -= i64::try_from(moved).unwrap();
                slots[target] += i64::try_from(moved).unwrap();
            }
            let total: f64 = nodes.iter().map(|node| node.weight).sum();
            for node in &nodes {
                #[expect(clippy::cast_precision_loss, reason = "counts of slots")]
                let (has, share) = (slots[node.node] as f64, 16384.0 / total * node.weight);
                assert!((has - share).abs() < 20.0, "{has} of {share}: {nodes:?}");
            }
        }
    }
}
