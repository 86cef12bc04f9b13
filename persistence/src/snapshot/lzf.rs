//! LZF, the compression of strings in snapshots.
//!
//! A compressed string is a sequence of two things, told apart by the upper three bits of the first byte:
//!
//! ```text
//! 000LLLLL  bytes              copy the next L + 1 bytes as they are                 (1 to 32)
//! LLLooooo  oooooooo           copy L + 2 bytes from `o + 1` bytes back, L in 1..=6   (3 to 8)
//! 111ooooo  LLLLLLLL oooooooo  copy L + 9 bytes from `o + 1` bytes back               (9 to 264)
//! ```
//!
//! A copy may overlap what it writes: distance 1 repeats one byte.

/// Longest run of bytes copied as they are.
const LITERALS_MAX: usize = 32;
/// Longest copy from before.
const MATCH_MAX: usize = 264;
/// Furthest a copy reaches back.
const DISTANCE_MAX: usize = 8192;
/// Three bytes of input yield at most this many.
const EXPANSION_MAX: usize = MATCH_MAX / 3;
/// log2 of the size of the position table.
const TABLE_BITS: u32 = 14;

/// Compresses, keeping its table of positions from one call to the next.
///
/// The table maps a hash of three bytes to where they were last seen. It is 64 KiB, and clearing it would cost
/// far more than compressing the short strings that snapshots are made of. So it is never cleared: positions
/// count on from call to call, and one from before the call's own base is an old one.
pub struct Compressor {
    /// Position + 1 in the count over all calls; 0 was never set.
    table: Box<[u32]>,
    /// Where the count stands at the begin of the next call.
    base: u32,
}

impl Compressor {
    /// A compressor that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { table: vec![0; 1 << TABLE_BITS].into_boxed_slice(), base: 0 }
    }

    /// Appends the compressed form of `input` to `output` if that takes at most `bytes_max` bytes, and says whether
    /// it did; otherwise `output` is as before.
    pub fn compress(&mut self, input: &[u8], bytes_max: usize, output: &mut Vec<u8>) -> bool {
        let start = output.len();
        let Ok(length) = u32::try_from(input.len()) else { return false };
        let Some(base_next) = self.base.checked_add(length) else {
            self.table.fill(0);
            self.base = 0;
            return self.compress(input, bytes_max, output);
        };
        let fits = self.compress_from(input, bytes_max, output);
        self.base = base_next;
        if !fits {
            output.truncate(start);
        }
        fits
    }

    fn compress_from(&mut self, input: &[u8], bytes_max: usize, output: &mut Vec<u8>) -> bool {
        let limit = output.len().saturating_add(bytes_max);
        let (mut at, mut literals_from) = (0, 0);
        // The lengths below fit: `compress` has checked that the input's length is a u32.
        while at + 3 <= input.len() {
            let found = self.remember(input, at);
            let Some(from) = found.filter(|from| at - from <= DISTANCE_MAX) else {
                at += 1;
                // Incompressible input is given up as soon as it is hopeless.
                if output.len() + (at - literals_from) > limit {
                    return false;
                }
                continue;
            };
            let length = match_length(input, from, at);
            if length < 3 {
                at += 1;
                continue;
            }
            push_literals(&input[literals_from..at], output);
            push_match(at - from - 1, length, output);
            if output.len() > limit {
                return false;
            }
            // The last two positions of the match are enough to find what follows it.
            let end = at + length;
            for inside in end - 2..end {
                if inside + 3 <= input.len() {
                    let _seen = self.remember(input, inside);
                }
            }
            at = end;
            literals_from = end;
        }
        push_literals(&input[literals_from..], output);
        output.len() <= limit
    }

    /// Notes that the three bytes at `at` are there; tells where in this input they, or others with their hash,
    /// were before.
    #[inline]
    fn remember(&mut self, input: &[u8], at: usize) -> Option<usize> {
        let three =
            u32::from(input[at]) << 16 | u32::from(input[at + 1]) << 8 | u32::from(input[at + 2]);
        let hash = three.wrapping_mul(0x9E37_79B1) >> (32 - TABLE_BITS);
        let slot = &mut self.table[hash as usize];
        #[expect(clippy::cast_possible_truncation, reason = "`compress` checked the length")]
        let position = self.base + at as u32 + 1;
        let before = std::mem::replace(slot, position);
        before.checked_sub(self.base + 1).map(|from| from as usize)
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("base", &self.base).finish_non_exhaustive()
    }
}

