//! Members with scores that are gathered from several collections, and then put in order at once: a result of many members
//! costs less so than if each were put where it belongs among those before it.

use super::small::{self, with};
use crate::types::Member;
use crate::types::pages;
use crate::types::set::canonical;

/// See the module.
#[derive(Debug, Default)]
pub struct Gathered<'k> {
    members: Vec<(Member<'k>, f64)>,
    /// A table by hash with linear probing, a power of two long: numbers of members, from 1; 0 where there is none. Empty until
    /// members are merged.
    table: Vec<u32>,
}

impl<'k> Gathered<'k> {
    /// Takes a member that has not come yet.
    pub fn push(&mut self, member: Member<'k>, score: f64) {
        debug_assert!(self.table.is_empty(), "members are pushed, or merged");
        self.members.push((member, score));
    }

    /// Takes a member; of one that has come, the score becomes `join(its score, score)`.
    pub fn merge(&mut self, member: Member<'k>, score: f64, join: impl FnOnce(f64, f64) -> f64) {
        if self.table.len() < 2 * (self.members.len() + 1) {
            self.grow();
        }
        let member = canonical(member);
        let mut at = self.place(member);
        while let Some(number) = self.table[at].checked_sub(1) {
            let (other, known) = &mut self.members[number as usize];
            if *other == member {
                *known = join(*known, score);
                return;
            }
            at = (at + 1) & (self.table.len() - 1);
        }
        self.members.push((member, score));
        self.table[at] = number_of_last(&self.members);
    }

    /// The members in the order of a sorted set.
    pub fn ordered(mut self) -> Vec<(Member<'k>, f64)> {
        self.members.sort_by(|&one, &other| {
            if one.1 == other.1 { small::order(one, other) } else { one.1.total_cmp(&other.1) }
        });
        self.members
    }

    fn place(&self, member: Member<'_>) -> usize {
        let hash = with(member, pages::hash);
        usize::try_from(hash & (self.table.len() as u64 - 1)).expect("it is below a length")
    }

    #[cold]
    fn grow(&mut self) {
        let len = (4 * (self.members.len() + 1)).next_power_of_two().max(64);
        self.table.clear();
        self.table.resize(len, 0);
        let members = std::mem::take(&mut self.members);
        for (number, (member, _)) in (1..).zip(&members) {
            let mut at = self.place(*member);
            while self.table[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            self.table[at] = number;
        }
        self.members = members;
    }
}

fn number_of_last(members: &[(Member<'_>, f64)]) -> u32 {
    u32::try_from(members.len()).expect("4 Gi members do not fit into memory here")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::types::{Limits, Zset, member_bytes};

    #[test]
    fn members_are_merged_and_ordered_as_in_a_sorted_set() {
        let mut random = fastrand::Rng::with_seed(4);
        for round in 0..200 {
            let words: Vec<String> =
                (0..random.usize(1..400)).map(|_| random.u16(..300).to_string()).collect();
            let (mut gathered, mut model) = (Gathered::default(), BTreeMap::<&str, f64>::new());
            for word in &words {
                let score = f64::from(random.i8(-3..4)) / 2.0;
                let number = word.parse().ok().filter(|_| random.bool());
                let member = number.map_or(Member::Bytes(word.as_bytes()), Member::Int);
                gathered.merge(member, score, |one, other| one + other);
                *model.entry(word).or_default() += score;
            }
            let limits = Limits { zset_entries_max: 60, ..Limits::default() };
            let ordered = gathered.ordered();
            let zset = Zset::of_ordered(&ordered, &limits);
            let mut one_by_one = Zset::new();
            for (word, score) in &model {
                one_by_one.insert(word.as_bytes(), *score, &limits);
            }
            zset.check_invariants();
            assert_eq!(zset.is_small(), model.len() <= 60, "round {round}");
            let all = |zset: &Zset| {
                let elements = zset.range(0..zset.len(), false);
                let owned = |(member, score): (Member<'_>, f64)| {
                    (member_bytes(member, &mut itoa::Buffer::new()).to_vec(), score)
                };
                elements.map(owned).collect::<Vec<_>>()
            };
            assert_eq!(all(&zset), all(&one_by_one), "round {round}");
        }
    }
}
