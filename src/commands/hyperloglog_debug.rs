//! HyperLogLogs looked at closely: PFDEBUG, PFSELFTEST.

use std::io::Write as _;

use super::arguments::is;
use super::command::{Arity, Command, CommandResult, Flag, KeyFlag, key};
use super::context::Context;
use super::hyperloglog::{OF_ESTIMATES, opened, refused, registers};
use crate::keyspace::Access;
use crate::resp::{Args, CommandError, quoted};
use crate::types::hyperloglog::{self, Encoding, Mark, Union};

const PFDEBUG: Command = Command {
    name: "pfdebug",
    arity: Arity::Exactly(3),
    flags: &[Flag::Write, Flag::Denyoom, Flag::Admin],
    keys: &[key(2, &[KeyFlag::Rw, KeyFlag::Access])],
    summary: "Shows how a HyperLogLog is stored, or stores it densely.",
    complexity: "O(1)",
    syntax: "<DECODE | ENCODING | GETREG | TODENSE> key",
    run: pfdebug,
    ..OF_ESTIMATES
};

fn pfdebug(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (db, key, word) = (ctx.db(), ctx.key(&args[2]), &args[1]);
    let Some(mut entry) = ctx.state.keyspace.lookup_mut(db, &key, Access::WRITE) else {
        return Err(CommandError::new("ERR The specified key does not exist"));
    };
    let (bytes, encoding) = registers(entry.value())?;
    if is(word, "GETREG") {
        let mut all = Union::default();
        all.add(bytes).map_err(refused)?;
        if encoding == Encoding::Sparse {
            hyperloglog::make_dense(opened(&mut entry)).map_err(refused)?;
        }
        ctx.reply.array(hyperloglog::REGISTERS);
        all.registers().iter().for_each(|&value| ctx.reply.int(i64::from(value)));
    } else if is(word, "DECODE") {
        if encoding != Encoding::Sparse {
            return Err(CommandError::new("ERR HLL encoding is not sparse"));
        }
        ctx.reply.bulk(&decoded(bytes));
    } else if is(word, "ENCODING") {
        ctx.reply.simple(if encoding == Encoding::Dense { "dense" } else { "sparse" });
    } else if is(word, "TODENSE") {
        // What does not add up is found out before anything counts as changed.
        hyperloglog::make_dense(&mut bytes.to_vec()).map_err(refused)?;
        let changes = encoding == Encoding::Sparse;
        if changes {
            hyperloglog::make_dense(opened(&mut entry)).map_err(refused)?;
        }
        ctx.reply.int(i64::from(changes));
    } else {
        let word = quoted(word);
        return Err(CommandError::owned(format!("ERR Unknown PFDEBUG subcommand '{word}'")));
    }
    Ok(())
}

/// The runs of a sparse HyperLogLog, as text: `z:1` and `Z:100` are zeros, `v:2,1` is one register of 2.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for run in hyperloglog::runs(bytes) {
        let separator = if text.is_empty() { "" } else { " " };
        let written = match (run.value, run.wide) {
            (0, false) => write!(text, "{separator}z:{}", run.len),
            (0, true) => write!(text, "{separator}Z:{}", run.len),
            (value, _) => write!(text, "{separator}v:{value},{}", run.len),
        };
        written.expect("memory takes all that is written");
    }
    text
}

const PFSELFTEST: Command = Command {
    name: "pfselftest",
    arity: Arity::Exactly(1),
    flags: &[Flag::Admin],
    summary: "Counts some known elements and compares the estimate.",
    complexity: "O(1)",
    run: pfselftest,
    ..OF_ESTIMATES
};

fn pfselftest(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    const ELEMENTS: u64 = 20_000;
    let failed = |_| CommandError::new("ERR TESTFAILED registers do not add up");
    let (mut sparse, mut dense) = (hyperloglog::new(), hyperloglog::new());
    hyperloglog::make_dense(&mut dense).map_err(failed)?;
    for number in 1..=ELEMENTS {
        let mark = Mark::of(&number.to_le_bytes());
        mark.apply(&mut sparse, 3000).map_err(failed)?;
        mark.apply(&mut dense, 3000).map_err(failed)?;
        if number == 100 || number == ELEMENTS {
            let counts = (hyperloglog::count(&sparse), hyperloglog::count(&dense));
            let count = counts.0.map_err(failed)?;
            // The standard error is 0.81 percent.
            if counts.0 != counts.1 || count.abs_diff(number) > number / 25 {
                return Err(CommandError::new("ERR TESTFAILED the estimate is too far off"));
            }
        }
    }
    ctx.reply.ok();
    Ok(())
}

/// Looking at HyperLogLogs.
pub const COMMANDS: &[Command] = &[PFDEBUG, PFSELFTEST];
