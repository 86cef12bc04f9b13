//! Collections at keys: typed lookups for the commands of their families.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::keyspace::{Access, Entry, EntryMut, KeyRef, Keyspace, Value, ValueRef};
use crate::resp::{CommandError, errors};
use crate::types::{Hash, List, Object, Set, Stream, Zset};

/// A type of collection.
pub(super) trait Collection: Default + Sized {
    /// The collection in `object`, if that is of this type.
    fn of(object: &Object) -> Option<&Self>;
    /// As [`Collection::of`], to be changed.
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
    /// Back to what keys hold.
    fn into_object(self) -> Object;
}

macro_rules! collections {
    ($($type:ident),*) => {$(
        impl Collection for $type {
            #[inline]
            fn of(object: &Object) -> Option<&Self> {
                if let Object::$type(collection) = object { Some(collection) } else { None }
            }

            #[inline]
            fn of_mut(object: &mut Object) -> Option<&mut Self> {
                if let Object::$type(collection) = object { Some(collection) } else { None }
            }

            fn into_object(self) -> Object {
                Object::$type(self)
            }
        }
    )*};
}

collections!(List, Set, Hash, Zset);

impl Collection for Stream {
    #[inline]
    fn of(object: &Object) -> Option<&Self> {
        if let Object::Stream(stream) = object { Some(stream) } else { None }
    }

    #[inline]
    fn of_mut(object: &mut Object) -> Option<&mut Self> {
        if let Object::Stream(stream) = object { Some(Arc::make_mut(stream)) } else { None }
    }

    fn into_object(self) -> Object {
        Object::Stream(self.into())
    }
}

/// The collection of an entry.
///
/// # Errors
/// `WRONGTYPE` for a value of another type.
#[inline]
pub(super) fn of_entry<T: Collection>(entry: &Entry) -> Result<&T, CommandError> {
    match entry.value() {
        ValueRef::Object(object) => T::of(object).ok_or(errors::WRONGTYPE),
        _ => Err(errors::WRONGTYPE),
    }
}

/// The collection at `key`, for reading.
///
/// # Errors
/// `WRONGTYPE` for a value of another type.
#[inline]
pub(super) fn read<'k, T: Collection>(
    keyspace: &'k mut Keyspace,
    db: u32,
    key: &KeyRef<'_>,
) -> Result<Option<&'k T>, CommandError> {
    keyspace.lookup(db, key, Access::READ).map(of_entry).transpose()
}

/// The collection at `key`, to be changed.
///
/// # Errors
/// `WRONGTYPE` for a value of another type.
pub(super) fn write<'k, T: Collection>(
    keyspace: &'k mut Keyspace,
    db: u32,
    key: &KeyRef<'_>,
) -> Result<Option<Opened<'k, T>>, CommandError> {
    write_as(keyspace, db, key, Access::WRITE)
}

/// As [`write`], where the look counts as a read, and that there is nothing as a miss.
///
/// # Errors
/// `WRONGTYPE` for a value of another type.
pub(super) fn read_and_write<'k, T: Collection>(
    keyspace: &'k mut Keyspace,
    db: u32,
    key: &KeyRef<'_>,
) -> Result<Option<Opened<'k, T>>, CommandError> {
    write_as(keyspace, db, key, Access::READ)
}

fn write_as<'k, T: Collection>(
    keyspace: &'k mut Keyspace,
    db: u32,
    key: &KeyRef<'_>,
    access: Access,
) -> Result<Option<Opened<'k, T>>, CommandError> {
    let Some(entry) = keyspace.lookup_mut(db, key, access) else { return Ok(None) };
    of_entry::<T>(entry.entry())?;
    Ok(Some(Opened { entry, collection: PhantomData }))
}

/// The collection at `key`, to be added to; a new one where there is none.
///
/// # Errors
/// `WRONGTYPE` for a value of another type.
pub(super) fn write_or_new<'k, T: Collection>(
    keyspace: &'k mut Keyspace,
    db: u32,
    key: &KeyRef<'_>,
) -> Result<Opened<'k, T>, CommandError> {
    write_or_begin(keyspace, db, key, || Ok(()))
}

/// As [`write_or_new`], where nothing is made unless `may_begin` allows it.
///
/// # Errors
/// `WRONGTYPE` for a value of another type; those of `may_begin`. Nothing has changed then.
pub(super) fn write_or_begin<'k, T: Collection>(
    keyspace: &'k mut Keyspace,
    db: u32,
    key: &KeyRef<'_>,
    may_begin: impl FnOnce() -> Result<(), CommandError>,
) -> Result<Opened<'k, T>, CommandError> {
    let entry = keyspace.lookup_or_insert(db, key, || {
        may_begin().map(|()| Value::Object(T::default().into_object()))
    })?;
    of_entry::<T>(entry.entry())?;
    Ok(Opened { entry, collection: PhantomData })
}

/// A collection at its key that may be changed.
#[derive(Debug)]
pub(super) struct Opened<'k, T> {
    entry: EntryMut<'k>,
    collection: PhantomData<T>,
}

impl<T: Collection> Opened<'_, T> {
    /// The collection. Nothing counts as changed.
    #[inline]
    pub(super) fn get(&self) -> &T {
        of_entry(self.entry.entry()).expect("its type was looked at")
    }

    /// The collection, which counts as changed from now on.
    #[inline]
    pub(super) fn get_mut(&mut self) -> &mut T {
        let object = self.entry.object_mut().expect("its type was looked at");
        T::of_mut(object).expect("its type was looked at")
    }

    /// The same, for changes of which neither WATCH nor those who wait for the key hear.
    pub(super) fn unnoticed(self) -> Self {
        Opened { entry: self.entry.unnoticed(), collection: PhantomData }
    }

    /// Ends the change. Where `is_empty` says that nothing is left the key goes; says whether it went.
    pub(super) fn close(self, is_empty: impl FnOnce(&T) -> bool) -> bool {
        let goes = is_empty(self.get());
        if goes {
            self.entry.remove();
        }
        goes
    }
}
