//! FAILOVER: a primary hands its place to one of its replicas, and follows it from then on.
//!
//! ```text
//!   none --FAILOVER--> WaitingForSync --a replica has everything, or the time is over and FORCE--> InProgress --> none
//!                            |                                                                        |
//!                            +--- time is over, ABORT --> none              refused, lost: primary again
//! ```
//!
//! Writes wait from the first step to the last, so the replica that has everything goes on having it.

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Writes wait; the replica catches up.
    WaitingForSync,
    /// The replica is asked to take over.
    InProgress,
}

/// A failover that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// The replica that takes over; none: the first that has everything.
    pub target: Option<(String, u16)>,
    /// Goes on without waiting any longer when the time is over.
    pub force: bool,
    /// When that is, monotonic milliseconds.
    pub deadline_ms: Option<u64>,
    /// How far it has come.
    pub step: Step,
}

/// An attached replica, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Where it listens.
    pub address: (&'a str, u16),
    /// Offset that it has acknowledged.
    pub acked: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Nothing yet.
    Wait,
    /// Follow this replica, and have it take over.
    Follow((String, u16)),
    /// Give up.
    Abort,
}

impl Failover {
    /// What is to be done while the replica catches up. `end` is the offset of the node's history.
    pub fn next<'a>(
        &self,
        now_ms: u64,
        end: u64,
        candidates: impl Iterator<Item = Candidate<'a>>,
    ) -> Move {
        if self.step == Step::InProgress {
            return Move::Wait;
        }
        let is_target = |candidate: &Candidate<'_>| match &self.target {
            Some((host, port)) => candidate.address == (host.as_str(), *port),
            None => true,
        };
        let mut fitting = candidates.filter(is_target);
        let chosen = fitting.find(|candidate| candidate.acked == end);
        if let Some(candidate) = chosen {
            let (host, port) = candidate.address;
            return Move::Follow((host.to_owned(), port));
        }
        match (self.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms), &self.target) {
            (false, _) => Move::Wait,
            (true, Some(target)) if self.force => Move::Follow(target.clone()),
            (true, _) => Move::Abort,
        }
    }

    /// As INFO says it.
    #[must_use]
    pub fn name(failover: Option<&Failover>) -> &'static str {
        match failover.map(|failover| failover.step) {
            None => "no-failover",
            Some(Step::WaitingForSync) => "waiting-for-sync",
            Some(Step::InProgress) => "failover-in-progress",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failover(target: Option<u16>, force: bool) -> Failover {
        let target = target.map(|port| ("a".to_owned(), port));
        Failover { target, force, deadline_ms: Some(1000), step: Step::WaitingForSync }
    }

    fn next(failover: &Failover, now_ms: u64, acked: [u64; 2]) -> Move {
        let candidate = |(port, acked)| Candidate { address: ("a", port), acked };
        failover.next(now_ms, 50, [1, 2].into_iter().zip(acked).map(candidate))
    }

    #[test]
    fn the_first_that_has_everything_is_followed() {
        let any = failover(None, false);
        assert_eq!(next(&any, 0, [49, 49]), Move::Wait);
        assert_eq!(next(&any, 0, [49, 50]), Move::Follow(("a".to_owned(), 2)));
        let first = failover(Some(1), false);
        assert_eq!(next(&first, 0, [49, 50]), Move::Wait);
        assert_eq!(next(&first, 0, [50, 50]), Move::Follow(("a".to_owned(), 1)));
    }

    #[test]
    fn time_ends_the_wait_one_way_or_the_other() {
        assert_eq!(next(&failover(Some(1), false), 1000, [0, 0]), Move::Abort);
        assert_eq!(next(&failover(Some(1), true), 999, [0, 0]), Move::Wait);
        assert_eq!(next(&failover(Some(1), true), 1000, [0, 0]), Move::Follow(("a".to_owned(), 1)));
        let running = Failover { step: Step::InProgress, ..failover(None, false) };
        assert_eq!(next(&running, 2000, [50, 50]), Move::Wait);
    }
}
