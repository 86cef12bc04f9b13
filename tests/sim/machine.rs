//! A machine: its process, its disk, its clocks; how a process starts and dies.

use std::collections::BTreeMap;

use fastrand::Rng;
use highwater::cluster::core::LinkId;
use highwater::cluster::packet::Ports;
use highwater::cluster::settings::Settings;
use highwater::cluster::{Cluster, Host, NodeId};
use highwater::config::Config;
use highwater::config::choices::ProtectedAction;
use highwater::keyspace::{HashKey, Keyspace};
use highwater::node::Node;
use highwater::node::replay::Replay;
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::persistence::{Beside, Loading};
use highwater::state::run::Run;
use highwater::state::{ClientId, Stream};
use highwater_persistence::nodes_conf::{NodeFlag, NodeLine, NodesConf};

use crate::bus::Bus;
use crate::clients::Connection;
use crate::disk::{Disk, Ids, Log};
use crate::events::{Event, Own};
use crate::jobs::Tasks;
use crate::network::Message;
use crate::stream::Session;
use crate::world::{Plan, Policy, World};

/// Distance of a bus port from a client port.
const BUS: u16 = 10_000;

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) host: Host,
    pub(crate) ports: Ports,
    /// Its process, if that runs.
    pub(crate) node: Option<Node>,
    /// Grows with each process.
    pub(crate) life: u64,
    /// Without power: it does not even refuse connections.
    pub(crate) is_off: bool,
    /// SIGSTOP.
    pub(crate) is_stopped: bool,
    /// What it says on the bus is swallowed; its connections stay.
    pub(crate) is_mute: bool,
    /// What has happened to the stopped process.
    pub(crate) frozen: Vec<Event>,
    pub(crate) disk: Disk,
    pub(crate) skew_us: i64,
    pub(crate) born_us: u64,
    pub(crate) bus: Bus,
    pub(crate) links: BTreeMap<LinkId, (u64, usize)>,
    pub(crate) connections: BTreeMap<ClientId, Connection>,
    pub(crate) session: Option<Session>,
    /// Grows with every change of ids or data: whoever was fed before is fed no more.
    pub(crate) history: u64,
    /// Up to where replies may leave.
    pub(crate) released: u64,
    pub(crate) commit_waits: bool,
    pub(crate) is_syncing: bool,
    /// What the log held at the start, until it is loaded.
    loading: Option<(Keyspace, Beside, Stream)>,
    pub(crate) tasks: Tasks,
}

impl Machine {
    pub(crate) fn new(index: usize, plan: &Plan) -> Self {
        let number = u16::try_from(index).expect("few");
        let host = match plan.is_one_host {
            true => "127.0.0.1".to_owned(),
            false => format!("10.0.0.{}", index + 1),
        };
        let client = 7000 + number;
        Self {
            host: Host::new(&host).expect("an address"),
            ports: Ports { client, other: 0, bus: client + BUS },
            node: None,
            life: 0,
            is_off: false,
            is_stopped: false,
            is_mute: false,
            frozen: Vec::new(),
            disk: Disk::default(),
            skew_us: 0,
            born_us: 0,
            bus: Bus::default(),
            links: BTreeMap::new(),
            connections: BTreeMap::new(),
            session: None,
            history: 0,
            released: 0,
            commit_waits: false,
            is_syncing: false,
            loading: None,
            tasks: Tasks::default(),
        }
    }

    /// The settings of its process.
    pub(crate) fn config(&self, plan: &Plan) -> Config {
        let mut config = Config::default();
        let values = config.values_mut();
        values.cluster_enabled = true;
        values.appendonly = true;
        values.port = self.ports.client;
        values.cluster_node_timeout = plan.timeout_ms;
        values.enable_debug_command = ProtectedAction::Yes;
        values.protected_mode = false;
        values.databases = 1;
        config
    }
}

fn hex_id(rng: &mut Rng) -> String {
    NodeId::random(rng).as_str().to_owned()
}

