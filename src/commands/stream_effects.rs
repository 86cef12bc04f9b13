//! What log and replicas see of deliveries: who got what, told so that it can be repeated.

use std::sync::Arc;

use highwater_persistence::snapshot::StreamId;

use super::context::Context;
use super::stream_id::IdText;
use crate::types::{COUNT_MAX, Group, Pending};

/// Ids of one XCLAIM.
const IDS_MAX: usize = 1000;

/// An entry whose pending state has changed.
#[derive(Debug)]
struct Claimed {
    id: StreamId,
    consumer: Arc<[u8]>,
    delivered_ms: i64,
    deliveries: u64,
    /// The group's last id at that moment.
    last_id: StreamId,
}

/// Changes of one group, gathered while its stream is held.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    claimed: Vec<Claimed>,
    /// What was claimed had been delivered to its consumer before.
    repeats: bool,
    /// A consumer that was created.
    created: Option<Arc<[u8]>>,
    /// What the group has read up to, if that changed and no claim says it.
    read: Option<(StreamId, Option<u64>)>,
}

impl Deliveries {
    /// Notes how `group` now has the entry `id`, or had it before it went.
    pub(super) fn claim(&mut self, group: &Group, id: StreamId, pending: &Pending) {
        self.claimed.push(Claimed {
            id,
            consumer: Arc::clone(group.consumer(pending.consumer).name()),
            delivered_ms: pending.delivered_ms,
            deliveries: pending.deliveries,
            last_id: group.last_id,
        });
    }

    /// Notes that a consumer is new.
    pub(super) fn create(&mut self, name: &Arc<[u8]>) {
        self.created = Some(Arc::clone(name));
    }

    /// Notes what `group` has read.
    pub(super) fn read(&mut self, group: &Group) {
        self.read = Some((group.last_id, group.entries_read));
    }

    /// Says that the entries go to the consumer that has them already, at one moment.
    pub(super) fn repeat(&mut self) {
        self.repeats = true;
    }

    /// Whether an entry was claimed.
    pub(super) fn has_claims(&self) -> bool {
        !self.claimed.is_empty()
    }

    /// Whether a consumer is new.
    pub(super) fn has_created(&self) -> bool {
        self.created.is_some()
    }

    /// Takes back what was noted of reading: a claim says it.
    pub(super) fn forget_read(&mut self) {
        self.read = None;
    }

    /// Whether one command says both. Deliveries are told one by one, as stock servers tell them; what is repeated they keep to
    /// themselves, and it may be much.
    fn is_one_command(&self, one: &Claimed, next: &Claimed) -> bool {
        self.repeats && one.deliveries == next.deliveries
    }

    /// Hands all of it to the log; nothing else of the request goes there.
    pub(super) fn log(self, ctx: &mut Context<'_>, key: &[u8], group: &[u8]) {
        ctx.no_effect();
        // A claim makes the consumer where it is missing.
        let by_claim =
            |name: &Arc<[u8]>| self.claimed.iter().any(|claimed| claimed.consumer == *name);
        if let Some(name) = self.created.as_ref().filter(|name| !by_claim(name)) {
            ctx.effect(&[b"XGROUP", b"CREATECONSUMER", key, group, name]);
        }
        for claims in self.claimed.chunk_by(|one, next| self.is_one_command(one, next)) {
            claims.chunks(IDS_MAX).for_each(|claims| log_claims(ctx, key, group, claims));
        }
        if let Some((last_id, entries_read)) = self.read {
            let mut buffer = itoa::Buffer::new();
            let read: &[u8] = match entries_read {
                Some(read) => buffer.format(read.min(COUNT_MAX)).as_bytes(),
                None => b"-1",
            };
            let last_id = IdText::new(last_id);
            ctx.effect(&[
                b"XGROUP",
                b"SETID",
                key,
                group,
                last_id.as_bytes(),
                b"ENTRIESREAD",
                read,
            ]);
        }
    }
}

/// Logs claims that differ in their ids alone.
fn log_claims(ctx: &mut Context<'_>, key: &[u8], group: &[u8], claims: &[Claimed]) {
    const WORDS: usize = 13;
    let Some(claimed) = claims.first() else { return };
    let (mut ms, mut times) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (ms, times) =
        (ms.format(claimed.delivered_ms), times.format(claimed.deliveries.min(COUNT_MAX)));
    let (db, last_id) = (ctx.db(), IdText::new(claimed.last_id));
    let front: [&[u8]; 5] = [b"XCLAIM", key, group, &claimed.consumer, b"0"];
    let options = [&b"TIME"[..], ms.as_bytes(), b"RETRYCOUNT", times.as_bytes()];
    let flags = [&b"FORCE"[..], b"JUSTID", b"LASTID", last_id.as_bytes()];
    ctx.state.keyspace.effects.push_with(db, WORDS + claims.len(), |words| {
        front.into_iter().for_each(|word| words.arg(word));
        claims.iter().for_each(|claimed| words.arg(IdText::new(claimed.id).as_bytes()));
        options.into_iter().chain(flags).for_each(|word| words.arg(word));
    });
}
