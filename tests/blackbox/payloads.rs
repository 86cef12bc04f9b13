//! Values that only payloads hold: clients cannot make them, and stock servers take them with RESTORE.

use highwater_persistence::snapshot::{
    EncoderOptions, Event, StreamId, StreamMeta, encode_dump, seal_dump,
};

use crate::peer::{Request, bulk, words};
use crate::server::{Server, wait_for};

/// A stream of three entries, the first and the last one with a field, with a group whose consumer has the first one.
fn payload(middle: u64, meta: StreamMeta, delivered_ms: i64) -> Vec<u8> {
    let ids = [1, 2, 3].map(|seq| StreamId::new(1, seq));
    let mut events = vec![Event::StreamBegin];
    for (id, fields) in ids.into_iter().zip([1, middle, 1]) {
        events.push(Event::StreamEntry { id, fields });
        events.extend((0..fields).map(|_| Event::StreamField { field: b"f", value: b"v" }));
    }
    events.extend([
        Event::StreamMeta(meta),
        Event::StreamGroup { name: b"g", last_id: ids[0], entries_read: Some(1) },
        Event::StreamPending { id: ids[0], delivered_ms, deliveries: 1 },
        Event::StreamConsumer { name: b"c", seen_ms: 5, active_ms: None },
        Event::StreamConsumerPending { id: ids[0] },
        Event::ValueEnd,
    ]);
    encode_dump(&EncoderOptions::default(), events).expect("it can be written")
}

/// A rewrite that writes commands writes these as payloads, and a start brings them back as they were.
#[test]
fn what_commands_cannot_say_survives_a_rewrite_into_commands() {
    let (last_id, first_id) = (StreamId::new(1, 3), StreamId::new(1, 1));
    let meta = StreamMeta {
        length: 3,
        last_id,
        first_id,
        max_deleted_id: StreamId::ZERO,
        entries_added: 3,
    };
    let payloads = [
        ("plain", payload(1, meta, 5)),
        ("bare", payload(0, meta, 5)),
        ("deleted", payload(1, StreamMeta { max_deleted_id: StreamId::new(9, 9), ..meta }, 5)),
        ("few", payload(1, StreamMeta { entries_added: 1, ..meta }, 5)),
        ("many", payload(1, StreamMeta { entries_added: u64::MAX, ..meta }, 5)),
        ("early", payload(1, meta, -5)),
    ];
    let settings = ["--aof-use-rdb-preamble", "no", "--enable-debug-command", "yes"];
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &settings);
    let restores: Vec<Request> = payloads
        .iter()
        .map(|(key, payload)| {
            [b"RESTORE", key.as_bytes(), b"0", payload].map(<[u8]>::to_vec).to_vec()
        })
        .collect();
    for (reply, (key, _)) in server.client().run(&restores).iter().zip(&payloads) {
        assert_eq!(reply, b"+OK\r\n", "{key}");
    }
    let looks: Vec<Request> = payloads
        .iter()
        .flat_map(|(key, _)| {
            [format!("XRANGE {key} - +"), format!("XINFO STREAM {key} FULL")]
                .map(|line| words(&line))
        })
        // What commands say leaves out when a consumer was seen.
        .filter(|look| look != &words("XINFO STREAM plain FULL"))
        .collect();
    let before = server.client().run(&looks);
    server.ask("BGREWRITEAOF");
    wait_for("the rewrite", || {
        let info = server.client().run(&[words("INFO persistence")]).remove(0);
        let info = String::from_utf8_lossy(bulk(&info)).into_owned();
        let done = ["aof_rewrites:1", "aof_rewrite_in_progress:0", "aof_last_bgrewrite_status:ok"];
        done.iter().all(|field| info.contains(field)).then_some(())
    });
    server.kill();
    let server = Server::start(folder.path(), &settings);
    let after = server.client().run(&looks);
    for (look, (before, after)) in looks.iter().zip(before.iter().zip(&after)) {
        let shown = crate::peer::shown(look);
        assert_eq!(after.escape_ascii().to_string(), before.escape_ascii().to_string(), "{shown}");
    }
}

/// A small payload may name millions of fields. They are walked over where they lie.
#[cfg(target_os = "linux")]
#[test]
fn millions_of_field_names_take_no_memory_of_their_own() {
    const NAMES: u32 = 4_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    // One entry, none deleted, so many names; the rest is missing.
    let mut items = vec![1, 1, 0, 1, 0xf3];
    items.extend_from_slice(&NAMES.to_le_bytes());
    items.push(5);
    items.extend((0..NAMES).flat_map(|_| [1, 1]));
    let total = u32::try_from(6 + items.len() + 1).expect("some megabytes");
    let node = [&total.to_le_bytes()[..], &[0xff, 0xff], &items, &[0xff]].concat();
    let mut record = vec![19, 1, 16];
    record.extend_from_slice(&StreamId::new(1, 1).to_bytes());
    record.push(0x80);
    record.extend_from_slice(&total.to_be_bytes());
    record.extend_from_slice(&node);
    record.extend_from_slice(&[1, 1, 1, 1, 1, 0, 0, 1, 0]);
    let payload = seal_dump(record, 10);
    let restore = [&b"RESTORE"[..], b"s", b"0", &payload].map(<[u8]>::to_vec).to_vec();
    let before = memory_peak_kb(&server);
    assert_eq!(server.client().run(&[restore]), [b"-ERR Bad data format\r\n"]);
    let grown = memory_peak_kb(&server) - before;
    assert!(grown < 60_000, "{before} kB, then {grown} kB more");
}

/// The most memory that a server has ever had.
#[cfg(target_os = "linux")]
fn memory_peak_kb(server: &Server) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its line");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}
