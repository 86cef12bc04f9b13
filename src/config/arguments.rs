//! The arguments of the server: a file, `-` for standard input, and settings as `--name value`.

use std::path::PathBuf;

use super::{Source, quote};

/// Turns the arguments behind the program's name into sources, in the order in which they are read.
///
/// The first argument is a file unless it starts with `-`. A `-` that is first or last asks for standard input. Every
/// other argument that starts with `--` begins a setting, and those behind it are its words; but the first word of a
/// setting may itself start with `--` (a password, say). `--save` without a word means no rules. A setting may also be
/// one argument: `"--port 7000"`.
#[must_use]
pub fn sources(arguments: &[Vec<u8>]) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut first = 0;
    if let Some(file) = arguments.first().filter(|argument| !argument.starts_with(b"-")) {
        sources.push(Source::File(path(file)));
        first = 1;
    }
    let mut stdin = false;
    let mut lines: Vec<u8> = Vec::new();
    // Whether the setting at hand has a word, so that `--` begins the next.
    let mut complete = true;
    for at in first..arguments.len() {
        let argument = &arguments[at];
        let next = arguments.get(at + 1);
        if argument == b"-" && (at == 0 || next.is_none()) {
            stdin = true;
        } else if complete && argument.starts_with(b"--") {
            if !lines.is_empty() {
                lines.push(b'\n');
            }
            lines.extend_from_slice(&argument[2..]);
            lines.push(b' ');
            complete = has_blank(argument);
            if argument.eq_ignore_ascii_case(b"--save")
                && next.is_none_or(|next| next.starts_with(b"--"))
            {
                lines.extend_from_slice(b"\"\"");
                complete = true;
            }
        } else {
            lines.extend_from_slice(quote(argument).as_bytes());
            lines.push(b' ');
            complete = true;
        }
    }
    if stdin {
        sources.push(Source::Stdin);
    }
    if !lines.is_empty() {
        sources.push(Source::Arguments(lines));
    }
    sources
}

/// Whether an argument holds a name and a word.
fn has_blank(argument: &[u8]) -> bool {
    argument.trim_ascii().iter().any(u8::is_ascii_whitespace)
}

fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], expected: &[Source]) {
        let bytes: Vec<Vec<u8>> = arguments.iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(sources(&bytes), expected, "{arguments:?}");
    }

    fn lines(text: &str) -> Source {
        Source::Arguments(text.as_bytes().to_vec())
    }

    fn file(path: &str) -> Source {
        Source::File(path.into())
    }

    #[test]
    fn file_comes_first_then_input_then_settings() {
        check(&[], &[]);
        check(&["a.conf"], &[file("a.conf")]);
        check(&["-"], &[Source::Stdin]);
        check(
            &["a.conf", "--port", "7000", "-"],
            &[file("a.conf"), Source::Stdin, lines("port \"7000\" ")],
        );
        check(&["-", "--port", "1"], &[Source::Stdin, lines("port \"1\" ")]);
    }

    #[test]
    fn words_join_until_the_next_name() {
        check(
            &["--port", "7000", "--save", "60", "1", "--save", ""],
            &[lines("port \"7000\" \nsave \"60\" \"1\" \nsave \"\" ")],
        );
    }

    #[test]
    fn first_word_may_look_like_a_name() {
        check(
            &["--requirepass", "--secret", "--port", "1"],
            &[lines("requirepass \"--secret\" \nport \"1\" ")],
        );
        check(&["--port 7000", "--hz", "5"], &[lines("port 7000 \nhz \"5\" ")]);
    }

    #[test]
    fn save_without_a_word_means_none() {
        check(&["--save", "--port", "1"], &[lines("save \"\"\nport \"1\" ")]);
        check(&["--save"], &[lines("save \"\"")]);
    }
}
