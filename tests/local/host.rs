//! A cluster in a temporary folder: one terminal in which `up` runs, and another one.

#[path = "../blackbox/ports.rs"]
mod ports;
#[path = "../blackbox/wait.rs"]
mod wait;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use ports::{BUS, free_ports};

/// Looks at a condition before a test gives up on it, and the time between two: about a minute.
const LOOKS: usize = 1200;
const LOOK: Duration = Duration::from_millis(50);

/// What `up` says when the cluster is there.
pub(crate) const THERE: &str = "Connect with";

pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait::wait(what, (LOOKS, LOOK), look)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).ok();
}

/// The folder, and whatever runs in it; stopped when dropped.
pub(crate) struct Host {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    /// `up` in the foreground.
    up: Option<Child>,
    /// How often it was called.
    calls: usize,
}

impl Host {
    pub(crate) fn new(nodes: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, port: free_ports(nodes), up: None, calls: 0 }
    }

    /// A cluster that is there.
    pub(crate) fn with(nodes: u16, words: &[&str]) -> Self {
        // A few ports more, for those that grow.
        let mut host = Self::new(nodes + 2);
        host.create(nodes, words);
        host
    }

    /// Makes the cluster, in the foreground.
    pub(crate) fn create(&mut self, nodes: u16, words: &[&str]) {
        self.begin(nodes, words);
        self.wait_said(THERE);
    }

    /// The same, without waiting for anything.
    pub(crate) fn begin(&mut self, nodes: u16, words: &[&str]) {
        let (nodes, port) = (nodes.to_string(), self.port.to_string());
        self.spawn(&[&["--nodes", &nodes, "--port", &port], words].concat());
    }

    /// Calls `up` again, in the foreground.
    pub(crate) fn up(&mut self, words: &[&str]) {
        self.spawn(words);
        self.wait_said(THERE);
    }

    pub(crate) fn spawn(&mut self, words: &[&str]) {
        assert!(self.up.is_none(), "one at a time");
        self.calls += 1;
        let output = fs::File::create(self.output()).unwrap();
        let mut command = self.command("up");
        command.args(words).stdout(output.try_clone().unwrap()).stderr(output);
        self.up = Some(command.spawn().unwrap());
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join(format!("terminal-{}", self.calls))
    }

    /// The folder of the cluster.
    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn command(&self, word: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(["cluster", word, "--dir"]).arg(self.dir()).stdin(Stdio::null());
        command
    }

    /// Runs a command in the other terminal.
    pub(crate) fn run(&self, word: &str, words: &[&str]) -> Output {
        self.command(word).args(words).output().unwrap()
    }

    /// The same, for one that succeeds.
    pub(crate) fn does(&self, word: &str, words: &[&str]) -> String {
        let output = self.run(word, words);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{word} {words:?}: {said}{}", text(&output.stderr));
        said
    }

    /// The same, for one that is refused.
    pub(crate) fn refuses(&self, word: &str, words: &[&str]) -> String {
        let output = self.run(word, words);
        assert_eq!(output.status.code(), Some(2), "{word} {words:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// What `up` said so far.
    pub(crate) fn said(&self) -> String {
        text(&fs::read(self.output()).unwrap_or_default())
    }

    pub(crate) fn wait_said(&mut self, part: &str) {
        for _ in 0..LOOKS {
            if self.said().contains(part) {
                return;
            }
            let up = self.up.as_mut().unwrap();
            if let Some(status) = up.try_wait().unwrap() {
                assert!(self.said().contains(part), "up ended, {status}:\n{}", self.said());
            }
            std::thread::sleep(LOOK);
        }
        panic!("'{part}' is not said:\n{}", self.said())
    }

    pub(crate) fn supervisor(&self) -> i32 {
        i32::try_from(self.up.as_ref().unwrap().id()).unwrap()
    }

    /// Ctrl-C, or what else ends `up`; waits for the end.
    pub(crate) fn end_up(&mut self, how: Signal) -> ExitStatus {
        signal(self.supervisor(), how);
        self.wait_up()
    }

    /// Waits until `up` ends.
    pub(crate) fn wait_up(&mut self) -> ExitStatus {
        let status = wait_for("the end of up", || self.up.as_mut().unwrap().try_wait().unwrap());
        self.up = None;
        status
    }

    pub(crate) fn status(&self) -> Value {
        let output = self.run("status", &["--json"]);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
    }

    /// A field of each node, in order.
    pub(crate) fn each(&self, field: &str) -> Vec<Value> {
        let status = self.status();
        status["nodes"].as_array().unwrap().iter().map(|node| node[field].clone()).collect()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.each("id").iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// Process ids of the nodes that run.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let pid = |pid: &Value| i32::try_from(pid.as_i64()?).ok();
        self.each("pid").iter().filter_map(pid).collect()
    }

    pub(crate) fn wait_ok(&self) {
        wait_for("a cluster that is well", || (self.status()["ok"] == true).then_some(()));
    }

    /// A node's field.
    pub(crate) fn node(&self, index: usize, field: &str) -> Value {
        self.status()["nodes"][index][field].clone()
    }

    /// `redis-cli -c` at the node with this index.
    pub(crate) fn cli(&self, index: u16, words: &[&str]) -> String {
        let port = (self.port + index).to_string();
        let output = Command::new("redis-cli")
            .args(["-c", "-p", &port])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli is there");
        text(&output.stdout).trim_end().to_owned()
    }

    /// Writes keys into all slots, more or less.
    pub(crate) fn write(&self, index: u16, prefix: &str) {
        for number in 0..20 {
            assert_eq!(self.cli(index, &["set", &format!("{prefix}:{number}"), prefix]), "OK");
        }
    }

    /// They are all there.
    pub(crate) fn has(&self, index: u16, prefix: &str) {
        for number in 0..20 {
            assert_eq!(self.cli(index, &["get", &format!("{prefix}:{number}")]), prefix);
        }
    }

    pub(crate) fn config(&self, index: u16) -> PathBuf {
        self.dir().join((self.port + index).to_string()).join("redis.conf")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for call in 1..=self.calls {
                self.calls = call;
                eprintln!("---- up said, call {call}:\n{}", self.said());
            }
        }
        if let Some(up) = &mut self.up {
            up.kill().ok();
            up.wait().ok();
        }
        // Whoever looks after it in the background goes too.
        if self.dir().join("cluster.state").exists() {
            self.command("down").output().ok();
        }
        for pid in nodes_below(self.folder.path()).into_keys() {
            signal(pid, Signal::KILL);
        }
    }
}

/// Processes of nodes whose files lie below `folder`, by what the system says and nothing else.
pub(crate) fn nodes_below(folder: &Path) -> BTreeMap<i32, String> {
    let folder = folder.to_str().unwrap();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let line = text(&fs::read(entry.path().join("cmdline")).unwrap_or_default());
        if line.contains("\0server\0") && line.contains(folder) {
            found.insert(pid, line);
        }
    }
    found
}
