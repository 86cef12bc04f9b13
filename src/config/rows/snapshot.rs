//! Snapshots (RDB) and the folder of all files.

use super::{I32_MAX, SIZE_MAX, bare_name};
use crate::config::error::os_reason;
use crate::config::row::{Row, Special, choice, flag, number, text};
use crate::config::special::{parse_save, print_save};

const SAVE: Special = Special {
    form: "seconds changes...",
    set: |values, words, again| {
        let rules = parse_save(words)?;
        if again && !rules.is_empty() {
            values.save.extend(rules);
        } else {
            values.save = rules;
        }
        Ok(())
    },
    get: |values| print_save(&values.save),
    lines: |values| {
        if values.save.is_empty() {
            return vec![vec![String::new()]];
        }
        let rules = values.save.iter();
        rules.map(|rule| vec![rule.seconds.to_string(), rule.changes.to_string()]).collect()
    },
    words: (1, usize::MAX),
};

const DIR: Special = Special {
    form: "path",
    set: |values, words, _| {
        let dir = std::path::Path::new(&values.dir).join(&words[0]);
        let folder = std::fs::canonicalize(&dir).and_then(|path| {
            // Also says whether it is a folder and may be entered.
            std::fs::metadata(path.join(".")).map(|_| path)
        });
        let path = folder.map_err(|error| os_reason(&error))?;
        values.dir = path.to_str().ok_or("argument must be valid UTF-8")?.to_owned();
        Ok(())
    },
    get: |values| values.dir.clone(),
    lines: |values| vec![vec![values.dir.clone()]],
    words: (1, 1),
};

/// Why the delays do nothing.
const HOOK: &str = "a hook for the tests of stock servers";

pub(super) const ROWS: &[Row] = &[
    Row::special("dir", ".", DIR, "Folder of all files that the server keeps.")
        .protected()
        .not_while_loading(),
    Row::text(
        "dbfilename",
        "dump.rdb",
        text!(dbfilename),
        "Name of the snapshot file, inside `dir`.",
    )
    .protected()
    .checked(|text| bare_name("dbfilename", text)),
    Row::special(
        "save",
        "3600 1 300 100 60 10000",
        SAVE,
        "When a snapshot is taken: after the seconds if at least so many keys changed. Several rules may be given; `\"\"` for none.",
    ),
    Row::number(
        "rdb-version",
        "10",
        (10, 11),
        number!(rdb_version),
        "Version of the snapshot format that is written: 10 is read by servers from 7.0 on, 11 by those from 7.2 on.",
    ),
    Row::flag(
        "rdbcompression",
        "yes",
        flag!(rdbcompression),
        "Compresses long strings in snapshots.",
    ),
    Row::flag(
        "rdbchecksum",
        "yes",
        flag!(rdbchecksum),
        "Ends a snapshot with a checksum, and checks it when one is loaded.",
    )
    .at_start(),
    Row::flag(
        "rdb-save-incremental-fsync",
        "yes",
        flag!(rdb_save_incremental_fsync),
        "Syncs a snapshot every few megabytes while it is written.",
    ),
    Row::flag(
        "rdb-del-sync-files",
        "no",
        flag!(rdb_del_sync_files),
        "Removes snapshots that only served a replica, if neither `save` nor `appendonly` wants them.",
    )
    .without("a snapshot for a replica never has a name"),
    Row::flag(
        "stop-writes-on-bgsave-error",
        "yes",
        flag!(stop_writes_on_bgsave_error),
        "Refuses writes after a snapshot failed, until one succeeds.",
    ),
    Row::choice(
        "sanitize-dump-payload",
        "no",
        choice!(sanitize_dump_payload),
        "Whose RESTORE payloads and snapshots are checked in depth.",
    )
    .without("every payload and snapshot is checked in depth as it is decoded"),
    Row::number(
        "key-load-delay",
        "0",
        (i32::MIN as i64, I32_MAX),
        number!(key_load_delay),
        "Slows loading down by microseconds per key, for tests.",
    )
    .hidden()
    .without(HOOK),
    Row::number(
        "rdb-key-save-delay",
        "0",
        (i32::MIN as i64, I32_MAX),
        number!(rdb_key_save_delay),
        "Slows snapshots down by microseconds per key, for tests.",
    )
    .hidden()
    .without(HOOK),
    Row::memory(
        "loading-process-events-interval-bytes",
        "2mb",
        (1024, SIZE_MAX),
        number!(loading_process_events_interval_bytes),
        "Bytes that are loaded between two looks at the clients.",
    )
    .hidden()
    .without("loading has threads of its own, clients are served meanwhile"),
];
