//! What may follow what has been typed.

use super::{Argument, Docs, Kind, syntax};

/// The arguments that may follow `words`, the last of which may be half typed. `None`: the command is not known, or all
/// of its arguments are there.
pub(in crate::cli::client) fn hint(docs: &Docs, words: &[String]) -> Option<String> {
    let (command, count) = docs.find(words)?;
    let left = follow(&command.arguments, &mut &words[count..]);
    (!left.is_empty()).then(|| left.join(" "))
}

/// Takes the words that belong to `arguments`, which stand in a row. What is missing behind them, piece by piece, where
/// the words end inside or right behind.
fn follow(arguments: &[Argument], words: &mut &[String]) -> Vec<String> {
    let mut rest = arguments;
    while let Some((argument, behind)) = rest.split_first() {
        if words.is_empty() {
            return render(rest);
        }
        let optional = rest.iter().take_while(|argument| argument.optional).count();
        let left = if optional > 0 {
            let (options, behind) = rest.split_at(optional);
            rest = behind;
            follow_options(options, behind, words)
        } else {
            rest = behind;
            follow_required(argument, behind, words)
        };
        if !left.is_empty() {
            return [left, render(rest)].concat();
        }
    }
    Vec::new()
}

/// Options may come in any order. `behind` is what stands behind them.
fn follow_options(options: &[Argument], behind: &[Argument], words: &mut &[String]) -> Vec<String> {
    let mut pending: Vec<&Argument> = options.iter().collect();
    while let Some(word) = words.first() {
        let named = pending.iter().position(|option| begins(option, word));
        // A value without a name may be meant for what has to follow.
        let is_spare = words.len() > behind.iter().filter(|argument| !argument.optional).count();
        let any = || pending.iter().position(|option| is_spare && takes_any(option));
        let Some(at) = named.or_else(any) else { break };
        let option = pending.remove(at);
        let mut left = follow_required(option, behind, words);
        if !left.is_empty() {
            left.extend(pending.iter().map(|option| syntax::one(option)));
            return left;
        }
    }
    // What is half typed may become one of them.
    let is_open = words.is_empty() || words.len() == 1 && behind.is_empty();
    if is_open { pending.iter().map(|option| syntax::one(option)).collect() } else { Vec::new() }
}

/// An argument that is there, once or more often.
fn follow_required(argument: &Argument, behind: &[Argument], words: &mut &[String]) -> Vec<String> {
    let mut left = follow_once(argument, argument.token.is_some(), words);
    if !argument.multiple {
        return left;
    }
    let again = Argument { optional: true, multiple: false, ..argument.clone() };
    let again =
        Argument { token: again.token.clone().filter(|_| argument.multiple_token), ..again };
    let more = format!("{} ...]", syntax::one(&again).trim_end_matches(']'));
    while left.is_empty()
        && words.first().is_some_and(|word| !behind.iter().any(|other| begins(other, word)))
    {
        left = follow_once(argument, argument.multiple_token, words);
    }
    if words.is_empty() {
        left.push(more);
    }
    left
}

/// An argument once: its token, if that is to be there, and its value. What is missing of it.
fn follow_once(argument: &Argument, has_token: bool, words: &mut &[String]) -> Vec<String> {
    if has_token || argument.kind == Kind::Token {
        *words = words.split_first().map_or(&[], |(_, rest)| rest);
    }
    match argument.kind {
        Kind::Token => Vec::new(),
        Kind::Value => match words.split_first() {
            Some((_, rest)) => {
                *words = rest;
                Vec::new()
            }
            None => vec![argument.name.clone()],
        },
        Kind::Block => follow(&argument.arguments, words),
        Kind::OneOf => {
            let Some(word) = words.first() else { return vec![syntax::value(argument)] };
            let named = argument.arguments.iter().find(|inner| begins(inner, word));
            let chosen = named.or_else(|| argument.arguments.iter().find(|inner| takes_any(inner)));
            match chosen {
                Some(inner) => follow_required(inner, &[], words),
                None => {
                    *words = &words[1..];
                    Vec::new()
                }
            }
        }
    }
}

fn render(arguments: &[Argument]) -> Vec<String> {
    arguments.iter().map(syntax::one).collect()
}

