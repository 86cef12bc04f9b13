//! Names of nodes, and epochs.

use std::fmt;

/// The name of a node, or of a shard: 40 characters from `0-9a-z`, hexadecimal digits where it was made by a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; NodeId::BYTES]);

impl NodeId {
    /// Length in bytes.
    pub const BYTES: usize = 40;

    /// The id with these characters; `None` if one of them is not allowed.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = text.try_into().ok()?;
        let allowed = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
        bytes.iter().all(allowed).then_some(Self(bytes))
    }

    /// An id drawn from `rng`, for nodes whose own name is not known yet, and in tests.
    pub fn random(rng: &mut fastrand::Rng) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        Self(std::array::from_fn(|_| DIGITS[rng.usize(..DIGITS.len())]))
    }

    /// As it stands on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits and letters")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str()[..8])
    }
}

/// A configuration's or an election's number. Spec: cluster, "Configuration handling, propagation, and failovers".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The one behind it. Epochs near the end of their range are refused where they come in.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_forty_digits_and_small_letters() {
        let good = [b'z'; 40];
        assert_eq!(NodeId::new(&good).unwrap().as_bytes(), &good);
        assert!(NodeId::new(&[b'A'; 40]).is_none());
        assert!(NodeId::new(&[0; 40]).is_none());
        assert!(NodeId::new(&[b'a'; 39]).is_none());
        let mut rng = fastrand::Rng::with_seed(1);
        assert_ne!(NodeId::random(&mut rng), NodeId::random(&mut rng));
    }
}
