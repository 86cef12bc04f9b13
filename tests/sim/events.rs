//! What happens at a moment.

use crate::check::Promises;
use crate::clients::{Outcome, Request};
use crate::faults::Move;
use crate::moves::Parcel;
use crate::network::Message;

/// Which process of which machine: what belongs to a former one is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) machine: usize,
    pub(crate) life: u64,
}

/// Something that happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// To a process. It has to wait while the process is stopped.
    Of(Process, Own),
    /// A connection that is being opened reaches the other machine.
    Reach(u64),
    /// A message reaches a side of a connection.
    Arrive { pipe: u64, side: usize, message: Message },
    /// What was stalled on a connection goes on.
    Flush(u64),
    /// An operator goes on with the move of a slot.
    Move(Move),
    /// A writer's request reaches a machine.
    Asked { machine: usize, request: Request },
    /// A writer hears what became of its request, or nothing for too long.
    Answered { writer: usize, number: u64, outcome: Outcome },
    /// A writer does its next write.
    Write(usize),
    /// A machine is started.
    Start(usize),
    /// A stopped process goes on.
    Resume(usize),
    /// Partitions end.
    Join,
    /// Keys of a MIGRATE reach their target.
    Unpack(Parcel),
    /// Their source hears which have arrived.
    Arrived { source: Process, number: u64, arrived: Vec<usize> },
    /// It has heard nothing of a MIGRATE for too long.
    GiveUp(Process, u64),
}

/// Something that happens to a process.
#[derive(Debug)]
pub(crate) enum Own {
    /// A tenth of a second has passed.
    Tick,
    /// A connection was opened from outside.
    Accept(u64),
    /// A connection of its own is open, or is not.
    Opened { pipe: u64, is_open: bool, is_refused: bool },
    /// A message has come.
    Received { pipe: u64, side: usize, message: Message },
    /// `nodes.conf` has been written, or could not be.
    Saved { written: Option<(String, Promises)>, number: u64 },
    /// A change that is no promise is to be saved.
    SaveDue,
    /// The log gets what is pending.
    Commit,
    /// The log has been synced so far.
    Synced(usize),
    /// The log is to be synced.
    SyncDue,
    /// A task that moves slots goes on, if it still waits for this.
    Turn { task: u64, turn: u64 },
    /// What the log holds has been loaded.
    Loaded,
}
