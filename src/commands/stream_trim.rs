//! The options that XADD and XTRIM share: how much of a stream stays.

use super::arguments::{integer, is, must_obey};
use super::context::Context;
use super::stream_id::{GivenId, IdText, parse_given_id, parse_strict_id};
use crate::resp::{Args, CommandError, errors};
use crate::types::{Entries, Keep, MAX_ID, Trim};

/// The options of XADD or XTRIM.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// What is trimmed, and the index of the argument that says how much stays.
    pub(super) trim: Option<(Trim, usize)>,
    /// The id, if XADD was given one.
    pub(super) id: Option<GivenId>,
    /// Index of the argument that is the id.
    pub(super) id_at: usize,
    /// XADD is not to make a stream.
    pub(super) no_stream: bool,
}

const TWO_STRATEGIES: CommandError = CommandError::new(
    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
);

/// Reads the options. Those of XADD end with an id.
///
/// # Errors
/// As stock's; what comes first in the request is found first.
pub(super) fn parse(
    ctx: &Context<'_>,
    args: Args<'_>,
    is_xadd: bool,
) -> Result<Options, CommandError> {
    let mut options = Options { id_at: args.len(), ..Options::default() };
    let mut limit = None;
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let has_more = at + 1 < args.len();
        if is_xadd && word == b"*" {
            options.id_at = at;
            break;
        } else if has_more && (is(word, "MAXLEN") || is(word, "MINID")) {
            let (trim, threshold_at) = strategy(args, at, options.trim.is_some())?;
            options.trim = Some((trim, threshold_at));
            at = threshold_at;
        } else if has_more && is(word, "LIMIT") {
            at += 1;
            let error = CommandError::new("ERR The LIMIT argument must be >= 0.");
            limit = Some(u64::try_from(integer(&args[at])?).map_err(|_| error)?);
        } else if is_xadd && is(word, "NOMKSTREAM") {
            options.no_stream = true;
        } else if is_xadd {
            options.id = Some(parse_given_id(word)?);
            options.id_at = at;
            break;
        } else {
            return Err(errors::SYNTAX);
        }
        at += 1;
    }
    if options.trim.is_none() {
        if limit.is_some_and(|limit| limit > 0) {
            return Err(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"
                    .into(),
            );
        }
        if !is_xadd {
            return Err("ERR syntax error, XTRIM must be called with a trimming strategy".into());
        }
    }
    // What the log says was decided where it was written.
    if must_obey(ctx) {
        return Ok(options);
    }
    match &mut options.trim {
        Some((trim, _)) if trim.whole_nodes => {
            trim.entries_max = limit.unwrap_or_else(|| default_limit(ctx));
        }
        _ if limit.is_some() => {
            return Err(
                "ERR syntax error, LIMIT cannot be used without the special ~ option".into()
            );
        }
        _ => {}
    }
    Ok(options)
}

/// The strategy that is named at `at`, and the index of its threshold.
fn strategy(args: Args<'_>, at: usize, is_second: bool) -> Result<(Trim, usize), CommandError> {
    if is_second {
        return Err(TWO_STRATEGIES);
    }
    let sign = args.get(at + 1).filter(|_| at + 2 < args.len());
    let whole_nodes = sign == Some(b"~");
    let threshold_at = at + 1 + usize::from(whole_nodes || sign == Some(b"="));
    let threshold = &args[threshold_at];
    let keep = if is(&args[at], "MAXLEN") {
        let error = CommandError::new("ERR The MAXLEN argument must be >= 0.");
        Keep::Last(u64::try_from(integer(threshold)?).map_err(|_| error)?)
    } else {
        Keep::From(parse_strict_id(threshold, 0)?)
    };
    Ok((Trim { keep, whole_nodes, entries_max: 0 }, threshold_at))
}

/// How many entries go at most where nobody says it: those of a hundred nodes.
fn default_limit(ctx: &Context<'_>) -> u64 {
    const NODES: u64 = 100;
    const FALLBACK: u64 = 10_000;
    const MAX: u64 = 1_000_000;
    match ctx.state.keyspace.settings.limits.stream_node_entries_max.saturating_mul(NODES) {
        0 => FALLBACK,
        limit => limit.min(MAX),
    }
}

/// What stands in the log for the threshold of an inexact trimming, so that replaying it does the same.
pub(super) fn exact_threshold(keep: Keep, entries: &Entries) -> Vec<u8> {
    match keep {
        Keep::Last(_) => entries.len().to_string().into_bytes(),
        Keep::From(_) => {
            let first = entries.first_held_id().unwrap_or(MAX_ID);
            IdText::new(first).as_bytes().to_vec()
        }
    }
}
