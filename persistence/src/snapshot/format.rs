//! The numbers of the format: versions, record types, value types.
//!
//! A snapshot is the magic (nine bytes), records that each begin with one byte, and a footer. A byte up to
//! about 33 is a value's type and begins a key; those from 242 up are other records.

use super::{SnapshotError, Vendor};

/// Version written unless told otherwise: Redis 7.0 and later and every Valkey read it.
pub const VERSION_DEFAULT: u32 = 10;

/// Highest version with `REDIS` magic that is read. What newer ones add beyond the known types is refused
/// by type.
pub const REDIS_VERSION_MAX: u32 = 14;

/// Versions with `VALKEY` magic that are read.
pub const VALKEY_VERSIONS: std::ops::RangeInclusive<u32> = 80..=81;

/// First version with a checksum in the footer.
pub(crate) const CHECKSUM_SINCE: u32 = 5;

/// Length of the magic.
pub(crate) const MAGIC_BYTES: usize = 9;

/// Length of the footer of a DUMP payload: version (2) and checksum (8).
pub(crate) const DUMP_FOOTER_BYTES: usize = 10;

/// Records that are not keys.
pub(crate) mod opcode {
    pub(crate) const SLOT_IMPORT_OR_KEY_META: u8 = 243;
    pub(crate) const SLOT_INFO: u8 = 244;
    pub(crate) const FUNCTION2: u8 = 245;
    pub(crate) const FUNCTION_PRE_RELEASE: u8 = 246;
    pub(crate) const MODULE_AUX: u8 = 247;
    pub(crate) const IDLE: u8 = 248;
    pub(crate) const FREQ: u8 = 249;
    pub(crate) const AUX: u8 = 250;
    pub(crate) const RESIZE_DB: u8 = 251;
    pub(crate) const EXPIRE_MS: u8 = 252;
    pub(crate) const EXPIRE_S: u8 = 253;
    pub(crate) const SELECT_DB: u8 = 254;
    pub(crate) const EOF: u8 = 255;
}

/// Types of values.
pub(crate) mod kind {
    pub(crate) const STRING: u8 = 0;
    pub(crate) const LIST: u8 = 1;
    pub(crate) const SET: u8 = 2;
    pub(crate) const ZSET: u8 = 3;
    pub(crate) const HASH: u8 = 4;
    pub(crate) const ZSET_2: u8 = 5;
    pub(crate) const MODULE_PRE_RELEASE: u8 = 6;
    pub(crate) const MODULE_2: u8 = 7;
    pub(crate) const HASH_ZIPMAP: u8 = 9;
    pub(crate) const LIST_ZIPLIST: u8 = 10;
    pub(crate) const SET_INTSET: u8 = 11;
    pub(crate) const ZSET_ZIPLIST: u8 = 12;
    pub(crate) const HASH_ZIPLIST: u8 = 13;
    pub(crate) const LIST_QUICKLIST: u8 = 14;
    pub(crate) const STREAM: u8 = 15;
    pub(crate) const HASH_LISTPACK: u8 = 16;
    pub(crate) const ZSET_LISTPACK: u8 = 17;
    pub(crate) const LIST_QUICKLIST_2: u8 = 18;
    pub(crate) const STREAM_2: u8 = 19;
    pub(crate) const SET_LISTPACK: u8 = 20;
    pub(crate) const STREAM_3: u8 = 21;
    /// Redis: a hash with field expiry before 7.4 was released. Valkey: HASH_2.
    pub(crate) const HASH_22: u8 = 22;
    pub(crate) const HASH_LISTPACK_EX_PRE_RELEASE: u8 = 23;
    pub(crate) const HASH_METADATA: u8 = 24;
    pub(crate) const HASH_LISTPACK_EX: u8 = 25;
    pub(crate) const STREAM_4: u8 = 26;
    pub(crate) const STREAM_5: u8 = 27;
    /// The highest type known by name, though 28 to 33 are not read (arrays, hash templates, rate limits).
    pub(crate) const HIGHEST_NAMED: u8 = 33;
}

