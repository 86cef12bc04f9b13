//! `highwater log verify`: what a node's recovery would say of a log.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use highwater_persistence::log::LogNames;
use highwater_persistence::log::scan::{Standing, scan};
use highwater_persistence::recovery::{self, Options};
use highwater_persistence::storage::{RealStorage, Storage};

use super::source::{Source, find_manifest};
use crate::cli::say;

/// Succeeds when all of the log is good.
pub(super) fn run(path: &Path) -> Result<ExitCode, String> {
    let manifest = if path.is_dir() { find_manifest(path)? } else { path.to_owned() };
    if manifest.extension().is_none_or(|extension| extension != "manifest") {
        return one_file(&manifest);
    }
    let (storage, options) = recovery_of(&manifest)?;
    let plan = recovery::plan(&storage, &options).map_err(|error| error.to_string())?;
    say(&plan.to_string());
    // Recovery leaves snapshots to those who load them: they are read here, to their checksums.
    Source::open(&manifest).map_err(|error| {
        format!("{error}. A node would not start: restore the file ('highwater check rdb FILE' looks into it)")
    })?;
    Ok(if plan.dropped.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The storage around a manifest, and how recovery calls its files.
pub(super) fn recovery_of(manifest: &Path) -> Result<(Arc<dyn Storage>, Options), String> {
    let absolute = std::path::absolute(manifest).map_err(|error| error.to_string())?;
    let name = |path: Option<&Path>| {
        let name = path.and_then(Path::file_name).and_then(|name| name.to_str());
        name.map(str::to_owned).ok_or_else(|| format!("{} has no proper name", absolute.display()))
    };
    let folder = absolute.parent();
    let root = folder.and_then(Path::parent).ok_or("a log lies in a folder of its own")?;
    let file = name(Some(&absolute))?;
    let stem = file.trim_end_matches(".manifest");
    let names = LogNames::new(&name(folder)?, stem);
    Ok((
        Arc::new(RealStorage::new(root)),
        Options { names, load_truncated: true, keep_history: false, retain: 0 },
    ))
}

fn one_file(path: &Path) -> Result<ExitCode, String> {
    let source = Source::open(path)?;
    let piece = source.pieces.first().ok_or("there is nothing to look at")?;
    let found = scan(&piece.bytes[piece.commands_at..], Standing::at_start(None), false);
    let good = piece.commands_at + found.good;
    say(&format!(
        "{}: {good} of {} bytes are good, offsets {} to {}; {} of them without checksums",
        piece.name(),
        piece.bytes.len(),
        found.start,
        found.standing.offset,
        found.unverified
    ));
    if found.room > 0 {
        say(&format!("{} bytes of room stand behind, made ahead for appends", found.room));
    }
    let Some(error) = found.problem else { return Ok(ExitCode::SUCCESS) };
    say(&format!("stopped at byte {}: {}", piece.commands_at + error.position, error.kind));
    say(&format!("{} whole batches stand behind", found.behind.batches));
    Ok(ExitCode::FAILURE)
}
