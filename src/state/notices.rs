//! Keyspace notifications: messages that say what happened to keys.
//!
//! Source: Redis documentation, "Redis keyspace notifications".

use super::State;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::Slot;

impl State {
    /// Tells those who listen that `event`, which belongs to `class`, happened to `key`, unless
    /// `notify-keyspace-events` leaves it out.
    #[inline]
    pub fn notify(&mut self, class: u32, event: &str, db: u32, key: &[u8]) {
        if self.config.notify_keyspace_events.has(class) && !self.pubsub.is_empty() {
            // What happened in the keyspace itself came first.
            self.publish_key_events();
            self.notify_all(event, db, key);
        }
    }

    /// Tells of what happened to keys in the keyspace itself: they were new, missing, expired, or evicted.
    #[inline]
    pub fn publish_key_events(&mut self) {
        if self.keyspace.has_events() {
            self.publish_kept();
        }
    }

    #[cold]
    fn publish_kept(&mut self) {
        let events = self.keyspace.take_events();
        if self.pubsub.is_empty() {
            return;
        }
        for event in events {
            self.notify_all(event.kind.name(), event.db, &event.key);
        }
    }

    #[cold]
    fn notify_all(&mut self, event: &str, db: u32, key: &[u8]) {
        if self.keyspace.is_hidden(Slot::of(key)) {
            // Its slot is on the way here or being emptied: for clients the key is not there.
            return;
        }
        let events = self.config.notify_keyspace_events;
        if events.has(KeyspaceEvents::KEYSPACE) {
            let mut channel = format!("__keyspace@{db}__:").into_bytes();
            channel.extend_from_slice(key);
            self.publish(false, &channel, event.as_bytes());
        }
        if events.has(KeyspaceEvents::KEYEVENT) {
            self.publish(false, format!("__keyevent@{db}__:{event}").as_bytes(), key);
        }
    }
}
