//! Streams: XINFO, what is known of them and of the groups that read them.

use highwater_persistence::snapshot::StreamId;

use super::arguments::{integer, is};
use super::collections::read;
use super::command::{Arity, Command, CommandResult, Flag, Group, KeyFlag, key};
use super::context::Context;
use super::help::HELP;
use super::stream_group::no_group;
use super::stream_id::write_id;
use super::stream_range::{limit, write_entries, write_entry};
use crate::resp::{Args, CommandError, Reply, errors, quoted};
use crate::types::{Consumer, Entries, Group as ReadingGroup, Stream};

/// The declaration that the subcommands share.
const SUBCOMMAND: Command = Command {
    arity: Arity::Exactly(3),
    flags: &[Flag::Readonly],
    keys: &[key(2, &[KeyFlag::Ro, KeyFlag::Access])],
    group: Group::Stream,
    since: "5.0.0",
    ..Command::DEFAULT
};

const STREAM: Command = Command {
    name: "stream",
    arity: Arity::AtLeast(3),
    summary: "Answers what is known of a stream; FULL adds its first entries and its groups.",
    syntax: "key [FULL [COUNT count]]",
    run: stream,
    ..SUBCOMMAND
};

const GROUPS: Command = Command {
    name: "groups",
    summary: "Answers what is known of the groups of a stream.",
    syntax: "key",
    run: groups,
    ..SUBCOMMAND
};

const CONSUMERS: Command = Command {
    name: "consumers",
    arity: Arity::Exactly(4),
    summary: "Answers what is known of the consumers of a group.",
    syntax: "key group",
    tips: &["nondeterministic_output"],
    run: consumers,
    ..SUBCOMMAND
};

const XINFO: Command = Command {
    name: "xinfo",
    arity: Arity::AtLeast(2),
    group: Group::Stream,
    since: "5.0.0",
    summary: "Holds the commands that tell of streams.",
    complexity: "That of the subcommand",
    subcommands: &[STREAM, GROUPS, CONSUMERS, Command { group: Group::Stream, ..HELP }],
    ..Command::DEFAULT
};

fn field(reply: &mut Reply<'_>, name: &str) {
    reply.bulk(name.as_bytes());
}

fn count(reply: &mut Reply<'_>, name: &str, value: u64) {
    field(reply, name);
    reply.int(value.cast_signed());
}

fn count_or_nil(reply: &mut Reply<'_>, name: &str, value: Option<u64>) {
    field(reply, name);
    match value {
        Some(value) => reply.int(value.cast_signed()),
        None => reply.nil(),
    }
}

fn id(reply: &mut Reply<'_>, name: &str, value: StreamId) {
    field(reply, name);
    write_id(reply, value);
}

fn groups(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[2]));
    let stream = read::<Stream>(&mut ctx.state.keyspace, db, &key)?.ok_or(errors::NO_SUCH_KEY)?;
    let reply = &mut ctx.reply;
    reply.array(stream.group_count());
    for (name, group) in stream.groups() {
        reply.map(6);
        field(reply, "name");
        reply.bulk(name);
        count(reply, "consumers", group.consumer_count() as u64);
        count(reply, "pending", group.pending_len() as u64);
        id(reply, "last-delivered-id", group.last_id);
        count_or_nil(reply, "entries-read", group.entries_read);
        count_or_nil(reply, "lag", group.lag(&stream.entries));
    }
    Ok(())
}

fn consumers(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[2]));
    let now_ms = ctx.now_ms().cast_signed();
    let stream = read::<Stream>(&mut ctx.state.keyspace, db, &key)?.ok_or(errors::NO_SUCH_KEY)?;
    let group = stream.group(&args[3]).ok_or_else(|| no_group(&args[2], &args[3]))?;
    let reply = &mut ctx.reply;
    reply.array(group.consumer_count());
    for consumer in group.consumers() {
        reply.map(4);
        field(reply, "name");
        reply.bulk(consumer.name());
        count(reply, "pending", consumer.pending_len() as u64);
        field(reply, "idle");
        reply.int(now_ms.wrapping_sub(consumer.seen_ms()).max(0));
        field(reply, "inactive");
        reply.int(match consumer.active_ms {
            Some(active_ms) => now_ms.wrapping_sub(active_ms).max(0),
            None => -1,
        });
    }
    Ok(())
}

