//! MIGRATE: moves keys to another node. Here the order is read and the keys are looked for; `node/moves.rs` has what
//! happens to them until they have arrived.

use super::arguments::{integer, is};
use super::command::{Arity, Command, CommandResult, Find, Flag, KeyFlag, KeySpec};
use super::context::Context;
use crate::keyspace::Access;
use crate::resp::{Args, CommandError, errors};
use crate::state::ClientId;
use crate::state::moves::{Order, Target};

/// Milliseconds where the client gives none.
const TIMEOUT_MS: u64 = 1000;

const MOVED: &[KeyFlag] = &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete];
const MOVED_TOO: &[KeyFlag] = &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete, KeyFlag::Incomplete];

const MIGRATE: Command = Command {
    name: "migrate",
    arity: Arity::AtLeast(6),
    flags: &[Flag::Write],
    categories: &["keyspace", "dangerous"],
    keys: &[
        KeySpec { find: Find::OneUnless { at: 3, word: "KEYS" }, flags: MOVED },
        KeySpec { find: Find::AllBehind { word: "KEYS" }, flags: MOVED_TOO },
    ],
    since: "2.6.0",
    summary: "Moves keys to another node; others are served meanwhile.",
    complexity: "O(N) with N the size of the values, here and at the target",
    syntax: "host port <key | \"\"> destination-db timeout [COPY] [REPLACE] [AUTH password | AUTH2 username password] [KEYS key [key ...]]",
    tips: &["nondeterministic_output"],
    run: migrate,
    ..Command::DEFAULT
};

/// The words behind the timeout.
#[derive(Debug, Default)]
struct Options {
    copies: bool,
    replaces: bool,
    auth: Vec<Vec<u8>>,
    /// Index of the first key behind KEYS.
    keys_from: Option<usize>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        const BOTH: CommandError = CommandError::new(
            "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
        );
        let mut options = Self::default();
        let mut at = 6;
        while let Some(word) = args.get(at) {
            at += 1;
            let secrets = |count: usize| -> Result<Vec<Vec<u8>>, CommandError> {
                let words = (at..at + count).map(|at| args.get(at).map(<[u8]>::to_vec));
                words.collect::<Option<_>>().ok_or(errors::SYNTAX)
            };
            if is(word, "COPY") {
                options.copies = true;
            } else if is(word, "REPLACE") {
                options.replaces = true;
            } else if is(word, "AUTH") {
                options.auth = secrets(1)?;
                at += 1;
            } else if is(word, "AUTH2") {
                options.auth = secrets(2)?;
                at += 2;
            } else if is(word, "KEYS") {
                if !args[3].is_empty() {
                    return Err(BOTH);
                }
                options.keys_from = Some(at);
                break;
            } else {
                return Err(errors::SYNTAX);
            }
        }
        Ok(options)
    }
}

fn migrate(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    // Nobody who could be told of the end of it.
    if ctx.client.in_exec || ctx.client.id == ClientId(0) {
        return Err(errors::MIGRATE_IN_MULTI);
    }
    let options = Options::parse(args)?;
    let timeout_ms = match integer(&args[5])? {
        time if time <= 0 => TIMEOUT_MS,
        time => time.unsigned_abs(),
    };
    let to_db = integer(&args[4])?;
    let keys = present(ctx, args, options.keys_from);
    if keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(());
    }
    let target = Target {
        host: String::from_utf8_lossy(&args[1]).into_owned(),
        port: String::from_utf8_lossy(&args[2]).parse().unwrap_or(0),
        // One that no node has is refused by the target.
        db: u32::try_from(to_db).unwrap_or(u32::MAX),
        auth: options.auth,
        replaces: options.replaces,
        asks: ctx.state.config.cluster_enabled,
        timeout_ms,
    };
    let order = Order { target, db: ctx.db(), keys, copies: options.copies };
    ctx.no_effect();
    ctx.state.begin_move(ctx.client, order);
    Ok(())
}

/// Those of the keys that are there, each once.
fn present(ctx: &mut Context<'_>, args: Args<'_>, from: Option<usize>) -> Vec<Box<[u8]>> {
    let db = ctx.db();
    let named = match from {
        Some(from) => from..args.len(),
        None => 3..4,
    };
    let mut seen = std::collections::HashSet::new();
    let mut keys = Vec::new();
    for bytes in named.filter_map(|at| args.get(at)) {
        let key = ctx.key(bytes);
        if ctx.state.keyspace.exists(db, &key, Access::READ) && seen.insert(bytes) {
            keys.push(bytes.into());
        }
    }
    keys
}

/// The family.
pub const COMMANDS: &[Command] = &[MIGRATE];
