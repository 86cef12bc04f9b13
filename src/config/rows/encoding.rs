//! When a value changes its encoding. Clients see the encodings by OBJECT ENCODING.

use super::{I32_MAX, I64_MAX, SIZE_MAX};
use crate::config::row::{Row, number};

pub(super) const ROWS: &[Row] = &[
    Row::number(
        "hash-max-listpack-entries",
        "512",
        (0, I64_MAX),
        number!(hash_max_listpack_entries),
        "Most fields of a compact hash.",
    )
    .alias("hash-max-ziplist-entries"),
    Row::memory(
        "hash-max-listpack-value",
        "64",
        (0, SIZE_MAX),
        number!(hash_max_listpack_value),
        "Longest field or value of a compact hash, in bytes.",
    )
    .alias("hash-max-ziplist-value"),
    Row::number(
        "list-max-listpack-size",
        "-2",
        (i32::MIN as i64, I32_MAX),
        number!(list_max_listpack_size),
        "Most elements of a compact list node; -1 to -5 for 4, 8, 16, 32, 64 kilobytes instead.",
    )
    .alias("list-max-ziplist-size"),
    Row::number(
        "list-compress-depth",
        "0",
        (0, I32_MAX),
        number!(list_compress_depth),
        "Nodes at each end of a list that are not compressed; 0 for no compression at all.",
    )
    .without("lists are not compressed in memory"),
    Row::number(
        "set-max-intset-entries",
        "512",
        (0, I64_MAX),
        number!(set_max_intset_entries),
        "Most members of a compact set of integers.",
    ),
    Row::number(
        "set-max-listpack-entries",
        "128",
        (0, I64_MAX),
        number!(set_max_listpack_entries),
        "Most members of a compact set.",
    ),
    Row::memory(
        "set-max-listpack-value",
        "64",
        (0, SIZE_MAX),
        number!(set_max_listpack_value),
        "Longest member of a compact set, in bytes.",
    ),
    Row::number(
        "zset-max-listpack-entries",
        "128",
        (0, I64_MAX),
        number!(zset_max_listpack_entries),
        "Most members of a compact sorted set.",
    )
    .alias("zset-max-ziplist-entries"),
    Row::memory(
        "zset-max-listpack-value",
        "64",
        (0, SIZE_MAX),
        number!(zset_max_listpack_value),
        "Longest member of a compact sorted set, in bytes.",
    )
    .alias("zset-max-ziplist-value"),
    Row::memory(
        "hll-sparse-max-bytes",
        "3000",
        (0, SIZE_MAX),
        number!(hll_sparse_max_bytes),
        "Bytes up to which a HyperLogLog stays sparse.",
    ),
    Row::memory(
        "stream-node-max-bytes",
        "4096",
        (0, SIZE_MAX),
        number!(stream_node_max_bytes),
        "Most bytes of a stream node; 0 for no limit.",
    ),
    Row::number(
        "stream-node-max-entries",
        "100",
        (0, I64_MAX),
        number!(stream_node_max_entries),
        "Most entries of a stream node; 0 for no limit.",
    ),
];
