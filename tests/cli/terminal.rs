//! The prompt, in a terminal that `script` provides.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::server::{Server, wait_for};

struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
    /// What has been looked at.
    seen: usize,
}

impl Terminal {
    fn start(folder: &Path, port: u16) -> Terminal {
        let link = folder.join("redis-cli");
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_highwater"), &link).unwrap();
        }
        let mut command = Command::new("script");
        command.args([
            "-qfec",
            &format!("stty cols 100 rows 30; exec {} -p {port}", link.display()),
            "/dev/null",
        ]);
        command
            .env("HOME", folder)
            .env("TERM", "xterm")
            .env_remove("REDISCLI_HISTFILE")
            .env_remove("REDISCLI_RCFILE");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("script is part of any Linux");
        let keys = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = output.read(&mut bytes) {
                if count == 0 {
                    break;
                }
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Terminal { child, keys, shown, seen: 0 }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until `text` is shown, behind what was waited for before.
    fn expect(&mut self, text: &str) {
        let shown = Arc::clone(&self.shown);
        let seen = self.seen;
        self.seen = wait_for(&format!("{text:?} in\n{}", shown.lock().unwrap().clone()), || {
            let shown = shown.lock().unwrap();
            shown[seen..].find(text).map(|at| seen + at + text.len())
        });
    }

    fn end(&mut self) -> Option<i32> {
        wait_for("the end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("shown:\n{}", self.shown.lock().unwrap());
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn prompt_shows_where_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut terminal = Terminal::start(folder.path(), server.port);
    let place = format!("127.0.0.1:{}", server.port);
    terminal.expect(&format!("{place}> "));
    for (line, reply, prompt) in [
        ("set k v", "OK", "> "),
        ("select 3", "OK", "[3]> "),
        ("multi", "OK", "[3](TX)> "),
        ("get k", "QUEUED", "[3](TX)> "),
        ("exec", "1) (nil)", "[3]> "),
        ("select 0", "OK", "> "),
        ("get k", "\"v\"", "> "),
        ("client kill type normal skipme no", "(integer) 1", "> "),
    ] {
        terminal.press(&format!("{line}\r"));
        terminal.expect(&format!("\n{reply}\r\n"));
        terminal.expect(&format!("{place}{prompt}"));
    }
    terminal.press("get k\r");
    terminal.expect("Error: Server closed the connection\r\n");
    terminal.expect("not connected> ");
    terminal.press("get k\r");
    terminal.expect("\"v\"\r\n");
    terminal.press("quit\r");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn hints_and_completion_know_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut terminal = Terminal::start(folder.path(), server.port);
    terminal.expect("> ");
    terminal.press("set k ");
    terminal.expect("value [NX|XX|IFEQ ifeq-value");
    terminal.press("v ex ");
    terminal.expect("seconds [NX|XX");
    terminal.press("9\r");
    terminal.expect("OK\r\n");
    terminal.press("getde\t");
    terminal.expect("getdel");
    terminal.press(" k\r");
    terminal.expect("\"v\"\r\n");
    terminal.expect("> ");
    terminal.press("5 append ");
    terminal.expect("key value");
    terminal.press("n 1\r");
    terminal.expect("(integer) 5\r\n");
    terminal.press(":set nohints\r");
    terminal.press("get ");
    terminal.press("k\r");
    terminal.expect("(nil)\r\n");
    terminal.press("\x03");
    terminal.end();
}

#[test]
fn history_keeps_lines_but_no_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut terminal = Terminal::start(folder.path(), server.port);
    for line in [
        "set k one",
        "auth secret",
        "hello 3 auth u secret",
        "2 auth secret",
        "acl setuser u >secret",
        "get k",
    ] {
        terminal.expect("> ");
        terminal.press(&format!("{line}\r"));
    }
    terminal.expect("\"one\"\r\n");
    terminal.press("quit\r");
    terminal.end();
    let kept = std::fs::read_to_string(folder.path().join(".rediscli_history")).unwrap();
    assert_eq!(kept, "set k one\nget k\nquit\n");
    let mut terminal = Terminal::start(folder.path(), server.port);
    terminal.expect("> ");
    // Up, up, enter: the line before the last.
    terminal.press("\x1b[A\x1b[A\r");
    terminal.expect("\"one\"\r\n");
    terminal.press("\x04");
    terminal.end();
}

#[test]
fn key_ends_a_stream_not_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let mut terminal = Terminal::start(folder.path(), server.port);
    for line in ["subscribe a", "psubscribe *", "hello 3", "subscribe a"] {
        terminal.expect("> ");
        terminal.press(&format!("{line}\r"));
        if line == "hello 3" {
            terminal.expect("\"modules\"");
            continue;
        }
        terminal.expect("Reading messages... (press Ctrl-C to quit)\r\n");
        terminal.expect("(integer) 1\r\n");
        server.ask("PUBLISH a hello");
        terminal.expect("\"hello\"\r\n");
        terminal.press("\x03");
    }
    terminal.expect("> ");
    terminal.press("monitor\r");
    terminal.expect("OK\r\n");
    server.ask("SET k v");
    terminal.expect("\"SET\" \"k\" \"v\"");
    terminal.press("\x03");
    terminal.expect("> ");
    terminal.press("get k\r");
    terminal.expect("\"v\"\r\n");
    terminal.press("exit\r");
    terminal.end();
}

#[test]
fn lines_that_are_pasted_run_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--enable-debug-command", "yes"]);
    let mut terminal = Terminal::start(folder.path(), server.port);
    terminal.expect("> ");
    terminal.press("set n 1\rdebug sleep 0.3\rincr n\rget n\r");
    terminal.expect("(integer) 2\r\n");
    terminal.expect("\"2\"\r\n");
}

#[test]
fn slow_commands_say_how_long_they_took() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--enable-debug-command", "yes"]);
    let mut terminal = Terminal::start(folder.path(), server.port);
    terminal.expect("> ");
    terminal.press("debug sleep 0.6\r");
    terminal.expect("OK\r\n(0.6");
}
