//! Members picked at random.

use std::collections::HashSet;
use std::sync::Arc;

use super::Limits;
use super::intset::Intset;
use super::listpack::Listpack;
use super::set::{Encoded, Member, Set, member_bytes};

/// Picking one by one pays while fewer than this share of a table's members are wanted.
const WALK_SHARE: usize = 3;

/// Members are taken out one by one while no more than this many go for each that stays.
const TAKE_SHARE: usize = 5;

/// Says for one after the other of `len` things whether it is among the `count` chosen ones, where every choice of so many
/// has the same chance.
struct Choice<'r> {
    random: &'r mut fastrand::Rng,
    /// Things still to come.
    left: usize,
    /// Those still to be chosen among them.
    wanted: usize,
}

impl<'r> Choice<'r> {
    fn new(count: usize, len: usize, random: &'r mut fastrand::Rng) -> Self {
        Self { random, left: len, wanted: count.min(len) }
    }

    fn next(&mut self) -> bool {
        let chosen = self.random.usize(..self.left) < self.wanted;
        self.left -= 1;
        self.wanted -= usize::from(chosen);
        chosen
    }
}

impl Set {
    /// Hands `count` different members to `found`, or all if there are no more.
    pub fn sample<'a>(
        &'a self,
        count: usize,
        random: &mut fastrand::Rng,
        mut found: impl FnMut(Member<'a>),
    ) {
        let len = self.len();
        if let Encoded::Table(table) = &self.members
            && count.saturating_mul(WALK_SHARE) < len
        {
            let mut seen = HashSet::new();
            while seen.len() < count {
                let member = table.random(random).expect("there are more than are wanted");
                if seen.insert(member) {
                    found(Member::Bytes(member));
                }
            }
            return;
        }
        let mut choice = Choice::new(count, len, random);
        self.iter().filter(|_| choice.next()).for_each(found);
    }

    /// Removes a member and returns its bytes.
    pub fn pop(&mut self, random: &mut fastrand::Rng) -> Option<Vec<u8>> {
        let member = self.random(random)?;
        let bytes = member_bytes(member, &mut itoa::Buffer::new()).to_vec();
        self.remove(&bytes);
        Some(bytes)
    }

    /// Removes `count` members, fewer than there are, and hands them to `found`.
    ///
    /// # Panics
    /// If there are no more than `count`.
    pub fn take(
        &mut self,
        count: usize,
        random: &mut fastrand::Rng,
        limits: &Limits,
        mut found: impl FnMut(Member<'_>),
    ) {
        let len = self.len();
        assert!(count < len, "{count} of {len} members are to go, and some to stay");
        let mut choice = Choice::new(count, len, random);
        match &mut self.members {
            Encoded::Ints(ints) => {
                let (gone, kept): (Vec<i64>, Vec<i64>) = ints.iter().partition(|_| choice.next());
                gone.into_iter().for_each(|number| found(Member::Int(number)));
                *ints = Intset::from_sorted(&kept);
            }
            Encoded::Packed(pack) => {
                let mut kept = Listpack::new();
                for item in pack.iter() {
                    if choice.next() {
                        found(item);
                    } else {
                        kept.push(member_bytes(item, &mut itoa::Buffer::new()));
                    }
                }
                *pack = kept;
            }
            Encoded::Table(table) if count < (len - count).saturating_mul(TAKE_SHARE) => {
                let table = Arc::make_mut(table);
                for _ in 0..count {
                    let member = table.random(random).expect("some are to stay").to_vec();
                    table.remove(&member);
                    found(Member::Bytes(&member));
                }
            }
            Encoded::Table(_) => self.keep(len - count, random, limits).iter().for_each(found),
        }
    }

    /// Keeps `count` members of a table and returns the others.
    fn keep(&mut self, count: usize, random: &mut fastrand::Rng, limits: &Limits) -> Set {
        let mut kept = Set::new_packed();
        self.sample(count, random, |member| {
            kept.insert_member(member, limits);
        });
        let mut gone = std::mem::replace(self, kept);
        for member in self.iter() {
            gone.remove_member(member);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn numbered(len: usize, word: &str, limits: &Limits) -> Set {
        let mut set = Set::new();
        (0..len)
            .for_each(|number| assert!(set.insert(format!("{word}{number}").as_bytes(), limits)));
        set
    }

    /// Sets of all encodings.
    fn sets(limits: &Limits) -> impl Iterator<Item = Set> + '_ {
        [(1, ""), (500, ""), (2, "m"), (128, "m"), (129, "m"), (3000, "m")]
            .into_iter()
            .map(|(len, word)| numbered(len, word, limits))
    }

    fn all(set: &Set) -> BTreeSet<Vec<u8>> {
        set.iter().map(|member| member.to_bytes().into_owned()).collect()
    }

    #[test]
    fn samples_are_of_different_members() {
        let (limits, mut random) = (Limits::default(), fastrand::Rng::with_seed(5));
        for set in sets(&limits) {
            let len = set.len();
            for count in [0, 1, len / 4, len / 2, len - 1, len, len + 1] {
                let mut found = BTreeSet::new();
                set.sample(count, &mut random, |member| {
                    assert!(set.contains_member(member));
                    assert!(found.insert(member.to_bytes().into_owned()));
                });
                assert_eq!(found.len(), count.min(len));
            }
        }
    }

    #[test]
    fn what_is_taken_is_gone_and_the_rest_stays() {
        let (limits, mut random) = (Limits::default(), fastrand::Rng::with_seed(6));
        for set in sets(&limits) {
            let len = set.len();
            for count in [0, 1, len / 4, len / 2, len * 9 / 10, len - 1] {
                let mut left = set.clone();
                if count >= len {
                    continue;
                }
                let mut gone = BTreeSet::new();
                left.take(count, &mut random, &limits, |member| {
                    assert!(gone.insert(member.to_bytes().into_owned()));
                });
                left.check_invariants(&limits);
                assert_eq!((gone.len(), left.len()), (count, len - count));
                gone.extend(all(&left));
                assert_eq!(gone, all(&set));
            }
        }
    }

    #[test]
    fn every_member_has_its_chance() {
        let (limits, mut random) = (Limits::default(), fastrand::Rng::with_seed(7));
        for mut set in sets(&limits) {
            let (len, mut seen) = (set.len(), BTreeSet::new());
            for _ in 0..len * 20 {
                let member = set.random(&mut random).expect("there are some");
                seen.insert(member.to_bytes().into_owned());
            }
            // Twenty picks each miss one member of 3000 with a chance of one in 100,000.
            assert!(seen.len() >= len - 1, "{} of {len}", seen.len());
            while let Some(member) = set.pop(&mut random) {
                assert!(seen.remove(&member) || len == 3000);
                if set.len() % 100 == 0 {
                    set.check_invariants(&limits);
                }
            }
            assert_eq!(set.len(), 0);
        }
    }
}
