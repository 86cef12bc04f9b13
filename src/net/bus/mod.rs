//! The cluster bus: its sockets, and the configuration file. One thread does all of it, beside those of the clients.
//!
//! The state machine's outputs are carried out here in their order, one after the other: a packet behind a promise leaves
//! when the promise is on disk. Reading goes on meanwhile.

mod config_file;
mod link;
mod listen;
mod reading;
mod saver;
mod strangers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Builder;

use super::driver::with_node;
use super::shared::Shared;
use crate::clock;
use crate::cluster::core::LinkId;
use crate::cluster::{Body, Cluster, Epoch, Input, Output, Packet, wire};
use crate::config::Config;
use crate::node::Node;
use config_file::ConfigFile;
use link::Sender;
use saver::Saver;
use strangers::Strangers;

/// Between two ticks of the state machine.
const TICK: Duration = Duration::from_millis(100);

/// Between a change that is no promise and its being saved.
const SAVE_SOON: Duration = Duration::from_secs(1);

/// The bus as other threads see it.
#[derive(Debug, Default)]
pub(super) struct Bus {
    wake: tokio::sync::Notify,
    /// Open connections.
    links: Mutex<HashMap<LinkId, Sender>>,
    strangers: Strangers,
}

impl Bus {
    /// Something is to be done.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    fn add(&self, link: LinkId, sender: Sender) {
        self.links.lock().insert(link, sender);
    }

    fn remove(&self, link: LinkId) {
        self.links.lock().remove(&link);
    }
}

/// A bus that is bound and not served yet, and the node's place in its cluster.
#[derive(Debug)]
pub(super) struct Prepared {
    listeners: Vec<std::net::TcpListener>,
    file: ConfigFile,
    cluster: Cluster,
}

impl Prepared {
    /// Binds the bus port, takes the configuration file and reads it.
    ///
    /// # Errors
    /// In a sentence for the operator. A file that was there has not changed.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let listeners = listen::bind(config)?;
        let (cluster, file) = config_file::open(config)?;
        Ok(Self { listeners, file, cluster })
    }

    /// Makes the node a part of its cluster, and serves the bus on a thread of its own until the process ends.
    pub(super) fn serve(self, shared: &Arc<Shared>) {
        let Self { listeners, file, cluster } = self;
        with_node(shared, |node| node.join_cluster(clock::now(), cluster));
        let shared = Arc::clone(shared);
        super::spawn_thread("bus", move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!("the bus could not start: {error}"),
            };
            runtime.block_on(async {
                for listener in listeners {
                    tokio::spawn(listen::accept(Arc::clone(&shared), listener));
                }
                tokio::spawn(tick(Arc::clone(&shared)));
                let kept =
                    shared.node.lock().state.cluster.as_ref().map(|one| own_epoch(&one.core));
                let driver = Driver {
                    shared,
                    saver: Saver::start(file),
                    save_due: None,
                    has_failed: false,
                    kept: kept.unwrap_or_default(),
                };
                driver.run().await;
            });
        });
    }
}

/// Whether the node is not there yet for others: a primary that is loading its data.
fn is_absent(shared: &Shared) -> bool {
    let state = &shared.node.lock().state;
    let is_loading = state.persistence.loading.is_some_and(|loading| !loading.serves);
    is_loading && state.cluster.as_ref().is_some_and(|one| one.core.peers().me().is_primary())
}

/// Whether it is known whose connection that is: not that of a stranger, nor one that is gone.
fn is_known(node: &Node, link: LinkId) -> bool {
    node.state.cluster.as_ref().is_some_and(|one| one.core.link_peer(link).is_some())
}

/// Tells the state machine the time.
async fn tick(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TICK).await;
        if shared.is_stopping() {
            return;
        }
        if is_absent(&shared) {
            continue;
        }
        let sizes: Vec<(LinkId, usize)> = {
            let links = shared.bus.links.lock();
            links.iter().map(|(link, sender)| (*link, sender.waiting())).collect()
        };
        with_node(&shared, |node| {
            let limit = node.state.config.cluster_link_sendbuf_limit;
            for (link, bytes) in &sizes {
                if limit > 0 && *bytes as u64 > limit {
                    node.step_cluster(clock::now(), Input::Clogged { link: *link });
                }
            }
            if let Some(membership) = &mut node.state.cluster {
                membership.link_bytes = sizes;
            }
            node.step_cluster(clock::now(), Input::Tick);
        });
    }
}

