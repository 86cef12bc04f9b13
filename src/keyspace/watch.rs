//! WATCH: which sessions wait to hear of changes to which keys.

use std::collections::HashMap;

/// Watched keys. Empty almost always, which is all that a write checks.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// Per database and key, who watches.
    watchers: HashMap<u32, WatchedKeys>,
    /// What each session watches.
    sessions: HashMap<u64, Vec<WatchedKey>>,
    touched: Vec<u64>,
}

/// Database and key.
type WatchedKey = (u32, Box<[u8]>);

type WatchedKeys = HashMap<Box<[u8]>, Vec<Watcher>>;

#[derive(Clone, Copy, Debug)]
struct Watcher {
    session: u64,
    /// The key was present but past its time when the watch began: its removal changes nothing visible.
    was_expired: bool,
}

impl Watches {
    /// Whether no key is watched.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn watch(&mut self, db: u32, key: &[u8], session: u64, was_expired: bool) {
        let watchers = self.watchers.entry(db).or_default().entry(key.into()).or_default();
        if watchers.iter().all(|watcher| watcher.session != session) {
            watchers.push(Watcher { session, was_expired });
            self.sessions.entry(session).or_default().push((db, key.into()));
        }
    }

    pub(super) fn unwatch(&mut self, session: u64) {
        for (db, key) in self.sessions.remove(&session).unwrap_or_default() {
            let Some(keys) = self.watchers.get_mut(&db) else { continue };
            let Some(watchers) = keys.get_mut(&key) else { continue };
            watchers.retain(|watcher| watcher.session != session);
            if watchers.is_empty() {
                keys.remove(&key);
            }
            if keys.is_empty() {
                self.watchers.remove(&db);
            }
        }
    }

    /// Notes that `key` has changed.
    pub(super) fn touch(&mut self, db: u32, key: &[u8]) {
        if let Some(watchers) = self.watchers.get(&db).and_then(|keys| keys.get(key)) {
            self.touched.extend(watchers.iter().map(|watcher| watcher.session));
        }
    }

    /// Notes that an expired key has been removed: seen only by those who began to watch it while it lived.
    pub(super) fn touch_expired(&mut self, db: u32, key: &[u8]) {
        let watchers = self.watchers.get_mut(&db).and_then(|keys| keys.get_mut(key));
        for watcher in watchers.into_iter().flatten() {
            if !std::mem::take(&mut watcher.was_expired) {
                self.touched.push(watcher.session);
            }
        }
    }

    /// The watched keys of a database.
    pub(super) fn keys(&self, db: u32) -> Vec<Box<[u8]>> {
        self.watchers.get(&db).map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }

    /// What `session` watches, with whether it was expired at the start.
    pub(super) fn of_session(&self, session: u64) -> impl Iterator<Item = (u32, &[u8], bool)> {
        self.sessions.get(&session).into_iter().flatten().map(move |(db, key)| {
            let was_expired = self.watchers[db][key]
                .iter()
                .any(|watcher| watcher.session == session && watcher.was_expired);
            (*db, &**key, was_expired)
        })
    }

    /// Sessions whose keys have changed since the last call. One may be named more than once.
    pub(super) fn take_touched(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.touched)
    }

    #[inline]
    pub(super) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }
}
