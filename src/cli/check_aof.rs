//! `highwater check aof [--fix|--truncate-to-timestamp T] FILE`, also called by the name `redis-check-aof`.
//!
//! FILE is a manifest, or one file of a log. The summary lines and the exit status are those that scripts written for
//! the stock program expect. Where a file has annotations its checksums are looked at too, and a repair cuts at a batch:
//! so the node starts again from what is left. A repair in the middle of the log drops the later files from the manifest.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use highwater_persistence::log::manifest::{Manifest, ManifestFile};
use highwater_persistence::log::scan::{Standing, scan};
use highwater_persistence::log::{Entries, EntryKind};
use highwater_persistence::replace::replace;
use highwater_persistence::storage::{RealStorage, Storage};

use super::log::find_manifest;
use super::{check_rdb, say};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Check,
    Fix,
    TruncateTo(i64),
}

/// Why the program ends with a failure; the text was printed where there is none.
type Failure = Option<String>;

/// Checks (and repairs) what `arguments` say.
pub(super) fn run(arguments: &[OsString], program: &str) -> ExitCode {
    let words: Vec<String> =
        arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let usage = format!(
        "Usage: {program} [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>"
    );
    if matches!(words[..], ["-h" | "--help"]) {
        say(&usage);
        say(HELP);
        return ExitCode::SUCCESS;
    }
    let asked = match words[..] {
        [file] if !file.starts_with("--") => Some((Mode::Check, file)),
        ["--fix", file] => Some((Mode::Fix, file)),
        ["--truncate-to-timestamp", time, file] => {
            time.parse().ok().map(|time| (Mode::TruncateTo(time), file))
        }
        _ => None,
    };
    let Some((mode, file)) = asked else {
        say(&usage);
        return ExitCode::FAILURE;
    };
    match check(Path::new(file), mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.iter().for_each(|text| say(text));
            ExitCode::FAILURE
        }
    }
}

const HELP: &str = "
Without an option nothing is changed. The file may also be the folder of a log.
  --fix                     cuts off what is not good, after asking (answer y); copy the folder first
  --truncate-to-timestamp   cuts before the first time stamp later than that many seconds since 1970";

fn check(path: &Path, mode: Mode) -> Result<(), Failure> {
    if path.is_dir() {
        return check(&find_manifest(path)?, mode);
    }
    let bytes = std::fs::read(path)
        .map_err(|error| Some(format!("Cannot open file {}: {error}", path.display())))?;
    let first = bytes.split(|byte| *byte == b'\n').find(|line| !line.starts_with(b"#"));
    let is_named_so = path.extension().is_some_and(|extension| extension == "manifest");
    if is_named_so || first.is_some_and(|line| line.starts_with(b"file ")) {
        return check_manifest(path, &bytes, mode);
    }
    say("Start checking Old-Style AOF");
    let mut check = Check { mode, lines: 1, standing: Standing::at_start(None), is_last: true };
    let name = path.display().to_string();
    let verdict = check.file(path, &name, "AOF", false)?;
    say(&format!("AOF {name} is {verdict}"));
    Ok(())
}

fn check_manifest(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let manifest = Manifest::parse(bytes).map_err(|error| {
        let said = if bytes.is_empty() { error.kind.to_string() } else { error.to_string() };
        Some(format!("*** FATAL AOF MANIFEST FILE ERROR ***\n{}: {said}", path.display()))
    })?;
    say("Start checking Multi Part AOF");
    let start = manifest.incrs.first().and_then(|file| file.start);
    let mut check = Check { mode, lines: 1, standing: Standing::at_start(start), is_last: false };
    if let Some(base) = &manifest.base {
        check.is_last = manifest.incrs.is_empty();
        let path = folder.join(&base.name);
        let kind = if begins_as_snapshot(&path)? { "RDB" } else { "RESP" };
        say(&format!("Start to check BASE AOF ({kind} format)."));
        let verdict = check.file(&path, &base.name, "BASE AOF", false)?;
        say(&format!("BASE AOF {} is {verdict}", base.name));
        check.standing = Standing::at_start(start);
    }
    if !manifest.incrs.is_empty() {
        say("Start to check INCR files.");
    }
    for (index, file) in manifest.incrs.iter().enumerate() {
        check.is_last = index + 1 == manifest.incrs.len();
        let verdict =
            check.file(&folder.join(&file.name), &file.name, "INCR AOF", file.annotated)?;
        say(&format!("INCR AOF {} is {verdict}", file.name));
        if verdict == "cut" {
            drop_later(path, &manifest, &manifest.incrs[index + 1..])?;
            break;
        }
    }
    say("All AOF files and manifest are valid");
    Ok(())
}

fn begins_as_snapshot(path: &Path) -> Result<bool, Failure> {
    use std::io::Read;
    let mut first = Vec::new();
    let file = File::open(path).and_then(|file| file.take(6).read_to_end(&mut first));
    file.map_err(|error| Some(format!("Cannot open file {}: {error}", path.display())))?;
    Ok(first.starts_with(b"REDIS") || first.starts_with(b"VALKEY"))
}

/// What goes on from file to file.
struct Check {
    mode: Mode,
    lines: usize,
    standing: Standing,
    is_last: bool,
}

