//! The received stream, cut into execution units: a command, or everything from MULTI to EXEC.
//!
//! A replica applies whole units only, so that nobody ever sees half of one, and its offset moves from unit to unit.

use crate::resp::ProtocolError;

/// The longest unit in bytes. Places in requests are numbers of 32 bits.
pub const UNIT_BYTES_MAX: usize = 3 << 30;

/// Most arguments of a command: stock's bound.
const ARGUMENTS_MAX: u64 = i32::MAX as u64;

/// The longest argument in bytes. A primary may take longer ones from its clients than this node does.
const ARGUMENT_BYTES_MAX: u64 = UNIT_BYTES_MAX as u64;

/// Bytes received and not yet applied.
#[derive(Debug, Default)]
pub struct Units {
    bytes: Vec<u8>,
    /// Whole units at the front.
    whole: usize,
    /// Whole commands at the front: `whole`, and those of a unit that has not ended.
    commands: usize,
    /// Inside MULTI.
    open: bool,
}

/// A command at a place in the stream.
enum Command {
    /// It ends there, and is MULTI, EXEC, or neither.
    Whole(usize, Kind),
    /// More bytes are needed.
    Incomplete,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Multi,
    Exec,
    Other,
}

impl Units {
    /// Adds bytes as they came.
    ///
    /// # Errors
    /// They are no commands, or a unit is longer than [`UNIT_BYTES_MAX`]: the link is of no more use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.bytes.extend_from_slice(bytes);
        while self.commands < self.bytes.len() {
            let Command::Whole(end, kind) = command(&self.bytes, self.commands)? else { break };
            self.commands = end;
            self.open = match (kind, self.open) {
                (Kind::Multi, true) => return Err(malformed("MULTI inside MULTI")),
                (Kind::Multi, false) => true,
                (Kind::Exec, false) => return Err(malformed("EXEC without MULTI")),
                (Kind::Exec, true) => false,
                (Kind::Other, open) => open,
            };
            if !self.open {
                self.whole = end;
            }
        }
        if self.bytes.len() - self.whole > UNIT_BYTES_MAX {
            return Err(malformed("a unit of more than 3 GiB"));
        }
        Ok(())
    }

    /// The whole units that have come.
    #[must_use]
    pub fn whole(&self) -> &[u8] {
        &self.bytes[..self.whole]
    }

    /// Bytes of a unit that has not come whole.
    #[must_use]
    pub fn incomplete(&self) -> usize {
        self.bytes.len() - self.whole
    }

    /// Forgets the whole units: they have been applied.
    pub fn applied(&mut self) {
        self.bytes.drain(..self.whole);
        self.commands -= self.whole;
        self.whole = 0;
        // What one large unit needed is given back.
        if self.bytes.capacity() > 1 << 20 && self.bytes.len() < 1 << 16 {
            self.bytes.shrink_to(1 << 16);
        }
    }
}

/// The command at `start`.
fn command(bytes: &[u8], start: usize) -> Result<Command, ProtocolError> {
    let Some((count, mut at)) = number(bytes, start, b'*', ARGUMENTS_MAX)? else {
        return Ok(Command::Incomplete);
    };
    if count == 0 {
        return Err(malformed("a command without a name"));
    }
    let mut kind = Kind::Other;
    for index in 0..count {
        let Some((length, from)) = number(bytes, at, b'$', ARGUMENT_BYTES_MAX)? else {
            return Ok(Command::Incomplete);
        };
        let to = from + usize::try_from(length).expect("it is bounded");
        let Some(line_end) = bytes.get(to..to + 2) else { return Ok(Command::Incomplete) };
        if line_end != b"\r\n" {
            return Err(malformed("no line end behind an argument"));
        }
        if index == 0 {
            kind = match &bytes[from..to] {
                name if name.eq_ignore_ascii_case(b"multi") => Kind::Multi,
                name if name.eq_ignore_ascii_case(b"exec") => Kind::Exec,
                _ => Kind::Other,
            };
        }
        at = to + 2;
    }
    Ok(Command::Whole(at, kind))
}

/// The number of the line at `at`, which begins with `marker`, and the position behind the line.
fn number(
    bytes: &[u8],
    at: usize,
    marker: u8,
    max: u64,
) -> Result<Option<(u64, usize)>, ProtocolError> {
    let Some((&first, digits)) = bytes[at..].split_first() else { return Ok(None) };
    if first != marker {
        return Err(malformed("no command where one must begin"));
    }
    let mut value = 0u64;
    for (length, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'\r' if length > 0 => {
                return match digits.get(length + 1) {
                    None => Ok(None),
                    Some(b'\n') => Ok(Some((value, at + length + 3))),
                    Some(_) => Err(malformed("no line end behind a number")),
                };
            }
            _ => return Err(malformed("no number where one must stand")),
        }
        if value > max {
            return Err(malformed("a number past its bound"));
        }
    }
    Ok(None)
}

fn malformed(what: &str) -> ProtocolError {
    ProtocolError(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"*1\r\n$4\r\nping\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*1\r\n$5\r\nMULTI\r\n\
        *3\r\n$3\r\nSET\r\n$1\r\na\r\n$6\r\n\r\n$1\r\n\r\n*1\r\n$4\r\nexec\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n";

    #[test]
    fn units_are_whole_however_the_bytes_come() {
        let multi = STREAM.windows(5).position(|window| window == b"MULTI").unwrap() - 8;
        let exec = STREAM.windows(4).position(|window| window == b"exec").unwrap() + 6;
        for piece in 1..STREAM.len() {
            let mut units = Units::default();
            let (mut applied, mut came) = (Vec::new(), 0);
            for bytes in STREAM.chunks(piece) {
                units.push(bytes).unwrap();
                came += bytes.len();
                applied.extend_from_slice(units.whole());
                units.applied();
                assert!(applied.len() <= multi || applied.len() >= exec, "half a unit");
                assert_eq!(applied.len() + units.incomplete(), came);
            }
            assert_eq!(applied, STREAM);
        }
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in [
            &b"SET a 1\r\n"[..],
            b"*0\r\n",
            b"*-1\r\n",
            b"*x\r\n",
            b"*1\rx",
            b"*99999999999\r\n",
            b"*1\r\n$999999999999\r\n",
            b"*1\r\n$1\r\nabc",
            b"*1\r\n:1\r\n",
            b"\n",
            b"*1\r\n$4\r\nEXEC\r\n",
            b"*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n",
        ] {
            let refused = Units::default().push(bytes);
            assert!(refused.is_err(), "{}", bytes.escape_ascii());
        }
    }
}
