//! The driver of the cluster bus: outputs are carried out in the order of its outbox, as `net/bus` does it. And connections,
//! which replication uses, too.

use highwater::cluster::core::LinkId;
use highwater::cluster::outbox::Outbox;
use highwater::cluster::wire::{self, Decoded};
use highwater::cluster::{Cluster, Host, Input, Output};
use highwater_persistence::nodes_conf::{NodeFlag, NodesConf};

use crate::check::Promises;
use crate::events::{Event, Own};
use crate::network::{End, Kind, Message};
use crate::world::World;

/// Between a change that is no promise and its being saved.
const SAVE_SOON_US: u64 = 1_000_000;

/// Between two looks at whether a primary has loaded its data.
const LOADING_POLL_US: u64 = 50_000;

/// What the driver is at.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    outbox: Outbox,
    /// What the disk is busy with.
    saving: Option<String>,
    save_is_due: bool,
}

impl Bus {
    /// Of a node whose file has been read.
    pub(crate) fn new(core: &Cluster) -> Self {
        Bus { outbox: Outbox::new(core.own_claim()), ..Bus::default() }
    }

    pub(crate) fn being_saved(self) -> Option<String> {
        self.saving
    }
}

impl World {
    /// Carries out what can be.
    pub(crate) fn pump(&mut self, at: usize) {
        loop {
            let machine = &mut self.machines[at];
            let Some(node) = &mut machine.node else { return };
            let Some(membership) = &mut node.state.cluster else { return };
            let outputs = std::mem::take(&mut membership.bus);
            if outputs.is_empty() {
                break;
            }
            let now = machine.bus.outbox.add(outputs);
            now.into_iter().for_each(|output| self.carry_out_bus(at, output));
        }
        if self.machines[at].bus.outbox.wants_save() {
            self.save(at);
        }
    }

    fn carry_out_bus(&mut self, at: usize, output: Output) {
        let bus = &mut self.machines[at].bus;
        match output {
            Output::SaveSoon => {
                if !std::mem::replace(&mut bus.save_is_due, true) {
                    self.later_of(at, SAVE_SOON_US, Own::SaveDue);
                }
            }
            Output::Connect { link, host, port } => {
                let machines = self.machines.iter();
                let target = machines
                    .enumerate()
                    .find(|(_, machine)| machine.host == host && machine.ports.bus == port);
                let target = target.map(|(index, _)| index);
                self.open(at, Kind::Bus, link.0, target);
            }
            Output::Close { link } => {
                if let Some((pipe, side)) = self.machines[at].links.remove(&link) {
                    self.close(pipe, side);
                }
            }
            Output::Send { link, packet } => {
                let Some(&(pipe, side)) = self.machines[at].links.get(&link) else { return };
                if self.machines[at].is_mute {
                    return;
                }
                let to = self.net.pipes[&pipe].ends[1 - side].machine;
                self.check.sends(at, to, &packet);
                self.send_to(pipe, 1 - side, Message::Packet(packet));
            }
            other => unreachable!("the node carries out {other:?} itself"),
        }
    }

    /// The disk begins to write the configuration as it is now.
    fn save(&mut self, at: usize) {
        let core = self.core(at).expect("it runs");
        let (conf, number, claim) = (core.to_conf(), core.saves_wanted(), core.own_claim());
        let text = conf.write();
        if self.rng.u8(..self.plan.reload_share) == 0 {
            self.check_reload(at, &conf, &text);
        }
        let promises = Promises::of(&conf);
        let fails =
            self.rng.u32(..1000) < self.plan.failing_saves || self.machines[at].disk.is_full;
        if fails {
            self.trace(at, "cannot save");
        }
        let took_us = self.between(self.plan.disk_us);
        let bus = &mut self.machines[at].bus;
        bus.outbox.begin_save(claim);
        (bus.saving, bus.save_is_due) = (Some(text.clone()), false);
        let written = (!fails).then_some((text, promises));
        self.later_of(at, took_us, Own::Saved { written, number });
    }

    pub(crate) fn saved(&mut self, at: usize, written: Option<(String, Promises)>, number: u64) {
        let is_saved = written.is_some();
        let machine = &mut self.machines[at];
        machine.bus.saving = None;
        let now = machine.bus.outbox.end_save(is_saved);
        if let Some((text, promises)) = written {
            machine.disk.conf = Some(text);
            self.check.is_saved(at, promises);
        }
        now.into_iter().for_each(|output| self.carry_out_bus(at, output));
        self.with(at, |node, time| node.step_cluster(time, Input::Saved { is_saved, number }));
        self.pump(at);
    }

    pub(crate) fn save_due(&mut self, at: usize) {
        if !self.machines[at].bus.save_is_due {
            return;
        }
        if self.machines[at].bus.saving.is_some() {
            return self.later_of(at, SAVE_SOON_US, Own::SaveDue);
        }
        self.save(at);
    }

