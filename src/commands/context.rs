//! What a command gets to work with.

use crate::clock::Time;
#[cfg(doc)]
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{KeyRef, Keyspace};
use crate::resp::Reply;
use crate::state::output::Note;
use crate::state::{Client, Output, State};

use super::table::Entry;

/// What dispatch is to do when a command's function has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Then {
    /// Nothing more.
    #[default]
    Nothing,
    /// Run the client's queued transaction.
    Exec,
    /// Bring what derives from settings up to date.
    SettingsChanged,
    /// Do what follows from a change of the cluster.
    ClusterChanged,
    /// Apply the batch of a migration that the request holds.
    ApplyBatch,
}

/// The surroundings of one running command.
#[derive(Debug)]
pub struct Context<'a> {
    /// Everything the node knows, but for the client the command runs for.
    pub state: &'a mut State,
    /// The client the command runs for.
    pub client: &'a mut Client,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The moment of the execution unit: it stands still while the unit runs.
    pub time: Time,
    /// The command itself.
    pub entry: &'static Entry,
    /// Whether the command has said itself what its effect is; otherwise a request that changed data is its own effect.
    pub effect_given: bool,
    /// What comes next.
    pub then: Then,
}

impl Context<'_> {
    /// The client's database.
    #[inline]
    pub fn db(&self) -> u32 {
        self.client.db
    }

    /// Notes that what counted as one change of a key was one of `count` elements.
    #[inline]
    pub fn count_changes(&mut self, count: usize) {
        self.state.keyspace.dirty += (count as u64).saturating_sub(1);
    }

    /// The data.
    #[inline]
    pub fn keyspace(&mut self) -> &mut Keyspace {
        &mut self.state.keyspace
    }

    /// `bytes` as a key: its slot and hash.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> KeyRef<'k> {
        self.state.keyspace.key(bytes)
    }

    /// Milliseconds since 1970.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.time.unix_ms()
    }

    /// Tells those who listen what happened to a key: `class` is one of [`KeyspaceEvents`]' constants.
    #[inline]
    pub fn notify(&mut self, class: u32, event: &str, key: &[u8]) {
        self.state.notify(class, event, self.client.db, key);
    }

    /// Has a line written to the log of events.
    pub fn note(&mut self, text: String) {
        self.state.outputs.push(Output::Note(Note { warning: false, text }));
    }

    /// Says that log and replicas see `args` in the client's database, in place of the request. May be called more than
    /// once: the effects then form one unit.
    pub fn effect(&mut self, args: &[&[u8]]) {
        self.effect_given = true;
        let db = self.client.db;
        self.state.keyspace.effects.push(db, args);
    }

    /// Says that log and replicas see nothing of the request beyond what [`Context::effect`] was told.
    pub fn no_effect(&mut self) {
        self.effect_given = true;
    }

    /// Says that the request is to be logged though it changed nothing (FLUSHALL on an empty dataset).
    pub fn effect_always(&mut self) {
        self.state.keyspace.effects.verbatim();
    }
}