/// Carries out what the state machine wants.
struct Driver {
    shared: Arc<Shared>,
    saver: Saver,
    /// When a change that is no promise is to be saved.
    save_due: Option<tokio::time::Instant>,
    /// The last save failed: what the file does not hold must not be told.
    has_failed: bool,
    /// The node's own epoch as the file holds it.
    kept: Epoch,
}

impl Driver {
    async fn run(mut self) {
        loop {
            let due = self.save_due;
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.bus.wake.notified() => self.drain().await,
                () = wait => {
                    self.save_due = None;
                    self.save().await;
                }
            }
        }
    }

    async fn drain(&mut self) {
        let outputs = {
            let mut node = self.shared.node.lock();
            let Some(membership) = &mut node.state.cluster else { return };
            std::mem::take(&mut membership.bus)
        };
        // One write holds all promises that are in force when it begins, so one serves for all in the list.
        let mut has_tried = false;
        let mut encoded = Encoded::default();
        for output in outputs {
            match output {
                Output::Persist if has_tried => {}
                Output::Persist => {
                    self.save().await;
                    has_tried = true;
                }
                Output::SaveSoon => {
                    self.save_due.get_or_insert(tokio::time::Instant::now() + SAVE_SOON);
                }
                Output::Connect { link, host, port } => {
                    tokio::spawn(link::open(Arc::clone(&self.shared), link, host, port));
                }
                Output::Close { link } => self.shared.bus.remove(link),
                // A promise that is not on disk is not made.
                Output::Send { packet, .. } if self.has_failed && self.is_promise(&packet) => {}
                Output::Send { link, packet } => {
                    let bytes = encoded.of(&packet);
                    if let Some(sender) = self.shared.bus.links.lock().get(&link) {
                        sender.send(bytes);
                    }
                }
                other => unreachable!("the node carries out {other:?} itself"),
            }
        }
    }

    /// Writes the configuration as it is now, and tells the state machine whether it is on disk.
    async fn save(&mut self) {
        let (conf, number, epoch) = {
            let node = self.shared.node.lock();
            let Some(membership) = &node.state.cluster else { return };
            let core = &membership.core;
            (core.to_conf(), core.saves_wanted(), own_epoch(core))
        };
        self.save_due = None;
        let result = self.saver.save(conf).await;
        if let Err(error) = &result {
            tracing::error!(
                "the cluster configuration file cannot be written: {error}. Nothing is promised until it can be"
            );
        }
        let is_saved = result.is_ok();
        self.has_failed = !is_saved;
        if is_saved {
            self.kept = epoch;
        }
        with_node(&self.shared, |node| {
            node.step_cluster(clock::now(), Input::Saved { is_saved, number });
        });
    }

    /// Whether the node must keep to what a packet says, and could forget it.
    fn is_promise(&self, packet: &Packet) -> bool {
        let promises = matches!(packet.body, Body::Vote | Body::VoteRequest | Body::Update { .. });
        promises || packet.claims_past(self.kept)
    }
}

fn own_epoch(core: &Cluster) -> Epoch {
    core.peers().me().config_epoch
}

/// The bytes of the packet last sent: those that go to many are encoded once.
#[derive(Default)]
struct Encoded(Option<(Arc<Packet>, bytes::Bytes)>);

impl Encoded {
    fn of(&mut self, packet: &Arc<Packet>) -> bytes::Bytes {
        match &self.0 {
            Some((known, bytes)) if Arc::ptr_eq(known, packet) => bytes.clone(),
            _ => {
                let mut bytes = Vec::new();
                wire::encode(packet, &mut bytes);
                let bytes = bytes::Bytes::from(bytes);
                self.0 = Some((Arc::clone(packet), bytes.clone()));
                bytes
            }
        }
    }
}
