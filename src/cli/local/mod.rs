//! `highwater cluster up` and its companions: a cluster of processes on this host.
//!
//! `up` plans (`plan`), writes a file for each node (`config_file`), starts those that do not run, makes them one cluster
//! (`join`) and looks after them (`supervise`). The other commands (`control`, `status`, `logs`) may be called from
//! anywhere: they find nodes by what they are (`process`), with a supervisor or without.

mod config_file;
mod control;
mod join;
mod launch;
mod logs;
mod look;
mod plan;
mod ports;
mod process;
mod site;
mod status;
mod stop;
mod supervise;
mod up;
mod voice;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::complain;
use site::Site;

/// The words behind `highwater cluster` that are meant for this module.
pub(in crate::cli) const WORDS: [&str; 9] =
    ["up", "status", "down", "kill", "pause", "resume", "logs", "start", launch::WORD];

/// Those of [`WORDS`] that are for people.
pub(in crate::cli) fn words() -> impl Iterator<Item = &'static str> {
    WORDS.into_iter().filter(|word| *word != launch::WORD)
}

/// Whether a cluster was made in the folder at `path`.
pub(in crate::cli) fn is_cluster(path: &Path) -> bool {
    site::is_cluster(path)
}

/// A cluster of processes on this host.
#[derive(Debug, Parser)]
#[command(
    name = "highwater cluster",
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
struct Local {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster on this host, or go on with the one that is there, and look after it until Ctrl-C
    ///
    /// Each node is a process with a folder of its own below --dir: its settings (redis.conf), its log of all writes, and
    /// what it says (node.log). Called again, 'up' goes on from there: same nodes, same ids, same data. A node that dies
    /// is started again; one that is shut down in order is left alone.
    ///
    /// Any setting of redis.conf may be given for all nodes, and stays in their files: --appendfsync always, --maxmemory
    /// 1gb, --requirepass secret. A new cluster has: appendonly yes, appendfsync everysec, save "", cluster-node-timeout
    /// 5000.
    #[command(override_usage = "highwater cluster up [OPTIONS] [--SETTING VALUE...]...")]
    Up(up::Up),
    /// Show the nodes: process, role, slots, keys
    ///
    /// The exit status is 0 if every node runs and all slots are served, 1 if not, 2 if there is no cluster.
    Status {
        #[command(flatten)]
        place: Place,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Stop the cluster, or one node; 'up' and 'start' go on from what is in their logs
    ///
    /// A node that was taken out of the cluster (del-node) is struck off the list as well.
    Down {
        #[command(flatten)]
        place: Place,
        /// Stop this node alone, and let it be until 'start'
        node: Option<String>,
        /// Do not ask, even where the node has the only copy of its slots
        #[arg(short, long)]
        yes: bool,
    },
    /// Kill a node (kill -9): its replica takes over. The supervisor starts it again after some seconds
    Kill {
        #[command(flatten)]
        node: Node,
    },
    /// Stop a node in its tracks (SIGSTOP): it is there, and does not answer
    Pause {
        #[command(flatten)]
        node: Node,
    },
    /// Let a paused node go on
    Resume {
        #[command(flatten)]
        node: Node,
    },
    /// Show the last lines of a node's log; without a node, of what the supervisor in the background says
    Logs {
        #[command(flatten)]
        place: Place,
        /// Port, index or the first letters of the id
        node: Option<String>,
        /// Go on showing what is written, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// How many lines
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: usize,
    },
    /// Start a node that was killed or stopped
    Start {
        #[command(flatten)]
        node: Node,
    },
    /// Become a node, away from this terminal
    #[command(hide = true)]
    Launch {
        /// The node's redis.conf
        config: PathBuf,
    },
}

/// Where the cluster is.
#[derive(Debug, Args)]
struct Place {
    /// The cluster's folder
    #[arg(long, default_value = site::DEFAULT, value_name = "FOLDER")]
    dir: PathBuf,
}

/// One node of the cluster.
#[derive(Debug, Args)]
struct Node {
    #[command(flatten)]
    place: Place,
    /// Port, index or the first letters of the id
    node: String,
}

/// Runs one of [`WORDS`]; the first of `words`.
pub(in crate::cli) fn run(words: Vec<OsString>) -> ExitCode {
    let name = OsString::from("highwater cluster");
    let is_up = words.first().is_some_and(|word| word == "up");
    let (words, settings) = if is_up { up::split(words) } else { (words, Vec::new()) };
    let parsed = match Local::try_parse_from(std::iter::once(name).chain(words)) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let result = match parsed.command {
        Command::Up(up) => up::run(&up, &settings),
        Command::Status { place, json } => at(&place, |site| status::run(site, json)),
        Command::Down { place, node: None, .. } => at(&place, control::down),
        Command::Down { place, node: Some(node), yes } => {
            at(&place, |site| control::down_one(site, &node, yes))
        }
        Command::Kill { node } => on(&node, control::kill),
        Command::Pause { node } => on(&node, control::pause),
        Command::Resume { node } => on(&node, control::resume),
        Command::Start { node } => on(&node, control::start),
        Command::Launch { config } => launch::run(&config),
        Command::Logs { place, node, follow, lines } => {
            at(&place, |site| logs::run(site, node.as_deref(), follow, lines))
        }
    };
    result.unwrap_or_else(|error| {
        complain(&format!("highwater cluster: {error}"));
        ExitCode::from(super::CANNOT)
    })
}

fn at(
    place: &Place,
    run: impl FnOnce(&Site) -> Result<ExitCode, String>,
) -> Result<ExitCode, String> {
    run(&Site::find(&place.dir)?)
}

fn on(
    node: &Node,
    run: impl FnOnce(&Site, &str) -> Result<ExitCode, String>,
) -> Result<ExitCode, String> {
    run(&Site::find(&node.place.dir)?, &node.node)
}

/// The options of `up` by name, with whether a value follows.
fn options_of_up() -> Vec<(String, bool)> {
    let command = Local::command();
    let up = command.find_subcommand("up").expect("it is declared above");
    let option = |argument: &clap::Arg| {
        let name = argument.get_long()?.to_owned();
        Some((name, argument.get_action().takes_values()))
    };
    let help = [("help".to_owned(), false)];
    up.get_arguments().filter_map(option).chain(help).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declaration_is_consistent_and_complete() {
        let command = Local::command();
        command.clone().debug_assert();
        let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(names.len(), WORDS.len());
        assert!(WORDS.iter().all(|word| names.contains(word)), "{names:?}");
    }
}
