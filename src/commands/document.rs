//! `docs/commands.md`, from the declarations.

use super::command::Command;
use super::table::{Entry, table};
use super::{Group, categories};

/// Groups in the order of the document.
const GROUPS: [Group; 15] = [
    Group::Connection,
    Group::Generic,
    Group::String,
    Group::Bitmap,
    Group::List,
    Group::Hash,
    Group::Set,
    Group::SortedSet,
    Group::Stream,
    Group::Hyperloglog,
    Group::Geo,
    Group::Transactions,
    Group::Pubsub,
    Group::Server,
    Group::Cluster,
];

/// The whole document.
pub fn document() -> String {
    let mut text = String::from(
        "# Commands\n\n\
         Every command of this version, from its declaration in `src/commands/`. Replies, error texts and limits are\n\
         those of Redis 7.2; [compatibility.md](compatibility.md) lists what differs. This page is written by a test:\n\
         `UPDATE=1 cargo test --lib commands_page`.\n",
    );
    for group in GROUPS {
        let mut entries: Vec<&Entry> =
            table().entries().iter().filter(|entry| entry.command.group == group).collect();
        entries.sort_unstable_by_key(|entry| &entry.full_name);
        text.push_str(&format!("\n## {}\n\n", title(group)));
        text.push_str("| command | what it does | since | categories |\n|---|---|---|---|\n");
        for entry in entries {
            row(&mut text, entry);
            entry.subcommands.iter().for_each(|subcommand| row(&mut text, subcommand));
        }
    }
    text
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Generic => "Keys of any type",
        Group::String => "Strings",
        Group::Bitmap => "Strings as bits",
        Group::Connection => "The connection",
        Group::Server => "The server",
        Group::Transactions => "Transactions",
        Group::Pubsub => "Messages",
        Group::Cluster => "The cluster",
        Group::List => "Lists",
        Group::Set => "Sets",
        Group::Hash => "Hashes",
        Group::SortedSet => "Sorted sets",
        Group::Stream => "Streams",
        Group::Hyperloglog => "HyperLogLogs",
        Group::Geo => "Places",
    }
}

fn row(text: &mut String, entry: &Entry) {
    let command: &Command = entry.command;
    let name = entry.full_name.replace('|', " ").to_ascii_uppercase();
    // A bar would end the cell, in code too.
    let syntax = command.syntax.replace('|', "\\|");
    let call = format!("{name} {syntax}");
    let categories: Vec<String> =
        categories::of(command).map(|category| format!("@{category}")).collect();
    text.push_str(&format!(
        "| `{}` | {} | {} | {} |\n",
        call.trim_end(),
        command.summary,
        command.since,
        categories.join(" ")
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
        let text = document();
        assert!(text.is_ascii(), "sources are ASCII");
        let left_out =
            table().entries().iter().find(|entry| !GROUPS.contains(&entry.command.group));
        assert_eq!(left_out.map(|entry| &entry.full_name), None, "every command has a place");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(found == text, "docs/commands.md is old: UPDATE=1 cargo test --lib commands_page");
    }

    #[test]
    fn every_command_says_what_it_does() {
        let check = |entry: &Entry| {
            let summary = entry.command.summary;
            assert!(summary.ends_with('.'), "{}: {summary:?}", entry.full_name);
            assert!(!summary.contains('|'), "{}: {summary:?}", entry.full_name);
        };
        for entry in table().entries() {
            check(entry);
            entry.subcommands.iter().for_each(check);
        }
    }
}
