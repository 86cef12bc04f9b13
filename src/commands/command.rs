//! The declaration of a command: everything that is known about it, in one constant.
//!
//! From the declaration alone come arity checks, key positions, categories, the gates a command passes, and what COMMAND
//! and its subcommands answer. A command without a place in a family's list does not exist.

use crate::resp::{Args, CommandError};

use super::context::Context;

/// How many arguments a request has, the command's name (and its subcommand's) included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// That many.
    Exactly(u8),
    /// That many or more.
    AtLeast(u8),
}

impl Arity {
    /// Whether a request of `count` arguments fits.
    #[inline]
    pub fn fits(self, count: usize) -> bool {
        match self {
            Arity::Exactly(arity) => count == usize::from(arity),
            Arity::AtLeast(arity) => count >= usize::from(arity),
        }
    }

    /// As COMMAND shows it: negative for a minimum.
    pub fn shown(self) -> i64 {
        match self {
            Arity::Exactly(arity) => i64::from(arity),
            Arity::AtLeast(arity) => -i64::from(arity),
        }
    }
}

/// What a command is and where it may run, by stock's names (COMMAND INFO).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Flag {
    /// May change the dataset.
    Write,
    /// Reads keys.
    Readonly,
    /// Refused when no memory can be freed below `maxmemory`.
    Denyoom,
    /// For operators.
    Admin,
    /// Belongs to publish and subscribe.
    Pubsub,
    /// Not from scripts.
    Noscript,
    /// May wait.
    Blocking,
    /// Runs while data is loaded.
    Loading,
    /// Runs on a replica whose link is down.
    Stale,
    /// Not shown by MONITOR.
    SkipMonitor,
    /// Not in the slow log.
    SkipSlowlog,
    /// Accepted in an importing slot.
    Asking,
    /// Constant or logarithmic time.
    Fast,
    /// Before authentication too.
    NoAuth,
    /// Reaches replicas though it does not write; not reported by COMMAND.
    MayReplicate,
    /// Works without keys although it has key arguments.
    NoMandatoryKeys,
    /// Not while an asynchronous load runs.
    NoAsyncLoading,
    /// Only where `enable-debug-command` and its like allow.
    Protected,
    /// Not inside MULTI.
    NoMulti,
    /// Keys cannot be told from fixed positions alone.
    Movablekeys,
    /// Runs while a script is too busy.
    AllowBusy,
    /// Runs while data are loaded, though stock's does not; not reported by COMMAND.
    AlsoLoading,
}

/// Groups of COMMAND DOCS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Any type.
    Generic,
    /// Strings.
    String,
    /// Strings as bits.
    Bitmap,
    /// The connection itself.
    Connection,
    /// The server.
    Server,
    /// MULTI and its kin.
    Transactions,
    /// Publish and subscribe.
    Pubsub,
    /// The cluster.
    Cluster,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Hashes.
    Hash,
    /// Sorted sets.
    SortedSet,
    /// Streams.
    Stream,
    /// HyperLogLogs.
    Hyperloglog,
    /// Places on the earth.
    Geo,
}

impl Group {
    /// As COMMAND DOCS shows it.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Transactions => "transactions",
            Group::Pubsub => "pubsub",
            Group::Cluster => "cluster",
            Group::List => "list",
            Group::Set => "set",
            Group::Hash => "hash",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::Hyperloglog => "hyperloglog",
            Group::Geo => "geo",
        }
    }
}

/// What a command does with the keys of one specification, by stock's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFlag {
    /// Reads only.
    Ro,
    /// Reads and writes.
    Rw,
    /// Overwrites.
    Ow,
    /// Removes.
    Rm,
    /// Shows the value or parts of it.
    Access,
    /// Changes the value.
    Update,
    /// Adds to it.
    Insert,
    /// Takes from it, or removes the key.
    Delete,
    /// The argument is no key but routes like one.
    NotKey,
    /// The specification may miss keys.
    Incomplete,
    /// The access depends on other arguments.
    VariableFlags,
}

