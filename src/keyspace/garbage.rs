//! Memory that takes long to free, collected so that a thread of the driver's drops it instead of the node.

use std::sync::Arc;

use super::Keyspace;
use super::db::Db;
use super::entry::{Entry, SharedValue};
use super::value::ValueRef;
use crate::types::Object;

/// Strings shorter than this are freed at once: it costs less than handing them on.
const STRING_BYTES_MIN: usize = 128 * 1024;

/// Something to be dropped elsewhere.
#[derive(Debug)]
pub enum Garbage {
    /// A long string.
    String(Arc<Vec<u8>>),
    /// A collection.
    Object(Object),
    /// A database that has been flushed.
    Db(Box<Db>),
}

impl Keyspace {
    /// What has been removed and not freed yet. Drop it outside of the node's lock.
    pub fn take_garbage(&mut self) -> Vec<Garbage> {
        while let Some(db) = self.walks.take_finished() {
            self.garbage.push(Garbage::Db(db));
        }
        std::mem::take(&mut self.garbage)
    }

    /// Takes the databases out of the garbage and leaves the rest.
    pub fn take_garbage_databases(&mut self) -> Vec<Box<Db>> {
        while let Some(db) = self.walks.take_finished() {
            self.garbage.push(Garbage::Db(db));
        }
        let mut databases = Vec::new();
        for garbage in std::mem::take(&mut self.garbage) {
            match garbage {
                Garbage::Db(db) => databases.push(db),
                other => self.garbage.push(other),
            }
        }
        databases
    }

    /// Whether there is garbage to take.
    #[inline]
    pub fn has_garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// Whether freeing the value of `entry` takes long.
    #[inline]
    pub(super) fn is_bulky(entry: &Entry) -> bool {
        match entry.value() {
            ValueRef::Object(object) => object.is_bulky(),
            _ => entry.own_bytes() >= STRING_BYTES_MIN,
        }
    }

    /// Frees an entry that has been removed, its value later if that takes long.
    pub(super) fn discard(&mut self, entry: Entry) {
        if Keyspace::is_bulky(&entry) {
            match entry.into_shared() {
                Some(SharedValue::String(bytes)) => self.garbage.push(Garbage::String(bytes)),
                Some(SharedValue::Object(object)) => self.garbage.push(Garbage::Object(object)),
                None => {}
            }
        }
    }
}
