//! The settings about encodings, as one value.

pub use highwater_persistence::snapshot::Thresholds as Limits;

use crate::config::Values;

/// Up to which sizes collections count as packed, by the settings in force.
pub fn limits(settings: &Values) -> Limits {
    let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Limits {
        hash_entries_max: settings.hash_max_listpack_entries,
        hash_value_bytes_max: bytes(settings.hash_max_listpack_value),
        set_intset_entries_max: settings.set_max_intset_entries,
        set_entries_max: settings.set_max_listpack_entries,
        set_value_bytes_max: bytes(settings.set_max_listpack_value),
        zset_entries_max: settings.zset_max_listpack_entries,
        zset_value_bytes_max: bytes(settings.zset_max_listpack_value),
        list_node_size: i64::from(settings.list_max_listpack_size),
        list_compress_depth: settings.list_compress_depth,
        stream_node_bytes_max: bytes(settings.stream_node_max_bytes),
        stream_node_entries_max: settings.stream_node_max_entries,
    }
}
