//! Registers of six bits each, the lowest bits of a byte first: eight registers in six bytes.

use super::REGISTERS;

/// Registers that are packed and unpacked together.
const LANES: usize = 8;
/// Bytes that hold so many.
const GROUP: usize = LANES * 6 / 8;

/// Bytes of all registers.
pub(super) const BYTES: usize = REGISTERS / LANES * GROUP;

const LOW_24: u64 = 0x0000_0000_00ff_ffff;
const LOW_12: u64 = 0x0000_0fff_0000_0fff;
const LOW_6: u64 = 0x003f_003f_003f_003f;

/// The lowest bit of each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The registers in the 48 low bits, one to a byte: bits are pulled apart to twice 24, four times 12, eight times 6.
#[inline]
fn unpack(bits: u64) -> u64 {
    let bits = bits & LOW_24 | (bits & LOW_24 << 24) << 8;
    let bits = bits & LOW_12 | (bits & LOW_12 << 12) << 4;
    bits & LOW_6 | (bits & LOW_6 << 6) << 2
}

/// The reverse. Values have no more than six bits.
#[inline]
fn pack(values: u64) -> u64 {
    let bits = values & LOW_6 | values >> 2 & LOW_6 << 6;
    let bits = bits & LOW_12 | bits >> 4 & LOW_12 << 12;
    bits & LOW_24 | bits >> 8 & LOW_24 << 24
}

/// The larger one of each byte. All are below 128.
#[inline]
fn larger(values: u64, others: u64) -> u64 {
    // No byte borrows from the next: its highest bit stays where the value is not below the other.
    let holds = ((values | ONES << 7) - others) >> 7 & ONES;
    let mask = holds * 0xff;
    values & mask | others & !mask
}

/// Group number `index` in the low bits; what is above belongs to others.
#[inline]
fn group(stored: &[u8], index: usize) -> u64 {
    let at = index * GROUP;
    match stored[at..].first_chunk() {
        Some(wide) => u64::from_le_bytes(*wide),
        // The last one has nothing behind it.
        None => {
            let mut wide = [0; LANES];
            wide[..GROUP].copy_from_slice(&stored[at..at + GROUP]);
            u64::from_le_bytes(wide)
        }
    }
}

#[inline]
fn put_group(stored: &mut [u8], index: usize, bits: u64) {
    let place = &mut stored[index * GROUP..][..GROUP];
    place.copy_from_slice(&bits.to_le_bytes()[..GROUP]);
}

/// The value of a register.
#[inline]
pub(super) fn get(stored: &[u8], index: usize) -> u8 {
    unpack(group(stored, index / LANES)).to_le_bytes()[index % LANES]
}

/// Gives a register `value`, of six bits, unless it has that or more. Says whether it got it.
#[inline]
pub(super) fn raise(stored: &mut [u8], index: usize, value: u8) -> bool {
    let mut values = unpack(group(stored, index / LANES)).to_le_bytes();
    let raises = value > values[index % LANES];
    if raises {
        values[index % LANES] = value;
        put_group(stored, index / LANES, pack(u64::from_le_bytes(values)));
    }
    raises
}

/// Raises all of `registers` to what is stored.
pub(super) fn raise_all(stored: &[u8], registers: &mut [u8; REGISTERS]) {
    let (lanes, _) = registers.as_chunks_mut();
    for (index, values) in lanes.iter_mut().enumerate() {
        let stored = unpack(group(stored, index));
        *values = larger(u64::from_le_bytes(*values), stored).to_le_bytes();
    }
}

/// Raises all that is stored to `registers`, whose values have six bits.
pub(super) fn store_all(stored: &mut [u8], registers: &[u8; REGISTERS]) {
    let (lanes, _) = registers.as_chunks();
    for (index, values) in lanes.iter().enumerate() {
        let values = larger(u64::from_le_bytes(*values), unpack(group(stored, index)));
        put_group(stored, index, pack(values));
    }
}
