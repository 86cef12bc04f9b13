//! Sets: byte strings, each once.
//!
//! There are three encodings, and the rules for changing are those of Redis 7.2. A set begins as an intset if its first
//! member is an integer, else as a listpack. An intset that gets a word becomes a listpack where that fits. What grows out
//! of either becomes a table and stays one.

use std::sync::Arc;

use super::Limits;
use super::intset::{Ints, Intset};
use super::listpack::{Items, Listpack, Needle, PackedItem, are_different};
use super::seen::Seen;
use super::set_table::{SetTable, TableIter};
use crate::alloc::size_class;
use crate::resp::number::parse_i64;

/// A member. One of a table that spells an integer comes as bytes.
pub type Member<'a> = PackedItem<'a>;

/// Intsets stay below this many members whatever the setting says, as in stock.
const INTSET_ENTRIES_MAX: u64 = 1 << 30;

/// Listpacks stay below this many bytes whatever the settings say, as in stock.
const LISTPACK_BYTES_MAX: usize = 1 << 30;

/// Up to this product of lengths a listpack is searched for each member of another set.
const SEARCHED_MAX: usize = 300;

/// A set.
#[derive(Clone, Debug, Default)]
pub struct Set {
    pub(super) members: Encoded,
}

#[derive(Clone, Debug)]
pub(super) enum Encoded {
    /// Integers only, ascending.
    Ints(Intset),
    /// Few members, in the order in which they came.
    Packed(Listpack),
    /// Any number of members.
    /// Boxed: small sets are many, and pay for the size of this.
    Table(Arc<SetTable>),
}

impl Default for Encoded {
    fn default() -> Self {
        Encoded::Ints(Intset::new())
    }
}

/// The bytes of a member; `buffer` holds them if it is an integer.
#[inline]
pub fn member_bytes<'b>(member: Member<'b>, buffer: &'b mut itoa::Buffer) -> &'b [u8] {
    match member {
        Member::Int(number) => buffer.format(number).as_bytes(),
        Member::Bytes(bytes) => bytes,
    }
}

