//! Up to which size a collection is kept packed.

/// The settings that decide between packed and plain forms, named as in redis.conf. The defaults are Redis 7.2's.
///
/// They matter to the writer (a peer loads a packed collection as it is) and to whoever names encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// `hash-max-listpack-entries`: fields.
    pub hash_entries_max: u64,
    /// `hash-max-listpack-value`: bytes of a field or value.
    pub hash_value_bytes_max: usize,
    /// `set-max-intset-entries`: members, all of them integers.
    pub set_intset_entries_max: u64,
    /// `set-max-listpack-entries`: members.
    pub set_entries_max: u64,
    /// `set-max-listpack-value`: bytes of a member.
    pub set_value_bytes_max: usize,
    /// `zset-max-listpack-entries`: members.
    pub zset_entries_max: u64,
    /// `zset-max-listpack-value`: bytes of a member.
    pub zset_value_bytes_max: usize,
    /// `list-max-listpack-size`: elements of a node if positive; -1 to -5 stand for 4 to 64 KiB.
    pub list_node_size: i64,
    /// `list-compress-depth`: nodes at either end of a list that are not compressed; 0: none is.
    pub list_compress_depth: u32,
    /// `stream-node-max-bytes`: 0 is no limit.
    pub stream_node_bytes_max: usize,
    /// `stream-node-max-entries`: 0 is no limit.
    pub stream_node_entries_max: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            hash_entries_max: 512,
            hash_value_bytes_max: 64,
            set_intset_entries_max: 512,
            set_entries_max: 128,
            set_value_bytes_max: 64,
            zset_entries_max: 128,
            zset_value_bytes_max: 64,
            list_node_size: -2,
            list_compress_depth: 0,
            stream_node_bytes_max: 4096,
            stream_node_entries_max: 100,
        }
    }
}

impl Thresholds {
    /// Whether a list node of `elements` elements in `bytes` bytes is within the limits.
    ///
    /// A limit by elements still has one by bytes, 8 KiB, so that large elements do not pile up in a node.
    #[must_use]
    pub fn list_node_fits(&self, elements: u64, bytes: usize) -> bool {
        bytes <= self.list_node_bytes_max() && elements <= self.list_node_elements_max()
    }

    /// Whether a list node is within half of the limits that are set: by bytes or by elements.
    #[must_use]
    pub fn list_node_is_small(&self, elements: u64, bytes: usize) -> bool {
        if self.list_node_size < 0 {
            bytes <= self.list_node_bytes_max() / 2
        } else {
            elements <= self.list_node_elements_max() / 2
        }
    }

    /// Bytes of a list node of more than one element.
    #[must_use]
    pub fn list_node_bytes_max(&self) -> usize {
        match self.list_node_size {
            -1 => 4096,
            -2 | 0.. => 8192,
            -3 => 16_384,
            -4 => 32_768,
            _ => 65_536,
        }
    }

    /// Elements of a list node: one at least.
    fn list_node_elements_max(&self) -> u64 {
        u64::try_from(self.list_node_size).map_or(u64::MAX, |elements| elements.max(1))
    }
}
