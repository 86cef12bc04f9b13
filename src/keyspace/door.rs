//! The door: lookups and changes of single keys.

use super::db::Db;
use super::entry::Entry;
use super::key::KeyRef;
use super::table::Place;
use super::value::Value;
use super::{EntryMut, ExpireMode, KeyEventKind, Keyspace};

/// What a lookup leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The access clock moves.
    touches: bool,
    /// It counts as a hit or a miss.
    counts: bool,
    /// Where there is no key, those who listen are told.
    tells: bool,
}

impl Access {
    /// A command that reads the value.
    pub const READ: Access = Access { touches: true, counts: true, tells: true };
    /// A command that asks about a key without using its value: TYPE, TTL, EXISTS.
    pub const NOTOUCH: Access = Access { touches: false, counts: true, tells: true };
    /// A command that asks how a key is kept: OBJECT.
    pub const ABOUT: Access = Access { touches: false, counts: true, tells: false };
    /// A command that is about to write.
    pub const WRITE: Access = Access { touches: true, counts: false, tells: false };
    /// A look that leaves no trace: DEBUG, DUMP for tests.
    pub const PEEK: Access = Access { touches: false, counts: false, tells: false };
}

/// What becomes of the expiry of a key that is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// It stays; a new key has none.
    Keep,
    /// The key does not expire.
    Clear,
    /// It expires at this time in milliseconds since 1970.
    At(u64),
}

/// Reading.
impl Keyspace {
    /// The entry of `key`, unless it is missing or expired. An expired key is deleted with an effect in
    /// [`ExpireMode::Delete`]. What is shown (also that there is nothing) counts as observed.
    #[inline]
    pub fn lookup(&mut self, db: u32, key: &KeyRef<'_>, access: Access) -> Option<&Entry> {
        let place = self.find_live(db, key, access)?;
        Some(self.dbs[db as usize].as_deref()?.slot(key.slot).table.at(place))
    }

    /// Whether `key` is there and not expired.
    pub fn exists(&mut self, db: u32, key: &KeyRef<'_>, access: Access) -> bool {
        self.find_live(db, key, access).is_some()
    }

    /// The entry of `key` as it is: nothing expires, nothing is counted or observed.
    pub fn peek(&self, db: u32, key: &KeyRef<'_>) -> Option<&Entry> {
        let database = self.db(db)?;
        Some(database.slot(key.slot).table.at(database.find(key)?))
    }

