//! The arguments of a command as a tree, read from the line that its declaration shows to people.
//!
//! `key value [NX | XX] [EX seconds | KEEPTTL] [field ...]`: a word in capitals is a token, any other an argument;
//! `[ ]` is optional, `< | >` a choice, `...` a repetition.

use super::command::{Command, Flag};

/// What an argument is, by stock's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    Oneof,
    Block,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Key => "key",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::PureToken => "pure-token",
            Kind::Oneof => "oneof",
            Kind::Block => "block",
        }
    }
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The word in front of it.
    pub(super) token: Option<String>,
    pub(super) optional: bool,
    pub(super) multiple: bool,
    /// Repeated with its token.
    pub(super) multiple_token: bool,
    /// Which key specification it belongs to.
    pub(super) key_spec: Option<usize>,
    pub(super) arguments: Vec<Argument>,
}

impl Argument {
    fn new(name: String, kind: Kind) -> Self {
        Self {
            name,
            kind,
            token: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            key_spec: None,
            arguments: Vec::new(),
        }
    }

    fn holding(kind: Kind, separator: &str, arguments: Vec<Argument>) -> Self {
        let names: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
        let name = names.join(separator).to_ascii_lowercase();
        Self { arguments, ..Self::new(name, kind) }
    }
}

/// The arguments of a command.
pub(super) fn arguments(command: &Command) -> Vec<Argument> {
    let mut parser = Parser {
        command,
        words: split(command.syntax),
        at: 0,
        keys: command.keys.len(),
        keys_seen: 0,
    };
    let (mut alternatives, _) = parser.alternatives("");
    match alternatives.len() {
        0 | 1 => alternatives.pop().unwrap_or_default(),
        _ => vec![choice(alternatives)],
    }
}

/// Words, brackets, bars and dots.
fn split(syntax: &'static str) -> Vec<&'static str> {
    let mut words = Vec::new();
    for word in syntax.split(' ').filter(|word| !word.is_empty()) {
        let start = word.len() - word.trim_start_matches(['[', '<']).len();
        let end = word.trim_end_matches([']', '>']).len().max(start);
        words.extend((0..start).map(|at| &word[at..=at]));
        if end > start {
            words.push(&word[start..end]);
        }
        words.extend((end..word.len()).map(|at| &word[at..=at]));
    }
    words
}

fn is_token(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && !word.contains(|byte: char| byte.is_ascii_lowercase())
}

fn is_word(word: &str) -> bool {
    !matches!(word, "[" | "]" | "<" | ">" | "|" | "...")
}

struct Parser<'c> {
    command: &'c Command,
    words: Vec<&'static str>,
    at: usize,
    keys: usize,
    keys_seen: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &'static str {
        self.words.get(self.at).copied().unwrap_or("")
    }

    /// Sequences between bars up to `end`, and whether the last held `...`.
    fn alternatives(&mut self, end: &str) -> (Vec<Vec<Argument>>, bool) {
        let mut all = vec![Vec::new()];
        let mut repeated = false;
        while self.at < self.words.len() && self.peek() != end {
            match self.peek() {
                "|" => {
                    self.at += 1;
                    all.push(Vec::new());
                }
                "..." => {
                    self.at += 1;
                    repeated = true;
                }
                _ => {
                    let sequence = all.last_mut().expect("there is always one");
                    self.item(sequence);
                }
            }
        }
        self.at += 1;
        (all, repeated)
    }

    /// One argument, or a repetition of the ones before it.
    fn item(&mut self, sequence: &mut Vec<Argument>) {
        match self.peek() {
            "[" => {
                self.at += 1;
                let (alternatives, repeated) = self.alternatives("]");
                optional(sequence, alternatives, repeated);
            }
            "<" => {
                self.at += 1;
                let (alternatives, _) = self.alternatives(">");
                sequence.push(choice(alternatives));
            }
            word if is_token(word) => {
                self.at += 1;
                sequence.push(self.after_token(word));
            }
            word => {
                self.at += 1;
                sequence.push(self.plain(word));
            }
        }
    }

    fn after_token(&mut self, token: &'static str) -> Argument {
        let mut arguments = Vec::new();
        if self.peek() == "<" {
            self.item(&mut arguments);
        }
        while arguments.is_empty() || self.peek() != "<" {
            let word = self.peek();
            if word.is_empty() || !is_word(word) || is_token(word) {
                break;
            }
            self.at += 1;
            arguments.push(self.plain(word));
        }
        let mut argument = match arguments.len() {
            0 => Argument::new(token.to_ascii_lowercase(), Kind::PureToken),
            1 => arguments.remove(0),
            _ => Argument::holding(Kind::Block, "-", arguments),
        };
        argument.token = Some(token.to_owned());
        argument
    }

    fn plain(&mut self, name: &'static str) -> Argument {
        if let Some(sign) = sign_name(name) {
            let token = Some(name.trim_matches('"').to_owned());
            return Argument { token, ..Argument::new(sign.to_owned(), Kind::PureToken) };
        }
        let mut kind = kind_of(self.command, name);
        let mut key_spec = None;
        if kind == Kind::Key {
            if self.keys == 0 {
                kind = Kind::String;
            } else {
                key_spec = Some(self.keys_seen.min(self.keys - 1));
                self.keys_seen += 1;
            }
        }
        Argument { key_spec, ..Argument::new(name.to_owned(), kind) }
    }
}

