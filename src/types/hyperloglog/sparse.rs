//! Runs of equal registers.
//!
//! ```text
//! 00xxxxxx           x + 1 registers of 0
//! 01xxxxxx yyyyyyyy  (x << 8 | y) + 1 registers of 0
//! 1vvvvvxx           x + 1 registers of v + 1
//! ```
//!
//! Runs are split and joined as in stock, so that the same additions give the same bytes.

/// The longest run of zeros in one byte.
const ZEROS_MAX: usize = 64;
/// The longest run of a value.
const RUN_MAX: usize = 4;
/// The largest value.
const VALUE_MAX: u8 = 32;
/// Runs that are looked at when a change may have made neighbours equal.
const JOIN_RUNS: usize = 5;
/// No HyperLogLog has longer registers: two bytes for each. What follows would be moved with each change.
pub(super) const BYTES_MAX: usize = 2 * super::REGISTERS;

/// Some registers of the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Their value.
    pub value: u8,
    /// How many.
    pub len: usize,
    /// Whether it is stored in two bytes, as long runs of zeros are.
    pub wide: bool,
}

impl Run {
    /// The run at the beginning of `stored`; `None` at the end. A second byte that is missing counts as 0.
    #[inline]
    fn read(stored: &[u8]) -> Option<Run> {
        let (&first, rest) = stored.split_first()?;
        let low = usize::from(first & 0x3f);
        Some(match first >> 6 {
            0 => Run { value: 0, len: low + 1, wide: false },
            1 => {
                let second = usize::from(rest.first().copied().unwrap_or(0));
                Run { value: 0, len: (low << 8 | second) + 1, wide: true }
            }
            _ => {
                Run { value: (first >> 2 & 0x1f) + 1, len: usize::from(first & 3) + 1, wide: false }
            }
        })
    }

    #[inline]
    fn bytes(self) -> usize {
        1 + usize::from(self.wide)
    }
}

/// All runs.
pub(super) fn runs(stored: &[u8]) -> impl Iterator<Item = Run> {
    let mut rest = stored;
    std::iter::from_fn(move || {
        let run = Run::read(rest)?;
        rest = rest.get(run.bytes()..).unwrap_or_default();
        Some(run)
    })
}

/// How many registers there are, and how many bytes of the last run are missing.
pub(super) fn extent(stored: &[u8]) -> (usize, usize) {
    let (mut registers, mut bytes) = (0, 0);
    for run in runs(stored) {
        registers += run.len;
        bytes += run.bytes();
    }
    (registers, bytes - stored.len())
}

/// The value of a register, if there is such.
pub(super) fn get(stored: &[u8], index: usize) -> Option<u8> {
    let mut end = 0;
    runs(stored).find_map(|run| {
        end += run.len;
        (index < end).then_some(run.value)
    })
}

/// A run of zeros.
pub(super) fn push_zeros(out: &mut impl Extend<u8>, len: usize) {
    let less_one = u16::try_from(len - 1).expect("no more than there are registers");
    let [high, low] = less_one.to_be_bytes();
    if len > ZEROS_MAX { out.extend([0x40 | high, low]) } else { out.extend([low]) }
}

/// A run of a value above 0.
fn value_run(value: u8, len: usize) -> u8 {
    debug_assert!((1..=VALUE_MAX).contains(&value) && (1..=RUN_MAX).contains(&len));
    0x80 | (value - 1) << 2 | u8::try_from(len - 1).expect("at most four registers")
}

/// What became of a register that was to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// It has that value or a higher one.
    Unchanged,
    /// It has the value now.
    Changed,
    /// The value, or what is stored then, is too large for this form. Nothing has changed.
    Full,
    /// There is no such register.
    Corrupt,
}

/// Raises a register to `value`. The runs stand in `bytes` from `start` on; all of `bytes` may take up to `bytes_max`.
pub(super) fn set(
    bytes: &mut Vec<u8>,
    start: usize,
    index: usize,
    value: u8,
    bytes_max: usize,
) -> Set {
    if value > VALUE_MAX {
        return Set::Full;
    }
    let (mut at, mut previous, mut first) = (start, start, 0);
    let run = loop {
        let Some(run) = Run::read(&bytes[at..]) else { return Set::Corrupt };
        if index < first + run.len {
            break run;
        }
        previous = at;
        at = (at + run.bytes()).min(bytes.len());
        first += run.len;
    };
    if run.value >= value {
        return Set::Unchanged;
    }
    if bytes.len() - start > BYTES_MAX || at + run.bytes() > bytes.len() {
        return Set::Corrupt;
    }
    let mut parts = smallvec::SmallVec::<[u8; 5]>::new();
    let before_and_behind = [index - first, first + run.len - 1 - index];
    for (place, len) in before_and_behind.into_iter().enumerate() {
        if len > 0 && run.value == 0 {
            push_zeros(&mut parts, len);
        } else if len > 0 {
            parts.push(value_run(run.value, len));
        }
        if place == 0 {
            parts.push(value_run(value, 1));
        }
    }
    let grows = parts.len() > run.bytes();
    if grows && bytes.len() + parts.len() - run.bytes() > bytes_max {
        return Set::Full;
    }
    bytes.splice(at..at + run.bytes(), parts);
    join(bytes, previous);
    Set::Changed
}

/// Joins neighbours of the same value among the runs from `at` on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_RUNS {
        let Some(run) = Run::read(&bytes[at.min(bytes.len())..]) else { return };
        if run.value > 0
            && let Some(next) = Run::read(&bytes[at + 1..])
            && next.value == run.value
            && run.len + next.len <= RUN_MAX
        {
            bytes[at + 1] = value_run(run.value, run.len + next.len);
            bytes.remove(at);
        } else {
            at += run.bytes();
        }
    }
}
