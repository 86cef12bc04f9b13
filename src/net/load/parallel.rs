//! Playing a log on all cores.
//!
//! Commands on keys of different slots do not see each other, so the slots are dealt out to workers. The thread that
//! reads the log routes each command, by its keys, to the worker that has their slots; a worker plays what it is given
//! in the order of the file. A command that no worker can play alone (keys in several parts, FLUSHALL, SWAPDB) is a
//! *barrier*: the workers finish, their parts are joined, the command is played on the whole. Taking a keyspace apart
//! and joining it costs some milliseconds, so the log is played on by the one thread for a while before it is split
//! again, and for longer and longer where barriers are frequent.
//!
//! What results is what playing the commands one after the other results in; a test compares the two.

use std::sync::mpsc::Receiver;

use super::batch::{AHEAD, Batch, Command, Reader};
use super::crew::{self, Dealer};
use crate::commands::keys::for_each_key;
use crate::commands::{Flag, KeyFlag};
use crate::keyspace::{Slot, part_of};
use crate::node::replay::Replay;
use crate::resp::CommandError;

/// Commands played by one thread behind a barrier, at least and at most.
const ALONE_MIN: u64 = 20_000;
const ALONE_MAX: u64 = 16_000_000;

/// How a log is played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    workers: usize,
    alone_min: u64,
}

impl Plan {
    /// For a log of `bytes` bytes on this machine.
    pub(super) fn new(bytes: usize) -> Self {
        Self { workers: crew::workers_for(bytes), alone_min: ALONE_MIN }
    }

    /// Plays the commands of a file from position `at` on into `replay`. `count` is told the position of each.
    ///
    /// # Errors
    /// The first of the file that cannot be understood, in a sentence that names its position.
    pub(super) fn play(
        self,
        replay: &mut Replay,
        bytes: &[u8],
        at: usize,
        mut count: impl FnMut(u64),
    ) -> Result<(), String> {
        let mut player =
            Player { replay, bytes, reader: Reader::new(bytes, at), count: &mut count };
        if self.workers < 2 {
            return player.alone(u64::MAX).map(drop);
        }
        let mut alone = self.alone_min;
        loop {
            let (routed, barrier) = player.split(self.workers)?;
            if barrier.is_empty() {
                return Ok(());
            }
            barrier.play(bytes, player.replay);
            alone = if routed < alone { alone.saturating_mul(2) } else { alone / 2 };
            // Moving a slot looks at each of its keys with an expiry.
            let least = self.alone_min.saturating_add(player.volatile() / 4);
            alone = alone.clamp(least, ALONE_MAX.max(least));
            if !player.alone(alone)? {
                return Ok(());
            }
        }
    }
}

/// A log being played.
struct Player<'p> {
    replay: &'p mut Replay,
    bytes: &'p [u8],
    reader: Reader<'p>,
    count: &'p mut dyn FnMut(u64),
}

impl Player<'_> {
    /// Plays up to `most` commands on this thread. Says whether there may be more.
    fn alone(&mut self, most: u64) -> Result<bool, String> {
        let mut batch = Batch::with_capacity(AHEAD);
        let mut played = 0;
        let mut more = true;
        while more && played < most {
            batch.clear();
            // A batch ends with a SELECT, so that the database is known of all its commands.
            let mut ends = false;
            while batch.len() < AHEAD && !ends && more {
                match self.reader.next(self.replay)? {
                    Some(command) => {
                        ends = command.selects();
                        batch.push(&command, self.replay.db());
                        (self.count)(command.position as u64);
                    }
                    None => more = false,
                }
            }
            batch.play(self.bytes, self.replay);
            played += batch.len() as u64;
        }
        Ok(more)
    }

    /// Plays commands on workers. Returns how many, and the barrier that has been reached, to be played; at the end of
    /// the log there is none.
    fn split(&mut self, workers: usize) -> Result<(u64, Batch), String> {
        let parts = self.replay.split(workers);
        let bytes = self.bytes;
        let mut own_failure = None;
        let (routed, done) = crew::on_all_cores(
            parts,
            |part, batches| work(part, bytes, batches),
            |dealer| self.route(dealer, &mut own_failure),
        );
        let (parts, failures): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        self.replay.join(parts);
        let failures = failures.into_iter().chain([own_failure]).flatten();
        if let Some((_, error)) = failures.max_by_key(|&(position, _)| position) {
            self.replay.failed.1 = Some(error);
        }
        routed
    }

    /// Reads commands and hands them to workers, up to the next barrier or the end.
    fn route(
        &mut self,
        dealer: &mut Dealer<Batch>,
        own_failure: &mut Failure,
    ) -> Result<(u64, Batch), String> {
        let mut barrier = Batch::default();
        let mut routed = 0;
        while let Some(command) = self.reader.next(self.replay)? {
            (self.count)(command.position as u64);
            let db = self.replay.db();
            match part_for(&command, dealer.parts()) {
                Route::Part(part) => {
                    // A worker that takes nothing more has panicked, which is passed on when it is joined.
                    let _takes_more = dealer.put(part, |batch| batch.push(&command, db));
                    routed += 1;
                }
                Route::Reader => {
                    let failed = self.replay.failed.0;
                    self.replay.play(db, command.entry, command.args);
                    if self.replay.failed.0 != failed {
                        *own_failure = Some(command.position).zip(self.replay.failed.1.clone());
                    }
                }
                Route::Barrier => {
                    barrier.push(&command, db);
                    break;
                }
            }
        }
        Ok((routed, barrier))
    }

    /// Keys with expiry, of all databases.
    fn volatile(&mut self) -> u64 {
        let keyspace = &self.replay.node().state.keyspace;
        (0..keyspace.db_count()).map(|db| keyspace.volatile(db)).sum()
    }
}

/// Who plays a command.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    /// The worker with this part of the slots.
    Part(usize),
    /// The thread that reads: it concerns no keys, only what comes behind it.
    Reader,
    /// One thread, with the whole keyspace.
    Barrier,
}

fn part_for(command: &Command<'_>, parts: usize) -> Route {
    let entry = command.entry;
    if matches!(entry.command.name, "select" | "multi" | "exec") {
        return Route::Reader;
    }
    // Scripts, and whatever else neither reads nor writes by its flags, may do more than they declare.
    if !entry.flags.has(Flag::Write) && !entry.flags.has(Flag::Readonly) {
        return Route::Barrier;
    }
    let mut part = None;
    let mut together = true;
    let whole = for_each_key(entry.command, command.args, |index, spec| {
        let own = part_of(Slot::of(&command.args[index]), parts);
        let agrees = part.replace(own).is_none_or(|other| other == own);
        together &= agrees && !spec.flags.contains(&KeyFlag::Incomplete);
    });
    match part {
        Some(part) if whole && together => Route::Part(part),
        _ => Route::Barrier,
    }
}

/// Position and text of the last error that a command answered.
type Failure = Option<(usize, CommandError)>;

/// What a worker leaves.
type Done = (Replay, Failure);

/// Plays what a worker is given.
fn work(mut replay: Replay, bytes: &[u8], batches: &Receiver<Batch>) -> Done {
    let mut last_failed = None;
    for batch in batches {
        last_failed = batch.play(bytes, &mut replay).or(last_failed);
    }
    let failure = last_failed.zip(replay.failed.1.clone());
    (replay, failure)
}

#[cfg(test)]
mod tests;
