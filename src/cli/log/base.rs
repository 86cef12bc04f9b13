//! The snapshot that a log starts from, as commands that build it up on any server.
//!
//! A value goes out as one RESTORE with a payload of version 10, which every server since 7.0 takes, whatever version
//! the snapshot has; so one command serves all types, and the expiry travels with it. What version 10 has no place for
//! (hash fields that expire) is an error of its key.

use highwater_persistence::snapshot::{
    EncoderOptions, Event, KeyMeta, SnapshotReader, VERSION_DEFAULT, ValueEncoder, seal_dump,
};

use super::source::Piece;

/// Servers take no longer argument than this (`proto-max-bulk-len`), and close the connection of who sends one.
const PAYLOAD_BYTES_MAX: usize = 512 << 20;

/// What comes next of a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A command that is to be sent.
    Command(Vec<Vec<u8>>),
    /// A key that cannot be sent, and why.
    Unsent(String),
    /// Nothing to send.
    Nothing,
}

/// Calls `each` with the steps that build up the snapshot at the beginning of `piece`, and with the number of bytes of
/// the file that were read since the last call.
pub(super) fn for_each_step(
    piece: &Piece,
    mut each: impl FnMut(Step, u64) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = SnapshotReader::new(&piece.bytes[..piece.commands_at]);
    let mut restore = Restore::new();
    let mut told = 0;
    loop {
        let event = reader.next().map_err(|error| format!("{}: {error}", piece.path.display()))?;
        let Some(event) = event else { return Ok(()) };
        if let Some(step) = restore.put(event) {
            let offset = reader.offset();
            each(step, offset - told)?;
            told = offset;
        }
    }
}

/// Makes commands of events.
struct Restore {
    encoder: ValueEncoder,
    key: Vec<u8>,
    meta: KeyMeta,
    /// Whether the value has no element so far: loaders pass over such a key, RESTORE refuses it.
    empty: bool,
    /// Why the value has no payload.
    problem: Option<String>,
}

impl Restore {
    fn new() -> Self {
        Self {
            encoder: ValueEncoder::new(&EncoderOptions::default()),
            key: Vec::new(),
            meta: KeyMeta::default(),
            empty: true,
            problem: None,
        }
    }

    /// Takes the next event; the step that it completes.
    fn put(&mut self, event: Event<'_>) -> Option<Step> {
        match event {
            Event::SelectDb(db) => Some(command(&[b"SELECT", db.to_string().as_bytes()])),
            Event::Function(code) => Some(command(&[b"FUNCTION", b"LOAD", b"REPLACE", code])),
            Event::Eof { .. } => Some(Step::Nothing),
            Event::Key { key, expires_ms, idle_s, freq } => {
                self.key = key.to_vec();
                self.meta = KeyMeta { expires_ms, idle_s, freq };
                (self.empty, self.problem) = (true, None);
                self.encoder.clear();
                None
            }
            Event::Header { .. }
            | Event::Aux { .. }
            | Event::ResizeDb { .. }
            | Event::SlotInfo { .. }
            | Event::SlotImport { .. }
            | Event::SlotRange { .. }
            | Event::ModuleAux { .. }
            | Event::Skipped { .. } => None,
            event => self.put_value(event),
        }
    }

    fn put_value(&mut self, event: Event<'_>) -> Option<Step> {
        let begins = matches!(
            event,
            Event::ListBegin { .. }
                | Event::SetBegin { .. }
                | Event::HashBegin { .. }
                | Event::ZsetBegin { .. }
        );
        let ends = matches!(event, Event::ValueEnd);
        self.empty &= begins || ends;
        if self.problem.is_none() {
            self.problem = self.encoder.put(event).err().map(|error| error.to_string());
        }
        ends.then(|| self.finish())
    }

    fn finish(&mut self) -> Step {
        let key = std::mem::take(&mut self.key);
        if self.empty {
            return Step::Nothing;
        }
        if let Some(problem) = self.problem.take() {
            return Step::Unsent(format!("key \"{}\": {problem}", key.escape_ascii()));
        }
        let payload = seal_dump(self.encoder.take_record(), VERSION_DEFAULT);
        if payload.len() > PAYLOAD_BYTES_MAX {
            let size = payload.len();
            let key = key.escape_ascii();
            return Step::Unsent(format!(
                "key \"{key}\": {size} bytes are more than a server takes as one argument"
            ));
        }
        let mut words = vec![b"RESTORE".to_vec(), key];
        // With ABSTTL 0 is no expiry, and what lies before 1970 is refused; both mean a moment that has passed.
        let expiry = self.meta.expires_ms.map_or(0, |moment| moment.max(1));
        words.extend([expiry.to_string().into_bytes(), payload, b"REPLACE".to_vec()]);
        words.push(b"ABSTTL".to_vec());
        if let Some(idle_s) = self.meta.idle_s {
            words.extend([b"IDLETIME".to_vec(), idle_s.to_string().into_bytes()]);
        }
        if let Some(freq) = self.meta.freq {
            words.extend([b"FREQ".to_vec(), freq.to_string().into_bytes()]);
        }
        Step::Command(words)
    }
}

fn command(words: &[&[u8]]) -> Step {
    Step::Command(words.iter().map(|word| word.to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(events: &[Event<'_>]) -> Vec<Step> {
        let mut restore = Restore::new();
        events.iter().filter_map(|event| restore.put(*event)).collect()
    }

    fn key(expires_ms: Option<i64>) -> Event<'static> {
        Event::Key { key: b"k", expires_ms, idle_s: None, freq: Some(7) }
    }

    #[test]
    fn a_key_becomes_one_restore() {
        let steps =
            steps(&[Event::SelectDb(3), key(Some(-5)), Event::String(b"v"), Event::ValueEnd]);
        assert_eq!(steps[0], command(&[b"SELECT", b"3"]));
        let Step::Command(words) = &steps[1] else { panic!("{steps:?}") };
        let payload = seal_dump(b"\x00\x01v".to_vec(), 10);
        let expected: [&[u8]; 8] =
            [b"RESTORE", b"k", b"1", &payload, b"REPLACE", b"ABSTTL", b"FREQ", b"7"];
        assert_eq!(words, &expected);
    }

    #[test]
    fn a_key_without_elements_is_passed_over() {
        let empty = [key(None), Event::ListBegin { len: Some(0) }, Event::ValueEnd];
        assert_eq!(steps(&empty), [Step::Nothing]);
    }

    #[test]
    fn a_key_that_cannot_be_written_is_named_and_the_next_is_sent() {
        let field = Event::ListItem(b"no field");
        let begin = Event::HashBegin { len: Some(2) };
        let events = [
            key(None),
            begin,
            field,
            field,
            Event::ValueEnd,
            key(None),
            Event::String(b"v"),
            Event::ValueEnd,
        ];
        let steps = steps(&events);
        assert!(matches!(&steps[0], Step::Unsent(reason) if reason.starts_with("key \"k\": ")));
        assert!(matches!(&steps[1], Step::Command(words) if words[0] == b"RESTORE"));
    }
}
