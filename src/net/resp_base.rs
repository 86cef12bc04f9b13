//! A base of commands instead of a snapshot (`aof-use-rdb-preamble no`).

use std::io::{self, Write};

use super::shared::Shared;
use crate::keyspace::{ValueRef, WalkBatch, WalkEntry};
use crate::node::Begun;
use crate::resp::inline::encode;
use crate::state::stream::select_command;

/// Writes what a walk gives as commands. `step` fills a batch and says whether the walk has ended.
pub(super) fn write(
    _shared: &Shared,
    begun: &Begun,
    sink: &mut impl Write,
    mut step: impl FnMut(&mut WalkBatch) -> bool,
) -> io::Result<()> {
    let mut out = Vec::new();
    if !begun.functions.is_empty() {
        return Err(io::Error::other(
            "function libraries need a snapshot as base: set aof-use-rdb-preamble to yes",
        ));
    }
    let mut db = None;
    let mut batch = WalkBatch::default();
    loop {
        let done = step(&mut batch);
        for entry in batch.iter() {
            if db != Some(entry.db) {
                db = Some(entry.db);
                out.extend_from_slice(&select_command(entry.db));
            }
            write_entry(&mut out, &entry)?;
        }
        batch.clear();
        sink.write_all(&out)?;
        out.clear();
        if done {
            return Ok(());
        }
    }
}

fn write_entry(out: &mut Vec<u8>, entry: &WalkEntry<'_>) -> io::Result<()> {
    match entry.value {
        ValueRef::Str(bytes) => out.extend(encode(&[b"SET", entry.key, bytes])),
        ValueRef::Int(number) => {
            let digits = number.to_string();
            out.extend(encode(&[b"SET", entry.key, digits.as_bytes()]));
        }
        ValueRef::Object(_) => {
            return Err(io::Error::other(
                "collections need a snapshot as base: set aof-use-rdb-preamble to yes",
            ));
        }
    }
    if let Some(when) = entry.expiry_ms {
        let digits = when.to_string();
        out.extend(encode(&[b"PEXPIREAT", entry.key, digits.as_bytes()]));
    }
    Ok(())
}
