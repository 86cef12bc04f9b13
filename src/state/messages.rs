//! Messages on their way: a publication goes into the mailboxes of all who listen, in the order in which commands run.
//!
//! A client's connection empties its mailbox behind the node's lock, before its next request at the latest. So no message
//! is overtaken by a reply to something that came later, whichever threads publish and listen.

use std::sync::Arc;

use super::client::ClientId;
use super::clients::Clients;
use super::output::{Note, Output};
use super::output_limit::OutputVerdict;
use super::{Client, State};
use crate::keyspace::Slot;
use crate::pubsub::{Post, Topic};
use crate::resp::Reply;

/// Messages wait in a mailbox up to so many bytes, also where `client-output-buffer-limit` sets no limit: whoever should
/// fetch them does not get to it.
const MAILBOX_BYTES_MAX: usize = 256 << 20;

/// What a client has been sent and its connection not yet fetched.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    posts: Vec<Arc<Post>>,
    bytes: usize,
}

impl Mailbox {
    pub(super) fn is_empty(&self) -> bool {
        self.posts.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The contents of a mailbox.
#[derive(Debug)]
pub struct Mail {
    posts: Vec<Arc<Post>>,
    /// Log offset that must be released before they leave.
    pub hold: u64,
    /// In which protocol.
    pub resp3: bool,
    /// Bytes of waiting output at which the client is to be closed at once; 0 for no such limit.
    pub output_bytes_max: u64,
}

impl Mail {
    /// Appends the messages in their order.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        self.posts.iter().for_each(|post| post.write_to(out, self.resp3));
    }
}

impl Clients {
    /// Whether any mailbox may hold something.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.mailboxes_filled > 0
    }

    fn take_posts(&mut self, id: ClientId) -> Option<Vec<Arc<Post>>> {
        let mailbox = &mut self.seat_mut(id)?.mailbox;
        if mailbox.is_empty() {
            return None;
        }
        let posts = std::mem::take(mailbox).posts;
        self.mailboxes_filled -= 1;
        Some(posts)
    }

    /// Puts a message into a mailbox; returns how many bytes wait there. A client that executes looks into its own when its
    /// request has been answered, others have to be told.
    fn put_post(&mut self, id: ClientId, post: &Arc<Post>, outputs: &mut Vec<Output>) -> usize {
        let Some(seat) = self.seat_mut(id) else { return 0 };
        let is_deaf = |client: &Client| client.killed || client.is_replica;
        if seat.client.as_deref().is_some_and(is_deaf) {
            return 0;
        }
        let was_empty = seat.mailbox.is_empty();
        seat.mailbox.posts.push(Arc::clone(post));
        seat.mailbox.bytes += post.bytes();
        let bytes = seat.mailbox.bytes;
        if was_empty {
            if seat.client.is_some() {
                outputs.push(Output::Deliver { client: id });
            }
            self.mailboxes_filled += 1;
        }
        bytes
    }
}

impl State {
    /// Sends a message to all clients of this node that listen to `channel`, and returns how often it was sent.
    pub fn publish(&mut self, sharded: bool, channel: &[u8], message: &[u8]) -> usize {
        if self.pubsub.is_empty() {
            return 0;
        }
        let State { pubsub, clients, outputs, .. } = self;
        let mut round = Round { clients, outputs, posts: Vec::new(), sent: 0, most: 0 };
        if sharded {
            let topic = Topic::Shard(channel);
            round.send(pubsub.subscribers(topic), &[b"smessage", channel, message]);
        } else {
            let topic = Topic::Channel(channel);
            round.send(pubsub.subscribers(topic), &[b"message", channel, message]);
            for (pattern, subscribers) in pubsub.matching(channel) {
                round.send(subscribers, &[b"pmessage", pattern, channel, message]);
            }
        }
        let Round { posts, sent, most, .. } = round;
        self.pubsub.note_posted(posts);
        if most >= self.mailbox_limit() {
            self.close_full_mailboxes();
        }
        sent
    }

    /// Tells one client something unasked, or something that it asked for and `CLIENT REPLY OFF` does not hold back.
    /// `frame` is a push, or several of them in the client's protocol.
    pub fn tell(&mut self, id: ClientId, frame: Vec<u8>) {
        let post = Arc::new(Post::new(frame));
        post.settle(0);
        self.clients.put_post(id, &post, &mut self.outputs);
    }

    /// The unit that runs has ended: what it published leaves when the log is released up to `hold`.
    #[inline]
    pub fn settle_messages(&mut self, hold: u64) {
        if self.pubsub.has_posted() {
            self.pubsub.settle(hold);
        }
    }

