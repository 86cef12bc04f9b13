//! Leaving the terminal, log files, the process manager.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{program, run, text};

/// How often something is looked for, 10 ms apart.
const TRIES: usize = 1000;

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _try in 0..TRIES {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} does not come")
}

/// Ends a server that has left this process's care, if it still runs and is what it should be.
fn end(pid: i32, signal: rustix::process::Signal) {
    let ours =
        Path::new(env!("CARGO_BIN_EXE_highwater")).canonicalize().expect("the binary is there");
    let exe = fs::read_link(format!("/proc/{pid}/exe"));
    if exe.is_ok_and(|exe| exe == ours)
        && let Some(pid) = rustix::process::Pid::from_raw(pid)
    {
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// A server in the background, with its files in a folder of its own.
struct Daemon {
    folder: Arc<TempDir>,
    pid: i32,
}

impl Daemon {
    fn start() -> Self {
        Self::start_with("")
    }

    /// Starts with more lines in its file.
    fn start_with(lines: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
        let conf = folder.path().join("server.conf");
        let text = format!(
            "dir {}\nport 0\nunixsocket server.sock\nsave \"\"\ndaemonize yes\nlogfile server.log\npidfile server.pid\n{lines}",
            folder.path().display()
        );
        fs::write(&conf, text).expect("the folder takes a file");
        let output = run("redis-server", &[conf.to_str().expect("a plain path")]);
        assert!(output.status.success());
        assert_eq!(text_of(&output), "");
        let line = wait_for("the pid file", || {
            fs::read_to_string(folder.path().join("server.pid"))
                .ok()
                .filter(|text| !text.is_empty())
        });
        let daemon = Self { folder, pid: line.trim_end().parse().expect("a process id") };
        daemon.wait_for_line("Ready to accept connections unix");
        daemon
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    fn wait_for_line(&self, part: &str) -> String {
        wait_for(part, || self.log().lines().find(|line| line.contains(part)).map(str::to_owned))
    }

    /// Sends an inline command and returns the first line of the answer.
    fn call(&self, command: &str) -> String {
        self.call_if_up(command).expect("the server answers")
    }

    /// As [`Daemon::call`]; `None` if nobody listens.
    fn call_if_up(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.folder.path().join("server.sock")).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(self.pid, rustix::process::Signal::KILL);
    }
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn daemon_goes_on_without_its_parent_until_it_is_told_to_stop() {
    let daemon = Daemon::start();
    let pid = daemon.pid;
    assert_eq!(daemon.call("PING"), "+PONG");
    daemon.wait_for_line("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
    let greeting = format!(
        "Redis version=7.2.4, bits=64, commit=00000000, modified=0, pid={pid}, just started"
    );
    daemon.wait_for_line(&greeting);
    let first = daemon.log().lines().next().unwrap().to_owned();
    assert!(first.starts_with(&format!("{pid}:C ")), "{first}");
    end(pid, rustix::process::Signal::TERM);
    let pidfile = daemon.folder.path().join("server.pid");
    wait_for("the removal of the pid file", || (!pidfile.exists()).then_some(()));
}

#[test]
fn log_file_may_be_moved_away_at_any_time() {
    let daemon = Daemon::start();
    let old = daemon.folder.path().join("server.log.1");
    fs::hard_link(daemon.folder.path().join("server.log"), &old).unwrap();
    fs::remove_file(daemon.folder.path().join("server.log")).unwrap();
    end(daemon.pid, rustix::process::Signal::TERM);
    daemon.wait_for_line("bye bye");
    assert!(!fs::read_to_string(old).unwrap().contains("bye bye"));
}

#[test]
fn settings_changed_at_run_time_survive_a_rewrite() {
    let daemon = Daemon::start();
    assert_eq!(daemon.call("CONFIG SET maxmemory 100mb timeout 77"), "+OK");
    assert_eq!(daemon.call("CONFIG REWRITE"), "+OK");
    let text = fs::read_to_string(daemon.folder.path().join("server.conf")).unwrap();
    assert!(
        text.ends_with("\n# Generated by CONFIG REWRITE\ntimeout 77\nmaxmemory 104857600\n"),
        "{text}"
    );
    let answer = daemon.call("CONFIG SET logfile x");
    assert!(answer.starts_with("-ERR CONFIG SET failed (possibly related to argument 'logfile')"));
}

#[test]
fn process_manager_hears_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let receiver = UnixDatagram::bind(&socket).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut child = program("redis-server")
        .args([
            "--port",
            "0",
            "--unixsocket",
            "server.sock",
            "--save",
            "",
            "--supervised",
            "systemd",
            "--daemonize",
            "yes",
        ])
        .args(["--dir", folder.path().to_str().unwrap(), "--logfile", "server.log"])
        .env("NOTIFY_SOCKET", &socket)
        .spawn()
        .unwrap();
    let mut buffer = [0; 200];
    let mut next = || {
        let length = receiver.recv(&mut buffer).unwrap();
        text(&buffer[..length])
    };
    assert_eq!(next(), "STATUS=Redis is loading...\n");
    assert_eq!(next(), "STATUS=Ready to accept connections\nREADY=1\n");
    // It stayed in the foreground in spite of `daemonize`: this is the process itself.
    let pid = i32::try_from(child.id()).unwrap();
    end(pid, rustix::process::Signal::TERM);
    assert_eq!(next(), "STOPPING=1\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn log_file_that_cannot_be_made_stops_the_start() {
    let output = run("redis-server", &["--port", "0", "--logfile", "/no/such/folder/a.log"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "Can't open the log file: No such file or directory\n");
}

#[test]
fn renamed_commands_are_reached_by_their_new_names() {
    let daemon = Daemon::start_with(
        "appendonly yes\nappendfsync always\nrename-command SET put\nrename-command CONFIG \"\"\n",
    );
    assert_eq!(daemon.call("PUT a b"), "+OK");
    assert!(daemon.call("SET a c").starts_with("-ERR unknown command 'SET'"));
    assert!(daemon.call("CONFIG GET port").starts_with("-ERR unknown command"));
    end(daemon.pid, rustix::process::Signal::KILL);
    wait_for("the end", || UnixStream::connect(daemon.folder.path().join("server.sock")).err());
    fs::remove_file(daemon.folder.path().join("server.pid")).unwrap();
    let conf = daemon.folder.path().join("server.conf");
    assert!(run("redis-server", &[conf.to_str().unwrap()]).status.success());
    let pid = wait_for("the pid file", || {
        fs::read_to_string(daemon.folder.path().join("server.pid")).ok()?.trim_end().parse().ok()
    });
    let again = Daemon { folder: Arc::clone(&daemon.folder), pid };
    wait_for("an answer", || (again.call_if_up("EXISTS a")? == ":1").then_some(()));
}

#[test]
fn impossible_rename_stops_the_start() {
    for (lines, reason) in [
        ("rename-command nosuch x", "No such command in rename-command"),
        ("rename-command get set", "Target command name already exists"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("server.conf");
        fs::write(&conf, format!("dir {}\nport 0\n{lines}\n", folder.path().display())).unwrap();
        let output = run("redis-server", &[conf.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text_of(&output).contains(reason), "{}", text_of(&output));
    }
}
