//! `highwater log stat`: what is in a log.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::ExitCode;

use highwater_persistence::log::annotation::Annotation;
use highwater_persistence::log::{Args, Entry, EntryKind, UnitPart};
use serde::Serialize;

use super::source::Source;
use crate::cli::check_aof::timestamp;
use crate::cli::say;
use crate::commands::{keys, table};
use crate::keyspace::Slot;

/// The counts. Keys and slots are those that commands name; a snapshot at the beginning is not looked into.
#[derive(Debug, Default, Serialize)]
struct Stat {
    files: Vec<FileStat>,
    commands: BTreeMap<String, CommandStat>,
    units: u64,
    stream_bytes: u64,
    batches: u64,
    first_offset: Option<u64>,
    last_offset: Option<u64>,
    durable_offset: u64,
    first_time: Option<i64>,
    last_time: Option<i64>,
    ids: Vec<String>,
    keys: usize,
    slots: usize,
    busiest_slots: Vec<(u16, u64)>,
    stopped: Option<String>,
}

#[derive(Debug, Serialize)]
struct FileStat {
    name: String,
    bytes: usize,
    snapshot_bytes: usize,
}

#[derive(Debug, Default, Serialize)]
struct CommandStat {
    count: u64,
    bytes: u64,
}

/// How many of the busiest slots are named.
const SLOTS_SHOWN: usize = 10;

pub(super) fn run(path: &Path, as_json: bool) -> Result<ExitCode, String> {
    let source = Source::open(path)?;
    let mut stat = Stat::default();
    let mut seen = Seen { keys: HashSet::new(), slots: BTreeMap::new(), ranges: Vec::new() };
    for piece in &source.pieces {
        let (bytes, snapshot_bytes) = (piece.bytes.len(), piece.commands_at);
        stat.files.push(FileStat { name: piece.name(), bytes, snapshot_bytes });
    }
    let stopped = source.for_each(|piece, entry| {
        stat.add(entry, piece.is_base, &piece.bytes, &mut seen);
        Ok(true)
    })?;
    stat.stopped = stopped.map(|(piece, error)| format!("{} {error}", piece.name()));
    stat.keys = seen.keys.len();
    stat.slots = seen.slots.len();
    stat.busiest_slots = seen.slots.into_iter().collect();
    stat.busiest_slots.sort_by_key(|(slot, count)| (u64::MAX - count, *slot));
    stat.busiest_slots.truncate(SLOTS_SHOWN);
    let text = if as_json {
        serde_json::to_string(&stat).map_err(|error| error.to_string())?
    } else {
        stat.in_text()
    };
    say(&text);
    Ok(if stat.stopped.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Keys and slots met so far.
struct Seen {
    keys: HashSet<Vec<u8>>,
    slots: BTreeMap<u16, u64>,
    ranges: Vec<(u32, u32)>,
}

impl Stat {
    fn add(&mut self, entry: &Entry<'_>, is_base: bool, bytes: &[u8], seen: &mut Seen) {
        match &entry.kind {
            EntryKind::Command { args, unit, local } => {
                let size = u64::try_from(entry.size).expect("a usize is at most 64 bits");
                if !is_base && !local {
                    self.first_offset.get_or_insert(entry.offset.0);
                    self.last_offset = Some(entry.offset.0 + size);
                    self.stream_bytes += size;
                    self.units += u64::from(matches!(unit, UnitPart::Whole | UnitPart::Last));
                }
                let name = args.name().escape_ascii().to_string().to_ascii_lowercase();
                let command = self.commands.entry(name).or_default();
                command.count += 1;
                command.bytes += size;
                seen.add(args, &bytes[entry.position..entry.position + entry.size], entry.position);
            }
            EntryKind::Annotation(line) => {
                if let Annotation::Head(head) = &line.annotation {
                    let id = head.lineage.id.to_string();
                    if self.ids.last() != Some(&id) {
                        self.ids.push(id);
                    }
                }
                self.batches += u64::from(matches!(line.annotation, Annotation::Batch(_)));
                let sync = line.annotation.sync().map_or(0, |sync| sync.0);
                self.durable_offset = self.durable_offset.max(sync);
            }
            EntryKind::Comment(text) => {
                if let Some(time) = timestamp(text) {
                    self.first_time = Some(self.first_time.map_or(time, |first| first.min(time)));
                    self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
                }
            }
        }
    }

    fn in_text(&self) -> String {
        let mut lines = Vec::new();
        for file in &self.files {
            let snapshot = match file.snapshot_bytes {
                0 => String::new(),
                bytes => format!(", {bytes} of them a snapshot"),
            };
            lines.push(format!("{}: {} bytes{snapshot}", file.name, file.bytes));
        }
        let shown = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let (first, last) = (shown(self.first_offset), shown(self.last_offset));
        lines.push(format!("offsets {first} to {last}, durable up to {}", self.durable_offset));
        lines.push(match self.first_time {
            None => "no time stamps ('aof-timestamp-enabled yes' writes them)".to_owned(),
            Some(first) => {
                format!("times {first} to {} (seconds since 1970)", self.last_time.unwrap_or(first))
            }
        });
        lines.push(format!(
            "ids {}",
            if self.ids.is_empty() { "-".to_owned() } else { self.ids.join(" ") }
        ));
        lines.push(format!(
            "{} units, {} bytes of stream, {} batches; {} keys in {} slots",
            self.units, self.stream_bytes, self.batches, self.keys, self.slots
        ));
        let mut commands: Vec<_> = self.commands.iter().collect();
        commands.sort_by_key(|(name, command)| (u64::MAX - command.count, *name));
        for (name, command) in commands {
            lines.push(format!("{:>12} {name}, {} bytes", command.count, command.bytes));
        }
        let slots: Vec<_> =
            self.busiest_slots.iter().map(|(slot, count)| format!("{slot} ({count})")).collect();
        lines.push(format!("busiest slots {}", slots.join(" ")));
        if let Some(stopped) = &self.stopped {
            lines.push(format!("stopped: {stopped}"));
        }
        lines.join("\n")
    }
}

impl Seen {
    /// Notes the keys of a command that lies at `position` of its file.
    fn add(&mut self, args: &Args<'_>, bytes: &[u8], position: usize) {
        let mut ranges = std::mem::take(&mut self.ranges);
        ranges.clear();
        for (start, end) in args.places() {
            let place = |at: usize| u32::try_from(at - position).ok();
            let (Some(start), Some(end)) = (place(*start), place(*end)) else { return };
            ranges.push((start, end));
        }
        let request = crate::resp::Args::new(bytes, &ranges, None);
        match table().find(args.name()) {
            Some(entry) => {
                keys::for_each_key(entry.command, request, |index, _| self.key(request.get(index)));
            }
            // Replication's own.
            None if args.name().eq_ignore_ascii_case(b"replconf") => {}
            // A command of a newer server or a module: most of them name their key first.
            None => self.key(request.get(1)),
        }
        self.ranges = ranges;
    }

    fn key(&mut self, key: Option<&[u8]>) {
        let Some(key) = key else { return };
        *self.slots.entry(Slot::of(key).number()).or_default() += 1;
        if !self.keys.contains(key) {
            self.keys.insert(key.to_vec());
        }
    }
}
