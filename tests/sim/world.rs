//! All machines, and the moments at which something happens to them.

use std::collections::BTreeMap;

use fastrand::Rng;
use highwater::clock::Time;
use highwater::cluster::Cluster;
use highwater::node::Node;

use crate::check::Checks;
use crate::clients::Writers;
use crate::events::{Event, Own, Process};
use crate::machine::Machine;
use crate::network::Network;

/// The first moment, microseconds since 1970.
const EPOCH_US: u64 = 1_700_000_000_000_000;

/// What `appendfsync` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Always,
    Everysec,
}

/// What a world is like.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) primaries: usize,
    /// Of each primary.
    pub(crate) replicas: usize,
    pub(crate) timeout_ms: u64,
    /// A message's way, from and to.
    pub(crate) delay_us: (u64, u64),
    /// What the disk takes for a save or a sync.
    pub(crate) disk_us: (u64, u64),
    /// From a write to its being appended to the log.
    pub(crate) commit_us: (u64, u64),
    /// From the start of a process to its having loaded its log.
    pub(crate) load_us: (u64, u64),
    /// Packets become bytes on their way.
    pub(crate) encodes: bool,
    /// All machines are one host: a dead process refuses connections.
    pub(crate) is_one_host: bool,
    pub(crate) policy: Policy,
    pub(crate) writers: usize,
    /// Writers write to the slot of this tag alone.
    pub(crate) tag: Option<&'static str>,
    /// Of a thousand saves so many fail.
    pub(crate) failing_saves: u32,
    /// Of so many saves one is read back.
    pub(crate) reload_share: u8,
}

impl Plan {
    /// A world of shards where everything is quick.
    pub(crate) fn new(primaries: usize, replicas: usize) -> Self {
        Self {
            primaries,
            replicas,
            timeout_ms: 1000,
            delay_us: (50, 3000),
            disk_us: (100, 8000),
            commit_us: (0, 0),
            load_us: (0, 0),
            encodes: false,
            is_one_host: false,
            policy: Policy::Everysec,
            writers: 3,
            tag: None,
            failing_saves: 0,
            reload_share: 8,
        }
    }

    /// One of the many that a number stands for.
    pub(crate) fn random(rng: &mut Rng, primaries: usize, replicas: usize) -> Self {
        let mut plan = Self::new(primaries, replicas);
        plan.timeout_ms = rng.u64(5..=20) * 100;
        plan.encodes = rng.u8(..4) == 0;
        plan.is_one_host = rng.bool();
        plan.policy = if rng.bool() { Policy::Always } else { Policy::Everysec };
        if rng.bool() {
            plan.commit_us = (0, rng.u64(1..4000));
        }
        if rng.bool() {
            plan.load_us = (0, rng.u64(1..3_000_000));
        }
        plan
    }

    pub(crate) fn machines(&self) -> usize {
        self.primaries * (1 + self.replicas)
    }
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) now_us: u64,
    pub(crate) rng: Rng,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(crate) machines: Vec<Machine>,
    pub(crate) net: Network,
    pub(crate) writers: Writers,
    pub(crate) check: Checks,
    pub(crate) traces: bool,
    /// An operator has moved slots.
    pub(crate) has_moved_slots: bool,
    /// An operator has had nodes move slots as a whole.
    pub(crate) has_jobs: bool,
}

impl World {
    /// Machines that have never been started.
    pub(crate) fn empty(plan: Plan, seed: u64) -> Self {
        let machines = (0..plan.machines()).map(|index| Machine::new(index, &plan)).collect();
        Self {
            now_us: 0,
            rng: Rng::with_seed(seed),
            queue: BTreeMap::new(),
            sequence: 0,
            machines,
            net: Network::new(plan.machines()),
            writers: Writers::default(),
            check: Checks::default(),
            traces: std::env::var_os("TRACE").is_some(),
            has_moved_slots: false,
            has_jobs: false,
            plan,
        }
    }

    /// A cluster that an operator has made before the world began.
    pub(crate) fn formed(plan: Plan, seed: u64) -> Self {
        let mut world = Self::empty(plan, seed);
        let confs = crate::machine::confs(&world.plan, &mut world.rng);
        for (index, conf) in confs.into_iter().enumerate() {
            world.machines[index].disk.conf = Some(conf);
            world.start(index);
        }
        world.until_healed("the cluster forms");
        let writers = world.plan.writers;
        world.add_writers(writers);
        world
    }

