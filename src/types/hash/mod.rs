//! Hashes: fields with values.
//!
//! A small hash is one listpack, field and value in turn. A hash with many fields or a long one, and every hash of which
//! a field expires by itself, is a table of packed pages ([`super::pages`]), and stays one.

use std::borrow::Cow;
use std::sync::Arc;

use super::listpack::{Listpack, Needle, PackedItem, Place, are_different, listpack_item_bytes};
use super::pages::Pages;
use super::{Limits, Record};
use crate::alloc::{arc_bytes, size_class};

/// A listpack is not made longer than this, whatever the settings allow.
const PACK_BYTES_MAX: usize = 1 << 30;

/// A hash.
#[derive(Clone, Debug)]
pub struct Hash(Form);

#[derive(Clone, Debug)]
enum Form {
    Packed(Listpack),
    Table(Arc<Pages<true>>),
}

impl Default for Hash {
    fn default() -> Self {
        Self(Form::Packed(Listpack::new()))
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue<'a> {
    /// The value.
    pub bytes: Cow<'a, [u8]>,
    /// Unix time in milliseconds at which the field alone expires.
    pub expires_ms: Option<u64>,
}

/// A field as it lies in its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: PackedItem<'a>,
    /// Its value.
    pub value: PackedItem<'a>,
    /// Unix time in milliseconds at which it expires by itself.
    pub expires_ms: Option<u64>,
}

impl Field<'_> {
    /// Whether it counts as there at `now_ms`: its time may have passed although it has not been removed yet.
    #[inline]
    pub fn is_live(&self, now_ms: u64) -> bool {
        self.expires_ms.is_none_or(|when| when >= now_ms)
    }
}

impl<'a> From<Record<'a>> for Field<'a> {
    fn from(record: Record<'a>) -> Self {
        let [name, value] = [record.key, record.value].map(PackedItem::Bytes);
        Self { name, value, expires_ms: record.expires_ms }
    }
}

/// Reading.
impl Hash {
    /// A hash without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The hash whose fields and values are the items of a listpack in turn; nothing if a field is there twice.
    pub fn of_listpack(pack: Listpack, limits: &Limits) -> Option<Self> {
        let is_kept = (pack.len() / 2) as u64 <= limits.hash_entries_max
            && pack.iter().all(|item| item.bytes_len() <= limits.hash_value_bytes_max)
            && pack.bytes().len() <= PACK_BYTES_MAX
            && pack.is_canonical();
        if is_kept {
            return are_different(pack.iter().step_by(2)).then_some(Self(Form::Packed(pack)));
        }
        let packed = Self(Form::Packed(pack));
        let mut hash = Self::new();
        let mut fields = packed.iter();
        fields.all(|(name, value)| hash.set(&name, &value.bytes, limits)).then_some(hash)
    }

    /// How many fields there are, those included whose time has passed and that have not been removed yet.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Packed(pack) => pack.len() / 2,
            Form::Table(table) => table.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Form::Packed(pack) => pack.is_empty(),
            Form::Table(table) => table.is_empty(),
        }
    }

    /// How many fields there are at `now_ms`.
    pub fn live_len(&self, now_ms: u64) -> usize {
        if self.due_from().is_none_or(|when| when >= now_ms) {
            return self.len();
        }
        self.fields().filter(|field| field.is_live(now_ms)).count()
    }

    /// The field called `name`.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Field<'_>> {
        match &self.0 {
            Form::Packed(pack) => {
                let place = find(pack, name)?;
                let mut items = pack.iter_from(place);
                let (name, value) = (items.next()?, items.next()?);
                Some(Field { name, value, expires_ms: None })
            }
            Form::Table(table) => table.get(name).map(Field::from),
        }
    }

    /// Fetches what lookups and changes of some fields will need.
    pub(super) fn prefetch<'n>(&self, names: impl Iterator<Item = &'n [u8]>) {
        if let Form::Table(table) = &self.0 {
            table.prefetch(names);
        }
    }

    /// All fields. Those of a small hash come in the order in which they were added.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let (pack, table) = match &self.0 {
            Form::Packed(pack) => (Some(pack), None),
            Form::Table(table) => (None, Some(table)),
        };
        let packed = pack.into_iter().flat_map(|pack| {
            let mut items = pack.iter();
            std::iter::from_fn(move || {
                let (name, value) = (items.next()?, items.next()?);
                Some(Field { name, value, expires_ms: None })
            })
        });
        packed.chain(table.into_iter().flat_map(|table| table.iter().map(Field::from)))
    }

    /// All fields with their values, as strings.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, [u8]>, FieldValue<'_>)> {
        self.fields().map(|Field { name, value, expires_ms }| {
            (name.to_bytes(), FieldValue { bytes: value.to_bytes(), expires_ms })
        })
    }

    /// Visits fields from a cursor on, about `count` of them, and answers the next cursor, 0 at the end. A small hash is
    /// visited at once. What is there all the time is visited at least once, whatever comes and goes meanwhile.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Field<'_>)) -> u64 {
        match &self.0 {
            Form::Packed(_) => {
                self.fields().for_each(visit);
                0
            }
            Form::Table(table) => table.scan(cursor, count, |record| visit(record.into())),
        }
    }

    /// A field picked at random, each with the same chance.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<Field<'_>> {
        match &self.0 {
            Form::Packed(pack) if pack.is_empty() => None,
            Form::Packed(pack) => {
                let mut items = pack.iter_from(pack.at(2 * rng.usize(..pack.len() / 2))?);
                let (name, value) = (items.next()?, items.next()?);
                Some(Field { name, value, expires_ms: None })
            }
            Form::Table(table) => table.random(rng).map(Field::from),
        }
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self, _: &Limits) -> &'static str {
        match &self.0 {
            Form::Packed(_) => "listpack",
            Form::Table(_) => "hashtable",
        }
    }

    /// The listpack of a small hash.
    pub fn packed(&self) -> Option<&Listpack> {
        match &self.0 {
            Form::Packed(pack) => Some(pack),
            Form::Table(_) => None,
        }
    }

    /// Bytes of memory held, as the allocator rounds them.
    pub fn memory_usage(&self) -> usize {
        match &self.0 {
            Form::Packed(pack) => size_class(pack.capacity()),
            Form::Table(table) => arc_bytes::<Pages<true>>() + table.memory_usage(),
        }
    }
}

