//! From the registers' values to an estimate.

use super::{REGISTERS, VALUE_BITS};

/// 0.5 / ln 2.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The highest value that a hash can give.
const VALUE_MAX: usize = VALUE_BITS as usize + 1;

/// How many registers have which value. Values have six bits.
pub(super) struct Histogram([u32; 64]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Histogram {
    /// Counts `count` registers of a value.
    pub(super) fn add(&mut self, value: u8, count: usize) {
        self.0[usize::from(value & 63)] += u32::try_from(count).expect("at most all registers");
    }

    /// Counts all registers.
    pub(super) fn add_all(&mut self, registers: &[u8; REGISTERS]) {
        // Neighbours often have the same value: in tables of their own they need not wait for each other.
        let mut counts = [[0u32; 64]; 4];
        let (quads, _) = registers.as_chunks::<4>();
        for quad in quads {
            for (counts, value) in counts.iter_mut().zip(quad) {
                counts[usize::from(value & 63)] += 1;
            }
        }
        for (value, count) in self.0.iter_mut().enumerate() {
            *count += counts.iter().map(|counts| counts[value]).sum::<u32>();
        }
    }

    /// The estimate.
    pub(super) fn estimate(&self) -> u64 {
        const REGISTERS_F: f64 = REGISTERS as f64;
        let share = |value: usize| f64::from(self.0[value]) / REGISTERS_F;
        let mut sum = REGISTERS_F * tau((REGISTERS_F - f64::from(self.0[VALUE_MAX])) / REGISTERS_F);
        for value in (1..VALUE_MAX).rev() {
            sum = (sum + f64::from(self.0[value])) * 0.5;
        }
        sum += REGISTERS_F * sigma(share(0));
        let estimate = (ALPHA * REGISTERS_F * REGISTERS_F / sum).round();
        // Registers that no element gives may let it leave all bounds.
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        let estimate = estimate as i64;
        estimate.unsigned_abs()
    }
}

/// What empty registers say.
fn sigma(mut share: f64) -> f64 {
    if share == 1.0 {
        return f64::INFINITY;
    }
    let (mut factor, mut sum) = (1.0, share);
    loop {
        share *= share;
        let before = sum;
        sum += share * factor;
        factor += factor;
        if sum == before {
            return sum;
        }
    }
}

/// What full registers say; `share` is that of the others.
fn tau(mut share: f64) -> f64 {
    if share == 0.0 || share == 1.0 {
        return 0.0;
    }
    let (mut factor, mut sum) = (1.0, 1.0 - share);
    loop {
        share = share.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - share) * (1.0 - share) * factor;
        if sum == before {
            return sum / 3.0;
        }
    }
}