fn match_length(input: &[u8], from: usize, at: usize) -> usize {
    let max = MATCH_MAX.min(input.len() - at);
    let pairs = input[at..at + max].iter().zip(&input[from..]);
    pairs.take_while(|(new, old)| new == old).count()
}

fn push_literals(literals: &[u8], output: &mut Vec<u8>) {
    for run in literals.chunks(LITERALS_MAX) {
        #[expect(clippy::cast_possible_truncation, reason = "a run has 1 to 32 bytes")]
        output.push((run.len() - 1) as u8);
        output.extend_from_slice(run);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "distance < 8192 and length <= 264")]
fn push_match(distance: usize, length: usize, output: &mut Vec<u8>) {
    debug_assert!(distance < DISTANCE_MAX && (3..=MATCH_MAX).contains(&length));
    let high = (distance >> 8) as u8;
    let low = distance as u8;
    if length <= 8 {
        output.extend_from_slice(&[((length - 2) as u8) << 5 | high, low]);
    } else {
        output.extend_from_slice(&[7 << 5 | high, (length - 9) as u8, low]);
    }
}

/// Appends what `input` stands for, which must be `length` bytes, to `output`.
///
/// # Errors
/// What is wrong with `input`. `output` may then have grown by up to `length` bytes. Memory is taken as the
/// output grows, so a `length` that `input` does not bear out costs nothing.
pub fn decompress(input: &[u8], length: usize, output: &mut Vec<u8>) -> Result<(), &'static str> {
    if length / EXPANSION_MAX > input.len() {
        return Err("compressed string claims more bytes than its input can yield");
    }
    let start = output.len();
    let end = start + length;
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        if control < 32 {
            let (literals, after) = after
                .split_at_checked(usize::from(control) + 1)
                .ok_or("compressed string ends inside a run of literals")?;
            if output.len() + literals.len() > end {
                return Err("compressed string yields more bytes than it claims");
            }
            output.extend_from_slice(literals);
            rest = after;
        } else {
            rest = copy_back(control, after, start, end, output)?;
        }
    }
    if output.len() == end {
        Ok(())
    } else {
        Err("compressed string yields fewer bytes than it claims")
    }
}

