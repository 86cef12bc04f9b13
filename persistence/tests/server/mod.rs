//! Stock programs, for the length of a test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A stock program; a test that needs it says what is missing.
pub(crate) fn stock(program: &str) -> Command {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(
        found,
        "{program} is not installed: this test needs Debian's redis-server and redis-tools, which scripts/test installs"
    );
    Command::new(program)
}

/// A server on a unix socket in its folder; killed when dropped.
pub(crate) struct Server {
    process: Child,
    folder: PathBuf,
}

impl Server {
    /// Starts a server with its files in `folder` and waits until it has loaded them.
    pub(crate) fn start(folder: &Path, settings: &[&str]) -> Self {
        let process = stock("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--save", "", "--logfile", "log"])
            .args(["--enable-debug-command", "yes"])
            .args(settings)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it has just told its version");
        let mut server = Self { process, folder: folder.to_owned() };
        while server.ask(&["PING"]) != "PONG" {
            let ended = server.process.try_wait().expect("a child of ours");
            let log = || std::fs::read_to_string(server.folder.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "the stock server refused its files:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// What `redis-cli` prints for a request.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let mut client = stock("redis-cli");
        client.arg("-s").arg("socket").args(words).current_dir(&self.folder);
        let output = client.output().expect("it has just told its version");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that has failed already says more than these could.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
