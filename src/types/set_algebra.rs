//! What sets have in common, together, or apart.
//!
//! For a reply members are handed out as they are found and nothing is copied; for a key the result is made in the encoding
//! it is to have. The encodings of results are those of Redis 7.2.

use super::Limits;
use super::seen::{FEW, Seen};
use super::set::{Member, Set, canonical};

/// Looking members up may seem this many times as much work as taking them out and is still done: it ends at the first
/// set that has the member.
const ADVANTAGE: usize = 2;

/// Up to so many members a result is searched for each before it is added.
const SEARCHED: usize = 32;

fn same(one: &Set, other: &Set) -> bool {
    std::ptr::eq(one, other)
}

/// Whether the members of `first`, which are few, are looked up in one of the others after another: searching a listpack for
/// each of many takes longer than reading it into a table once.
fn is_worth_sifting(first: &Set, others: &[&Set]) -> bool {
    first.len() <= FEW && others.iter().any(|other| other.takes_long_to_search(first.len()))
}

fn members_of(set: &Set) -> Vec<Member<'_>> {
    let mut members = Vec::with_capacity(set.len());
    members.extend(set.iter());
    members
}

/// Hands each member that all `sets` have to `found`, until that returns false. Sorts the sets: the smallest is walked.
pub fn intersection<'a>(sets: &mut [&'a Set], mut found: impl FnMut(Member<'a>) -> bool) {
    sets.sort_by_key(|set| set.len());
    let Some((&smallest, others)) = sets.split_first() else { return };
    if is_worth_sifting(smallest, others) {
        let mut left = members_of(smallest);
        let others = others.iter().filter(|other| !same(other, smallest));
        others.for_each(|other| other.sift(&mut left, true));
        left.into_iter().all(found);
        return;
    }
    let everywhere = |member: &Member<'_>| {
        others.iter().all(|other| same(other, smallest) || other.contains_member(*member))
    };
    smallest.all(|member| !everywhere(&member) || found(member));
}

/// The set of what all `sets` have.
pub fn intersection_set(sets: &mut [&Set], limits: &Limits) -> Set {
    let smallest = sets.iter().min_by_key(|set| set.len());
    let ascending = smallest.is_none_or(|set| set.as_ints().is_some());
    let mut result = if ascending { Set::new() } else { Set::new_packed() };
    let mut only_integers = true;
    intersection(sets, |member| {
        only_integers = only_integers && matches!(canonical(member), Member::Int(_));
        result.add_new(member, limits);
        true
    });
    if only_integers {
        result.make_intset(limits);
    }
    result
}

/// Hands each member of any of `sets` to `found`, once. Integers ascend if there is nothing else.
pub fn union<'a>(sets: &[&'a Set], mut found: impl FnMut(Member<'a>)) {
    if let [only] = sets {
        return only.iter().for_each(found);
    }
    if sets.iter().all(|set| set.as_ints().is_some()) {
        let intsets = sets.iter().filter_map(|set| set.as_ints());
        let mut numbers: Vec<i64> = intsets.flat_map(|ints| ints.iter()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        return numbers.into_iter().for_each(|number| found(Member::Int(number)));
    }
    let Some(&largest) = sets.iter().max_by_key(|set| set.len()) else { return };
    largest.iter().for_each(&mut found);
    let mut seen = Seen::with_capacity(largest.len());
    // A table is as good as what would be remembered of it.
    if !largest.is_table() {
        largest.iter().for_each(|member| {
            seen.insert(member);
        });
    }
    let others = sets.iter().filter(|set| !same(set, largest));
    for member in others.flat_map(|set| set.iter()) {
        let known = largest.is_table() && largest.contains_member(member);
        if !known && seen.insert(canonical(member)) {
            found(member);
        }
    }
}

/// The set of the members of all `sets`.
pub fn union_set(sets: &[&Set], limits: &Limits) -> Set {
    // What is larger than small sets may be stays a table, and a table's copy costs little.
    let largest = sets.iter().max_by_key(|set| set.len()).filter(|set| set.stays_table(limits));
    let mut result = largest.map_or_else(Set::new, |&set| set.clone());
    let others = sets.iter().filter(|set| largest.is_none_or(|largest| !same(set, largest)));
    let count: usize = sets.iter().map(|set| set.len()).sum();
    let only_integers = sets.iter().all(|set| set.as_ints().is_some());
    if count <= SEARCHED || only_integers {
        others.flat_map(|set| set.iter()).for_each(|member| {
            result.insert_member(member, limits);
        });
        return result;
    }
    let mut seen = Seen::with_capacity(count);
    for member in others.flat_map(|set| set.iter()) {
        if result.is_table() {
            result.insert_member(member, limits);
        } else if !seen.contains(canonical(member)) {
            result.add_new(member, limits);
            if !result.is_table() {
                seen.insert(canonical(member));
            }
        }
    }
    result
}

/// Whether it costs less to look up the members of `first` in `others` than to take the members of `others` out of it.
/// As stock has it, so that encodings of results agree.
fn looking_up_is_cheaper(first: &Set, others: &[&Set]) -> bool {
    let look_up = first.len().saturating_mul(others.len() + 1) / ADVANTAGE;
    let take_out = others.iter().map(|set| set.len()).fold(first.len(), usize::saturating_add);
    look_up <= take_out
}

/// Hands each member of `first` that none of `others` has to `found`. Sorts the others.
pub fn difference<'a>(first: &'a Set, others: &mut [&Set], mut found: impl FnMut(Member<'a>)) {
    if others.iter().any(|other| same(other, first)) {
        return;
    }
    if looking_up_is_cheaper(first, others) {
        // Where most is, most is found.
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        if is_worth_sifting(first, others) {
            let mut left = members_of(first);
            others.iter().for_each(|other| other.sift(&mut left, false));
            return left.into_iter().for_each(found);
        }
        let left = first
            .iter()
            .filter(|&member| !others.iter().any(|other| other.contains_member(member)));
        return left.for_each(found);
    }
    let mut gone = Seen::with_capacity(0);
    for member in others.iter().flat_map(|set| set.iter()) {
        if first.contains_member(member) {
            gone.insert(canonical(member));
            if gone.len() == first.len() {
                return;
            }
        }
    }
    first.iter().filter(|member| !gone.contains(canonical(*member))).for_each(&mut found);
}

/// The set of the members of `first` that none of `others` has.
pub fn difference_set(first: &Set, others: &mut [&Set], limits: &Limits) -> Set {
    if others.iter().any(|other| same(other, first)) {
        return Set::new();
    }
    if looking_up_is_cheaper(first, others) {
        let mut result = Set::new();
        difference(first, others, |member| result.add_new(member, limits));
        return result;
    }
    let mut result = union_set(&[first], limits);
    for member in others.iter().flat_map(|set| set.iter()) {
        if result.remove_member(member) && result.is_empty() {
            break;
        }
    }
    result
}

#[cfg(test)]
mod tests;