    /// The slot is no longer this node's: nobody listens to its channels any more, and those who did are told.
    pub fn drop_shard_channels(&mut self, slot: Slot) {
        for (name, subscribers) in self.pubsub.drop_slot(slot) {
            for id in subscribers.into_iter().map(ClientId) {
                let counts = self.pubsub.counts(id.0);
                if let Some(client) = self.clients.get_mut(id) {
                    client.subscriptions = counts;
                }
                let mut told = Vec::new();
                let mut reply = Reply::new(&mut told, true);
                reply.push(3);
                reply.bulk(b"sunsubscribe");
                reply.bulk(&name);
                reply.len(counts.shards);
                self.tell(id, told);
            }
        }
    }

    /// Empties the mailbox of a client that is not executing. `None`: there is nothing in it.
    pub fn take_mail(&mut self, id: ClientId) -> Option<Mail> {
        let posts = self.clients.take_posts(id)?;
        let client = self.clients.get(id)?;
        let (resp3, output_bytes_max) = (client.resp3, self.output_limit(client).hard);
        Some(self.mail(posts, resp3, output_bytes_max))
    }

    /// Empties the mailbox of the client that executes.
    pub fn take_own_mail(&mut self, client: &mut Client) -> Option<Mail> {
        let posts = self.clients.take_posts(client.id)?;
        // It may have been told that it does not listen to something any more.
        client.subscriptions = self.pubsub.counts(client.id.0);
        Some(self.mail(posts, client.resp3, 0))
    }

    fn mail(&self, posts: Vec<Arc<Post>>, resp3: bool, output_bytes_max: u64) -> Mail {
        let end = self.stream.end;
        let hold = posts.iter().map(|post| post.hold(end)).max().unwrap_or(0);
        Mail { posts, hold, resp3, output_bytes_max }
    }

    /// Bytes in a mailbox that need a second look.
    fn mailbox_limit(&self) -> usize {
        match self.config.client_output_buffer_limit.pubsub.hard {
            0 => MAILBOX_BYTES_MAX,
            hard => usize::try_from(hard).unwrap_or(usize::MAX),
        }
    }

    /// Closes clients in whose mailboxes more waits than may wait in their outputs.
    #[cold]
    fn close_full_mailboxes(&mut self) {
        let limit = self.mailbox_limit();
        let full: Vec<(ClientId, usize)> = self.clients.mailboxes(limit).collect();
        for (id, bytes) in full {
            let verdict = self.judge_output(id, bytes as u64);
            if verdict == OutputVerdict::Keep && bytes < MAILBOX_BYTES_MAX {
                continue;
            }
            let Some(client) = self.clients.get(id) else { continue };
            if verdict == OutputVerdict::Keep {
                self.stats.output_limit_disconnections += 1;
            }
            let address = &client.peer.address;
            let text = format!(
                "Client id={} addr={address} closed for {bytes} bytes of messages that nobody fetches.",
                id.0
            );
            self.clients.take_posts(id);
            self.outputs.push(Output::Note(Note { warning: true, text }));
            self.kill(id);
        }
    }
}

/// One publication.
struct Round<'a> {
    clients: &'a mut Clients,
    outputs: &'a mut Vec<Output>,
    posts: Vec<Arc<Post>>,
    /// Mailboxes that got it.
    sent: usize,
    /// The most bytes that wait in any of them.
    most: usize,
}

impl Round<'_> {
    /// Sends one frame, encoded once if anybody is there to get it.
    fn send(&mut self, subscribers: impl ExactSizeIterator<Item = u64>, parts: &[&[u8]]) {
        if subscribers.len() == 0 {
            return;
        }
        let post = Arc::new(Post::new(frame(parts)));
        self.sent += subscribers.len();
        for client in subscribers.map(ClientId) {
            self.most = self.most.max(self.clients.put_post(client, &post, self.outputs));
        }
        self.posts.push(post);
    }
}

/// A push of bulk strings.
fn frame(parts: &[&[u8]]) -> Vec<u8> {
    /// More than the head of the frame and that of one part take.
    const HEAD_BYTES: usize = 24;
    let bytes = parts.iter().map(|part| part.len() + HEAD_BYTES).sum::<usize>();
    let mut frame = Vec::with_capacity(bytes + HEAD_BYTES);
    let mut reply = Reply::new(&mut frame, true);
    reply.push(parts.len());
    parts.iter().for_each(|part| reply.bulk(part));
    frame
}
