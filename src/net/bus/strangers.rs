//! Connections that have come and on which nobody is known yet.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::process::{STRANGERS_MAX, files_beyond};
use super::super::shared::Shared;
use crate::clock;
use crate::logging::Repeat;

/// Nobody has to say sooner who he is. A node does so with its first packet, at once.
const PATIENCE_MIN: Duration = Duration::from_secs(10);

/// A line of the log that strangers can cause passes once in so many milliseconds.
const LINE_EVERY_MS: u64 = 10_000;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    count: AtomicUsize,
    /// Bad packets.
    pub(super) misbehaved: Rare,
    /// Connections that were refused, or could not be accepted.
    pub(super) refused: Rare,
}

/// A warning that is not repeated often.
#[derive(Debug)]
pub(super) struct Rare(Mutex<Repeat>);

impl Default for Rare {
    fn default() -> Self {
        Self(Mutex::new(Repeat::every_ms(LINE_EVERY_MS)))
    }
}

impl Rare {
    pub(super) fn warn(&self, line: &dyn fmt::Display) {
        match self.0.lock().pass(clock::now().mono_ms()) {
            None => {}
            Some(0) => tracing::warn!("{line}"),
            Some(left_out) => tracing::warn!("{line} ({left_out} lines like this were left out)"),
        }
    }
}

/// One of them; counts as such until it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    shared: Arc<Shared>,
    deadline: Instant,
}

impl Stranger {
    /// One more, unless there are too many.
    pub(super) fn admit(shared: &Arc<Shared>) -> Option<Self> {
        let (maxclients, timeout_ms) = {
            let config = &shared.node.lock().state.config;
            (config.maxclients, config.cluster_node_timeout)
        };
        let patience = Duration::from_millis(timeout_ms).max(PATIENCE_MIN);
        // Known nodes have the other files that are kept for the bus.
        let most = (files_beyond(maxclients) / 3 * 2).clamp(1, STRANGERS_MAX);
        Self::admit_for(shared, patience, usize::try_from(most).unwrap_or(usize::MAX))
    }

    pub(super) fn admit_for(shared: &Arc<Shared>, patience: Duration, most: usize) -> Option<Self> {
        let count = &shared.bus.strangers.count;
        if count.load(Ordering::Relaxed) >= most {
            return None;
        }
        count.fetch_add(1, Ordering::Relaxed);
        Some(Self { shared: Arc::clone(shared), deadline: Instant::now() + patience })
    }

    /// Until then somebody has to be known.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.shared.bus.strangers.count.fetch_sub(1, Ordering::Relaxed);
    }
}
