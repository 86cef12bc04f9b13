//! `highwater cluster logs`: the end of a node's log, and what is added to it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use super::control;
use super::site::Site;
use super::stop::{Interrupts, LOOK};
use crate::config::os_reason;

/// The last lines are looked for in so many bytes.
const TAIL_BYTES: u64 = 256 * 1024;

/// Shows the last `lines` of a node's log, or of what the supervisor in the background says.
///
/// # Errors
/// There is no such node, or no log.
pub(super) fn run(
    site: &Site,
    node: Option<&str>,
    follow: bool,
    lines: usize,
) -> Result<ExitCode, String> {
    let path = match node {
        Some(node) => site.node_log(control::find(site, node)?),
        None => site.log(),
    };
    let wrong = |error: io::Error| match (error.kind(), node) {
        (io::ErrorKind::NotFound, None) => {
            "no supervisor was in the background here: 'logs NODE' shows what a node says"
                .to_owned()
        }
        _ => format!("{}: {}", path.display(), os_reason(&error)),
    };
    let mut file = File::open(&path).map_err(wrong)?;
    let last = tail(&path, lines, 0).map_err(wrong)?;
    let mut output = io::stdout().lock();
    for line in last {
        // A reader that has gone away ends it.
        if writeln!(output, "{line}").is_err() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !follow {
        return Ok(ExitCode::SUCCESS);
    }
    let interrupts = Interrupts::catch()?;
    file.seek(SeekFrom::End(0)).map_err(wrong)?;
    let mut bytes = vec![0; 64 * 1024];
    while !interrupts.came() {
        let count = file.read(&mut bytes).map_err(wrong)?;
        if output.write_all(&bytes[..count]).and_then(|()| output.flush()).is_err() {
            break;
        }
        if count == 0 {
            std::thread::sleep(LOOK);
            if let Some(newer) = newer(&path, &file) {
                file = newer;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The file at `path`, if it is another one by now, or was emptied.
fn newer(path: &Path, file: &File) -> Option<File> {
    let new = File::open(path).ok()?;
    let (there, here) = (new.metadata().ok()?, file.metadata().ok()?);
    let read = (&mut &*file).stream_position().ok()?;
    (there.ino() != here.ino() || there.len() < read).then_some(new)
}

/// The last lines of a file, of those behind `from`.
///
/// # Errors
/// The file cannot be read.
pub(super) fn tail(path: &Path, lines: usize, from: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_BYTES).max(from.min(length));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_are_those_behind_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.log");
        std::fs::write(&path, "a\nb\nc\nd\n").unwrap();
        assert_eq!(tail(&path, 2, 0).unwrap(), ["c", "d"]);
        assert_eq!(tail(&path, 9, 4).unwrap(), ["c", "d"]);
        assert_eq!(tail(&path, 9, 99).unwrap(), Vec::<String>::new());
        assert_eq!(tail(&path, 0, 0).unwrap(), Vec::<String>::new());
    }
}
