//! Publish and subscribe: who listens to which channels, as a plain value.
//!
//! ```text
//!   channels   name -> clients                       clients   number -> names of each kind, in order
//!   patterns   name -> clients
//!   shards     slot -> name -> clients               all of one slot can be dropped when the slot moves
//! ```
//!
//! A publication looks at one channel, and at each pattern; it copies nothing. Names are shared between both sides.

mod post;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use post::Post;

use crate::glob;
use crate::keyspace::Slot;

/// The name of a channel or a pattern.
pub type Name = Arc<[u8]>;

/// What a client can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic<'a> {
    /// A channel.
    Channel(&'a [u8]),
    /// All channels whose names match.
    Pattern(&'a [u8]),
    /// A channel of the slot that its name belongs to, as a key would.
    Shard(&'a [u8]),
}

/// Kinds of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SUBSCRIBE.
    Channel,
    /// PSUBSCRIBE.
    Pattern,
    /// SSUBSCRIBE.
    Shard,
}

impl<'a> Topic<'a> {
    /// The topic `name` of a kind.
    pub fn new(kind: Kind, name: &'a [u8]) -> Self {
        match kind {
            Kind::Channel => Topic::Channel(name),
            Kind::Pattern => Topic::Pattern(name),
            Kind::Shard => Topic::Shard(name),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Topic::Channel(_) => Kind::Channel,
            Topic::Pattern(_) => Kind::Pattern,
            Topic::Shard(_) => Kind::Shard,
        }
    }

    fn name(self) -> &'a [u8] {
        match self {
            Topic::Channel(name) | Topic::Pattern(name) | Topic::Shard(name) => name,
        }
    }
}

/// How many topics of each kind a client listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Channels.
    pub channels: usize,
    /// Patterns.
    pub patterns: usize,
    /// Channels of slots.
    pub shards: usize,
}

impl Counts {
    /// Whether it listens to anything: in RESP2 it may ask for little else then.
    #[inline]
    pub fn any(self) -> bool {
        self.total() > 0
    }

    /// Topics of all kinds.
    #[inline]
    pub fn total(self) -> usize {
        self.channels + self.patterns + self.shards
    }

    /// The count that a reply about a kind tells: channels and patterns together, those of slots apart.
    pub fn told(self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.channels + self.patterns,
            Kind::Shard => self.shards,
        }
    }
}

/// The clients of one topic with the place of the topic in the client's list, by client.
type Subscribers = Vec<(u64, u64)>;

/// What one client listens to, each kind in the order of subscribing.
#[derive(Debug, Default)]
struct Subscriptions {
    /// The place of the next one.
    next: u64,
    lists: [BTreeMap<u64, Name>; 3],
}

/// All subscriptions.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: HashMap<Name, Subscribers>,
    /// In the order of their names, which is the order of delivery.
    patterns: BTreeMap<Name, Subscribers>,
    /// Only slots with channels.
    shards: BTreeMap<Slot, HashMap<Name, Subscribers>>,
    clients: HashMap<u64, Subscriptions>,
    /// Messages of the unit that runs, of which it is not known yet what they have to wait for.
    posted: Vec<Arc<Post>>,
}

/// Changes.
impl PubSub {
    /// Has `client` listen to `topic`. False: it does already.
    pub fn subscribe(&mut self, client: u64, topic: Topic<'_>) -> bool {
        let known = self.name_of(topic);
        let name = known.unwrap_or_else(|| Name::from(topic.name()));
        let subscribers = match topic {
            Topic::Channel(_) => self.channels.entry(Name::clone(&name)).or_default(),
            Topic::Pattern(_) => self.patterns.entry(Name::clone(&name)).or_default(),
            Topic::Shard(bytes) => {
                let names = self.shards.entry(Slot::of(bytes)).or_default();
                names.entry(Name::clone(&name)).or_default()
            }
        };
        let Err(at) = subscribers.binary_search_by_key(&client, |(client, _)| *client) else {
            return false;
        };
        let own = self.clients.entry(client).or_default();
        let place = own.next;
        own.next += 1;
        own.lists[topic.kind() as usize].insert(place, name);
        subscribers.insert(at, (client, place));
        true
    }

