//! A password that is typed unseen.

use std::io::{self, IsTerminal, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Bytes of a password.
const BYTES_MAX: usize = 4096;

const INTERRUPT: u8 = 3;
const END: u8 = 4;
const BACKSPACE: [u8; 2] = [8, 127];
const CLEAR: u8 = 21;

/// A terminal that shows nothing of what is typed. It is as before when this is dropped.
struct Unseen(Termios);

impl Drop for Unseen {
    fn drop(&mut self) {
        tcsetattr(io::stdin(), OptionalActions::Now, &self.0).ok();
        eprintln!();
    }
}

/// Asks for the password; a star stands for each character. `None`: the user gave up.
pub(super) fn ask() -> Option<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        stdin.read_line(&mut line).ok()?;
        return Some(line.trim_end_matches(['\n', '\r']).to_owned());
    }
    eprint!("Please input password: ");
    let before = tcgetattr(&stdin).ok()?;
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VINTR] = 0;
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    let _unseen = Unseen(before);
    tcsetattr(&stdin, OptionalActions::Now, &modes).ok()?;
    read(&mut stdin.lock(), &mut io::stderr())
}

fn read(input: &mut impl Read, out: &mut impl Write) -> Option<String> {
    let mut typed: Vec<u8> = Vec::new();
    let mut byte = [0];
    while typed.len() < BYTES_MAX {
        if input.read(&mut byte).ok()? == 0 {
            break;
        }
        match byte[0] {
            b'\n' | b'\r' => break,
            INTERRUPT => return None,
            END if typed.is_empty() => return None,
            key if BACKSPACE.contains(&key) => take_back(&mut typed, out),
            CLEAR => {
                while !typed.is_empty() {
                    take_back(&mut typed, out);
                }
            }
            other => {
                typed.push(other);
                // Further bytes of a character add no star.
                if other & 0xc0 != 0x80 {
                    out.write_all(b"*").ok();
                }
            }
        }
    }
    String::from_utf8(typed).ok()
}

/// Takes back the last character and its star.
fn take_back(typed: &mut Vec<u8>, out: &mut impl Write) {
    while let Some(byte) = typed.pop() {
        if byte & 0xc0 != 0x80 {
            out.write_all(b"\x08 \x08").ok();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_follow_the_keys() {
        let check = |keys: &str, expected: Option<&str>, stars: &str| {
            let mut out = Vec::new();
            assert_eq!(read(&mut keys.as_bytes(), &mut out).as_deref(), expected, "{keys:?}");
            assert_eq!(String::from_utf8_lossy(&out), stars, "{keys:?}");
        };
        check("abc\nx", Some("abc"), "***");
        check("ab\x7fc\n", Some("ac"), "**\x08 \x08*");
        check("\u{e9}\x7fc\n", Some("c"), "*\x08 \x08*");
        check("ab\x15c\n", Some("c"), "**\x08 \x08\x08 \x08*");
        check("ab\x03", None, "**");
        check("\x04", None, "");
    }
}