    /// The entry of `key` to be changed. Nothing happens before a method of it that changes is called.
    pub fn lookup_mut(
        &mut self,
        db: u32,
        key: &KeyRef<'_>,
        access: Access,
    ) -> Option<EntryMut<'_>> {
        let place = self.find_live(db, key, access)?;
        Some(EntryMut::new(self, db, key.slot, key.hash, place))
    }

    /// The entry of `key` to be changed, with the value that `make` gives if it is missing: for commands that add to
    /// a collection.
    ///
    /// # Errors
    /// That of `make`; nothing is added then.
    pub fn lookup_or_insert<E>(
        &mut self,
        db: u32,
        key: &KeyRef<'_>,
        make: impl FnOnce() -> Result<Value<'static>, E>,
    ) -> Result<EntryMut<'_>, E> {
        if let Some(place) = self.find_live(db, key, Access::WRITE) {
            return Ok(EntryMut::new(self, db, key.slot, key.hash, place));
        }
        self.insert(db, key, make()?, Ttl::Clear);
        let database = self.db(db).expect("it has just been written to");
        let place = database.find(key).expect("it has just been inserted");
        Ok(EntryMut::new(self, db, key.slot, key.hash, place).new_key())
    }

    /// Whether `entry` counts as missing.
    #[inline]
    pub fn is_expired(&self, entry: &Entry) -> bool {
        self.expire_mode != ExpireMode::Ignore
            && entry.expiry_ms().is_some_and(|when| when < self.now_ms)
    }

    #[inline]
    fn find_live(&mut self, db: u32, key: &KeyRef<'_>, access: Access) -> Option<Place> {
        let found = self.find_and_touch(db, key, access);
        if access.counts {
            match found {
                Some(_) => self.stats.hits += 1,
                None => {
                    self.stats.misses += 1;
                    if access.tells {
                        self.note_event(KeyEventKind::Miss, db, key.bytes);
                    }
                }
            }
        }
        found
    }

    #[inline]
    fn find_and_touch(&mut self, db: u32, key: &KeyRef<'_>, access: Access) -> Option<Place> {
        let Some(database) = self.dbs.get_mut(db as usize).and_then(Option::as_deref_mut) else {
            // It may have been flushed a moment ago.
            self.observe_all();
            return None;
        };
        let store = database.slot_mut(key.slot);
        self.observed = self.observed.max(store.last_write);
        store.reads += u64::from(access.counts);
        let place = store.find(key)?;
        let entry = store.table.at_mut(place);
        if entry.expiry_ms().is_some_and(|when| when < self.now_ms)
            && self.expire_mode != ExpireMode::Ignore
        {
            if self.expire_mode == ExpireMode::Delete && !self.holds.has(db, key.bytes) {
                self.expire(db, key, place);
            }
            return None;
        }
        if access.touches && !self.no_touch {
            self.settings.access.touch(entry, self.now_ms, &mut self.rng);
        }
        Some(place)
    }

    /// Deletes an expired key with its effect.
    #[cold]
    pub(super) fn expire(&mut self, db: u32, key: &KeyRef<'_>, place: Place) {
        let entry = self.unlink_place(db, key, place);
        self.watches.touch_expired(db, key.bytes);
        if !self.waits.is_empty() {
            self.waits.signal(db, key.bytes);
        }
        if self.settings.lazy_expire {
            self.effects.unlink(db, entry.key());
        } else {
            self.effects.del(db, entry.key());
        }
        self.stats.expired += 1;
        self.note_event(KeyEventKind::Expired, db, key.bytes);
        self.discard(entry);
    }

    /// A reply that depends on the whole keyspace waits for every write so far.
    #[inline]
    pub fn observe_all(&mut self) {
        self.observed = self.observed.max(self.latest_stamp);
    }
}

/// Changing.
impl Keyspace {
    /// Gives `key` the value `value`, whatever it had before. Says whether it was there (and not expired).
    pub fn insert(&mut self, db: u32, key: &KeyRef<'_>, value: Value<'_>, ttl: Ttl) -> bool {
        let found = self.find_live(db, key, Access::PEEK);
        if found.is_none() {
            self.note_event(KeyEventKind::New, db, key.bytes);
        }
        let Some(place) = found.or_else(|| self.hidden_place(db, key)) else {
            let clock = self.settings.access.fresh(self.now_ms);
            let expiry = if let Ttl::At(when) = ttl { Some(when) } else { None };
            let mut entry = Entry::new(key.bytes, value, expiry);
            entry.set_access(clock);
            self.add(db, key, entry);
            return false;
        };
        let existed = found.is_some();
        self.overwrite(
            db,
            key,
            place,
            value,
            if existed || ttl != Ttl::Keep { ttl } else { Ttl::Clear },
        );
        existed
    }

    /// Puts an entry made elsewhere (RESTORE, COPY) under `key`, which must be its key. Says whether
    /// there was one before.
    pub fn insert_entry(&mut self, db: u32, key: &KeyRef<'_>, entry: Entry) -> bool {
        assert_eq!(entry.key(), key.bytes, "the entry's own key");
        let existed = self.remove(db, key);
        self.note_event(KeyEventKind::New, db, key.bytes);
        self.add(db, key, entry);
        existed
    }

    /// As [`Keyspace::insert_entry`]; what was there before counts as overwritten, so the key is not new, and as used.
    pub fn overwrite_entry(&mut self, db: u32, key: &KeyRef<'_>, mut entry: Entry) -> bool {
        assert_eq!(entry.key(), key.bytes, "the entry's own key");
        let former = self.take(db, key);
        let existed = former.is_some();
        if let Some(former) = former {
            let access = self.settings.access;
            entry.set_access(access.touched(former.access(), self.now_ms, &mut self.rng));
            self.discard(former);
        } else {
            self.note_event(KeyEventKind::New, db, key.bytes);
        }
        self.add(db, key, entry);
        existed
    }

