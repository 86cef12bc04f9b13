//! Commands that wait for keys.

use std::ops::Range;
use std::sync::Arc;

use rustc_apfloat::{Float, Round};

use super::arguments::must_obey;
use super::client_control::parse_timeout;
use super::command::{CommandResult, Flag};
use super::context::Context;
use super::extended;
use crate::resp::CommandError;
use crate::state::client::{Blocked, Queued};
use crate::state::key_waits::KeyWait;
pub(super) use crate::state::key_waits::Wanted;

/// The moment that a timeout in seconds, with a fraction, sets: milliseconds since 1970, rounded up; 0: none.
///
/// # Errors
/// It is no number, negative, or too large.
pub(super) fn timeout(ctx: &Context<'_>, bytes: &[u8]) -> Result<u64, CommandError> {
    const OUT_OF_RANGE: CommandError = CommandError::new("ERR timeout is out of range");
    let seconds = extended::parse(bytes)
        .ok_or(CommandError::new("ERR timeout is not a float or out of range"))?;
    let ms = (seconds * extended::from_i64(1000)).value;
    if ms > extended::from_i64(i64::MAX) {
        return Err(OUT_OF_RANGE);
    }
    let ms = ms.to_i128_r(128, Round::TowardPositive, &mut false).value;
    let ms = u64::try_from(ms).map_err(|_| CommandError::new("ERR timeout is negative"))?;
    match ms.checked_add(ctx.now_ms()) {
        _ if ms == 0 => Ok(0),
        Some(until_ms) if i64::try_from(until_ms).is_ok() => Ok(until_ms),
        _ => Err(OUT_OF_RANGE),
    }
}

/// The moment that a timeout in milliseconds sets (XREAD); 0: none.
///
/// # Errors
/// It is no integer, negative, or too large.
pub(super) fn timeout_ms(ctx: &Context<'_>, bytes: &[u8]) -> Result<u64, CommandError> {
    parse_timeout(bytes, ctx.now_ms())
}

/// What a command that would wait is answered where it may not: inside of EXEC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    /// Nothing.
    Nil,
    /// An array that is nothing.
    NilArray,
}

/// Has the client wait for one of the keys at `keys` in `request`, which is run again for it when one of them changes. To be
/// called last, where there was nothing to serve. A client that may not wait is answered at once. If the request is being run
/// again and still finds nothing, its place among those who wait and its deadline stay what they were.
///
/// # Errors
/// None; the result is that of the command.
pub(super) fn wait_for_keys(
    ctx: &mut Context<'_>,
    request: &[&[u8]],
    keys: Range<usize>,
    until_ms: u64,
    empty: Empty,
    wanted: Wanted,
) -> CommandResult {
    if ctx.client.in_exec || must_obey(ctx) {
        match empty {
            Empty::Nil => ctx.reply.nil(),
            Empty::NilArray => ctx.reply.nil_array(),
        }
        return Ok(());
    }
    ctx.client.blocked = Some(Blocked::OnKeys);
    ctx.client.last_command = &ctx.entry.full_name;
    if ctx.state.key_waits.get(ctx.client.id).is_none() {
        let wait = KeyWait {
            ticket: 0,
            db: ctx.client.db,
            request: Arc::new(Queued::of(request)),
            keys,
            wanted,
            until_ms,
            command: ctx.entry.id,
            slot: ctx.client.slot,
            writes: ctx.entry.flags.has(Flag::Write),
        };
        ctx.client.waiting_bytes = ctx.state.begin_key_wait(ctx.client.id, wait);
    }
    Ok(())
}
