//! The commands of a document.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

/// Command lines of a section of `README.md`, in order.
pub(crate) struct Lines {
    left: VecDeque<String>,
}

impl Lines {
    /// Those in the code blocks below `heading`, comments left out, continued lines joined.
    pub(crate) fn below(heading: &str) -> Lines {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let text = fs::read_to_string(path).unwrap();
        let (_, section) =
            text.split_once(&format!("\n{heading}\n")).expect("the heading is there");
        let section = section.split("\n## ").next().unwrap_or_default();
        let mut left = VecDeque::new();
        for block in section.split("```").skip(1).step_by(2) {
            let block = block.replace("\\\n", " ");
            let plain = |line: &str| {
                let line = line.split(" #").next().unwrap_or_default();
                line.split_whitespace().collect::<Vec<_>>().join(" ")
            };
            left.extend(block.lines().map(plain).filter(|line| !line.is_empty()));
        }
        Lines { left }
    }

    /// The next one, which has to contain `part`: who changes the document changes the walk with it.
    #[track_caller]
    pub(crate) fn next(&mut self, part: &str) -> String {
        let line = self.left.pop_front().expect("the document has one more");
        assert!(line.contains(part), "{part:?} is not in the line: {line}");
        line
    }

    /// None is left.
    pub(crate) fn end(self) {
        assert_eq!(self.left, VecDeque::<String>::new(), "lines that the walk leaves out");
    }
}
