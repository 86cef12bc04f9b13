//! Keys of a snapshot that have been found and not stored, and how they are stored.

use highwater_persistence::snapshot::{
    Event, RawValue, RawValueReader, ReaderOptions, SnapshotError,
};
use smallvec::SmallVec;

use super::batch::AHEAD;
use super::crew::Deal;
use crate::keyspace::{Entry, HashKey, KeyRef, Keyspace, Slot, Value};
use crate::types::Limits;
use crate::types::convert::{Built, ValueBuilder};

/// Keys handed to a worker at a time.
const BATCH: usize = 256;

/// Bytes of keys that a batch holds, more or less: most keys lie in the file, the others do not gather.
const OWN_BYTES: usize = 64 * 1024;

/// What stands in front of a value, the key aside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) db: u32,
    pub(super) slot: Slot,
    pub(super) expires_ms: Option<u64>,
    pub(super) access: u32,
    /// How many keys its slot is likely to hold; 0 where nobody knows.
    pub(super) room: u16,
}

/// Where a key lies.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the file, as it is.
    File { start: usize, len: usize },
    /// In the batch: the file has it as a number or compressed.
    Batch { start: usize, len: usize },
}

/// A key with its value, as places in the file.
#[derive(Debug, Clone, Copy)]
struct Record {
    head: Head,
    key: Place,
    value: RawValue,
}

/// Records in the order of the file.
#[derive(Debug)]
pub(super) struct Records {
    records: Vec<Record>,
    keys: Vec<u8>,
}

impl Deal for Records {
    fn new() -> Self {
        Self { records: Vec::with_capacity(BATCH), keys: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.records.len() == BATCH || self.keys.len() >= OWN_BYTES
    }
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.keys.clear();
    }

    /// Adds a record.
    pub(super) fn push(&mut self, head: Head, key: Key<'_>, value: RawValue) {
        let key = match key {
            Key::InFile { start, len } => Place::File { start, len },
            Key::Elsewhere(bytes) => {
                let start = self.keys.len();
                self.keys.extend_from_slice(bytes);
                Place::Batch { start, len: bytes.len() }
            }
        };
        self.records.push(Record { head, key, value });
    }
}

/// A key just read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key<'k> {
    /// At this place of the file.
    InFile { start: usize, len: usize },
    /// Its bytes do not stand in the file.
    Elsewhere(&'k [u8]),
}

impl<'k> Key<'k> {
    /// The place in `file` of the key that stands in front of `value`.
    pub(super) fn find(file: &[u8], key: &'k [u8], value: &RawValue) -> Self {
        // A string that the file has as it is ends where the value begins. It does not matter which bytes these are
        // by the format, as long as they are the same.
        let end = usize::try_from(value.start()).unwrap_or(usize::MAX);
        let start = end.saturating_sub(key.len());
        if file.get(start..end) == Some(key) {
            Self::InFile { start, len: key.len() }
        } else {
            Self::Elsewhere(key)
        }
    }
}

/// What has become of keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) stored: u64,
    /// Dropped, because they had expired.
    pub(super) expired: u64,
}

/// Why a record could not be stored.
#[derive(Debug)]
pub(super) struct Failure {
    /// Where its value begins.
    pub(super) position: u64,
    pub(super) error: String,
}

/// Stores records in a keyspace, or in a part of one.
pub(super) struct Storer<'f> {
    keyspace: &'f mut Keyspace,
    file: &'f [u8],
    values: RawValueReader<'f>,
    hash_key: HashKey,
    /// Keys that expired before this are dropped.
    expired_before_ms: u64,
    pub(super) counts: Counts,
}

impl<'f> Storer<'f> {
    /// Stores records of `file` in `keyspace`.
    pub(super) fn new(
        keyspace: &'f mut Keyspace,
        file: &'f [u8],
        options: &ReaderOptions,
        expired_before_ms: u64,
    ) -> Self {
        let hash_key = keyspace.hash_key();
        let values = RawValueReader::new(file, options);
        Self { keyspace, file, values, hash_key, expired_before_ms, counts: Counts::default() }
    }

    /// Stores records, up to the first that cannot be.
    pub(super) fn store(&mut self, batch: &Records) -> Result<(), Failure> {
        for some in batch.records.chunks(AHEAD) {
            let keys: SmallVec<[KeyRef<'_>; AHEAD]> =
                some.iter().map(|record| self.key(record, &batch.keys)).collect();
            // The records behind a change of the database are few.
            self.keyspace.prefetch_new(some[0].head.db, &keys);
            for (record, key) in some.iter().zip(&keys) {
                let failure = |error| Failure { position: record.value.start(), error };
                self.one(record, key).map_err(failure)?;
            }
        }
        Ok(())
    }

    fn key<'k>(&self, record: &Record, own: &'k [u8]) -> KeyRef<'k>
    where
        'f: 'k,
    {
        let bytes = match record.key {
            Place::File { start, len } => &self.file[start..start + len],
            Place::Batch { start, len } => &own[start..start + len],
        };
        KeyRef { bytes, slot: record.head.slot, hash: self.hash_key.hash(bytes) }
    }

    fn one(&mut self, record: &Record, key: &KeyRef<'_>) -> Result<(), String> {
        let Head { db, expires_ms, access, room, .. } = record.head;
        self.values.begin(&record.value);
        let limits = self.keyspace.settings.limits;
        let value = (&mut self.values, record.value.start());
        let read = entry(value, key.bytes, expires_ms, limits);
        let Some(mut entry) = read.map_err(|error| error.to_string())? else { return Ok(()) };
        if expires_ms.is_some_and(|when| when < self.expired_before_ms) {
            self.counts.expired += 1;
            return Ok(());
        }
        entry.set_access(access);
        if !self.keyspace.load(db, key, entry, room) {
            return Err(format!("Duplicated key found in RDB file: {}", key.bytes.escape_ascii()));
        }
        self.counts.stored += 1;
        Ok(())
    }
}

/// The entry of `key` and the value that `values` has begun; `None` for collections without elements, which stock
/// servers pass over, too.
fn entry(
    (values, at): (&mut RawValueReader<'_>, u64),
    key: &[u8],
    expires_ms: Option<u64>,
    limits: Limits,
) -> Result<Option<Entry>, SnapshotError> {
    let first = values.next()?;
    if let Event::String(bytes) = first {
        return Ok(Some(Entry::new(key, Value::string(bytes), expires_ms)));
    }
    let mut builder = ValueBuilder::new(at, limits);
    let mut built = builder.put(first)?;
    while built.is_none() {
        built = builder.put(values.next()?)?;
    }
    Ok(match built {
        Some(Built::Object(object)) => Some(Entry::new(key, Value::Object(object), expires_ms)),
        _ => None,
    })
}
