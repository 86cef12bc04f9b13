//! A stock server as the other side: it loads what we write, with the same content.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use highwater_persistence::snapshot::{EncoderOptions, WriterOptions};

use super::{FIXTURES, fixture, rewrite};

const MISSING: &str = "redis-server, redis-cli and redis-check-rdb are needed: run scripts/test, \
                       which installs them, or apt-get install redis-server";

/// A stock server on a unix socket in `dir`; killed when dropped.
struct Stock {
    process: Child,
    socket: String,
}

impl Stock {
    fn load(dir: &Path, file: &str) -> Self {
        let socket = dir.join(format!("{file}.sock")).display().to_string();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", &socket, "--save", "", "--appendonly", "no"])
            .args(["--dir", &dir.display().to_string(), "--dbfilename", file])
            .args(["--enable-debug-command", "yes"])
            .stdout(Stdio::null())
            .spawn()
            .expect(MISSING);
        let mut stock = Self { process, socket };
        while stock.ask(&["ping"]).as_deref() != Some("PONG") {
            let ended = stock.process.try_wait().unwrap();
            assert!(ended.is_none(), "the stock server refused {file}");
            std::thread::sleep(Duration::from_millis(10));
        }
        stock
    }

    fn ask(&self, request: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli").args(["-s", &self.socket]).args(request).output();
        let output = output.expect(MISSING);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        self.process.kill().expect("a child of ours");
        self.process.wait().expect("a child of ours");
    }
}

#[test]
fn stock_approves_and_loads_what_is_written_with_equal_content() {
    for name in FIXTURES {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("original.rdb"), fixture(name)).unwrap();
        let digest = Stock::load(dir.path(), "original.rdb").ask(&["debug", "digest"]).unwrap();
        assert_eq!(digest.len(), 40, "{digest}");
        for (compress, checksum) in [(true, true), (false, false)] {
            let encoder = EncoderOptions { compress, ..EncoderOptions::default() };
            let written = rewrite(&fixture(name), &WriterOptions { encoder, checksum }).unwrap();
            let path = dir.path().join("written.rdb");
            std::fs::write(&path, written).unwrap();
            let check = Command::new("redis-check-rdb").arg(&path).output().expect(MISSING);
            let said = String::from_utf8_lossy(&check.stdout).into_owned();
            assert!(said.contains("RDB looks OK"), "{name}: {said}");
            let stock = Stock::load(dir.path(), "written.rdb");
            assert_eq!(stock.ask(&["debug", "digest"]).unwrap(), digest, "{name}");
        }
    }
}
