//! LZF, in which long strings of snapshots are compressed.

use highwater_persistence::snapshot::lzf::{Compressor, decompress};

/// The first two bytes are the length that is claimed for what the rest decompresses to.
pub fn check(input: &[u8]) {
    let mut compressor = Compressor::new();
    comes_back(&mut compressor, input);
    let Some((length, bytes)) = input.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_le_bytes(*length));
    let mut output = b"before".to_vec();
    match decompress(bytes, length, &mut output) {
        Ok(()) => {
            assert_eq!(output.len(), 6 + length, "it is as long as was claimed");
            assert_eq!(&output[..6], b"before");
            comes_back(&mut compressor, &output[6..]);
        }
        Err(_) => assert!(output.len() <= 6 + length, "no more than was claimed is written"),
    }
}

fn comes_back(compressor: &mut Compressor, bytes: &[u8]) {
    let mut compressed = Vec::new();
    for bytes_max in [bytes.len() / 2, 2 * bytes.len() + 8] {
        compressed.clear();
        if compressor.compress(bytes, bytes_max, &mut compressed) {
            assert!(compressed.len() <= bytes_max);
            let mut output = Vec::new();
            decompress(&compressed, bytes.len(), &mut output).expect("we made it");
            assert_eq!(output, bytes);
        } else {
            assert!(compressed.is_empty() && bytes_max < bytes.len());
        }
    }
}