/// The member in the one form in which equal members are equal: what spells an integer is an integer.
#[inline]
pub(super) fn canonical(member: Member<'_>) -> Member<'_> {
    match member {
        Member::Bytes(bytes) => parse_i64(bytes).map_or(member, Member::Int),
        number @ Member::Int(_) => number,
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn intset_entries_max(limits: &Limits) -> u64 {
    limits.set_intset_entries_max.min(INTSET_ENTRIES_MAX)
}

/// Making.
impl Set {
    /// A set without members: an intset until other members come.
    pub fn new() -> Self {
        Self::default()
    }

    /// A set without members that is about to get some `count` of them, of which the first is `first`.
    pub fn for_members(first: &[u8], count: usize, limits: &Limits) -> Self {
        let count = wide(count);
        let members = if count <= limits.set_intset_entries_max && parse_i64(first).is_some() {
            Encoded::default()
        } else if count <= limits.set_entries_max {
            Encoded::Packed(Listpack::new())
        } else {
            Encoded::Table(Arc::default())
        };
        Self { members }
    }

    /// The set whose intset this is, which may be larger than one made here; nothing if it is none.
    pub fn of_intset(block: &[u8], limits: &Limits) -> Option<Self> {
        let mut set = Self { members: Encoded::Ints(Intset::from_block(block)?) };
        set.leave_a_large_intset(limits);
        Some(set)
    }

    /// The set whose members are the items of a listpack; nothing if one is there twice.
    pub fn of_listpack(pack: Listpack, limits: &Limits) -> Option<Self> {
        let is_kept = wide(pack.len()) <= limits.set_entries_max
            && pack.iter().all(|item| item.bytes_len() <= limits.set_value_bytes_max)
            && pack.bytes().len() <= LISTPACK_BYTES_MAX
            && pack.is_canonical();
        if is_kept {
            return are_different(pack.iter()).then_some(Self { members: Encoded::Packed(pack) });
        }
        let mut set = Self::new_packed();
        pack.iter().all(|item| set.insert_member(item, limits)).then_some(set)
    }

    /// The block, and whether it is an intset; nothing where the set is a table.
    pub fn block(&self) -> Option<(&[u8], bool)> {
        match &self.members {
            Encoded::Ints(ints) => Some((ints.bytes(), true)),
            Encoded::Packed(pack) => Some((pack.bytes(), false)),
            Encoded::Table(_) => None,
        }
    }

    /// A set without members: a listpack until more come than fit.
    pub(super) fn new_packed() -> Self {
        Self { members: Encoded::Packed(Listpack::new()) }
    }
}

/// Reading.
impl Set {
    /// How many members there are.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.members {
            Encoded::Ints(ints) => ints.len(),
            Encoded::Packed(pack) => pack.len(),
            Encoded::Table(table) => table.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `member` is there.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.members {
            Encoded::Ints(ints) => parse_i64(member).is_some_and(|number| ints.contains(number)),
            Encoded::Packed(pack) => pack.find(&Needle::new(member), pack.first(), 0).is_some(),
            Encoded::Table(table) => table.contains(member),
        }
    }

    /// Fetches what lookups and changes of some members will need.
    pub(super) fn prefetch<'m>(&self, members: impl Iterator<Item = &'m [u8]>) {
        if let Encoded::Table(table) = &self.members {
            table.prefetch(members);
        }
    }

    /// As [`Set::contains`], for a member of another set.
    #[inline]
    pub fn contains_member(&self, member: Member<'_>) -> bool {
        match (&self.members, member) {
            (Encoded::Ints(ints), member) => match canonical(member) {
                Member::Int(number) => ints.contains(number),
                Member::Bytes(_) => false,
            },
            (Encoded::Packed(pack), member) => {
                let needle = Needle::of(canonical(member));
                pack.find(&needle, pack.first(), 0).is_some()
            }
            (Encoded::Table(table), member) => {
                table.contains(member_bytes(member, &mut itoa::Buffer::new()))
            }
        }
    }

    /// Whether it takes long to search this set, a listpack, for so many members.
    pub(super) fn takes_long_to_search(&self, count: usize) -> bool {
        matches!(&self.members, Encoded::Packed(pack) if pack.len() * count > SEARCHED_MAX)
    }

    /// All members: ascending, in the order in which they came, or in no order, by encoding.
    pub fn iter(&self) -> Members<'_> {
        Members(match &self.members {
            Encoded::Ints(ints) => Inner::Ints(ints.iter()),
            Encoded::Packed(pack) => Inner::Packed(pack.iter()),
            Encoded::Table(table) => Inner::Table(table.iter()),
        })
    }

    /// The integers of an intset.
    pub(super) fn as_ints(&self) -> Option<&Intset> {
        if let Encoded::Ints(ints) = &self.members { Some(ints) } else { None }
    }

    /// Hands all members to `visit` until that says false. Faster than [`Set::iter`].
    pub fn all<'a>(&'a self, mut visit: impl FnMut(Member<'a>) -> bool) {
        match &self.members {
            Encoded::Table(table) => {
                table.all(|bytes| visit(Member::Bytes(bytes)));
            }
            _ => {
                self.iter().all(visit);
            }
        }
    }

    /// Whether the set is a table, and would be one if it were made anew.
    pub(super) fn stays_table(&self, limits: &Limits) -> bool {
        let small_max = limits.set_entries_max.max(intset_entries_max(limits));
        self.is_table() && wide(self.len()) > small_max
    }

    /// Whether the set has the large encoding, of which steps of a scan show a part.
    pub fn is_table(&self) -> bool {
        matches!(self.members, Encoded::Table(_))
    }

    /// A step of a scan from `cursor` on, 0 at the start, over about `count` members; sets that are not tables are shown
    /// whole. Returns the cursor to go on with, 0 at the end.
    pub fn scan(&self, cursor: u64, count: usize, mut found: impl FnMut(Member<'_>)) -> u64 {
        match &self.members {
            Encoded::Table(table) => {
                table.scan(cursor, count, |member| found(Member::Bytes(member)))
            }
            _ => {
                self.iter().for_each(found);
                0
            }
        }
    }

    /// A member, each with the same chance, or about so in a table.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<Member<'_>> {
        let mut index = |len| (len > 0).then(|| random.usize(..len));
        match &self.members {
            Encoded::Ints(ints) => index(ints.len()).map(|index| Member::Int(ints.get(index))),
            Encoded::Packed(pack) => Some(pack.get(pack.at(index(pack.len())?)?)),
            Encoded::Table(table) => table.random(random).map(Member::Bytes),
        }
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self, _: &Limits) -> &'static str {
        match self.members {
            Encoded::Ints(_) => "intset",
            Encoded::Packed(_) => "listpack",
            Encoded::Table(_) => "hashtable",
        }
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        match &self.members {
            Encoded::Ints(ints) => ints.memory_usage(),
            Encoded::Packed(pack) => size_class(pack.capacity()),
            Encoded::Table(table) => table.memory_usage(),
        }
    }
}

