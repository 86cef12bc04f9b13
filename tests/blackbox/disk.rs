//! A disk without space: a small file system in memory, filled up by the log, by a rewrite, by a snapshot.
//!
//! Mounting needs root. Without it the test runs itself once more inside a user namespace of its own, where it is root.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::peer::words;
use crate::server::{Server, free_port, wait_for};

/// Set in the process that is root by `unshare`.
const INSIDE: &str = "HIGHWATER_TEST_INSIDE";

/// A mounted file system; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Result<SmallDisk, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "highwater-test"]);
        let output = mount.arg(folder.path()).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(SmallDisk(folder));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills all space but about `left` bytes with a file, which is to be removed to get it back.
    fn fill(&self, left: u64) -> PathBuf {
        let path = self.path().join("ballast");
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(self.path()).output();
        let output = String::from_utf8(output.expect("df runs").stdout).unwrap();
        let free: u64 = output.lines().nth(1).expect("a number").trim().parse().unwrap();
        let size = usize::try_from(free.saturating_sub(left)).unwrap();
        fs::write(&path, vec![1; size]).expect("there is room");
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.path()).status().ok();
    }
}

/// Runs `scenario`, the test `name`, on a small disk.
fn on_small_disk(name: &str, megabytes: u32, scenario: impl FnOnce(&SmallDisk)) {
    let reason = match SmallDisk::mount(megabytes) {
        Ok(disk) => return scenario(&disk),
        Err(reason) => reason,
    };
    assert!(std::env::var_os(INSIDE).is_none(), "no file system can be mounted: {reason}");
    let mut again = Command::new("unshare");
    again.args(["--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("disk::{name}"), "--nocapture"]).env(INSIDE, "1");
    let status = again.status().unwrap_or_else(|error| {
        panic!("this test needs root ({reason}), or unshare of util-linux: {error}")
    });
    assert!(status.success(), "failed inside unshare --map-root-user --mount; as root: {reason}");
}

fn wait_for_info(server: &Server, field: &str, value: &str) {
    wait_for(&format!("{field}:{value}"), || (server.info(field) == value).then_some(()));
}

fn set(number: usize) -> String {
    format!("SET key:{number} {}", "v".repeat(10_000))
}

/// Checks that keys 0 to `count` are there.
fn check(server: &Server, count: usize) {
    let requests: Vec<_> =
        (0..count).map(|number| words(&format!("STRLEN key:{number}"))).collect();
    let replies = server.client().run(&requests);
    let lost = replies.iter().position(|reply| reply != b":10000\r\n");
    assert_eq!(lost, None, "of {count} acknowledged keys");
}

/// Writes until nothing is acknowledged any more. Returns how many keys were, and the connection that still waits.
fn write_until_full(server: &Server) -> (usize, Option<crate::peer::Client>) {
    let mut client = server.client();
    client.set_patience(500);
    for number in 0..10_000 {
        client.send(&crate::peer::encode(&words(&set(number)))).unwrap();
        match client.reply() {
            Ok(reply) if reply == b"+OK\r\n" => {}
            Ok(reply) => {
                assert!(reply.starts_with(b"-MISCONF"), "{}", reply.escape_ascii());
                return (number, None);
            }
            Err(_) => {
                client.set_patience(20_000);
                return (number, Some(client));
            }
        }
    }
    panic!("the disk never fills up")
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    on_small_disk("a_full_disk_refuses_writes_and_loses_nothing", 4, |disk| {
        for policy in ["always", "everysec", "no"] {
            let settings = ["--appendfsync", policy, "--auto-aof-rewrite-percentage", "0"];
            let folder = disk.path().join(policy);
            fs::create_dir(&folder).unwrap();
            let mut server = Server::start(&folder, &settings);
            let ballast = disk.fill(300_000);
            let (count, waiting) = write_until_full(&server);
            assert!(count > 5, "{policy}: {count}");
            wait_for_info(&server, "aof_last_write_status", "err");
            assert!(server.ask("SET other x").starts_with("-MISCONF"), "{policy}");
            assert!(server.ask("GET key:0").starts_with("$10000\r\n"), "reads go on");
            fs::remove_file(&ballast).unwrap();
            wait_for_info(&server, "aof_last_write_status", "ok");
            let mut acknowledged = count;
            if let Some(mut waiting) = waiting {
                assert_eq!(waiting.reply().unwrap(), b"+OK\r\n", "it waited for the space");
                acknowledged += 1;
            }
            assert_eq!(server.ask(&set(acknowledged)), "+OK\r\n");
            server.kill();
            let server = Server::start(&folder, &settings);
            check(&server, acknowledged + 1);
            drop(server);
            fs::remove_dir_all(&folder).unwrap();
        }
    });
}

#[test]
fn a_full_disk_keeps_subscribers_from_knowing_more_than_the_log() {
    on_small_disk("a_full_disk_keeps_subscribers_from_knowing_more_than_the_log", 4, |disk| {
        let settings = ["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"];
        let server = Server::start(disk.path(), &settings);
        let mut subscriber = server.client();
        subscriber.run(&[words("SUBSCRIBE written")]);
        let ballast = disk.fill(300_000);
        let mut client = server.client();
        client.set_patience(500);
        let mut written = 0;
        loop {
            let lines = format!("MULTI\n{}\nPUBLISH written {written}\nEXEC", set(written));
            let requests: Vec<_> = lines.lines().map(words).collect();
            let bytes: Vec<u8> = requests.iter().flat_map(crate::peer::encode).collect();
            client.send(&bytes).unwrap();
            let Some(last) = (0..4).map(|_| client.reply().ok()).last().flatten() else { break };
            assert!(last.starts_with(b"*2\r\n"), "{}", last.escape_ascii());
            written += 1;
        }
        wait_for_info(&server, "aof_last_write_status", "err");
        for number in 0..written {
            let message = subscriber.reply().unwrap();
            assert!(message.ends_with(format!("\r\n{number}\r\n").as_bytes()), "{number}");
        }
        // A message that shows nothing new is told to those who wait for nothing.
        let mut other = server.client();
        other.run(&[words("SUBSCRIBE written")]);
        assert_eq!(server.ask("PUBLISH written aside"), ":2\r\n");
        assert!(other.reply().unwrap().ends_with(b"\r\naside\r\n"));
        subscriber.set_patience(200);
        assert!(subscriber.reply().is_err(), "the write is not in the log");
        fs::remove_file(&ballast).unwrap();
        subscriber.set_patience(20_000);
        let message = subscriber.reply().unwrap();
        assert!(message.ends_with(format!("\r\n{written}\r\n").as_bytes()));
        assert!(subscriber.reply().unwrap().ends_with(b"\r\naside\r\n"));
    });
}

#[test]
fn a_node_killed_on_a_full_disk_comes_back_with_everything() {
    on_small_disk("a_node_killed_on_a_full_disk_comes_back_with_everything", 4, |disk| {
        let mut server = Server::start(disk.path(), &["--appendfsync", "always"]);
        let ballast = disk.fill(200_000);
        let (count, _waiting) = write_until_full(&server);
        server.kill();
        // After a kill the log needs a line with the new id. Where the last page of the file has no room for it either,
        // the start is refused, and nothing harmed. (Serving reads would be better.)
        let mut filler = fs::File::create(disk.path().join("rest")).unwrap();
        while filler.write_all(&[1; 512]).is_ok() {}
        let mut again = Server::spawn(disk.path(), free_port(), &["--appendfsync", "always"]);
        if again.answers() {
            check(&again, count);
            again.kill();
        } else {
            assert!(again.said().contains("No space left on device"), "{}", again.said());
        }
        fs::remove_file(&ballast).unwrap();
        let server = Server::start(disk.path(), &["--appendfsync", "always"]);
        check(&server, count);
    });
}

#[test]
fn a_rewrite_or_snapshot_without_space_leaves_the_old_files() {
    on_small_disk("a_rewrite_or_snapshot_without_space_leaves_the_old_files", 16, |disk| {
        let settings = ["--auto-aof-rewrite-percentage", "0", "--rdbcompression", "no"];
        let mut server = Server::start(disk.path(), &settings);
        assert_eq!(server.ask("SET key:0 first"), "+OK\r\n");
        assert_eq!(server.ask("SAVE"), "+OK\r\n");
        let snapshot = fs::read(disk.path().join("dump.rdb")).unwrap();
        for number in 0..300 {
            assert_eq!(server.ask(&set(number)), "+OK\r\n");
        }
        let ballast = disk.fill(1_000_000);
        assert!(server.ask("BGSAVE").starts_with('+'));
        wait_for_info(&server, "rdb_last_bgsave_status", "err");
        assert_eq!(fs::read(disk.path().join("dump.rdb")).unwrap(), snapshot);
        assert!(server.ask("BGREWRITEAOF").starts_with('+'));
        wait_for_info(&server, "aof_last_bgrewrite_status", "err");
        wait_for_info(&server, "aof_rewrite_in_progress", "0");
        let left_over = fs::read_dir(disk.path()).unwrap().find_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.starts_with("temp-").then_some(name)
        });
        assert_eq!(left_over, None);
        wait_for_info(&server, "aof_last_write_status", "ok");
        assert_eq!(server.ask(&set(300)), "+OK\r\n");
        server.kill();
        let mut server = Server::start(disk.path(), &settings);
        check(&server, 301);
        // With space again both work.
        fs::remove_file(ballast).unwrap();
        assert!(server.ask("BGREWRITEAOF").starts_with('+'));
        wait_for_info(&server, "aof_rewrites", "1");
        assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
        assert_eq!(server.ask("SAVE"), "+OK\r\n");
        server.kill();
        check(&Server::start(disk.path(), &settings), 301);
    });
}
