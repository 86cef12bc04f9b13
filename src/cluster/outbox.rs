//! What a node wants done on its bus, in an order that keeps its promises: what is behind a promise waits until that is on
//! disk. A packet that says nothing which the node could forget does not wait, so a node whose disk takes seconds is not
//! silent for others.

use std::collections::VecDeque;

use super::core::Claim;
use super::{Body, Output, Packet};

/// See the module. Whoever carries outputs out adds them here and does what is handed back, in that order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What the file holds of what the node says of itself; nothing is known at first.
    kept: Option<Claim>,
    /// The same of the write that is under way.
    writing: Option<Claim>,
    /// The first promise that is not on disk, and what waits behind it.
    waiting: VecDeque<Output>,
    /// So many of these wait for the write that is under way.
    covered: usize,
    /// The last write failed: what the file does not hold must not be told.
    has_failed: bool,
}

impl Outbox {
    /// Of a node whose file says this.
    #[must_use]
    pub fn new(kept: Claim) -> Self {
        Outbox { kept: Some(kept), ..Outbox::default() }
    }

    /// Adds outputs, and answers those that can be carried out at once.
    pub fn add(&mut self, outputs: Vec<Output>) -> Vec<Output> {
        let mut now = Vec::new();
        for output in outputs {
            if self.waits(&output) {
                self.waiting.push_back(output);
            } else if self.may_happen(&output) {
                now.push(output);
            }
        }
        now
    }

    /// How many outputs wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the configuration should be written now: there is a promise, and no write under way.
    #[must_use]
    pub fn wants_save(&self) -> bool {
        self.writing.is_none() && !self.waiting.is_empty()
    }

    /// A write begins, of the configuration as it is now; `claim` is part of that. It holds all promises that were added.
    ///
    /// # Panics
    /// If another one is under way.
    pub fn begin_save(&mut self, claim: Claim) {
        let other = self.writing.replace(claim);
        assert!(other.is_none(), "one write at a time");
        self.covered = self.waiting.len();
    }

    /// The write has ended. Answers what can be carried out now.
    pub fn end_save(&mut self, is_saved: bool) -> Vec<Output> {
        let claim = self.writing.take();
        self.has_failed = !is_saved;
        if is_saved {
            self.kept = claim;
        }
        let covered = std::mem::take(&mut self.covered);
        // What came meanwhile without a promise of its own waited for that write, too.
        let later = self.waiting.iter().skip(covered);
        let free = covered + later.take_while(|output| !matches!(output, Output::Persist)).count();
        let mut now: Vec<Output> = self.waiting.drain(..free).collect();
        now.retain(|output| self.may_happen(output));
        now
    }

    fn waits(&self, output: &Output) -> bool {
        match output {
            Output::Persist => true,
            _ if self.waiting.is_empty() => false,
            Output::Send { packet, .. } => is_promise(packet) || self.says_other(packet),
            Output::Close { link } => self
                .waiting
                .iter()
                .any(|output| matches!(output, Output::Send { link: other, .. } if other == link)),
            _ => false,
        }
    }

    /// Whether a packet says something else of the sender than the file does.
    fn says_other(&self, packet: &Packet) -> bool {
        let header = packet.header.as_deref();
        header.is_some_and(|header| self.kept.as_ref().is_none_or(|kept| !kept.is_in(header)))
    }

    /// Whether it may be done where nothing is waited for: a promise that could not be saved is not made.
    fn may_happen(&self, output: &Output) -> bool {
        match output {
            Output::Persist => false,
            Output::Send { packet, .. } if self.has_failed => {
                let header = packet.header.as_deref();
                let is_kept = |header| self.kept.as_ref().is_some_and(|kept| kept.covers(header));
                !is_promise(packet) && header.is_none_or(is_kept)
            }
            _ => true,
        }
    }
}

/// Whether the node must keep to what the packet is about, and could forget it.
fn is_promise(packet: &Packet) -> bool {
    matches!(packet.body, Body::Vote | Body::VoteRequest | Body::Update { .. })
}

#[cfg(test)]
mod tests;
