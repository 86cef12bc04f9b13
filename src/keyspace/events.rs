//! What happens to keys in here rather than by a command's word: they are new, expired, evicted, or were looked for in
//! vain. Who listens to keyspace notifications is told of it by the node, so it is kept as data, and only where the
//! configuration wants it.

use super::Keyspace;
use crate::config::special::KeyspaceEvents;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEventKind {
    /// The key had no value and has one now.
    New,
    /// It was deleted because its time had passed.
    Expired,
    /// It was deleted to make room.
    Evicted,
    /// A command wanted to read it and it was not there.
    Miss,
}

impl KeyEventKind {
    /// The class of the event, one of [`KeyspaceEvents`]' constants.
    pub fn class(self) -> u32 {
        match self {
            KeyEventKind::New => KeyspaceEvents::NEW,
            KeyEventKind::Expired => KeyspaceEvents::EXPIRED,
            KeyEventKind::Evicted => KeyspaceEvents::EVICTED,
            KeyEventKind::Miss => KeyspaceEvents::KEY_MISS,
        }
    }

    /// Its name as listeners see it.
    pub fn name(self) -> &'static str {
        match self {
            KeyEventKind::New => "new",
            KeyEventKind::Expired => "expired",
            KeyEventKind::Evicted => "evicted",
            KeyEventKind::Miss => "keymiss",
        }
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// What.
    pub kind: KeyEventKind,
    /// In which database.
    pub db: u32,
    /// To which key.
    pub key: Box<[u8]>,
}

impl Keyspace {
    /// Keeps an event, if its class is on.
    #[inline]
    pub(super) fn note_event(&mut self, kind: KeyEventKind, db: u32, key: &[u8]) {
        if self.settings.events.has(kind.class()) {
            self.keep_event(kind, db, key);
        }
    }

    #[cold]
    fn keep_event(&mut self, kind: KeyEventKind, db: u32, key: &[u8]) {
        self.events.push(KeyEvent { kind, db, key: key.into() });
    }

    /// Whether there are events that have not been taken.
    #[inline]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What happened since the last call, in order.
    pub fn take_events(&mut self) -> Vec<KeyEvent> {
        std::mem::take(&mut self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::choices::EvictionPolicy;
    use crate::keyspace::{Access, ExpireBudget, ExpireMode, HashKey, Ttl, Value};

    const NOW_MS: u64 = 1_700_000_000_000;

    fn keyspace(events: u32) -> Keyspace {
        let mut keyspace = Keyspace::new(2, HashKey::from_seed(1), 2);
        keyspace.settings.events = KeyspaceEvents(events);
        keyspace.begin(NOW_MS, 1);
        keyspace
    }

    const ALL: u32 = KeyspaceEvents::NEW
        | KeyspaceEvents::EXPIRED
        | KeyspaceEvents::EVICTED
        | KeyspaceEvents::KEY_MISS;

    fn taken(keyspace: &mut Keyspace) -> Vec<String> {
        let shown = |event: &KeyEvent| {
            let key = String::from_utf8_lossy(&event.key).into_owned();
            format!("{} {} {key}", event.kind.name(), event.db)
        };
        keyspace.take_events().iter().map(shown).collect()
    }

    fn put(keyspace: &mut Keyspace, name: &str, ttl: Ttl) {
        let key = keyspace.key(name.as_bytes());
        keyspace.insert(0, &key, Value::Int(1), ttl);
    }

    #[test]
    fn each_event_is_kept_once_and_in_order() {
        let mut keyspace = keyspace(ALL);
        put(&mut keyspace, "a", Ttl::At(NOW_MS + 10));
        put(&mut keyspace, "b", Ttl::At(NOW_MS + 10));
        put(&mut keyspace, "b", Ttl::Keep);
        put(&mut keyspace, "c", Ttl::Clear);
        assert_eq!(taken(&mut keyspace), ["new 0 a", "new 0 b", "new 0 c"]);
        keyspace.begin(NOW_MS + 11, 2);
        let key = keyspace.key(b"a");
        assert!(!keyspace.exists(0, &key, Access::READ));
        assert!(!keyspace.exists(1, &key, Access::READ));
        assert!(!keyspace.exists(0, &key, Access::WRITE));
        assert_eq!(taken(&mut keyspace), ["expired 0 a", "keymiss 0 a", "keymiss 1 a"]);
        let budget = ExpireBudget { time_us: u64::MAX, keys: usize::MAX };
        assert_eq!(keyspace.expire_cycle(budget, &mut || 0).deleted, 1);
        keyspace.evict(EvictionPolicy::AllkeysRandom, 5, usize::MAX, 1);
        assert_eq!(taken(&mut keyspace), ["expired 0 b", "evicted 0 c"]);
        assert!(!keyspace.has_events());
    }

    #[test]
    fn what_takes_another_place_is_new_there() {
        let mut keyspace = keyspace(ALL);
        put(&mut keyspace, "a", Ttl::Clear);
        let (from, to) = (keyspace.key(b"a"), keyspace.key(b"b"));
        keyspace.copy_key((0, &from), (1, &to));
        keyspace.move_key((0, &from), (0, &to));
        let one = || Ok::<_, std::convert::Infallible>(Value::Int(1));
        keyspace.lookup_or_insert(0, &from, one).unwrap();
        keyspace.lookup_or_insert(0, &to, one).unwrap();
        assert_eq!(taken(&mut keyspace), ["new 0 a", "new 1 b", "new 0 b", "new 0 a"]);
    }

    #[test]
    fn nothing_is_kept_that_nobody_wants() {
        let mut keyspace = keyspace(KeyspaceEvents::EXPIRED);
        put(&mut keyspace, "a", Ttl::At(NOW_MS + 10));
        keyspace.begin(NOW_MS + 11, 2);
        keyspace.expire_mode = ExpireMode::Hide;
        let key = keyspace.key(b"a");
        assert!(!keyspace.exists(0, &key, Access::READ));
        assert!(!keyspace.has_events(), "it only counts as missing");
        keyspace.expire_mode = ExpireMode::Delete;
        assert!(!keyspace.exists(0, &key, Access::READ));
        assert_eq!(taken(&mut keyspace), ["expired 0 a"]);
    }
}
