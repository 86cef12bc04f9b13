//! The arguments of `highwater`. The server's settings are not among them: they have a syntax of their own, which
//! [`config::sources`](crate::config::sources) reads.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

/// A persistent node for Redis Cluster.
#[derive(Debug, Parser)]
#[command(
    name = "highwater",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Each command has a --help of its own, as in: highwater log cut --help"
)]
pub(super) struct Highwater {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a node: highwater server [FILE] [--setting value]... [-]
    ///
    /// Settings are read from FILE, then from standard input if there is a `-`, then from the arguments. Without any
    /// file the node keeps its log in ./highwater-data.
    #[command(disable_help_flag = true)]
    Server {
        /// A file in the syntax of redis.conf, and settings.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Check and repair a log, or check a snapshot: highwater check aof|rdb FILE
    #[command(disable_help_flag = true)]
    Check {
        /// What to check.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Look into a log: its entries, its integrity; cut it, replay it.
    #[command(disable_help_flag = true)]
    Log {
        /// What to do.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Talk to a node: highwater cli [OPTIONS] [COMMAND [ARGUMENT]...]
    ///
    /// Without a command there is a prompt. The options are those of redis-cli: highwater cli --help.
    #[command(disable_help_flag = true)]
    Cli {
        /// Options, and what to say.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run a cluster on this host, and manage any: highwater cluster up, highwater cluster help
    #[command(disable_help_flag = true)]
    Cluster {
        /// What to do.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn declaration_is_consistent() {
        Highwater::command().debug_assert();
    }

    #[test]
    fn settings_reach_the_server_untouched() {
        let words = ["highwater", "server", "--port", "7000", "--save", "", "-v", "--help", "-"];
        let parsed = Highwater::try_parse_from(words).unwrap();
        let Command::Server { arguments } = parsed.command else { panic!("not a server") };
        assert_eq!(arguments, words[2..]);
    }
}
