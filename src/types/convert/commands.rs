//! A collection as the commands that make it: what a log of commands holds, and what a large value travels as.

use std::collections::HashMap;

use highwater_persistence::snapshot::{Event, StreamId, StreamMeta};

use super::{By, write};
use crate::resp::number::{push_f64, push_i64};
use crate::types::Object;

/// Elements of one command, as stock servers have it.
const ELEMENTS_MAX: usize = 64;

/// A command is ended when its words are this long together.
const COMMAND_BYTES: usize = 64 * 1024;

/// The latest time that commands give a field: 46 bits of milliseconds since 1970.
pub const COMMAND_FIELD_EXPIRY_MAX: u64 = (1 << 46) - 1;

/// There is no command for something in a value: only a payload says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unspeakable;

/// Calls `put` with the words of commands that make `object` at `key`, which has to be free. Its expiry is not among them.
///
/// Differs from a snapshot: entries that are pending but were deleted from their stream are left out, and so is when a consumer was
/// last seen.
///
/// # Errors
/// `Unspeakable`: no client makes such a value, but a payload may hold it. The commands so far are of no use then.
pub fn write_commands(
    object: &Object,
    key: &[u8],
    put: impl FnMut(&[&[u8]]),
) -> Result<(), Unspeakable> {
    let mut writer = Writer::new(key, put);
    write(object, By::Element, |event| writer.take(event))
}

/// Words of a command, one behind the other.
#[derive(Debug, Default)]
struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    fn add(&mut self, word: &[u8]) {
        self.with(|bytes| bytes.extend_from_slice(word));
    }

    fn with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn id(&mut self, id: StreamId) {
        self.with(|bytes| bytes.extend_from_slice(format!("{}-{}", id.ms, id.seq).as_bytes()));
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Turns events into commands.
struct Writer<'k, P> {
    key: &'k [u8],
    put: P,
    /// The command that the words belong to.
    name: &'static str,
    words: Words,
    elements: usize,
    /// Fields that expire, with when, of the command that is being put together.
    expiring: Vec<(Vec<u8>, u64)>,
    stream: StreamState,
}

/// What has to be remembered between the events of a stream.
#[derive(Debug, Default)]
struct StreamState {
    /// Fields of an entry that are still to come.
    fields_left: u64,
    has_entries: bool,
    group: Vec<u8>,
    consumer: Vec<u8>,
    /// When and how often pending entries of the group were delivered.
    pending: HashMap<StreamId, (i64, u64)>,
}

impl<'a, P: FnMut(&[&[u8]])> Writer<'a, P> {
    fn new(key: &'a [u8], put: P) -> Self {
        let (words, stream) = (Words::default(), StreamState::default());
        Writer { key, put, name: "", words, elements: 0, expiring: Vec::new(), stream }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), Unspeakable> {
        match event {
            Event::ListBegin { .. } => self.name = "RPUSH",
            Event::SetBegin { .. } => self.name = "SADD",
            Event::HashBegin { .. } => self.name = "HSET",
            Event::ZsetBegin { .. } => self.name = "ZADD",
            Event::ListItem(word) | Event::SetMember(word) => {
                self.words.add(word);
                self.element();
            }
            // Commands take no such times.
            Event::HashField { expires_ms: Some(when), .. } if when > COMMAND_FIELD_EXPIRY_MAX => {
                return Err(Unspeakable);
            }
            Event::HashField { field, value, expires_ms } => {
                self.words.add(field);
                self.words.add(value);
                self.expiring.extend(expires_ms.map(|when| (field.to_vec(), when)));
                self.element();
            }
            // It becomes 0 while the set is small.
            Event::ZsetMember { score, .. } if score == 0.0 && score.is_sign_negative() => {
                return Err(Unspeakable);
            }
            Event::ZsetMember { member, score } => {
                self.words.with(|bytes| push_f64(bytes, score));
                self.words.add(member);
                self.element();
            }
            Event::ValueEnd => self.flush(),
            event => return self.stream(event),
        }
        Ok(())
    }

    /// An element is complete: the command may be, too.
    fn element(&mut self) {
        self.elements += 1;
        if self.elements >= ELEMENTS_MAX || self.words.bytes.len() >= COMMAND_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.elements == 0 {
            return;
        }
        self.elements = 0;
        self.send();
        let mut when_text = itoa::Buffer::new();
        for (field, when) in std::mem::take(&mut self.expiring) {
            let when = when_text.format(when).as_bytes();
            (self.put)(&[b"HPEXPIREAT", self.key, when, b"FIELDS", b"1", &field]);
        }
    }

