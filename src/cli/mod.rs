//! The programs that this binary is: `highwater` with its subcommands, and by the name of a link those of stock.

mod args;
mod check_aof;
mod check_rdb;
mod client;
mod cluster;
mod local;
mod log;
mod server;
mod system_check;
mod wire;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use args::{Command, Highwater};
use server::Flavour;
use wire::Credentials;

/// Exit status for something that this program cannot do.
const CANNOT: u8 = 2;

/// Runs the program that `arguments` ask for; the first is the name by which it was called.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let name = arguments.first().map(|first| base_name(first)).unwrap_or_default();
    let rest = || arguments.iter().skip(1).cloned().collect::<Vec<OsString>>();
    match name.as_str() {
        "redis-server" => server::run(&rest(), Flavour::Stock),
        "redis-check-aof" => check_aof::run(&rest(), &name),
        "redis-check-rdb" => check_rdb::run(&rest(), &name),
        "redis-cli" => client::run(&rest(), &name),
        "redis-sentinel" => absent(&name),
        _ => highwater(arguments),
    }
}

const CHECK_HELP: &str = "\
Usage: highwater check aof|rdb FILE

  highwater check aof FILE                     checks a log: FILE is its manifest, its folder, or one of its files
  highwater check aof --fix FILE               cuts off what is not good, after asking; copy the folder first
  highwater check aof --truncate-to-timestamp SECONDS FILE
                                               cuts a log before the first time stamp later than that (since 1970)
  highwater check rdb FILE                     reads a snapshot to its end

'highwater log verify' says what a node would do with a log at its start.";

/// The last part of a path.
fn base_name(path: &OsStr) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn highwater(arguments: Vec<OsString>) -> ExitCode {
    let parsed = match Highwater::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        // Help and version come this way too; clap knows which goes where, and with which status.
        Err(error) => error.exit(),
    };
    match parsed.command {
        Command::Server { arguments } => server::run(&arguments, Flavour::Own),
        Command::Check { arguments } => check(&arguments),
        Command::Log { arguments } => log::run(&arguments),
        Command::Cli { arguments } => client::run(&arguments, "highwater cli"),
        Command::Cluster { arguments } => {
            cluster::run(arguments, Credentials::default(), "highwater cluster")
        }
    }
}

/// `highwater check aof|rdb ...`
fn check(arguments: &[OsString]) -> ExitCode {
    let (what, rest) = arguments.split_first().map_or((None, &[][..]), |(w, r)| (w.to_str(), r));
    match what {
        Some("aof") => check_aof::run(rest, "highwater check aof"),
        Some("rdb") => check_rdb::run(rest, "highwater check rdb"),
        Some("-h" | "--help" | "help") => {
            say(CHECK_HELP);
            ExitCode::SUCCESS
        }
        _ => {
            complain(CHECK_HELP);
            ExitCode::from(CANNOT)
        }
    }
}

/// Says that a program is missing, rather than pretend.
fn absent(name: &str) -> ExitCode {
    complain(&format!("{name}: not part of this version"));
    ExitCode::from(CANNOT)
}

/// Writes `text` and a line feed to standard output. A reader that has gone away is no error.
fn say(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Writes `text` and a line feed to standard error.
fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_the_last_part_of_the_path() {
        assert_eq!(base_name(OsStr::new("/usr/bin/redis-server")), "redis-server");
        assert_eq!(base_name(OsStr::new("highwater")), "highwater");
    }
}
