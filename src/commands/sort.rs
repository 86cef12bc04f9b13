//! SORT and SORT_RO: the elements of a list, set or sorted set in an order that these or other keys give.
//!
//! Elements are copied once, with what decides their order ([`super::sort_order`]); then nothing is looked up or made while
//! they are compared. Patterns name the keys of weights and of what is answered ([`super::sort_pattern`]).

use super::arguments::{integer, is};
use super::command::{Arity, Command, CommandResult, Find, Flag, Group, KeyFlag, KeySpec, key};
use super::context::Context;
use super::generic::delete;
use super::sort_order::{By, Elements, Order};
use super::sort_pattern::{Lookup, Pattern};
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{Access, Ttl, Value, ValueRef};
use crate::resp::{Args, CommandError, errors};
use crate::types::{Limits, List, Object};

/// Keys that BY and GET read.
const NAMED_BY_VALUES: KeySpec =
    KeySpec { find: Find::Nowhere, flags: &[KeyFlag::Ro, KeyFlag::Access] };

/// SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]
const SORT: Command = Command {
    name: "sort",
    arity: Arity::AtLeast(2),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    categories: &["set", "sortedset", "list", "dangerous"],
    keys: &[
        key(1, &[KeyFlag::Ro, KeyFlag::Access]),
        NAMED_BY_VALUES,
        KeySpec {
            find: Find::BehindLast { word: "STORE" },
            flags: &[KeyFlag::Ow, KeyFlag::Update],
        },
    ],
    group: Group::Generic,
    summary: "Returns or stores the elements of a list, set or sorted set in order.",
    complexity: "O(N+M*log(M)) with N the number of elements and M of those that are returned",
    syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
    run: sort,
    ..Command::DEFAULT
};

/// SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA]
const SORT_RO: Command = Command {
    name: "sort_ro",
    flags: &[Flag::Readonly, Flag::Movablekeys],
    keys: &[key(1, &[KeyFlag::Ro, KeyFlag::Access]), NAMED_BY_VALUES],
    since: "7.0.0",
    summary: "Returns the elements of a list, set or sorted set in order.",
    syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]",
    run: sort_ro,
    ..SORT
};

fn sort(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    sort_as_asked(ctx, args, true)
}

fn sort_ro(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    sort_as_asked(ctx, args, false)
}

/// What a request asks for.
#[derive(Debug, Default)]
struct Options<'a> {
    by: Option<&'a [u8]>,
    /// First element and number of them, negative for all.
    limit: Option<(i64, i64)>,
    gets: Vec<Pattern<'a>>,
    descends: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(ctx: &Context<'_>, args: Args<'a>, may_store: bool) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let clustered = ctx.state.config.cluster_enabled;
        let mut index = 2;
        while let Some(word) = args.get(index) {
            let operand = args.get(index + 1);
            if is(word, "ASC") {
                options.descends = false;
            } else if is(word, "DESC") {
                options.descends = true;
            } else if is(word, "ALPHA") {
                options.alpha = true;
            } else if is(word, "LIMIT")
                && let Some((start, count)) = operand.zip(args.get(index + 2))
            {
                options.limit = Some((integer(start)?, integer(count)?));
                index += 2;
            } else if may_store
                && is(word, "STORE")
                && let Some(target) = operand
            {
                options.store = Some(target);
                index += 1;
            } else if is(word, "BY")
                && let Some(pattern) = operand
            {
                if clustered && Pattern::names_keys(pattern) {
                    let text = "ERR BY option of SORT denied in Cluster mode.";
                    return Err(CommandError::new(text));
                }
                options.by = Some(pattern);
                index += 1;
            } else if is(word, "GET")
                && let Some(pattern) = operand
            {
                if clustered {
                    let text = "ERR GET option of SORT denied in Cluster mode.";
                    return Err(CommandError::new(text));
                }
                options.gets.push(Pattern::parse(pattern));
                index += 1;
            } else {
                return Err(errors::SYNTAX);
            }
            index += 1;
        }
        Ok(options)
    }

    /// The order wanted of the elements of a set or of another collection.
    fn order(&self, of_set: bool) -> Order<'a> {
        let by = match self.by {
            None => By::Element,
            Some(pattern) if Pattern::names_keys(pattern) => By::Pattern(Pattern::parse(pattern)),
            // A set has no order of its own, so what is kept of it would not be the same everywhere.
            Some(_) if of_set && self.store.is_some() => {
                return Order { by: By::Element, alpha: true, descends: self.descends };
            }
            Some(_) => By::Nothing,
        };
        Order { by, alpha: self.alpha, descends: self.descends }
    }

    /// The part of `len` elements that is wanted.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let Some((start, count)) = self.limit else { return 0..len };
        let start = usize::try_from(start.max(0)).unwrap_or(len).min(len);
        let count = usize::try_from(count).unwrap_or(len);
        start..start.saturating_add(count).min(len)
    }
}