fn stream(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key) = (ctx.db(), ctx.key(&args[2]));
    let stream = read::<Stream>(&mut ctx.state.keyspace, db, &key)?.ok_or(errors::NO_SUCH_KEY)?;
    let reply = &mut ctx.reply;
    let Some(shown) = shown_in_full(args)? else {
        reply.map(10);
        numbers(reply, &stream.entries);
        count(reply, "groups", stream.group_count() as u64);
        for (name, entry) in
            [("first-entry", stream.entries.first()), ("last-entry", stream.entries.last())]
        {
            field(reply, name);
            match entry {
                Some(entry) => write_entry(reply, &entry),
                None => reply.nil(),
            }
        }
        return Ok(());
    };
    reply.map(9);
    numbers(reply, &stream.entries);
    field(reply, "entries");
    write_entries(reply, stream.entries.iter().take(shown));
    field(reply, "groups");
    reply.array(stream.group_count());
    for (name, group) in stream.groups() {
        describe_group(reply, name, group, &stream.entries, shown);
    }
    Ok(())
}

/// How many entries of each kind are answered with FULL; `None` without it.
fn shown_in_full(args: Args<'_>) -> Result<Option<usize>, CommandError> {
    const SHOWN: usize = 10;
    match (args.get(3), args.get(4), args.get(5)) {
        (None, ..) => Ok(None),
        (Some(word), None, None) if is(word, "FULL") => Ok(Some(SHOWN)),
        (Some(word), Some(option), Some(value))
            if is(word, "FULL") && is(option, "COUNT") && args.len() == 6 =>
        {
            let count = u64::try_from(integer(value)?);
            Ok(Some(match count {
                Ok(0) => usize::MAX,
                Ok(count) => limit(count),
                Err(_) => SHOWN,
            }))
        }
        _ => {
            let shown = quoted(&args[1][..args[1].len().min(128)]);
            Err(CommandError::owned(format!(
                "ERR unknown subcommand or wrong number of arguments for '{shown}'. Try XINFO HELP."
            )))
        }
    }
}

/// The numbers that both forms begin with.
fn numbers(reply: &mut Reply<'_>, entries: &Entries) {
    let meta = entries.meta();
    count(reply, "length", meta.length);
    count(reply, "radix-tree-keys", entries.node_count() as u64);
    count(reply, "radix-tree-nodes", reckoned_radix_nodes(entries));
    id(reply, "last-generated-id", meta.last_id);
    id(reply, "max-deleted-entry-id", meta.max_deleted_id);
    count(reply, "entries-added", meta.entries_added);
    id(reply, "recorded-first-entry-id", meta.first_id);
}

fn describe_group(
    reply: &mut Reply<'_>,
    name: &[u8],
    group: &ReadingGroup,
    entries: &Entries,
    shown: usize,
) {
    reply.map(7);
    field(reply, "name");
    reply.bulk(name);
    id(reply, "last-delivered-id", group.last_id);
    count_or_nil(reply, "entries-read", group.entries_read);
    count_or_nil(reply, "lag", group.lag(entries));
    count(reply, "pel-count", group.pending_len() as u64);
    field(reply, "pending");
    reply.array(group.pending_len().min(shown));
    for (id, pending) in group.all_pending().take(shown) {
        reply.array(4);
        write_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.int(pending.delivered_ms);
        reply.int(pending.deliveries.cast_signed());
    }
    field(reply, "consumers");
    reply.array(group.consumer_count());
    for consumer in group.consumers() {
        describe_consumer(reply, group, consumer, shown);
    }
}

