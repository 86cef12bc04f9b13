//! What goes wrong.

use fastrand::Rng;
use highwater::cluster::core::{OpenSlot, PeerIx};
use highwater::keyspace::Slot;

use crate::clients::MOVED_SLOTS;
use crate::events::Event;
use crate::network::Message;
use crate::world::{Plan, World};

/// The move of a slot from one primary to another, in the steps of `redis-cli --cluster reshard`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    slot: Slot,
    source: usize,
    target: usize,
    /// The next one.
    step: u8,
}

impl World {
    /// Who is the primary of machine `at`'s shard, as the node itself sees it: its own machine where it is a primary.
    pub(crate) fn primary_of(&self, at: usize) -> Option<usize> {
        let core = self.core(at)?;
        let Some(primary) = core.peers().me().primary else { return Some(at) };
        let peer = &core.peers()[primary];
        self.machine_of(peer.host, peer.ports.bus)
    }

    /// A running replica, and its primary.
    pub(crate) fn some_replica(&self) -> (usize, usize) {
        let follows = |at: usize| self.primary_of(at).filter(|primary| *primary != at);
        let mut found = (0..self.machines.len()).filter_map(|at| Some((at, follows(at)?)));
        found.next().expect("there are replicas")
    }

    /// Machines that run and are primaries with slots.
    pub(crate) fn primaries(&self) -> Vec<usize> {
        let votes = |at: &usize| self.core(*at).is_some_and(|core| core.peers().me().votes());
        (0..self.machines.len()).filter(votes).collect()
    }

    /// Starts a machine again after a while.
    pub(crate) fn start_later(&mut self, at: usize, (from_ms, to_ms): (u64, u64)) {
        let after_us = self.between((from_ms * 1000, to_ms * 1000));
        self.later(after_us, Event::Start(at));
    }

    /// Nobody in `some` reaches anybody else, or is reached; with `one_way` only the former.
    pub(crate) fn part(&mut self, some: &[usize], one_way: bool) {
        for from in 0..self.machines.len() {
            for to in 0..self.machines.len() {
                let (out, back) = (some.contains(&from), some.contains(&to));
                if out != back && (out || !one_way) {
                    self.net.block(from, to, true);
                }
            }
        }
        if self.traces {
            eprintln!("{:>10.3} {some:?} are cut off", self.now_us as f64 / 1000.0);
        }
    }

    /// All reach each other again. What was stalled goes on, or its connection has broken.
    pub(crate) fn join(&mut self) {
        self.net.unblock_all();
        if self.traces {
            eprintln!("{:>10.3} all reach each other", self.now_us as f64 / 1000.0);
        }
        let numbers: Vec<u64> = self.net.pipes.keys().copied().collect();
        for number in numbers {
            let pipe = self.net.pipes.get_mut(&number).expect("it was listed");
            if pipe.stalled.iter().all(|stalled| stalled.is_empty()) {
                continue;
            }
            if self.rng.u8(..3) == 0 {
                self.cut(number);
            } else {
                let after_us = self.between(self.plan.delay_us);
                self.later(after_us, Event::Flush(number));
            }
        }
    }

    /// A connection breaks; both sides hear of that in their time.
    pub(crate) fn cut(&mut self, number: u64) {
        let pipe = self.net.pipes.get_mut(&number).filter(|pipe| pipe.ends[1].life > 0);
        let Some(pipe) = pipe else { return };
        pipe.is_cut = true;
        pipe.stalled.iter_mut().for_each(std::collections::VecDeque::clear);
        self.send_to(number, 0, Message::Fin);
        self.send_to(number, 1, Message::Fin);
    }

    /// Some connection breaks.
    pub(crate) fn cut_some(&mut self) {
        let numbers: Vec<u64> = self.net.pipes.keys().copied().collect();
        if !numbers.is_empty() {
            let number = numbers[self.rng.usize(..numbers.len())];
            self.cut(number);
        }
    }