/// Opcodes inside a module's data.
pub(crate) mod module_opcode {
    pub(crate) const EOF: u64 = 0;
    pub(crate) const SIGNED: u64 = 1;
    pub(crate) const UNSIGNED: u64 = 2;
    pub(crate) const FLOAT: u64 = 3;
    pub(crate) const DOUBLE: u64 = 4;
    pub(crate) const STRING: u64 = 5;
}

/// First byte of a length, its upper two bits.
pub(crate) mod length {
    pub(crate) const BITS_6: u8 = 0;
    pub(crate) const BITS_14: u8 = 1;
    pub(crate) const SPECIAL: u8 = 3;
    /// Whole first bytes of the two long forms.
    pub(crate) const BITS_32: u8 = 0x80;
    pub(crate) const BITS_64: u8 = 0x81;
}

/// Special string encodings: the lower six bits of a first byte whose upper two are set.
pub(crate) mod special {
    pub(crate) const INT8: u8 = 0;
    pub(crate) const INT16: u8 = 1;
    pub(crate) const INT32: u8 = 2;
    pub(crate) const LZF: u8 = 3;
}

/// Containers of a list node (type 18).
pub(crate) mod container {
    pub(crate) const PLAIN: u64 = 1;
    pub(crate) const PACKED: u64 = 2;
}

/// Flags of an entry inside a stream node.
pub(crate) mod stream_flag {
    pub(crate) const DELETED: i64 = 1;
    pub(crate) const SAME_FIELDS: i64 = 2;
}

/// Takes the magic apart.
///
/// # Errors
/// `WrongSignature` and `UnsupportedVersion`.
pub(crate) fn parse_magic(magic: [u8; MAGIC_BYTES]) -> Result<(Vendor, u32), SnapshotError> {
    let (vendor, digits) = if let Some(digits) = magic.strip_prefix(b"REDIS") {
        (Vendor::Redis, digits)
    } else if let Some(digits) = magic.strip_prefix(b"VALKEY") {
        (Vendor::Valkey, digits)
    } else {
        return Err(SnapshotError::WrongSignature);
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(SnapshotError::WrongSignature);
    }
    let version = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let known = match vendor {
        Vendor::Redis => (1..=REDIS_VERSION_MAX).contains(&version),
        Vendor::Valkey => VALKEY_VERSIONS.contains(&version),
    };
    if known { Ok((vendor, version)) } else { Err(SnapshotError::UnsupportedVersion { version }) }
}

/// The vendor of a DUMP payload, whose footer has the number alone.
pub(crate) fn vendor_of_version(version: u32) -> Option<Vendor> {
    if (1..=REDIS_VERSION_MAX).contains(&version) {
        Some(Vendor::Redis)
    } else if VALKEY_VERSIONS.contains(&version) {
        Some(Vendor::Valkey)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_names_vendor_and_version() {
        assert!(matches!(parse_magic(*b"REDIS0001"), Ok((Vendor::Redis, 1))));
        assert!(matches!(parse_magic(*b"REDIS0014"), Ok((Vendor::Redis, 14))));
        assert!(matches!(parse_magic(*b"VALKEY080"), Ok((Vendor::Valkey, 80))));
    }

    #[test]
    fn foreign_and_future_magic_is_refused() {
        for magic in [b"REDIS0000", b"REDIS0015", b"REDIS0080", b"VALKEY011", b"VALKEY082"] {
            let refused = parse_magic(*magic);
            assert!(matches!(refused, Err(SnapshotError::UnsupportedVersion { .. })), "{magic:?}");
        }
        for magic in [b"REDIS 001", b"redis0010", b"VALKEY-80", b"\0\0\0\0\0\0\0\0\0"] {
            assert!(matches!(parse_magic(*magic), Err(SnapshotError::WrongSignature)));
        }
    }
}
