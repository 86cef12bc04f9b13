//! `highwater cli`, also called by the name `redis-cli`: the client of a server, for people and scripts.
//!
//! Source: Redis documentation, "Redis CLI"; Debian's `redis-cli` 7.0.15, which `tests/cli` compares with.

mod big_keys;
mod command;
mod docs;
mod hot_keys;
mod input;
mod interrupt;
mod intrinsic;
mod latency;
mod latency_spectrum;
mod options;
mod output;
mod password;
mod pipe;
mod redirect;
mod repl;
mod scan;
mod screen;
mod script;
mod session;
mod stat;
mod transfer;
mod uri;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use super::wire::Credentials;
use big_keys::Measure;
use options::{Mode, Options};
use screen::{complain, print};
use session::Session;

/// Runs the client. By the name `redis-cli` it keeps to what scripts know of that.
pub(super) fn run(arguments: &[OsString], name: &str) -> ExitCode {
    let mut options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(text) => {
            complain(&text);
            return ExitCode::FAILURE;
        }
    };
    // Scripts of the other name do not know the flag that stock needs to tell errors by the exit status.
    options.error_status |= name != "redis-cli";
    options.hints =
        name != "redis-cli" && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    if options.password_is_exposed && options.auth_warning {
        complain(
            "Warning: Using a password with '-a' or '-u' option on the command line interface may not be safe.",
        );
    }
    if options.ask_password {
        options.credentials.password = password::ask();
        if options.credentials.password.is_none() {
            return ExitCode::FAILURE;
        }
    }
    dispatch(&options, name)
}

fn dispatch(options: &Options, name: &str) -> ExitCode {
    match &options.mode {
        Mode::Commands if !options.words.is_empty() => one_command(options),
        Mode::Commands => repl::run(options),
        Mode::Pipe => pipe::run(options),
        Mode::Stat => stat::run(options),
        Mode::Latency => latency::run(options, false),
        Mode::LatencyHistory => latency::run(options, true),
        Mode::LatencyDistribution => latency_spectrum::run(options),
        Mode::IntrinsicLatency(seconds) => intrinsic::run(*seconds),
        Mode::BigKeys => big_keys::run(options, Measure::Elements),
        Mode::MemKeys(samples) => big_keys::run(options, Measure::Memory(*samples)),
        Mode::HotKeys => hot_keys::run(options),
        Mode::Scan => scan::run(options),
        Mode::Rdb(path) => transfer::fetch(options, path),
        Mode::Replica => transfer::follow(options),
        Mode::Eval(path) => script::run(options, path),
        Mode::Cluster(words) => manage(words.clone(), options.credentials.clone(), name),
        Mode::Absent(text) => {
            complain(&format!("{name}: {text}"));
            ExitCode::FAILURE
        }
        Mode::Help => {
            print(options::usage(name).as_bytes());
            ExitCode::SUCCESS
        }
        Mode::Version => {
            print(version(name).as_bytes());
            ExitCode::SUCCESS
        }
    }
}

/// Tools read the version of stock behind the name of stock.
fn version(name: &str) -> String {
    if name == "redis-cli" {
        format!("redis-cli {} (highwater {})\n", crate::REDIS_VERSION, env!("CARGO_PKG_VERSION"))
    } else {
        format!("{name} {}\n", env!("CARGO_PKG_VERSION"))
    }
}

/// Runs the command that the arguments are.
fn one_command(options: &Options) -> ExitCode {
    let words = match input::command(options) {
        Ok(words) => words,
        Err(text) => {
            complain(&text);
            return ExitCode::FAILURE;
        }
    };
    if command::is_word(&words, 0, "help") || command::is_word(&words, 0, "?") {
        repl::print_help(options, &words[1..]);
        return ExitCode::SUCCESS;
    }
    let mut session = Session::new(options, false);
    match session.connect().and_then(|()| session.run(&words, options.repeat)) {
        Ok(status) => ExitCode::from(status),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Hands over to the manager of clusters: all that stood behind `--cluster`, without who is asking.
fn manage(words: Vec<OsString>, credentials: Credentials, name: &str) -> ExitCode {
    super::cluster::run(words, credentials, name)
}
