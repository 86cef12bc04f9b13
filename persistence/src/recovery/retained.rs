//! Which files of history stay, to be read back.
//!
//! Only their names, sizes and last lines are looked at: whoever reads them back verifies them, and a start has no use for
//! them. So nothing that is wrong with them keeps a node from starting; they are not served, that is all.

use super::{Plan, StepKind};
use crate::log::LogOffset;
use crate::log::manifest::ManifestFile;
use crate::log::read_back::tail_offset;
use crate::storage::Storage;

/// The newest pieces of history within the bound, as far as each ends where the next one, and at last the log, starts.
pub(super) fn retained(storage: &dyn Storage, plan: &Plan) -> Vec<ManifestFile> {
    let options = &plan.options;
    // With `aof-disable-auto-gc` all of it stays anyway, and is served as far as it joins.
    let mut left = if options.keep_history { u64::MAX } else { options.retain };
    let mut kept = Vec::new();
    if left == 0 {
        return kept;
    }
    let first = plan.steps.iter().find(|step| step.kind == StepKind::Log);
    let mut start = first.map_or(plan.offset, |step| step.start);
    let mut sequence = plan.manifest.incrs.first().map_or(u64::MAX, |file| file.sequence);
    for file in plan.manifest.history.iter().rev() {
        // Without a start it is a base, or not known to be a piece of this log.
        let Some(own) = file.start else { continue };
        let name = options.names.inside(&file.name);
        let Some((size, end)) = look_at(storage, &name) else { break };
        if end != start || own > end || size > left || file.sequence >= sequence {
            break;
        }
        (left, start, sequence) = (left - size, own, file.sequence);
        kept.push(file.clone());
    }
    kept.reverse();
    kept
}

/// Size of the file, and where its last annotation ends. `None` where that cannot be found out.
fn look_at(storage: &dyn Storage, name: &str) -> Option<(u64, LogOffset)> {
    let file = storage.open_read(name).ok()?;
    Some((file.size().ok()?, tail_offset(&*file).ok()??))
}