    /// Hands over the command of the words gathered, behind name and key.
    fn send(&mut self) {
        let mut words: Vec<&[u8]> = Vec::with_capacity(self.words.ends.len() + 2);
        words.push(self.name.as_bytes());
        words.push(self.key);
        let mut start = 0;
        for &end in &self.words.ends {
            words.push(&self.words.bytes[start..end]);
            start = end;
        }
        (self.put)(&words);
        self.words.clear();
    }

    fn stream(&mut self, event: Event<'_>) -> Result<(), Unspeakable> {
        match event {
            // XADD takes neither entries without fields nor the lowest id.
            Event::StreamEntry { fields: 0, .. }
            | Event::StreamEntry { id: StreamId::ZERO, .. } => {
                return Err(Unspeakable);
            }
            Event::StreamEntry { id, fields } => {
                self.name = "XADD";
                self.words.id(id);
                self.stream.fields_left = fields;
                self.stream.has_entries = true;
            }
            Event::StreamField { field, value } => {
                self.words.add(field);
                self.words.add(value);
                self.stream.fields_left = self.stream.fields_left.saturating_sub(1);
                if self.stream.fields_left == 0 {
                    self.send();
                }
            }
            Event::StreamMeta(meta) => return self.numbers(&meta),
            event => return self.group(event),
        }
        Ok(())
    }

    fn numbers(&mut self, meta: &StreamMeta) -> Result<(), Unspeakable> {
        let added = i64::try_from(meta.entries_added).map_err(|_| Unspeakable)?;
        // XSETID refuses these.
        if meta.max_deleted_id > meta.last_id || meta.entries_added < meta.length {
            return Err(Unspeakable);
        }
        if !self.stream.has_entries {
            // An entry that is trimmed at once makes a stream without any.
            let is_new = meta.last_id == StreamId::ZERO;
            let id = if is_new { StreamId::new(0, 1) } else { meta.last_id };
            self.name = "XADD";
            self.words.add(b"MAXLEN");
            self.words.add(b"0");
            self.words.id(id);
            self.words.add(b"x");
            self.words.add(b"y");
            self.send();
        }
        self.name = "XSETID";
        self.words.id(meta.last_id);
        self.words.add(b"ENTRIESADDED");
        self.words.with(|bytes| push_i64(bytes, added));
        self.words.add(b"MAXDELETEDID");
        self.words.id(meta.max_deleted_id);
        self.send();
        Ok(())
    }