    /// Removes `key`. Says whether it was there and not expired.
    pub fn remove(&mut self, db: u32, key: &KeyRef<'_>) -> bool {
        let Some(entry) = self.take(db, key) else {
            return false;
        };
        self.discard(entry);
        true
    }

    /// Removes `key` and gives its entry to the caller, who frees it.
    pub fn take(&mut self, db: u32, key: &KeyRef<'_>) -> Option<Entry> {
        let place = self.find_live(db, key, Access::PEEK)?;
        let entry = self.unlink_place(db, key, place);
        self.note_change(db, key.bytes);
        Some(entry)
    }

    /// Sets or takes away the expiry of `key`. Says whether the key is there.
    pub fn set_expiry(&mut self, db: u32, key: &KeyRef<'_>, expiry_ms: Option<u64>) -> bool {
        match self.lookup_mut(db, key, Access::PEEK) {
            Some(mut entry) => {
                entry.set_expiry(expiry_ms);
                true
            }
            None => false,
        }
    }

    /// Moves the value of `from` to `to`, which loses what it had: RENAME, MOVE. The expiry comes along. Says
    /// whether `from` was there. Nothing happens if both are the same key.
    pub fn move_key(&mut self, from: (u32, &KeyRef<'_>), to: (u32, &KeyRef<'_>)) -> bool {
        if from.0 == to.0 && from.1.bytes == to.1.bytes {
            return self.exists(from.0, from.1, Access::PEEK);
        }
        let Some(entry) = self.take(from.0, from.1) else {
            return false;
        };
        self.insert_entry(to.0, to.1, entry.copy_as(to.1.bytes));
        true
    }

    /// Gives `to` the value and expiry of `from`; a long value is shared until either changes. Says
    /// whether `from` was there.
    pub fn copy_key(&mut self, from: (u32, &KeyRef<'_>), to: (u32, &KeyRef<'_>)) -> bool {
        let clock = self.settings.access.fresh(self.now_ms);
        let Some(entry) = self.lookup(from.0, from.1, Access::PEEK) else {
            return false;
        };
        let mut copy = entry.copy_as(to.1.bytes);
        copy.set_access(clock);
        self.insert_entry(to.0, to.1, copy);
        true
    }

    /// Adds a key while loading: no effects, no watchers, nothing counts as dirty. Says whether it was new;
    /// if not, nothing happens. If it is the first of its slot, the table is made for `room` keys.
    pub fn load(&mut self, db: u32, key: &KeyRef<'_>, entry: Entry, room: u16) -> bool {
        assert!(self.walks.is_empty(), "nothing walks while loading");
        let hash_key = self.hash_key;
        let database = self.db_or_new(db);
        if database.find(key).is_some() {
            return false;
        }
        database.make_room(key.slot, room);
        database.insert(&hash_key, key.slot, key.hash, entry);
        true
    }

    fn overwrite(&mut self, db: u32, key: &KeyRef<'_>, place: Place, value: Value<'_>, ttl: Ttl) {
        let entry = self.entry_at(db, key, place);
        let (former, former_expiry) = (entry.access(), entry.expiry_ms());
        let is_bulky = Keyspace::is_bulky(entry);
        // A key that is written all the time is used all the time, whatever its values.
        let clock = self.settings.access.touched(former, self.now_ms, &mut self.rng);
        if is_bulky {
            let expiry = match ttl {
                Ttl::Keep => former_expiry,
                Ttl::Clear => None,
                Ttl::At(when) => Some(when),
            };
            let old = self.unlink_place(db, key, place);
            self.discard(old);
            let mut entry = Entry::new(key.bytes, value, expiry);
            entry.set_access(clock);
            return self.add(db, key, entry);
        }
        self.tell_walks(db, key, place);
        let database = self.dbs[db as usize].as_deref_mut().expect("it holds the place");
        database.change(key.slot, key.hash, place, |entry| {
            match ttl {
                Ttl::Keep => {}
                Ttl::Clear => entry.set_expiry(None),
                Ttl::At(when) => entry.set_expiry(Some(when)),
            }
            entry.set_value(value);
            entry.set_access(clock);
        });
        self.stamp(db, key);
        self.note_change(db, key.bytes);
        self.break_hold(db, key);
    }

