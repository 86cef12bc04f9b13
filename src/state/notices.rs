//! Keyspace notifications: messages that say what happened to keys.
//!
//! Source: Redis documentation, "Redis keyspace notifications".

use super::State;
use crate::config::special::KeyspaceEvents;

impl State {
    /// Tells those who listen that `event`, which belongs to `class`, happened to `key`, unless
    /// `notify-keyspace-events` leaves it out.
    #[inline]
    pub fn notify(&mut self, class: u32, event: &str, db: u32, key: &[u8]) {
        if self.config.notify_keyspace_events.has(class) && !self.pubsub.is_empty() {
            self.notify_all(event, db, key);
        }
    }

    #[cold]
    fn notify_all(&mut self, event: &str, db: u32, key: &[u8]) {
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
