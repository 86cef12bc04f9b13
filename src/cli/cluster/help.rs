//! The help of the manager, from one table: commands, what stands behind them, how many words that takes, options.

use super::super::local;

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// What stands behind it.
    pub(super) words: &'static str,
    /// The least number of words behind it.
    pub(super) least: usize,
    options: &'static [&'static str],
    /// What it does.
    what: &'static str,
}

const ENTRY: &str = "<host:port> or <host> <port>";

const MOVES: &[&str] = &[
    "--cluster-timeout <ms>",
    "--cluster-pipeline <keys>",
    "--cluster-replace",
    "--cluster-key-by-key",
    "--cluster-resume",
    "--json",
];

/// All commands.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "create",
        words: "host1:port1 ... hostN:portN",
        least: 1,
        options: &["--cluster-replicas <number>", "--cluster-allow-small", "--json"],
        what: "make a cluster of empty nodes",
    },
    Command {
        name: "check",
        words: ENTRY,
        least: 1,
        options: &["--cluster-search-multiple-owners", "--json"],
        what: "say whether nodes agree and every slot is served",
    },
    Command {
        name: "info",
        words: ENTRY,
        least: 1,
        options: &["--json"],
        what: "count keys, slots and replicas of each primary",
    },
    Command {
        name: "fix",
        words: ENTRY,
        least: 1,
        options: &["--cluster-search-multiple-owners", "--cluster-fix-with-unreachable-masters"],
        what: "close open slots, cover uncovered ones",
    },
    Command {
        name: "reshard",
        words: ENTRY,
        least: 1,
        options: &[
            "--cluster-from <id,...|all>",
            "--cluster-to <id>",
            "--cluster-slots <number>",
            "--cluster-yes",
        ],
        what: "move slots to one primary; asks for what is not said",
    },
    Command {
        name: "rebalance",
        words: ENTRY,
        least: 1,
        options: &[
            "--cluster-weight <id=weight ...>",
            "--cluster-use-empty-masters",
            "--cluster-threshold <percent>",
            "--cluster-simulate",
        ],
        what: "give each primary its share of the slots",
    },
    Command {
        name: "add-node",
        words: "new_host:new_port existing_host:existing_port",
        least: 2,
        options: &["--cluster-slave", "--cluster-master-id <id>"],
        what: "add an empty node, as a primary or as a replica",
    },
    Command {
        name: "del-node",
        words: "host:port node_id",
        least: 2,
        options: &[],
        what: "take a node without slots out of the cluster",
    },
    Command {
        name: "call",
        words: "host:port command arg arg .. arg",
        least: 2,
        options: &["--cluster-only-masters", "--cluster-only-replicas"],
        what: "send one command to all nodes",
    },
    Command {
        name: "set-timeout",
        words: "host:port milliseconds",
        least: 2,
        options: &[],
        what: "set cluster-node-timeout on all nodes",
    },
    Command {
        name: "import",
        words: "host:port",
        least: 1,
        options: &[
            "--cluster-from <host:port>",
            "--cluster-from-user <name>",
            "--cluster-from-pass <password>",
            "--cluster-from-askpass",
            "--cluster-copy",
            "--cluster-replace",
        ],
        what: "move the keys of a server that is no cluster node",
    },
    Command {
        name: "backup",
        words: "host:port backup_directory",
        least: 2,
        options: &[],
        what: "fetch a snapshot of each primary, and the layout",
    },
    Command { name: "help", words: "", least: 0, options: &[], what: "show this" },
];

/// The command with this name.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The whole text.
pub(super) fn text(is_own: bool) -> String {
    let mut text = "Cluster Manager Commands:\n".to_owned();
    if is_own {
        text += &format!(
            "  {}\n  {:14}   (start and stop nodes on this machine; each has a --help)\n",
            local::words().collect::<Vec<_>>().join(", "),
            ""
        );
    }
    for command in COMMANDS {
        text += &format!("  {:14} {}\n", command.name, command.words);
        text += &format!("  {:14}   ({})\n", "", command.what);
        let moves = ["reshard", "rebalance"].contains(&command.name);
        for option in command.options.iter().chain(if moves { MOVES } else { &[] }) {
            text += &format!("  {:14} {option}\n", "");
        }
    }
    text += "\nAny node of the cluster will do as host and port.\n\n\
             Options of all commands:\n  \
             -a, --pass <password>, --user <name>, --askpass, --no-auth-warning\n  \
             --cluster-yes  take every question for answered with yes, where stock does (create, reshard)\n  \
             --verbose      say more\n  \
             --json         one JSON object on standard output, all else on standard error\n\n\
             Where --cluster-resume stands (it always does under `highwater cluster`), moves that an interrupted\n\
             run left half done are finished first. --cluster-key-by-key moves keys with MIGRATE even between\n\
             nodes that could move slots as a whole. --cluster-allow-small makes clusters of one or two\n\
             primaries, which do not survive the loss of one.\n";
    text
}
