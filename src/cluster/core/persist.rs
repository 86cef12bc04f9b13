//! The configuration as it is kept on disk, and back. Also: what follows from new settings.

use highwater_persistence::nodes_conf::{NodeFlag, NodeLine, NodesConf, OpenSlot, OpenState};

use super::{Cluster, Peer, PeerIx};
use crate::clock::Time;
use crate::cluster::packet::{Ports, flags};
use crate::cluster::settings::{BUS_PORT_OFFSET, Settings};
use crate::cluster::{Epoch, Host, NodeId};
use crate::keyspace::Slot;

/// How far behind the file may be in telling until when a replica had its primary's data.
const DATA_AGE_MS: u64 = 10_000;

/// Flags with their names on disk.
const FLAGS: [(u16, NodeFlag); 8] = [
    (flags::MYSELF, NodeFlag::Myself),
    (flags::PRIMARY, NodeFlag::Primary),
    (flags::REPLICA, NodeFlag::Replica),
    (flags::PFAIL, NodeFlag::Pfail),
    (flags::FAIL, NodeFlag::Fail),
    (flags::HANDSHAKE, NodeFlag::Handshake),
    (flags::NOADDR, NodeFlag::NoAddress),
    (flags::NOFAILOVER, NodeFlag::NoFailover),
];

impl Cluster {
    /// The node that a configuration file is about, in the cluster it knew.
    ///
    /// # Errors
    /// What in the file makes no sense.
    pub fn from_conf(
        conf: &NodesConf,
        settings: Settings,
        seed: u64,
        now: Time,
    ) -> Result<Self, String> {
        let mine = conf.myself().ok_or("no line is the node's own")?;
        let id = id_of(&mine.id)?;
        let shard = mine.shard_id.as_deref().map(id_of).transpose()?.unwrap_or(id);
        let mut cluster = Self::new(id, shard, settings, seed, now);
        for line in &conf.nodes {
            cluster.add_line(line)?;
        }
        for line in &conf.nodes {
            cluster.connect_line(line)?;
        }
        for (first, last) in &conf.unclaimed {
            let slots = (*first..=*last).filter_map(Slot::new);
            let owned = slots.filter(|slot| cluster.slots.owner(*slot).is_some());
            let owned: Vec<Slot> = owned.collect();
            owned.into_iter().for_each(|slot| cluster.slots.set_unclaimed(slot, true));
        }
        cluster.current_epoch = Epoch(conf.newest_epoch());
        cluster.last_vote_epoch = Epoch(conf.last_vote_epoch);
        cluster.elected_in = Some(Epoch(conf.elected_in)).filter(|epoch| epoch.0 > 0);
        let is_replica = cluster.peers.me().is_replica();
        cluster.data_until_ms = Some(conf.data_until).filter(|until| is_replica && *until > 0);
        cluster.facts.data_until_ms = cluster.data_until_ms;
        cluster.settings_changed();
        cluster.begin_guard();
        // What was read is on disk.
        cluster.out.clear();
        cluster.saves_done = cluster.saves_wanted;
        Ok(cluster)
    }

    fn add_line(&mut self, line: &NodeLine) -> Result<(), String> {
        let now_ms = self.now_ms();
        let place = self.place_of(&line.id)?;
        let peer = &mut self.peers[place];
        let names = FLAGS.iter().filter(|(_, name)| line.is(*name));
        peer.flags = names.fold(0, |flags, (flag, _)| flags | flag);
        peer.failed_ms = now_ms;
        peer.host = Host::new(&line.ip).unwrap_or(Host::UNKNOWN);
        let bus = match (line.port, line.cport) {
            (0, 0) => 0,
            (port, 0) => port.saturating_add(BUS_PORT_OFFSET),
            (_, bus) => bus,
        };
        let other = line.tls_port.or(line.tcp_port).unwrap_or(0);
        peer.ports = Ports { client: line.port, other, bus };
        peer.hostname.clone_from(&line.hostname);
        peer.nodename = line.nodename.clone().unwrap_or_default();
        if let Some(shard) = &line.shard_id {
            peer.shard = id_of(shard)?;
        }
        peer.ping_sent_ms = (line.ping_sent != 0 && place != PeerIx::ME).then_some(now_ms);
        peer.pong_received_ms = (line.pong_received != 0 && place != PeerIx::ME).then_some(now_ms);
        if !line.is(NodeFlag::Replica) {
            peer.config_epoch = Epoch(line.config_epoch);
        }
        Ok(())
    }

    /// What of a line refers to other nodes.
    fn connect_line(&mut self, line: &NodeLine) -> Result<(), String> {
        let place = self.place_of(&line.id)?;
        if let Some(primary) = line.primary.as_ref().filter(|_| line.is(NodeFlag::Replica)) {
            let primary = self.place_of(primary)?;
            if primary == place {
                return Err(format!("node {} follows itself", line.id));
            }
            let shard = self.peers[primary].shard;
            let peer = &mut self.peers[place];
            (peer.primary, peer.shard) = (Some(primary), shard);
            self.peers[primary].set(flags::MIGRATE_TO);
        }
        for (first, last) in &line.slots {
            for number in *first..=*last {
                let slot = Slot::new(number).ok_or_else(|| format!("slot {number}"))?;
                self.assign(slot, Some(place));
            }
        }
        for open in &line.open {
            let slot = Slot::new(open.slot).ok_or_else(|| format!("slot {}", open.slot))?;
            match &open.state {
                OpenState::Migrating(target) => {
                    let target = self.place_of(target)?;
                    self.slots.migrating.insert(slot, target);
                }
                OpenState::Importing(source) => {
                    let source = self.place_of(source)?;
                    self.slots.importing.insert(slot, source);
                }
            }
        }
        Ok(())
    }

