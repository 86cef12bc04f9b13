//! Makes the seeds: small inputs that reach each form a decoder knows.

mod commands;
mod wire;

use std::path::{Path, PathBuf};

use highwater_persistence::snapshot::lzf::Compressor;
use highwater_persistence::snapshot::{
    EncoderOptions, Event, KeyMeta, SnapshotWriter, StreamId, StreamMeta, Thresholds, ValueEncoder,
    WriterOptions,
};

/// A name and the bytes.
type Seed = (String, Vec<u8>);

fn named(seeds: &[(&str, &[u8])]) -> Vec<Seed> {
    seeds.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

/// The seeds of a target.
pub(crate) fn made(target: &str) -> Vec<Seed> {
    match target {
        "calls" => calls(),
        "commands" => named(commands::FAMILIES),
        "config" => named(CONFIG),
        "dump" => dump(),
        "inline" => named(INLINE),
        "log" => named(LOG),
        "lzf" => lzf(),
        "manifest" => named(MANIFEST),
        "nodes_conf" => named(NODES_CONF),
        "packed" => packed(),
        "requests" => named(REQUESTS),
        "snapshot" => snapshot(),
        "wire" => wire::made(),
        other => panic!("no seeds for {other}"),
    }
}

/// Files among the fixtures that a target reads, as inputs.
pub(crate) fn fixtures(target: &str) -> Vec<Vec<u8>> {
    let read = |suffix: &str| {
        let mut found = Vec::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"), suffix, &mut found);
        found.sort();
        found.into_iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    match target {
        "log" => read(".aof").into_iter().map(|bytes| [&[0][..], &bytes].concat()).collect(),
        "manifest" => read(".manifest"),
        "nodes_conf" => read(".conf"),
        // The large ones hold the same again and again.
        "snapshot" => read(".rdb").into_iter().filter(|bytes| bytes.len() < 8192).collect(),
        "wire" => read(".bin"),
        _ => Vec::new(),
    }
}

fn collect(folder: &Path, suffix: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, suffix, found);
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
}

const CONFIG: &[(&str, &[u8])] = &[
    ("plain", b"# a comment\nport 7000\nbind 127.0.0.1 -::1\ntimeout 5\n\nmaxmemory 100mb\n"),
    ("quoted", b"requirepass \"a \\\"b\\\" \\x00\"\nlogfile ''\nsave 60 1\nsave 30 2\n  save \"10 3\"\n"),
    ("lists", b"client-output-buffer-limit normal 1mb 2mb 3\nclient-output-buffer-limit pubsub 0 0 0\n\
        rename-command get \"\"\nlatency-tracking-info-percentiles 50 99.9\nmaxmemory-clients 5%\n"),
    ("words", b"appendonly yes\nappendfsync always\nmaxmemory-policy allkeys-lfu\nshutdown-on-sigterm nosave now\n\
        unixsocketperm 700\nnotify-keyspace-events KEA\noom-score-adj-values 0 200 800\n"),
];

const INLINE: &[(&str, &[u8])] = &[
    ("words", b"  set  a b\tc "),
    ("double", b"\"a b\" \"\\x41\\n\\r\\t\\b\\a\\\\\\\"\" \"\""),
    ("single", b"'it\\'s' 'a\\n' ''"),
    ("mixed", b"foo\"bar baz\" x"),
    ("open", b"\"a"),
];

const LOG: &[(&str, &[u8])] = &[
    ("commands", b"\x01*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\n"),
    ("unit", b"\x00*1\r\n$5\r\nMULTI\r\n#TS:1700000000\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n"),
    ("cut", b"\x02*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\nab"),
];

const MANIFEST: &[(&str, &[u8])] = &[
    ("stock", b"file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"),
    ("ours", b"file a.2.base.rdb seq 2 type b\nfile a.1.base.rdb seq 1 type h\n\
        file a.3.incr.aof seq 3 type i startoffset 100 annotated yes\nfile a.4.incr.aof seq 4 type i\n"),
    ("quoted", b"# a comment\nfile \"a \\x01\\\"b\" seq 1 type b\nfile 'c d' seq 18446744073709551615 type i\n"),
];

const NODES_CONF: &[(&str, &[u8])] = &[
    ("new", b"0a1b2c3d4e5f60718293a4b5c6d7e8f901234567 :0@0 myself,master - 0 0 0 connected\n\
        vars currentEpoch 0 lastVoteEpoch 0\n"),
    ("moving", b"0a1b2c3d4e5f60718293a4b5c6d7e8f901234567 ::1:1@2,h,tls-port=3,new=a:b myself,slave \
        1a1b2c3d4e5f60718293a4b5c6d7e8f901234567 1 2 3 disconnected 0-5 7 [9->-1a1b2c3d4e5f60718293a4b5c6d7e8f901234567]\n"),
    ("quoted", b"\n\"0a1b2c3d4e5f60718293a4b5c6d7e8f901234567\" 'h:1' noflags - 0 0 0 connected\n\
        2a1b2c3d4e5f60718293a4b5c6d7e8f901234567 h:1 myself,fail?,fail,handshake,noaddr,nofailover - 0 0 0 connected\n"),
    ("variables", b"vars currentEpoch 9223372036854775807 new 1 lastVoteEpoch 2\n\
        0a1b2c3d4e5f60718293a4b5c6d7e8f901234567 h:1@2,,nodename=n,tcp-port=4 myself - 0 0 0 connected\n"),
];

const REQUESTS: &[(&str, &[u8])] = &[
    ("arrays", b"\x00*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n*0\r\n*-1\r\n*1\r\n$4\r\nQUIT\r\n"),
    ("lines", b"\x03PING\r\n\r\nset a \"b c\"\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nget 'a'\r\n"),
    ("unauthenticated", b"\x85*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*11\r\n"),
    ("odd", b"\x02*2\r\n$03\r\nGET\r\n$1\r\naXX*1\r\n$-1\r\n"),
];

/// Values of all types.
fn values() -> Vec<(&'static str, Vec<Event<'static>>)> {
    let field = |field, value, expires_ms| Event::HashField { field, value, expires_ms };
    let mut values = vec![
        ("string", vec![Event::String(b"a string of some length, a string of some length")]),
        ("integer", vec![Event::String(b"-12345")]),
        (
            "list",
            vec![
                Event::ListBegin { len: Some(3) },
                Event::ListItem(b"a"),
                Event::ListItem(b"70000"),
                Event::ListItem(&[b'x'; 100]),
            ],
        ),
        (
            "ints",
            vec![
                Event::SetBegin { len: Some(2) },
                Event::SetMember(b"1"),
                Event::SetMember(b"70000"),
            ],
        ),
        (
            "set",
            vec![Event::SetBegin { len: Some(2) }, Event::SetMember(b"a"), Event::SetMember(b"7")],
        ),
        (
            "hash",
            vec![
                Event::HashBegin { len: Some(2) },
                field(b"f", b"v", None),
                field(b"g", b"-1", None),
            ],
        ),
        (
            "zset",
            vec![
                Event::ZsetBegin { len: Some(3) },
                Event::ZsetMember { member: b"m", score: 1.5 },
                Event::ZsetMember { member: b"n", score: -2.0 },
                Event::ZsetMember { member: b"o", score: f64::INFINITY },
            ],
        ),
        ("stream", stream()),
    ];
    for (_, events) in &mut values {
        events.push(Event::ValueEnd);
    }
    values
}

/// Two entries, a group, and one of them pending.
fn stream() -> Vec<Event<'static>> {
    let id = StreamId::new;
    let entry = |seq| Event::StreamEntry { id: id(9, seq), fields: 1 };
    let pair = Event::StreamField { field: b"f", value: b"v" };
    let meta = StreamMeta {
        length: 2,
        last_id: id(9, 2),
        first_id: id(9, 1),
        max_deleted_id: id(8, 0),
        entries_added: 3,
    };
    vec![
        Event::StreamBegin,
        entry(1),
        pair,
        entry(2),
        pair,
        Event::StreamMeta(meta),
        Event::StreamGroup { name: b"g", last_id: id(9, 1), entries_read: Some(1) },
        Event::StreamPending { id: id(9, 1), delivered_ms: 5, deliveries: 1 },
        Event::StreamConsumer { name: b"c", seen_ms: 5, active_ms: None },
        Event::StreamConsumerPending { id: id(9, 1) },
    ]
}

