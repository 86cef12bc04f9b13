//! `highwater log`: looks into a log, cuts it, plays it.

mod base;
mod cat;
mod cut;
mod moment;
mod replay;
mod source;
mod stat;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::complain;
pub(super) use source::find_manifest;

/// Look into a log. PATH is a node's data folder, the folder of its log, a manifest, or one file of a log.
#[derive(Debug, Parser)]
#[command(name = "highwater log", arg_required_else_help = true)]
struct Log {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is in a log: commands, keys, slots, bytes, times, offsets.
    Stat {
        /// The log.
        path: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the entries.
    Cat {
        /// The log.
        path: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
        /// Leave out what lies before this offset.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Stop at this offset.
        #[arg(long)]
        to: Option<u64>,
    },
    /// Say how far a log is good, as a node would at its start. Nothing is changed.
    Verify {
        /// The log.
        path: PathBuf,
    },
    /// Copy a log up to an offset or a time. The log itself is not changed; a damaged one can be saved up to its damage.
    Cut {
        /// The log.
        path: PathBuf,
        /// The data folder to write, which must not exist.
        target: PathBuf,
        #[command(flatten)]
        end: End,
    },
    /// Send a log to a server: what it starts from (its base), then its commands. A snapshot in the base goes out as
    /// RESTORE, which takes a server of version 7.0 or later; keys the server has already are replaced.
    Replay(Replay),
}

/// Where a copy ends.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct End {
    /// The copy holds the whole execution units up to this offset.
    #[arg(long)]
    offset: Option<u64>,
    /// The copy holds nothing behind the first time stamp later than this: seconds since 1970, or
    /// 'YYYY-MM-DD HH:MM:SS' in local time, or with Z (UTC) or an offset (+01:00) behind it. Only logs written under
    /// 'aof-timestamp-enabled yes' have time stamps.
    #[arg(long, value_parser = moment::parse)]
    time: Option<i64>,
}

/// How a log is played.
#[derive(Debug, Args)]
struct Replay {
    /// The log.
    path: PathBuf,
    /// The server, HOST:PORT.
    #[arg(long, default_value = "127.0.0.1:6379")]
    to: String,
    /// Password of the default user.
    #[arg(long)]
    password: Option<String>,
    /// Times the speed at which the log was written, as its time stamps tell; the base, which has none, goes out as
    /// fast as possible. Without it everything does.
    #[arg(long, conflicts_with = "rate")]
    speed: Option<f64>,
    /// Commands per second, those of the base included.
    #[arg(long)]
    rate: Option<f64>,
    /// Leave out the base: send only what was logged since.
    #[arg(long)]
    no_base: bool,
    /// Commands sent before their replies are awaited.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pipeline: u32,
    /// No progress bar.
    #[arg(long)]
    quiet: bool,
}

/// Runs the tool that `arguments` name.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let name = OsString::from("highwater log");
    let parsed = match Log::try_parse_from(std::iter::once(&name).chain(arguments)) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let result = match parsed.command {
        Command::Stat { path, json } => stat::run(&path, json),
        Command::Cat { path, json, from, to } => {
            cat::run(&path, json, from..to.unwrap_or(u64::MAX))
        }
        Command::Verify { path } => verify::run(&path),
        Command::Cut { path, target, end } => cut::run(&path, &target, &end),
        Command::Replay(replay) => replay::run(&replay),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            complain(&format!("highwater log: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn declaration_is_consistent() {
        Log::command().debug_assert();
    }
}
