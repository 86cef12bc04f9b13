//! A reply as text, in each of the forms that people and scripts read.
//!
//! Source: Debian's `redis-cli` 7.0.15, whose output `tests/cli` compares ours with, byte for byte.

mod csv;
mod json;
mod quote;
mod raw;
mod standard;

use crate::cli::wire::Reply;

use super::options::Options;

pub(super) use quote::{quoted, quoted_text};

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For a terminal: types are shown, strings are quoted.
    Standard,
    /// The bytes as they are.
    Raw,
    /// Values with commas between.
    Csv,
    /// One JSON value. Bytes that are no UTF-8 are passed through.
    Json,
    /// JSON whose strings are quoted as on a terminal first, so that it is ASCII.
    QuotedJson,
}

/// A reply as it is printed, its end included.
pub(super) fn format(reply: &Reply, format: Format, options: &Options) -> Vec<u8> {
    let mut out = Vec::new();
    match format {
        Format::Standard => standard::write(&mut out, reply, ""),
        Format::Raw => {
            raw::write(&mut out, reply, &options.element_delimiter);
            out.extend_from_slice(&options.reply_delimiter);
        }
        Format::Csv => {
            csv::write(&mut out, reply);
            out.push(b'\n');
        }
        Format::Json | Format::QuotedJson => {
            json::write(&mut out, reply, format == Format::QuotedJson);
            out.push(b'\n');
        }
    }
    out
}

/// A text for people: nothing is added to it.
pub(super) fn text(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    raw::write(&mut out, reply, b"\n");
    out
}

/// What a server sent unasked.
pub(super) fn push(push: &Reply, options: &Options) -> Vec<u8> {
    let elements = push.elements().unwrap_or_default();
    if let [kind, keys] = elements
        && kind.bytes() == Some(b"invalidate")
        && options.format == Format::Standard
    {
        let keys = keys.elements().unwrap_or_default().iter().filter_map(Reply::text);
        let keys: Vec<String> = keys.map(|key| format!("'{key}'")).collect();
        return format!("-> invalidate: {}\n", keys.join(", ")).into_bytes();
    }
    format(push, options.format, options)
}

/// What a reply begins with, in the tests of this folder.
#[cfg(test)]
fn reply(bytes: &str) -> Reply {
    Reply::read(&mut bytes.as_bytes()).expect("a reply")
}
