//! What a node knows of one client.

use crate::clock::Time;
use crate::keyspace::Slot;
use crate::pubsub::Counts;
use crate::replication::replicas::Announced;
use crate::resp::Args;

/// Number of a connection; grows, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// Whether a client's replies are sent (CLIENT REPLY).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// All of them.
    #[default]
    On,
    /// None.
    Off,
    /// Not that of the next command.
    SkipNext,
    /// Not that of the command running now, or waiting.
    SkipThis,
}

/// Why a client's next request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// CLIENT PAUSE.
    Paused,
    /// SAVE, DEBUG RELOAD and the like: until a job of persistence ends.
    Job,
    /// Until a key that the command would change has arrived where it is on its way to, or has not.
    Held,
    /// A command that waits for keys ([`super::key_waits`] knows which).
    OnKeys,
    /// A command that waits for replicas or the log, up to a moment (milliseconds since 1970; 0 for ever).
    Waiting {
        /// When it gives up.
        until_ms: u64,
        /// What it is told then.
        reply: Timeout,
    },
}

/// The reply to a command that has waited in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// `+OK`: sleeping was all it was to do.
    Ok,
    /// How many replicas have acknowledged (WAIT).
    Acked {
        /// Log offset that is waited for.
        offset: u64,
        /// How many have to.
        replicas: usize,
    },
    /// Whether it is synced here, and on how many replicas (WAITAOF).
    Synced {
        /// Log offset that is waited for.
        offset: u64,
        /// Whether it has to be synced here.
        local: bool,
        /// On how many replicas it has to be.
        replicas: usize,
    },
}

/// A request waiting for EXEC.
#[derive(Debug, Clone)]
pub struct Queued {
    /// The request as a RESP array.
    pub bytes: Vec<u8>,
    /// Where its arguments lie in `bytes`.
    pub ranges: Vec<(u32, u32)>,
    /// Whether `bytes` is in canonical form.
    pub canonical: bool,
}

impl Queued {
    /// A request of these words.
    ///
    /// # Panics
    /// If they are larger than any request can be, 4 GiB.
    pub fn of(words: &[&[u8]]) -> Self {
        let bytes = crate::resp::inline::encode(words);
        let offset = |at: usize| u32::try_from(at).expect("requests are below 4 GiB");
        let mut at = 0;
        let line = |from: usize| {
            from + memchr::memchr(b'\n', &bytes[from..]).expect("encoded just now") + 1
        };
        let mut ranges = Vec::with_capacity(words.len());
        at = line(at);
        for word in words {
            let start = line(at);
            ranges.push((offset(start), offset(start + word.len())));
            at = start + word.len() + 2;
        }
        Self { bytes, ranges, canonical: true }
    }

    /// The arguments.
    pub fn args(&self) -> Args<'_> {
        let raw = self.canonical.then(|| (0, u32::try_from(self.bytes.len()).unwrap_or(0)));
        Args::new(&self.bytes, &self.ranges, raw)
    }

    /// Bytes of memory that it takes.
    pub fn memory_usage(&self) -> usize {
        self.bytes.len() + self.ranges.len() * size_of::<(u32, u32)>()
    }
}

/// A transaction being queued.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The requests so far.
    pub queue: Vec<Queued>,
    /// Whether a request was refused, so that EXEC must fail.
    pub refused: bool,
    /// Whether a queued command may write.
    pub writes: bool,
    /// Whether a queued command may reach replicas, though it does not write.
    pub may_replicate: bool,
    /// Whether a queued command is refused when memory is full.
    pub grows: bool,
    /// Whether a queued command is refused while data are loaded.
    pub needs_data: bool,
    /// Whether a queued command is refused on a replica without its primary.
    pub needs_primary: bool,
}

/// Facts of the connection, fixed when it was accepted.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// `ip:port` or `path:0` of the other side.
    pub address: String,
    /// The same of this side.
    pub local_address: String,
    /// File descriptor.
    pub fd: i32,
    /// Connected through the unix socket.
    pub unix: bool,
    /// Connected from this host.
    pub loopback: bool,
}