    /// Begins a connection to a machine, or to nowhere.
    pub(crate) fn open(&mut self, at: usize, kind: Kind, id: u64, to: Option<usize>) -> u64 {
        let process = self.process(at);
        let from = End { machine: at, life: process.life, id, is_open: false };
        let pipe = self.net.add(kind, from, to.unwrap_or(at));
        let delay_us = self.between(self.plan.delay_us);
        match to {
            Some(_) => self.later(delay_us, Event::Reach(pipe)),
            None => self.not_opened(pipe, self.plan.timeout_ms * 1000, false),
        }
        pipe
    }

    fn not_opened(&mut self, pipe: u64, after_us: u64, is_refused: bool) {
        let opener = self.net.pipes[&pipe].ends[0];
        let process = crate::events::Process { machine: opener.machine, life: opener.life };
        let own = Own::Opened { pipe, is_open: false, is_refused };
        self.later(after_us, Event::Of(process, own));
    }

    /// It has reached the other machine, whose system answers.
    pub(crate) fn reach(&mut self, number: u64) {
        let Some(pipe) = self.net.pipes.get(&number) else { return };
        let (from, to) = (pipe.ends[0].machine, pipe.ends[1].machine);
        let is_lost = self.net.is_blocked(from, to) || self.net.is_blocked(to, from);
        if is_lost || self.machines[to].is_off {
            let wait_us = (self.plan.timeout_ms * 1000).min(5_000_000);
            return self.not_opened(number, wait_us, false);
        }
        let delay_us = self.between(self.plan.delay_us);
        if self.machines[to].node.is_none() {
            return self.not_opened(number, delay_us, true);
        }
        let process = self.process(to);
        let pipe = self.net.pipes.get_mut(&number).expect("it was looked at");
        pipe.ends[1].life = process.life;
        // Nothing comes before the news that it is open.
        pipe.due_us[0] = self.now_us + delay_us;
        let opener = crate::events::Process { machine: from, life: pipe.ends[0].life };
        self.later(0, Event::Of(process, Own::Accept(number)));
        let own = Own::Opened { pipe: number, is_open: true, is_refused: false };
        self.later(delay_us, Event::Of(opener, own));
    }

    /// A process takes a connection that has come.
    pub(crate) fn accept(&mut self, at: usize, number: u64) {
        let Some(pipe) = self.net.pipes.get(&number) else { return };
        let (kind, from) = (pipe.kind, pipe.ends[0].machine);
        let (remote, local) = (self.machines[from].host, self.machines[at].host);
        if kind == Kind::Bus && self.is_absent(at) {
            return self.later_of(at, LOADING_POLL_US, Own::Accept(number));
        }
        let id = match kind {
            Kind::Bus => {
                let link = self.with(at, |node, time| node.accept_link(time, remote, local));
                let link = link.expect("it is in a cluster");
                self.machines[at].links.insert(link, (number, 1));
                link.0
            }
            Kind::Replication => self.accept_replica(at, number, remote),
            Kind::Job => self.accept_job(at, number, remote),
        };
        if let Some(pipe) = self.net.pipes.get_mut(&number) {
            (pipe.ends[1].id, pipe.ends[1].is_open) = (id, true);
            self.later(0, Event::Flush(number));
        }
    }

    /// What was stalled goes on, in order, unless it still is.
    pub(crate) fn flush(&mut self, number: u64) {
        for side in 0..2 {
            let Some(pipe) = self.net.pipes.get_mut(&number) else { return };
            let stalled = std::mem::take(&mut pipe.stalled[side]);
            stalled.into_iter().for_each(|message| self.arrive(number, side, message));
        }
    }

    /// A primary that is loading its data is not there yet for others.
    pub(crate) fn is_absent(&self, at: usize) -> bool {
        let is_loading = self.node(at).is_some_and(|node| node.state.persistence.loading.is_some());
        is_loading && self.core(at).is_some_and(|core| core.peers().me().is_primary())
    }

    pub(crate) fn opened(&mut self, at: usize, pipe: u64, is_open: bool, is_refused: bool) {
        let Some(known) = self.net.pipes.get_mut(&pipe) else { return };
        let (kind, link) = (known.kind, LinkId(known.ends[0].id));
        known.ends[0].is_open = is_open;
        if !is_open {
            self.net.pipes.remove(&pipe);
        }
        match kind {
            Kind::Replication => self.link_opened(at, pipe, is_open),
            Kind::Job => self.task_opened(at, pipe, link.0, is_open),
            Kind::Bus if is_open => {
                self.machines[at].links.insert(link, (pipe, 0));
                self.with(at, |node, time| node.step_cluster(time, Input::Connected { link }));
            }
            Kind::Bus => self.with(at, |node, time| {
                node.step_cluster(time, Input::Failed { link, is_refused });
            }),
        }
    }

