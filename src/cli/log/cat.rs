//! `highwater log cat`: the entries as text, or as JSON lines.

use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use highwater_persistence::log::annotation::Annotation;
use highwater_persistence::log::{Entry, EntryKind};
use serde_json::{Value, json};

use super::source::Source;
use crate::cli::complain;

pub(super) fn run(path: &Path, as_json: bool, offsets: Range<u64>) -> Result<ExitCode, String> {
    let source = Source::open(path)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let stopped = source.for_each(|piece, entry| {
        let wanted = piece.is_base || offsets.contains(&entry.offset.0);
        if !wanted {
            return Ok(entry.offset.0 < offsets.end);
        }
        let line = if as_json { in_json(&piece.name(), entry).to_string() } else { in_text(entry) };
        // A reader that has gone away has seen enough.
        Ok(writeln!(out, "{line}").is_ok())
    })?;
    drop(out.flush());
    let Some((piece, error)) = stopped else { return Ok(ExitCode::SUCCESS) };
    complain(&format!("{} stopped {error}", piece.path.display()));
    Ok(ExitCode::FAILURE)
}

/// Position in the file, offset, and what it is; bytes that are not printable are escaped.
fn in_text(entry: &Entry<'_>) -> String {
    let place = format!("{:>10} {:>12}", entry.position, entry.offset);
    match &entry.kind {
        EntryKind::Command { args, local, .. } => {
            let words: Vec<String> =
                args.iter().map(|word| format!("\"{}\"", word.escape_ascii())).collect();
            format!("{place} {}{}", if *local { "(local) " } else { "" }, words.join(" "))
        }
        EntryKind::Annotation(line) => format!("{place} # {}", describe(&line.annotation)),
        EntryKind::Comment(text) => format!("{place} {}", text.trim_ascii_end().escape_ascii()),
    }
}

fn describe(annotation: &Annotation) -> String {
    match annotation {
        Annotation::Head(head) => {
            let lineage = head.lineage;
            format!(
                "head at {} of {}, before {} up to {}; {} local bytes",
                head.start, lineage.id, lineage.id2, lineage.off2, head.local
            )
        }
        Annotation::Batch(batch) => {
            format!(
                "batch of {} bytes up to {}, durable up to {}",
                batch.len, batch.end, batch.sync
            )
        }
        Annotation::Mark(mark) => {
            let stop = if mark.clean { ", orderly stop" } else { "" };
            format!("mark at {}, durable up to {}{stop}", mark.end, mark.sync)
        }
    }
}

fn in_json(file: &str, entry: &Entry<'_>) -> Value {
    let mut value = match &entry.kind {
        EntryKind::Command { args, unit, local } => {
            let words: Vec<Value> = args.iter().map(word_in_json).collect();
            json!({"type": "command", "args": words, "unit": format!("{unit:?}").to_lowercase(), "local": local})
        }
        EntryKind::Annotation(line) => match &line.annotation {
            Annotation::Head(head) => json!({
                "type": "head", "id": head.lineage.id.as_str(), "id2": head.lineage.id2.as_str(),
                "off2": head.lineage.off2.0, "start": head.start.0, "local": head.local,
            }),
            Annotation::Batch(batch) => json!({
                "type": "batch", "end": batch.end.0, "len": batch.len, "sync": batch.sync.0,
            }),
            Annotation::Mark(mark) => json!({
                "type": "mark", "end": mark.end.0, "sync": mark.sync.0, "clean": mark.clean,
            }),
        },
        EntryKind::Comment(text) => {
            json!({"type": "comment", "text": text.trim_ascii_end().escape_ascii().to_string()})
        }
    };
    value["file"] = json!(file);
    value["position"] = json!(entry.position);
    value["offset"] = json!(entry.offset.0);
    value
}

/// A string where the bytes are one, else their hex digits.
fn word_in_json(word: &[u8]) -> Value {
    match std::str::from_utf8(word) {
        Ok(text) => json!(text),
        Err(_) => {
            let hex: String = word.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}