/// Changing.
impl Hash {
    /// Sets the value of a field, which then does not expire by itself. True: the field is new.
    pub fn set(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> bool {
        let new = self.set_value(name, value, limits);
        if let Form::Table(table) = &mut self.0
            && !new
            && table.expiring() > 0
        {
            Arc::make_mut(table).set_expiry(name, None);
        }
        new
    }

    /// Sets the value of a field; when it expires stays. True: the field is new.
    pub fn set_value(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> bool {
        if let Form::Packed(pack) = &self.0 {
            let fits = name.len().max(value.len()) <= limits.hash_value_bytes_max;
            let more = listpack_item_bytes(name) + listpack_item_bytes(value);
            if !fits || pack.bytes().len() + more > PACK_BYTES_MAX {
                self.unpack();
            }
        }
        let pack = match &mut self.0 {
            Form::Packed(pack) => pack,
            Form::Table(table) => return Arc::make_mut(table).set(name, value),
        };
        if let Some(place) = find(pack, name) {
            let place = pack.after(place).expect("each field has a value");
            pack.replace(place, value);
            return false;
        }
        pack.push(name);
        pack.push(value);
        if (pack.len() / 2) as u64 > limits.hash_entries_max {
            self.unpack();
        }
        true
    }

    /// To be called before many fields are set: where there will be too many for a small hash, it is none from the start.
    pub fn expect(&mut self, fields: usize, limits: &Limits) {
        if fields as u64 > limits.hash_entries_max {
            self.unpack();
        }
    }

    /// Removes a field. False: there is no such field.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        match &mut self.0 {
            Form::Packed(pack) => {
                let Some(place) = find(pack, name) else { return false };
                pack.remove(place, 2);
                true
            }
            Form::Table(table) => Arc::make_mut(table).remove(name),
        }
    }

    fn unpack(&mut self) {
        let Form::Packed(pack) = &self.0 else { return };
        let mut table = Pages::new();
        let mut items = pack.iter();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            table.set(&name.to_bytes(), &value.to_bytes());
        }
        self.0 = Form::Table(Arc::new(table));
    }
}

/// Fields that expire by themselves.
impl Hash {
    /// Whether any does.
    pub fn expires(&self) -> bool {
        matches!(&self.0, Form::Table(table) if table.expiring() > 0)
    }

    /// Sets or takes away when a field expires. False: there is no such field.
    pub fn set_expiry(&mut self, name: &[u8], expires_ms: Option<u64>, _: &Limits) -> bool {
        if let Form::Packed(pack) = &self.0 {
            let found = find(pack, name).is_some();
            if !found || expires_ms.is_none() {
                return found;
            }
            self.unpack();
        }
        let Form::Table(table) = &mut self.0 else { return false };
        Arc::make_mut(table).set_expiry(name, expires_ms)
    }

    /// A time before which no field expires; `None` where none does.
    #[inline]
    pub fn due_from(&self) -> Option<u64> {
        match &self.0 {
            Form::Packed(_) => None,
            Form::Table(table) => table.due_from(),
        }
    }

    /// Whether the time of a field is before `now_ms`. [`Hash::due_from`] is exact afterwards, or before that moment.
    pub fn is_due(&mut self, now_ms: u64) -> bool {
        match &mut self.0 {
            Form::Packed(_) => false,
            Form::Table(table) => Arc::make_mut(table).is_due(now_ms),
        }
    }

    /// Removes fields whose time is before `now_ms`, up to `max` of them, and shows their names. How many there were.
    pub fn remove_due(&mut self, now_ms: u64, max: usize, visit: impl FnMut(&[u8])) -> usize {
        match &mut self.0 {
            Form::Packed(_) => 0,
            Form::Table(table) => Arc::make_mut(table).remove_due(now_ms, max, visit),
        }
    }
}

#[inline]
fn find(pack: &Listpack, name: &[u8]) -> Option<Place> {
    pack.find(&Needle::new(name), pack.first(), 1)
}

#[cfg(test)]
impl Hash {
    /// Asserts what always holds.
    pub(crate) fn check_invariants(&self, limits: &Limits) {
        match &self.0 {
            Form::Packed(pack) => {
                assert!(pack.len().is_multiple_of(2));
                assert!((pack.len() / 2) as u64 <= limits.hash_entries_max);
                let fits = |item: PackedItem<'_>| item.bytes_len() <= limits.hash_value_bytes_max;
                assert!(pack.iter().all(fits));
            }
            Form::Table(table) => table.check_invariants(),
        }
    }
}

#[cfg(test)]
mod tests;
