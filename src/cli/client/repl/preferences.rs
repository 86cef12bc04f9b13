//! What a user likes, set by lines that begin with a colon, at the prompt or in a file.

use std::path::PathBuf;

use crate::cli::client::screen::complain;
use crate::resp::inline::split_words;

/// The name of the file in the home folder.
const FILE: &str = ".redisclirc";

/// Names another file.
const FILE_VARIABLE: &str = "REDISCLI_RCFILE";

#[derive(Debug)]
pub(super) struct Preferences {
    /// Arguments are shown as the user types.
    pub(super) hints: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { hints: true }
    }
}

impl Preferences {
    /// Takes a line such as `:set nohints`.
    ///
    /// # Errors
    /// What to tell the user.
    pub(super) fn set(&mut self, words: &[String]) -> Result<(), String> {
        let is_set = words.first().is_some_and(|word| word.eq_ignore_ascii_case(":set"));
        match words.get(1).map(|word| word.to_ascii_lowercase()) {
            Some(name) if is_set && name == "hints" => self.hints = true,
            Some(name) if is_set && name == "nohints" => self.hints = false,
            Some(_) if is_set => {
                return Err(format!("unknown redis-cli preference '{}'", words[1]));
            }
            _ => {
                let word = words.first().map(String::as_str).unwrap_or_default();
                return Err(format!("unknown redis-cli internal command '{word}'"));
            }
        }
        Ok(())
    }

    /// Takes the lines of the user's file.
    pub(super) fn read_file(&mut self) {
        let Some(path) = dot_file(FILE_VARIABLE, FILE) else { return };
        let Ok(text) = std::fs::read(path) else { return };
        for line in text.split(|byte| *byte == b'\n') {
            let words = split_words(line).unwrap_or_default();
            let words: Vec<String> =
                words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            if !words.is_empty()
                && let Err(text) = self.set(&words)
            {
                complain(&text);
            }
        }
    }
}

/// The path in `variable`, or `name` in the home folder. `None`: there is to be no such file.
pub(super) fn dot_file(variable: &str, name: &str) -> Option<PathBuf> {
    match std::env::var_os(variable).filter(|path| !path.is_empty()) {
        Some(path) if path == "/dev/null" => None,
        Some(path) => Some(PathBuf::from(path)),
        None => std::env::var_os("HOME")
            .filter(|home| !home.is_empty())
            .map(|home| PathBuf::from(home).join(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_switched() {
        let mut preferences = Preferences::default();
        let mut set = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            preferences.set(&words).map(|()| preferences.hints)
        };
        assert_eq!(set(":set nohints"), Ok(false));
        assert_eq!(set(":SET Hints"), Ok(true));
        assert_eq!(set(":set foo"), Err("unknown redis-cli preference 'foo'".into()));
        assert_eq!(set(":foo"), Err("unknown redis-cli internal command ':foo'".into()));
        assert_eq!(set(":set"), Err("unknown redis-cli internal command ':set'".into()));
    }
}