    fn group(&mut self, event: Event<'_>) -> Result<(), Unspeakable> {
        let mut numbers = [itoa::Buffer::new(), itoa::Buffer::new()];
        let id_text = |id: StreamId| format!("{}-{}", id.ms, id.seq);
        match event {
            Event::StreamGroup { name, last_id, entries_read } => {
                self.stream.group = name.to_vec();
                self.stream.pending.clear();
                let last_id = id_text(last_id);
                // -1: not known.
                let read = entries_read.and_then(|read| i64::try_from(read).ok()).unwrap_or(-1);
                let read = numbers[0].format(read).as_bytes();
                let words = [b"XGROUP", &b"CREATE"[..], self.key, name, last_id.as_bytes()];
                let words = [&words[..], &[b"ENTRIESREAD", read]].concat();
                (self.put)(&words);
            }
            Event::StreamPending { delivered_ms: ..0, .. } => return Err(Unspeakable),
            Event::StreamPending { id, delivered_ms, deliveries } => {
                self.stream.pending.insert(id, (delivered_ms, deliveries));
            }
            Event::StreamConsumer { name, .. } => {
                self.stream.consumer = name.to_vec();
                (self.put)(&[b"XGROUP", b"CREATECONSUMER", self.key, &self.stream.group, name]);
            }
            Event::StreamConsumerPending { id } => {
                let (delivered_ms, deliveries) =
                    self.stream.pending.get(&id).copied().unwrap_or_default();
                let [time, count] = &mut numbers;
                let (time, count) = (time.format(delivered_ms), count.format(deliveries));
                let id = id_text(id);
                let StreamState { group, consumer, .. } = &self.stream;
                let words = [&b"XCLAIM"[..], self.key, group, consumer, b"0", id.as_bytes()];
                let options = [b"TIME", time.as_bytes(), b"RETRYCOUNT", count.as_bytes()];
                (self.put)(&[&words[..], &options, &[b"JUSTID", b"FORCE"]].concat());
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::{Group, Hash, Limits, List, Pending, Stream, Zset};

    fn commands(object: &Object) -> Vec<String> {
        let mut found = Vec::new();
        let written = write_commands(object, b"k", |words| {
            let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
            found.push(words.join(" "));
        });
        assert_eq!(written, Ok(()));
        found
    }

    #[test]
    fn elements_come_in_commands_of_bounded_size() {
        let limits = Limits::default();
        let mut list = List::new();
        (0..130).for_each(|n| list.push_back(n.to_string().as_bytes(), &limits));
        let found = commands(&Object::List(list));
        assert_eq!(found.len(), 3);
        assert!(found[0].starts_with("RPUSH k 0 1 2 ") && found[0].ends_with(" 63"), "{found:?}");
        assert_eq!(found[2], "RPUSH k 128 129");
        let mut list = List::new();
        (0..3).for_each(|_| list.push_back(&[b'x'; COMMAND_BYTES], &limits));
        assert_eq!(commands(&Object::List(list)).len(), 3);
    }

    #[test]
    fn fields_that_expire_are_told_when() {
        let (mut hash, limits) = (Hash::new(), Limits::default());
        hash.set(b"a", b"1", &limits);
        hash.set(b"b", b"2", &limits);
        hash.set_expiry(b"b", Some(77), &limits);
        let found = commands(&Object::Hash(hash));
        assert!(["HSET k a 1 b 2", "HSET k b 2 a 1"].contains(&&*found[0]), "{found:?}");
        assert_eq!(found[1..], ["HPEXPIREAT k 77 FIELDS 1 b"]);
    }

    #[test]
    fn scores_stand_before_their_members() {
        let (mut zset, limits) = (Zset::new(), Limits::default());
        zset.insert(b"a", 1.5, &limits);
        zset.insert(b"b", f64::NEG_INFINITY, &limits);
        assert_eq!(commands(&Object::Zset(zset)), ["ZADD k 1.5 a -inf b"]);
    }

    #[test]
    fn what_only_payloads_hold_has_no_commands() {
        let (limits, id) = (Limits::default(), StreamId::new(5, 1));
        let check = |change: &dyn Fn(&mut Stream), expected| {
            let mut stream = Stream::default();
            stream.entries.push(id, [&b"f"[..], b"v"].into_iter(), &limits).unwrap();
            let mut group = Group::new(id, Some(1));
            group.create_consumer(b"c", 1).unwrap();
            stream.create_group(b"g", group);
            change(&mut stream);
            let object = Object::Stream(Arc::new(stream));
            assert_eq!(write_commands(&object, b"k", |_| {}), expected);
        };
        check(&|_| {}, Ok(()));
        check(
            &|stream| stream.entries.push(StreamId::new(6, 0), [].into_iter(), &limits).unwrap(),
            Err(Unspeakable),
        );
        check(&|stream| stream.entries.max_deleted_id = StreamId::new(5, 2), Err(Unspeakable));
        check(&|stream| stream.entries.max_deleted_id = id, Ok(()));
        check(&|stream| stream.entries.added = 0, Err(Unspeakable));
        check(&|stream| stream.entries.added = 1 << 63, Err(Unspeakable));
        for (delivered_ms, expected) in [(-1, Err(Unspeakable)), (0, Ok(()))] {
            let deliver = |stream: &mut Stream| {
                let (_, group) = stream.group_mut(b"g").unwrap();
                let consumer = group.consumer_number(b"c").unwrap();
                group.deliver(id, Pending { delivered_ms, deliveries: 1, consumer });
            };
            check(&deliver, expected);
        }
    }

    #[test]
    fn what_commands_do_not_take_has_no_commands() {
        for (id, expected) in [(StreamId::ZERO, Err(Unspeakable)), (StreamId::new(0, 1), Ok(()))] {
            let mut writer = Writer::new(b"k", |_: &[&[u8]]| {});
            assert_eq!(writer.take(Event::StreamEntry { id, fields: 1 }), expected);
        }
        let limits = Limits::default();
        let hash = |when| {
            let mut hash = crate::types::Hash::new();
            hash.set(b"f", b"v", &limits);
            hash.set_expiry(b"f", Some(when), &limits);
            Object::Hash(hash)
        };
        assert_eq!(write_commands(&hash((1 << 46) - 1), b"k", |_| {}), Ok(()));
        assert_eq!(write_commands(&hash(1 << 46), b"k", |_| {}), Err(Unspeakable));
        let large = Limits { zset_entries_max: 0, ..limits };
        for (score, expected) in [(0.0, Ok(())), (-0.0, Err(Unspeakable))] {
            let mut zset = crate::types::Zset::new();
            zset.insert(b"m", score, &large);
            assert_eq!(write_commands(&Object::Zset(zset), b"k", |_| {}), expected);
        }
    }
}
