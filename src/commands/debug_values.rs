//! DEBUG OBJECT, LISTPACK, DIGEST, DIGEST-VALUE: values looked at closely.

use super::command::CommandResult;
use super::context::Context;
use super::dump::encoder_options;
use super::object::encoding;
use crate::keyspace::{Access, Entry, ValueRef};
use crate::resp::{Args, errors};
use crate::types::convert::{dump_object, dump_string};
use crate::types::digest::{Digest, ScoreText};

/// Bytes of a DUMP payload that are not the value: its type, version and checksum.
const DUMP_FRAME_BYTES: usize = 11;

pub(super) fn object(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (options, limits) =
        (encoder_options(&ctx.state.config), ctx.state.keyspace.settings.limits);
    let clock = ctx.state.keyspace.settings.access;
    let (db, now_ms, key) = (ctx.db(), ctx.now_ms(), ctx.key(&args[2]));
    let Some(entry) = ctx.state.keyspace.lookup(db, &key, Access::PEEK) else {
        return Err(errors::NO_SUCH_KEY);
    };
    let payload = match entry.value() {
        ValueRef::Object(object) => dump_object(object, &options).unwrap_or_default(),
        string => dump_string(&string.to_string_bytes().unwrap_or_default(), &options),
    };
    let text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        entry,
        encoding(entry, &limits),
        payload.len().saturating_sub(DUMP_FRAME_BYTES),
        entry.access(),
        clock.idle_seconds(entry.access(), now_ms),
    );
    ctx.reply.simple(&text);
    Ok(())
}

pub(super) fn listpack(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let limits = ctx.state.keyspace.settings.limits;
    let (db, key) = (ctx.db(), ctx.key(&args[2]));
    let Some(entry) = ctx.state.keyspace.lookup(db, &key, Access::PEEK) else {
        return Err(errors::NO_SUCH_KEY);
    };
    if encoding(entry, &limits) != "listpack" {
        return Err("ERR Not a listpack encoded object.".into());
    }
    ctx.reply.simple("Listpack structure printed on stdout");
    Ok(())
}

/// Chains the value of an entry.
fn chain(digest: &mut Digest, entry: &Entry) {
    let expires = entry.expiry_ms().is_some();
    match entry.value() {
        ValueRef::Object(object) => digest.object(object, expires, ScoreText::Shortest),
        string => digest.string(&string.to_string_bytes().unwrap_or_default(), expires),
    }
}

pub(super) fn digest(ctx: &mut Context<'_>) {
    let keyspace = &ctx.state.keyspace;
    let mut all = Digest::ZERO;
    for db in 0..keyspace.db_count() {
        if keyspace.db(db).is_none_or(crate::keyspace::Db::is_empty) {
            continue;
        }
        all.database(db);
        for entry in keyspace.entries(db) {
            let mut one = Digest::of_key(entry.key());
            chain(&mut one, entry);
            all.add_key(one);
        }
    }
    ctx.reply.simple(&all.to_string());
}

pub(super) fn digest_value(ctx: &mut Context<'_>, args: Args<'_>) {
    let db = ctx.db();
    ctx.reply.array(args.len() - 2);
    for word in args.iter_from(2) {
        let key = ctx.key(word);
        let mut one = Digest::ZERO;
        if let Some(entry) = ctx.state.keyspace.lookup(db, &key, Access::PEEK) {
            chain(&mut one, entry);
        }
        ctx.reply.simple(&one.to_string());
    }
}

/// A replication id that follows from another one and the time.
pub(super) fn another_id(id: &str, unix_us: u64) -> String {
    let mut digest = Digest::ZERO;
    digest.chain(id.as_bytes());
    digest.chain(&unix_us.to_be_bytes());
    digest.to_string()
}
