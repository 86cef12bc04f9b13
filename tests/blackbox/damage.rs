//! Damage to the files of the log: what was synced is never lost in silence, a torn tail never stops a start.

use std::fs;
use std::path::{Path, PathBuf};

use crate::peer::{bulk, words};
use crate::server::{Server, free_port};

/// Keys that [`written`] writes.
const KEYS: usize = 200;

/// A folder with a log of [`KEYS`] commands, each in a batch of its own.
fn written(policy: &str, kill: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &["--appendfsync", policy]);
    let mut client = server.client();
    for number in 0..KEYS {
        let reply = client.run(&[words(&format!("SET key:{number} value:{number}"))]);
        assert_eq!(reply, [b"+OK\r\n"]);
    }
    if kill {
        server.kill();
    } else {
        assert!(server.terminate().success());
    }
    folder
}

fn incr(folder: &Path) -> PathBuf {
    folder.join("appendonlydir/appendonly.aof.1.incr.aof")
}

/// Flips one bit of the byte at `at`.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn value(server: &Server, number: usize) -> Option<Vec<u8>> {
    let reply = server.client().run(&[words(&format!("GET key:{number}"))]).remove(0);
    (reply != b"$-1\r\n").then(|| bulk(&reply).to_vec())
}

#[test]
fn a_flipped_bit_in_synced_data_stops_the_start() {
    for (policy, kill) in [("always", true), ("everysec", false)] {
        let folder = written(policy, kill);
        let path = incr(folder.path());
        let before = fs::read(&path).unwrap();
        let place = before.windows(8).position(|part| part == b"value:99").unwrap();
        flip(&path, place + 3);
        let damaged = fs::read(&path).unwrap();
        let mut server = Server::spawn(folder.path(), free_port(), &["--appendfsync", policy]);
        assert_eq!(server.wait().code(), Some(1), "{policy}");
        let said = server.said();
        assert!(said.contains("appendonly.aof.1.incr.aof"), "{said}");
        assert!(said.contains("offset"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is changed on disk");
        // The same file, whole again, loads.
        flip(&path, place + 3);
        let server = Server::start(folder.path(), &["--appendfsync", policy]);
        assert_eq!(value(&server, 99), Some(b"value:99".to_vec()));
    }
}

#[test]
fn padding_with_zeros_is_dropped_and_said() {
    let folder = written("everysec", true);
    let path = incr(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes.resize(bytes.len() + 4096, 0);
    fs::write(&path, bytes).unwrap();
    let server = Server::start(folder.path(), &[]);
    assert!(server.said().contains("dropping 4096 bytes"), "{}", server.said());
    assert_eq!(server.ask("DBSIZE"), format!(":{KEYS}\r\n"));
}

#[test]
fn a_cut_tail_is_dropped_to_the_last_whole_batch() {
    let folder = written("no", true);
    let path = incr(folder.path());
    let whole = fs::read(&path).unwrap();
    for cut in [1, 60, 130] {
        fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let mut server = Server::start(folder.path(), &["--appendfsync", "no"]);
        assert!(server.said().contains("dropping"), "{}", server.said());
        let last = (0..KEYS).rev().find(|number| value(&server, *number).is_some()).unwrap();
        assert!((KEYS - 3..KEYS - 1).contains(&last), "a cut of {cut} leaves key:{last}");
        // What comes after the cut is as good as any.
        assert_eq!(server.ask("SET key:199 again"), "+OK\r\n");
        server.kill();
        let server = Server::start(folder.path(), &["--appendfsync", "no"]);
        assert_eq!(value(&server, KEYS - 1), Some(b"again".to_vec()));
        assert_eq!(value(&server, last), Some(format!("value:{last}").into_bytes()));
    }
}

#[test]
fn a_missing_file_stops_the_start() {
    let folder = written("always", true);
    fs::remove_file(incr(folder.path())).unwrap();
    let mut server = Server::spawn(folder.path(), free_port(), &[]);
    assert_eq!(server.wait().code(), Some(1));
    assert!(server.said().contains("appendonly.aof.1.incr.aof"), "{}", server.said());
}
