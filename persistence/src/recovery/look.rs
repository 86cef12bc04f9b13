//! The first half of recovery: looks at the files and says what is what.

use std::io;
use std::sync::Arc;

use super::retained::retained;
use super::{Dropped, Options, Plan, RecoveryError, Step, StepKind};
use crate::log::manifest::{Manifest, ManifestFile};
use crate::log::rewrite::{OpenError, read_manifest};
use crate::log::scan::{Behind, Scan, Standing, behind, scan};
use crate::log::{Lineage, LogOffset, ReadErrorKind, ReplicationId};
use crate::snapshot::{Event, SnapshotReader};
use crate::storage::{Contents, Storage};

/// Looks at the files that `options` name and plans how to go on from them.
///
/// # Errors
/// [`RecoveryError`] when the node must not start from them. Nothing on disk is changed, ever.
pub fn plan(storage: &Arc<dyn Storage>, options: &Options) -> Result<Plan, RecoveryError> {
    let look = Look { storage: storage.as_ref(), options };
    let (manifest, listed, upgrade) = look.find()?;
    let orphans = look.orphans(&manifest)?;
    let mut plan = Plan {
        steps: Vec::new(),
        lineage: None,
        lineage_end: LogOffset(0),
        offset: LogOffset(0),
        durable: LogOffset(0),
        clean: false,
        follows: false,
        dropped: None,
        options: options.clone(),
        manifest,
        listed,
        upgrade,
        retained: Vec::new(),
        orphans,
        base_size: 0,
        incr_sizes: Vec::new(),
    };
    let mut standing = look.base(&mut plan)?;
    look.incrs(&mut plan, &mut standing)?;
    plan.lineage = standing.lineage;
    plan.lineage_end = standing.lineage_end;
    plan.offset = standing.offset;
    plan.clean = standing.clean && plan.dropped.is_none();
    plan.follows = standing.follows;
    plan.retained = retained(look.storage, &plan);
    debug_assert!(plan.offset >= plan.durable, "nothing durable is dropped");
    Ok(plan)
}

struct Look<'a> {
    storage: &'a dyn Storage,
    options: &'a Options,
}

/// What the head of a base tells.
#[derive(Default)]
struct BaseFacts {
    id: Option<ReplicationId>,
    cut: Option<LogOffset>,
}

