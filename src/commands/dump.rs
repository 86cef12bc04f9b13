//! One value as bytes and back: DUMP, RESTORE, and RESTORE-ASKING, which is RESTORE into a slot being imported.

use std::sync::Arc;

use highwater_persistence::snapshot::{DumpError, EncoderOptions, SnapshotError};

use super::arguments::{has_passed, integer, integer_in, is, string_bytes_max};
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::generic_move::as_one_change;
use crate::config::Config;
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Access, EMBEDDED_BYTES_MAX, Entry, KeyRef, Value, ValueRef};
use crate::resp::{Args, CommandError, errors};
use crate::types::convert::{self, Built, dump_object, dump_string};
use crate::types::{Limits, limits};

/// How values are encoded under `config`, in payloads as in snapshots.
pub fn encoder_options(config: &Config) -> EncoderOptions {
    EncoderOptions {
        version: config.rdb_version,
        compress: config.rdbcompression,
        thresholds: limits(config),
        // Never needed: fields that expire come first.
        drop_field_expiry: true,
    }
}

const DUMP: Command = Command {
    name: "dump",
    arity: Arity::Exactly(2),
    flags: &[Flag::Readonly],
    categories: &["keyspace"],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access])],
    since: "2.6.0",
    summary: "Answers the value at a key in the form that RESTORE takes.",
    complexity: "O(N) with N the size of the value",
    syntax: "key",
    tips: &["nondeterministic_output"],
    run: dump,
    ..Command::DEFAULT
};

fn dump(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = encoder_options(&ctx.state.config);
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    let Some(entry) = ctx.state.keyspace.lookup(db, &key, Access::READ) else {
        ctx.reply.nil();
        return Ok(());
    };
    let payload = payload(&options, entry.value()).map_err(unwritable)?;
    ctx.reply.bulk(&payload);
    Ok(())
}

/// The payload of a value, which may be long: whoever has a copy makes it off the node's lock.
///
/// # Errors
/// It cannot be written in the version that `options` ask for.
pub fn payload(options: &EncoderOptions, value: ValueRef<'_>) -> Result<Vec<u8>, SnapshotError> {
    match value {
        ValueRef::Str(bytes) => Ok(dump_string(bytes, options)),
        ValueRef::Int(number) => {
            Ok(dump_string(itoa::Buffer::new().format(number).as_bytes(), options))
        }
        ValueRef::Object(object) => dump_object(object, options),
    }
}

fn unwritable(error: SnapshotError) -> CommandError {
    CommandError::owned(format!("ERR {error}"))
}

/// The declaration that RESTORE and RESTORE-ASKING share.
const RESTORES: Command = Command {
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::Denyoom],
    categories: &["keyspace", "dangerous"],
    keys: &[key(1, &[KeyFlag::Ow, KeyFlag::Update])],
    complexity: "O(N) with N the size of the value, O(N*log(N)) for sorted sets",
    syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
    run: restore,
    ..Command::DEFAULT
};

const RESTORE: Command = Command {
    name: "restore",
    since: "2.6.0",
    summary: "Creates a key from what DUMP answered.",
    ..RESTORES
};

const RESTORE_ASKING: Command = Command {
    name: "restore-asking",
    flags: &[Flag::Write, Flag::Denyoom, Flag::Asking],
    group: Group::Server,
    since: "3.0.0",
    summary: "Creates a key in a slot that is being imported: a part of MIGRATE.",
    ..RESTORES
};

/// The options of RESTORE.
#[derive(Debug, Default)]
struct RestoreOptions {
    replace: bool,
    /// The ttl is a moment, not a duration.
    absolute: bool,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl RestoreOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        const IDLETIME: &str = "ERR Invalid IDLETIME value, must be >= 0";
        const FREQ: &str = "ERR Invalid FREQ value, must be >= 0 and <= 255";
        let mut options = Self::default();
        let mut rest = args.iter_from(4);
        while let Some(word) = rest.next() {
            if is(word, "REPLACE") {
                options.replace = true;
            } else if is(word, "ABSTTL") {
                options.absolute = true;
            } else if is(word, "IDLETIME") && options.frequency.is_none() {
                let value = rest.next().ok_or(errors::SYNTAX)?;
                let seconds = integer_in(value, 0..=i64::MAX, CommandError::new(IDLETIME))?;
                options.idle_s = u64::try_from(seconds).ok();
            } else if is(word, "FREQ") && options.idle_s.is_none() {
                let value = rest.next().ok_or(errors::SYNTAX)?;
                let counter = integer_in(value, 0..=255, CommandError::new(FREQ))?;
                options.frequency = u8::try_from(counter).ok();
            } else {
                return Err(errors::SYNTAX);
            }
        }
        Ok(options)
    }
}

