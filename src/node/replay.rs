//! Playing a log into a node that serves nobody yet.

use crate::clock::Time;
use crate::commands::table;
use crate::config::Reached;
use crate::keyspace::ExpireMode;
use crate::resp::{Args, CommandError, errors};
use crate::state::ClientId;
use crate::state::client::{Client, Peer};

use super::Node;
use super::dispatch::call;

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

    /// Has the memory fetched that commands on these keys will need.
    pub fn prefetch<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        super::prefetch::keys(&self.node.state.keyspace, self.client.db, keys);
    }

    /// Plays one command. MULTI and EXEC are passed over: the log's reader hands over whole units only.
    ///
    /// # Errors
    /// There is no such command, or it does not take these arguments: the log is not one this node can play.
    pub fn command(&mut self, args: Args<'_>) -> Result<(), CommandError> {
        // Requests are logged as they came, under a new name too; effects of the node's own have the commands' own names.
        let found = match self.node.state.command_names.reached(&args[0]) {
            Reached::Other(own) => table().find(own.as_bytes()),
            Reached::Itself | Reached::Nothing => table().find(&args[0]),
        };
        let Some(mut entry) = found else {
            return Err(errors::unknown_command(&args[0], args.iter_from(1)));
        };
        if !entry.subcommands.is_empty() && args.len() > 1 {
            entry = entry
                .subcommand(&args[1])
                .ok_or_else(|| errors::unknown_subcommand(entry.command.name, &args[1]))?;
        }
        if !entry.arity.fits(args.len()) {
            return Err(errors::wrong_arity(&entry.full_name));
        }
        if matches!(entry.command.name, "multi" | "exec") {
            return Ok(());
        }
        let state = &mut self.node.state;
        state.keyspace.begin(self.time.unix_ms(), 0);
        let called = call(state, &mut self.client, entry, args, &mut self.out, self.time);
        state.keyspace.effects.clear();
        if called.failed {
            self.failed.0 += 1;
            let text = String::from_utf8_lossy(&self.out);
            let text = text.trim_end().trim_start_matches('-').to_owned();
            self.failed.1 = Some(CommandError::owned(text));
        }
        self.out.clear();
        self.commands += 1;
        Ok(())
    }

    /// The loaded node, expiring again.
    pub fn finish(mut self) -> Node {
        self.node.state.keyspace.expire_mode = ExpireMode::Delete;
        self.node.state.outputs.clear();
        self.node
    }
}