/// Whether `word` is the token that an argument begins with.
fn begins(argument: &Argument, word: &str) -> bool {
    match (&argument.token, argument.kind) {
        (Some(token), _) => token.eq_ignore_ascii_case(word),
        (None, Kind::OneOf) => argument.arguments.iter().any(|inner| begins(inner, word)),
        (None, Kind::Block) => argument.arguments.first().is_some_and(|inner| begins(inner, word)),
        (None, Kind::Value | Kind::Token) => false,
    }
}

/// Whether an argument may begin with any word.
fn takes_any(argument: &Argument) -> bool {
    match (&argument.token, argument.kind) {
        (Some(_), _) | (None, Kind::Token) => false,
        (None, Kind::Value) => true,
        (None, Kind::OneOf) => argument.arguments.iter().any(takes_any),
        (None, Kind::Block) => argument.arguments.first().is_some_and(takes_any),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Docs};
    use super::*;

    fn value(name: &str) -> Argument {
        Argument {
            name: name.to_owned(),
            kind: Kind::Value,
            token: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            arguments: Vec::new(),
        }
    }

    fn named(token: &str, name: &str) -> Argument {
        Argument { token: Some(token.to_owned()), ..value(name) }
    }

    fn token(token: &str) -> Argument {
        Argument { kind: Kind::Token, ..named(token, token) }
    }

    fn group(kind: Kind, arguments: Vec<Argument>) -> Argument {
        Argument { kind, arguments, ..value("") }
    }

    fn optional(argument: Argument) -> Argument {
        Argument { optional: true, ..argument }
    }

    fn multiple(argument: Argument) -> Argument {
        Argument { multiple: true, ..argument }
    }

    fn docs() -> Docs {
        let command = |name: &str, arguments: Vec<Argument>| Command {
            name: name.to_owned(),
            summary: String::new(),
            since: String::new(),
            group: String::new(),
            arguments,
        };
        let when = group(Kind::OneOf, vec![token("NX"), token("XX")]);
        let until = group(Kind::OneOf, vec![named("EX", "seconds"), token("KEEPTTL")]);
        let pair = group(Kind::Block, vec![value("field"), value("value")]);
        Docs {
            commands: vec![
                command(
                    "CONFIG SET",
                    vec![multiple(group(Kind::Block, vec![value("parameter"), value("value")]))],
                ),
                command("HSET", vec![value("key"), multiple(pair)]),
                command("MGET", vec![multiple(value("key"))]),
                command("PING", vec![optional(value("message"))]),
                command(
                    "SCAN",
                    vec![
                        value("cursor"),
                        optional(named("MATCH", "pattern")),
                        optional(named("COUNT", "count")),
                    ],
                ),
                command(
                    "SET",
                    vec![
                        value("key"),
                        value("value"),
                        optional(when),
                        optional(token("GET")),
                        optional(until),
                    ],
                ),
                command(
                    "SORT",
                    vec![
                        value("key"),
                        optional(Argument {
                            multiple_token: true,
                            ..multiple(named("GET", "pattern"))
                        }),
                        optional(token("ALPHA")),
                    ],
                ),
            ],
        }
    }

    #[test]
    fn what_is_typed_leaves_the_hint() {
        let docs = docs();
        let check = |line: &str, expected: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(hint(&docs, &words).unwrap_or_default(), expected, "{line}");
        };
        check("set", "key value [NX|XX] [GET] [EX seconds|KEEPTTL]");
        check("set k", "value [NX|XX] [GET] [EX seconds|KEEPTTL]");
        check("set k v", "[NX|XX] [GET] [EX seconds|KEEPTTL]");
        check("set k v get", "[NX|XX] [EX seconds|KEEPTTL]");
        check("set k v ex", "seconds [NX|XX] [GET]");
        check("set k v ex 3 nx", "[GET]");
        check("set k v e", "[NX|XX] [GET] [EX seconds|KEEPTTL]");
        check("mget", "key [key ...]");
        check("mget a b", "[key ...]");
        check("hset k f", "value [field value ...]");
        check("hset k f v", "[field value ...]");
        check("config set", "parameter value [parameter value ...]");
        check("config set a", "value [parameter value ...]");
        check("scan 0 count 5", "[MATCH pattern]");
        check("ping", "[message]");
        check("ping hi", "");
        check("sort k get a", "[GET pattern ...] [ALPHA]");
        check("sort k alpha", "[GET pattern [GET pattern ...]]");
        check("nonsense", "");
    }
}