/// Changing.
impl Set {
    /// Says that some `count` members are about to be added: a set that cannot hold so many as it is becomes a table.
    pub fn expect_more(&mut self, count: usize, limits: &Limits) {
        let grows_out = match &self.members {
            Encoded::Ints(_) => wide(count) > limits.set_intset_entries_max,
            Encoded::Packed(_) => wide(count) > limits.set_entries_max,
            Encoded::Table(_) => false,
        };
        if grows_out {
            self.make_table();
        }
    }

    /// Adds a member. False: it was there.
    pub fn insert(&mut self, member: &[u8], limits: &Limits) -> bool {
        match &mut self.members {
            Encoded::Table(table) => Arc::make_mut(table).insert(member),
            Encoded::Packed(pack) => {
                if pack.find(&Needle::new(member), pack.first(), 0).is_some() {
                    return false;
                }
                self.append(member, limits);
                true
            }
            Encoded::Ints(ints) => match parse_i64(member) {
                Some(number) => {
                    let new = ints.insert(number);
                    self.leave_a_large_intset(limits);
                    new
                }
                None => {
                    self.insert_first_word(member, limits);
                    true
                }
            },
        }
    }

    /// As [`Set::insert`], for a member of another set.
    pub fn insert_member(&mut self, member: Member<'_>, limits: &Limits) -> bool {
        if let (Encoded::Ints(ints), Member::Int(number)) = (&mut self.members, member) {
            let new = ints.insert(number);
            self.leave_a_large_intset(limits);
            return new;
        }
        self.insert(member_bytes(member, &mut itoa::Buffer::new()), limits)
    }

    /// As [`Set::insert_member`], for one that is known not to be there: listpacks need not be searched.
    pub(super) fn add_new(&mut self, member: Member<'_>, limits: &Limits) {
        if matches!(self.members, Encoded::Packed(_)) {
            self.append(member_bytes(member, &mut itoa::Buffer::new()), limits);
        } else {
            self.insert_member(member, limits);
        }
    }

    /// Keeps those of `members`, which are of other sets, that are here, or those that are not. A listpack that would be
    /// searched from end to end again and again is read into a table first.
    pub(super) fn sift(&self, members: &mut Vec<Member<'_>>, keeps_known: bool) {
        match &self.members {
            Encoded::Packed(pack) if self.takes_long_to_search(members.len()) => {
                let mut seen = Seen::with_capacity(pack.len());
                pack.iter().for_each(|member| {
                    seen.insert(member);
                });
                members.retain(|member| seen.contains(canonical(*member)) == keeps_known);
            }
            _ => members.retain(|member| self.contains_member(*member) == keeps_known),
        }
    }

