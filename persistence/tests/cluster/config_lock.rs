//! The lock of `nodes.conf` between processes, and what a crash leaves of the file.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use highwater_persistence::config_lock::{ConfigLock, LockError, temporary_name};
use highwater_persistence::replace::{ReplaceError, replace};
use highwater_persistence::storage::Storage;
use highwater_persistence::storage::faulty::{Fault, FaultyStorage, View};

/// Names the file that a second process is to lock.
const FILE: &str = "CONFIG_LOCK_FILE";
/// What the second process ends with where another has the lock.
const BUSY: i32 = 7;

#[test]
fn second_process() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let mut lock = match ConfigLock::take(Path::new(&file)) {
        Ok(lock) => lock,
        Err(LockError::Busy(_)) => std::process::exit(BUSY),
        Err(error) => panic!("{error}"),
    };
    lock.replace(b"second").unwrap();
}

/// What another process is told that wants the lock: whether it got it.
fn another_gets(file: &Path) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "config_lock::second_process"])
        .env(FILE, file)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() || status.code() == Some(BUSY), "{status}");
    status.success()
}

#[test]
fn another_process_waits_for_the_end_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.conf");
    let mut lock = ConfigLock::take(&file).unwrap();
    assert!(!another_gets(&file));
    for text in [&b"one"[..], b"two", b"three"] {
        lock.replace(text).unwrap();
        assert!(!another_gets(&file), "after {}", text.escape_ascii());
        assert_eq!(std::fs::read(&file).unwrap(), text);
    }
    drop(lock);
    // A process that another test is just starting has the lock as well until it runs its own program.
    assert!((0..1000).any(|_| another_gets(&file)));
    assert_eq!(std::fs::read(&file).unwrap(), b"second");
}

#[test]
fn stock_is_refused_while_a_node_of_ours_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut lock = ConfigLock::take(&folder.path().join("nodes.conf")).unwrap();
    let conf = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567 :0@0 myself,master - 0 0 0 connected\n\
        vars currentEpoch 0 lastVoteEpoch 0\n";
    lock.replace(conf.as_bytes()).unwrap();
    // The port is never bound: the lock comes first.
    let output = crate::server::stock("redis-server")
        .args(["--port", "1", "--cluster-port", "2", "--cluster-enabled", "yes", "--dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("is already used by a different"), "{said}");
}

/// Replaces the file some times on a disk; the last text that was put in place, and whether the one behind it may be.
fn workload(disk: &FaultyStorage) -> (usize, bool) {
    let shared = disk.shared();
    for number in 1..=3 {
        let temp = temporary_name("nodes.conf", 1, number as u64);
        match replace(&shared, &temp, "nodes.conf", text(number).as_bytes()) {
            Ok(()) => {}
            Err(ReplaceError::Unchanged(_)) => return (number - 1, false),
            Err(ReplaceError::Uncertain(_)) => return (number - 1, true),
        }
    }
    (3, false)
}

/// Longer than a sector, each of another length.
fn text(number: usize) -> String {
    format!("{number}\n").repeat(40 * number)
}

#[test]
fn after_a_crash_the_file_is_the_old_one_or_the_new_one() {
    let new_disk = || FaultyStorage::holding([("nodes.conf", text(0).into_bytes())]);
    let counted = new_disk();
    assert_eq!(workload(&counted), (3, false));
    let operations = counted.operations();
    assert!(operations >= 12, "{operations}: a replacement is at least four");
    for at in 0..operations {
        for torn in [0, 1, 33, 1000] {
            let error = Fault::Error { kind: io::ErrorKind::StorageFull, torn, count: 1 };
            for fault in [Fault::Crash { torn }, error] {
                let disk = new_disk();
                disk.inject(at, fault);
                let (last, may_be_next) = workload(&disk);
                let mut views = vec![disk.after_kill()];
                let mut view = |view| views.push(disk.after_power_cut(view));
                view(View::OnlySynced);
                view(View::AllWritten);
                (0..20).for_each(|seed| view(View::Mixed(seed)));
                for left in views {
                    let found = left.read("nodes.conf").unwrap().to_vec();
                    let is = |number| found == text(number).as_bytes();
                    let expected = is(last) || (may_be_next && is(last + 1));
                    assert!(expected, "{fault:?} at {at}: {}", found.escape_ascii());
                }
            }
        }
    }
}
