use super::*;
use crate::log::annotation::{Batch, Head};
use crate::log::{Lineage, ReplicationId};

const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Everything a reading says, one line per entry.
fn transcript(mut entries: Entries<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(entry) = entries.next() {
        lines.push(match entry {
            Ok(Entry { position, offset, kind, .. }) => match kind {
                EntryKind::Command { args, unit, local } => {
                    let words: Vec<_> = args.iter().map(|a| a.escape_ascii().to_string()).collect();
                    let local = if local { " local" } else { "" };
                    format!("{position} {offset} {} {unit:?}{local}", words.join(" "))
                }
                EntryKind::Annotation(_) => format!("{position} {offset} annotation"),
                EntryKind::Comment(text) => format!("{position} {offset} {}", text.escape_ascii()),
            },
            Err(error) => format!("error {error}"),
        });
    }
    lines
}

fn worked_example() -> Vec<u8> {
    let id: ReplicationId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let mut bytes = Vec::new();
    let head = Head { lineage: Lineage::new(id), start: LogOffset(0), local: 0, salt: 0xaa };
    annotation::write(&mut bytes, &Annotation::Head(head), &annotation::seed(0xaa));
    let mut covered = annotation::seed(0xaa);
    covered.update(&[SELECT, SET].concat());
    bytes.extend_from_slice(&[SELECT, SET].concat());
    let batch = Batch { end: LogOffset(50), len: 50, sync: LogOffset(0) };
    annotation::write(&mut bytes, &Annotation::Batch(batch), &covered);
    bytes
}

#[test]
fn worked_example_of_the_format_page() {
    let bytes = worked_example();
    let text = String::from_utf8(bytes.clone()).unwrap();
    println!("{}", text.escape_debug());
    assert_eq!(
        text,
        "#hw head v=1 id=0123456789abcdef0123456789abcdef01234567 \
         id2=0000000000000000000000000000000000000000 off2=0 start=0 local=0 \
         salt=00000000000000aa crc=3b796e7caa663112\r\n\
         *2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n\
         #hw batch end=50 len=50 sync=0 crc=d7d232f319ca0cc2\r\n"
    );
    let (select, set, batch) = (169, 192, 219);
    assert_eq!(
        transcript(Entries::new(&bytes, Some(LogOffset(0)))),
        [
            "0 0 annotation".to_owned(),
            format!("{select} 0 SELECT 0 Whole"),
            format!("{set} 23 SET k v Whole"),
            format!("{batch} 50 annotation"),
        ]
    );
}

#[test]
fn transactions_and_comments_are_told() {
    let bytes = [b"#TS:1700000000\r\n", SET, MULTI, SET, EXEC, b"#x\n", SET].concat();
    assert_eq!(
        transcript(Entries::new(&bytes, None)),
        [
            "0 0 #TS:1700000000\\r\\n",
            "16 0 SET k v Whole",
            "43 27 MULTI First",
            "58 42 SET k v Inner",
            "85 69 EXEC Last",
            "99 83 #x\\n",
            "102 83 SET k v Whole",
        ]
    );
}

#[test]
fn local_commands_do_not_count() {
    let id = ReplicationId::NONE;
    let head = Head { lineage: Lineage::new(id), start: LogOffset(7), local: 23, salt: 1 };
    let mut covered = annotation::seed(1);
    covered.update(SELECT);
    let mut bytes = Vec::new();
    annotation::write(&mut bytes, &Annotation::Head(head), &covered);
    let head_size = bytes.len();
    bytes.extend_from_slice(SELECT);
    bytes.extend_from_slice(SET);
    let lines = transcript(Entries::new(&bytes, Some(LogOffset(7))));
    assert_eq!(lines[1], format!("{head_size} 7 SELECT 0 Whole local"));
    assert_eq!(lines[2], format!("{} 7 SET k v Whole", head_size + 23));
    let lines = transcript(Entries::new(&bytes, Some(LogOffset(8))));
    assert_eq!(lines, ["error at byte 0: offsets do not join: 8 before, 7 behind"]);
}