/// Where keys stand among the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// From argument `first` on, each `step`, up to `last`; a negative `last` counts from the end (-1: the last).
    Range {
        /// Index of the first key; the name has index 0.
        first: u8,
        /// Index of the last key, or counted from the end.
        last: i8,
        /// Distance between keys.
        step: u8,
    },
    /// Argument `at` says how many keys follow from `first` on.
    Counted {
        /// Index of the number.
        at: u8,
        /// Index of the first key.
        first: u8,
    },
    /// The same, with an argument that is no key behind each key (MSETEX).
    CountedPairs {
        /// Index of the number.
        at: u8,
        /// Index of the first key.
        first: u8,
    },
    /// Argument `at`, unless it is empty and keys stand behind `word` (MIGRATE).
    OneUnless {
        /// Its index.
        at: u8,
        /// The word in front of the others.
        word: &'static str,
    },
    /// The first half of what stands behind `word`, which is looked for from argument `from` on (XREAD). Words with values in front
    /// of it are those of XREAD.
    HalfBehind {
        /// The word.
        word: &'static str,
        /// Index of the first argument that clients need to look at, as COMMAND INFO says.
        from: u8,
    },
    /// All that stand behind `word`, where there is no other (MIGRATE).
    AllBehind {
        /// The word.
        word: &'static str,
    },
    /// The one behind the last `word` (SORT). What other words of SORT take is no word.
    BehindLast {
        /// The word.
        word: &'static str,
    },
    /// Keys whose names follow from values (SORT with BY or GET): arguments do not tell them.
    Nowhere,
    /// The one behind the first `word` among the arguments from `from` on, if it is there (GEORADIUS).
    Behind {
        /// The word.
        word: &'static str,
        /// Where it may stand first.
        from: u8,
    },
}

/// One group of keys of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// Where they stand.
    pub find: Find,
    /// What happens to them.
    pub flags: &'static [KeyFlag],
}

/// A single key at `first`.
pub const fn key(first: u8, flags: &'static [KeyFlag]) -> KeySpec {
    let last = first.cast_signed();
    KeySpec { find: Find::Range { first, last, step: 1 }, flags }
}

/// Keys from `first` to `last` (negative: from the end), each `step`.
pub const fn keys(first: u8, last: i8, step: u8, flags: &'static [KeyFlag]) -> KeySpec {
    KeySpec { find: Find::Range { first, last, step }, flags }
}

/// What a command's function returns: the reply has been written, or an error is to be.
pub type CommandResult = Result<(), CommandError>;

/// Runs a command: arguments in, the reply written to the context.
pub type Run = fn(&mut Context<'_>, Args<'_>) -> CommandResult;

/// A command, or a subcommand, as declared.
#[derive(Debug)]
pub struct Command {
    /// Lower case; a subcommand's own word.
    pub name: &'static str,
    /// How many arguments.
    pub arity: Arity,
    /// What it is and where it may run.
    pub flags: &'static [Flag],
    /// ACL categories beyond those that follow from flags and group, without the `@`.
    pub categories: &'static [&'static str],
    /// Where its keys stand.
    pub keys: &'static [KeySpec],
    /// Group of COMMAND DOCS.
    pub group: Group,
    /// Version of Redis that introduced it.
    pub since: &'static str,
    /// One sentence for COMMAND DOCS.
    pub summary: &'static str,
    /// Cost for COMMAND DOCS.
    pub complexity: &'static str,
    /// Arguments as a reader writes them: `key value [NX | XX] [EX seconds | KEEPTTL]`, `key [key ...]`.
    pub syntax: &'static str,
    /// Tips for clients and proxies (COMMAND INFO), such as `nondeterministic_output`.
    pub tips: &'static [&'static str],
    /// The function; for a container, [`container`].
    pub run: Run,
    /// Subcommands of a container.
    pub subcommands: &'static [Command],
}

impl Command {
    /// What a declaration does not say.
    pub const DEFAULT: Command = Command {
        name: "",
        arity: Arity::AtLeast(1),
        flags: &[],
        categories: &[],
        keys: &[],
        group: Group::Generic,
        since: "1.0.0",
        summary: "",
        complexity: "O(1)",
        syntax: "",
        tips: &[],
        run: container,
        subcommands: &[],
    };

    /// Whether the declaration has `flag`.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }
}

/// The function of a command that only holds subcommands: dispatch answers before it gets here.
pub fn container(_: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let name = String::from_utf8_lossy(&args[0]).to_ascii_lowercase();
    Err(crate::resp::errors::wrong_arity(&name))
}
