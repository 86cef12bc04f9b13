//! ACL categories of a command, from its flags and group and what it declares besides.

use super::command::{Command, Flag, Group};

/// All categories, in stock's order.
pub const ALL: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Whether a command belongs to `category`.
pub fn belongs(command: &Command, category: &str) -> bool {
    let by_flag = match category {
        "write" => command.has(Flag::Write),
        "read" => command.has(Flag::Readonly),
        "admin" | "dangerous" => command.has(Flag::Admin),
        "pubsub" => command.has(Flag::Pubsub),
        "fast" => command.has(Flag::Fast),
        "slow" => !command.has(Flag::Fast),
        "blocking" => command.has(Flag::Blocking),
        "string" => command.group == Group::String,
        "bitmap" => command.group == Group::Bitmap,
        "list" => command.group == Group::List,
        "set" => command.group == Group::Set,
        "hash" => command.group == Group::Hash,
        "sortedset" => command.group == Group::SortedSet,
        "stream" => command.group == Group::Stream,
        "hyperloglog" => command.group == Group::Hyperloglog,
        "geo" => command.group == Group::Geo,
        "transaction" => command.group == Group::Transactions,
        _ => false,
    };
    by_flag || command.categories.contains(&category)
}

/// The categories of a command, in stock's order.
pub fn of(command: &Command) -> impl Iterator<Item = &'static str> {
    ALL.into_iter().filter(|category| belongs(command, category))
}
