//! A node as a primary: what its replicas are asked, told, and given up for.

use crate::clock::Time;
use crate::config::PrimaryAddress;
use crate::replication::failover::{Candidate, Move, Step};
use crate::replication::replicas::Stage;
use crate::state::{ClientId, Output, State};

use super::Node;

/// Asks replicas what they have got; a part of the stream.
const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

/// Tells replicas that the primary is there; a part of the stream.
const PING: &[u8] = b"*1\r\n$4\r\nping\r\n";

impl Node {
    /// Asks replicas for what they have got, if a client waits for that. Once for all clients of a batch. Whether that is
    /// in the stream now, to be handed on at once.
    #[inline]
    #[must_use]
    pub(super) fn ask_for_acks(&mut self) -> bool {
        if !self.state.replication.asks_for_acks {
            return false;
        }
        self.state.replication.asks_for_acks = false;
        let state = &self.state;
        let may_add = !state.is_being_replaced() && !state.may_be_behind();
        let is_primary = !state.is_replica() && may_add;
        let asks = self.state.replication.replicas.online_count() > 0 && is_primary;
        if asks {
            self.state.stream.append(GETACK);
        }
        asks
    }

    /// Replicas are asked what they have got.
    pub fn ask_replicas(&mut self) {
        self.state.replication.asks_for_acks = true;
        // Whether anybody was asked is no matter: who has not got it yet is waited for.
        let _asked = self.ask_for_acks();
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
        // From then on the answer to PSYNC decides, or the loss of the link.
        if failover.step == Step::InProgress {
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

    /// Closes the connections of replicas that do not follow yet.
    pub fn detach_unsynced(&mut self) {
        let State { replication, outputs, .. } = &mut self.state;
        for replica in replication.replicas.iter().filter(|one| one.stage != Stage::Online) {
            outputs.push(Output::Close { client: ClientId(replica.client) });
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
        // Who moves slots reads the stream.
        let is_alone = replication.replicas.is_empty()
            && replication.primary.is_none()
            && self.state.migrations.is_idle();
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
            || state.is_being_replaced()
            || state.shutdown_waits
            // Nothing may come behind the last snapshot.
            || state.stopping
            || state.replication.ping_due_ms > now_ms
        {
            return;
        }
        state.replication.ping_due_ms =
            now_ms + u64::from(state.config.repl_ping_replica_period) * 1000;
        state.stream.append(PING);
    }
}

#[cfg(test)]
mod tests {
    use crate::node::tests::Bench;
    use crate::replication::replicas::Stage;
    use crate::state::client::Peer;
    use crate::state::{ClientId, Output};

    /// A second connection that has become a replica with everything so far.
    fn with_replica(bench: &mut Bench) -> ClientId {
        let (own, peer) = (
            bench.client,
            Peer { address: "127.0.0.1:5".to_owned(), loopback: true, ..Peer::default() },
        );
        let client = bench.node.connect(peer, bench.clock.0).expect("there is room");
        bench.client = client;
        let replies = bench
            .run("replconf listening-port 7 capa eof capa psync2\npsync ? -1\nreplconf nosuch x");
        assert_eq!(
            replies, "+OK\r\n",
            "what a replica asks for is sent by the driver, and nothing else"
        );
        let outputs = bench.node.take_outputs();
        let feeds = |output: &Output| matches!(output, Output::Feed(feed) if feed.client == client);
        assert_eq!(outputs.iter().filter(|output| feeds(output)).count(), 1);
        bench.client = own;
        let replica = bench.node.state.replication.replicas.get_mut(client.0).expect("attached");
        replica.stage = Stage::Online;
        client
    }

    fn ack(bench: &mut Bench, replica: ClientId, offset: u64) {
        let own = std::mem::replace(&mut bench.client, replica);
        assert_eq!(bench.run(&format!("replconf ack {offset} fack {offset}")), "");
        bench.client = own;
    }

    #[test]
    fn waiting_asks_replicas_once_and_ends_with_their_acknowledgement() {
        let mut bench = Bench::new();
        let replica = with_replica(&mut bench);
        assert_eq!(bench.run("wait 0 0\nset a 1\nwait 1 0"), ":1\r\n+OK\r\n");
        assert_eq!(bench.log(), "SELECT 0\nset a 1\nREPLCONF GETACK *");
        let asked = bench.node.state.stream.end;
        let written = asked - 37;
        ack(&mut bench, replica, written - 1);
        assert_eq!(bench.node.take_outputs(), []);
        ack(&mut bench, replica, written);
        let told = Output::Push { client: bench.client, bytes: b":1\r\n".to_vec() };
        assert_eq!(bench.node.take_outputs(), [told, Output::Resume { client: bench.client }]);
        assert_eq!(
            bench.run("wait 1 0\nmulti\nset a 2\nwait 5 0\nexec"),
            ":1\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n"
        );
        let role = bench.run("role");
        assert!(role.contains("$9\r\n127.0.0.1\r\n$1\r\n7\r\n"), "{role}");
    }

    #[test]
    fn writes_are_refused_while_too_few_replicas_keep_up() {
        let mut bench = Bench::new();
        bench.run("config set min-replicas-to-write 1");
        let refused = "-NOREPLICAS Not enough good replicas to write.\r\n";
        assert_eq!(bench.run("set a 1\nget a"), format!("{refused}$-1\r\n"));
        let replica = with_replica(&mut bench);
        ack(&mut bench, replica, 0);
        assert_eq!(bench.run("set a 1"), "+OK\r\n");
        bench.clock.advance_ms(10_999);
        assert_eq!(bench.run("set a 2"), "+OK\r\n");
        bench.clock.advance_ms(1);
        assert_eq!(bench.run("set a 3"), refused);
        bench.node.disconnect(replica);
        assert!(
            bench
                .run("info replication")
                .contains("connected_slaves:0\r\nmin_slaves_good_slaves:0\r\n")
        );
    }

    #[test]
    fn replicas_hear_of_a_silent_primary_and_silent_ones_are_given_up() {
        let mut bench = Bench::new();
        bench.node.tick(bench.clock.0);
        assert_eq!(bench.log(), "", "nobody is there to be told");
        let replica = with_replica(&mut bench);
        bench.node.tick(bench.clock.0);
        assert_eq!(bench.log(), "ping");
        bench.clock.advance_ms(9_999);
        bench.node.tick(bench.clock.0);
        assert_eq!(bench.log(), "");
        bench.clock.advance_ms(51_001);
        bench.node.tick(bench.clock.0);
        assert_eq!(bench.log(), "ping");
        bench.node.state.stopping = true;
        bench.clock.advance_ms(60_000);
        bench.node.tick(bench.clock.0);
        assert_eq!(bench.log(), "", "the last snapshot has been begun");
        assert!(bench.node.take_outputs().contains(&Output::Close { client: replica }));
    }

    #[test]
    fn a_failover_holds_writes_until_a_replica_has_everything() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.run("failover\nfailover abort\nfailover to a\nfailover timeout 0"),
            "-ERR FAILOVER requires connected replicas.\r\n-ERR No failover in progress.\r\n\
             -ERR syntax error\r\n-ERR FAILOVER timeout must be greater than 0\r\n"
        );
        let replica = with_replica(&mut bench);
        assert_eq!(
            bench.run("set a 1\nfailover to 127.0.0.1 8\nfailover to 127.0.0.1 7 force\nfailover timeout 500\nfailover\nset a 2"),
            "+OK\r\n-ERR FAILOVER target HOST and PORT is not a replica.\r\n\
             -ERR FAILOVER with force option requires both a timeout and target HOST and IP.\r\n\
             +OK\r\n-ERR FAILOVER already in progress.\r\n",
            "the write waits"
        );
        bench.node.tick(bench.clock.0);
        assert!(!bench.node.state.is_replica(), "it lacks something");
        let end = bench.node.state.stream.end;
        ack(&mut bench, replica, end);
        bench.node.take_outputs();
        bench.node.tick(bench.clock.0);
        assert!(bench.node.state.is_replica());
        let id = bench.node.state.stream.id.clone();
        bench.node.goes_on(Some("b".repeat(40)));
        let outputs = bench.node.take_outputs();
        assert!(outputs.contains(&Output::Resume { client: bench.client }), "{outputs:?}");
        assert_eq!(bench.node.state.stream.former, Some((id, end)));
        assert!(bench.run("info replication").contains("master_failover_state:no-failover"));
    }

    #[test]
    fn a_failover_that_takes_too_long_leaves_a_primary() {
        let mut bench = Bench::new();
        with_replica(&mut bench);
        assert_eq!(bench.run("failover timeout 500\nset a 1"), "+OK\r\n");
        bench.clock.advance_ms(500);
        bench.node.tick(bench.clock.0);
        assert!(!bench.node.state.is_replica());
        assert!(bench.node.take_outputs().contains(&Output::Resume { client: bench.client }));
        assert_eq!(bench.run("set a 1"), "+OK\r\n");
    }
}
