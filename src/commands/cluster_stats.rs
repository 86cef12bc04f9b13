//! CLUSTER SLOT-STATS: what the slots of this shard hold and cost. Source: Valkey documentation, "CLUSTER SLOT-STATS".

use super::cluster::{SUBCOMMAND, core, slot, unknown_form};
use super::command::{Arity, Command, CommandResult, Flag};
use super::context::Context;
use crate::cluster::core::PeerIx;
use crate::keyspace::{SLOT_COUNT, Slot};
use crate::resp::{Args, CommandError, errors, number};
use crate::state::State;

pub(super) const SLOT_STATS: Command = Command {
    name: "slot-stats",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Loading, Flag::Stale],
    since: "8.0.0",
    summary: "Returns what the shard's slots hold and cost: those of a range, or those with the most or least.",
    complexity: "O(N) with N the slots, O(N*log(N)) with ORDERBY",
    syntax: "<SLOTSRANGE start-slot end-slot | ORDERBY metric [LIMIT limit] [ASC | DESC]>",
    tips: &["nondeterministic_output", "request_policy:all_shards"],
    run: slot_stats,
    ..SUBCOMMAND
};

fn slot_stats(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    core(ctx.state)?;
    let found = match args[2].to_ascii_lowercase().as_slice() {
        b"slotsrange" if args.len() == 5 => in_range(ctx.state, args)?,
        b"orderby" => ordered(ctx.state, args)?,
        _ => return Err(unknown_form(args)),
    };
    ctx.state.keyspace.observe_all();
    let shown: Vec<Metric> = METRICS.into_iter().filter(|one| one.is_shown(ctx.state)).collect();
    ctx.reply.array(found.len());
    for slot in found {
        ctx.reply.array(2);
        ctx.reply.int(i64::from(slot.number()));
        ctx.reply.map(shown.len());
        for metric in &shown {
            ctx.reply.bulk(metric.name().as_bytes());
            ctx.reply.int(metric.of(ctx.state, slot).cast_signed());
        }
    }
    Ok(())
}

/// What is told of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Keys,
    Cpu,
    BytesIn,
    BytesOut,
    Memory,
}

const METRICS: [Metric; 5] =
    [Metric::Keys, Metric::Cpu, Metric::BytesIn, Metric::BytesOut, Metric::Memory];

impl Metric {
    fn name(self) -> &'static str {
        match self {
            Metric::Keys => "key-count",
            Metric::Cpu => "cpu-usec",
            Metric::BytesIn => "network-bytes-in",
            Metric::BytesOut => "network-bytes-out",
            Metric::Memory => "memory-bytes",
        }
    }

    /// Whether it is known: keys and memory are counted anyway, the others where that is asked for.
    fn is_shown(self, state: &State) -> bool {
        matches!(self, Metric::Keys | Metric::Memory) || state.config.cluster_slot_stats_enabled
    }

    fn of(self, state: &State, slot: Slot) -> u64 {
        let shown = || state.keyspace.db(0).filter(|_| !state.keyspace.is_hidden(slot));
        let counters = || shown().map(|db| db.slot(slot).counters());
        let cost = || state.cluster.as_ref().map(|membership| membership.slot_cost(slot));
        let value = match self {
            Metric::Keys => counters().map(|counters| counters.keys),
            Metric::Memory => counters().map(|counters| counters.bytes),
            Metric::Cpu => cost().map(|cost| cost.cpu_us),
            Metric::BytesIn => cost().map(|cost| cost.bytes_in),
            Metric::BytesOut => cost().map(|cost| cost.bytes_out),
        };
        value.unwrap_or(0)
    }
}

/// The slots of this node's shard among those from `first` to `last`.
fn own_slots(state: &State, first: Slot, last: Slot) -> Result<Vec<Slot>, CommandError> {
    let core = core(state)?;
    let owner = core.peers().me().primary.unwrap_or(PeerIx::ME);
    let numbers = first.number()..=last.number();
    let is_own = |slot: &Slot| core.slots().owner(*slot) == Some(owner);
    Ok(numbers.filter_map(Slot::new).filter(is_own).collect())
}

fn in_range(state: &State, args: Args<'_>) -> Result<Vec<Slot>, CommandError> {
    let (first, last) = (slot(&args[3])?, slot(&args[4])?);
    if first > last {
        return Err(CommandError::owned(format!(
            "ERR Start slot number {} is greater than end slot number {}",
            first.number(),
            last.number()
        )));
    }
    own_slots(state, first, last)
}

fn ordered(state: &State, args: Args<'_>) -> Result<Vec<Slot>, CommandError> {
    let named = |metric: &Metric| args[3].eq_ignore_ascii_case(metric.name().as_bytes());
    let metric = METRICS.into_iter().find(named).filter(|metric| metric.is_shown(state));
    let Some(metric) = metric else {
        return Err("ERR Unrecognized sort metric for ORDERBY.".into());
    };
    let order = parse_order(args)?;
    let everything = (Slot::new(0), Slot::new(u16::MAX >> 2));
    let (Some(first), Some(last)) = everything else { return Ok(Vec::new()) };
    let mut slots: Vec<(u64, Slot)> = own_slots(state, first, last)?
        .into_iter()
        .map(|slot| (metric.of(state, slot), slot))
        .collect();
    // Of equal ones the lower slot comes first, whichever way they are sorted.
    match order.ascending {
        true => slots.sort_unstable(),
        false => slots.sort_unstable_by_key(|(value, slot)| (std::cmp::Reverse(*value), *slot)),
    }
    slots.truncate(order.limit);
    Ok(slots.into_iter().map(|(_, slot)| slot).collect())
}

struct Order {
    ascending: bool,
    limit: usize,
}

fn parse_order(args: Args<'_>) -> Result<Order, CommandError> {
    const LIMIT: CommandError =
        CommandError::new("ERR Limit has to lie in between 1 and 16384 (maximum number of slots).");
    let (mut ascending, mut limit) = (None, None);
    let mut words = args.iter_from(4);
    while let Some(word) = words.next() {
        match word.to_ascii_lowercase().as_slice() {
            b"limit" => {
                let word = words.next().ok_or(errors::SYNTAX)?;
                let number = number::parse_i64(word).ok_or(LIMIT)?;
                let number = usize::try_from(number).map_err(|_| LIMIT)?;
                if !(1..=SLOT_COUNT).contains(&number) {
                    return Err(LIMIT);
                }
                if limit.replace(number).is_some() {
                    return Err(errors::SYNTAX);
                }
            }
            b"asc" | b"desc" => {
                let up = word.eq_ignore_ascii_case(b"asc");
                if ascending.replace(up).is_some() {
                    return Err(errors::SYNTAX);
                }
            }
            _ => return Err(errors::SYNTAX),
        }
    }
    Ok(Order { ascending: ascending == Some(true), limit: limit.unwrap_or(SLOT_COUNT) })
}