impl Look<'_> {
    /// The manifest to go by, whether it is on disk, and whether an old single file is to become its base.
    fn find(&self) -> Result<(Manifest, bool, bool), RecoveryError> {
        let names = &self.options.names;
        let found = read_manifest(self.storage, names).map_err(|error| match error {
            OpenError::Io(path, source) => RecoveryError::Io { path, action: "read", source },
            OpenError::Manifest(path, error) => RecoveryError::Manifest { path, error },
        })?;
        let single = names.stem();
        if self.size(single)?.is_some() {
            let sole = |manifest: &Manifest| {
                manifest.incrs.is_empty()
                    && manifest.base.as_ref().is_some_and(|b| b.name == single)
            };
            let upgrades = match &found {
                None => true,
                Some(manifest) if sole(manifest) => self.size(&names.inside(single))?.is_none(),
                Some(manifest) => manifest.loaded().next().is_none(),
            };
            if upgrades {
                let base = ManifestFile::new(single, 1);
                let manifest = Manifest { base: Some(base), ..Manifest::default() };
                return Ok((manifest, false, true));
            }
        }
        if let Some(manifest) = found {
            return Ok((manifest, true, false));
        }
        // Without a manifest a stock server starts empty over the files of a log. Ours does not.
        for file in self.list(names.folder())? {
            let name = names.inside(&file);
            if is_file_of_log(&file, single) && self.size(&name)? > Some(0) {
                let path = self.storage.display(&names.manifest());
                return Err(RecoveryError::ManifestLost {
                    path,
                    found: self.storage.display(&name),
                });
            }
        }
        Ok((Manifest::default(), false, false))
    }

    /// Files that an interrupted change left: of no use to anybody.
    fn orphans(&self, manifest: &Manifest) -> Result<Vec<String>, RecoveryError> {
        let names = &self.options.names;
        let listed = |file: &str| {
            manifest.loaded().chain(&manifest.history).any(|listed| listed.name == file)
        };
        let mut orphans = Vec::new();
        for file in self.list(names.folder())? {
            let temporary =
                file.strip_prefix("temp-").is_some_and(|rest| rest.starts_with(names.stem()));
            if (is_file_of_log(&file, names.stem()) && !listed(&file)) || temporary {
                orphans.push(names.inside(&file));
            }
        }
        for file in self.list("")? {
            if is_temporary(&file) {
                orphans.push(file);
            }
        }
        Ok(orphans)
    }

    /// Looks at the base, and says where the log begins.
    fn base(&self, plan: &mut Plan) -> Result<Standing, RecoveryError> {
        let listed_start = plan.manifest.incrs.first().and_then(|file| file.start);
        let Some(base) = plan.manifest.base.clone() else {
            return Ok(Standing::at_start(listed_start));
        };
        let names = &self.options.names;
        let name = if plan.upgrade { base.name.clone() } else { names.inside(&base.name) };
        let bytes = self.read(&name)?;
        let size = as_u64(bytes.len());
        plan.base_size = size;
        let mut step = Step {
            name: name.clone(),
            kind: StepKind::BaseCommands,
            range: 0..size,
            start: LogOffset(0),
            end: LogOffset(0),
            unverified: size,
        };
        let mut facts = BaseFacts::default();
        let mut commands_from = 0;
        if bytes.starts_with(b"REDIS") || bytes.starts_with(b"VALKEY") {
            step.kind = StepKind::Snapshot;
            facts = base_facts(&bytes);
            // Only a file that is not named as a snapshot may go on with commands: looking costs a whole decoding.
            commands_from = if base.name.ends_with(".rdb") {
                bytes.len()
            } else {
                snapshot_end(&bytes).map_err(|reason| RecoveryError::Base {
                    path: self.storage.display(&name),
                    reason,
                })?
            };
            step.unverified = size - as_u64(commands_from);
        }
        let is_last = self.incrs_are_empty(&plan.manifest)?;
        let good = self.base_commands(&name, &bytes, commands_from, is_last)?;
        if let Some(cause) = good.1 {
            step.range.end = good.0;
            plan.base_size = good.0;
            plan.dropped = Some(Dropped {
                name: name.clone(),
                position: good.0,
                bytes: size - good.0,
                batches: 0,
                cause,
                later: Vec::new(),
            });
        }
        let start = self.join_base(&name, facts.cut, listed_start)?;
        let mut standing = Standing::at_start(start);
        standing.lineage = facts.id.map(Lineage::new);
        (step.start, step.end) = (standing.offset, standing.offset);
        plan.steps.push(step);
        Ok(standing)
    }

    /// The cut of the base and the start of the first incr file are one offset.
    fn join_base(
        &self,
        name: &str,
        cut: Option<LogOffset>,
        listed: Option<LogOffset>,
    ) -> Result<Option<LogOffset>, RecoveryError> {
        match (cut, listed) {
            (Some(expected), Some(found)) if expected != found => {
                let path = self.storage.display(name);
                Err(RecoveryError::Gap { path, position: 0, expected, found })
            }
            (cut, listed) => Ok(cut.or(listed)),
        }
    }

    /// How far the commands in a base, from `from` on, are good, and why not further.
    fn base_commands(
        &self,
        name: &str,
        bytes: &Contents,
        from: usize,
        is_last: bool,
    ) -> Result<(u64, Option<crate::log::ReadError>), RecoveryError> {
        // A base is no piece of the stream: its bytes count nowhere, so any offset will do.
        let found = scan(&bytes[from..], Standing::at_start(Some(LogOffset(0))), false);
        let Some(mut error) = found.problem else { return Ok((as_u64(bytes.len()), None)) };
        error.position += from;
        let path = self.storage.display(name);
        self.verdict_without_annotations(path, error, is_last)?;
        Ok((as_u64(from + found.good), Some(error)))
    }

    fn incrs_are_empty(&self, manifest: &Manifest) -> Result<bool, RecoveryError> {
        for file in &manifest.incrs {
            if self.size(&self.options.names.inside(&file.name))?.unwrap_or(0) > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes through the incr files up to the first problem and decides what it is.
    fn incrs(&self, plan: &mut Plan, standing: &mut Standing) -> Result<(), RecoveryError> {
        let incrs = plan.manifest.incrs.clone();
        for file in &incrs {
            // All of them must be there before any is looked at: a missing one explains more than a gap does.
            let name = self.options.names.inside(&file.name);
            if self.size(&name)?.is_none() {
                return Err(RecoveryError::Missing { path: self.storage.display(&name) });
            }
        }
        for (index, file) in incrs.iter().enumerate() {
            let name = self.options.names.inside(&file.name);
            let bytes = self.read(&name)?;
            let from = *standing;
            let mut found = scan(&bytes, from, file.annotated);
            self.check_listed_start(&name, file, &from, &mut found)?;
            plan.durable = plan.durable.max(found.durable);
            plan.steps.push(Step {
                name: name.clone(),
                kind: StepKind::Log,
                range: 0..as_u64(found.good),
                start: found.start,
                end: found.standing.offset,
                unverified: as_u64(found.unverified),
            });
            plan.incr_sizes.push(as_u64(found.good));
            // An empty file says nothing, not even that the stop was unclean.
            if !bytes.is_empty() {
                *standing = found.standing;
            }
            if found.problem.is_some() {
                return self.verdict(plan, &name, bytes.len(), &found, &incrs[index + 1..]);
            }
        }
        Ok(())
    }

    /// The manifest's `startoffset` is where the file's first head starts.
    fn check_listed_start(
        &self,
        name: &str,
        file: &ManifestFile,
        from: &Standing,
        found: &mut Scan,
    ) -> Result<(), RecoveryError> {
        match file.start {
            Some(start) if from.anchored && start < from.offset => Err(RecoveryError::Gap {
                path: self.storage.display(name),
                position: 0,
                expected: from.offset,
                found: start,
            }),
            Some(start) if from.anchored && start > from.offset && found.problem.is_none() => {
                // As a head that says so: the end of the file before is lost.
                let kind = ReadErrorKind::Gap { expected: from.offset, found: start };
                let nothing = Behind::default();
                found.problem = Some(crate::log::ReadError { position: 0, kind });
                *found = Scan { good: 0, standing: *from, behind: nothing, ..found.clone() };
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Decides what the problem that ended a file's good part is: refused, or dropped with all that is behind.
    fn verdict(
        &self,
        plan: &mut Plan,
        name: &str,
        size: usize,
        found: &Scan,
        later: &[ManifestFile],
    ) -> Result<(), RecoveryError> {
        let error = found.problem.expect("the caller found one");
        let path = self.storage.display(name);
        let good = found.standing.offset;
        let mut bytes = as_u64(size - found.good);
        let mut behind_all = found.behind;
        let mut later_bytes = 0;
        for file in later {
            let contents = self.read(&self.options.names.inside(&file.name))?;
            let more = behind(&contents, 0, None);
            behind_all.batches += more.batches;
            behind_all.durable = behind_all.durable.max(more.durable);
            later_bytes += as_u64(contents.len());
        }
        bytes += later_bytes;
        plan.durable = plan.durable.max(behind_all.durable);
        if let ReadErrorKind::NewerVersion(version) = error.kind {
            return Err(RecoveryError::NewerVersion { path, version });
        }
        if let ReadErrorKind::Gap { expected, found } = error.kind
            && (found < expected || plan.durable > good)
        {
            return Err(RecoveryError::Gap { path, position: error.position, expected, found });
        }
        if plan.durable > good {
            let durable = plan.durable;
            return Err(RecoveryError::Damaged { path, error, good, durable, bytes });
        }
        if !found.annotated {
            self.verdict_without_annotations(path, error, later_bytes == 0)?;
        } else if !self.options.load_truncated {
            return Err(RecoveryError::ShortRead { path });
        }
        let later = later.iter().map(|file| self.options.names.inside(&file.name)).collect();
        plan.dropped = Some(Dropped {
            name: name.to_owned(),
            position: as_u64(found.good),
            bytes,
            batches: behind_all.batches,
            cause: error,
            later,
        });
        Ok(())
    }

    /// What stock does: an end cut short may be dropped from the last file, anything else is refused.
    fn verdict_without_annotations(
        &self,
        path: String,
        error: crate::log::ReadError,
        is_last: bool,
    ) -> Result<(), RecoveryError> {
        match error.kind {
            ReadErrorKind::CutShort | ReadErrorKind::OpenTransaction if !is_last => {
                Err(RecoveryError::NotLast { path })
            }
            ReadErrorKind::CutShort | ReadErrorKind::OpenTransaction => {
                if self.options.load_truncated {
                    Ok(())
                } else {
                    Err(RecoveryError::ShortRead { path })
                }
            }
            _ => Err(RecoveryError::Format { path, error }),
        }
    }

    fn read(&self, name: &str) -> Result<Contents, RecoveryError> {
        let path = || self.storage.display(name);
        self.storage.read(name).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => RecoveryError::Missing { path: path() },
            _ => RecoveryError::Io { path: path(), action: "read", source },
        })
    }

    fn size(&self, name: &str) -> Result<Option<u64>, RecoveryError> {
        let failed = |source| RecoveryError::Io {
            path: self.storage.display(name),
            action: "look at",
            source,
        };
        self.storage.size(name).map_err(failed)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, RecoveryError> {
        let failed = |source| RecoveryError::Io {
            path: self.storage.display(folder),
            action: "list",
            source,
        };
        self.storage.list(folder).map_err(failed)
    }
}

/// Whether `file` is called as base or incr file of the log `stem`.
fn is_file_of_log(file: &str, stem: &str) -> bool {
    let rest = file.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.'));
    let Some((sequence, kind)) = rest.and_then(|rest| rest.split_once('.')) else { return false };
    let number = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
    number && matches!(kind, "base.rdb" | "base.aof" | "incr.aof")
}

/// Whether `file`, in the data folder, is an unfinished base or snapshot.
fn is_temporary(file: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = file.strip_prefix("temp-") else { return false };
    match rest.strip_prefix("rewriteaof-") {
        Some(rest) => {
            rest.strip_suffix(".aof").is_some_and(|n| number(n.trim_start_matches("bg-")))
        }
        // A process and a count, or (received from a primary) a time and a process.
        None => {
            let numbers = |text: &str| text.split(['-', '.']).all(number);
            rest.strip_suffix(".rdb").is_some_and(numbers)
        }
    }
}

/// What the fields at the beginning of a snapshot tell of the log behind it.
fn base_facts(bytes: &[u8]) -> BaseFacts {
    let mut facts = BaseFacts::default();
    let mut reader = SnapshotReader::new(bytes);
    // Damage here is reported by whoever loads the snapshot, with more to say about it.
    while let Ok(Some(event)) = reader.next() {
        match event {
            Event::Header { .. } => {}
            Event::Aux { key: b"hw-id", value } => facts.id = ReplicationId::from_bytes(value).ok(),
            Event::Aux { key: b"hw-offset", value } => {
                let text = std::str::from_utf8(value).ok();
                facts.cut = text.and_then(|text| text.parse().ok()).map(LogOffset);
            }
            Event::Aux { .. } => {}
            _ => break,
        }
    }
    facts
}

/// Where the snapshot at the beginning of `bytes` ends.
fn snapshot_end(bytes: &[u8]) -> Result<usize, String> {
    let mut reader = SnapshotReader::new(bytes);
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    usize::try_from(reader.offset()).map_err(|error| error.to_string())
}

fn as_u64(size: usize) -> u64 {
    u64::try_from(size).expect("a usize is at most 64 bits")
}
