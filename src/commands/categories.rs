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
    // A container is of its group, and only what it holds is of the group's category.
    let is_of = |group: Group| command.group == group && command.subcommands.is_empty();
    let by_flag = match category {
        "write" => command.has(Flag::Write),
        "read" => command.has(Flag::Readonly),
        "admin" | "dangerous" => command.has(Flag::Admin),
        "pubsub" => command.has(Flag::Pubsub),
        "fast" => command.has(Flag::Fast),
        "slow" => !command.has(Flag::Fast),
        "blocking" => command.has(Flag::Blocking),
        "string" => is_of(Group::String),
        "bitmap" => is_of(Group::Bitmap),
        "list" => is_of(Group::List),
        "set" => is_of(Group::Set),
        "hash" => is_of(Group::Hash),
        "sortedset" => is_of(Group::SortedSet),
        "stream" => is_of(Group::Stream),
        "hyperloglog" => is_of(Group::Hyperloglog),
        "geo" => is_of(Group::Geo),
        "transaction" => is_of(Group::Transactions),
        _ => false,
    };
    by_flag || command.categories.contains(&category)
}

/// The categories of a command, in stock's order.
pub fn of(command: &Command) -> impl Iterator<Item = &'static str> {
    ALL.into_iter().filter(|category| belongs(command, category))
}
