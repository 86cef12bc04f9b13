//! Settings: one row each, from which everything else derives.
//!
//! A [`Row`] names a setting, its type and range, its default, when it may change, and one field of [`Values`]. Reading
//! redis.conf ([`load`]), CONFIG GET ([`Config::get`]), CONFIG SET ([`Config::set`]), CONFIG REWRITE
//! ([`Config::rewrite`]) and `docs/settings.md` walk the rows; no other code knows a setting by name. The rest of the
//! server reads fields: `config.maxmemory`.

mod arguments;
pub mod choices;
mod command_names;
#[cfg(test)]
mod documentation;
mod error;
mod load;
mod rewrite;
mod row;
mod rows;
mod set;
pub mod special;
mod syntax;
mod units;
mod values;

use std::ops::Deref;
use std::path::{Path, PathBuf};

use crate::glob;

pub use arguments::sources;
pub use command_names::{CommandNames, Reached};
pub use error::{ConfigError, LoadError, RewriteError, os_reason};
pub use load::{Source, load};
pub use row::{Change, Meaning, Row};
pub use rows::{TOPICS, Topic, all};
pub use set::{Changes, Client};
pub use special::PrimaryAddress;
pub use syntax::quote;
pub use units::memory;
pub use values::Values;

/// The settings of a server and where they came from.
///
/// Fields are read through the values: `config.port`. They change by [`Config::set`], which checks, or in tests by
/// [`Config::values_mut`], which does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    values: Values,
    /// Absolute path of the file that was read, which CONFIG REWRITE changes.
    file: Option<PathBuf>,
}

impl Deref for Config {
    type Target = Values;

    fn deref(&self) -> &Values {
        &self.values
    }
}

impl Default for Config {
    /// The defaults of a stock server, with `dir` as `.`.
    fn default() -> Self {
        let mut values = Values { dir: ".".to_owned(), ..Values::default() };
        for row in rows::all().filter(|row| !row.file_only && row.name != "dir") {
            let words = default_words(row);
            row.parse(&mut values, &words, false)
                .expect("the default of a row is within its range");
        }
        Self { values, file: None }
    }
}

/// Whether the value of the setting `name` must not be shown in the slow log, MONITOR and log lines.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    rows::find(name).is_some_and(Row::is_secret)
}

/// The words of a row's default.
fn default_words(row: &Row) -> Vec<Vec<u8>> {
    match row.kind {
        row::Kind::Special(_) if row.takes_words() => {
            row.default.split(' ').map(|word| word.as_bytes().to_vec()).collect()
        }
        _ => vec![row.default.as_bytes().to_vec()],
    }
}

impl Config {
    /// What a server has when it is told nothing at all: the defaults, the log switched on, and a folder of its own,
    /// `./highwater-data`, which the start creates.
    #[must_use]
    pub fn server_defaults() -> Self {
        let mut config = Self::default();
        config.values.dir = "./highwater-data".to_owned();
        config.values.appendonly = true;
        config
    }

    /// The fields, to be changed without a check.
    pub const fn values_mut(&mut self) -> &mut Values {
        &mut self.values
    }

    /// The file that was read, if any.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Names and values of the settings that match `pattern`, for CONFIG GET. A pattern without `*`, `?` and `[` is a
    /// name, and the answer repeats it as it was written. Settings with an older name appear under both.
    #[must_use]
    pub fn get(&self, pattern: &str) -> Vec<(String, Vec<u8>)> {
        if !pattern.contains(['*', '?', '[']) {
            let row = rows::find(pattern).filter(|row| !row.file_only);
            return row
                .map(|row| (pattern.to_owned(), row.print(&self.values)))
                .into_iter()
                .collect();
        }
        let mut found = Vec::new();
        for row in rows::all().filter(|row| !row.hidden && !row.file_only) {
            for name in std::iter::once(row.name).chain(row.alias) {
                if glob::matches_any_case(pattern.as_bytes(), name.as_bytes()) {
                    found.push((name.to_owned(), row.print(&self.values)));
                }
            }
        }
        found
    }

    /// As [`Config::get`], for several patterns; each setting once.
    #[must_use]
    pub fn get_all(&self, patterns: &[&str]) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in patterns.iter().flat_map(|pattern| self.get(pattern)) {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                found.push((name, value));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: &[(&str, &str)]) {
        let found = Config::default().get(pattern);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
            .collect();
        assert_eq!(found, expected, "{pattern}");
    }

    #[test]
    fn exact_name_is_repeated_as_written() {
        check("MaxMemory", &[("MaxMemory", "0")]);
        check("nosuch", &[]);
        check("rename-command", &[]);
    }

    #[test]
    fn pattern_finds_both_names_of_a_setting() {
        check("*-PRIORITY", &[("replica-priority", "100"), ("slave-priority", "100")]);
    }

    #[test]
    fn hidden_settings_answer_only_to_their_name() {
        check("*key-load-dela?", &[]);
        check("key-load-delay", &[("key-load-delay", "0")]);
    }

    #[test]
    fn several_patterns_name_a_setting_once() {
        let found = Config::default().get_all(&["maxmemory", "maxmemory-p*", "MAXMEMORY"]);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["maxmemory", "maxmemory-policy"]);
    }

    #[test]
    fn passwords_are_secrets() {
        assert!(is_secret("REQUIREPASS"));
        assert!(!is_secret("port") && !is_secret("nosuch"));
    }

    #[test]
    fn rows_have_distinct_names() {
        let mut names: Vec<&str> =
            all().flat_map(|row| std::iter::once(row.name).chain(row.alias)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn defaults_print_what_their_rows_say() {
        let config = Config::default();
        assert_eq!(config.port, 6379);
        assert_eq!(config.client_output_buffer_limit.replica.hard, 256 << 20);
        assert_eq!(config.save.len(), 3);
        assert!(!config.appendonly);
        assert!(Config::server_defaults().appendonly);
    }
}
