//! Inner nodes of long lists in compressed form.

use std::cell::RefCell;

use highwater_persistence::snapshot::lzf::{self, Compressor};

/// Fewer bytes are not worth the trouble.
const RAW_BYTES_MIN: usize = 48;

/// So many bytes have to be saved at least.
const GAIN_BYTES_MIN: usize = 9;

thread_local! {
    /// Its table is 64 KiB, so there is one for all lists.
    static COMPRESSOR: RefCell<Compressor> = RefCell::new(Compressor::new());
}

/// Bytes in compressed form.
#[derive(Debug)]
pub(super) struct Compressed {
    bytes: Box<[u8]>,
    raw_bytes: usize,
}

impl Compressed {
    /// `raw` compressed, where that saves something.
    pub(super) fn of(raw: &[u8]) -> Option<Self> {
        if raw.len() < RAW_BYTES_MIN {
            return None;
        }
        let (mut output, bytes_max) = (Vec::new(), raw.len() - GAIN_BYTES_MIN);
        let shorter = COMPRESSOR
            .with_borrow_mut(|compressor| compressor.compress(raw, bytes_max, &mut output));
        shorter.then(|| Self { bytes: output.into_boxed_slice(), raw_bytes: raw.len() })
    }

    /// What was compressed.
    pub(super) fn raw(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(self.raw_bytes);
        lzf::decompress(&self.bytes, self.raw_bytes, &mut raw).expect("it was compressed here");
        assert_eq!(raw.len(), self.raw_bytes, "all of it comes back");
        raw
    }

    /// Length of what was compressed.
    pub(super) fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// Length of the compressed form.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_become_shorter_stays() {
        assert!(Compressed::of(&[b'a'; RAW_BYTES_MIN - 1]).is_none());
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1000).collect();
        assert!(Compressed::of(&noise).is_none());
        let compressed = Compressed::of(&[b'a'; 1000]).expect("it is one letter");
        assert!(compressed.bytes() < 30);
        assert_eq!(compressed.raw(), [b'a'; 1000]);
    }
}
