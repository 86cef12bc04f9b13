//! What the unit being executed did, as the commands that replicas and the log should see.

/// The effects of one execution unit, in order, encoded as they will stand in the log.
///
/// One buffer is used again and again: an effect costs no allocation.
#[derive(Debug, Default)]
pub struct Effects {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    verbatim: bool,
}

/// Where an effect ends in the buffer, and its database.
#[derive(Clone, Copy, Debug)]
struct Mark {
    db: u32,
    end: usize,
}

/// Buffers above this many bytes are given back after a unit rather than kept for the next.
const KEPT_BYTES_MAX: usize = 1 << 20;

impl Effects {
    /// Adds the command `args` (its name first) in database `db`.
    pub fn push(&mut self, db: u32, args: &[&[u8]]) {
        assert!(!args.is_empty(), "an effect has a name");
        self.array_header(args.len());
        for arg in args {
            self.bulk(arg);
        }
        self.mark(db);
    }

    /// Adds a command that is encoded already as one RESP array: a request, as it came.
    pub fn push_raw(&mut self, db: u32, request: &[u8]) {
        self.bytes.extend_from_slice(request);
        self.mark(db);
    }

    /// Adds a command of arguments that are not at hand as one slice of slices; call `arg` `count` times.
    pub fn push_with(&mut self, db: u32, count: usize, write: impl FnOnce(&mut ArgWriter<'_>)) {
        self.array_header(count);
        let mut writer = ArgWriter { effects: self, left: count };
        write(&mut writer);
        assert_eq!(writer.left, 0, "as many arguments as were announced");
        self.mark(db);
    }

    /// Adds `DEL key`.
    pub fn del(&mut self, db: u32, key: &[u8]) {
        self.push(db, &[b"DEL", key]);
    }

    /// Adds `UNLINK key`.
    pub fn unlink(&mut self, db: u32, key: &[u8]) {
        self.push(db, &[b"UNLINK", key]);
    }

    /// Says that the request itself, as the client sent it, is the effect. The node adds it when the
    /// command returns (behind what the command pushed, such as the DEL of an expired key).
    pub fn verbatim(&mut self) {
        self.verbatim = true;
    }

    /// Whether [`Effects::verbatim`] was called since the last time this was asked.
    pub fn take_verbatim(&mut self) -> bool {
        std::mem::take(&mut self.verbatim)
    }

    /// Forgets everything, for the next unit.
    pub fn clear(&mut self) {
        self.marks.clear();
        self.bytes.clear();
        self.verbatim = false;
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }

    /// Whether there is no effect (a request that is its own effect counts once it has been added).
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Number of effects.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// All bytes, one effect behind the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Each effect with its database, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut start = 0;
        self.marks.iter().map(move |mark| {
            let bytes = &self.bytes[start..mark.end];
            start = mark.end;
            (mark.db, bytes)
        })
    }

    fn mark(&mut self, db: u32) {
        self.marks.push(Mark { db, end: self.bytes.len() });
    }

    fn array_header(&mut self, count: usize) {
        self.number(b'*', count);
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.number(b'$', bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn number(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// Writes the arguments of one effect.
#[derive(Debug)]
pub struct ArgWriter<'a> {
    effects: &'a mut Effects,
    left: usize,
}

impl ArgWriter<'_> {
    /// The next argument.
    pub fn arg(&mut self, bytes: &[u8]) {
        self.left = self.left.checked_sub(1).expect("as many arguments as were announced");
        self.effects.bulk(bytes);
    }

    /// The next argument, a number in decimal.
    pub fn number(&mut self, number: i64) {
        self.arg(itoa::Buffer::new().format(number).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_encoded_in_order_with_their_databases() {
        let mut effects = Effects::default();
        effects.push(0, &[b"SET", b"k", b""]);
        effects.del(3, b"a\r\n");
        effects.push_raw(3, b"*1\r\n$4\r\nPING\r\n");
        effects.push_with(1, 3, |writer| {
            writer.arg(b"PEXPIREAT");
            writer.arg(b"k");
            writer.number(-7);
        });
        let all: Vec<_> = effects.iter().collect();
        assert_eq!(
            all,
            [
                (0, &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"[..]),
                (3, b"*2\r\n$3\r\nDEL\r\n$3\r\na\r\n\r\n"),
                (3, b"*1\r\n$4\r\nPING\r\n"),
                (1, b"*3\r\n$9\r\nPEXPIREAT\r\n$1\r\nk\r\n$2\r\n-7\r\n"),
            ]
        );
        effects.clear();
        assert!(effects.is_empty() && effects.bytes().is_empty());
    }

    #[test]
    fn verbatim_is_asked_once() {
        let mut effects = Effects::default();
        effects.verbatim();
        assert!(effects.take_verbatim());
        assert!(!effects.take_verbatim());
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        let mut effects = Effects::default();
        effects.push(0, &[b"SET", b"k", &vec![0; 2 * KEPT_BYTES_MAX]]);
        effects.clear();
        assert_eq!(effects.bytes.capacity(), 0);
    }
}
