//! What jobs need of the outside. The driver's threads give it to them by waiting; a simulation plays it.
//!
//! The code of jobs is written once, as futures. On a thread of the driver each is ready when it is first asked: it has waited
//! meanwhile, so nothing has to be woken. In a simulation it is ready when the event has come.

use std::io;
use std::time::Duration;

use crate::clock::Time;
use crate::node::Node;

/// What the other node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `+OK`
    Ok,
    /// A number.
    Number(u64),
    /// An error, its code first.
    Error(String),
}

impl Answer {
    /// Reads a line. `None`: it is none of these.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        match line.split_at_checked(1)? {
            ("+", _) => Some(Answer::Ok),
            (":", number) => number.parse().ok().map(Answer::Number),
            ("-", error) => Some(Answer::Error(error.to_owned())),
            _ => None,
        }
    }
}

/// How much is done at a time.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Keys and bytes that one step of the walk takes at most, with the node locked.
    pub step_entries: usize,
    /// See `step_entries`.
    pub step_bytes: usize,
    /// A batch goes out when it has so many bytes: the target applies it in one turn.
    pub batch: usize,
    /// Batches that have not been answered wait for that when there are so many bytes of them.
    pub window: usize,
    /// Writes begin to wait when so many bytes at most are missing. Few, since what is missing is what they wait for.
    pub near: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        let (step_entries, step_bytes) = (256, 128 * 1024);
        Self { step_entries, step_bytes, batch: 64 * 1024, window: 4 << 20, near: 64 * 1024 }
    }
}

/// The node, its log, its clock, and the way to others. Of a process that runs: when that ends, nothing goes on.
pub trait World {
    /// A connection to another node. It is closed when it is dropped.
    type Link: Link;
    /// A place in the node's own stream.
    type Stream: OwnStream;

    /// Looks at the node, or changes what nobody outside has to hear of.
    fn look<T>(&self, look: impl FnOnce(&mut Node) -> T) -> T;

    /// Runs something with the node, and carries out what it asks for.
    fn run<T>(&self, run: impl FnOnce(&mut Node, Time) -> T) -> impl Future<Output = T>;

    /// Opens a connection.
    ///
    /// # Errors
    /// In a sentence.
    fn open(&self, host: &str, port: u16) -> impl Future<Output = Result<Self::Link, String>>;

    /// Lets time pass.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;

    /// Monotonic microseconds.
    fn now_us(&self) -> u64;

    /// Has what is pending appended to the log and handed on.
    fn append(&self) -> impl Future<Output = ()>;

    /// The same, and syncs the log.
    ///
    /// # Errors
    /// Why the log is not on disk.
    fn sync(&self) -> impl Future<Output = Result<(), String>>;

    /// The stream can be read from here on.
    fn keep_stream(&self);

    /// A place in the stream: `at`, which is where it ends. May be asked for while the node is looked at.
    fn stream_from(&self, at: u64) -> Self::Stream;

    /// Whether the process is about to end.
    fn is_stopping(&self) -> bool;

    /// How much is done at a time.
    fn sizes(&self) -> Sizes {
        Sizes::default()
    }
}

/// A connection to another node: requests go out, answers come back in order.
pub trait Link {
    /// Sends bytes that are requests.
    ///
    /// # Errors
    /// Some of them may have got there.
    fn send(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>>;

    /// Waits for the next answer.
    ///
    /// # Errors
    /// There is none in time, the connection is gone, or what came is none.
    fn answer(&mut self, timeout: Duration) -> impl Future<Output = io::Result<Answer>>;

    /// Whether an answer, or a part of one, is there to be read.
    ///
    /// # Errors
    /// The connection is gone.
    fn has_answer(&mut self) -> io::Result<bool>;
}

/// A place in the node's own stream. What is behind it is kept until it is dropped.
pub trait OwnStream {
    /// The offset of the next byte.
    fn at(&self) -> u64;

    /// What is behind here has been appended: sees to it that nobody can take it away.
    fn open(&mut self);

    /// The next bytes; none where the stream ends for now.
    ///
    /// # Errors
    /// They are nowhere to be had any more.
    fn next(&mut self) -> impl Future<Output = Result<&[u8], String>>;
}
