//! The file of lines typed before, which is the stock client's too: plain lines, the newest last.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::preferences::dot_file;

/// The name of the file in the home folder.
const FILE: &str = ".rediscli_history";

/// Names another file; /dev/null: none.
const FILE_VARIABLE: &str = "REDISCLI_HISTFILE";

/// Lines that are kept.
pub(super) const LINES_MAX: usize = 1000;

/// The file, if there is to be one.
#[derive(Debug)]
pub(super) struct History {
    path: Option<PathBuf>,
}

impl History {
    pub(super) fn new() -> Self {
        Self { path: dot_file(FILE_VARIABLE, FILE) }
    }

    /// The lines that are kept. A file that has grown to twice of them is cut.
    pub(super) fn load(&self) -> Vec<String> {
        let Some(path) = &self.path else { return Vec::new() };
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
        if read.is_err() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        let lines: Vec<String> = all[all.len().saturating_sub(LINES_MAX)..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect();
        if all.len() > 2 * LINES_MAX {
            // It is a convenience: where it cannot be written it stays as it is.
            self.open(true)
                .and_then(|mut file| file.write_all((lines.join("\n") + "\n").as_bytes()))
                .ok();
        }
        lines
    }

    /// Adds a line. What other clients add meanwhile stays.
    pub(super) fn add(&self, line: &str) {
        if self.path.is_some() {
            self.open(false).and_then(|mut file| writeln!(file, "{line}")).ok();
        }
    }

    /// Nobody else may read it.
    fn open(&self, empty: bool) -> io::Result<File> {
        let path = self.path.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut options = OpenOptions::new();
        options.create(true).mode(0o600).write(true).append(!empty).truncate(empty);
        options.open(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_up_to_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let history = History { path: Some(folder.path().join("lines")) };
        assert_eq!(history.load(), Vec::<String>::new());
        for index in 0..=2 * LINES_MAX {
            history.add(&format!("get {index}"));
        }
        let lines = history.load();
        assert_eq!((lines.len(), &*lines[0]), (LINES_MAX, "get 1001"));
        let left = std::fs::read_to_string(folder.path().join("lines")).unwrap();
        assert_eq!(left.lines().count(), LINES_MAX);
    }
}
