//! HyperLogLogs: strings that estimate how many different elements were added to them.
//!
//! An element's hash names one of 16384 registers with its low 14 bits; the register keeps the largest number of the first
//! set bit among the others that any element had. What is stored is stock's, byte for byte:
//!
//! ```text
//! 0  "HYLL"
//! 4  u8 encoding: 0 dense, 1 sparse
//! 5  three bytes, 0
//! 8  u64 LE: the last estimate; it no longer holds if the highest bit is set
//! 16 registers: dense.rs, sparse.rs
//! ```
//!
//! The estimator is that of Redis 5.0 and later. Source: Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog
//! sketches", arXiv:1702.01284.

mod dense;
mod estimate;
mod hash;
mod sparse;

use estimate::Histogram;
pub use sparse::Run;

/// Bits of a hash that name a register.
const INDEX_BITS: u32 = 14;
/// Registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that count for its register's value.
const VALUE_BITS: u32 = 64 - INDEX_BITS;

const MAGIC: &[u8; 4] = b"HYLL";
const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = HEADER_BYTES + dense::BYTES;

/// What is no HyperLogLog, and which kind of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The string does not begin as one, or has not its length.
    NotOne,
    /// Its registers do not add up.
    Corrupt,
}

/// How the registers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Six bits each.
    Dense,
    /// Runs of equal ones.
    Sparse,
}

/// A HyperLogLog without elements.
pub fn new() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(MAGIC);
    bytes.resize(HEADER_BYTES, 0);
    bytes[4] = 1;
    sparse::push_zeros(&mut bytes, REGISTERS);
    bytes
}

/// How the registers of a string are stored.
///
/// # Errors
/// `NotOne`. Whether the registers add up is not looked at.
pub fn encoding(bytes: &[u8]) -> Result<Encoding, Problem> {
    match bytes.get(..HEADER_BYTES).and_then(|header| header.strip_prefix(MAGIC)) {
        Some([0, ..]) if bytes.len() == DENSE_BYTES => Ok(Encoding::Dense),
        Some([1, ..]) => Ok(Encoding::Sparse),
        _ => Err(Problem::NotOne),
    }
}

/// The estimate that is stored, if it still holds. `bytes` is a HyperLogLog.
pub fn cached_count(bytes: &[u8]) -> Option<u64> {
    let cached = u64::from_le_bytes(*bytes[8..].first_chunk().expect("a header"));
    (cached >> 63 == 0).then_some(cached)
}

/// Stores an estimate.
pub fn cache_count(bytes: &mut [u8], count: u64) {
    bytes[8..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
}

/// Says that the estimate no longer holds.
pub fn forget_count(bytes: &mut [u8]) {
    bytes[HEADER_BYTES - 1] |= 0x80;
}

/// What an element does: the register, and the value it is to have at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    index: usize,
    value: u8,
}

impl Mark {
    /// Of an element.
    pub fn of(element: &[u8]) -> Self {
        let hash = hash::murmur64a(element, hash::SEED);
        let index = usize::try_from(hash & (REGISTERS as u64 - 1)).expect("fourteen bits");
        // A bit behind all others makes an end.
        let rest = hash >> INDEX_BITS | 1 << VALUE_BITS;
        Self { index, value: u8::try_from(rest.trailing_zeros() + 1).expect("at most 51") }
    }

    /// Whether it would change `bytes`, which is a HyperLogLog.
    ///
    /// # Errors
    /// `Corrupt` if there is no such register.
    pub fn changes(self, bytes: &[u8]) -> Result<bool, Problem> {
        let registers = &bytes[HEADER_BYTES..];
        let value = match encoding(bytes)? {
            Encoding::Dense => dense::get(registers, self.index),
            Encoding::Sparse => sparse::get(registers, self.index).ok_or(Problem::Corrupt)?,
        };
        Ok(value < self.value)
    }

    /// Works it into `bytes`, a HyperLogLog, which becomes dense when its registers take more than `sparse_bytes_max`
    /// otherwise. Says whether anything changed. What is known of the count is left alone if the register can be changed
    /// in place in a dense one.
    ///
    /// # Errors
    /// `Corrupt`; nothing has changed then.
    pub fn apply(self, bytes: &mut Vec<u8>, sparse_bytes_max: usize) -> Result<bool, Problem> {
        if encoding(bytes)? == Encoding::Sparse {
            match sparse::set(bytes, HEADER_BYTES, self.index, self.value, sparse_bytes_max) {
                sparse::Set::Unchanged => return Ok(false),
                sparse::Set::Corrupt => return Err(Problem::Corrupt),
                sparse::Set::Changed => {
                    forget_count(bytes);
                    return Ok(true);
                }
                sparse::Set::Full => {
                    make_dense(bytes)?;
                }
            }
        }
        Ok(dense::raise(&mut bytes[HEADER_BYTES..], self.index, self.value))
    }
}

