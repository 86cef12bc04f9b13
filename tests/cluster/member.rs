//! A node of a cluster: a process with a folder and a port that outlive it.

#[path = "../blackbox/ports.rs"]
pub(crate) mod ports;

use std::ops::Deref;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::server::Server;

use ports::free_ports;

/// The file that CONFIG REWRITE writes to; what stands on the command line goes before it.
const CONFIG: &str = "redis.conf";

/// Which program a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Stock,
}

/// A node.
pub(crate) struct Member {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    settings: Vec<String>,
    server: Option<Server>,
}

impl Member {
    /// Starts a node that knows nobody.
    pub(crate) fn start(kind: Kind, settings: &[&str]) -> Member {
        let settings = settings.iter().map(|&word| word.to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CONFIG), "").unwrap();
        let mut member = Member { kind, port: free_ports(1), folder, settings, server: None };
        member.restart();
        member
    }

    /// Starts the process, which must not run.
    pub(crate) fn restart(&mut self) {
        self.server = None;
        let mut server = self.spawn();
        assert!(server.answers(), "it does not start:\n{}", server.said());
        self.server = Some(server);
    }

    /// Starts the process without waiting for anything.
    pub(crate) fn spawn(&self) -> Server {
        let folder = self.folder.path().to_str().expect("temporary folders have plain names");
        let port = self.port.to_string();
        let config = format!("{folder}/{CONFIG}");
        let mut words =
            vec![config.as_str(), "--port", &port, "--bind", "127.0.0.1", "--dir", folder];
        words.extend(["--save", "", "--appendonly", "yes", "--enable-debug-command", "yes"]);
        words.extend(["--cluster-enabled", "yes", "--repl-diskless-sync-delay", "0"]);
        if self.kind == Kind::Stock {
            // With `everysec`, its default, it keeps what it has acknowledged to itself for up to two seconds while a sync is
            // under way: killed then, it has less than its replica, and takes the rest from it.
            words.extend(["--appendfsync", "no"]);
        }
        words.extend(self.settings.iter().map(String::as_str));
        match self.kind {
            Kind::Ours => Server::run("redis-server", self.port, &words),
            Kind::Stock => {
                let mut command = Command::new("redis-server");
                command.args(&words).stdin(Stdio::null());
                Server::of(command, self.port)
            }
        }
    }

    /// Starts at another port from the next start on.
    pub(crate) fn move_away(&mut self) {
        self.port = free_ports(1);
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.server.as_mut().expect("it runs").kill();
        self.server = None;
    }

    /// SIGTERM, and the end.
    pub(crate) fn stop(&mut self) {
        let status = self.server.as_mut().expect("it runs").terminate();
        assert!(status.success(), "{}", self.said());
        self.server = None;
    }

    pub(crate) fn runs(&self) -> bool {
        self.server.is_some()
    }

    /// Whether somebody listens at its port.
    pub(crate) fn accepts(&self) -> bool {
        std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    pub(crate) fn id(&self) -> String {
        let reply = self.ask("CLUSTER MYID");
        reply.lines().nth(1).unwrap_or_else(|| panic!("{reply}")).to_owned()
    }

    /// A field of CLUSTER INFO.
    pub(crate) fn cluster_info(&self, field: &str) -> String {
        let text = self.ask("CLUSTER INFO");
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no field {field} in\n{text}")).to_owned()
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.info("role") == "master"
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the files are kept in {}", self.folder.path().display());
            self.folder.disable_cleanup(true);
        }
    }
}

impl Deref for Member {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }
}