    /// The place of a node that the file names, whether or not it has a line.
    fn place_of(&mut self, id: &str) -> Result<PeerIx, String> {
        let id = id_of(id)?;
        let now_ms = self.now_ms();
        match self.peers.find(&id) {
            Some(place) => Ok(place),
            None => {
                self.peers.add(Peer::new(id, 0, now_ms)).ok_or_else(|| "too many nodes".to_owned())
            }
        }
    }

    /// The configuration, to be written.
    #[must_use]
    pub fn to_conf(&self) -> NodesConf {
        let mut ranges: Vec<Vec<(u16, u16)>> = Vec::new();
        for (first, last, owner) in self.slots.ranges() {
            let index = usize::from(owner.number());
            ranges.resize_with(ranges.len().max(index + 1), Vec::new);
            ranges[index].push((first.number(), last.number()));
        }
        let lines = self.peers.iter().filter(|(_, peer)| !peer.is(flags::HANDSHAKE));
        let nodes = lines
            .map(|(place, peer)| {
                let slots = ranges.get(usize::from(place.number())).cloned().unwrap_or_default();
                self.line_of(place, peer, slots)
            })
            .collect();
        NodesConf {
            nodes,
            current_epoch: self.current_epoch.0,
            last_vote_epoch: self.last_vote_epoch.0,
            has_vars: true,
            elected_in: self.own_election().map_or(0, |epoch| epoch.0),
            data_until: self.data_until_ms.unwrap_or(0),
            unclaimed: self
                .slots
                .unclaimed()
                .ranges()
                .into_iter()
                .map(|(first, last)| (first.number(), last.number()))
                .collect(),
        }
    }

    fn line_of(&self, place: PeerIx, peer: &Peer, slots: Vec<(u16, u16)>) -> NodeLine {
        let is_me = place == PeerIx::ME;
        let moment = |ms: Option<u64>| ms.map_or(0, |ms| self.unix_ms(ms));
        let claimant = peer.primary.filter(|_| peer.is_replica()).unwrap_or(place);
        let text = |id: PeerIx| self.peers[id].id.to_string();
        let migrating = self.slots.migrating.iter().map(|(slot, target)| OpenSlot {
            slot: slot.number(),
            state: OpenState::Migrating(text(*target)),
        });
        let importing = self.slots.importing.iter().map(|(slot, source)| OpenSlot {
            slot: slot.number(),
            state: OpenState::Importing(text(*source)),
        });
        NodeLine {
            id: peer.id.to_string(),
            ip: peer.host.to_string(),
            port: peer.ports.client,
            cport: peer.ports.bus,
            hostname: peer.hostname.clone(),
            tls_port: Some(peer.ports.other),
            tcp_port: None,
            nodename: Some(peer.nodename.clone()).filter(|name| !name.is_empty()),
            shard_id: Some(peer.shard.to_string()),
            other_aux: Vec::new(),
            flags: FLAGS.iter().filter(|(flag, _)| peer.is(*flag)).map(|(_, name)| *name).collect(),
            primary: peer.primary.map(text),
            ping_sent: moment(peer.ping_sent_ms),
            pong_received: moment(peer.pong_received_ms),
            config_epoch: self.peers[claimant].config_epoch.0,
            connected: is_me || peer.link().is_some(),
            slots,
            open: if is_me { migrating.chain(importing).collect() } else { Vec::new() },
        }
    }

    /// Until when the node is known to have had its primary's data, as the file said when it was read.
    #[must_use]
    pub fn data_until_ms(&self) -> Option<u64> {
        self.data_until_ms
    }

    /// Sees to it that the file tells, roughly, until when a replica had its primary's data.
    pub(super) fn note_data_age(&mut self) {
        let is_replica = self.peers.me().is_replica() && !self.history_parts;
        let until_ms = self.facts.data_until_ms.filter(|_| is_replica);
        let is_old = |kept: u64, until: u64| until.saturating_sub(kept) > DATA_AGE_MS;
        let differs = match (self.data_until_ms, until_ms) {
            (Some(kept), Some(until)) => is_old(kept, until),
            (kept, until) => kept.is_some() != until.is_some(),
        };
        if !differs {
            return;
        }
        let is_first = self.data_until_ms.is_none();
        self.data_until_ms = until_ms;
        // Without it the replica could not stand behind a restart.
        if is_first { self.persist() } else { self.save_soon() }
    }

    /// Settings have other values. An address that is announced no more is looked for again.
    pub fn change_settings(&mut self, settings: Settings) {
        let was_announced = !self.settings.announced_host.is_unknown();
        if was_announced && settings.announced_host.is_unknown() {
            self.peers.me_mut().host = Host::UNKNOWN;
        }
        self.settings = settings;
        self.settings_changed();
        self.save_soon();
    }

    /// What others are told follows from the settings.
    pub fn settings_changed(&mut self) {
        let announced = self.settings.announced_host;
        let (ports, no_failover) = (self.settings.ports, self.settings.no_failover);
        let (hostname, nodename) = (self.settings.hostname.clone(), self.settings.nodename.clone());
        let me = self.peers.me_mut();
        if !announced.is_unknown() {
            me.host = announced;
        }
        me.ports = ports;
        (me.hostname, me.nodename) = (hostname, nodename);
        me.clear(flags::NOFAILOVER);
        if no_failover {
            me.set(flags::NOFAILOVER);
        }
    }
}

fn id_of(text: &str) -> Result<NodeId, String> {
    NodeId::new(text.as_bytes()).ok_or_else(|| format!("'{text}' is no node id"))
}