    /// A connection breaks over which slots move.
    pub(crate) fn cut_jobs(&mut self) {
        let is_job = |pipe: &crate::network::Pipe| pipe.kind == crate::network::Kind::Job;
        let pipes = self.net.pipes.iter().filter(|(_, pipe)| is_job(pipe) && !pipe.is_cut);
        let numbers: Vec<u64> = pipes.map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.cut(number));
    }

    /// A process dies in some way, and is started again later.
    pub(crate) fn crash(&mut self, at: usize, down_ms: (u64, u64)) {
        if self.rng.bool() {
            self.kill(at);
        } else {
            self.power_off(at);
        }
        self.start_later(at, down_ms);
    }

    /// A process is stopped for a while.
    pub(crate) fn stop_for(&mut self, at: usize, (from_ms, to_ms): (u64, u64)) {
        self.stop(at);
        let after_us = self.between((from_ms * 1000, to_ms * 1000));
        self.later(after_us, Event::Resume(at));
    }

    /// Some machines are cut off for a while.
    pub(crate) fn part_for(&mut self, some: &[usize], one_way: bool, (from_ms, to_ms): (u64, u64)) {
        self.part(some, one_way);
        let after_us = self.between((from_ms * 1000, to_ms * 1000));
        self.later(after_us, Event::Join);
    }
}

/// What an operator may do, and what may go wrong, at random.
impl World {
    pub(crate) fn something_happens(&mut self, rng: &mut Rng) {
        let at = rng.usize(..self.machines.len());
        let most_ms = self.plan.timeout_ms * rng.u64(1..5);
        match rng.u8(..13) {
            0..=2 => self.crash(at, (1, most_ms)),
            3 => self.stop_for(at, (1, most_ms)),
            4 | 5 => {
                let some: Vec<usize> =
                    (0..self.machines.len()).filter(|_| rng.u8(..3) == 0).collect();
                self.part_for(&some, rng.u8(..4) == 0, (1, most_ms));
            }
            6 => (0..rng.usize(1..6)).for_each(|_| self.cut_some()),
            7 => self.machines[at].skew_us += rng.i64(-20_000_000..20_000_000),
            8 | 9 => self.fail_over(at, rng),
            10 => self.move_replica(at, rng),
            11 if !self.has_jobs => self.move_slot(rng),
            _ => {
                let disk = &mut self.machines[at].disk;
                disk.is_full = !disk.is_full;
            }
        }
    }

    fn fail_over(&mut self, at: usize, rng: &mut Rng) {
        let (force, takeover) = [(false, false), (true, false), (false, true)][rng.usize(..3)];
        self.trace(at, &format!("is told to fail over, force: {force}, takeover: {takeover}"));
        let epoch = self.operate(at, |core| {
            let result = core.fail_over(force, takeover);
            result.is_ok().then(|| core.config_epoch().0)
        });
        if let (true, Some(Some(epoch))) = (takeover, epoch) {
            self.check.unproven.insert(epoch);
        }
    }

    /// A replica follows another primary.
    fn move_replica(&mut self, at: usize, rng: &mut Rng) {
        let primaries = self.primaries();
        if primaries.is_empty() {
            return;
        }
        let primary = primaries[rng.usize(..primaries.len())];
        let Some(id) = self.core(primary).map(|core| core.peers().me().id) else { return };
        self.trace(at, &format!("is told to follow #{primary}"));
        self.operate(at, |core| {
            // A primary with slots refuses, and that is as it should be.
            drop(core.replicate(&id));
        });
    }

    /// A slot without keys goes to another primary.
    fn move_slot(&mut self, rng: &mut Rng) {
        let primaries = self.primaries();
        if primaries.len() < 2 {
            return;
        }
        let slot = Slot::new(rng.u16(..MOVED_SLOTS)).expect("a slot");
        let target = primaries[rng.usize(..primaries.len())];
        let is_mine = |at: &&usize| {
            self.core(**at).is_some_and(|core| core.slots().owner(slot) == Some(PeerIx::ME))
        };
        let Some(source) = primaries.iter().find(is_mine).copied() else { return };
        if source == target {
            return;
        }
        self.trace(source, &format!("gives slot {} to #{target}", slot.number()));
        self.has_moved_slots = true;
        self.go_on_moving(Move { slot, source, target, step: 0 });
    }