    /// The place of a key that is expired but stays ([`ExpireMode::Hide`], or because it is held).
    fn hidden_place(&self, db: u32, key: &KeyRef<'_>) -> Option<Place> {
        let stays = self.expire_mode == ExpireMode::Hide || self.holds.has(db, key.bytes);
        if stays { self.db(db)?.find(key) } else { None }
    }

    fn entry_at(&self, db: u32, key: &KeyRef<'_>, place: Place) -> &Entry {
        self.dbs[db as usize].as_deref().expect("it holds the place").slot(key.slot).table.at(place)
    }

    /// Adds a key that is not there.
    fn add(&mut self, db: u32, key: &KeyRef<'_>, mut entry: Entry) {
        if self.holds.has(db, key.bytes)
            && let Some(place) = self.db_or_new(db).find(key)
        {
            // It is past its time, or it would have been found.
            let old = self.unlink_place(db, key, place);
            self.discard(old);
        }
        let hash_key = self.hash_key;
        let uid = self.db_or_new(db).uid;
        if !self.walks.is_empty() {
            self.walks.on_create(uid, key.slot, key.hash, &mut entry);
        }
        self.db_or_new(db).insert(&hash_key, key.slot, key.hash, entry);
        self.stamp(db, key);
        self.note_change(db, key.bytes);
    }

    /// Takes an entry out: walks are told, the slot is stamped. Neither watchers nor `dirty` are.
    pub(super) fn unlink_place(&mut self, db: u32, key: &KeyRef<'_>, place: Place) -> Entry {
        let database = self.dbs[db as usize].as_deref_mut().expect("it holds the place");
        let entry = database.remove(key.slot, key.hash, place);
        if !self.walks.is_empty() {
            self.walks.on_remove(database.uid, key.slot, key.hash, &entry);
        }
        self.stamp(db, key);
        self.break_hold(db, key);
        entry
    }

    /// A held key is about to be another than it was.
    #[inline]
    fn break_hold(&mut self, db: u32, key: &KeyRef<'_>) {
        if !self.holds.is_empty() {
            self.holds.remove(db, key.bytes);
        }
    }

    #[inline]
    pub(super) fn tell_walks(&mut self, db: u32, key: &KeyRef<'_>, place: Place) {
        if !self.walks.is_empty() {
            let database = self.dbs[db as usize].as_deref_mut().expect("it holds the place");
            let uid = database.uid;
            let entry = database.slot_mut(key.slot).table.at_mut(place);
            self.walks.before_write(uid, key.slot, key.hash, entry);
        }
    }

    #[inline]
    pub(super) fn stamp(&mut self, db: u32, key: &KeyRef<'_>) {
        let stamp = self.write_stamp;
        self.latest_stamp = self.latest_stamp.max(stamp);
        let database = self.dbs[db as usize].as_deref_mut().expect("it has just been changed");
        let store = database.slot_mut(key.slot);
        store.last_write = stamp;
        store.writes += 1;
    }

    #[inline]
    pub(super) fn note_change(&mut self, db: u32, key: &[u8]) {
        self.dirty += 1;
        if !self.watches.is_empty() {
            self.watches.touch(db, key);
        }
        if !self.waits.is_empty() {
            self.waits.signal(db, key);
        }
    }

    /// Lets those who wait for `key` look again.
    pub fn signal(&mut self, db: u32, key: &[u8]) {
        self.waits.signal(db, key);
    }

    pub(super) fn db_or_new(&mut self, db: u32) -> &mut Db {
        let Keyspace { dbs, last_uid, hidden, .. } = self;
        dbs[db as usize].get_or_insert_with(|| {
            *last_uid += 1;
            let mut made = Box::new(Db::new(*last_uid));
            hidden.iter().for_each(|slot| made.hide(slot));
            made
        })
    }
}
