//! Arguments as people read them: `key [EX seconds|KEEPTTL] [value ...]`.

use super::{Argument, Kind};

/// Arguments in a row.
pub(super) fn all(arguments: &[Argument]) -> String {
    arguments.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// One argument: in brackets if it may be left out, repeated in brackets if it may be.
pub(super) fn one(argument: &Argument) -> String {
    let value = value(argument);
    let mut text = match &argument.token {
        Some(token) if argument.kind == Kind::Token => token.clone(),
        Some(token) => format!("{token} {value}"),
        None => value.clone(),
    };
    if argument.multiple {
        let again = if argument.multiple_token { text.clone() } else { value };
        text = format!("{text} [{again} ...]");
    }
    if argument.optional { format!("[{text}]") } else { text }
}

/// An argument without its token.
pub(super) fn value(argument: &Argument) -> String {
    match argument.kind {
        Kind::Value | Kind::Token => argument.name.clone(),
        Kind::OneOf => argument.arguments.iter().map(one).collect::<Vec<_>>().join("|"),
        Kind::Block => all(&argument.arguments),
    }
}
