//! What one client asked for and what was acknowledged: the promise that a restart is measured by.

use std::collections::BTreeMap;

use crate::peer::{Request, encode, shown_bytes};

/// Keys and values of one database.
pub(crate) type Data = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keys of a client: few, so that they are overwritten often.
const KEYS: u32 = 40;

/// A change to one database. A unit is all or nothing.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Set(Vec<u8>, Vec<u8>),
    Append(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Clear,
    Unit(Vec<Change>),
}

impl Change {
    /// A random one. Its value starts with a number that hardly comes twice, so that it tells where it comes from.
    pub(crate) fn random(random: &mut fastrand::Rng) -> Change {
        let key = |random: &mut fastrand::Rng| format!("key:{}", random.u32(..KEYS)).into_bytes();
        match random.u32(..100) {
            0..10 => Change::Delete(key(random)),
            10..15 => Change::Rename(key(random), key(random)),
            15 => Change::Clear,
            16..30 => Change::Unit((0..3).map(|_| Change::random_simple(random)).collect()),
            _ => Change::random_simple(random),
        }
    }

    fn random_simple(random: &mut fastrand::Rng) -> Change {
        let key = format!("key:{}", random.u32(..KEYS)).into_bytes();
        let mut value = format!("{};", random.u64(..)).into_bytes();
        let length = match random.u32(..200) {
            0 => random.usize(..100_000),
            1..20 => random.usize(..2_000),
            _ => random.usize(..40),
        };
        value.resize(value.len() + length, random.u8(b'a'..=b'z'));
        if random.u32(..10) == 0 { Change::Append(key, value) } else { Change::Set(key, value) }
    }

    /// What a server does when it is asked for this.
    pub(crate) fn apply(&self, data: &mut Data) {
        match self {
            Change::Set(key, value) => drop(data.insert(key.clone(), value.clone())),
            Change::Append(key, value) => {
                data.entry(key.clone()).or_default().extend_from_slice(value);
            }
            Change::Delete(key) => drop(data.remove(key)),
            Change::Rename(from, to) => {
                if let Some(value) = data.remove(from) {
                    data.insert(to.clone(), value);
                }
            }
            Change::Clear => data.clear(),
            Change::Unit(parts) => parts.iter().for_each(|part| part.apply(data)),
        }
    }

    /// Requests to send, and thus replies to wait for.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let one = |words: &[&[u8]]| vec![words.iter().map(|word| word.to_vec()).collect()];
        match self {
            Change::Set(key, value) => one(&[b"SET", key, value]),
            Change::Append(key, value) => one(&[b"APPEND", key, value]),
            Change::Delete(key) => one(&[b"DEL", key]),
            Change::Rename(from, to) => one(&[b"RENAME", from, to]),
            Change::Clear => one(&[b"FLUSHDB"]),
            Change::Unit(parts) => {
                let mut requests = one(&[b"MULTI"]);
                requests.extend(parts.iter().flat_map(Change::requests));
                requests.extend(one(&[b"EXEC"]));
                requests
            }
        }
    }

    /// Bytes that this adds to the log at the very least.
    fn log_bytes(&self) -> u64 {
        match self {
            Change::Set(..) | Change::Append(..) => encode(&self.requests()[0]).len() as u64,
            Change::Unit(parts) => parts.iter().map(Change::log_bytes).sum(),
            _ => 0,
        }
    }
}

/// A client's books.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// The data as of the last acknowledged change.
    pub(crate) sure: Data,
    /// Changes asked for and not acknowledged, in their order.
    pub(crate) open: Vec<Change>,
    /// Bytes that acknowledged changes have added to the log, at the least.
    pub(crate) log_bytes: u64,
    pub(crate) acknowledged: u64,
}

impl Journal {
    /// The oldest open change has been acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        let change = self.open.remove(0);
        change.apply(&mut self.sure);
        self.log_bytes += change.log_bytes();
        self.acknowledged += 1;
    }

    /// Takes what a restarted server has as the new truth: all that was acknowledged, and open changes only in their
    /// order, each whole.
    ///
    /// # Errors
    /// What is lost, or was never there.
    pub(crate) fn settle(&mut self, found: Data) -> Result<(), String> {
        let mut expected = self.sure.clone();
        let mut nearest = difference(&expected, &found);
        for change in std::mem::take(&mut self.open) {
            if nearest.is_none() {
                break;
            }
            change.apply(&mut expected);
            if difference(&expected, &found).is_none() {
                nearest = None;
            }
        }
        self.sure = found;
        self.log_bytes = 0;
        nearest.map_or(Ok(()), Err)
    }
}

/// The first difference between two databases.
pub(crate) fn difference(expected: &Data, found: &Data) -> Option<String> {
    for (key, value) in expected {
        let key_shown = shown_bytes(key);
        match found.get(key) {
            None => return Some(format!("{key_shown} is lost; it was {}", shown_bytes(value))),
            Some(other) if other != value => {
                let (other, value) = (shown_bytes(other), shown_bytes(value));
                return Some(format!("{key_shown} is {other} instead of {value}"));
            }
            Some(_) => {}
        }
    }
    let extra = found.keys().find(|key| !expected.contains_key(*key));
    extra.map(|key| format!("{} was never acknowledged or asked for last", shown_bytes(key)))
}
