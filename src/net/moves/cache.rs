//! Connections to targets, kept from one MIGRATE to the next.

use parking_lot::Mutex;

use super::link::Link;
use crate::state::moves::Target;

/// The most that are kept.
const KEPT_MAX: usize = 64;

/// One that nobody has used for so long is closed.
const IDLE_US: u64 = 10_000_000;

/// Connections that are open and not in use, the one used last at the end, with the time when that was.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: Mutex<Vec<(u64, Link)>>,
}

impl Cache {
    /// A connection to `target`.
    pub(super) fn take(&self, target: &Target) -> Option<Link> {
        let mut kept = self.kept.lock();
        let at = kept.iter().rposition(|(_, link)| link.leads_to(target))?;
        Some(kept.remove(at).1)
    }

    /// Keeps a connection; where there are too many the one that was not used for the longest is closed.
    pub(super) fn put(&self, link: Link, now_us: u64) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push((now_us, link));
    }

    /// Closes what has not been used for long.
    pub(super) fn sweep(&self, now_us: u64) {
        self.kept.lock().retain(|(used_us, _)| now_us.saturating_sub(*used_us) < IDLE_US);
    }

    pub(super) fn len(&self) -> usize {
        self.kept.lock().len()
    }
}