/// `nodes.conf` of each machine, as an operator leaves it who has made a cluster of the plan's shape.
pub(crate) fn confs(plan: &Plan, rng: &mut Rng) -> Vec<String> {
    let machines: Vec<Machine> =
        (0..plan.machines()).map(|index| Machine::new(index, plan)).collect();
    let ids: Vec<String> = machines.iter().map(|_| hex_id(rng)).collect();
    let share = 16384 / plan.primaries;
    let line = |index: usize| {
        let primary = index % plan.primaries;
        let is_replica = index >= plan.primaries;
        let first = u16::try_from(primary * share).expect("a slot");
        let next = if primary + 1 == plan.primaries { 16384 } else { (primary + 1) * share };
        let last = u16::try_from(next - 1).expect("a slot");
        NodeLine {
            id: ids[index].clone(),
            ip: machines[index].host.to_string(),
            port: machines[index].ports.client,
            cport: machines[index].ports.bus,
            tls_port: Some(0),
            shard_id: Some(ids[primary].clone()),
            flags: vec![if is_replica { NodeFlag::Replica } else { NodeFlag::Primary }],
            primary: is_replica.then(|| ids[primary].clone()),
            config_epoch: primary as u64 + 1,
            slots: if is_replica { Vec::new() } else { vec![(first, last)] },
            ..NodeLine::default()
        }
    };
    let conf = |own: usize| {
        let mut nodes: Vec<NodeLine> = (0..machines.len()).map(line).collect();
        nodes[own].flags.insert(0, NodeFlag::Myself);
        let current_epoch = plan.primaries as u64;
        NodesConf {
            nodes,
            current_epoch,
            last_vote_epoch: 0,
            has_vars: true,
            elected_in: 0,
            data_until: 0,
            unclaimed: Vec::new(),
        }
        .write()
    };
    (0..machines.len()).map(conf).collect()
}

/// What a log holds, and the database it ends in.
pub(crate) fn replay(
    bytes: &[u8],
    node: Node,
    time: highwater::clock::Time,
) -> (Keyspace, Beside, u32) {
    let mut replay = Replay::new(node, time);
    let mut requests = Requests::default();
    let limits = RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true };
    RequestParser::default().parse(bytes, limits, &mut requests).expect("a log of requests");
    for index in 0..requests.len() {
        let args = requests.get(index, bytes);
        let entry = replay.resolve(args).expect("a known command");
        let db = replay.db();
        replay.play(db, entry, args);
    }
    assert_eq!(replay.failed.0, 0, "{:?}", replay.failed);
    let db = replay.db();
    let node = replay.finish();
    let beside = node.state.beside();
    (node.state.keyspace, beside, db)
}

impl World {
    /// An empty node as this machine would have it.
    pub(crate) fn blank(&mut self, at: usize) -> Node {
        let config = self.machines[at].config(&self.plan);
        let keyspace = Keyspace::new(1, HashKey::from_seed(self.rng.u64(..)), self.rng.u64(..));
        let run = Run {
            run_id: hex_id(&mut self.rng),
            first_replication_id: hex_id(&mut self.rng),
            ..Run::default()
        };
        Node::new(config, keyspace, run, self.time(at))
    }

    /// Starts a machine's process from what its disk holds.
    pub(crate) fn start(&mut self, at: usize) {
        if self.machines[at].node.is_some() {
            return;
        }
        let now_us = self.now_us;
        let machine = &mut self.machines[at];
        (machine.life, machine.born_us) = (machine.life + 1, now_us);
        machine.is_off = false;
        let mut node = self.blank(at);
        let cluster = self.cluster_on_disk(at);
        let is_replica = cluster.peers().me().is_replica();
        self.machines[at].bus = Bus::new(&cluster);
        self.check.begins(at, &cluster);
        self.trace(at, &format!("starts as {:?}, replica: {is_replica}", cluster.peers().me().id));
        let time = self.time(at);
        node.state.persistence.loading =
            Some(Loading { started_s: 0, total_bytes: 0, loaded_bytes: 0, serves: false });
        let loaded = self.recover(at, is_replica);
        let machine = &mut self.machines[at];
        machine.loading = Some(loaded);
        node.join_cluster(time, cluster);
        machine.node = Some(node);
        self.after(at);
        let load_us = self.between(self.plan.load_us);
        self.later_of(at, load_us, Own::Loaded);
        let first_us = self.between((0, 100_000));
        self.later_of(at, first_us, Own::Tick);
        if self.plan.policy == Policy::Everysec {
            self.later_of(at, 1_000_000, Own::SyncDue);
        }
    }

    /// What `nodes.conf` says; a new one where there is none.
    fn cluster_on_disk(&mut self, at: usize) -> Cluster {
        let settings = Settings::of(&self.machines[at].config(&self.plan));
        let (seed, time) = (self.rng.u64(..), self.time(at));
        match &self.machines[at].disk.conf {
            Some(text) => {
                let conf = NodesConf::parse(text.as_bytes()).expect("a file that was written");
                Cluster::from_conf(&conf, settings, seed, time).expect("a state that was written")
            }
            None => {
                let (id, shard) = (NodeId::random(&mut self.rng), NodeId::random(&mut self.rng));
                let cluster = Cluster::new(id, shard, settings, seed, time);
                self.machines[at].disk.conf = Some(cluster.to_conf().write());
                cluster
            }
        }
    }

