//! The second half of recovery: makes the files what the plan says.
//!
//! Each step may be the last before a crash; the plan of the next start then arrives at the same data. So what is kept
//! is cut before anything is appended to it, and files are removed only when no manifest in force lists them.

use std::io;
use std::sync::Arc;

use super::{Plan, RecoveryError, StepKind};
use crate::log::manifest::{Manifest, ManifestFile};
use crate::log::{Lineage, LogFiles, LogWriter, Salts, SyncHandle};
use crate::replace::replace;
use crate::storage::{Storage, StorageFile};

/// Carries out `plan` and opens the log for appending, under the ids of `lineage` ([`Plan::successor`] gives them).
/// The head that says so is durable when this returns.
///
/// # Errors
/// The files are as before, or partly as planned: a new plan starts from there and loses nothing more.
pub fn carry_out(
    storage: &Arc<dyn Storage>,
    plan: &Plan,
    lineage: Lineage,
    salts: Salts,
) -> Result<LogWriter, RecoveryError> {
    let work = Work { storage, plan };
    work.upgrade()?;
    work.cut()?;
    work.settle()?;
    let (manifest, file) = work.list()?;
    let writer = work.open(&manifest, file, lineage, salts)?;
    work.clean_up(manifest)?;
    Ok(writer)
}

struct Work<'a> {
    storage: &'a Arc<dyn Storage>,
    plan: &'a Plan,
}

