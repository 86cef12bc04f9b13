//! Writes lengths and strings in their shortest form.

use super::encoding::parse_integer;
use super::format::{length, special};
use super::lzf::Compressor;

/// Strings up to this long are not worth compressing.
const COMPRESS_ABOVE_BYTES: usize = 20;
/// Compression must save at least this much.
const COMPRESS_SAVES_BYTES: usize = 4;
/// Longest text of a 32-bit integer.
const INTEGER_TEXT_MAX: usize = 11;

/// Appends a length.
#[expect(clippy::cast_possible_truncation, reason = "each arm's range fits what is kept of it")]
pub(crate) fn push_length(value: u64, output: &mut Vec<u8>) {
    match value {
        0..0x40 => output.push(value as u8),
        0x40..0x4000 => {
            output.extend_from_slice(
                &(u16::from(length::BITS_14) << 14 | value as u16).to_be_bytes(),
            );
        }
        0x4000..=0xffff_ffff => {
            output.push(length::BITS_32);
            output.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            output.push(length::BITS_64);
            output.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Writes strings; knows whether to compress.
#[derive(Debug)]
pub(crate) struct StringWriter {
    compressor: Option<Compressor>,
    packed: Vec<u8>,
}

impl StringWriter {
    pub(crate) fn new(compress: bool) -> Self {
        Self { compressor: compress.then(Compressor::new), packed: Vec::new() }
    }

    /// Appends a string.
    pub(crate) fn push(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        if bytes.len() <= INTEGER_TEXT_MAX && push_integer_string(bytes, output) {
            return;
        }
        if bytes.len() > COMPRESS_ABOVE_BYTES
            && let Some(compressor) = &mut self.compressor
        {
            self.packed.clear();
            let bytes_max = bytes.len() - COMPRESS_SAVES_BYTES;
            if compressor.compress(bytes, bytes_max, &mut self.packed) {
                output.push(length::SPECIAL << 6 | special::LZF);
                push_length(self.packed.len() as u64, output);
                push_length(bytes.len() as u64, output);
                output.extend_from_slice(&self.packed);
                return;
            }
        }
        push_length(bytes.len() as u64, output);
        output.extend_from_slice(bytes);
    }
}

/// Appends the string as an integer if it spells one of 32 bits.
fn push_integer_string(text: &[u8], output: &mut Vec<u8>) -> bool {
    let Some(value) = parse_integer(text) else { return false };
    if let Ok(value) = i8::try_from(value) {
        output.push(length::SPECIAL << 6 | special::INT8);
        output.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        output.push(length::SPECIAL << 6 | special::INT16);
        output.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        output.push(length::SPECIAL << 6 | special::INT32);
        output.extend_from_slice(&value.to_le_bytes());
    } else {
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8], compress: bool) -> Vec<u8> {
        let mut output = Vec::new();
        StringWriter::new(compress).push(bytes, &mut output);
        output
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        let cases: [(u64, &[u8]); 7] = [
            (0, b"\0"),
            (63, b"\x3f"),
            (64, b"\x40\x40"),
            (16_383, b"\x7f\xff"),
            (16_384, b"\x80\0\0\x40\0"),
            (0xffff_ffff, b"\x80\xff\xff\xff\xff"),
            (0x1_0000_0000, b"\x81\0\0\0\x01\0\0\0\0"),
        ];
        for (value, expected) in cases {
            let mut output = Vec::new();
            push_length(value, &mut output);
            assert_eq!(output, expected, "{value}");
        }
    }

    #[test]
    fn integers_in_disguise_are_stored_as_such() {
        assert_eq!(string(b"127", false), b"\xc0\x7f");
        assert_eq!(string(b"-129", false), b"\xc1\x7f\xff");
        assert_eq!(string(b"-2147483648", false), b"\xc2\0\0\0\x80");
        for text in ["2147483648", "-0", "007", "+1", "1 "] {
            assert_eq!(string(text.as_bytes(), false)[1..], *text.as_bytes());
        }
    }

    #[test]
    fn only_longer_strings_that_shrink_are_compressed() {
        assert_eq!(string(&[b'a'; 20], true)[0], 20);
        assert_eq!(string(&[b'a'; 21], true)[0], 0xc3);
        assert_eq!(string(&[b'a'; 21], false)[0], 21);
        assert_eq!(string(b"abcdefghijklmnopqrstuvwxyz", true)[0], 26);
    }
}