/// Stores the registers densely. Says whether they were not before.
///
/// # Errors
/// `NotOne`, or `Corrupt` if the registers do not add up. Nothing has changed then.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<bool, Problem> {
    if encoding(bytes)? == Encoding::Dense {
        return Ok(false);
    }
    let mut dense = vec![0; DENSE_BYTES];
    dense[..HEADER_BYTES].copy_from_slice(&bytes[..HEADER_BYTES]);
    dense[4] = 0;
    let mut index = 0;
    for run in sparse::runs(&bytes[HEADER_BYTES..]) {
        let end = index + run.len;
        if end > REGISTERS {
            return Err(Problem::Corrupt);
        }
        if run.value > 0 {
            for register in index..end {
                dense::raise(&mut dense[HEADER_BYTES..], register, run.value);
            }
        }
        index = end;
    }
    if index != REGISTERS {
        return Err(Problem::Corrupt);
    }
    *bytes = dense;
    Ok(true)
}

/// An estimate of how many different elements were added.
///
/// # Errors
/// `NotOne`, or `Corrupt` if the registers do not add up.
pub fn count(bytes: &[u8]) -> Result<u64, Problem> {
    let mut histogram = Histogram::default();
    match encoding(bytes)? {
        Encoding::Dense => {
            let mut registers = [0; REGISTERS];
            dense::raise_all(&bytes[HEADER_BYTES..], &mut registers);
            histogram.add_all(&registers);
        }
        Encoding::Sparse => {
            let mut left = REGISTERS;
            for run in sparse::runs(&bytes[HEADER_BYTES..]) {
                left = left.checked_sub(run.len).ok_or(Problem::Corrupt)?;
                histogram.add(run.value, run.len);
            }
            if left > 0 {
                return Err(Problem::Corrupt);
            }
        }
    }
    Ok(histogram.estimate())
}

/// What is to be changed so that an error leaves `bytes`, a HyperLogLog, as they are: a copy where its registers do not add up,
/// so that a change may fail half way; nothing where every change succeeds. A last run that lacks its second byte, which
/// counts as 0, has it in the copy.
///
/// # Errors
/// `NotOne`, or `Corrupt` if it is longer than any can be.
pub fn draft(bytes: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
    if encoding(bytes)? == Encoding::Dense {
        return Ok(None);
    }
    let stored = &bytes[HEADER_BYTES..];
    if stored.len() > sparse::BYTES_MAX {
        return Err(Problem::Corrupt);
    }
    let (registers, missing) = sparse::extent(stored);
    Ok((registers != REGISTERS || missing > 0).then(|| {
        let mut copy = bytes.to_vec();
        copy.resize(bytes.len() + missing, 0);
        copy
    }))
}

/// The runs of a sparse HyperLogLog as they are stored.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    sparse::runs(bytes.get(HEADER_BYTES..).unwrap_or_default())
}

/// All registers of several HyperLogLogs together, each the largest among them.
pub struct Union {
    registers: Box<[u8; REGISTERS]>,
    /// Whether one of them was dense.
    any_dense: bool,
}

impl Default for Union {
    fn default() -> Self {
        Self { registers: Box::new([0; REGISTERS]), any_dense: false }
    }
}

impl Union {
    /// Adds a HyperLogLog.
    ///
    /// # Errors
    /// `NotOne`, or `Corrupt` if the registers do not add up.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let encoding = encoding(bytes)?;
        let stored = &bytes[HEADER_BYTES..];
        if encoding == Encoding::Dense {
            self.any_dense = true;
            dense::raise_all(stored, &mut self.registers);
            return Ok(());
        }
        let mut index = 0;
        for run in sparse::runs(stored) {
            let registers = self.registers.get_mut(index..index + run.len);
            let registers = registers.ok_or(Problem::Corrupt)?;
            if run.value > 0 {
                registers.iter_mut().for_each(|register| *register = run.value.max(*register));
            }
            index += run.len;
        }
        if index == REGISTERS { Ok(()) } else { Err(Problem::Corrupt) }
    }

    /// The registers' values.
    pub fn registers(&self) -> &[u8; REGISTERS] {
        &self.registers
    }

    /// An estimate of how many different elements were added to any of them.
    pub fn count(&self) -> u64 {
        let mut histogram = Histogram::default();
        histogram.add_all(&self.registers);
        histogram.estimate()
    }

    /// Works all of it into `bytes`, a HyperLogLog; it becomes dense if one of them was.
    ///
    /// # Errors
    /// As [`Mark::apply`].
    pub fn apply(&self, bytes: &mut Vec<u8>, sparse_bytes_max: usize) -> Result<(), Problem> {
        if self.any_dense {
            make_dense(bytes)?;
            dense::store_all(&mut bytes[HEADER_BYTES..], &self.registers);
            forget_count(bytes);
            return Ok(());
        }
        for (index, &value) in self.registers.iter().enumerate() {
            if value > 0 {
                Mark { index, value }.apply(bytes, sparse_bytes_max)?;
            }
        }
        forget_count(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