    /// Ends a subscription. False: there was none.
    pub fn unsubscribe(&mut self, client: u64, topic: Topic<'_>) -> bool {
        let Some(place) = self.remove(client, topic) else { return false };
        let own = self.clients.get_mut(&client).expect("both sides know of a subscription");
        let removed = own.lists[topic.kind() as usize].remove(&place);
        assert!(removed.is_some(), "both sides know of a subscription");
        if own.lists.iter().all(BTreeMap::is_empty) {
            self.clients.remove(&client);
        }
        true
    }

    /// Ends all subscriptions of a client.
    pub fn leave(&mut self, client: u64) {
        let Some(own) = self.clients.remove(&client) else { return };
        for (kind, list) in [Kind::Channel, Kind::Pattern, Kind::Shard].into_iter().zip(own.lists) {
            for (place, name) in list {
                let removed = self.remove(client, Topic::new(kind, &name));
                assert_eq!(removed, Some(place), "both sides know of a subscription");
            }
        }
    }

    /// Ends all subscriptions to channels of `slot`: each channel with the clients that listened to it, by name.
    pub fn drop_slot(&mut self, slot: Slot) -> Vec<(Name, Vec<u64>)> {
        let dropped = self.shards.remove(&slot).unwrap_or_default();
        let mut told = Vec::with_capacity(dropped.len());
        for (name, subscribers) in dropped {
            for (client, place) in &subscribers {
                let own = self.clients.get_mut(client).expect("both sides know of it");
                own.lists[Kind::Shard as usize].remove(place);
                if own.lists.iter().all(BTreeMap::is_empty) {
                    self.clients.remove(client);
                }
            }
            told.push((name, subscribers.into_iter().map(|(client, _)| client).collect()));
        }
        told.sort_unstable();
        told
    }

    /// The unit that runs has posted these: until it ends nobody knows what they have to wait for.
    pub fn note_posted(&mut self, posts: impl IntoIterator<Item = Arc<Post>>) {
        self.posted.extend(posts);
    }

    /// The unit has ended: what it posted waits until the log is released up to `hold`.
    pub fn settle(&mut self, hold: u64) {
        for post in self.posted.drain(..) {
            post.settle(hold);
        }
    }

    /// Whether the unit that runs has posted anything.
    #[inline]
    pub fn has_posted(&self) -> bool {
        !self.posted.is_empty()
    }

    /// Takes `client` off the clients of `topic` and returns its place there.
    fn remove(&mut self, client: u64, topic: Topic<'_>) -> Option<u64> {
        let subscribers = match topic {
            Topic::Channel(name) => self.channels.get_mut(name)?,
            Topic::Pattern(name) => self.patterns.get_mut(name)?,
            Topic::Shard(name) => self.shards.get_mut(&Slot::of(name))?.get_mut(name)?,
        };
        let at = subscribers.binary_search_by_key(&client, |(client, _)| *client).ok()?;
        let (_, place) = subscribers.remove(at);
        if subscribers.is_empty() {
            self.forget(topic);
        }
        Some(place)
    }

    /// Nobody listens to `topic` any more.
    fn forget(&mut self, topic: Topic<'_>) {
        match topic {
            Topic::Channel(name) => {
                self.channels.remove(name);
            }
            Topic::Pattern(name) => {
                self.patterns.remove(name);
            }
            Topic::Shard(name) => {
                let slot = Slot::of(name);
                let Some(channels) = self.shards.get_mut(&slot) else { return };
                channels.remove(name);
                if channels.is_empty() {
                    self.shards.remove(&slot);
                }
            }
        }
    }

    /// The shared name of a topic that somebody listens to.
    fn name_of(&self, topic: Topic<'_>) -> Option<Name> {
        let known = match topic {
            Topic::Channel(name) => self.channels.get_key_value(name),
            Topic::Pattern(name) => self.patterns.get_key_value(name),
            Topic::Shard(name) => self.shards.get(&Slot::of(name))?.get_key_value(name),
        };
        known.map(|(name, _)| Name::clone(name))
    }
}