/// A hash whose field expires has a place in version 12 only.
fn expiring() -> Vec<Event<'static>> {
    vec![
        Event::HashBegin { len: Some(1) },
        Event::HashField { field: b"f", value: b"v", expires_ms: Some(1_000_005) },
        Event::ValueEnd,
    ]
}

fn options(version: u32, packed: bool) -> EncoderOptions {
    let usual = Thresholds::default();
    let plain = Thresholds {
        hash_entries_max: 0,
        set_intset_entries_max: 0,
        set_entries_max: 0,
        zset_entries_max: 0,
        list_node_size: 1,
        ..usual
    };
    let thresholds = if packed { usual } else { plain };
    EncoderOptions { version, thresholds, ..EncoderOptions::default() }
}

fn record(events: &[Event<'_>], options: &EncoderOptions) -> Vec<u8> {
    let mut encoder = ValueEncoder::new(options);
    for event in events {
        encoder.put(*event).unwrap();
    }
    encoder.take_record()
}

fn dump() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, events) in values() {
        // The first byte chooses the version of the footer: 10, 12.
        for (first, version, packed, form) in [(0, 10, true, "packed"), (1, 12, false, "plain")] {
            let content = record(&events, &options(version, packed));
            seeds.push((format!("{name}-{form}"), [&[first][..], &content].concat()));
        }
    }
    for (packed, form) in [(true, "packed"), (false, "plain")] {
        let content = record(&expiring(), &options(12, packed));
        seeds.push((format!("expiring-{form}"), [&[1][..], &content].concat()));
    }
    seeds
}

