//! Commands of a log, read some ahead of being played.

use highwater_persistence::log::reader::{Entries, EntryKind};

use crate::resp::Args;

/// Commands read ahead of being played.
const AHEAD: usize = 16;

/// Commands of a log that have been read and not played.
#[derive(Default)]
pub(super) struct Ahead {
    /// Position and size of each in the file, and how many arguments it has.
    commands: Vec<(usize, usize, usize)>,
    /// Where the arguments lie, counted from the command's own position.
    ranges: Vec<(u32, u32)>,
}

impl Ahead {
    /// Reads the next few commands. False: there are no more.
    pub(super) fn fill(&mut self, bytes: &[u8], entries: &mut Entries<'_>) -> Result<bool, String> {
        debug_assert!(bytes.len() >= entries.position(), "the entries are of these bytes");
        self.commands.clear();
        self.ranges.clear();
        while self.commands.len() < AHEAD {
            let Some(entry) = entries.next() else { return Ok(false) };
            let entry = entry.map_err(|error| error.to_string())?;
            let EntryKind::Command { args, .. } = entry.kind else { continue };
            let relative = |place: usize| u32::try_from(place - entry.position);
            for &(start, end) in args.places() {
                let (Ok(start), Ok(end)) = (relative(start), relative(end)) else {
                    return Err(format!("a command at byte {} is too large", entry.position));
                };
                self.ranges.push((start, end));
            }
            self.commands.push((entry.position, entry.size, args.len()));
        }
        Ok(true)
    }

    /// Positions and arguments of the commands.
    pub(super) fn iter<'b>(&'b self, bytes: &'b [u8]) -> impl Iterator<Item = (usize, Args<'b>)> {
        let mut ranges = &self.ranges[..];
        self.commands.iter().map(move |&(position, size, count)| {
            let (own, rest) = ranges.split_at(count);
            ranges = rest;
            (position, Args::new(&bytes[position..position + size], own, None))
        })
    }
}