/// Questions.
impl PubSub {
    /// Whether nobody listens to anything.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// How much a client listens to.
    pub fn counts(&self, client: u64) -> Counts {
        let Some(own) = self.clients.get(&client) else { return Counts::default() };
        let [channels, patterns, shards] = own.lists.each_ref().map(BTreeMap::len);
        Counts { channels, patterns, shards }
    }

    /// Names of a kind that a client listens to, in the order of subscribing.
    pub fn list(&self, client: u64, kind: Kind) -> Vec<Name> {
        let own = self.clients.get(&client);
        own.map_or(Vec::new(), |own| own.lists[kind as usize].values().cloned().collect())
    }

    /// The clients that listen to just this topic.
    pub fn subscribers(&self, topic: Topic<'_>) -> impl ExactSizeIterator<Item = u64> {
        let subscribers = match topic {
            Topic::Channel(name) => self.channels.get(name),
            Topic::Pattern(name) => self.patterns.get(name),
            Topic::Shard(name) => {
                self.shards.get(&Slot::of(name)).and_then(|names| names.get(name))
            }
        };
        let subscribers = subscribers.map_or(&[][..], Vec::as_slice);
        subscribers.iter().map(|(client, _)| *client)
    }

    /// The patterns that `channel` matches, with the clients that listen to them.
    pub fn matching<'a>(
        &'a self,
        channel: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], impl ExactSizeIterator<Item = u64>)> {
        let fits = |(pattern, _): &(&Name, _)| glob::matches(pattern, channel);
        let clients = |(pattern, subscribers): (&'a Name, &'a Subscribers)| {
            (&pattern[..], subscribers.iter().map(|(client, _)| *client))
        };
        self.patterns.iter().filter(fits).map(clients)
    }

    /// Channels that somebody listens to.
    pub fn channels(&self) -> impl Iterator<Item = &[u8]> {
        self.channels.keys().map(|name| &name[..])
    }

    /// Channels of slots that somebody listens to.
    pub fn shard_channels(&self) -> impl Iterator<Item = &[u8]> {
        self.shards.values().flat_map(|names| names.keys().map(|name| &name[..]))
    }

    /// How many topics of a kind somebody listens to.
    pub fn topics(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel => self.channels.len(),
            Kind::Pattern => self.patterns.len(),
            Kind::Shard => self.shards.values().map(HashMap::len).sum(),
        }
    }

    /// Asserts what must hold between operations.
    pub fn check_invariants(&self) {
        let shards = self.shards.iter().flat_map(|(slot, names)| {
            assert!(!names.is_empty(), "{slot:?} has no channels");
            assert!(names.keys().all(|name| Slot::of(name) == *slot), "{slot:?}");
            names.iter().map(|(name, all)| (Kind::Shard, name, all))
        });
        let channels = self.channels.iter().map(|(name, all)| (Kind::Channel, name, all));
        let patterns = self.patterns.iter().map(|(name, all)| (Kind::Pattern, name, all));
        let mut found = 0;
        for (kind, name, subscribers) in channels.chain(patterns).chain(shards) {
            assert!(!subscribers.is_empty(), "{name:?} has no subscribers");
            assert!(subscribers.is_sorted_by(|left, right| left.0 < right.0), "{name:?}");
            for (client, place) in subscribers {
                let own = &self.clients[client];
                assert!(*place < own.next, "{name:?} stands at a place to come");
                assert!(Arc::ptr_eq(&own.lists[kind as usize][place], name), "{name:?} is shared");
                found += 1;
            }
        }
        let known: usize = self.clients.keys().map(|client| self.counts(*client).total()).sum();
        assert_eq!(found, known, "both sides know of the same subscriptions");
        assert!(self.clients.keys().all(|client| self.counts(*client).any()));
    }
}

#[cfg(test)]
mod tests;
