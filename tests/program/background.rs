//! Leaving the terminal, log files, the process manager.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

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
fn end(pid: i32) {
    let ours = Path::new(env!("CARGO_BIN_EXE_highwater")).canonicalize().unwrap();
    let exe = fs::read_link(format!("/proc/{pid}/exe"));
    if exe.is_ok_and(|exe| exe == ours)
        && let Some(pid) = rustix::process::Pid::from_raw(pid)
    {
        drop(rustix::process::kill_process(pid, rustix::process::Signal::KILL));
    }
}

#[test]
fn daemon_goes_on_without_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let output = run(
        "redis-server",
        &[
            "--dir",
            dir,
            "--port",
            "0",
            "--save",
            "",
            "--daemonize",
            "yes",
            "--logfile",
            "server.log",
            "--pidfile",
            "server.pid",
        ],
    );
    assert!(output.status.success());
    assert_eq!(text(&output.stdout) + &text(&output.stderr), "");
    let log = folder.path().join("server.log");
    let started = wait_for("the start in the log", || {
        let text = fs::read_to_string(&log).ok()?;
        text.lines().find(|line| line.contains("Server initialized")).map(str::to_owned)
    });
    let (pid, rest) = started.split_once(':').unwrap();
    assert!(rest.starts_with("M "), "{started}");
    end(pid.parse().unwrap());
    let lines = fs::read_to_string(&log).unwrap();
    assert!(lines.contains("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo"));
    assert!(lines.contains(&format!(
        "Redis version=7.2.4, bits=64, commit=00000000, modified=0, pid={pid}, just started"
    )));
}

#[test]
fn process_manager_hears_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let receiver = UnixDatagram::bind(&socket).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut child = program("redis-server")
        .args(["--port", "0", "--save", "", "--supervised", "systemd", "--daemonize", "yes"])
        .args(["--dir", folder.path().to_str().unwrap(), "--logfile", "server.log"])
        .env("NOTIFY_SOCKET", &socket)
        .spawn()
        .unwrap();
    let mut buffer = [0; 200];
    let length = receiver.recv(&mut buffer).unwrap();
    assert_eq!(text(&buffer[..length]), "STATUS=Redis is loading...\n");
    // It stayed in the foreground in spite of `daemonize`: this is the process itself.
    drop(child.kill());
    child.wait().unwrap();
}

#[test]
fn log_file_that_cannot_be_made_stops_the_start() {
    let output = run("redis-server", &["--port", "0", "--logfile", "/no/such/folder/a.log"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "Can't open the log file: No such file or directory\n");
}
