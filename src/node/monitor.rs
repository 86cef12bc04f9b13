//! MONITOR: every command as it runs, to those who asked.

use std::fmt::Write as _;

use crate::commands::auth::is_secret;
use crate::commands::{Entry, Flag};
use crate::resp::Args;
use crate::state::client::Client;
use crate::state::{Output, State};

/// Shows a command that has run to all monitors, if there are any. EXEC comes behind what it ran.
#[inline]
pub(super) fn feed(state: &mut State, client: &Client, entry: &Entry, args: Args<'_>) {
    if state.monitors > 0 {
        show(state, client, entry, args);
    }
}

#[cold]
fn show(state: &mut State, client: &Client, entry: &Entry, args: Args<'_>) {
    if entry.flags.has(Flag::SkipMonitor) || entry.flags.has(Flag::Admin) {
        return;
    }
    let line = line(state.time.unix_us, client, entry, args);
    let State { clients, outputs, .. } = state;
    for monitor in clients.iter().filter(|other| other.monitor) {
        outputs.push(Output::Push { client: monitor.id, bytes: line.clone() });
    }
}

fn line(unix_us: u64, client: &Client, entry: &Entry, args: Args<'_>) -> Vec<u8> {
    let (seconds, micros) = (unix_us / 1_000_000, unix_us % 1_000_000);
    let from = if client.peer.unix {
        format!("unix:{}", client.peer.local_address)
    } else {
        client.peer.address.clone()
    };
    let mut line = format!("+{seconds}.{micros:06} [{} {from}]", client.db);
    for (index, arg) in args.iter().enumerate() {
        line.push(' ');
        let secret = is_secret(&entry.full_name, args, index);
        quote(&mut line, if secret { b"(redacted)" } else { arg });
    }
    line.push_str("\r\n");
    line.into_bytes()
}

/// Bytes as a quoted word, unprintable ones escaped.
fn quote(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                // Writing to a string cannot fail.
                let _infallible = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted() {
        let mut out = String::new();
        quote(&mut out, b"a\"\\\n\x00\xff ");
        assert_eq!(out, r#""a\"\\\n\x00\xff ""#);
    }
}
