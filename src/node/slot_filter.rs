//! The stream, filtered by slot: what of it concerns slots on their way.

use crate::cluster::SlotSet;
use crate::commands::keys_of;
use crate::config::CommandNames;
use crate::keyspace::Slot;
use crate::resp::inline::encode_into;
use crate::resp::limits::RequestLimits;
use crate::resp::request::Parsed;
use crate::resp::{Args, RequestParser, Requests};

use super::dispatch::resolve_effect;

/// Takes the stream in pieces and gives its commands that have keys in some slots, as they stand there.
#[derive(Debug)]
pub struct SlotFilter {
    slots: SlotSet,
    names: CommandNames,
    /// A command of which only the beginning has come.
    rest: Vec<u8>,
    parser: RequestParser,
    requests: Requests,
}

/// What a piece of the stream was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filtered {
    /// Commands that each have their keys in one slot, or change no keys.
    Through,
    /// All keys are gone (FLUSHALL, FLUSHDB): what was sent before is void.
    Emptied,
}

const NO_ARRAY: &str = "the stream holds something else than arrays";

impl SlotFilter {
    /// A filter for a stream that begins between two commands.
    #[must_use]
    pub fn new(slots: SlotSet, names: CommandNames) -> Self {
        let (parser, requests) = (RequestParser::default(), Requests::default());
        Self { slots, names, rest: Vec::new(), parser, requests }
    }

    /// Takes the next piece of the stream and appends what concerns the slots to `out`.
    ///
    /// # Errors
    /// The stream cannot be understood.
    pub fn pass(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<Filtered, String> {
        const UNLIMITED: RequestLimits =
            RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true };
        self.rest.extend_from_slice(piece);
        self.requests.clear();
        let parsed = self.parser.parse(&self.rest, UNLIMITED, &mut self.requests);
        let Parsed::Requests { consumed } = parsed.map_err(|error| error.0)? else {
            return Err(NO_ARRAY.into());
        };
        let mut filtered = Filtered::Through;
        for index in 0..self.requests.len() {
            if self.rest[self.requests.start_of(index)] != b'*' {
                return Err(NO_ARRAY.into());
            }
            let args = self.requests.get(index, &self.rest);
            if empties(args) {
                filtered = Filtered::Emptied;
                out.clear();
            } else if self.concerns(args)? {
                match args.raw() {
                    Some(raw) => out.extend_from_slice(raw),
                    None => {
                        let words: Vec<&[u8]> = args.iter().collect();
                        encode_into(out, &words);
                    }
                }
            }
        }
        self.rest.drain(..consumed);
        Ok(filtered)
    }

    /// Whether a command has keys in the slots. All keys of a command are in one slot.
    fn concerns(&self, args: Args<'_>) -> Result<bool, String> {
        let entry = resolve_effect(&self.names, args).map_err(|error| error.text().to_owned())?;
        if !entry.flags.has(crate::commands::Flag::Write) {
            return Ok(false);
        }
        let first = keys_of(entry.command, args).next();
        Ok(first.is_some_and(|key| self.slots.has(Slot::of(key))))
    }
}

fn empties(args: Args<'_>) -> bool {
    [&b"flushall"[..], b"flushdb"].iter().any(|name| args[0].eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::Bench;
    use crate::resp::inline::{encode, split_words};

    fn stream(lines: &[&str]) -> Vec<u8> {
        lines.iter().flat_map(|line| encode(&split_words(line.as_bytes()).unwrap())).collect()
    }

    fn filter(key: &str) -> SlotFilter {
        let slots = std::iter::once(Slot::of(key.as_bytes())).collect();
        SlotFilter::new(slots, Bench::new().node.state.command_names.clone())
    }

    #[test]
    fn what_concerns_the_slots_comes_through_in_any_pieces() {
        let all = stream(&[
            "SELECT 0",
            "set {a}1 x",
            "set {b}1 y",
            "MULTI",
            "incr {a}2",
            "incr {b}2",
            "EXEC",
            "ping",
            "PING note",
            "REPLCONF GETACK *",
            "publish {a} m",
            "UNLINK {a}1 {a}2",
        ]);
        let wanted = stream(&["set {a}1 x", "incr {a}2", "UNLINK {a}1 {a}2"]);
        for size in [1, 2, 7, 50, all.len()] {
            let (mut filter, mut out) = (filter("{a}"), Vec::new());
            for piece in all.chunks(size) {
                assert_eq!(filter.pass(piece, &mut out), Ok(Filtered::Through));
            }
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&wanted), "{size}");
        }
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for stream in [&b"set k v\r\n"[..], b"set 'k' v\r\n"] {
            assert_eq!(filter("k").pass(stream, &mut Vec::new()), Err(NO_ARRAY.into()));
        }
    }

    #[test]
    fn a_flush_makes_void_what_was_before() {
        let (mut filter, mut out) = (filter("a"), Vec::new());
        let all = stream(&["set a 1", "FLUSHALL", "set a 2"]);
        assert_eq!(filter.pass(&all, &mut out), Ok(Filtered::Emptied));
        assert_eq!(out, stream(&["set a 2"]));
        assert!(filter.pass(b"*1\r\n$4\r\nnope\r\n", &mut out).is_err());
    }
}
