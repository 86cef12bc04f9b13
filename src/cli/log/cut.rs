//! `highwater log cut`: a copy of a log up to an offset or a time.
//!
//! Files are copied as they are up to the last whole batch (or unit, where there are no annotations) before the end; the
//! units that are left of the next batch are appended to the copy as a batch of their own. So the copy is a log like
//! any other: it verifies, and a node starts from it at the offset where it ends.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use highwater_persistence::log::{EntryKind, LogOffset, ReplicationId, Salts, UnitPart};
use highwater_persistence::recovery;
use highwater_persistence::replace::replace;

use super::End;
use super::source::{Piece, Source};
use super::verify::recovery_of;
use crate::cli::check_aof::{place_of_time, timestamp};
use crate::cli::{complain, say};

pub(super) fn run(path: &Path, target: &Path, end: &End) -> Result<ExitCode, String> {
    let source = Source::open(path)?;
    let Some((manifest_path, manifest)) = &source.manifest else {
        return one_file(&source.pieces[0], target, end);
    };
    let folder =
        manifest_path.parent().and_then(Path::file_name).ok_or("a log lies in a folder")?;
    let folder = target.join(folder);
    if target.exists() {
        return Err(format!("{} exists", target.display()));
    }
    let place = find(&source, end)?;
    if place.is_none() {
        whole(&source, end)?;
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut kept = manifest.clone();
    kept.history.clear();
    let mut incrs = 0;
    for (index, piece) in source.pieces.iter().enumerate() {
        let size = match &place {
            Some(place) if index > place.piece => break,
            Some(place) if index == place.piece => place.position,
            _ => piece.bytes.len(),
        };
        incrs += usize::from(!piece.is_base);
        write(&folder.join(piece.name()), &piece.bytes[..size])?;
    }
    kept.incrs.truncate(incrs);
    let name = manifest_path.file_name().ok_or("a manifest has a name")?;
    let manifest_path = folder.join(name);
    let (storage, options) = recovery_of(&manifest_path)?;
    let names = &options.names;
    replace(&storage, &names.temp_manifest(), &names.manifest(), &kept.to_bytes())
        .map_err(|error| error.to_string())?;
    let mut plan = recovery::plan(&storage, &options).map_err(|error| error.to_string())?;
    let has_units = place.as_ref().is_none_or(|place| place.end.0 > 0);
    let begins_later = end.offset.is_none_or(|last| plan.offset.0 > last);
    if !has_units && begins_later && source.pieces.iter().any(|piece| piece.is_base) {
        complain(&format!(
            "the log begins with a base at offset {}: the copy holds that, which may be later than what was asked for, and nothing behind it",
            plan.offset.0
        ));
    }
    if let Some(place) = place.filter(|place| place.annotated && !place.rest.is_empty()) {
        let lineage = plan.lineage.unwrap_or_else(|| plan.successor(ReplicationId::NONE));
        let mut writer = recovery::carry_out(&storage, &plan, lineage, Salts::random())
            .map_err(|error| error.to_string())?;
        let (mut rest, start) = (place.rest, writer.end());
        let appended =
            writer.append(&mut rest, place.end, start).and_then(|()| writer.mark(start, false));
        appended.map_err(|error| error.to_string())?;
        writer.sync_handle().sync_data().map_err(|error| error.to_string())?;
        plan = recovery::plan(&storage, &options).map_err(|error| error.to_string())?;
    }
    say(&plan.to_string());
    say(&format!(
        "a node starts from it with 'highwater server --appendonly yes --dir {}'",
        target.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Says that nothing is to be left out, unless the log has no time stamps to tell: that is an error.
fn whole(source: &Source, end: &End) -> Result<(), String> {
    let mut stamps = 0;
    source.for_each(|_, entry| {
        let is_stamp = matches!(&entry.kind, EntryKind::Comment(text) if timestamp(text).is_some());
        stamps += u32::from(is_stamp);
        Ok(stamps == 0)
    })?;
    if end.time.is_some() && stamps == 0 {
        return Err("the log has no time stamps (they are written under 'aof-timestamp-enabled yes'): cut it at \
                    an --offset, which 'highwater log cat' shows. Nothing was written"
            .to_owned());
    }
    complain("the log ends before that: the copy is whole");
    Ok(())
}

/// Where the copy of the files ends, and what follows.
struct Place {
    piece: usize,
    position: usize,
    annotated: bool,
    /// Whole units behind `position` that the copy still holds, up to the offset `end`.
    rest: Vec<u8>,
    end: LogOffset,
}

/// Finds the end; `None`: the copy is whole.
fn find(source: &Source, end: &End) -> Result<Option<Place>, String> {
    let mut place =
        Place { piece: 0, position: 0, annotated: false, rest: Vec::new(), end: LogOffset(0) };
    let mut unit = Vec::new();
    let mut found = ControlFlow::Continue(());
    let mut current: Option<*const Piece> = None;
    let stopped = source.for_each(|piece, entry| {
        if piece.is_base {
            return Ok(true);
        }
        if current != Some(std::ptr::from_ref(piece)) {
            current = Some(std::ptr::from_ref(piece));
            place.piece = source.pieces.iter().position(|p| std::ptr::eq(p, piece)).unwrap_or(0);
            (place.position, place.annotated) = (piece.commands_at, false);
        }
        let after = entry.position + entry.size;
        let bytes = &piece.bytes[entry.position..after];
        match &entry.kind {
            EntryKind::Annotation(_) => {
                place.rest.clear();
                (place.position, place.annotated) = (after, true);
            }
            EntryKind::Comment(text) => {
                let late = timestamp(text).zip(end.time).is_some_and(|(time, last)| time > last);
                if late {
                    found = ControlFlow::Break(());
                    return Ok(false);
                }
                unit.extend_from_slice(bytes);
            }
            EntryKind::Command { local: true, .. } => place.position = after,
            EntryKind::Command { unit: part, .. } => {
                let offset = entry.offset.advanced(entry.size);
                if end.offset.is_some_and(|last| offset.0 > last) {
                    found = ControlFlow::Break(());
                    return Ok(false);
                }
                unit.extend_from_slice(bytes);
                if matches!(part, UnitPart::Whole | UnitPart::Last) {
                    place.rest.append(&mut unit);
                    place.end = offset;
                    if !place.annotated {
                        place.position = after;
                    }
                }
            }
        }
        Ok(true)
    })?;
    if let Some((piece, error)) = stopped {
        return Err(format!("{} {error}", piece.path.display()));
    }
    Ok(found.is_break().then_some(place))
}

/// A single file is cut at the last batch or unit.
fn one_file(piece: &Piece, target: &Path, end: &End) -> Result<ExitCode, String> {
    if target.exists() {
        return Err(format!("{} exists", target.display()));
    }
    let size = match (end.time, end.offset) {
        (Some(time), _) => place_of_time(&piece.bytes, piece.commands_at, time),
        (None, Some(last)) => {
            let source_end = highwater_persistence::log::Entries::new(&piece.bytes, None);
            let mut entries = source_end.from_position(piece.commands_at);
            let mut size = piece.commands_at;
            while let Some(entry) = entries.next() {
                entry.map_err(|error| format!("{} {error}", piece.path.display()))?;
                if entries.offset().0 > last {
                    break;
                }
                size = entries.whole().0;
            }
            Some(size)
        }
        (None, None) => None,
    };
    let size = size.unwrap_or(piece.bytes.len());
    write(target, &piece.bytes[..size])?;
    say(&format!("{}: {size} of {} bytes", target.display(), piece.bytes.len()));
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}
