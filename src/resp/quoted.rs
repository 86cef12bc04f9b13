//! Bytes of clients inside error texts, which are text: bytes that are no UTF-8 stand there as characters of a private range,
//! and are the client's again on the wire. (Python calls the like "surrogateescape".)

/// Stands for byte 0; U+10FF80 and on are used.
const FIRST: u32 = 0x10_ff00;

/// Bytes for an error text. Line ends become spaces; a zero byte ends it, as in stock servers.
pub fn quoted(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for found in chunk.valid().chars() {
            match found {
                '\r' | '\n' => text.push(' '),
                // The client's own may not become other bytes.
                found if byte_of(found).is_some() => {
                    text.extend(found.encode_utf8(&mut [0; 4]).bytes().map(stand_in));
                }
                found => text.push(found),
            }
        }
        text.extend(chunk.invalid().iter().copied().map(stand_in));
    }
    text
}

/// The bytes of a text, those of clients as they were.
pub(super) fn bytes(text: &str) -> impl Iterator<Item = u8> {
    text.chars().flat_map(|found| {
        let (mut buffer, mut len) = ([0; 4], 1);
        match byte_of(found) {
            Some(byte) => buffer[0] = byte,
            None => len = found.encode_utf8(&mut buffer).len(),
        }
        buffer.into_iter().take(len)
    })
}

fn stand_in(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte)).expect("the range consists of characters")
}

fn byte_of(found: char) -> Option<u8> {
    let offset = u32::from(found).checked_sub(FIRST)?;
    u8::try_from(offset).ok().filter(|byte| *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_back() {
        let all: Vec<u8> = (1..=255).filter(|byte| ![b'\r', b'\n'].contains(byte)).collect();
        let own = "\u{10ffff}\u{10ff80}\u{10ff7f}\u{e9}".as_bytes();
        for given in [&b"plain"[..], &all, own, b"g\xff", b"\xe2\x82", b""] {
            let text = quoted(given);
            assert_eq!(bytes(&text).collect::<Vec<u8>>(), given, "{text:?}");
        }
        assert_eq!(quoted(b"a\r\nb\0c"), "a  b");
    }
}
