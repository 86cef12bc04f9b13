//! Hidden slots: their keys are here, and nobody who looks at the whole keyspace meets them.
//!
//! A node holds keys that are not its own for a while: those of slots that are on their way to it, and those of slots it
//! has lost, until they are removed. Counts, KEYS, SCAN, RANDOMKEY, the active expiry and eviction leave them out.
//! What must not lose them includes them: walks (snapshots, rewrites, full syncs), the log, and taking a keyspace apart.
//! Lookups of single keys do not ask: routing lets no request for such a slot through.

use super::Keyspace;
use super::key::Slot;

impl Keyspace {
    /// Hides the keys of `slot` in all databases, those that come later too. Nothing happens if it is hidden already.
    pub fn hide(&mut self, slot: Slot) {
        self.hidden.insert(slot);
        self.dbs.iter_mut().flatten().for_each(|db| db.hide(slot));
    }

    /// Shows the keys of `slot` again, if it was hidden.
    pub fn show(&mut self, slot: Slot) {
        self.hidden.remove(slot);
        self.dbs.iter_mut().flatten().for_each(|db| db.show(slot));
    }

    /// Whether `slot` is hidden.
    #[inline]
    pub fn is_hidden(&self, slot: Slot) -> bool {
        self.hidden.has(slot)
    }

    /// The hidden slots, ascending.
    pub fn hidden(&self) -> impl Iterator<Item = Slot> + '_ {
        self.hidden.iter()
    }

    /// Whether any database holds a key of one of `slots`, hidden ones included.
    pub fn has_keys_in(&self, slots: impl IntoIterator<Item = Slot>) -> bool {
        let has_keys = |slot| self.dbs.iter().flatten().any(|db| !db.slot(slot).table.is_empty());
        slots.into_iter().any(has_keys)
    }
}
