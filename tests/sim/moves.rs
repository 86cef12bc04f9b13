//! MIGRATE between machines: what a driver does with it, and an operator who moves a slot key by key while nodes die.
//!
//! The target's client is a connection like any other: its requests may wait there, its replies wait for the log. What has
//! not been executed when the source has given up, or is gone, is lost with the connection.

use fastrand::Rng;
use highwater::clock::ManualClock;
use highwater::cluster::core::OpenSlot;
use highwater::commands::dump::{encoder_options, payload};
use highwater::keyspace::Slot;
use highwater::resp::inline::encode;
use highwater::resp::{CommandError, RequestLimits, RequestParser, Requests};
use highwater::state::ClientId;
use highwater::state::client::Peer;

use crate::clients::{Connection, MOVED_SLOTS, Outcome};
use crate::events::{Event, Process};
use crate::seeds::{number, play};
use crate::world::{Plan, Policy, World};

/// A MIGRATE that hears nothing for so long gives up.
const TIMEOUT_US: u64 = 1_000_000;

const GIVEN_UP: CommandError = CommandError::new("IOERR given up");

/// Keys on their way.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    /// Who sent them.
    source: Process,
    /// Which of its moves they belong to.
    number: u64,
    target: usize,
    /// Their numbers in it.
    keys: Vec<usize>,
    /// Requests for the target.
    bytes: Vec<u8>,
}

/// A parcel that a process unpacks.
#[derive(Debug)]
pub(crate) struct Unpacking {
    parcel: Parcel,
    done: usize,
    out: Vec<u8>,
    hold: u64,
}

impl World {
    /// Fetches what is next of a move and sends it.
    pub(crate) fn carry_keys(&mut self, at: usize, number: u64) {
        let source = self.process(at);
        let time = self.time(at);
        let node = self.machines[at].node.as_mut().expect("it runs");
        let Some(order) = node.move_target(number) else { return };
        let parcel = node.next_parcel(number, time).unwrap_or_default();
        if parcel.is_empty() {
            return self.with(at, |node, time| node.move_ended(number, Ok(()), time));
        }
        let options = encoder_options(&node.state.config);
        let (mut keys, mut bytes) = (Vec::new(), Vec::new());
        for (index, entry) in &parcel {
            let value = payload(&options, entry.value()).expect("it can be written");
            let words = [b"RESTORE-ASKING", entry.key(), b"0", &value, b"REPLACE"];
            bytes.extend(encode(&words));
            keys.push(*index);
        }
        let is_there = |machine: &crate::machine::Machine| {
            machine.host.as_str() == order.host && machine.ports.client == order.port
        };
        let target = self.machines.iter().position(is_there).expect("a machine");
        let delay_us = self.between(self.plan.delay_us);
        self.later(delay_us, Event::Unpack(Parcel { source, number, target, keys, bytes }));
        self.later(TIMEOUT_US, Event::GiveUp(source, number));
    }

    fn is_under_way(&self, source: Process, number: u64) -> bool {
        let machine = &self.machines[source.machine];
        let node = machine.node.as_ref().filter(|_| machine.life == source.life);
        node.is_some_and(|node| node.move_target(number).is_some())
    }

    /// Keys have come to their target.
    pub(crate) fn unpack(&mut self, parcel: Parcel) {
        let at = parcel.target;
        if !self.is_under_way(parcel.source, parcel.number) || self.machines[at].is_off {
            return;
        }
        if self.machines[at].is_stopped {
            return self.machines[at].frozen.push(Event::Unpack(parcel));
        }
        if self.machines[at].node.is_none() {
            return self.later(1, Event::GiveUp(parcel.source, parcel.number));
        }
        self.trace(at, &format!("gets {} keys of move {}", parcel.keys.len(), parcel.number));
        let client = self.with(at, |node, time| node.connect(Peer::default(), time));
        let client = client.expect("there is room");
        let unpacking = Unpacking { parcel, done: 0, out: Vec::new(), hold: 0 };
        self.machines[at].connections.insert(client, Connection::Carrier(unpacking));
        self.go_on_unpacking(at, client);
    }

