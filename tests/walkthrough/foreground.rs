//! A terminal that shows what one command says until it ends.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};

use crate::processes::interrupt;
use crate::terminal::{Terminal, wait_for};

/// The command; killed when dropped.
pub(crate) struct Foreground {
    child: Child,
    output: PathBuf,
}

impl Foreground {
    pub(crate) fn run(terminal: &Terminal, line: &str) -> Foreground {
        let output = terminal.folder().join("output");
        let file = fs::File::create(&output).unwrap();
        let mut command = terminal.command(&format!("exec {line}"));
        command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        Foreground { child: command.spawn().unwrap(), output }
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    /// Waits until it has said this.
    pub(crate) fn says(&mut self, part: &str) {
        wait_for(part, || {
            let status = self.child.try_wait().unwrap();
            let is_said = self.said().contains(part);
            assert!(is_said || status.is_none(), "no {part:?}, {status:?}:\n{}", self.said());
            is_said.then_some(())
        });
    }

    pub(crate) fn interrupt(mut self) {
        interrupt(self.child.id());
        let status = self.end();
        assert!(status.success(), "{status}:\n{}", self.said());
    }

    /// Waits until it has ended.
    pub(crate) fn end(&mut self) -> ExitStatus {
        wait_for("its end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the first terminal:\n{}", self.said());
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
