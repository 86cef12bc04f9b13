//! A node as a primary: what its replicas are asked, told, and given up for.

use crate::clock::Time;
use crate::config::PrimaryAddress;
use crate::replication::failover::{Candidate, Move, Step};
use crate::replication::replicas::Stage;
use crate::state::{ClientId, Output};

use super::Node;

/// Asks replicas what they have got; a part of the stream.
const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

/// Tells replicas that the primary is there; a part of the stream.
const PING: &[u8] = b"*1\r\n$4\r\nping\r\n";

impl Node {
    /// Asks replicas for what they have got, if a client waits for that. Once for all clients of a batch.
    #[inline]
    pub(super) fn ask_for_acks(&mut self) {
        if !self.state.replication.asks_for_acks {
            return;
        }
        self.state.replication.asks_for_acks = false;
        if self.state.replication.replicas.online_count() > 0 && !self.state.is_replica() {
            self.state.stream.append(GETACK);
        }
    }

    /// A connection is gone that may have been a replica's.
    pub(super) fn replica_is_gone(&mut self, id: ClientId) {
        if self.state.replication.replicas.detach(id.0) {
            let text = format!("Connection with replica client id #{} lost.", id.0);
            self.state.outputs.push(super::note(text));
            self.state.replication.alone_since_ms = self.state.time.mono_us / 1000;
        }
    }

    /// A failover goes on, or comes to its end.
    pub(super) fn tick_failover(&mut self, time: Time) {
        let now_ms = time.mono_us / 1000;
        let replication = &self.state.replication;
        let Some(failover) = &replication.failover else { return };
        if failover.step == Step::InProgress {
            if failover.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
                self.state.abort_failover("the replica did not take over in time");
            }
            return;
        }
        let online = replication.replicas.iter().filter(|one| one.stage == Stage::Online);
        let candidates = online.map(|replica| Candidate {
            address: (&replica.ip, replica.port),
            acked: replica.acked,
        });
        match failover.next(now_ms, self.state.stream.end, candidates) {
            Move::Wait => {}
            Move::Abort => self.state.abort_failover("no replica has caught up in time"),
            Move::Follow((host, port)) => {
                let text = format!("Failover target is {host}:{port}: it is asked to take over");
                self.state.outputs.push(super::note(text));
                if let Some(failover) = &mut self.state.replication.failover {
                    failover.step = Step::InProgress;
                }
                let address = PrimaryAddress { host, port };
                self.state.config.values_mut().replicaof = Some(address.clone());
                self.state.set_primary(Some(address));
            }
        }
    }

    /// How many replicas lack something, going by what they have acknowledged: they do so once a second.
    pub fn lagging_replicas(&mut self) -> usize {
        let end = self.state.stream.end;
        let replicas = &self.state.replication.replicas;
        replicas.online_count() - replicas.acked(end)
    }

    /// Whether nobody has wanted the stream for `repl-backlog-ttl`, so that it need not be kept in memory. A replica keeps
    /// it: it may be promoted.
    pub fn stream_is_unwanted(&self) -> bool {
        let replication = &self.state.replication;
        let ttl_ms = self.state.config.repl_backlog_ttl.saturating_mul(1000);
        let alone_ms = (self.state.time.mono_us / 1000).saturating_sub(replication.alone_since_ms);
        let is_alone = replication.replicas.is_empty() && replication.primary.is_none();
        replication.backlog.active && is_alone && ttl_ms > 0 && alone_ms >= ttl_ms
    }

    /// What is due for replicas: PING, and the end of those that have been silent for too long.
    pub(super) fn tick_replicas(&mut self, time: Time) {
        let now_ms = time.mono_us / 1000;
        let state = &mut self.state;
        if state.replication.replicas.is_empty() {
            return;
        }
        let timeout_s = u64::from(state.config.repl_timeout);
        let silent: Vec<(u64, String)> = state
            .replication
            .replicas
            .silent(now_ms, timeout_s)
            .map(|replica| (replica.client, format!("{}:{}", replica.ip, replica.port)))
            .collect();
        for (client, address) in silent {
            let text = format!("Disconnecting timedout replica (streaming sync): {address}");
            state.outputs.push(super::warning(text));
            state.outputs.push(Output::Close { client: ClientId(client) });
        }
        // A replica hands on the PINGs of its own primary. A replica that takes over must have everything.
        if state.is_replica()
            || state.replication.failover.is_some()
            || state.shutdown_waits
            || state.replication.ping_due_ms > now_ms
        {
            return;
        }
        state.replication.ping_due_ms =
            now_ms + u64::from(state.config.repl_ping_replica_period) * 1000;
        state.stream.append(PING);
    }
}
