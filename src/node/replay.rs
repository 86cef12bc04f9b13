//! Playing a log into a node that serves nobody yet.

use crate::clock::Time;
use crate::commands;
use crate::keyspace::ExpireMode;
use crate::migration::Note;
use crate::resp::{Args, CommandError};
use crate::state::ClientId;
use crate::state::client::{Client, Peer};

use super::Node;
use super::dispatch::{call, resolve_effect};

/// Plays commands of a log into a node. Gates do not apply, nothing expires, nothing is propagated, replies are dropped.
#[derive(Debug)]
pub struct Replay {
    node: Node,
    client: Client,
    out: Vec<u8>,
    time: Time,
    /// Commands played.
    pub commands: u64,
    /// Commands that answered an error, and the last such error.
    pub failed: (u64, Option<CommandError>),
}

impl Replay {
    /// Plays into `node`.
    pub fn new(mut node: Node, time: Time) -> Self {
        node.state.keyspace.expire_mode = ExpireMode::Ignore;
        let client = Client::new(ClientId(0), Peer::default(), true, time);
        Self { node, client, out: Vec::new(), time, commands: 0, failed: (0, None) }
    }

    /// The node, for loading a snapshot into it.
    pub fn node(&mut self) -> &mut Node {
        &mut self.node
    }

    /// The database in force.
    pub fn db(&self) -> u32 {
        self.client.db
    }

    /// Has the memory fetched that commands on these keys will need.
    pub fn prefetch<'k>(&self, db: u32, keys: impl Iterator<Item = &'k [u8]>) {
        let keyspace = &self.node.state.keyspace;
        keyspace.prefetch_new(db, &super::prefetch::keys(keyspace, keys));
    }

    /// The command that `args` name.
    ///
    /// # Errors
    /// There is no such command, or it does not take these arguments: the log is not one this node can play.
    pub fn resolve(&self, args: Args<'_>) -> Result<&'static commands::Entry, CommandError> {
        resolve_effect(&self.node.state.command_names, args)
    }

    /// Plays one command, which `args` resolve to, with database `db` in force. MULTI and EXEC are passed over: the
    /// log's reader hands over whole units only.
    pub fn play(&mut self, db: u32, entry: &'static commands::Entry, args: Args<'_>) {
        self.client.db = db;
        if matches!(entry.command.name, "multi" | "exec") {
            return;
        }
        let state = &mut self.node.state;
        if entry.command.name == "ping" {
            if let Some(note) = args.get(1).and_then(Note::parse) {
                state.migrations.hear(&note, self.time);
            }
            self.commands += 1;
            return;
        }
        state.keyspace.begin(self.time.unix_ms(), 0);
        let called = call(state, &mut self.client, entry, args, &mut self.out, self.time);
        state.keyspace.effects.clear();
        if state.keyspace.has_garbage() {
            drop(state.keyspace.take_garbage());
        }
        if called.failed {
            self.failed.0 += 1;
            let text = String::from_utf8_lossy(&self.out);
            let text = text.trim_end().trim_start_matches('-').to_owned();
            self.failed.1 = Some(CommandError::owned(text));
        }
        self.out.clear();
        self.commands += 1;
    }

    /// Takes this node's keyspace apart (see [`Keyspace::split`](crate::keyspace::Keyspace::split)) for replays on
    /// threads of their own. Until [`Replay::join`] this one may play only commands that do not look at the keyspace.
    pub fn split(&mut self, parts: usize) -> Vec<Replay> {
        let state = &mut self.node.state;
        let keyspaces = state.keyspace.split(parts).into_iter();
        keyspaces
            .map(|keyspace| {
                let (config, run) = (state.config.clone(), state.run.clone());
                Replay::new(Node::new(config, keyspace, run, self.time), self.time)
            })
            .collect()
    }

    /// Takes over what the parts have loaded, and their counts. Which error was the last is for the caller to know.
    pub fn join(&mut self, parts: Vec<Replay>) {
        let keyspaces = parts.into_iter().map(|part| {
            self.commands += part.commands;
            self.failed.0 += part.failed.0;
            part.node.state.keyspace
        });
        self.node.state.keyspace.join(keyspaces.collect());
    }

    /// The loaded node, expiring again.
    pub fn finish(mut self) -> Node {
        self.node.state.keyspace.expire_mode = ExpireMode::Delete;
        self.node.state.outputs.clear();
        self.node
    }
}
