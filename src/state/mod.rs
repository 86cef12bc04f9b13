//! The data of a node as plain structs. No decisions about commands, no I/O.

pub mod client;
pub mod clients;
pub mod cluster;
pub mod freeing;
pub mod key_waits;
pub mod latency;
pub mod messages;
pub mod migration;
pub mod moves;
mod notices;
pub mod output;
pub mod output_limit;
pub mod persistence;
pub mod replication;
pub mod run;
pub mod slowlog;
pub mod stats;
pub mod stream;
pub mod system;
pub mod trimming;

pub use client::{Client, ClientId};
pub use clients::Clients;
pub use output::Output;
pub use stream::Stream;

use crate::clock::Time;
use crate::config::{CommandNames, Config};
use crate::keyspace::Keyspace;
use crate::migration::Jobs;
use crate::pubsub::PubSub;

/// Everything a node knows. Commands get it behind the node's lock, the client they run for aside.
#[derive(Debug)]
pub struct State {
    /// By which names clients reach commands.
    pub command_names: CommandNames,
    /// The settings in force.
    pub config: Config,
    /// All data.
    pub keyspace: Keyspace,
    /// The log: ids, offset, and bytes not yet taken by the committer.
    pub stream: Stream,
    /// Memory given up and not freed yet.
    pub freeing: freeing::Freeing,
    /// Connected clients.
    pub clients: Clients,
    /// Who listens to which channels.
    pub pubsub: PubSub,
    /// Counters of INFO and COMMANDSTATS.
    pub stats: stats::Stats,
    /// Commands that took long.
    pub slowlog: slowlog::SlowLog,
    /// Events that took long.
    pub latency: latency::Latency,
    /// Whose replica the node is, and which replicas it has.
    pub replication: replication::Replication,
    /// The node's part in its cluster; none outside of cluster mode.
    pub cluster: Option<Box<cluster::Membership>>,
    /// Slots that are not the node's any more, and whose keys are being removed.
    pub trimming: trimming::Trimming,
    /// Keys on their way to other nodes.
    pub moves: moves::Moves,
    /// Clients whose commands wait for replicas or the log, and some that no longer do.
    pub waiting: Vec<ClientId>,
    /// Clients whose commands wait for keys.
    pub key_waits: key_waits::KeyWaits,
    /// The next moment at which a client gives up waiting, as the driver knows it; milliseconds since 1970.
    pub next_deadline_ms: u64,
    /// What snapshots, rewrites and loads are doing.
    pub persistence: persistence::Persistence,
    /// Facts of this process.
    pub run: run::Run,
    /// Facts of the machine, refreshed by the driver.
    pub system: system::SystemFacts,
    /// Switches of DEBUG.
    pub debug: DebugSwitches,
    /// What the driver is to do, in order.
    pub outputs: Vec<Output>,
    /// What has been asked for has to begin before the client's next request runs: a snapshot shows nothing behind it.
    pub ends_batch: bool,
    /// The moment of the last batch or tick.
    pub time: Time,
    /// Writes, or everything, wait until then (CLIENT PAUSE).
    pub pause: Option<Pause>,
    /// Before a stop replicas get what they lack: commands that may write wait. SHUTDOWN ABORT ends it.
    pub shutdown_waits: bool,
    /// The last snapshot before a stop is being written: commands that may write wait.
    pub stopping: bool,
    /// How many clients run MONITOR.
    pub monitors: usize,
    /// Libraries of functions found in a snapshot, as they stand there: kept, and written again.
    pub functions: Vec<Vec<u8>>,
    /// Slots on their way from here or to here, as the log says, and what was of them.
    pub migrations: Jobs,
    /// How many sessions that send slots have been given names.
    pub sessions_named: u64,
}

/// What DEBUG switches off and on, for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DebugSwitches {
    /// Keys are removed by themselves when they expire (SET-ACTIVE-EXPIRE).
    pub active_expire: bool,
}

impl Default for DebugSwitches {
    fn default() -> Self {
        Self { active_expire: true }
    }
}

/// A pause of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// End of the pause in milliseconds since 1970.
    pub until_ms: u64,
    /// Whether only commands that may write wait.
    pub writes_only: bool,
}

impl State {
    /// The state of a node that has not loaded anything.
    pub fn new(config: Config, keyspace: Keyspace, run: run::Run, time: Time) -> Self {
        Self {
            keyspace,
            stream: Stream::new(run.first_replication_id.clone()),
            freeing: freeing::Freeing::default(),
            clients: Clients::default(),
            pubsub: PubSub::default(),
            stats: stats::Stats::default(),
            slowlog: slowlog::SlowLog::default(),
            latency: latency::Latency::default(),
            replication: replication::Replication::default(),
            cluster: None,
            trimming: trimming::Trimming::default(),
            moves: moves::Moves::default(),
            waiting: Vec::new(),
            key_waits: key_waits::KeyWaits::default(),
            next_deadline_ms: u64::MAX,
            persistence: persistence::Persistence::new(time.unix_s()),
            run,
            system: system::SystemFacts::default(),
            debug: DebugSwitches::default(),
            outputs: Vec::new(),
            ends_batch: false,
            time,
            pause: None,
            shutdown_waits: false,
            stopping: false,
            monitors: 0,
            functions: Vec::new(),
            migrations: Jobs::default(),
            sessions_named: 0,
            command_names: CommandNames::new(&config.rename_command),
            config,
        }
    }
}