/// What an argument is, from its name and the command it belongs to.
fn kind_of(command: &Command, name: &str) -> Kind {
    let of = |names: &[&str]| names.contains(&command.name);
    // Ids, and since 6.2 whatever ZRANGE goes by.
    let is_text = of(&["zrange", "zrangestore", "xrange", "xrevrange", "xpending", "xautoclaim"]);
    let is_score = command.name.ends_with("byscore") || of(&["zcount"]);
    let is_float = command.name.ends_with("byfloat");
    let waits_for_keys = command.flags.contains(&Flag::Blocking) && !command.keys.is_empty();
    match name {
        "key" | "newkey" | "destkey" | "source" | "sourcekey" | "destination" | "src" | "dst"
        | "key1" | "key2" => Kind::Key,
        "pattern" => Kind::Pattern,
        "unix-time-seconds" | "unix-time-milliseconds" => Kind::UnixTime,
        "start" | "stop" | "end" if !is_text => Kind::Integer,
        "min" | "max" if is_score => Kind::Double,
        "increment" if is_float => Kind::Double,
        "timeout" if waits_for_keys => Kind::Double,
        "min-idle-time" if of(&["xpending"]) => Kind::Integer,
        "value" if of(&["setbit"]) => Kind::Integer,
        "seconds" | "milliseconds" | "index" | "index1" | "index2" | "db" | "destination-db"
        | "count" | "cursor" | "offset" | "increment" | "decrement" | "numkeys" | "numlocal"
        | "numreplicas" | "timeout" | "ttl" | "client-id" | "protover" | "bit" | "version"
        | "port" | "length" | "frequency" | "slot" | "start-slot" | "end-slot" | "config-epoch"
        | "cluster-bus-port" | "min-match-len" | "rank" | "num-matches" | "len" | "limit"
        | "weight" | "ms" | "entries-read" | "entries-added" => Kind::Integer,
        "number" | "float-increment" | "longitude" | "latitude" | "radius" | "width" | "height"
        | "score" => Kind::Double,
        _ => Kind::String,
    }
}

/// The name of a token that is a sign.
fn sign_name(word: &str) -> Option<&'static str> {
    Some(match word {
        "=" => "equal",
        "~" => "approximately",
        "*" => "auto-id",
        "$" => "new-id",
        "\"\"" => "empty-string",
        _ => return None,
    })
}

/// A choice between sequences.
fn choice(alternatives: Vec<Vec<Argument>>) -> Argument {
    let mut arguments: Vec<Argument> = alternatives.into_iter().map(block).collect();
    match arguments.len() {
        1 => arguments.remove(0),
        _ => Argument::holding(Kind::Oneof, "_", arguments),
    }
}

/// A sequence as one argument.
fn block(mut sequence: Vec<Argument>) -> Argument {
    match sequence.len() {
        1 => sequence.remove(0),
        _ => Argument::holding(Kind::Block, "-", sequence),
    }
}

