//! Where the first key of a request stands, as the server's COMMAND says.

use std::collections::HashMap;

use crate::cli::wire::Reply;
use crate::keyspace::Slot;

/// First keys by command; a subcommand is called `config|set`.
#[derive(Debug, Default)]
pub(super) struct Keys {
    first: HashMap<String, usize>,
}

/// Commands whose keys are counted: their name, where the number stands. The keys follow it.
const COUNTED: &[(&str, usize)] = &[
    ("eval", 2),
    ("evalsha", 2),
    ("eval_ro", 2),
    ("evalsha_ro", 2),
    ("fcall", 2),
    ("fcall_ro", 2),
    ("zunion", 1),
    ("zinter", 1),
    ("zdiff", 1),
    ("zintercard", 1),
    ("sintercard", 1),
    ("lmpop", 1),
    ("zmpop", 1),
    ("blmpop", 2),
    ("bzmpop", 2),
];

/// Commands whose keys follow this word.
const BEHIND: &[(&str, &str)] = &[("xread", "streams"), ("xreadgroup", "streams")];

impl Keys {
    /// Reads a reply to COMMAND.
    pub(super) fn from_reply(reply: &Reply) -> Self {
        let mut keys = Self::default();
        for command in reply.elements().unwrap_or_default() {
            keys.add(command);
        }
        keys
    }

    fn add(&mut self, command: &Reply) {
        let fields = command.elements().unwrap_or_default();
        let first = fields.get(3).and_then(Reply::integer);
        let first = first.and_then(|first| usize::try_from(first).ok()).filter(|first| *first > 0);
        let name = fields.first().and_then(Reply::text);
        if let (Some(name), Some(first)) = (name, first) {
            self.first.insert(name.to_ascii_lowercase(), first);
        }
        for subcommand in fields.get(9).and_then(Reply::elements).unwrap_or_default() {
            self.add(subcommand);
        }
    }

    /// The slot of the first key of a request. `None`: it has none.
    pub(super) fn slot(&self, words: &[Vec<u8>]) -> Option<Slot> {
        self.position(words).and_then(|at| words.get(at)).map(|key| Slot::of(key))
    }

    fn position(&self, words: &[Vec<u8>]) -> Option<usize> {
        let text = |at: usize| {
            words.get(at).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase())
        };
        let name = text(0)?;
        if let Some((_, at)) = COUNTED.iter().find(|(counted, _)| *counted == name) {
            return text(*at)?.parse::<u64>().ok().filter(|count| *count > 0).map(|_| at + 1);
        }
        if let Some((_, word)) = BEHIND.iter().find(|(command, _)| *command == name) {
            let at = words.iter().position(|found| found.eq_ignore_ascii_case(word.as_bytes()))?;
            return Some(at + 1);
        }
        let subcommand = || self.first.get(&format!("{name}|{}", text(1)?)).copied();
        self.first.get(&name).copied().or_else(subcommand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_keys_are_found() {
        let reply = "*3\r\n*6\r\n$3\r\nget\r\n:2\r\n*0\r\n:1\r\n:1\r\n:1\r\n*6\r\n$4\r\nping\r\n:-1\r\n*0\r\n:0\r\n:0\r\n:0\r\n\
                     *10\r\n$6\r\nobject\r\n:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*1\r\n\
                     *6\r\n$11\r\nobject|freq\r\n:3\r\n*0\r\n:2\r\n:2\r\n:1\r\n";
        let keys = Keys::from_reply(&Reply::read(&mut reply.as_bytes()).unwrap());
        let check = |line: &str, expected: Option<usize>| {
            let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.into()).collect();
            assert_eq!(keys.position(&words), expected, "{line}");
        };
        check("GET k", Some(1));
        check("ping", None);
        check("object FREQ k", Some(2));
        check("object help", None);
        check("eval return 1 k", Some(3));
        check("eval return 0 k", None);
        check("xread count 1 STREAMS s 0", Some(4));
        check("nonsense k", None);
    }
}