impl Check {
    /// Checks one file, and says what it is: `valid`, `empty`, or `cut` (and the later files are to be dropped).
    fn file(
        &mut self,
        path: &Path,
        name: &str,
        what: &str,
        annotated: bool,
    ) -> Result<&'static str, Failure> {
        let bytes = std::fs::read(path)
            .map_err(|error| Some(format!("Cannot open file {}: {error}", path.display())))?;
        if bytes.is_empty() {
            return Ok("empty");
        }
        let mut from = 0;
        if bytes.starts_with(b"REDIS") || bytes.starts_with(b"VALKEY") {
            from = check_rdb::check(&bytes, name).ok_or_else(|| {
                Some("RDB preamble of AOF file is not sane, aborting.".to_owned())
            })?;
            say("RDB preamble is OK, proceeding with AOF tail...");
        }
        if let Mode::TruncateTo(time) = self.mode {
            return self.truncate_to(path, name, &bytes, from, time);
        }
        let found = scan(&bytes[from..], self.standing, annotated);
        let good = from + found.good;
        self.standing = found.standing;
        if let Some(error) = found.problem {
            say(&format!("0x{:>16x}: {}", from + error.position, error.kind));
            if found.behind.batches > 0 {
                say(&format!("{} whole batches stand behind the bad place", found.behind.batches));
            }
        }
        self.lines += bytes[from..good + found.room].iter().filter(|byte| **byte == b'\n').count();
        say(&format!(
            "AOF analyzed: filename={name}, size={}, ok_up_to={}, ok_up_to_line={}, diff={}",
            bytes.len(),
            good + found.room,
            self.lines,
            bytes.len() - good - found.room
        ));
        if found.problem.is_none() {
            return Ok("valid");
        }
        if self.mode == Mode::Check {
            return Err(Some(format!(
                "AOF {name} is not valid. Use the --fix option to try fixing it."
            )));
        }
        self.fix(path, name, what, bytes.len(), good, found.annotated)
    }

    fn fix(
        &self,
        path: &Path,
        name: &str,
        what: &str,
        size: usize,
        good: usize,
        annotated: bool,
    ) -> Result<&'static str, Failure> {
        let may_drop_later = annotated && what == "INCR AOF";
        if !(self.is_last || may_drop_later) {
            return Err(Some(format!(
                "Cannot cut {name}, since it is not the last file of the log: remove the files after it, and their \
                 lines in the manifest, if that is what you want"
            )));
        }
        let (diff, later) =
            (size - good, if self.is_last { "" } else { ", and drop the files after it" });
        say(&format!(
            "This will shrink the AOF {name} from {size} bytes, with {diff} bytes, to {good} bytes{later}"
        ));
        confirm()?;
        cut(path, good).map_err(|error| Some(format!("Failed to truncate AOF {name}: {error}")))?;
        say(&format!("Successfully truncated AOF {name}"));
        Ok(if self.is_last { "valid" } else { "cut" })
    }

    /// Cuts the file before the first time stamp later than `time`, at the end of a batch where there are any.
    fn truncate_to(
        &self,
        path: &Path,
        name: &str,
        bytes: &[u8],
        from: usize,
        time: i64,
    ) -> Result<&'static str, Failure> {
        let Some(position) = place_of_time(bytes, from, time) else {
            say(&format!("Truncate nothing in AOF {name} to timestamp {time}"));
            return Ok("valid");
        };
        if position == 0 {
            return Err(Some(format!(
                "AOF {} has nothing before timestamp {time}, aborting...",
                path.display()
            )));
        }
        if !self.is_last {
            return Err(Some(format!(
                "Cannot cut {name} at byte {position}, since it is not the last file of the log: remove the files \
                 after it, and their lines in the manifest, then run this again"
            )));
        }
        cut(path, position)
            .map_err(|error| Some(format!("Failed to truncate AOF {name}: {error}")))?;
        say(&format!("Successfully truncated AOF {name} to timestamp {time}"));
        Ok("valid")
    }
}

/// Where a file is to be cut so that nothing later than `time` is left; `None`: nowhere.
pub(super) fn place_of_time(bytes: &[u8], from: usize, time: i64) -> Option<usize> {
    let mut entries = Entries::new(bytes, None).unverified().from_position(from);
    let mut batch_end = None;
    while let Some(Ok(entry)) = entries.next() {
        match entry.kind {
            EntryKind::Annotation(line) => batch_end = Some(entry.position + line.size),
            EntryKind::Comment(text) if timestamp(text).is_some_and(|stamp| stamp > time) => {
                return Some(batch_end.unwrap_or(entry.position));
            }
            _ => {}
        }
    }
    None
}

/// The time of a `#TS:` line, in seconds since 1970.
pub(super) fn timestamp(comment: &[u8]) -> Option<i64> {
    let digits = comment.strip_prefix(b"#TS:")?.trim_ascii_end();
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn confirm() -> Result<(), Failure> {
    // On the line itself, as scripts that talk to it expect.
    let mut out = io::stdout().lock();
    drop(out.write_all(b"Continue? [y/N]: ").and_then(|()| out.flush()));
    drop(out);
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim_start().to_ascii_lowercase().starts_with('y') {
        return Ok(());
    }
    Err(Some("Aborting...".to_owned()))
}

fn cut(path: &Path, size: usize) -> io::Result<()> {
    let size = u64::try_from(size).map_err(io::Error::other)?;
    let storage = RealStorage::new(path.parent().unwrap_or(Path::new("")));
    OpenOptions::new().write(true).open(path)?.set_len(size)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    storage.open_append(&name)?.sync_data()
}

/// Takes `later` out of the manifest at `path`.
fn drop_later(path: &Path, manifest: &Manifest, later: &[ManifestFile]) -> Result<(), Failure> {
    let mut kept = manifest.clone();
    kept.incrs.truncate(manifest.incrs.len() - later.len());
    let folder: PathBuf = path.parent().unwrap_or(Path::new("")).to_owned();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let storage: Arc<dyn Storage> = Arc::new(RealStorage::new(folder));
    replace(&storage, &format!("temp-{name}"), &name, &kept.to_bytes())
        .map_err(|error| Some(format!("Cannot replace {}: {error}", path.display())))?;
    for file in later {
        say(&format!("{} is no longer part of the log", file.name));
    }
    Ok(())
}
