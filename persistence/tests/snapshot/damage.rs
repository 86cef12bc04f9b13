//! Broken files: made from good ones by named changes. None may panic; none may pass for whole.

use highwater_persistence::snapshot::{
    EncoderOptions, OwnedEvent, ReaderOptions, SnapshotError, SnapshotReader, WriterOptions,
};

use super::{FIXTURES, assert_same_content, events, events_of, fixture, rewrite};

fn cut_at(file: &[u8], at: usize) -> Vec<u8> {
    file[..at].to_vec()
}

fn flip_bit(file: &[u8], at: usize, bit: u32) -> Vec<u8> {
    let mut flipped = file.to_vec();
    flipped[at] ^= 1 << bit;
    flipped
}

/// Reads to the end or to an error, and keeps nothing.
fn read_through(mut reader: SnapshotReader<&[u8]>) -> Result<(), SnapshotError> {
    while reader.next()?.is_some() {}
    Ok(())
}

/// Positions of a file: all of a small one, a sample of a large one.
fn positions(file: &[u8]) -> impl Iterator<Item = usize> {
    let step = if file.len() < 3000 { 1 } else { file.len() / 100 };
    (0..file.len()).step_by(step)
}

#[test]
fn a_file_cut_anywhere_is_cut_short() {
    for name in FIXTURES {
        let file = fixture(name);
        for at in positions(&file) {
            let cut = cut_at(&file, at);
            let known = events(&cut).unwrap_err();
            assert!(known.is_cut_short(), "{name} at {at}: {known}");
            let unknown = events_of(SnapshotReader::new(&cut[..])).unwrap_err();
            assert!(unknown.is_cut_short(), "{name} at {at}: {unknown}");
        }
    }
}

#[test]
fn every_flipped_bit_is_refused_by_a_file_with_a_checksum() {
    for name in FIXTURES {
        let file = fixture(name);
        if name == "plain.rdb" {
            continue;
        }
        for at in positions(&file) {
            for bit in 0..8 {
                let flipped = flip_bit(&file, at, bit);
                let total = Some(flipped.len() as u64);
                let options = ReaderOptions { total, ..ReaderOptions::default() };
                let read = read_through(SnapshotReader::with_options(&flipped[..], &options));
                assert!(read.is_err(), "{name}: bit {bit} at {at}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_without_a_checksum_is_an_error_or_other_content_but_no_panic() {
    let options = WriterOptions {
        encoder: EncoderOptions { version: 11, compress: false, ..EncoderOptions::default() },
        checksum: false,
    };
    for name in ["streams.rdb", "plain.rdb", "keys.rdb", "collections.rdb"] {
        let file = rewrite(&fixture(name), &options).unwrap();
        for at in positions(&file) {
            for bit in 0..8 {
                let flipped = flip_bit(&file, at, bit);
                let _no_panic = read_through(SnapshotReader::new(&flipped[..]));
                let _no_panic = events(&flipped);
            }
        }
    }
}

#[test]
fn random_bytes_behind_a_good_header_never_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20_000 {
        let mut file = b"REDIS0012".to_vec();
        // A type and a key first, so that values are reached.
        file.push(random.u8(0..30));
        file.extend_from_slice(b"\x01k");
        file.extend((0..random.usize(..80)).map(|_| random.u8(..)));
        let options = ReaderOptions { verify_checksum: false, ..ReaderOptions::default() };
        let _no_panic = events_of(SnapshotReader::with_options(&file[..], &options));
    }
}

#[test]
fn a_lying_length_costs_no_memory() {
    // A string that claims 400 MiB, plain and compressed, of which nothing comes.
    for claim in [&b"\x80\x19\0\0\0"[..], b"\xc3\x05\x80\x19\0\0\0", b"\xc3\x80\x19\0\0\0\x14"] {
        let file = [&b"REDIS0010\x00\x01k"[..], claim, b"abc"].concat();
        assert!(events_of(SnapshotReader::new(&file[..])).is_err());
        assert!(events(&file).is_err());
    }
    // One above the limit is named as such even where the size of the input is unknown.
    let file = b"REDIS0010\x00\x01k\x81\0\0\x01\0\0\0\0\0";
    let error = events_of(SnapshotReader::new(&file[..])).unwrap_err();
    assert!(matches!(error, SnapshotError::Malformed { .. }), "{error}");
}

#[test]
fn a_wrong_footer_is_told_apart_and_can_be_ignored() {
    let mut file = fixture("streams.rdb");
    let last = file.len() - 1;
    file[last] ^= 1;
    assert!(matches!(events(&file), Err(SnapshotError::WrongChecksum { offset, .. })
        if offset == last as u64 - 7));
    let options = ReaderOptions { verify_checksum: false, ..ReaderOptions::default() };
    let read = events_of(SnapshotReader::with_options(&file[..], &options)).unwrap();
    assert!(matches!(read.last(), Some(OwnedEvent::Eof { .. })));
}

#[test]
fn large_strings_and_long_lists_pass_through_in_pieces() {
    use highwater_persistence::snapshot::{Event, KeyMeta, SnapshotWriter};
    let mut random = fastrand::Rng::with_seed(5);
    let large: Vec<u8> = (0..600_000).map(|_| random.u8(..)).collect();
    let medium: Vec<u8> = (0..40_000).map(|_| random.u8(..4)).collect();
    for compress in [true, false] {
        let encoder = EncoderOptions { compress, ..EncoderOptions::default() };
        let options = WriterOptions { encoder, checksum: true };
        let mut writer = SnapshotWriter::new(Vec::new(), &options);
        writer.select_db(0).unwrap();
        writer.key(b"large", KeyMeta::default()).unwrap();
        writer.value(Event::String(&large)).unwrap();
        writer.key(b"hash", KeyMeta::default()).unwrap();
        writer.value(Event::HashBegin { len: Some(3) }).unwrap();
        for (field, value) in [(&large, &medium), (&medium, &large), (&medium, &medium)] {
            writer.value(Event::HashField { field, value, expires_ms: None }).unwrap();
        }
        writer.value(Event::ValueEnd).unwrap();
        writer.key(b"list", KeyMeta::default()).unwrap();
        writer.value(Event::ListBegin { len: Some(100_000) }).unwrap();
        for number in 0..100_000 {
            let item = format!("item {number}");
            writer.value(Event::ListItem(item.as_bytes())).unwrap();
        }
        writer.value(Event::ValueEnd).unwrap();
        let file = writer.finish().unwrap();
        let read = events(&file).unwrap();
        assert_eq!(read[3], OwnedEvent::String(large.clone()));
        let OwnedEvent::HashField { field, value, .. } = &read[8] else { panic!("{:?}", read[8]) };
        assert_eq!((field, value), (&medium, &large));
        let items = read.iter().filter(|event| matches!(event, OwnedEvent::ListItem(_))).count();
        assert_eq!(items, 100_000);
        assert_same_content(&rewrite(&file, &options).unwrap(), &file, "written again");
    }
}
