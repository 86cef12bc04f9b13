//! What has to hold in the end: when nothing goes wrong any more, the cluster is whole again within a bound.

use highwater::clock::ManualClock;
use highwater::cluster::NodeId;
use highwater::cluster::core::{Guard, PeerIx};
use highwater::cluster::packet::flags;
use highwater::keyspace::Slot;
use highwater::resp::inline::{encode, split_words};
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::client::Peer;

use crate::world::World;

/// Healing takes so many timeouts at most, and what does not depend on them.
const HEALS_IN_TIMEOUTS: u64 = 10;
const HEALS_IN_MS: u64 = 20_000;

/// With slots on their way: a source that has gone for good is given up after a minute, a target that was not told of the end
/// forgets after a minute, and one may follow the other.
const JOBS_END_IN_MS: u64 = 150_000;

/// Between two looks.
const LOOK_MS: u64 = 500;

/// First slots and owners of ranges; nodes and whom they follow.
type View = (Vec<(u16, NodeId)>, Vec<(NodeId, Option<NodeId>)>);

impl World {
    /// Nothing goes wrong any more.
    pub(crate) fn end_faults(&mut self) {
        self.plan.failing_saves = 0;
        for at in 0..self.machines.len() {
            self.machines[at].disk.is_full = false;
            self.resume(at);
            self.start(at);
        }
        self.join();
    }

    /// Ends all faults; then everything has to come right by itself, and stay so.
    pub(crate) fn heal(&mut self) {
        self.end_faults();
        if self.has_moved_slots {
            self.run_for(3 * self.plan.timeout_ms + 5000);
            self.fix_slots();
        }
        self.until_healed("the faults are over");
        self.writers.rest = true;
        // Whoever still waits hears of it.
        self.run_for(5000);
        self.until_healed("the writers rest");
        // A PING of the stream may be on its way.
        let looks = (0..10).find(|_| {
            self.run_for(100);
            (0..self.machines.len()).all(|at| self.has_everything(at))
        });
        if looks.is_none() && self.traces {
            eprintln!("not all have everything");
        }
        self.check_equal();
    }

    /// Each key is with the owner of its slot alone.
    pub(crate) fn check_places(&self) {
        for at in 0..self.machines.len() {
            let core = self.core(at).expect("it runs");
            if core.peers().me().is_replica() {
                continue;
            }
            let keyspace = &self.node(at).expect("it runs").state.keyspace;
            let foreign = Slot::all().filter(|slot| core.slots().owner(*slot) != Some(PeerIx::ME));
            let left: Vec<Slot> = foreign.filter(|slot| keyspace.has_keys_in([*slot])).collect();
            assert_eq!(left, [], "#{at} has keys of slots that are another's");
        }
    }

    /// Lets time pass until somebody has taken the place of a dead primary.
    ///
    /// # Panics
    /// If that takes too long.
    pub(crate) fn until_elected(&mut self, former: usize) {
        let (host, bus) = (self.machines[former].host, self.machines[former].ports.bus);
        let limit_ms = HEALS_IN_TIMEOUTS * self.plan.timeout_ms + HEALS_IN_MS;
        let limit_us = self.now_us + limit_ms * 1000;
        let observer = self.primaries()[0];
        while self
            .core(observer)
            .expect("it runs")
            .peers()
            .iter()
            .any(|(_, peer)| peer.host == host && peer.ports.bus == bus && peer.votes())
        {
            assert!(self.now_us < limit_us, "nobody is elected in {limit_ms} ms");
            self.run_for(LOOK_MS);
        }
    }

    /// Lets time pass until the cluster is whole.
    ///
    /// # Panics
    /// If that takes too long.
    pub(crate) fn until_healed(&mut self, since: &str) {
        let began_us = self.now_us;
        let limit_ms = HEALS_IN_TIMEOUTS * self.plan.timeout_ms + HEALS_IN_MS;
        let limit_ms = limit_ms + if self.has_jobs { JOBS_END_IN_MS } else { 0 };
        loop {
            let ills = self.ills();
            if ills.is_empty() {
                return;
            }
            let passed_ms = (self.now_us - began_us) / 1000;
            assert!(passed_ms <= limit_ms, "{passed_ms} ms since {since}:\n{}", ills.join("\n"));
            self.run_for(LOOK_MS);
        }
    }

    /// What is not as it should be.
    pub(crate) fn ills(&self) -> Vec<String> {
        let mut ills = Vec::new();
        for at in 0..self.machines.len() {
            self.ills_of(at, &mut ills);
        }
        if ills.is_empty() {
            let views: Vec<_> = (0..self.machines.len()).map(|at| self.view(at)).collect();
            for (at, view) in views.iter().enumerate().skip(1) {
                if *view != views[0] {
                    ills.push(format!("#{at} sees {view:?}, #0 sees {:?}", views[0]));
                }
            }
        }
        ills
    }