    /// Removes a member. False: it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.members {
            Encoded::Ints(ints) => parse_i64(member).is_some_and(|number| ints.remove(number)),
            Encoded::Packed(pack) => match pack.find(&Needle::new(member), pack.first(), 0) {
                Some(place) => {
                    pack.remove(place, 1);
                    true
                }
                None => false,
            },
            Encoded::Table(table) => Arc::make_mut(table).remove(member),
        }
    }

    /// As [`Set::remove`], for a member of another set.
    pub(super) fn remove_member(&mut self, member: Member<'_>) -> bool {
        if let (Encoded::Ints(ints), Member::Int(number)) = (&mut self.members, member) {
            return ints.remove(number);
        }
        self.remove(member_bytes(member, &mut itoa::Buffer::new()))
    }

    /// Makes an intset of integers that are not in one, if there are not too many: done where a result was collected.
    ///
    /// # Panics
    /// If not all members are integers.
    pub(super) fn make_intset(&mut self, limits: &Limits) {
        if wide(self.len()) > intset_entries_max(limits) || self.as_ints().is_some() {
            return;
        }
        let number = |member| match canonical(member) {
            Member::Int(number) => number,
            Member::Bytes(_) => panic!("a word among integers"),
        };
        let mut numbers: Vec<i64> = self.iter().map(number).collect();
        numbers.sort_unstable();
        self.members = Encoded::Ints(Intset::from_sorted(&numbers));
    }

    fn leave_a_large_intset(&mut self, limits: &Limits) {
        if wide(self.len()) > intset_entries_max(limits) {
            self.make_table();
        }
    }

    /// Adds a word to an intset.
    fn insert_first_word(&mut self, member: &[u8], limits: &Limits) {
        let Encoded::Ints(ints) = &self.members else { unreachable!("the caller looked") };
        let mut buffer = itoa::Buffer::new();
        let mut digits = |number| buffer.format(number).len();
        let longest = ints.ends().map_or(0, |(low, high)| digits(low).max(digits(high)));
        let fits = wide(ints.len()) < limits.set_entries_max
            && member.len().max(longest) <= limits.set_value_bytes_max
            && ints.bytes().len() * 2 + member.len() <= LISTPACK_BYTES_MAX;
        if fits {
            let mut pack = Listpack::new();
            ints.iter().for_each(|number| pack.push(buffer.format(number).as_bytes()));
            pack.push(member);
            self.members = Encoded::Packed(pack);
        } else {
            self.make_table();
            self.insert(member, limits);
        }
    }

    /// Adds a member that is not there to a listpack, or goes over to a table.
    fn append(&mut self, member: &[u8], limits: &Limits) {
        let Encoded::Packed(pack) = &mut self.members else { unreachable!("the caller looked") };
        let fits = wide(pack.len()) < limits.set_entries_max
            && member.len() <= limits.set_value_bytes_max
            && pack.bytes().len() + member.len() <= LISTPACK_BYTES_MAX;
        if fits {
            pack.push(member);
        } else {
            self.make_table();
            self.insert(member, limits);
        }
    }

    fn make_table(&mut self) {
        let mut table = SetTable::default();
        let mut buffer = itoa::Buffer::new();
        for member in self.iter() {
            table.insert(member_bytes(member, &mut buffer));
        }
        self.members = Encoded::Table(Arc::new(table));
    }

    /// Asserts what always holds.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self, limits: &Limits) {
        match &self.members {
            Encoded::Ints(ints) => {
                ints.check_invariants();
                assert!(wide(ints.len()) <= limits.set_intset_entries_max);
            }
            Encoded::Packed(pack) => {
                assert!(wide(pack.len()) <= limits.set_entries_max);
                assert!(pack.iter().all(|item| item.bytes_len() <= limits.set_value_bytes_max));
                assert!(are_different(pack.iter()), "each member once");
                let numbers = pack.iter().all(|item| canonical(item) == item);
                assert!(numbers, "integers are packed as such");
            }
            Encoded::Table(table) => table.check_invariants(),
        }
    }
}

/// Members of a set.
pub struct Members<'a>(Inner<'a>);

enum Inner<'a> {
    Ints(Ints<'a>),
    Packed(Items<'a>),
    Table(TableIter<'a>),
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        match &mut self.0 {
            Inner::Ints(ints) => ints.next().map(Member::Int),
            Inner::Packed(items) => items.next(),
            Inner::Table(members) => members.next().map(Member::Bytes),
        }
    }
}

#[cfg(test)]
mod tests;