fn snapshot() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (version, packed) in [(10, true), (11, false), (12, true)] {
        let encoder = options(version, packed);
        let mut writer =
            SnapshotWriter::new(Vec::new(), &WriterOptions { encoder, checksum: true });
        writer.standard_aux(1_700_000_000, 1_000_000).unwrap();
        writer.function(b"#!lua name=lib").unwrap();
        let mut values = values();
        if version == 12 {
            values.push(("expiring", expiring()));
        }
        for (db, (name, events)) in (0..).zip(values) {
            writer.select_db(db / 3).unwrap();
            writer.resize_db(1, 0).unwrap();
            let meta = match db {
                0 => KeyMeta { expires_ms: Some(4_102_444_800_000), ..KeyMeta::default() },
                1 => KeyMeta { idle_s: Some(7), ..KeyMeta::default() },
                2 => KeyMeta { freq: Some(9), ..KeyMeta::default() },
                _ => KeyMeta::default(),
            };
            writer.key(name.as_bytes(), meta).unwrap();
            for event in events {
                writer.value(event).unwrap();
            }
        }
        seeds.push((format!("version-{version}"), writer.finish().unwrap()));
    }
    seeds.extend(named(&[
        ("version-3", b"REDIS0003\xfe\x00\x00\x01k\x05hello\xfd\x00\x00\x00\x70\x00\x02i4\xc1\x39\x30\xff"),
        ("valkey", b"VALKEY080\xfe\x00\xfc\x00\x10\x00\x00\x00\x00\x00\x00\x02\x01s\x01\x01m\xff\0\0\0\0\0\0\0\0"),
    ]));
    seeds
}