/// What `[...]` adds to the sequence before it.
fn optional(sequence: &mut Vec<Argument>, alternatives: Vec<Vec<Argument>>, repeated: bool) {
    if repeated && let [again] = &alternatives[..] {
        let count = again.len();
        let names = |arguments: &[Argument]| -> Vec<String> {
            arguments.iter().map(|argument| argument.name.clone()).collect()
        };
        let from = sequence.len().checked_sub(count);
        if let Some(from) = from
            && names(&sequence[from..]) == names(again)
        {
            let tokens = again.iter().any(|argument| argument.token.is_some());
            let whole = block(sequence.split_off(from));
            sequence.push(Argument { multiple: true, multiple_token: tokens, ..whole });
            return;
        }
    }
    let whole = choice(alternatives);
    let multiple = repeated || whole.multiple;
    sequence.push(Argument { optional: true, multiple, ..whole });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::command::{KeyFlag, key};
    use crate::commands::table;

    /// A tree in one line: `name:type`, `=TOKEN`, `?` optional, `*` multiple, parts in parentheses.
    fn show(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let token = argument.token.as_ref().map(|token| format!("={token}"));
            let parts = match argument.arguments.len() {
                0 => String::new(),
                _ => format!("({})", show(&argument.arguments)),
            };
            format!(
                "{}:{}{}{}{}{parts}",
                argument.name,
                argument.kind.name(),
                token.unwrap_or_default(),
                if argument.optional { "?" } else { "" },
                if argument.multiple { "*" } else { "" },
            )
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn check(syntax: &'static str, expected: &str) {
        const KEYS: &[crate::commands::KeySpec] = &[key(1, &[KeyFlag::Rw])];
        let command = Command { syntax, keys: KEYS, ..Command::DEFAULT };
        assert_eq!(show(&arguments(&command)), expected, "{syntax}");
    }

    #[test]
    fn trees_have_the_shape_of_stock() {
        check("", "");
        check("key value", "key:key value:string");
        check("key [key ...]", "key:key*");
        check("key value [key value ...]", "key-value:block*(key:key value:string)");
        check("[section [section ...]]", "section:string?*");
        check("[MATCH pattern]", "pattern:pattern=MATCH?");
        check(
            "key [NX | XX] [EX seconds | KEEPTTL]",
            "key:key nx_xx:oneof?(nx:pure-token=NX xx:pure-token=XX) \
             seconds_keepttl:oneof?(seconds:integer=EX keepttl:pure-token=KEEPTTL)",
        );
        check(
            "[AUTH username password]",
            "username-password:block=AUTH?(username:string password:string)",
        );
        check(
            "[TYPE <A | B>] [ID client-id [client-id ...]]",
            "a_b:oneof=TYPE?(a:pure-token=A b:pure-token=B) client-id:integer=ID?*",
        );
        check(
            "[protover [SETNAME name]]",
            "protover-name:block?(protover:integer name:string=SETNAME?)",
        );
    }

    #[test]
    fn every_declared_syntax_is_balanced_and_names_its_keys() {
        let check = |command: &'static Command, name: &str| {
            let count = |mark| command.syntax.matches(mark).count();
            assert_eq!(count('['), count(']'), "{name}");
            assert_eq!(count('<'), count('>'), "{name}");
            let known = arguments(command);
            let arity = command.arity.shown();
            let container = !command.subcommands.is_empty();
            assert!(container || !known.is_empty() || arity.abs() <= 2, "{name} has no syntax");
            fn keys(arguments: &[Argument]) -> usize {
                let own = |argument: &Argument| usize::from(argument.key_spec.is_some());
                arguments.iter().map(|one| own(one) + keys(&one.arguments)).sum()
            }
            // What only routes like a key is not called one.
            let has_keys = command.keys.iter().any(|spec| !spec.flags.contains(&KeyFlag::NotKey));
            assert_eq!(has_keys, keys(&known) > 0, "keys of {name}");
        };
        for entry in table().entries() {
            check(entry.command, &entry.full_name);
            for subcommand in &entry.subcommands {
                check(subcommand.command, &subcommand.full_name);
            }
        }
    }
}
