//! The two CRC-64 of the files: one polynomial for snapshots, another for the log.
//!
//! They are easily confused, since both are called "CRC-64". The published check values (the checksum of the
//! nine digits `123456789`) tell them apart, and the tests hold them.
//!
//! | where | name | check value |
//! |---|---|---|
//! | footer of snapshots and DUMP payloads | CRC-64/Jones (also CRC-64/REDIS) | `e9c6d914c4b8d9ca` |
//! | annotations of the log | CRC-64/XZ | `995dc9bbdf1939fa` |

use crc_fast::CrcAlgorithm::Crc64Redis;

/// A running CRC-64/Jones: the checksum of snapshots and DUMP payloads.
///
/// A clone continues on its own, so a value can be looked at in the middle without ending the sum.
#[derive(Clone)]
pub struct SnapshotCrc(crc_fast::Digest);

impl SnapshotCrc {
    /// The checksum of no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self(crc_fast::Digest::new(Crc64Redis))
    }

    /// Adds `bytes` to the sum.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of everything added so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

impl Default for SnapshotCrc {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for SnapshotCrc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotCrc({:016x})", self.value())
    }
}

/// CRC-64/Jones of `bytes`.
#[must_use]
pub fn snapshot_crc(bytes: &[u8]) -> u64 {
    crc_fast::checksum(Crc64Redis, bytes)
}

/// A running CRC-64/XZ: the checksum of the log's annotations.
///
/// A clone continues on its own, so a value can be looked at in the middle without ending the sum.
#[derive(Clone)]
pub struct LogCrc(crc64fast::Digest);

impl LogCrc {
    /// The checksum of no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self(crc64fast::Digest::new())
    }

    /// Adds `bytes` to the sum.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The checksum of everything added so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.sum64()
    }
}

impl Default for LogCrc {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for LogCrc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogCrc({:016x})", self.value())
    }
}

/// CRC-64/XZ of `bytes`.
#[must_use]
pub fn log_crc(bytes: &[u8]) -> u64 {
    let mut crc = LogCrc::new();
    crc.update(bytes);
    crc.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: &[u8] = b"123456789";

    #[test]
    fn published_check_values_hold() {
        assert_eq!(snapshot_crc(CHECK), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(log_crc(CHECK), 0x995d_c9bb_df19_39fa);
    }

    #[test]
    fn a_sum_in_pieces_equals_the_sum_at_once() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let bytes: Vec<u8> = (0..random.usize(0..2000)).map(|_| random.u8(..)).collect();
            let (mut jones, mut xz) = (SnapshotCrc::new(), LogCrc::new());
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(random.usize(1..=rest.len()));
                jones.update(piece);
                xz.update(piece);
                rest = later;
            }
            assert_eq!(jones.value(), snapshot_crc(&bytes));
            assert_eq!(jones.value(), crc64::crc64(0, &bytes), "an independent implementation");
            assert_eq!(xz.value(), log_crc(&bytes));
        }
    }

    #[test]
    fn a_clone_continues_on_its_own() {
        let mut first = LogCrc::new();
        first.update(b"12345");
        let mut second = first.clone();
        second.update(b"6789");
        first.update(b"x");
        assert_eq!(second.value(), log_crc(CHECK));
        assert_eq!(first.value(), log_crc(b"12345x"));
    }
}