#[test]
fn every_cut_is_cut_short_and_never_malformed() {
    let bytes = [SET, MULTI, SET, EXEC, b"#TS:1\r\n", SET].concat();
    let ends = [0, 27, 83, 90, 117];
    for size in 0..bytes.len() {
        let mut entries = Entries::new(&bytes[..size], None);
        let mut last = None;
        while let Some(entry) = entries.next() {
            last = entry.err();
        }
        let whole = ends.iter().filter(|end| **end <= size).max().copied().unwrap();
        assert_eq!(entries.whole().0, whole, "cut at {size}");
        match last.map(|error| error.kind) {
            None => assert!(ends.contains(&size), "cut at {size}"),
            Some(kind) => assert!(
                matches!(kind, ReadErrorKind::CutShort | ReadErrorKind::OpenTransaction),
                "cut at {size}: {kind}"
            ),
        }
    }
}

#[test]
fn what_is_not_an_entry_is_malformed() {
    for (bytes, position) in [
        (&b"\0\0\0\0"[..], 0),
        (b"PING\r\n", 0),
        (b"*0\r\n", 0),
        (b"*-1\r\n", 0),
        (b"*1\n$4\nPING\n", 0),
        (b"*1\r\n:1\r\n", 0),
        (b"*1\r\n$4\r\nPINGxx", 0),
        (b"*1\r\n$4x\r\nPING\r\n", 0),
        (b"*2147483648\r\n", 0),
        (b"*1\r\n$281474976710657\r\n", 0),
        (b"*99999999999999999999999\r\n", 0),
        (b"*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nmulti\r\n", 15),
    ] {
        let mut entries = Entries::new(bytes, None);
        let mut error = None;
        while let Some(entry) = entries.next() {
            error = entry.err();
        }
        let error = error.unwrap();
        assert!(matches!(error.kind, ReadErrorKind::Malformed(_)), "{}", bytes.escape_ascii());
        assert_eq!(error.position, position);
    }
    let long = [b"#", &[b'x'; 1100][..]].concat();
    let error = Entries::new(&long, None).next().unwrap().unwrap_err();
    assert!(matches!(error.kind, ReadErrorKind::Malformed(_)));
}

#[test]
fn a_flipped_bit_is_found_by_the_batch() {
    let bytes = worked_example();
    for bit in 0..bytes.len() * 8 {
        let mut broken = bytes.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let lines = transcript(Entries::new(&broken, Some(LogOffset(0))));
        let verified =
            lines.len() == 4 && lines.iter().filter(|l| l.ends_with("annotation")).count() == 2;
        assert!(!verified, "bit {bit}: {lines:?}");
    }
}

#[test]
fn a_command_as_large_as_servers_take_is_read() {
    let arguments = 1_200_001;
    let mut bytes = format!("*{arguments}\r\n").into_bytes();
    bytes.extend(b"$1\r\nx\r\n".repeat(arguments));
    let mut entries = Entries::new(&bytes, None);
    let Some(Ok(Entry { kind: EntryKind::Command { args, .. }, .. })) = entries.next() else {
        panic!("no command")
    };
    assert_eq!(args.len(), arguments);
    // An argument longer than 512 MB is a matter of a setting; here it is cut short.
    let long = transcript(Entries::new(b"*1\r\n$700000000\r\nx", None));
    assert_eq!(long, ["error at byte 0: cut short"]);
    let longest = transcript(Entries::new(b"*1\r\n$99999999999999999999\r\nx", None));
    assert_eq!(longest, ["error at byte 0: malformed: a number past its bound"]);
}

#[test]
fn an_offset_past_every_bound_is_malformed() {
    let head = String::from_utf8(worked_example()).unwrap();
    let broken = head.replace(" start=0 ", " start=18446744073709551610 ");
    let lines = transcript(Entries::new(broken.as_bytes(), None).unverified());
    assert!(lines[1].contains("malformed: an offset past 2^64"), "{lines:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
fn lines_like_room_before_something_else_are_read_in_one_pass() {
    let line = format!("#hw-room {}\r\n", ".".repeat(53));
    let count = (16 << 20) / line.len();
    let bytes = [line.repeat(count).as_bytes(), SET, line.repeat(3).as_bytes()].concat();
    let started = std::time::Instant::now();
    let mut entries = Entries::new(&bytes, None);
    let (mut comments, mut commands) = (0, 0);
    while let Some(entry) = entries.next() {
        match entry.unwrap().kind {
            EntryKind::Comment(_) => comments += 1,
            _ => commands += 1,
        }
    }
    assert_eq!((comments, commands), (count, 1));
    assert_eq!(entries.position(), bytes.len() - 3 * line.len());
    // Comparing all that follows at each line takes more than a minute.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