    /// Sends a message to a side of a connection.
    pub(crate) fn send_to(&mut self, number: u64, side: usize, message: Message) {
        let delay_us = match message {
            Message::Copy(_) => self.between((1000, 60_000)),
            _ => self.between(self.plan.delay_us),
        };
        let message = if self.plan.encodes { encoded(message) } else { message };
        let Some(pipe) = self.net.pipes.get_mut(&number) else { return };
        let due_us = (self.now_us + delay_us).max(pipe.due_us[side] + 1);
        pipe.due_us[side] = due_us;
        let after_us = due_us - self.now_us;
        self.later(after_us, Event::Arrive { pipe: number, side, message });
    }

    /// A side closes.
    pub(crate) fn close(&mut self, number: u64, side: usize) {
        let Some(pipe) = self.net.pipes.get_mut(&number) else { return };
        pipe.ends[side].is_open = false;
        self.send_to(number, 1 - side, Message::Fin);
    }

    pub(crate) fn arrive(&mut self, number: u64, side: usize, message: Message) {
        let Some(pipe) = self.net.pipes.get(&number) else { return };
        let is_end = matches!(message, Message::Fin);
        if pipe.is_cut && !is_end {
            return;
        }
        let end = pipe.ends[side];
        let machine = &self.machines[end.machine];
        let is_waiting = side == 1 && end.id == 0 && machine.life == end.life;
        if (!pipe.is_cut && self.net.stalls(pipe, side)) || (is_waiting && machine.node.is_some()) {
            let pipe = self.net.pipes.get_mut(&number).expect("it was looked at");
            return pipe.stalled[side].push_back(message);
        }
        if machine.is_off {
            return;
        }
        if machine.life != end.life || machine.node.is_none() {
            // The system says that there is no such connection.
            if is_end && !pipe.ends[1 - side].is_open {
                self.net.pipes.remove(&number);
            } else {
                self.send_to(number, 1 - side, Message::Fin);
            }
            return;
        }
        let process = crate::events::Process { machine: end.machine, life: end.life };
        self.happens(Event::Of(process, Own::Received { pipe: number, side, message }));
    }

    /// A message has come over a connection.
    pub(crate) fn received(&mut self, at: usize, number: u64, side: usize, message: Message) {
        let Some(pipe) = self.net.pipes.get_mut(&number) else { return };
        if !pipe.ends[side].is_open {
            if matches!(message, Message::Fin) && !pipe.ends[1 - side].is_open {
                self.net.pipes.remove(&number);
            }
            return;
        }
        let (kind, link) = (pipe.kind, LinkId(pipe.ends[side].id));
        if matches!(message, Message::Fin) {
            pipe.ends[side].is_open = false;
        }
        match (kind, message) {
            (Kind::Bus, Message::Packet(packet)) => self.with(at, |node, time| {
                node.step_cluster(time, Input::Packet { link, packet: &packet });
            }),
            (Kind::Bus, Message::Fin) => {
                self.machines[at].links.remove(&link);
                self.with(at, |node, time| node.step_cluster(time, Input::Closed { link }));
                self.close(number, side);
            }
            (Kind::Job, message) if side == 0 => self.task_hears(at, number, link.0, message),
            (Kind::Job, message) => self.job_says(at, number, message),
            (Kind::Replication, message) if side == 0 => self.primary_says(at, number, message),
            (Kind::Replication, message) => self.replica_says(at, number, message),
            (Kind::Bus, other) => unreachable!("{other:?} on the bus"),
        }
    }
}

/// A packet that has been bytes on its way.
fn encoded(message: Message) -> Message {
    let Message::Packet(packet) = message else { return message };
    let mut bytes = Vec::new();
    wire::encode(&packet, &mut bytes);
    assert_eq!(wire::frame_length(&bytes).expect("a packet"), Some(bytes.len()));
    match wire::decode(&bytes).expect("a packet") {
        Decoded::Packet(decoded) => {
            assert_eq!(decoded, *packet, "what is sent is what comes");
            Message::Packet(decoded.into())
        }
        Decoded::Dropped { why, .. } => panic!("{why}: {packet:?}"),
    }
}

/// A configuration without what no node takes from it: when others were pinged and answered, and epochs of replicas,
/// which are those of their primaries.
pub(crate) fn settled(conf: &NodesConf) -> NodesConf {
    let mut conf = conf.clone();
    for line in &mut conf.nodes {
        (line.ping_sent, line.pong_received, line.connected) = (0, 0, true);
        if line.is(NodeFlag::Replica) {
            line.config_epoch = 0;
        }
    }
    conf.nodes.sort_by(|one, other| one.id.cmp(&other.id));
    conf
}

/// The address as nodes tell it.
pub(crate) fn shown(host: Host) -> String {
    host.to_string()
}