fn sort_as_asked(ctx: &mut Context<'_>, args: Args<'_>, may_store: bool) -> CommandResult {
    let options = Options::parse(ctx, args, may_store)?;
    let (db, key) = (ctx.client.db, ctx.key(&args[1]));
    let value = ctx.state.keyspace.lookup(db, &key, Access::READ).map(|entry| entry.value());
    let (mut elements, order, range) = match value {
        None => (Elements::default(), options.order(false), 0..0),
        Some(ValueRef::Object(object)) => {
            let len = match object {
                Object::List(list) => list.len(),
                Object::Set(set) => set.len(),
                Object::Zset(zset) => zset.len(),
                Object::Hash(_) | Object::Stream(_) => return Err(errors::WRONGTYPE),
            };
            let (order, range) =
                (options.order(matches!(object, Object::Set(_))), options.range(len));
            let elements = Elements::load(object, &order, range.clone());
            // Where the order is the collection's own, only what is wanted has been loaded.
            let range = if elements.len() == len { range } else { 0..elements.len() };
            (elements, order, range)
        }
        Some(_) => return Err(errors::WRONGTYPE),
    };
    let mut lookup = Lookup::new(&mut ctx.state.keyspace, db);
    elements.sort(&mut lookup, &order, range.clone())?;
    match options.store {
        None => answer(ctx, &elements, range, &options.gets),
        Some(target) => store(ctx, &elements, range, &options.gets, target),
    }
    Ok(())
}

fn answer(
    ctx: &mut Context<'_>,
    elements: &Elements,
    range: std::ops::Range<usize>,
    gets: &[Pattern<'_>],
) {
    let Context { state, client, reply, .. } = ctx;
    reply.array(range.len() * gets.len().max(1));
    let mut lookup = Lookup::new(&mut state.keyspace, client.db);
    for index in range {
        let element = elements.get(index);
        if gets.is_empty() {
            reply.bulk(element);
        }
        for pattern in gets {
            lookup.value(pattern, element, |value| reply.bulk_or_nil(value));
        }
    }
}

/// Puts the result into a list at `target`; what has no value is an empty string there.
fn store(
    ctx: &mut Context<'_>,
    elements: &Elements,
    range: std::ops::Range<usize>,
    gets: &[Pattern<'_>],
    target: &[u8],
) {
    let db = ctx.client.db;
    let limits: Limits = ctx.state.keyspace.settings.limits;
    let mut list = List::new();
    let mut lookup = Lookup::new(&mut ctx.state.keyspace, db);
    for index in range {
        let element = elements.get(index);
        if gets.is_empty() {
            list.push_back(element, &limits);
        }
        for pattern in gets {
            lookup.value(pattern, element, |value| {
                list.push_back(value.unwrap_or_default(), &limits);
            });
        }
    }
    let (len, key) = (list.len(), ctx.key(target));
    if len == 0 {
        delete(ctx, &key);
    } else {
        let dirty = ctx.state.keyspace.dirty;
        ctx.state.keyspace.insert(db, &key, Value::Object(Object::List(list)), Ttl::Clear);
        ctx.notify(KeyspaceEvents::LIST, "sortstore", target);
        // Each element counts as a change.
        ctx.state.keyspace.dirty = dirty + len as u64;
    }
    ctx.reply.len(len);
}

/// The commands of this file.
pub const COMMANDS: &[Command] = &[SORT, SORT_RO];

#[cfg(test)]
mod tests {
    use crate::node::tests::Bench;

    #[test]
    fn other_keys_are_not_named_in_a_cluster() {
        let mut bench = Bench::new();
        bench.run("rpush l 3 1 2\nset w_1 1");
        bench.node.state.config.values_mut().cluster_enabled = true;
        let by = "-ERR BY option of SORT denied in Cluster mode.\r\n";
        let get = "-ERR GET option of SORT denied in Cluster mode.\r\n";
        assert_eq!(bench.run("sort l by w_*\nsort l by * get #"), by.repeat(2));
        assert_eq!(bench.run("sort_ro l get #\nsort l get a"), get.repeat(2));
        assert_eq!(bench.run("sort l by nosort limit 0 1"), "*1\r\n$1\r\n3\r\n");
    }

    #[test]
    fn what_is_stored_is_heard_of_and_counts_by_element() {
        let mut bench = Bench::new();
        bench.run("rpush l 3 1 2");
        let before = bench.node.state.persistence.dirty;
        assert_eq!(bench.run("sort l store d\nsort nothing store d"), ":3\r\n:0\r\n");
        assert_eq!(bench.node.state.persistence.dirty, before + 4);
        assert_eq!(bench.run("exists d"), ":0\r\n");
    }
}