    /// One step of it; the next follows when the node has answered OK, which it does when its file is written.
    pub(crate) fn go_on_moving(&mut self, mut step: Move) {
        let Move { slot, source, target, .. } = step;
        let id = |at: usize| self.core(at).map(|core| core.peers().me().id);
        let (Some(from), Some(to)) = (id(source), id(target)) else { return };
        if step.step > 0 {
            let former = if step.step == 2 { source } else { target };
            if self.core(former).is_none_or(|core| core.is_saving()) {
                return;
            }
        }
        let (at, what) = match step.step {
            0 => (target, OpenSlot::Importing(from)),
            1 => (source, OpenSlot::Migrating(to)),
            2 => (target, OpenSlot::Node(to)),
            3 => (source, OpenSlot::Node(to)),
            _ => return,
        };
        if self.operate(at, |core| core.set_slot(slot, what, 0).is_ok()) == Some(true) {
            step.step += 1;
            self.later(50_000, Event::Move(step));
        }
    }

    /// What an operator does who finds slots that nobody serves, or that are open: `redis-cli --cluster fix`. A move that
    /// broke off is his to end; the nodes do not know what he wanted.
    pub(crate) fn fix_slots(&mut self) {
        let primaries = self.primaries();
        let [first, second, ..] = primaries.as_slice() else { return };
        let other = self.core(*second).expect("it runs").peers().me().id;
        for number in 0..MOVED_SLOTS {
            let slot = Slot::new(number).expect("a slot");
            let owners = primaries.iter().map(|at| {
                let core = self.core(*at).expect("it runs");
                let is_open = core.slots().migrating_to(slot).or(core.slots().importing_from(slot));
                (core.slots().owner(slot).map(|owner| core.peers()[owner].id), is_open.is_some())
            });
            let owners: Vec<_> = owners.collect();
            let is_well = owners.iter().all(|one| *one == owners[0] && !one.1 && one.0.is_some());
            if is_well {
                continue;
            }
            for at in &primaries {
                self.operate(*at, |core| core.set_slot(slot, OpenSlot::Stable, 0).is_ok());
            }
            let own = self.core(*first).expect("it runs").peers().me().id;
            self.operate(*first, |core| {
                drop(core.set_slot(slot, OpenSlot::Importing(other), 0));
                drop(core.set_slot(slot, OpenSlot::Node(own), 0));
                core.bump()
            });
        }
    }

    /// Nodes that know nobody are made a cluster: they meet along a chain, get their slots, and then their roles.
    pub(crate) fn strangers(plan: Plan, seed: u64) -> Self {
        let mut world = Self::empty(plan, seed);
        let count = world.machines.len();
        (0..count).for_each(|at| world.start(at));
        let is_loading = |world: &Self, at: usize| {
            world.node(at).is_some_and(|node| node.state.persistence.loading.is_some())
        };
        while (0..count).any(|at| is_loading(&world, at)) {
            world.run_for(100);
        }
        for at in 1..count {
            let (host, ports) = (world.machines[at].host, world.machines[at].ports);
            world.operate(at - 1, |core| core.meet(host, ports.client, ports.bus));
        }
        let primaries = world.plan.primaries;
        for at in 0..primaries {
            let own = Slot::all().filter(|slot| slot.index() * primaries / 16384 == at);
            let own: Vec<Slot> = own.collect();
            let added = world.operate(at, |core| core.add_slots(&own));
            assert_eq!(added, Some(Ok(())));
        }
        let limit_us = world.now_us + 60_000_000;
        let knows_all = |world: &Self, at: usize| {
            world.core(at).is_some_and(|core| core.peers().len() == count && core.is_ok())
        };
        while !(0..count).all(|at| knows_all(&world, at)) {
            assert!(world.now_us < limit_us, "they do not meet: {:#?}", world.ills());
            world.run_for(200);
        }
        for at in primaries..count {
            let id = world.core(at % primaries).expect("it runs").peers().me().id;
            let answer = world.operate(at, |core| core.replicate(&id));
            assert_eq!(answer, Some(Ok(())));
        }
        world.until_healed("all have their roles");
        let writers = world.plan.writers;
        world.add_writers(writers);
        world
    }
}
