//! Redis Cluster as values: what nodes tell each other, what a node knows of the others, and what follows from it.
//!
//! Nothing here knows of sockets, files or clocks: packets, facts and times go in, an *ordered* list of outputs comes out.
//! The order is the safety argument: what must be on disk comes before what may be sent. `docs/cluster.md` has the states,
//! the transitions and the timers as tables. Source: Redis documentation, "Redis cluster specification".

pub mod core;
mod host;
mod ids;
pub mod outbox;
pub mod packet;
pub mod redirect;
pub mod settings;
#[cfg(test)]
pub(crate) mod testing;
pub mod view;
pub mod wire;

pub use crate::keyspace::SlotSet;
pub use host::Host;
pub use ids::{Epoch, NodeId};
pub use packet::{Body, Extension, Gossip, Header, Packet};

pub use self::core::{Cluster, Facts, Input, Output};