impl Work<'_> {
    /// Moves an old single file into the folder: the manifest first, so that each step can be taken again.
    fn upgrade(&self) -> Result<(), RecoveryError> {
        let names = &self.plan.options.names;
        let folder = names.folder();
        self.storage.create_folder(folder).map_err(|e| self.error(folder, "create", e))?;
        self.storage.sync_folder("").map_err(|e| self.error("", "sync", e))?;
        if self.plan.upgrade {
            self.put_in_force(&self.plan.manifest)?;
            let (from, to) = (names.stem(), names.inside(names.stem()));
            self.storage.rename(from, &to).map_err(|e| self.error(from, "rename", e))?;
            self.storage.sync_folder(folder).map_err(|e| self.error(folder, "sync", e))?;
            self.storage.sync_folder("").map_err(|e| self.error("", "sync", e))?;
        }
        Ok(())
    }

    /// Cuts the file in which the good part ends.
    fn cut(&self) -> Result<(), RecoveryError> {
        let Some(dropped) = &self.plan.dropped else { return Ok(()) };
        let mut name = dropped.name.clone();
        if self.plan.upgrade {
            name = self.plan.options.names.inside(&name);
        }
        let file = self.storage.open_append(&name).map_err(|e| self.error(&name, "open", e))?;
        file.truncate(dropped.position).map_err(|e| self.error(&name, "cut", e))?;
        file.sync_data().map_err(|e| self.error(&name, "sync", e))
    }

    /// Makes what the plan saw durable: a killed process may have left it written only, and from here on it counts.
    fn settle(&self) -> Result<(), RecoveryError> {
        let names = &self.plan.options.names;
        for (file, planned) in self.plan.manifest.incrs.iter().zip(&self.plan.incr_sizes) {
            let name = names.inside(&file.name);
            let file = self.storage.open_append(&name).map_err(|e| self.error(&name, "open", e))?;
            // What is longer here is room: a part that is dropped has been cut off already.
            if file.size().map_err(|e| self.error(&name, "look at", e))? > *planned {
                file.truncate(*planned).map_err(|e| self.error(&name, "cut", e))?;
            }
            file.sync_data().map_err(|e| self.error(&name, "sync", e))?;
        }
        let folder = names.folder();
        self.storage.sync_folder(folder).map_err(|e| self.error(folder, "sync", e))
    }

    /// Puts the manifest without dropped files in force, with an incr file to append to.
    fn list(&self) -> Result<(Manifest, Arc<dyn StorageFile>), RecoveryError> {
        let names = &self.plan.options.names;
        let mut manifest = self.plan.manifest.clone();
        let dropped = manifest.incrs.split_off(self.plan.incr_sizes.len());
        let mut changed = !self.plan.listed || !dropped.is_empty();
        // Without a start: what is dropped is no piece of the log.
        manifest
            .history
            .extend(dropped.into_iter().map(|file| ManifestFile { start: None, ..file }));
        let last = manifest.loaded().chain(&manifest.history).map(|file| file.sequence).max();
        let file = if let Some(file) = manifest.incrs.last() {
            let name = names.inside(&file.name);
            self.storage.open_append(&name).map_err(|e| self.error(&name, "open", e))?
        } else {
            changed = true;
            let sequence = last.unwrap_or(0).saturating_add(1);
            let start = Some(self.plan.offset);
            let file = ManifestFile::new(names.incr(sequence), sequence).annotated(start);
            let name = names.inside(&file.name);
            let created = self.storage.create(&name).map_err(|e| self.error(&name, "create", e))?;
            created.sync_data().map_err(|e| self.error(&name, "sync", e))?;
            manifest.incrs.push(file);
            created
        };
        if changed {
            self.put_in_force(&manifest)?;
        }
        Ok((manifest, file))
    }

    fn open(
        &self,
        manifest: &Manifest,
        file: Arc<dyn StorageFile>,
        lineage: Lineage,
        salts: Salts,
    ) -> Result<LogWriter, RecoveryError> {
        let names = &self.plan.options.names;
        let last = manifest.incrs.last().expect("there is a file to append to");
        let name = names.inside(&last.name);
        let size = self.plan.incr_sizes.last().copied().unwrap_or(0);
        let incrs: u64 = self.plan.incr_sizes.iter().sum();
        let base_size = self.plan.base_size;
        let sizes = (base_size + incrs - size, base_size);
        let mut kept = manifest.clone();
        if !self.plan.options.keep_history {
            kept.history.clone_from(&self.plan.retained);
        }
        self.fill_in_starts(&mut kept);
        let served_from = self.plan.retained.iter().chain(&kept.incrs).next();
        let served_from = served_from.map(|file| file.sequence);
        // Numbers of dropped files are not used again: their removal is not durable yet.
        let gone = &manifest.history;
        let files = LogFiles::new(self.storage, names, kept, sizes, gone, served_from);
        files.keep_history(self.plan.options.keep_history);
        files.retain(self.plan.options.retain);
        let handle = SyncHandle::of(name.clone(), file);
        let at = (lineage, self.plan.offset);
        let failed = |source: io::Error| self.error(&name, "write", source);
        let mut writer = LogWriter::continuing(files, handle, size, at, &[], salts)
            .map_err(|error| failed(error.source))?;
        writer.flush().map_err(|error| failed(error.source))?;
        writer.sync_handle().sync_data().map_err(|source| self.error(&name, "sync", source))?;
        Ok(writer)
    }

    /// Where the pieces join, what the plan found out about their starts is as good as a line of the manifest.
    fn fill_in_starts(&self, manifest: &mut Manifest) {
        let pieces = || self.plan.steps.iter().filter(|step| step.kind == StepKind::Log);
        if pieces().zip(pieces().skip(1)).any(|(one, next)| one.end != next.start) {
            return;
        }
        for (file, piece) in manifest.incrs.iter_mut().zip(pieces()) {
            file.start.get_or_insert(piece.start);
        }
    }

    /// Removes history that does not stay, orphans and temporary files, and then history's lines.
    fn clean_up(&self, mut manifest: Manifest) -> Result<(), RecoveryError> {
        let names = &self.plan.options.names;
        let retained = &self.plan.retained;
        let (kept, history): (Vec<_>, Vec<_>) = std::mem::take(&mut manifest.history)
            .into_iter()
            .partition(|file| self.plan.options.keep_history || retained.contains(file));
        manifest.history = kept;
        let listed = history.iter().map(|file| names.inside(&file.name));
        // An orphan's name may have been taken for the new incr file.
        let in_force: Vec<_> = manifest.loaded().map(|file| names.inside(&file.name)).collect();
        let orphans = self.plan.orphans.iter().filter(|name| !in_force.contains(name)).cloned();
        for name in listed.chain(orphans) {
            match self.storage.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.error(&name, "remove", error));
                }
                _ => {}
            }
        }
        if history.is_empty() { Ok(()) } else { self.put_in_force(&manifest) }
    }

    fn put_in_force(&self, manifest: &Manifest) -> Result<(), RecoveryError> {
        let names = &self.plan.options.names;
        let (temp, target) = (names.temp_manifest(), names.manifest());
        replace(self.storage, &temp, &target, &manifest.to_bytes())
            .map_err(|error| self.error(&target, "replace", error.into()))
    }

    fn error(&self, name: &str, action: &'static str, source: io::Error) -> RecoveryError {
        RecoveryError::Io { path: self.storage.display(name), action, source }
    }
}