    /// Runs what has not run of a parcel's requests.
    pub(crate) fn go_on_unpacking(&mut self, at: usize, client: ClientId) {
        let Some(Connection::Carrier(unpacking)) = self.machines[at].connections.get(&client)
        else {
            return;
        };
        let (done, bytes) = (unpacking.done, unpacking.parcel.bytes.clone());
        let mut requests = Requests::default();
        let limits = RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true };
        RequestParser::default().parse(&bytes, limits, &mut requests).expect("requests");
        let mut clock = ManualClock(self.time(at));
        let mut out = Vec::new();
        let node = self.machines[at].node.as_mut().expect("it runs");
        let ran = node.execute(client, (&requests, &bytes), done, &mut out, &mut clock);
        if let Some(Connection::Carrier(unpacking)) = self.machines[at].connections.get_mut(&client)
        {
            unpacking.done += ran.executed;
            unpacking.out.extend_from_slice(&out);
            unpacking.hold = unpacking.hold.max(ran.hold);
        }
        self.after(at);
        self.acknowledge_keys(at, client);
    }

    /// Tells the source what has arrived, once the log of the target has released the replies.
    pub(crate) fn acknowledge_keys(&mut self, at: usize, client: ClientId) {
        let machine = &mut self.machines[at];
        let Some(Connection::Carrier(unpacking)) = machine.connections.get(&client) else { return };
        let text = String::from_utf8_lossy(&unpacking.out);
        let replies: Vec<&str> = text.split_terminator("\r\n").collect();
        let Parcel { source, number, keys, .. } = unpacking.parcel.clone();
        if replies.len() < keys.len() || unpacking.hold > machine.released {
            return;
        }
        let is_fine = |(_, reply): &(&usize, &&str)| reply.starts_with('+');
        let arrived = keys.iter().zip(&replies).filter(is_fine).map(|(key, _)| *key).collect();
        machine.connections.remove(&client);
        self.with(at, |node, _| node.disconnect(client));
        if !self.net.is_blocked(at, source.machine) {
            let delay_us = self.between(self.plan.delay_us);
            self.later(delay_us, Event::Arrived { source, number, arrived });
        }
    }

    /// The source hears what has arrived, and sends what is next.
    pub(crate) fn arrived(&mut self, source: Process, number: u64, arrived: &[usize]) {
        let at = source.machine;
        if self.is_under_way(source, number) {
            if self.machines[at].is_stopped {
                let arrived = arrived.to_vec();
                return self.machines[at].frozen.push(Event::Arrived { source, number, arrived });
            }
            self.trace(at, &format!("hears that keys of move {number} have arrived: {arrived:?}"));
            self.with(at, |node, time| node.keys_arrived(number, arrived, time));
            self.carry_keys(at, number);
        }
    }

    /// Nothing has been heard of a move for too long.
    pub(crate) fn give_up(&mut self, source: Process, number: u64) {
        let at = source.machine;
        if self.machines[at].is_stopped {
            return self.machines[at].frozen.push(Event::GiveUp(source, number));
        }
        if self.is_under_way(source, number) {
            self.with(at, |node, time| node.move_ended(number, Err(GIVEN_UP), time));
        }
    }

    /// Opens a slot on both sides. Whether both have answered OK, which they do when it is on disk: an operator who goes on
    /// without that may find the slot closed after a crash, and its keys on both sides.
    fn open_slot(&mut self, slot: Slot, source: usize, target: usize) -> bool {
        let both = [target, source];
        let lives = both.map(|at| self.machines[at].life);
        let is_up = |world: &World, at: usize| {
            let is_loading =
                |node: &highwater::node::Node| node.state.persistence.loading.is_some();
            !world.machines[at].is_stopped && world.node(at).is_some_and(|node| !is_loading(node))
        };
        if !both.iter().all(|at| is_up(self, *at)) {
            return false;
        }
        let [to, from] = both.map(|at| self.core(at).expect("it runs").peers().me().id);
        self.operate(target, |core| drop(core.set_slot(slot, OpenSlot::Importing(from), 0)));
        self.operate(source, |core| drop(core.set_slot(slot, OpenSlot::Migrating(to), 0)));
        for _ in 0..100 {
            if both.iter().all(|at| self.core(*at).is_some_and(|core| !core.is_saving())) {
                return both.map(|at| self.machines[at].life) == lives;
            }
            self.run_for(1);
        }
        false
    }

    /// Keys of a slot that a machine holds.
    fn keys_in(&self, at: usize, slot: Slot) -> Vec<String> {
        let keys = self.node(at).map(|node| node.state.keyspace.keys_in_slot(0, slot, usize::MAX));
        let text = |key: &&[u8]| String::from_utf8_lossy(key).into_owned();
        keys.iter().flatten().map(text).collect()
    }

    /// MIGRATE with some keys of a slot; the client does not wait for the end.
    fn migrate(&mut self, slot: Slot, (source, target): (usize, usize), count: usize) {
        let mut keys = self.keys_in(source, slot);
        self.rng.shuffle(&mut keys);
        keys.truncate(count);
        if keys.is_empty() || self.machines[source].is_stopped {
            return;
        }
        let (host, port) = (self.machines[target].host, self.machines[target].ports.client);
        let line = format!("MIGRATE {host} {port} \"\" 0 1000 REPLACE KEYS {}", keys.join(" "));
        self.trace(source, &line);
        self.run(source, &line);
    }

    /// Moves what is left, and gives the slot to the target.
    fn finish(&mut self, slot: Slot, source: usize, target: usize) {
        for _ in 0..100 {
            if self.open_slot(slot, source, target) {
                self.migrate(slot, (source, target), 10);
            }
            self.run_for(300);
            if self.keys_in(source, slot).is_empty() {
                break;
            }
        }
        assert_eq!(self.keys_in(source, slot), Vec::<String>::new(), "all can be moved");
        let id = self.core(target).expect("it runs").peers().me().id;
        for at in [target, source] {
            let done = self.operate(at, |core| core.set_slot(slot, OpenSlot::Node(id), 0));
            assert_eq!(done, Some(Ok(())));
            self.run_for(100);
        }
    }
}

