//! A base of commands instead of a snapshot (`aof-use-rdb-preamble no`).

use std::io::{self, Write};

use highwater_persistence::snapshot::EncoderOptions;

use crate::keyspace::{ValueRef, WalkBatch, WalkEntry};
use crate::node::Begun;
use crate::resp::inline::encode_into;
use crate::state::stream::select_command;
use crate::types::convert::{dump_object, write_commands};

/// What is written at once, roughly, in bytes.
const SOME_BYTES: usize = 1 << 20;

/// Writes what a walk gives as commands; `options` are those of payloads, for what no other command says. `step` fills a batch and says whether the walk has ended.
pub(super) fn write(
    begun: &Begun,
    options: &EncoderOptions,
    sink: &mut impl Write,
    mut step: impl FnMut(&mut WalkBatch) -> io::Result<bool>,
) -> io::Result<()> {
    let mut out = Vec::new();
    if !begun.beside.functions.is_empty() {
        return Err(io::Error::other(
            "function libraries need a snapshot as base: set aof-use-rdb-preamble to yes",
        ));
    }
    for note in begun.beside.jobs.notes() {
        encode_into(&mut out, &[b"PING", note.to_text().as_bytes()]);
    }
    let mut db = None;
    let mut batch = WalkBatch::default();
    loop {
        let done = step(&mut batch)?;
        for entry in batch.iter() {
            if db != Some(entry.db) {
                db = Some(entry.db);
                out.extend_from_slice(&select_command(entry.db));
            }
            write_entry(&mut out, &entry, options)?;
            if out.len() >= SOME_BYTES {
                sink.write_all(&out)?;
                out.clear();
            }
        }
        batch.clear();
        sink.write_all(&out)?;
        out.clear();
        if done {
            return Ok(());
        }
    }
}

fn write_entry(
    out: &mut Vec<u8>,
    entry: &WalkEntry<'_>,
    options: &EncoderOptions,
) -> io::Result<()> {
    match entry.value {
        ValueRef::Str(bytes) => encode_into(out, &[b"SET", entry.key, bytes]),
        ValueRef::Int(number) => {
            let digits = number.to_string();
            encode_into(out, &[b"SET", entry.key, digits.as_bytes()]);
        }
        ValueRef::Object(object) => {
            let start = out.len();
            if write_commands(object, entry.key, |words| encode_into(out, words)).is_err() {
                out.truncate(start);
                let payload = dump_object(object, options).map_err(io::Error::other)?;
                encode_into(out, &[b"RESTORE", entry.key, b"0", &payload]);
            }
        }
    }
    if let Some(when) = entry.expiry_ms {
        let digits = when.to_string();
        encode_into(out, &[b"PEXPIREAT", entry.key, digits.as_bytes()]);
    }
    Ok(())
}
