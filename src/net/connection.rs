//! One client's connection: reads requests, has them executed, sends the replies when they may leave.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::driver;
use super::shared::Shared;
use super::socket::{Reader, Writer};
use super::turn;
use crate::clock::SystemClock;
use crate::node::Status;
use crate::resp::request::Parsed;
use crate::resp::{ProtocolError, RequestLimits, RequestParser, Requests};
use crate::state::ClientId;

/// Bytes read at a time, into a buffer that all connections of a thread share.
const SCRATCH_BYTES: usize = 64 * 1024;

/// A client that sends so many bytes without a pause lets others on its thread go on: what it has written is appended, and
/// answered, before more of it is executed.
const TURN_BYTES: u64 = 256 * 1024;

/// A client that does not read its replies is not read from either once so many bytes wait for it.
const UNSENT_BYTES_MAX: usize = 64 << 20;

/// What a client is told unasked (MONITOR) waits for it up to here, also where `client-output-buffer-limit` sets no limit.
const PUSHED_BYTES_MAX: usize = 256 << 20;

/// Nor once the log is so many bytes behind its last write: while the disk hangs this bounds what waits in memory.
const UNLOGGED_BYTES_MAX: u64 = 64 << 20;

/// Output buffers above this are given back when they have been sent.
const OUTPUT_KEPT: usize = 64 * 1024;

/// Replies not yet sent.
#[derive(Debug, Default)]
struct Out {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that have been sent.
    sent: usize,
    /// Which part of `bytes` waits for which log offset: (end of the part, offset), growing in both.
    holds: VecDeque<(usize, u64)>,
    /// A task is waiting for room in the socket.
    draining: bool,
    /// The thread's flush task knows of this connection.
    queued: bool,
}

impl Out {
    /// Bytes that wait.
    fn unsent(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Gives room taken by sent bytes back before more are appended: a client that reads, but never all, must not make
    /// the buffer grow. Moves no more bytes than were sent since the last time.
    fn compact(&mut self) {
        if self.sent >= OUTPUT_KEPT && self.sent >= self.unsent() {
            self.bytes.drain(..self.sent);
            self.holds.iter_mut().for_each(|(end, _)| *end = end.saturating_sub(self.sent));
            self.sent = 0;
        }
    }

    /// Starts anew at the front of the buffer. Holds that are left are those of clients that want no replies.
    fn all_sent(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(OUTPUT_KEPT);
        self.sent = 0;
        self.holds.iter_mut().for_each(|(end, _)| *end = 0);
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ClientId,
    socket: Writer,
    /// Runtime of the thread that serves this connection.
    pub(super) home: tokio::runtime::Handle,
    /// The client has authenticated, or need not: lifts the small limits of the parser.
    authenticated: AtomicBool,
    out: Mutex<Out>,
    /// Hard limit of its class for waiting output, as of its last requests; 0 for none.
    output_bytes_max: AtomicU64,
    /// Notified when a blocked client goes on, or output has been drained.
    resume: Notify,
    /// Notified when the connection has been ended, for the task that feeds a replica.
    left: Notify,
    closing: AtomicBool,
    /// Nothing more is executed; it is closed once the replies are out.
    finishing: AtomicBool,
    /// It is a replica's, and gets the stream.
    fed: AtomicBool,
    /// The log offset that the last reply waits for.
    held_to: AtomicU64,
    /// No requests are executed before `is_full` says no.
    waits_full: AtomicBool,
    /// For CLIENT LIST and the limits, read by the driver now and then.
    pub(super) received: AtomicU64,
    pub(super) transmitted: AtomicU64,
    /// Reads from and writes to the socket.
    pub(super) calls: [AtomicU64; 2],
    pub(super) unsent: AtomicUsize,
    pub(super) unread: AtomicUsize,
}

/// A thread's buffers, used by whichever connection runs.
struct Scratch {
    buffer: Box<[u8]>,
    requests: Requests,
    replies: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        buffer: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        requests: Requests::default(),
        replies: Vec::new(),
    });
}

/// What a connection has received and not dealt with.
#[derive(Debug, Default)]
struct Input {
    parser: RequestParser,
    /// An incomplete request, or requests that wait while the client is blocked.
    carry: Vec<u8>,
}

/// What a connection does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Read,
    /// Waits until some of its output has been sent.
    Full,
    Blocked,
    Close,
}

