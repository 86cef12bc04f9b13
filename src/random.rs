//! Seeds and identifiers. The one place that asks the operating system for randomness; everybody else is
//! handed a seed, so that a test can fix it.

/// Fills `out` with bytes nobody can predict.
///
/// A system without a source of randomness cannot run a server: identifiers would collide and hash tables
/// could be attacked, so this asserts instead of going on.
fn fill(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system gives random bytes");
}

/// A key for keyed hashes, new in each process.
pub fn hash_key() -> [u8; 16] {
    let mut key = [0; 16];
    fill(&mut key);
    key
}

/// A seed for sampling, new in each process.
pub fn seed() -> u64 {
    let mut seed = [0; 8];
    fill(&mut seed);
    u64::from_le_bytes(seed)
}

/// A random identifier of 40 lower-case hex digits: run id, replication id, node id.
pub fn hex_id() -> [u8; 40] {
    let mut raw = [0; 20];
    fill(&mut raw);
    hex(raw)
}

fn hex(raw: [u8; 20]) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 40];
    for (pair, byte) in out.chunks_exact_mut(2).zip(raw) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_hex_and_differ() {
        let (one, two) = (hex_id(), hex_id());
        assert!(one.iter().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(c)));
        assert_ne!(one, two);
        assert_eq!(&hex([0xa5; 20])[..4], b"a5a5");
    }

    #[test]
    fn keys_and_seeds_differ() {
        assert_ne!(hash_key(), hash_key());
        assert_ne!(seed(), seed());
    }
}