    /// What the log holds, and the stream that goes on behind it: a primary's under a new id.
    fn recover(&mut self, at: usize, is_replica: bool) -> (Keyspace, Beside, Stream) {
        if self.machines[at].disk.log.sync_begins() == 0 {
            self.machines[at].disk.log = Log::new(hex_id(&mut self.rng));
        }
        let fresh = hex_id(&mut self.rng);
        let blank = self.blank(at);
        let time = self.time(at);
        let log = &mut self.machines[at].disk.log;
        let (end, former) = (log.end(), log.lineage());
        let ids = match is_replica {
            true => former,
            false => Ids { id: fresh, former: Some((former.id, end)) },
        };
        log.ids(ids.clone());
        log.sync_ends(log.sync_begins());
        let (keyspace, beside, db) = replay(&log.bytes, blank, time);
        let mut stream = Stream::new(ids.id);
        stream.former = ids.former;
        stream.end = end;
        (stream.recording, stream.is_told) = (true, is_replica);
        stream.db = is_replica.then_some(db);
        (keyspace, beside, stream)
    }

    /// The data are there: the node serves.
    pub(crate) fn loaded(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let Some((keyspace, beside, stream)) = machine.loading.take() else { return };
        machine.released = stream.end;
        machine.history += 1;
        self.with(at, |node, time| {
            node.state.time = time;
            node.state.keyspace = keyspace;
            node.state.set_beside(beside);
            node.state.stream = stream;
            node.state.persistence.loading = None;
            node.state.persistence.aof_enabled = true;
            node.apply_settings();
            node.claim_loaded_slots();
            node.resume_jobs();
        });
    }

    /// The process is gone. Its connections are closed by the system, if that is still there.
    pub(crate) fn kill(&mut self, at: usize) {
        if self.machines[at].node.is_none() {
            return;
        }
        self.trace(at, "is killed");
        self.check.dies(at);
        let machine = &mut self.machines[at];
        machine.node = None;
        machine.life += 1;
        machine.is_stopped = false;
        machine.frozen.clear();
        machine.session = None;
        machine.commit_waits = false;
        machine.is_syncing = false;
        machine.loading = None;
        machine.tasks = Tasks::default();
        // What was being written has got there, or has not.
        if let Some(text) = std::mem::take(&mut machine.bus).being_saved()
            && self.rng.bool()
        {
            self.machines[at].disk.conf = Some(text);
        }
        let machine = &mut self.machines[at];
        machine.links.clear();
        let lost: Vec<Connection> =
            std::mem::take(&mut machine.connections).into_values().collect();
        lost.into_iter().for_each(|connection| self.connection_lost(connection));
        let mut ends = Vec::new();
        for (number, pipe) in &mut self.net.pipes {
            for (side, end) in pipe.ends.iter_mut().enumerate() {
                if end.machine == at && std::mem::take(&mut end.is_open) {
                    ends.push((*number, 1 - side));
                }
            }
        }
        if !self.machines[at].is_off {
            ends.into_iter().for_each(|(pipe, side)| self.send_to(pipe, side, Message::Fin));
        }
    }

    /// The power is cut: what was not synced is gone, and nobody hears of it.
    pub(crate) fn power_off(&mut self, at: usize) {
        self.trace(at, "has no power");
        let is_one_host = self.plan.is_one_host;
        // Where all are one host, that host goes on: its other processes see their connections end.
        self.machines[at].is_off = !is_one_host;
        self.kill(at);
        self.machines[at].disk.log.cut(&mut self.rng);
    }

    /// SIGSTOP.
    pub(crate) fn stop(&mut self, at: usize) {
        if self.machines[at].node.is_some() {
            self.trace(at, "is stopped");
            self.machines[at].is_stopped = true;
        }
    }

    /// SIGCONT: everything that has happened meanwhile happens now.
    pub(crate) fn resume(&mut self, at: usize) {
        if std::mem::take(&mut self.machines[at].is_stopped) {
            self.trace(at, "goes on");
            let frozen = std::mem::take(&mut self.machines[at].frozen);
            let mut has_ticked = false;
            for event in frozen {
                // Ticks that were missed do not pile up.
                let is_tick = matches!(event, Event::Of(_, Own::Tick));
                if !is_tick || !std::mem::replace(&mut has_ticked, true) {
                    self.happens(event);
                }
            }
        }
    }
}
