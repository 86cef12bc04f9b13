//! What is known of commands, from COMMAND DOCS: their arguments, and a sentence on each.

mod help;
mod hint;
mod syntax;

use crate::cli::wire::Reply;

pub(super) use help::help;
pub(super) use hint::hint;

/// Nesting of arguments that is looked at.
const DEPTH_MAX: usize = 16;

/// All commands that are known.
#[derive(Debug, Default)]
pub(super) struct Docs {
    /// Sorted by name.
    commands: Vec<Command>,
}

/// A command, or a subcommand.
#[derive(Debug)]
struct Command {
    /// In upper case, a subcommand with its container before it: `CONFIG SET`.
    name: String,
    summary: String,
    since: String,
    group: String,
    arguments: Vec<Argument>,
}

/// What follows the name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Argument {
    /// The word that stands for a value.
    name: String,
    kind: Kind,
    /// A word that is typed as it is, before the value if there is one.
    token: Option<String>,
    optional: bool,
    multiple: bool,
    /// The token is repeated with each value.
    multiple_token: bool,
    arguments: Vec<Argument>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A value.
    Value,
    /// The token alone.
    Token,
    /// One of several.
    OneOf,
    /// Several after each other.
    Block,
}

impl Docs {
    /// Reads a reply to COMMAND DOCS, of either version of the protocol. `None`: it is none, as where the server is too old.
    pub(super) fn from_reply(reply: &Reply) -> Option<Self> {
        let mut docs = Self::default();
        for (name, fields) in reply.pairs() {
            docs.add(name, fields);
        }
        docs.commands.sort_by(|a, b| a.name.cmp(&b.name));
        (!docs.commands.is_empty()).then_some(docs)
    }

    /// What this version's own server knows: for when no other can be asked.
    pub(super) fn own() -> Self {
        let bytes = crate::commands::documentation();
        let reply = Reply::read(&mut bytes.as_slice()).ok();
        reply.and_then(|reply| Self::from_reply(&reply)).unwrap_or_default()
    }

    fn add(&mut self, name: &Reply, fields: &Reply) {
        let text = |field: &str| fields.get(field).and_then(Reply::text).unwrap_or_default();
        let arguments = fields.get("arguments").map(|list| read_arguments(list, 0));
        self.commands.push(Command {
            name: name.text().unwrap_or_default().replace('|', " ").to_ascii_uppercase(),
            summary: text("summary"),
            since: text("since"),
            group: text("group"),
            arguments: arguments.unwrap_or_default(),
        });
        if let Some(subcommands) = fields.get("subcommands") {
            for (name, fields) in subcommands.pairs() {
                self.add(name, fields);
            }
        }
    }

    /// Names that begin with `typed`, in the case in which that is typed.
    pub(super) fn names(&self, typed: &str) -> Vec<String> {
        let upper = typed.to_ascii_uppercase();
        let is_lower = typed.chars().any(|c| c.is_ascii_lowercase());
        let names = self.commands.iter().map(|command| &command.name);
        let names = names.filter(|name| name.starts_with(&upper));
        names.map(|name| if is_lower { name.to_ascii_lowercase() } else { name.clone() }).collect()
    }

    /// Groups whose name begins with `typed`.
    pub(super) fn groups(&self, typed: &str) -> Vec<String> {
        let groups: std::collections::BTreeSet<&str> =
            self.commands.iter().map(|command| &*command.group).collect();
        let typed = typed.to_ascii_lowercase();
        groups.into_iter().filter(|name| name.starts_with(&typed)).map(str::to_owned).collect()
    }

    /// The command that words begin with, and how many of them are its name.
    fn find(&self, words: &[String]) -> Option<(&Command, usize)> {
        (1..=words.len().min(2)).rev().find_map(|count| {
            let name = words[..count].join(" ").to_ascii_uppercase();
            let at = self.commands.binary_search_by(|command| command.name.cmp(&name)).ok()?;
            Some((&self.commands[at], count))
        })
    }
}

fn read_arguments(list: &Reply, depth: usize) -> Vec<Argument> {
    let elements = list.elements().unwrap_or_default();
    if depth > DEPTH_MAX {
        Vec::new()
    } else {
        elements.iter().map(|one| read_argument(one, depth)).collect()
    }
}

fn read_argument(fields: &Reply, depth: usize) -> Argument {
    let text = |field: &str| fields.get(field).and_then(Reply::text);
    let flags = fields.get("flags").and_then(Reply::elements).unwrap_or_default();
    let has = |flag: &str| flags.iter().any(|found| found.bytes() == Some(flag.as_bytes()));
    let name = text("display_text").or_else(|| text("name"));
    Argument {
        name: name.unwrap_or_default(),
        kind: match text("type").as_deref() {
            Some("pure-token") => Kind::Token,
            Some("oneof") => Kind::OneOf,
            Some("block") => Kind::Block,
            _ => Kind::Value,
        },
        token: text("token").filter(|token| !token.is_empty()),
        optional: has("optional"),
        multiple: has("multiple"),
        multiple_token: has("multiple_token"),
        arguments: fields
            .get("arguments")
            .map(|list| read_arguments(list, depth + 1))
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_commands_are_known_without_a_server() {
        let docs = Docs::own();
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (set, count) = docs.find(&words("set k v")).unwrap();
        assert_eq!((&*set.name, count, &*set.group), ("SET", 1, "string"));
        let (sub, count) = docs.find(&words("config set a")).unwrap();
        assert_eq!((&*sub.name, count), ("CONFIG SET", 2));
        assert!(docs.find(&words("nonsense")).is_none());
    }

    #[test]
    fn names_keep_the_case_that_is_typed() {
        let docs = Docs::own();
        assert!(docs.names("config s").contains(&"config set".to_owned()));
        assert!(docs.names("CONFIG S").contains(&"CONFIG SET".to_owned()));
        assert_eq!(docs.groups("STRI"), ["string"]);
    }

    #[test]
    fn what_is_no_documentation_is_refused() {
        assert!(Docs::from_reply(&Reply::Error("ERR unknown".into())).is_none());
        assert!(Docs::from_reply(&Reply::Array(Vec::new())).is_none());
    }
}
