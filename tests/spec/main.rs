//! What the specification of Redis Cluster says, sentence by sentence, about the state machine in `src/cluster/core/`.
//!
//! `solo.rs` has one node whose peers are played by the test; `bench.rs` has several nodes and the wires between them.
//! Nodes are named by letters and so are their ids: `a` is the smallest. Sources: Redis documentation, "Redis cluster
//! specification", its sections named above each test; `docs/cluster.md` where this project goes its own way.

mod layout;
mod shown;
mod solo;

mod claims;
mod election;
mod epochs;
mod failure;
mod handshake;
mod heartbeat;
mod manual;
mod members;
mod moves;
mod votes;