    fn ills_of(&self, at: usize, ills: &mut Vec<String>) {
        let Some(core) = self.core(at).filter(|_| !self.machines[at].is_stopped) else {
            return ills.push(format!("#{at} does not run"));
        };
        let state = &self.node(at).expect("it runs").state;
        let mut say = |what: String| ills.push(format!("#{at} {what}"));
        if !core.is_ok() {
            let assigned = core.slots().assigned();
            say(format!("is not ok: {assigned} slots, guard {:?}", core.guard()));
        }
        if core.guard() != Guard::Clear {
            say("guards its replicas".to_owned());
        }
        if state.persistence.loading.is_some() {
            say("is loading".to_owned());
        }
        for job in state.migrations.iter() {
            say(format!("has {:?} of {:?}: {}", job.stage, job.name, job.message));
        }
        let hidden = state.keyspace.hidden().count();
        if hidden > 0 {
            say(format!("hides {hidden} slots"));
        }
        if self.has_jobs && !self.has_moved_slots && core.slots().has_open() {
            say("has open slots".to_owned());
        }
        if core.peers().len() != self.machines.len() {
            say(format!("knows {} nodes", core.peers().len()));
        }
        let wrong = flags::PFAIL | flags::FAIL | flags::HANDSHAKE | flags::NOADDR;
        for (place, peer) in core.peers().iter() {
            if place != PeerIx::ME && peer.is(wrong) {
                say(format!("has {:?} with flags {:x}", peer.id, peer.flags));
            }
            if peer.is_replica() == peer.primary.is_none() {
                say(format!("has {:?} with primary {:?}", peer.id, peer.primary));
            }
        }
        if let Some(primary) = core.peers().me().primary {
            let (host, bus) = (core.peers()[primary].host, core.peers()[primary].ports.bus);
            match self.machine_of(host, bus) {
                Some(primary) => self.ills_of_link(at, primary, ills),
                None => say("follows nobody that there is".to_owned()),
            }
        }
    }

    fn ills_of_link(&self, at: usize, primary: usize, ills: &mut Vec<String>) {
        let Some(other) = self.node(primary) else { return };
        let state = &self.node(at).expect("it runs").state;
        let link = state.replication.primary.as_ref().map(|one| &one.link);
        if !link.is_some_and(|link| link.is_online()) {
            ills.push(format!(
                "#{at} is not linked to #{primary}: {:?}",
                link.map(|one| one.name())
            ));
        } else if state.stream.id != other.state.stream.id {
            ills.push(format!("#{at} has another history than #{primary}"));
        }
    }

    /// Who owns what, in a node's view, and who follows whom.
    fn view(&self, at: usize) -> View {
        let core = self.core(at).expect("it runs");
        let peers = core.peers();
        let ranges = core.slots().ranges();
        let owners = ranges.iter().map(|(first, _, owner)| (first.number(), peers[*owner].id));
        let mut roles: Vec<(NodeId, Option<NodeId>)> = peers
            .iter()
            .map(|(_, peer)| (peer.id, peer.primary.map(|primary| peers[primary].id)))
            .collect();
        roles.sort();
        (owners.collect(), roles)
    }

    /// Whether a node's log is as long as its primary's.
    fn has_everything(&self, at: usize) -> bool {
        let end = |at: usize| self.machines[at].disk.log.end();
        self.primary_of(at).is_some_and(|primary| end(primary) == end(at))
    }

    /// A replica holds what its primary holds: equal data, and the same log to the byte.
    pub(crate) fn check_equal(&mut self) {
        for at in 0..self.machines.len() {
            let core = self.core(at).expect("it runs");
            let Some(primary) = core.peers().me().primary else { continue };
            let (host, bus) = (core.peers()[primary].host, core.peers()[primary].ports.bus);
            let primary = self.machine_of(host, bus).expect("a machine");
            // A PING that the primary has just made may not have reached anything yet.
            let ends = [at, primary].map(|at| self.machines[at].disk.log.end());
            assert_eq!(ends[0], ends[1], "#{at} has not what #{primary} has");
            let logs = [at, primary].map(|at| &self.machines[at].disk.log.bytes);
            let parted = logs[0].iter().zip(logs[1]).position(|(one, other)| one != other);
            let shown = |log: &[u8]| {
                let from = parted.unwrap_or(0).saturating_sub(60);
                String::from_utf8_lossy(&log[from..log.len().min(from + 150)]).into_owned()
            };
            let shown = logs.map(|log| shown(log));
            assert_eq!(parted, None, "the logs of #{at} and #{primary} differ: {shown:?}");
            assert_eq!(logs[0].len(), logs[1].len(), "of #{at} and #{primary}");
            let digests = [at, primary].map(|at| self.run(at, "debug digest"));
            assert_eq!(digests[0], digests[1], "the data of #{at} and #{primary} differ");
        }
    }

    /// What a node answers to a command.
    pub(crate) fn run(&mut self, at: usize, line: &str) -> String {
        let words = split_words(line.as_bytes()).expect("balanced");
        let bytes = encode(&words);
        let mut requests = Requests::default();
        let limits = RequestLimits::default();
        RequestParser::default().parse(&bytes, limits, &mut requests).expect("a request");
        let mut out = Vec::new();
        let mut clock = ManualClock(self.time(at));
        self.with(at, |node, time| {
            let client = node.connect(Peer::default(), time).expect("there is room");
            node.execute(client, (&requests, &bytes), 0, &mut out, &mut clock);
            node.disconnect(client);
        });
        String::from_utf8_lossy(&out).into_owned()
    }
}