/// The slot that is moved, and a tag of it.
const TAG: &str = "tag";

/// A slot moves key by key from one primary to another while processes of both are killed, stopped and, under `always`,
/// lose power. Writers write to its keys all along and go where they are sent. Whatever was acknowledged is there in the
/// end, and on one side.
#[test]
fn keys_on_the_move_are_never_lost() {
    let asked = std::cell::Cell::new(0);
    play("keys_on_the_move_are_never_lost", 24, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut plan = Plan::random(&mut rng, 3, 0);
        plan.tag = Some(TAG);
        plan.writers = 6;
        // Long enough for a process to die between a removal and its being in the log.
        plan.commit_us = (0, rng.u64(0..30_000));
        let mut world = World::formed(plan, seed);
        let slot = Slot::of(TAG.as_bytes());
        let owns = |at: &usize| {
            let core = world.core(*at).expect("it runs");
            core.slots().owner(slot) == Some(highwater::cluster::core::PeerIx::ME)
        };
        let source = (0..3).find(owns).expect("somebody owns it");
        let (mut source, mut target) = (source, (source + rng.usize(1..3)) % 3);
        world.run_for(2000);
        for _ in 0..rng.usize(5..40) {
            if world.node(source).is_some() && world.keys_in(source, slot).is_empty() {
                // All are there: the slot is handed over, and comes back.
                world.end_faults();
                world.until_healed("the faults are over");
                world.finish(slot, source, target);
                world.run_for(1000);
                world.until_healed("the slot has moved");
                (source, target) = (target, source);
            }
            let count = rng.usize(1..8);
            if world.open_slot(slot, source, target) {
                world.migrate(slot, (source, target), count);
            }
            let wait_ms = rng.u64(0..12);
            world.run_for(wait_ms);
            let at = if rng.bool() { source } else { target };
            match rng.u8(..8) {
                0 | 1 => world.kill(at),
                2 if world.plan.policy == Policy::Always => world.power_off(at),
                3 => world.stop_for(at, (1, 1500)),
                4 => world.part_for(&[at], rng.bool(), (1, 1500)),
                _ => {}
            }
            world.start_later(at, (10, 500));
            let wait_ms = rng.u64(1..800);
            world.run_for(wait_ms);
        }
        world.end_faults();
        world.until_healed("the faults are over");
        world.finish(slot, source, target);
        world.heal();
        world.check_writes(|write| matches!(write.outcome, Outcome::Acked(_)));
        for at in (0..3).filter(|at| *at != target) {
            assert_eq!(world.keys_in(at, slot), Vec::<String>::new(), "#{at} holds keys, too");
        }
        asked.set(asked.get() + world.writers.asked);
    });
    assert!(asked.get() > 0 || number("SEED").is_some(), "nobody was ever sent after a key");
}

/// The same with replicas, and failovers of all kinds in between: nothing is promised to writers, since a shard may lose what
/// its replica has not got. But a node that is not a primary any more removes nothing on its own: whoever follows another
/// holds what that one holds.
#[test]
fn keys_on_the_move_through_failovers_leave_shards_equal() {
    let tag = (0..).map(|number| format!("t{number}"));
    let in_moved_slots = |tag: &String| Slot::of(tag.as_bytes()).number() < MOVED_SLOTS;
    let tag: &'static str =
        Box::leak(tag.filter(in_moved_slots).take(1).collect::<String>().into());
    let slot = Slot::of(tag.as_bytes());
    play("keys_on_the_move_through_failovers", 16, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut plan = Plan::random(&mut rng, 3, 1);
        plan.tag = Some(tag);
        plan.commit_us = (0, rng.u64(0..30_000));
        let mut world = World::formed(plan, seed);
        world.has_moved_slots = true;
        world.run_for(2000);
        for _ in 0..rng.usize(5..20) {
            let owns = |at: &usize| {
                let owner = world.core(*at).and_then(|core| core.slots().owner(slot));
                owner == Some(highwater::cluster::core::PeerIx::ME)
            };
            let primaries = world.primaries();
            let source = primaries.iter().copied().find(owns);
            if let Some(source) = source.filter(|_| primaries.len() > 1) {
                let others: Vec<usize> = primaries.into_iter().filter(|at| *at != source).collect();
                let target = others[rng.usize(..others.len())];
                if world.open_slot(slot, source, target) && world.node(source).is_some() {
                    world.migrate(slot, (source, target), rng.usize(1..8));
                }
            }
            let wait_ms = rng.u64(0..8);
            world.run_for(wait_ms);
            let at = rng.usize(..world.machines.len());
            match rng.u8(..6) {
                0 => world.kill(at),
                1 => world.stop_for(at, (1, 3000)),
                2 => world.part_for(&[at], false, (1, 3000)),
                _ => drop(world.operate(at, |core| core.fail_over(false, false))),
            }
            world.start_later(at, (10, 3000));
            let wait_ms = rng.u64(1..2500);
            world.run_for(wait_ms);
        }
        world.heal();
        world.check_writes(|_| false);
    });
}
