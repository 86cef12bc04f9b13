//! A terminal in a temporary folder: lines are typed, a shell executes them.

#[path = "../blackbox/wait.rs"]
mod wait;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use highwater::clock::mono_us;
use tempfile::TempDir;

use crate::dialogue::{Said, converse};
use crate::ports::Ports;
use crate::processes::{Guard, Process};

/// Looks at a condition before a test gives up on it, and the time between two: about a minute.
const LOOKS: usize = 600;
const LOOK: Duration = Duration::from_millis(100);

/// Whose client and manager is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Ours,
    Debians,
}

/// Plays a walk with either client at the same time: most of it is waiting.
pub(crate) fn with_both_clients(play: impl Fn(Client) + Copy + Send) {
    std::thread::scope(|scope| {
        for client in [Client::Ours, Client::Debians] {
            scope.spawn(move || play(client));
        }
    });
}

/// The terminal. Whatever has been started in it ends with it.
pub(crate) struct Terminal {
    pub(crate) client: Client,
    pub(crate) ports: Ports,
    /// What follows `-a` in each line with `redis-cli`.
    pub(crate) password: Option<&'static str>,
    folder: TempDir,
    _guard: Guard,
    path: OsString,
    opened_us: u64,
}

impl Terminal {
    /// Our programs come first in PATH: `highwater`, `redis-server`, and `redis-cli` where that is ours.
    pub(crate) fn open(client: Client, password: Option<&'static str>) -> Terminal {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("bin");
        fs::create_dir(&programs).unwrap();
        for name in ["highwater", "redis-server", "redis-cli"] {
            if name != "redis-cli" || client == Client::Ours {
                symlink(env!("CARGO_BIN_EXE_highwater"), programs.join(name)).unwrap();
            }
        }
        let mut path = programs.into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap());
        let ports = Ports::claim();
        let guard = Guard::over(folder.path());
        let opened_us = mono_us();
        let terminal = Terminal { client, ports, password, folder, _guard: guard, path, opened_us };
        let whose = terminal.does("command -v redis-cli");
        let is_ours = whose.starts_with(terminal.folder().to_str().unwrap());
        assert_eq!(is_ours, client == Client::Ours, "{whose}");
        terminal
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path below the folder, with our ports.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder().join(self.ports.put_into(path))
    }

    /// A line with our ports and the password.
    fn line(&self, line: &str) -> String {
        let line = self.ports.put_into(line);
        let option = self.password.map_or(String::new(), |password| format!("-a {password} "));
        let typed = |rest: &str| format!("redis-cli {option}{rest}");
        line.split("redis-cli ").map(str::to_owned).reduce(|a, b| a + &typed(&b)).unwrap()
    }

    /// A line that has not been entered yet.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &self.line(line)]).current_dir(self.folder()).stdin(Stdio::null());
        command.env("PATH", &self.path).env("TERM", "dumb").env_remove("REDISCLI_AUTH");
        command
    }

    /// Runs a line, and answers each of its questions. The test harness shows all of it where a test fails.
    pub(crate) fn answers(&self, line: &str, answers: &[&str]) -> Said {
        let said = converse(self.command(line), answers);
        let at_ms = (mono_us() - self.opened_us) / 1000;
        eprintln!("[{at_ms} ms] $ {}\n{}", self.line(line), said.whole());
        said
    }

    /// Runs a line that succeeds; what it says to its standard output.
    #[track_caller]
    pub(crate) fn does(&self, line: &str) -> String {
        let said = self.answers(line, &[]);
        assert!(said.status.success(), "$ {}\n{}", self.line(line), said.whole());
        said.out.trim_end().to_owned()
    }

    /// The same, for one that says this and nothing else.
    #[track_caller]
    pub(crate) fn says(&self, line: &str, reply: &str) {
        assert_eq!(self.does(line), reply, "$ {}", self.line(line));
    }

    /// What a line says at last, by way of a look that may be repeated.
    pub(crate) fn look(&self, line: &str) -> String {
        let output = self.command(line).stderr(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Waits until a line says something of which `is_wanted` holds.
    #[track_caller]
    pub(crate) fn until(&self, line: &str, is_wanted: impl Fn(&str) -> bool) {
        let mut said = String::new();
        for _ in 0..LOOKS {
            said = self.look(line);
            if is_wanted(&said) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        panic!("$ {}\n{said}\n... and nothing else comes", self.line(line));
    }

    /// Waits until a line says just this.
    #[track_caller]
    pub(crate) fn until_says(&self, line: &str, reply: &str) {
        self.until(line, |said| said == reply);
    }

    /// Processes that lines have left behind.
    pub(crate) fn processes(&self) -> Vec<Process> {
        Process::below(self.folder())
    }

    /// kill -9 of everything.
    pub(crate) fn kill_all(&self) {
        wait_for("the end of all processes", || {
            let left = self.processes();
            left.iter().for_each(Process::kill);
            left.is_empty().then_some(())
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for _ in 0..LOOKS {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            left.iter().for_each(Process::kill);
            std::thread::sleep(LOOK);
        }
        if std::thread::panicking() {
            eprintln!("the files are kept in {}", self.folder().display());
            self.folder.disable_cleanup(true);
        }
    }
}

/// Waits until `look` finds something.
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait::wait(what, (LOOKS, LOOK), look)
}
