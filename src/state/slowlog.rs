//! Commands that took longer than `slowlog-log-slower-than`.

use std::collections::VecDeque;

/// Arguments kept of one command.
const ARGUMENTS_MAX: usize = 32;

/// Bytes kept of one argument.
const ARGUMENT_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slow {
    /// Number; grows, also across SLOWLOG RESET.
    pub id: u64,
    /// When it ran, seconds since 1970.
    pub at_s: u64,
    /// Microseconds it took.
    pub usec: u64,
    /// Its arguments, shortened.
    pub args: Vec<Vec<u8>>,
    /// Address of the client.
    pub address: String,
    /// Name of the client.
    pub name: Vec<u8>,
}

/// The slow commands, newest first.
#[derive(Debug, Clone, Default)]
pub struct SlowLog {
    entries: VecDeque<Slow>,
    next_id: u64,
}

impl SlowLog {
    /// Adds a command and drops the oldest beyond `max`.
    pub fn push<'a>(
        &mut self,
        at_s: u64,
        usec: u64,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        (address, name): (&str, &[u8]),
        max: usize,
    ) {
        let entry = Slow {
            id: self.next_id,
            at_s,
            usec,
            args: shorten(args),
            address: address.to_owned(),
            name: name.to_owned(),
        };
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(max);
    }

    /// All entries, newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Slow> {
        self.entries.iter()
    }

    /// Forgets all entries.
    pub fn reset(&mut self) {
        self.entries.clear();
    }
}

/// At most 32 arguments of at most 128 bytes, each cut saying how much is missing.
fn shorten<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let count = args.len();
    let shown = if count > ARGUMENTS_MAX { ARGUMENTS_MAX - 1 } else { count };
    let mut kept: Vec<Vec<u8>> = args.take(shown).map(shorten_argument).collect();
    if count > shown {
        kept.push(format!("... ({} more arguments)", count - shown).into_bytes());
    }
    kept
}

fn shorten_argument(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= ARGUMENT_BYTES_MAX {
        return arg.to_vec();
    }
    let mut kept = arg[..ARGUMENT_BYTES_MAX].to_vec();
    kept.extend_from_slice(
        format!("... ({} more bytes)", arg.len() - ARGUMENT_BYTES_MAX).as_bytes(),
    );
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_are_shortened() {
        let long = [b'x'; 200];
        let args: Vec<&[u8]> = (0..40).map(|_| &long[..]).collect();
        let mut log = SlowLog::default();
        log.push(1, 2, args.into_iter(), ("127.0.0.1:1", b""), 10);
        let entry = log.entries().next().unwrap();
        assert_eq!(entry.args.len(), 32);
        assert_eq!(entry.args[31], b"... (9 more arguments)");
        assert!(entry.args[0].ends_with(b"... (72 more bytes)"));
    }

    #[test]
    fn numbers_go_on_after_reset() {
        let mut log = SlowLog::default();
        for _ in 0..3 {
            log.push(1, 2, [&b"get"[..]].into_iter(), ("", b""), 2);
        }
        assert_eq!(log.entries().len(), 2);
        log.reset();
        log.push(1, 2, [&b"get"[..]].into_iter(), ("", b""), 2);
        assert_eq!(log.entries().next().unwrap().id, 3);
    }
}