/// Commands and arguments, chosen by bytes: the inputs mean nothing, and other ones when there are other commands.
fn calls() -> Vec<Seed> {
    const SEEDS: u64 = 24;
    let made = (0..SEEDS).map(|seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes = (0..256).map(|_| random.u8(..)).collect();
        (format!("random-{seed:02}"), bytes)
    });
    made.collect()
}

fn lzf() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, text) in [
        ("one-byte", vec![b'a'; 400]),
        ("words", b"the same words and the same words, and others".repeat(3)),
        ("literals", (0..=255).collect()),
    ] {
        let mut bytes = u16::try_from(text.len()).unwrap().to_le_bytes().to_vec();
        assert!(Compressor::new().compress(&text, 2 * text.len(), &mut bytes));
        seeds.push((name.to_owned(), bytes));
    }
    seeds
}

/// Packed strings, each behind the number of its type in the target's list.
fn packed() -> Vec<Seed> {
    let mut seeds = named(&[
        ("zipmap", b"\x00\x02\x01a\x01\x00x\x01b\x02\x01yz.\xff"),
        ("intset", b"\x05\x02\0\0\0\x02\0\0\0\xff\xff\x05\0"),
        ("listpack-expiring", b"\x0a\x0f\0\0\0\x03\0\x81f\x02\x81v\x02\x05\x01\xff"),
        ("intset-wide", b"\x05\x08\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\x80"),
    ]);
    // Entries: "a", a string of 64 bytes, and integers of each width.
    let mut entries: Vec<Vec<u8>> =
        vec![b"\x01a".to_vec(), [b"\x40\x40".as_slice(), &[b'x'; 64]].concat(), b"\xf1".to_vec()];
    entries.push(b"\xfe\x80".to_vec());
    entries.push(b"\xc0\x39\x30".to_vec());
    entries.push(b"\xf0\x01\x02\x83".to_vec());
    entries.push(b"\xd0\x01\x02\x03\x84".to_vec());
    entries.push(b"\xe0\x01\x02\x03\x04\x05\x06\x07\x08".to_vec());
    let ziplist = ziplist(&entries);
    for (first, name) in [(1, "list"), (2, "zset"), (3, "hash"), (4, "quicklist")] {
        seeds.push((format!("ziplist-{name}"), [&[first][..], &ziplist].concat()));
    }
    let values = values();
    for (name, first, code) in [("hash", 6, 16), ("zset", 7, 17), ("set", 9, 20)] {
        let events = &values.iter().find(|value| value.0 == name).unwrap().1;
        let content = record(events, &EncoderOptions { compress: false, ..options(12, true) });
        assert_eq!(content[0], code, "{name} is packed");
        // Type and a length of one byte.
        seeds.push((format!("listpack-{name}"), [&[first][..], &content[2..]].concat()));
    }
    let listpack = seeds.last().unwrap().1[1..].to_vec();
    seeds.push(("listpack-list".to_owned(), [&[8][..], &listpack].concat()));
    let stream = &values.last().unwrap().1;
    let content = record(stream, &EncoderOptions { compress: false, ..options(12, true) });
    // Type, number of nodes, id of the node with its length, length of the node.
    let node = &content[20..20 + usize::from(content[19])];
    seeds.push(("listpack-stream".to_owned(), [&[11][..], node].concat()));
    seeds
}

fn ziplist(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut last, mut before) = (10, 0);
    for entry in entries {
        last = 10 + body.len();
        body.push(u8::try_from(before).unwrap());
        body.extend_from_slice(entry);
        before = entry.len() + 1;
    }
    let total = u32::try_from(body.len() + 11).unwrap();
    let mut bytes = total.to_le_bytes().to_vec();
    bytes.extend(u32::try_from(last).unwrap().to_le_bytes());
    bytes.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    bytes.append(&mut body);
    bytes.push(0xff);
    bytes
}
