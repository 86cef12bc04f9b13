//! How much may wait in a client's output before its connection is closed: `client-output-buffer-limit`.

use crate::clock::Time;
use crate::config::special::OutputLimit;

use super::{Client, ClientId, State};

/// What is to become of a client, for what waits in its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputVerdict {
    /// Nothing.
    Keep,
    /// The hard limit is passed, or the soft limit has been for too long: close the connection.
    Close,
}

impl Client {
    /// Compares `bytes` of waiting output with the limits of its class and remembers since when the soft one is passed.
    /// Call it whenever the output has grown, and in each tick.
    pub fn output_verdict(&mut self, limit: OutputLimit, bytes: u64, time: Time) -> OutputVerdict {
        if limit.hard > 0 && bytes >= limit.hard {
            return OutputVerdict::Close;
        }
        if limit.soft == 0 || bytes < limit.soft {
            self.soft_limit_since_ms = None;
            return OutputVerdict::Keep;
        }
        let since_ms = *self.soft_limit_since_ms.get_or_insert(time.mono_ms());
        let over_ms = time.mono_ms().saturating_sub(since_ms);
        if over_ms > limit.soft_seconds.saturating_mul(1000) {
            OutputVerdict::Close
        } else {
            OutputVerdict::Keep
        }
    }
}

impl State {
    /// The limits of a client. Connections that MONITOR count as ordinary ones, as in stock servers since 3.0.
    pub fn output_limit(&self, client: &Client) -> OutputLimit {
        let limits = &self.config.client_output_buffer_limit;
        if client.subscriptions.any() { limits.pubsub } else { limits.normal }
    }

    /// Judges `bytes` of waiting output of client `id`, and counts it where the connection is to be closed ([`State::kill`]).
    pub fn judge_output(&mut self, id: ClientId, bytes: u64) -> OutputVerdict {
        let time = self.time;
        let Some(limit) = self.clients.get(id).map(|client| self.output_limit(client)) else {
            return OutputVerdict::Keep;
        };
        let Some(client) = self.clients.get_mut(id) else { return OutputVerdict::Keep };
        let verdict = client.output_verdict(limit, bytes, time);
        if verdict == OutputVerdict::Close && !client.killed {
            self.stats.output_limit_disconnections += 1;
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::client::Peer;

    fn at_s(seconds: u64) -> Time {
        Time { unix_us: seconds * 1_000_000, mono_us: seconds * 1_000_000 }
    }

    /// Plays (second, bytes) and returns the second at which the client is closed.
    fn closed_at(limit: OutputLimit, play: &[(u64, u64)]) -> Option<u64> {
        let mut client = Client::new(ClientId(1), Peer::default(), true, at_s(0));
        let mut closes = |&(second, bytes): &(u64, u64)| {
            client.output_verdict(limit, bytes, at_s(second)) == OutputVerdict::Close
        };
        play.iter().find(|step| closes(step)).map(|(second, _)| *second)
    }

    #[test]
    fn the_hard_limit_closes_at_once() {
        let limit = OutputLimit { hard: 100, soft: 0, soft_seconds: 0 };
        assert_eq!(closed_at(limit, &[(1, 99), (2, 100)]), Some(2));
        let none = OutputLimit { hard: 0, soft: 0, soft_seconds: 0 };
        assert_eq!(closed_at(none, &[(1, u64::MAX)]), None);
    }

    #[test]
    fn the_soft_limit_closes_after_its_time() {
        let limit = OutputLimit { hard: 0, soft: 50, soft_seconds: 10 };
        assert_eq!(closed_at(limit, &[(1, 60), (11, 60), (12, 60)]), Some(12));
        let relief = [(1, 60), (9, 49), (12, 60), (22, 60)];
        assert_eq!(closed_at(limit, &relief), None, "the time starts again");
    }
}
