//! Small changes to inputs, drawn from one number.

use fastrand::Rng;

/// Longest input that is made: long ones find no more and take longer.
const INPUT_BYTES_MAX: usize = 8 * 1024;

/// Bytes at the edges of encodings and of numbers, and those that text formats turn on.
const EDGES: &[u8] =
    b"\x00\x01\x3f\x40\x7f\x80\x81\xbf\xc0\xc3\xe0\xf0\xf1\xfd\xfe\xff0159 \r\n\t\"'\\#*$-+:";

/// Pieces of the formats, longer than a mutation would find by chance.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"MULTI",
    b"EXEC",
    b"#TS:",
    b"#hw batch ",
    b"\\x41",
    b"\"\"",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"4294967295",
    b"65535",
    b"inf",
    b"nan",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xc3\x01\x05",
    b"\x80\x00\x00\x00\x04",
];

/// Makes inputs of inputs.
pub(crate) struct Mutator {
    random: Rng,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed) }
    }

    /// One of `inputs`, changed in a few places.
    pub(crate) fn mutate(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let chosen = &inputs[self.random.usize(..inputs.len())];
        let mut input = chosen[..chosen.len().min(INPUT_BYTES_MAX)].to_vec();
        for _ in 0..self.random.usize(1..=4) {
            let other = &inputs[self.random.usize(..inputs.len())];
            self.change(&mut input, other);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let random = &mut self.random;
        let at = random.usize(..=input.len());
        let to = (at + random.usize(..=16)).min(input.len());
        match random.u8(..10) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..to)),
            2 => {
                let part = input[at..to].to_vec();
                drop(input.splice(at..at, part));
            }
            3 => {
                let piece = PIECES[random.usize(..PIECES.len())];
                drop(input.splice(at..to, piece.iter().copied()));
            }
            4 => {
                let from = random.usize(..=other.len());
                drop(input.splice(at..to, other[from..].iter().copied()));
            }
            5 => input.insert(at, EDGES[random.usize(..EDGES.len())]),
            _ if at == input.len() => {}
            6 => input[at] = EDGES[random.usize(..EDGES.len())],
            7 => input[at] = input[at].wrapping_add(1),
            8 => input[at] = input[at].wrapping_sub(1),
            _ => input[at] ^= 1 << random.u8(..8),
        }
    }
}
