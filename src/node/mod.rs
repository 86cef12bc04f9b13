//! The node: one owner of all state, as a synchronous value.
//!
//! Bytes and time go in, replies and an ordered list of outputs come out. A node reads no clock, does no I/O and starts
//! no task; `net` does, and a test may in its place.

mod cluster;
mod dispatch;
mod expire;
mod gates;
mod heavy_clients;
mod jobs;
mod link;
mod memory;
mod migration;
mod monitor;
mod moves;
mod prefetch;
mod propagate;
mod remains;
pub mod replay;
mod replicas;
mod routing;
mod settings;
mod slot_filter;
mod tick;
mod transactions;
mod trimming;
mod waits;
#[cfg(test)]
mod waits_end_tests;
#[cfg(test)]
mod waits_tests;

use crate::clock::Time;
use crate::commands::table;
use crate::config::Config;
use crate::keyspace::Keyspace;
use crate::state::client::Peer;
use crate::state::messages::Mail;
use crate::state::output::Note;
use crate::state::run::Run;
use crate::state::{ClientId, Output, State};

pub use dispatch::{Outcome, Status};
pub use jobs::Begun;
pub use link::Followed;
pub use moves::Parcel;
pub use settings::access_clock;
pub use slot_filter::{Filtered, SlotFilter};

/// A node.
#[derive(Debug)]
pub struct Node {
    /// All data. Public, so that drivers and tests can look; they change it through the node's methods.
    pub state: State,
    /// What is left of this tick's time for the active cycle, in microseconds.
    expire_left_us: u64,
    /// What it has used of it.
    expire_spent_us: u64,
}

impl Node {
    /// A node without data, ready to serve.
    pub fn new(config: Config, keyspace: Keyspace, run: Run, time: Time) -> Self {
        let mut state = State::new(config, keyspace, run, time);
        state.stats.by_command.resize_with(table().ids(), Default::default);
        let mut node = Self { state, expire_left_us: 0, expire_spent_us: 0 };
        node.apply_settings();
        if let Some(address) = node.state.config.replicaof.clone() {
            node.state.set_primary(Some(address));
        }
        node
    }

    /// A client has connected. `None`: there are too many, or the client is not welcome; the bytes are the error to send
    /// before closing.
    ///
    /// # Errors
    /// The reply to send before the connection is closed.
    pub fn connect(&mut self, peer: Peer, time: Time) -> Result<ClientId, &'static str> {
        let state = &mut self.state;
        let most = usize::try_from(state.config.maxclients).unwrap_or(usize::MAX);
        if state.clients.len() + state.bus_connections() >= most {
            state.stats.rejected_connections += 1;
            return Err(match state.cluster {
                Some(_) => "-ERR max number of clients + cluster connections reached\r\n",
                None => "-ERR max number of clients reached\r\n",
            });
        }
        let open = state.config.requirepass.is_empty();
        if open && state.config.protected_mode && !peer.loopback && !peer.unix {
            state.stats.rejected_connections += 1;
            return Err(PROTECTED);
        }
        state.stats.connections += 1;
        Ok(state.clients.connect(peer, open, time))
    }

    /// A client's connection is gone.
    pub fn disconnect(&mut self, id: ClientId) {
        let Some(client) = self.state.clients.disconnect(id) else { return };
        if client.watching {
            self.state.keyspace.unwatch(id.0);
        }
        self.state.monitors -= usize::from(client.monitor);
        self.state.pubsub.leave(id.0);
        self.state.end_key_wait(id);
        self.replica_is_gone(id);
    }

    /// A message has come over the bus: sends it to the clients of this node that listen to its channel.
    pub fn deliver(&mut self, sharded: bool, channel: &[u8], message: &[u8]) {
        self.state.publish(sharded, channel, message);
        self.state.settle_messages(0);
    }

    /// Empties the mailbox of a client, for its connection to send.
    pub fn take_mail(&mut self, id: ClientId) -> Option<Mail> {
        self.state.take_mail(id)
    }

    /// What the driver is to do, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.state.outputs)
    }
}

/// A line for the log.
fn note(text: String) -> Output {
    Output::Note(Note { warning: false, text })
}

/// A line for the log that an operator should look at.
fn warning(text: String) -> Output {
    Output::Note(Note { warning: true, text })
}

/// What protected mode answers to strangers.
const PROTECTED: &str = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. To connect from elsewhere: set a password with 'requirepass' in the configuration file or 'CONFIG SET requirepass' from a loopback client, or turn the protection off with 'protected-mode no' if the network around this node can be trusted. \r\n";

#[cfg(test)]
pub(crate) mod cluster_tests;
#[cfg(test)]
mod hidden_tests;
#[cfg(test)]
mod migration_tests;
#[cfg(test)]
mod moves_tests;
#[cfg(test)]
mod notices_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod trimming_tests;
