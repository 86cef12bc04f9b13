//! Commands of a log that have been read and not played, and how they are read and played.

use highwater_persistence::log::reader::{Entries, EntryKind};

use super::crew::Deal;
use crate::commands;
use crate::node::replay::Replay;
use crate::resp::Args;
use crate::resp::errors::printable;

/// Commands whose keys' memory is fetched at a time, before the first of them is played.
pub(super) const AHEAD: usize = 16;

/// Commands handed to a worker at a time.
const BATCH: usize = 256;

/// Reads the commands of a log that has been verified.
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    entries: Entries<'b>,
    /// Where the arguments of the last command lie, counted from its position.
    ranges: Vec<(u32, u32)>,
}

/// A command just read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command<'r> {
    /// Position in the file.
    pub(super) position: usize,
    pub(super) entry: &'static commands::Entry,
    pub(super) args: Args<'r>,
    size: usize,
    ranges: &'r [(u32, u32)],
}

impl<'b> Reader<'b> {
    /// Begins at position `at` of a file.
    pub(super) fn new(bytes: &'b [u8], at: usize) -> Self {
        let entries = Entries::new(bytes, None).unverified().from_position(at);
        Self { bytes, entries, ranges: Vec::new() }
    }

    /// The next command, resolved as `replay` does it; `None` at the end.
    ///
    /// # Errors
    /// What stands there, or the command, cannot be understood; in a sentence that names the position.
    pub(super) fn next(&mut self, replay: &Replay) -> Result<Option<Command<'_>>, String> {
        let (position, size) = loop {
            let Some(entry) = self.entries.next() else { return Ok(None) };
            let entry = entry.map_err(|error| error.to_string())?;
            let EntryKind::Command { args, .. } = entry.kind else { continue };
            self.ranges.clear();
            let relative = |place: usize| u32::try_from(place - entry.position);
            for &(start, end) in args.places() {
                let (Ok(start), Ok(end)) = (relative(start), relative(end)) else {
                    return Err(format!("a command at byte {} is too large", entry.position));
                };
                self.ranges.push((start, end));
            }
            break (entry.position, entry.size);
        };
        let args = Args::new(&self.bytes[position..position + size], &self.ranges, None);
        let entry = replay.resolve(args).map_err(|error| {
            let (name, error) = (printable(&args[0]), error.text());
            format!(
                "Unknown command '{name}' reading the append only file at byte {position}: {error}. Nothing was \
                 changed. A log without it can be had from the server that wrote this one: BGREWRITEAOF there \
                 replaces commands by a snapshot, which holds values of every type"
            )
        })?;
        Ok(Some(Command { position, entry, args, size, ranges: &self.ranges }))
    }
}

impl Command<'_> {
    /// Whether commands behind this one may be played in another database.
    pub(super) fn selects(&self) -> bool {
        self.entry.command.name == "select"
    }
}

/// A command, as a place in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    position: usize,
    size: usize,
    arguments: usize,
    db: u32,
    entry: &'static commands::Entry,
}

/// Commands in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Batch {
    places: Vec<Place>,
    /// Where all their arguments lie, each counted from its command's position.
    ranges: Vec<(u32, u32)>,
}

impl Deal for Batch {
    fn new() -> Self {
        Self::with_capacity(BATCH)
    }

    fn is_full(&self) -> bool {
        self.len() == BATCH
    }
}

impl Batch {
    /// Room for `commands` commands of three arguments.
    pub(super) fn with_capacity(commands: usize) -> Self {
        Self { places: Vec::with_capacity(commands), ranges: Vec::with_capacity(3 * commands) }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.ranges.clear();
    }

    /// Adds a command, to be played with database `db` in force.
    pub(super) fn push(&mut self, command: &Command<'_>, db: u32) {
        let &Command { position, entry, size, ranges, .. } = command;
        self.ranges.extend_from_slice(ranges);
        self.places.push(Place { position, size, arguments: ranges.len(), db, entry });
    }

    /// Plays the commands, which are of the file `bytes`. Returns the position of the last one that answered an error.
    pub(super) fn play(&self, bytes: &[u8], replay: &mut Replay) -> Option<usize> {
        let mut last_failed = None;
        let (mut fetched, mut played) = (self.iter(bytes), self.iter(bytes));
        for first in self.places.iter().step_by(AHEAD) {
            let ahead = fetched.by_ref().take(AHEAD).filter(|(place, _)| place.db == first.db);
            replay.prefetch(first.db, ahead.filter_map(|(_, args)| args.get(1)));
            for (place, args) in played.by_ref().take(AHEAD) {
                let failed = replay.failed.0;
                replay.play(place.db, place.entry, args);
                if replay.failed.0 != failed {
                    last_failed = Some(place.position);
                }
            }
        }
        last_failed
    }

    fn iter<'s>(&'s self, bytes: &'s [u8]) -> impl Iterator<Item = (&'s Place, Args<'s>)> {
        let mut ranges = &self.ranges[..];
        self.places.iter().map(move |place| {
            let (own, rest) = ranges.split_at(place.arguments);
            ranges = rest;
            let own_bytes = &bytes[place.position..place.position + place.size];
            (place, Args::new(own_bytes, own, None))
        })
    }
}
