//! `help`: what a command is for, or all commands of a group.

use super::{Command, Docs, syntax};

/// The help on `topic`: `@group`, or a command, whose subcommands count as it.
pub(in crate::cli::client) fn help(docs: &Docs, topic: &[String]) -> String {
    let mut text = String::new();
    if let Some(group) = topic.first().and_then(|word| word.strip_prefix('@')) {
        let members = docs.commands.iter().filter(|one| one.group.eq_ignore_ascii_case(group));
        members.for_each(|one| describe(&mut text, one, false));
    } else {
        let name = topic.join(" ").to_ascii_uppercase();
        let below = format!("{name} ");
        let found =
            docs.commands.iter().filter(|one| one.name == name || one.name.starts_with(&below));
        found.for_each(|one| describe(&mut text, one, true));
    }
    text + "\r\n"
}

fn describe(text: &mut String, command: &Command, with_group: bool) {
    let arguments = syntax::all(&command.arguments);
    *text += &format!("\r\n  \x1b[1m{}\x1b[0m \x1b[90m{arguments}\x1b[0m\r\n", command.name);
    *text += &format!("  \x1b[33msummary:\x1b[0m {}\r\n", command.summary);
    *text += &format!("  \x1b[33msince:\x1b[0m {}\r\n", command.since);
    if with_group {
        *text += &format!("  \x1b[33mgroup:\x1b[0m {}\r\n", command.group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_groups_are_described() {
        let docs = Docs::own();
        let of =
            |topic: &str| help(&docs, &topic.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(of("get").starts_with("\r\n  \x1b[1mGET\x1b[0m \x1b[90mkey\x1b[0m\r\n"));
        assert!(of("config").contains("CONFIG SET") && of("config set").contains("server"));
        assert!(of("@string").contains("STRLEN") && !of("@string").contains("CONFIG"));
        assert_eq!(of("nonsense"), "\r\n");
    }
}