fn describe_consumer(
    reply: &mut Reply<'_>,
    group: &ReadingGroup,
    consumer: &Consumer,
    shown: usize,
) {
    reply.map(5);
    field(reply, "name");
    reply.bulk(consumer.name());
    field(reply, "seen-time");
    reply.int(consumer.seen_ms());
    field(reply, "active-time");
    reply.int(consumer.active_ms.unwrap_or(-1));
    count(reply, "pel-count", consumer.pending_len() as u64);
    field(reply, "pending");
    reply.array(consumer.pending_len().min(shown));
    for id in consumer.all_pending().take(shown) {
        reply.array(3);
        write_id(reply, id);
        let pending = group.pending_entry(id);
        reply.int(pending.map_or(0, |pending| pending.delivered_ms));
        reply.int(pending.map_or(0, |pending| pending.deliveries.cast_signed()));
    }
}

/// How many nodes a radix tree of the ids that begin the nodes has. Of many the first ones are looked at, and the rest counts as
/// they do: clients may ask often, and the node is held meanwhile.
fn reckoned_radix_nodes(entries: &Entries) -> u64 {
    const LOOKED_AT: usize = 4096;
    let looked_at = radix_nodes(entries.bases().take(LOOKED_AT));
    let all = entries.node_count();
    if all <= LOOKED_AT {
        return looked_at;
    }
    let reckoned = u128::from(looked_at) * all as u128 / LOOKED_AT as u128;
    u64::try_from(reckoned).unwrap_or(u64::MAX)
}

/// How many nodes a compressed radix tree of these ids has, such as stock servers keep: one for each key and each place where keys
/// part, and one for each piece of a key in between.
fn radix_nodes(ids: impl Iterator<Item = StreamId>) -> u64 {
    const KEY_BYTES: usize = 16;
    // A byte of a node's path stands in its parent; where there are more, they are a node in between.
    let node = |parent: Option<usize>, depth: usize| {
        1 + u64::from(depth > parent.map_or(0, |parent| parent + 1))
    };
    let (mut nodes, mut last) = (0, None::<[u8; KEY_BYTES]>);
    // Depths at which the path to the last key parts, ascending; and the one at which it parted from the key before.
    let (mut path, mut parted): (Vec<usize>, Option<usize>) = (Vec::new(), None);
    for id in ids {
        let key = id.to_bytes();
        let Some(before) = last.replace(key) else { continue };
        let shared = before.iter().zip(&key).take_while(|(one, two)| one == two).count();
        nodes += node(parted.max(Some(shared)), KEY_BYTES);
        parted = Some(shared);
        while let Some(depth) = path.pop_if(|depth| *depth > shared) {
            nodes += node(path.last().copied().max(parted), depth);
        }
        if path.last() != Some(&shared) {
            path.push(shared);
        }
    }
    if last.is_none() {
        return 1;
    }
    nodes += node(parted, KEY_BYTES);
    while let Some(depth) = path.pop() {
        nodes += node(path.last().copied(), depth);
    }
    nodes
}

/// The container.
pub const COMMANDS: &[Command] = &[XINFO];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Limits;

    #[test]
    fn the_radix_tree_of_many_nodes_is_reckoned_from_some() {
        let one_each = Limits { stream_node_entries_max: 1, ..Limits::default() };
        let mut entries = Entries::default();
        for ms in 0..20_000 {
            let id = StreamId::new(1_700_000_000_000 + ms * 7, 0);
            entries.push(id, [&b"f"[..], b"v"].into_iter(), &one_each).expect("it is above");
            if entries.node_count() == 4096 {
                assert_eq!(reckoned_radix_nodes(&entries), radix_nodes(entries.bases()));
            }
        }
        let (reckoned, counted) = (reckoned_radix_nodes(&entries), radix_nodes(entries.bases()));
        assert!(reckoned.abs_diff(counted) * 100 <= counted, "{reckoned}, not {counted}");
        assert_ne!(reckoned, counted, "it is not walked over");
    }
}
