//! A stock server as the other side: it loads what we write, with the same content.

use highwater_persistence::snapshot::{EncoderOptions, WriterOptions};

use super::server::{Server, stock};
use super::{FIXTURES, fixture, rewrite};

#[test]
fn stock_approves_and_loads_what_is_written_with_equal_content() {
    for name in FIXTURES {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("original.rdb"), fixture(name)).unwrap();
        let load = |file| Server::start(dir.path(), &["--appendonly", "no", "--dbfilename", file]);
        let digest = load("original.rdb").ask(&["debug", "digest"]);
        assert_eq!(digest.len(), 40, "{digest}");
        for (compress, checksum) in [(true, true), (false, false)] {
            let encoder = EncoderOptions { compress, ..EncoderOptions::default() };
            let written = rewrite(&fixture(name), &WriterOptions { encoder, checksum }).unwrap();
            let path = dir.path().join("written.rdb");
            std::fs::write(&path, written).unwrap();
            let check = stock("redis-check-rdb").arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&check.stdout).into_owned();
            assert!(said.contains("RDB looks OK"), "{name}: {said}");
            assert_eq!(load("written.rdb").ask(&["debug", "digest"]), digest, "{name}");
        }
    }
}
