//! Finds the files of a log and goes through their entries.

use std::path::{Path, PathBuf};

use highwater_persistence::log::manifest::Manifest;
use highwater_persistence::log::{Entries, Entry, LogOffset, ReadError};
use highwater_persistence::snapshot::SnapshotReader;
use highwater_persistence::storage::{Contents, RealStorage, Storage};

/// A log, found.
pub(super) struct Source {
    /// The manifest and its place; `None` for a single file.
    pub(super) manifest: Option<(PathBuf, Manifest)>,
    /// Base and incr files, in order.
    pub(super) pieces: Vec<Piece>,
}

/// A file of a log.
pub(super) struct Piece {
    pub(super) path: PathBuf,
    pub(super) bytes: Contents,
    /// Where the commands begin: behind a snapshot, if there is one.
    pub(super) commands_at: usize,
    /// Whether it is the base, whose bytes are no part of the stream.
    pub(super) is_base: bool,
    /// Offset at which it starts, where the manifest tells.
    pub(super) start: Option<LogOffset>,
}

impl Source {
    /// The log at `path`: a data folder, the folder of a log, a manifest, or one file.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let path = if path.is_dir() { find_manifest(path)? } else { path.to_owned() };
        let bytes = read(&path)?;
        let is_manifest = path.extension().is_some_and(|extension| extension == "manifest")
            || bytes.starts_with(b"file ");
        if !is_manifest {
            let piece = Piece::new(path, bytes, false, None)?;
            return Ok(Self { manifest: None, pieces: vec![piece] });
        }
        let manifest =
            Manifest::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut pieces = Vec::new();
        for file in manifest.loaded() {
            let path = folder.join(&file.name);
            let bytes = read(&path)?;
            let is_base = manifest.base.as_ref() == Some(file);
            pieces.push(Piece::new(path, bytes, is_base, file.start)?);
        }
        Ok(Self { manifest: Some((path, manifest)), pieces })
    }

    /// Drops the base: what is left are the pieces of the log proper.
    pub(super) fn leave_out_base(&mut self) {
        self.pieces.retain(|piece| !piece.is_base);
    }

    /// Calls `visit` with every entry, until it says to stop or the log does. Where and why the log stopped early.
    pub(super) fn for_each(
        &self,
        mut visit: impl FnMut(&Piece, &Entry<'_>) -> Result<bool, String>,
    ) -> Result<Option<(&Piece, ReadError)>, String> {
        let mut offset = None;
        for piece in &self.pieces {
            let start = if piece.is_base { None } else { offset.or(piece.start) };
            let mut entries = Entries::new(&piece.bytes, start).from_position(piece.commands_at);
            while let Some(entry) = entries.next() {
                match entry {
                    Ok(entry) => {
                        if !visit(piece, &entry)? {
                            return Ok(None);
                        }
                    }
                    Err(error) => return Ok(Some((piece, error))),
                }
            }
            if !piece.is_base {
                offset = Some(entries.offset());
            }
        }
        Ok(None)
    }
}

impl Piece {
    fn new(
        path: PathBuf,
        bytes: Contents,
        is_base: bool,
        start: Option<LogOffset>,
    ) -> Result<Self, String> {
        let mut commands_at = 0;
        if bytes.starts_with(b"REDIS") || bytes.starts_with(b"VALKEY") {
            let mut reader = SnapshotReader::new(&bytes[..]);
            let failed = |error| format!("{}: {error}", path.display());
            while reader.next().map_err(failed)?.is_some() {}
            commands_at = usize::try_from(reader.offset()).map_err(|error| error.to_string())?;
        }
        Ok(Self { path, bytes, commands_at, is_base, start })
    }

    /// Its name without the folder.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The only manifest in `folder` or its `appendonlydir`.
pub(in crate::cli) fn find_manifest(folder: &Path) -> Result<PathBuf, String> {
    let mut found = Vec::new();
    for place in [folder.join("appendonlydir"), folder.to_owned()] {
        let Ok(entries) = std::fs::read_dir(&place) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".manifest") && !name.starts_with("temp-") {
                found.push(entry.path());
            }
        }
    }
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(format!(
            "there is no manifest (*.manifest) in {0} nor in {0}/appendonlydir: name the folder of a log, or one file",
            folder.display()
        )),
        count => Err(format!("there are {count} manifests in {}: name one", folder.display())),
    }
}

fn read(path: &Path) -> Result<Contents, String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    RealStorage::new(folder).read(&name).map_err(|error| format!("{}: {error}", path.display()))
}
