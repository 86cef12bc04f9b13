//! `--eval FILE key... , argument...`: runs a script from a file.

use std::path::Path;
use std::process::ExitCode;

use super::options::Options;
use super::screen::complain;
use super::session::{Session, plain};

/// Sends the script in `path` and prints its reply.
pub(super) fn run(options: &Options, path: &Path) -> ExitCode {
    let script = match std::fs::read(path) {
        Ok(script) => script,
        Err(error) => {
            complain(&format!("Can't open file '{}': {}", path.display(), plain(&error)));
            return ExitCode::FAILURE;
        }
    };
    let words = request(script, &options.words);
    let mut session = Session::new(options, false);
    match session.connect().and_then(|()| session.run(&words, options.repeat)) {
        Ok(status) => ExitCode::from(status),
        Err(_) => ExitCode::FAILURE,
    }
}

/// The words before a comma are keys.
fn request(script: Vec<u8>, words: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let keys = words.iter().position(|word| word == b",").unwrap_or(words.len());
    let arguments = words.iter().enumerate().filter(|(at, _)| *at != keys);
    let mut request = vec![b"EVAL".to_vec(), script, keys.to_string().into_bytes()];
    request.extend(arguments.map(|(_, word)| word.clone()));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comma_divides_keys_from_arguments() {
        let check = |words: &str, expected: &str| {
            let words: Vec<Vec<u8>> = words.split_whitespace().map(|word| word.into()).collect();
            let request = request(b"script".to_vec(), &words).join(&b' ');
            assert_eq!(String::from_utf8_lossy(&request), expected, "{words:?}");
        };
        check("k1 k2 , a b", "EVAL script 2 k1 k2 a b");
        check("k1 k2", "EVAL script 2 k1 k2");
        check(", a ,", "EVAL script 0 a ,");
        check("", "EVAL script 0");
    }
}