fn restore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = RestoreOptions::parse(args)?;
    let (db, key) = (ctx.db(), ctx.key(&args[1]));
    if !options.replace && ctx.state.keyspace.exists(db, &key, Access::WRITE) {
        return Err(errors::BUSYKEY);
    }
    let ttl = integer(&args[2])?;
    if ttl < 0 {
        return Err(CommandError::new("ERR Invalid TTL value, must be >= 0"));
    }
    let (limits, bytes_max) = (ctx.state.keyspace.settings.limits, string_bytes_max(ctx));
    let mut entry = decode(&key, &args[3], limits, bytes_max)?;
    let when_ms = match ttl {
        0 => None,
        moment if options.absolute => Some(moment),
        duration => Some(duration.saturating_add_unsigned(ctx.now_ms())),
    };
    if when_ms.is_some_and(|when_ms| has_passed(ctx, when_ms)) {
        restore_nothing(ctx, db, &key);
        return Ok(());
    }
    entry.set_expiry(when_ms.and_then(|when_ms| u64::try_from(when_ms).ok()));
    set_access(ctx, &options, &mut entry);
    as_one_change(ctx, |ctx| {
        ctx.state.keyspace.insert_entry(db, &key, entry);
        true
    });
    ctx.notify(KeyspaceEvents::GENERIC, "restore", key.bytes);
    if let Some(when_ms) = when_ms.filter(|_| !options.absolute) {
        propagate(ctx, args, when_ms);
    }
    ctx.reply.ok();
    Ok(())
}

/// A value that has expired on its way: what was at the key goes, and that is all.
fn restore_nothing(ctx: &mut Context<'_>, db: u32, key: &KeyRef<'_>) {
    if ctx.state.keyspace.remove(db, key) {
        ctx.notify(KeyspaceEvents::GENERIC, "del", key.bytes);
        let lazy = ctx.state.config.lazyfree_lazy_server_del;
        ctx.effect(&[if lazy { b"UNLINK" } else { b"DEL" }, key.bytes]);
    }
    ctx.reply.ok();
}

/// Sets the access clock to what the options say, where the policy in force has a use for it.
fn set_access(ctx: &Context<'_>, options: &RestoreOptions, entry: &mut Entry) {
    let (access, now_ms) = (ctx.state.keyspace.settings.access, ctx.now_ms());
    let told = if access.lfu {
        options.frequency.map(|counter| access.with_frequency(counter, now_ms))
    } else {
        options.idle_s.map(|idle_s| access.with_idle(idle_s, now_ms))
    };
    entry.set_access(told.unwrap_or_else(|| access.fresh(now_ms)));
}

/// The effect of a value with a duration: the moment in its place.
fn propagate(ctx: &mut Context<'_>, args: Args<'_>, when_ms: i64) {
    let mut buffer = itoa::Buffer::new();
    let mut words: Vec<&[u8]> = args.iter().collect();
    words[2] = buffer.format(when_ms).as_bytes();
    words.push(b"ABSTTL");
    ctx.effect(&words);
}

/// The entry that a payload describes.
fn decode(
    key: &KeyRef<'_>,
    payload: &[u8],
    limits: Limits,
    bytes_max: u64,
) -> Result<Entry, CommandError> {
    let built =
        convert::restore_bounded(payload, limits, bytes_max).map_err(|error| match error {
            DumpError::VersionOrChecksum => {
                CommandError::new("ERR DUMP payload version or checksum are wrong")
            }
            DumpError::BadData(_) => CommandError::new("ERR Bad data format"),
        })?;
    match built {
        Built::String(bytes) if bytes.len() > EMBEDDED_BYTES_MAX => {
            Ok(Entry::new(key.bytes, Value::Shared(Arc::new(bytes)), None))
        }
        Built::String(bytes) => Ok(Entry::new(key.bytes, Value::string(&bytes), None)),
        Built::Object(object) => Ok(Entry::new(key.bytes, Value::Object(object), None)),
        Built::Empty => Err(CommandError::new("ERR Bad data format")),
    }
}

/// The family.
pub const COMMANDS: &[Command] = &[DUMP, RESTORE, RESTORE_ASKING];