impl Connection {
    /// A connection served by the current runtime.
    pub(super) fn new(id: ClientId, socket: Writer) -> Arc<Self> {
        Arc::new(Self {
            id,
            socket,
            home: tokio::runtime::Handle::current(),
            authenticated: AtomicBool::new(false),
            out: Mutex::new(Out::default()),
            output_bytes_max: AtomicU64::new(0),
            resume: Notify::new(),
            left: Notify::new(),
            closing: AtomicBool::new(false),
            finishing: AtomicBool::new(false),
            fed: AtomicBool::new(false),
            held_to: AtomicU64::new(0),
            waits_full: AtomicBool::new(false),
            received: AtomicU64::new(0),
            transmitted: AtomicU64::new(0),
            calls: Default::default(),
            unsent: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
        })
    }

    /// Serves the client until it goes.
    pub(super) async fn run(self: Arc<Self>, mut reader: Reader, shared: Arc<Shared>) {
        let mut input = Input::default();
        let mut next = Next::Read;
        let mut turn_ends = TURN_BYTES;
        while next != Next::Close {
            if next == Next::Blocked {
                next = match self.wait_blocked(&mut reader, &shared, &mut input).await {
                    Next::Read => self.go_on(&shared, &mut input),
                    next => {
                        // Its last replies may take a while, or never leave.
                        shared.node.lock().waits_no_more(self.id);
                        next
                    }
                };
                continue;
            }
            if next == Next::Full {
                self.waits_full.store(true, Ordering::Relaxed);
                if self.is_full(shared.committer.released()) && !self.closing.load(Ordering::SeqCst)
                {
                    self.resume.notified().await;
                } else {
                    next = self.go_on(&shared, &mut input);
                }
                continue;
            }
            next = poll_fn(|context| self.read(context, &mut reader, &shared, &mut input)).await;
            let received = self.received.load(Ordering::Relaxed);
            if received >= turn_ends {
                turn_ends = received + TURN_BYTES;
                tokio::task::yield_now().await;
            }
        }
        if next == Next::Close {
            self.send_rest().await;
        }
        self.leave(&shared);
    }

    /// Waits until a blocked client goes on. What it sends meanwhile is kept, and its leaving is noticed.
    async fn wait_blocked(
        &self,
        reader: &mut Reader,
        shared: &Arc<Shared>,
        input: &mut Input,
    ) -> Next {
        let mut resumed = std::pin::pin!(self.resume.notified());
        poll_fn(|context| {
            if resumed.as_mut().poll(context).is_ready() {
                return Poll::Ready(Next::Read);
            }
            loop {
                let next = SCRATCH.with_borrow_mut(|scratch| {
                    let count = ready!(self.receive(context, reader, &mut scratch.buffer));
                    input.carry.extend_from_slice(&scratch.buffer[..count]);
                    self.note_unread(&input.carry);
                    let goes_on = count > 0 && !self.asks_too_much(shared, &input.carry);
                    Poll::Ready(if goes_on { Next::Blocked } else { Next::Close })
                });
                if ready!(next) == Next::Close {
                    return Poll::Ready(Next::Close);
                }
            }
        })
        .await
    }

    /// Reads into `buffer`; 0 when there is nothing to come.
    fn receive(
        &self,
        context: &mut Context<'_>,
        reader: &mut Reader,
        buffer: &mut [u8],
    ) -> Poll<usize> {
        let count = ready!(reader.poll_read(context, buffer)).unwrap_or(0);
        let received = self.received.load(Ordering::Relaxed) + count as u64;
        self.received.store(received, Ordering::Relaxed);
        count_call(&self.calls[0]);
        Poll::Ready(count)
    }

    /// Reads once and deals with what came.
    fn read(
        self: &Arc<Self>,
        context: &mut Context<'_>,
        reader: &mut Reader,
        shared: &Arc<Shared>,
        input: &mut Input,
    ) -> Poll<Next> {
        SCRATCH.with_borrow_mut(|scratch| {
            Poll::Ready(match ready!(self.receive(context, reader, &mut scratch.buffer)) {
                0 => Next::Close,
                count => self.serve_new(count, scratch, shared, input),
            })
        })
    }