/// Carries out one copy; `rest` is the input behind its first byte, and is returned behind its last.
fn copy_back<'a>(
    control: u8,
    rest: &'a [u8],
    start: usize,
    end: usize,
    output: &mut Vec<u8>,
) -> Result<&'a [u8], &'static str> {
    const CUT: &str = "compressed string ends inside a copy";
    let mut length = usize::from(control >> 5) + 2;
    let mut rest = rest;
    if control >> 5 == 7 {
        let (&more, after) = rest.split_first().ok_or(CUT)?;
        length += usize::from(more);
        rest = after;
    }
    let (&low, rest) = rest.split_first().ok_or(CUT)?;
    let distance = (usize::from(control & 31) << 8 | usize::from(low)) + 1;
    let written = output.len() - start;
    if distance > written {
        return Err("compressed string refers to before its start");
    }
    if output.len() + length > end {
        return Err("compressed string yields more bytes than it claims");
    }
    if distance == 1 {
        let repeated = output[output.len() - 1];
        output.resize(output.len() + length, repeated);
        return Ok(rest);
    }
    let mut from = output.len() - distance;
    let mut left = length;
    // An overlapping copy doubles what it repeats in each round.
    while left > 0 {
        let step = left.min(output.len() - from);
        output.extend_from_within(from..from + step);
        from += step;
        left -= step;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs with repetitions at all scales, and without.
    fn inputs() -> Vec<Vec<u8>> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut inputs = vec![Vec::new(), vec![b'a'], vec![b'a'; 21], vec![0; 100_000]];
        for round in 0..2000 {
            let alphabet = [2, 5, 26, 256][round % 4];
            let length = random.usize(0..if round % 50 == 0 { 30_000 } else { 300 });
            let mut input: Vec<u8> = Vec::new();
            while input.len() < length {
                if !input.is_empty() && random.usize(..4) == 0 {
                    let from = random.usize(..input.len());
                    let copied = random.usize(..=(input.len() - from).min(400));
                    input.extend_from_within(from..from + copied);
                } else {
                    #[expect(clippy::cast_possible_truncation, reason = "below 256")]
                    input.push(random.u32(..alphabet) as u8);
                }
            }
            inputs.push(input);
        }
        inputs
    }

    #[test]
    fn what_is_compressed_comes_back_here_and_in_the_other_implementation() {
        let mut compressor = Compressor::new();
        for input in inputs() {
            let mut packed = Vec::new();
            let worst = input.len() + input.len() / LITERALS_MAX + 1;
            assert!(compressor.compress(&input, worst, &mut packed), "{} bytes", input.len());
            let mut unpacked = b"before".to_vec();
            decompress(&packed, input.len(), &mut unpacked).unwrap();
            assert_eq!(unpacked, [b"before", &input[..]].concat());
            if !input.is_empty() {
                assert_eq!(lzf::decompress(&packed, input.len()).unwrap(), input);
            }
        }
    }

    #[test]
    fn what_the_other_implementation_compressed_comes_back() {
        let mut compared = 0;
        for input in inputs() {
            let Ok(packed) = lzf::compress(&input) else { continue };
            let mut unpacked = Vec::new();
            decompress(&packed, input.len(), &mut unpacked).unwrap();
            assert_eq!(unpacked, input);
            compared += 1;
        }
        assert!(compared > 500, "{compared} inputs were compressible");
    }

    #[test]
    fn repetitions_become_short() {
        let mut packed = Vec::new();
        assert!(Compressor::new().compress(&[b'a'; 1000], 996, &mut packed));
        assert!(packed.len() < 20, "{} bytes", packed.len());
    }

    #[test]
    fn output_is_untouched_when_the_result_would_be_too_long() {
        let mut random = fastrand::Rng::with_seed(3);
        let input: Vec<u8> = (0..500).map(|_| random.u8(..)).collect();
        let mut output = b"kept".to_vec();
        assert!(!Compressor::new().compress(&input, input.len() - 4, &mut output));
        assert_eq!(output, b"kept");
    }

    #[test]
    fn old_positions_are_not_taken_for_new_ones_when_the_count_starts_over() {
        let mut compressor = Compressor::new();
        compressor.base = u32::MAX - 30;
        for _ in 0..4 {
            let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
            assert!(compressor.compress(b"abcabcabcabcabcabcabcabc", 30, &mut packed));
            decompress(&packed, 24, &mut unpacked).unwrap();
            assert_eq!(unpacked, b"abcabcabcabcabcabcabcabc");
        }
    }

    #[test]
    fn every_damage_is_an_error_or_other_bytes_of_the_claimed_length() {
        let mut packed = Vec::new();
        let input = b"the quick brown fox, the quick brown dog, the quick brown cat";
        assert!(Compressor::new().compress(input, 100, &mut packed));
        for at in 0..packed.len() {
            let cut = decompress(&packed[..at], input.len(), &mut Vec::new());
            assert!(cut.is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = packed.clone();
                flipped[at] ^= 1 << bit;
                let mut output = Vec::new();
                if decompress(&flipped, input.len(), &mut output).is_ok() {
                    assert_eq!(output.len(), input.len());
                }
                assert!(output.len() <= input.len());
            }
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_memory_is_taken() {
        let mut output = Vec::new();
        assert!(decompress(&[0, b'a'], usize::MAX / 2, &mut output).is_err());
        assert_eq!(output.capacity(), 0);
    }
}