    pub(crate) fn time(&self, at: usize) -> Time {
        let machine = &self.machines[at];
        Time {
            unix_us: (EPOCH_US + self.now_us).saturating_add_signed(machine.skew_us),
            mono_us: self.now_us - machine.born_us,
        }
    }

    pub(crate) fn between(&mut self, (from, to): (u64, u64)) -> u64 {
        self.rng.u64(from..=to)
    }

    /// Has something happen `after_us` from now.
    pub(crate) fn later(&mut self, after_us: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now_us + after_us, self.sequence), event);
    }

    pub(crate) fn process(&self, at: usize) -> Process {
        Process { machine: at, life: self.machines[at].life }
    }

    /// Has something happen to a machine's present process.
    pub(crate) fn later_of(&mut self, at: usize, after_us: u64, own: Own) {
        let process = self.process(at);
        self.later(after_us, Event::Of(process, own));
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, ms: u64) {
        let end_us = self.now_us + ms * 1000;
        while let Some((&(at_us, number), _)) = self.queue.first_key_value() {
            if at_us > end_us {
                break;
            }
            let event = self.queue.remove(&(at_us, number)).expect("it is the first");
            self.now_us = at_us;
            self.happens(event);
        }
        self.now_us = end_us;
    }

    pub(crate) fn happens(&mut self, event: Event) {
        match event {
            Event::Of(process, own) => self.happens_to(process, own),
            Event::Reach(pipe) => self.reach(pipe),
            Event::Arrive { pipe, side, message } => self.arrive(pipe, side, message),
            Event::Flush(pipe) => self.flush(pipe),
            Event::Move(step) => self.go_on_moving(step),
            Event::Asked { machine, request } => self.asked(machine, request),
            Event::Answered { writer, number, outcome } => self.answered(writer, number, outcome),
            Event::Write(writer) => self.write(writer),
            Event::Start(at) => self.start(at),
            Event::Resume(at) => self.resume(at),
            Event::Join => self.join(),
            Event::Unpack(parcel) => self.unpack(parcel),
            Event::Arrived { source, number, arrived } => self.arrived(source, number, &arrived),
            Event::GiveUp(source, number) => self.give_up(source, number),
        }
    }

    fn happens_to(&mut self, process: Process, own: Own) {
        let at = process.machine;
        if self.machines[at].life != process.life || self.machines[at].node.is_none() {
            return;
        }
        if self.machines[at].is_stopped {
            self.machines[at].frozen.push(Event::Of(process, own));
            return;
        }
        match own {
            Own::Tick => self.tick(at),
            Own::Accept(pipe) => self.accept(at, pipe),
            Own::Opened { pipe, is_open, is_refused } => self.opened(at, pipe, is_open, is_refused),
            Own::Received { pipe, side, message } => self.received(at, pipe, side, message),
            Own::Saved { written, number } => self.saved(at, written, number),
            Own::SaveDue => self.save_due(at),
            Own::Commit => self.commit(at),
            Own::Synced(marks) => self.synced(at, marks),
            Own::SyncDue => self.sync_due(at),
            Own::Loaded => self.loaded(at),
            Own::Turn { task, turn } => self.turn(at, task, turn),
        }
    }

    /// Lets a machine's node do something, and does what follows.
    pub(crate) fn with<T>(&mut self, at: usize, run: impl FnOnce(&mut Node, Time) -> T) -> T {
        let time = self.time(at);
        let node = self.machines[at].node.as_mut().expect("it runs");
        let result = run(node, time);
        self.after(at);
        result
    }

    pub(crate) fn node(&self, at: usize) -> Option<&Node> {
        self.machines[at].node.as_ref()
    }

    /// What a running node knows of its cluster.
    pub(crate) fn core(&self, at: usize) -> Option<&Cluster> {
        self.node(at).and_then(|node| node.state.cluster.as_ref()).map(|one| &one.core)
    }

    /// An operator's command.
    pub(crate) fn operate<T>(
        &mut self,
        at: usize,
        run: impl FnOnce(&mut Cluster) -> T,
    ) -> Option<T> {
        self.machines[at].node.as_ref()?;
        self.with(at, |node, time| {
            node.state.time = time;
            let result = node.state.change_cluster(run);
            node.settle_cluster();
            result
        })
    }

    pub(crate) fn trace(&self, at: usize, text: &str) {
        if self.traces {
            eprintln!("{:>10.3} #{at} {text}", self.now_us as f64 / 1000.0);
        }
    }
}
