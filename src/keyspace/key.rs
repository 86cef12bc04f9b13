//! A key as the keyspace sees it: its bytes, its slot, its hash; each computed once per lookup.

use siphasher::sip::SipHasher13;

use crate::random;

/// Slots of a keyspace, in cluster mode and out of it.
pub const SLOT_COUNT: usize = SLOTS as usize;

const SLOTS: u16 = 16384;

/// One of the 16384 slots. Spec: cluster, "Key distribution model".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot with this number; `None` past 16383.
    pub const fn new(number: u16) -> Option<Slot> {
        if number < SLOTS { Some(Slot(number)) } else { None }
    }

    /// The slot of `key`: CRC-16/XMODEM of its hash tag, or of all of it where it has none.
    pub fn of(key: &[u8]) -> Slot {
        Slot(crc16(hash_tag(key)) & (SLOTS - 1))
    }

    /// Its number, below 16384.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its number as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All slots in ascending order.
    pub fn all() -> impl DoubleEndedIterator<Item = Slot> + ExactSizeIterator {
        (0..SLOTS).map(Slot)
    }

    /// The slot at `index`, which is below 16384 because it indexes something of that size.
    pub(super) fn at(index: usize) -> Slot {
        assert!(index < SLOT_COUNT, "slot index {index}");
        #[expect(clippy::cast_possible_truncation, reason = "asserted to be below 16384")]
        Slot(index as u16)
    }
}

/// The key of the hash that picks a place inside a slot. Random per process, because SCAN shows the order
/// of hashes: whoever could predict them could fill one bucket.
#[derive(Clone, Copy, Debug)]
pub struct HashKey(SipHasher13);

impl HashKey {
    /// A key nobody can predict.
    pub fn random() -> HashKey {
        HashKey(SipHasher13::new_with_key(&random::hash_key()))
    }

    /// The key that belongs to `seed`: the same order of keys each time, for tests.
    pub fn from_seed(seed: u64) -> HashKey {
        HashKey(SipHasher13::new_with_keys(seed, !seed))
    }

    /// SipHash-1-3 of all bytes of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.0.hash(key)
    }
}

/// A key on its way to a lookup.
#[derive(Clone, Copy, Debug)]
pub struct KeyRef<'a> {
    /// The key itself.
    pub bytes: &'a [u8],
    /// Where it belongs.
    pub slot: Slot,
    /// SipHash-1-3 under the process's key.
    pub hash: u64,
}

impl<'a> KeyRef<'a> {
    /// Computes slot and hash of `bytes`.
    #[inline]
    pub fn new(hash_key: &HashKey, bytes: &'a [u8]) -> KeyRef<'a> {
        KeyRef { bytes, slot: Slot::of(bytes), hash: hash_key.hash(bytes) }
    }
}

/// The part of `key` that decides its slot: what stands between the first `{` and the first `}` behind it,
/// unless that is empty or missing; then all of the key. Spec: cluster, "Hash tags".
#[inline]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else {
        return key;
    };
    match memchr::memchr(b'}', &key[open + 1..]) {
        None | Some(0) => key,
        Some(length) => &key[open + 1..open + 1 + length],
    }
}

/// Row `k` holds the CRC of a byte with `k` zero bytes behind it, so that eight bytes are looked up at once
/// instead of one after the other.
static CRC16: [[u16; 256]; 8] = crc16_table();

const fn crc16_table() -> [[u16; 256]; 8] {
    let mut table = [[0u16; 256]; 8];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[0][byte as usize] = crc;
        byte += 1;
    }
    let mut row = 1;
    while row < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = table[row - 1][byte];
            table[row][byte] = (before << 8) ^ table[0][(before >> 8) as usize];
            byte += 1;
        }
        row += 1;
    }
    table
}

/// CRC-16/XMODEM: polynomial 0x1021, start 0, not reflected; `123456789` gives 0x31c3.
#[inline]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let high = usize::from(chunk[0] ^ crc.to_be_bytes()[0]);
        let low = usize::from(chunk[1] ^ crc.to_be_bytes()[1]);
        crc = CRC16[7][high]
            ^ CRC16[6][low]
            ^ CRC16[5][usize::from(chunk[2])]
            ^ CRC16[4][usize::from(chunk[3])]
            ^ CRC16[3][usize::from(chunk[4])]
            ^ CRC16[2][usize::from(chunk[5])]
            ^ CRC16[1][usize::from(chunk[6])]
            ^ CRC16[0][usize::from(chunk[7])];
    }
    for &byte in chunks.remainder() {
        crc = (crc << 8) ^ CRC16[0][usize::from(crc.to_be_bytes()[0] ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_its_published_check_value() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
    }

    #[test]
    fn crc_agrees_with_the_crate_at_every_length() {
        let mut rng = fastrand::Rng::with_seed(1);
        for length in 0..200 {
            let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
            assert_eq!(crc16(&bytes), crc16::State::<crc16::XMODEM>::calculate(&bytes));
        }
    }

    #[test]
    fn tag_decides_the_slot() {
        let check = |key: &str, tag: &str| {
            assert_eq!(hash_tag(key.as_bytes()), tag.as_bytes(), "{key}");
        };
        check("user", "user");
        check("{user}:1", "user");
        check("a{user}b{x}", "user");
        check("{}a", "{}a");
        check("{}{a}", "{}{a}");
        check("a{b", "a{b");
        check("a}b{c}", "c");
        check("{{a}}", "{a");
        assert_eq!(Slot::of(b"{user}:1"), Slot::of(b"{user}:2"));
        // As a stock node answers CLUSTER KEYSLOT.
        assert_eq!(Slot::of(b"foo").number(), 12182);
        assert_eq!(Slot::of(b"somekey").number(), 11058);
    }

    #[test]
    fn seeds_fix_the_hash() {
        assert_eq!(HashKey::from_seed(1).hash(b"a"), HashKey::from_seed(1).hash(b"a"));
        assert_ne!(HashKey::from_seed(1).hash(b"a"), HashKey::from_seed(2).hash(b"a"));
        assert_ne!(HashKey::random().hash(b"a"), HashKey::random().hash(b"a"));
    }
}
