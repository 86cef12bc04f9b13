//! Registers of six bits each, the lowest bits of a byte first: four registers in three bytes.

use super::REGISTERS;

/// Bytes of all registers.
pub(super) const BYTES: usize = REGISTERS / 4 * 3;

const MASK: u8 = 63;

/// The registers in three bytes.
#[inline]
fn unpack([a, b, c]: [u8; 3]) -> [u8; 4] {
    [a & MASK, (a >> 6 | b << 2) & MASK, (b >> 4 | c << 4) & MASK, c >> 2]
}

#[inline]
fn pack([a, b, c, d]: [u8; 4]) -> [u8; 3] {
    [a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2]
}

fn triple(stored: &mut [u8], index: usize) -> &mut [u8; 3] {
    stored[index / 4 * 3..].first_chunk_mut().expect("there are as many registers")
}

/// The value of a register.
#[inline]
pub(super) fn get(stored: &[u8], index: usize) -> u8 {
    let triple = stored[index / 4 * 3..].first_chunk().expect("there are as many registers");
    unpack(*triple)[index % 4]
}

/// Gives a register `value` unless it has that or more. Says whether it got it.
#[inline]
pub(super) fn raise(stored: &mut [u8], index: usize, value: u8) -> bool {
    let triple = triple(stored, index);
    let mut values = unpack(*triple);
    let raises = value > values[index % 4];
    if raises {
        values[index % 4] = value;
        *triple = pack(values);
    }
    raises
}

/// Raises all of `registers` to what is stored.
pub(super) fn raise_all(stored: &[u8], registers: &mut [u8; REGISTERS]) {
    let (triples, _) = stored.as_chunks::<3>();
    let (quads, _) = registers.as_chunks_mut::<4>();
    for (quad, triple) in quads.iter_mut().zip(triples) {
        for (register, value) in quad.iter_mut().zip(unpack(*triple)) {
            *register = value.max(*register);
        }
    }
}