/// One connected client.
#[derive(Debug)]
pub struct Client {
    /// Its number.
    pub id: ClientId,
    /// Its connection.
    pub peer: Peer,
    /// Selected database.
    pub db: u32,
    /// Whether it speaks RESP3.
    pub resp3: bool,
    /// Whether it has authenticated, or need not.
    pub authenticated: bool,
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Vec<u8>,
    /// MULTI in progress.
    pub transaction: Option<Transaction>,
    /// Whether EXEC is running its queue: nothing may wait.
    pub in_exec: bool,
    /// Whether it watches keys (the keyspace knows which).
    pub watching: bool,
    /// Whether a watched key has changed.
    pub watch_broken: bool,
    /// Watches all commands (MONITOR).
    pub monitor: bool,
    /// How much it listens to; `pubsub` knows what.
    pub subscriptions: Counts,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// READONLY: a replica may answer its reads.
    pub readonly: bool,
    /// ASKING: its next command may use a slot that is on its way here.
    pub asking: bool,
    /// Slot of the keys of the request that runs now, in cluster mode.
    pub slot: Option<Slot>,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// Why its next request waits.
    pub blocked: Option<Blocked>,
    /// Bytes that its command takes while it waits for keys.
    pub waiting_bytes: usize,
    /// Log offset behind all that it has written, or seen of what others have: what WAIT waits for.
    pub wait_offset: u64,
    /// What it says of itself as a replica.
    pub announced: Option<Box<Announced>>,
    /// It follows the stream: what it asks for is not answered.
    pub is_replica: bool,
    /// The command that runs now has no reply.
    pub answers_nothing: bool,
    /// The connection is to be closed once the replies are out.
    pub close_after_reply: bool,
    /// The connection is to be closed now (CLIENT KILL).
    pub killed: bool,
    /// Full name of the last command, for CLIENT LIST.
    pub last_command: &'static str,
    /// When it connected.
    pub created: Time,
    /// When it last sent something.
    pub last_interaction: Time,
    /// Bytes waiting in its query buffer, told by the driver.
    pub query_bytes: usize,
    /// Bytes waiting in its output buffer, told by the driver.
    pub output_bytes: usize,
    /// Bytes received.
    pub net_in: u64,
    /// Bytes sent.
    pub net_out: u64,
    /// The soft limit of the output buffer has been passed since then (monotonic milliseconds).
    pub soft_limit_since_ms: Option<u64>,
}

impl Client {
    /// A client that has just connected.
    pub fn new(id: ClientId, peer: Peer, authenticated: bool, time: Time) -> Self {
        Self {
            id,
            peer,
            db: 0,
            resp3: false,
            authenticated,
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_ver: Vec::new(),
            transaction: None,
            in_exec: false,
            watching: false,
            watch_broken: false,
            monitor: false,
            subscriptions: Counts::default(),
            no_evict: false,
            no_touch: false,
            readonly: false,
            asking: false,
            slot: None,
            reply_mode: ReplyMode::On,
            blocked: None,
            waiting_bytes: 0,
            wait_offset: 0,
            announced: None,
            is_replica: false,
            answers_nothing: false,
            close_after_reply: false,
            killed: false,
            last_command: "NULL",
            created: time,
            last_interaction: time,
            query_bytes: 0,
            output_bytes: 0,
            net_in: 0,
            net_out: 0,
            soft_limit_since_ms: None,
        }
    }

    /// The command that has waited is to be answered now: whether its client wants that.
    pub fn wants_reply(&mut self) -> bool {
        let mode = self.reply_mode;
        if mode == ReplyMode::SkipThis {
            self.reply_mode = ReplyMode::On;
        }
        mode == ReplyMode::On
    }

    /// Bytes of memory that the connection takes: itself, its buffers, its queue, its subscriptions,
    /// the command that waits for keys.
    pub fn memory_usage(&self) -> usize {
        /// What both sides keep of one subscription, but for the name, which others may share.
        const SUBSCRIPTION_BYTES: usize = 64;
        let queue = self
            .transaction
            .as_ref()
            .map_or(0, |transaction| transaction.queue.iter().map(Queued::memory_usage).sum());
        let texts = self.name.len() + self.lib_name.len() + self.lib_ver.len();
        let addresses = self.peer.address.len() + self.peer.local_address.len();
        let subscriptions = self.subscriptions.total() * SUBSCRIPTION_BYTES;
        let buffers = self.query_bytes + self.output_bytes + self.waiting_bytes;
        size_of::<Self>() + queue + texts + addresses + subscriptions + buffers
    }
}