    /// Deals with `count` new bytes in the scratch buffer.
    fn serve_new(
        self: &Arc<Self>,
        count: usize,
        scratch: &mut Scratch,
        shared: &Arc<Shared>,
        input: &mut Input,
    ) -> Next {
        let Scratch { buffer, requests, replies } = scratch;
        let bytes = &buffer[..count];
        if input.carry.is_empty() {
            let (used, next) = self.serve(shared, &mut input.parser, bytes, requests, replies);
            input.carry.extend_from_slice(&bytes[used..]);
            self.note_unread(&input.carry);
            return next;
        }
        let wants = input.parser.wants(input.carry.len()).min(input.carry.len().max(1 << 20));
        input.carry.reserve(wants.max(count));
        input.carry.extend_from_slice(bytes);
        self.serve_carry(shared, input, requests, replies)
    }

    /// Goes on with requests that waited.
    fn go_on(self: &Arc<Self>, shared: &Arc<Shared>, input: &mut Input) -> Next {
        if self.closing.load(Ordering::SeqCst) || self.finishing.load(Ordering::SeqCst) {
            return Next::Close;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            self.serve_carry(shared, input, &mut scratch.requests, &mut scratch.replies)
        })
    }

    fn serve_carry(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        input: &mut Input,
        requests: &mut Requests,
        replies: &mut Vec<u8>,
    ) -> Next {
        let carry = std::mem::take(&mut input.carry);
        let (used, next) = self.serve(shared, &mut input.parser, &carry, requests, replies);
        input.carry = carry;
        if used == input.carry.len() {
            input.carry.clear();
            input.carry.shrink_to(SCRATCH_BYTES);
        } else {
            input.carry.drain(..used);
        }
        self.note_unread(&input.carry);
        if self.asks_too_much(shared, &input.carry) { Next::Close } else { next }
    }

    /// Whether more waits to be executed than `client-query-buffer-limit` allows; says so in the log.
    fn asks_too_much(&self, shared: &Arc<Shared>, carry: &[u8]) -> bool {
        let limit = shared.query_bytes_max.load(Ordering::Relaxed);
        if carry.len() as u64 <= limit {
            return false;
        }
        driver::with_node(shared, |node| node.query_is_endless(self.id));
        true
    }

    #[inline]
    fn note_unread(&self, carry: &[u8]) {
        self.unread.store(carry.len(), Ordering::Relaxed);
    }

    /// Finds and executes the requests in `bytes`. Returns how many bytes are dealt with.
    fn serve(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        parser: &mut RequestParser,
        bytes: &[u8],
        requests: &mut Requests,
        replies: &mut Vec<u8>,
    ) -> (usize, Next) {
        let mut used = 0;
        loop {
            requests.clear();
            let limits = self.limits(shared);
            let parsed = parser.parse(&bytes[used..], limits, requests);
            let inline;
            let (buffer, mut consumed): (&[u8], usize) = match &parsed {
                Ok(Parsed::Requests { consumed }) => (&bytes[used..], *consumed),
                Ok(Parsed::Inline { consumed, encoded }) => {
                    inline = encoded;
                    let whole = RequestParser::default().parse(inline, UNLIMITED, requests);
                    debug_assert!(whole.is_ok(), "what was encoded can be read");
                    (inline, *consumed)
                }
                Err(_) => (&bytes[used..], 0),
            };
            let mut is_whole = true;
            if !requests.is_empty() {
                let (executed, status) = self.execute(shared, requests, buffer, replies);
                if status == Status::Close {
                    return (bytes.len(), Next::Close);
                }
                is_whole = executed == requests.len();
                if !is_whole || parsed.is_err() {
                    // The rest, and what cannot be understood behind it, is parsed again when the client goes on.
                    *parser = RequestParser::default();
                    consumed = match (&parsed, executed) {
                        (Ok(Parsed::Inline { .. }), _) | (_, 0) => 0,
                        (_, executed) => requests.end_of(executed - 1),
                    };
                }
                if status == Status::Blocked {
                    return (used + consumed, Next::Blocked);
                }
            }
            // What was too much for a stranger is read again once the requests in front of it have made the client known.
            let is_known_now = !limits.authenticated && self.limits(shared).authenticated;
            if is_whole
                && let Err(ProtocolError(text)) = &parsed
                && !is_known_now
            {
                self.refuse(shared, text);
                return (bytes.len(), Next::Close);
            }
            used += consumed;
            if self.is_full(shared.committer.released()) {
                return (used, Next::Full);
            }
            // Without a request nothing more can be had from these bytes.
            if requests.is_empty() || used == bytes.len() {
                return (used, Next::Read);
            }
        }
    }

    /// Executes requests behind the node's lock and queues the replies.
    #[inline]
    fn execute(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        requests: &Requests,
        buffer: &[u8],
        replies: &mut Vec<u8>,
    ) -> (usize, Status) {
        replies.clear();
        let mut node = shared.node.lock();
        if shared.is_stopping() {
            return (0, Status::Close);
        }
        let outcome = node.execute(self.id, (requests, buffer), 0, replies, &mut SystemClock);
        self.authenticated.store(outcome.authenticated, Ordering::Relaxed);
        self.output_bytes_max.store(outcome.output_bytes_max, Ordering::Relaxed);
        let extra = driver::collect(&mut node);
        drop(node);
        let is_unawaited = shared.relay.is_active() && !shared.committer.is_on();
        if outcome.asks || outcome.hold > 0 && is_unawaited {
            // No reply waits for the log, so nobody else would have the stream handed on.
            turn::commit_later();
        }
        // Before the reply: a client that has been told of a new setting may rely on it.
        if let Some(extra) = extra {
            driver::carry_out(shared, extra);
        }
        self.send(shared, replies, outcome.hold);
        replies.shrink_to(OUTPUT_KEPT * 4);
        (outcome.executed, outcome.status)
    }

    /// Whether the client has to take some of its replies before its next requests run. Where a hard limit is set, it is
    /// that which bounds the output.
    #[inline]
    fn is_full(&self, released: u64) -> bool {
        self.unsent.load(Ordering::Relaxed) > UNSENT_BYTES_MAX
            && self.output_bytes_max.load(Ordering::Relaxed) == 0
            || self.held_to.load(Ordering::Relaxed) > released.saturating_add(UNLOGGED_BYTES_MAX)
    }

    /// Answers a request that cannot be understood.
    fn refuse(self: &Arc<Self>, shared: &Arc<Shared>, text: &str) {
        tracing::debug!(client = self.id.0, "Protocol error from client: {text}");
        shared.node.lock().state.stats.count_error("ERR");
        // The text may quote a byte of the request; an error is one line all the same.
        let line = text.replace(['\r', '\n'], " ");
        self.send(shared, format!("-ERR Protocol error: {line}\r\n").as_bytes(), 0);
    }

    /// Sends `bytes` once the log has been released up to `hold`. A client that wants no replies has its writes
    /// committed all the same, and waits when the log is too far behind.
    pub(super) fn send(self: &Arc<Self>, shared: &Arc<Shared>, bytes: &[u8], hold: u64) {
        let released = shared.committer.released();
        if bytes.is_empty() && hold <= released {
            return;
        }
        let mut out = self.out.lock();
        if out.bytes.is_empty() && hold <= released {
            // The common case of a read: straight to the socket.
            let sent = self.write(bytes);
            if sent < bytes.len() {
                out.bytes.extend_from_slice(&bytes[sent..]);
                let end = out.bytes.len();
                out.holds.push_back((end, 0));
                self.drain(&mut out);
            }
        } else {
            self.append(&mut out, bytes, hold);
            self.flush_in_turn(&mut out);
        }
        let unsent = out.unsent();
        drop(out);
        self.unsent.store(unsent, Ordering::Relaxed);
        let max = self.output_bytes_max.load(Ordering::Relaxed);
        if max > 0 && unsent as u64 >= max {
            driver::with_node(shared, |node| node.output_has_grown(self.id, unsent as u64));
        }
    }

    /// Adds replies that wait for the log to be released up to `hold`.
    fn append(&self, out: &mut Out, bytes: &[u8], hold: u64) {
        out.compact();
        out.bytes.extend_from_slice(bytes);
        let end = out.bytes.len();
        self.held_to.fetch_max(hold, Ordering::Relaxed);
        match out.holds.back_mut() {
            Some(last) if last.1 >= hold => last.0 = end,
            _ => out.holds.push_back((end, hold)),
        }
    }

    /// Has what was added sent at the end of the turn; to be called on the connection's own thread.
    fn flush_in_turn(self: &Arc<Self>, out: &mut Out) {
        if !out.draining && !std::mem::replace(&mut out.queued, true) {
            turn::flush_later(self);
        } else {
            // It will be sent once what is before it is, but it may wait for bytes that have just been added to the log.
            turn::commit_later();
        }
    }

    /// Sends `bytes`, which are whole replies, once the log has been released up to `hold`, from any thread.
    ///
    /// They are in the buffer when this returns: a client that goes on at once, before its thread has got to sending them,
    /// is answered behind them.
    pub(super) fn push(self: &Arc<Self>, shared: &Arc<Shared>, bytes: &[u8], hold: u64) {
        if self.closing.load(Ordering::SeqCst) || self.fed.load(Ordering::SeqCst) {
            return;
        }
        let has_room = self.unsent.load(Ordering::Relaxed) < PUSHED_BYTES_MAX;
        if has_room {
            let mut out = self.out.lock();
            self.append(&mut out, bytes, hold);
            self.unsent.store(out.unsent(), Ordering::Relaxed);
        }
        let (connection, shared) = (Arc::clone(self), Arc::clone(shared));
        self.home.spawn(async move {
            if !has_room {
                return driver::with_node(&shared, |node| node.output_is_endless(connection.id));
            }
            let mut out = connection.out.lock();
            connection.flush_in_turn(&mut out);
            let unsent = out.unsent() as u64;
            drop(out);
            let max = connection.output_bytes_max.load(Ordering::Relaxed);
            if max > 0 && unsent >= max {
                driver::with_node(&shared, |node| node.output_has_grown(connection.id, unsent));
            }
        });
    }

    /// Fetches what waits in the client's mailbox and sends it, from any thread.
    pub(super) fn fetch(self: &Arc<Self>, shared: &Arc<Shared>) {
        let (connection, shared) = (Arc::clone(self), Arc::clone(shared));
        self.home.spawn(async move {
            // The connection's next requests may have been faster: then they have taken the mail along.
            let Some(mail) = shared.node.lock().take_mail(connection.id) else { return };
            if connection.closing.load(Ordering::SeqCst) || connection.fed.load(Ordering::SeqCst) {
                return;
            }
            if connection.unsent.load(Ordering::Relaxed) >= PUSHED_BYTES_MAX {
                return driver::with_node(&shared, |node| node.output_is_endless(connection.id));
            }
            connection.output_bytes_max.store(mail.output_bytes_max, Ordering::Relaxed);
            SCRATCH.with_borrow_mut(|scratch| {
                let bytes = &mut scratch.replies;
                bytes.clear();
                mail.write_to(bytes);
                connection.send(&shared, bytes, mail.hold);
                bytes.shrink_to(OUTPUT_KEPT * 4);
            });
        });
    }

    fn limits(&self, shared: &Shared) -> RequestLimits {
        RequestLimits {
            bulk_bytes_max: shared.bulk_bytes_max.load(Ordering::Relaxed),
            authenticated: self.authenticated.load(Ordering::Relaxed),
        }
    }

    /// Tells a connection that has just been accepted whether its client must authenticate.
    pub(super) fn set_authenticated(&self, authenticated: bool) {
        self.authenticated.store(authenticated, Ordering::Relaxed);
    }

    /// Writes what is released. False: something still waits for the log.
    pub(super) fn flush(self: &Arc<Self>, released: u64) -> bool {
        let mut out = self.out.lock();
        let mut ready = out.sent;
        while let Some(&(end, hold)) = out.holds.front() {
            if hold > released {
                break;
            }
            ready = end;
            out.holds.pop_front();
        }
        if ready > out.sent && !out.draining {
            let start = out.sent;
            out.sent += self.write(&out.bytes[start..ready]);
        }
        let left = out.sent < ready;
        if left {
            out.holds.push_front((ready, 0));
        }
        if out.sent == out.bytes.len() {
            out.all_sent();
        }
        self.unsent.store(out.bytes.len() - out.sent, Ordering::Relaxed);
        if left {
            self.drain(&mut out);
        } else if self.waits_full.load(Ordering::Relaxed) && !self.is_full(released) {
            self.waits_full.store(false, Ordering::Relaxed);
            self.resume.notify_one();
        }
        out.queued = !out.holds.iter().all(|(_, hold)| *hold == 0);
        !out.queued
    }

    fn drain(self: &Arc<Self>, out: &mut Out) {
        if !out.draining {
            out.draining = true;
            tokio::spawn(Arc::clone(self).drain_task());
        }
    }

    /// Writes whenever the socket has room, until all that is released has been sent.
    async fn drain_task(self: Arc<Self>) {
        loop {
            if self.socket.writable().await.is_err() || self.closing.load(Ordering::SeqCst) {
                break;
            }
            let mut out = self.out.lock();
            let Some(&(ready, 0)) = out.holds.front() else { break };
            let start = out.sent;
            out.sent += self.write(&out.bytes[start..ready]);
            if out.sent == ready {
                out.holds.pop_front();
            }
            self.unsent.store(out.bytes.len() - out.sent, Ordering::Relaxed);
        }
        let mut out = self.out.lock();
        out.draining = false;
        if out.sent == out.bytes.len() {
            out.all_sent();
        }
        if !out.holds.is_empty() && !std::mem::replace(&mut out.queued, true) {
            turn::flush_later(&self);
        }
        drop(out);
        self.resume.notify_one();
    }

    /// Writes as much as the socket takes; an error counts as written, the reader will see it too.
    fn write(&self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.try_write(&bytes[sent..]) {
                Ok(0) => return bytes.len(),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.closing.store(true, Ordering::SeqCst);
                    return bytes.len();
                }
            }
        }
        count_call(&self.calls[1]);
        let transmitted = self.transmitted.load(Ordering::Relaxed) + sent as u64;
        self.transmitted.store(transmitted, Ordering::Relaxed);
        sent
    }

    /// From now on the socket carries the stream: replies and what others push would be in the way.
    pub(super) fn is_fed(&self) {
        self.fed.store(true, Ordering::SeqCst);
    }

    /// The log begins anew, with offsets that have nothing to do with those before. What waited for the old ones waits no
    /// longer; a client that was not told of a write is not told any more.
    pub(super) fn forget_log(&self, released: u64) {
        let mut out = self.out.lock();
        if out.holds.iter().any(|(_, hold)| *hold > released) {
            drop(out);
            return self.close();
        }
        out.holds.iter_mut().for_each(|(_, hold)| *hold = 0);
        self.held_to.store(0, Ordering::Relaxed);
    }

    /// Whether the kernel may hold small pieces back to join them (`repl-disable-tcp-nodelay`).
    pub(super) fn joins_packets(&self, joins: bool) {
        self.socket.joins_packets(joins);
    }

    /// Whether the connection has been ended, or is about to be.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Waits until all replies have been sent.
    pub(super) async fn all_sent(&self) {
        while !self.is_closing() && !self.out.lock().bytes.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Waits until the connection has been ended.
    pub(super) async fn gone(&self) {
        while !self.is_closing() {
            self.left.notified().await;
        }
        // Others may wait for the same.
        self.left.notify_one();
    }

    /// Sends what the socket takes of bytes that are no replies: the stream, for a replica.
    pub(super) fn send_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.socket.try_write(bytes)?;
        count_call(&self.calls[1]);
        self.transmitted.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    /// Waits until the socket takes more.
    pub(super) async fn room(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// A blocked client goes on.
    pub(super) fn resume(&self) {
        self.resume.notify_one();
    }

    /// A blocked client does not go on: its connection ends when its replies are out.
    pub(super) fn finish(&self) {
        self.finishing.store(true, Ordering::SeqCst);
        self.resume.notify_one();
    }

    /// Ends the connection from outside.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.socket.shutdown();
        self.resume.notify_one();
        self.left.notify_one();
    }

    /// Waits until the last replies have been sent, for a moment.
    async fn send_rest(&self) {
        /// Longest wait for a client that does not take its last replies, in steps of 1 ms.
        const STEPS_MAX: usize = 10_000;
        for _ in 0..STEPS_MAX {
            if self.closing.load(Ordering::SeqCst) || self.unsent.load(Ordering::Relaxed) == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    fn leave(&self, shared: &Shared) {
        self.closing.store(true, Ordering::SeqCst);
        self.socket.shutdown();
        self.left.notify_one();
        shared.connections.lock().remove(&self.id);
        shared.node.lock().disconnect(self.id);
        let [received, transmitted] = &shared.closed_net;
        received.fetch_add(self.received.load(Ordering::Relaxed), Ordering::Relaxed);
        transmitted.fetch_add(self.transmitted.load(Ordering::Relaxed), Ordering::Relaxed);
        for (closed, calls) in shared.closed_calls.iter().zip(&self.calls) {
            closed.fetch_add(calls.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Counts one more; only the connection's own thread does, so that this needs no locked instruction.
#[inline]
fn count_call(calls: &AtomicU64) {
    calls.store(calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// For requests that this node encoded itself.
const UNLIMITED: RequestLimits = RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true };
