//! The words of a command line: which command, on what, and how.

use std::ffi::OsString;

use super::super::wire::Credentials;

/// How a cluster is managed. What no option names has stock's default.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Options {
    pub(super) replicas: usize,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) from_user: Option<String>,
    pub(super) from_password: Option<String>,
    pub(super) asks_from_password: bool,
    pub(super) weights: Vec<String>,
    pub(super) master_id: Option<String>,
    pub(super) slots: i64,
    pub(super) timeout_ms: i64,
    pub(super) pipeline: i64,
    pub(super) threshold_percent: f64,
    pub(super) yes: bool,
    pub(super) replace: bool,
    pub(super) copy: bool,
    pub(super) as_replica: bool,
    pub(super) simulate: bool,
    pub(super) uses_empty_masters: bool,
    pub(super) searches_multiple_owners: bool,
    pub(super) fixes_with_unreachable_masters: bool,
    pub(super) only_masters: bool,
    pub(super) only_replicas: bool,
    pub(super) is_verbose: bool,
    /// Our own: clusters of fewer than three primaries can be made.
    pub(super) allows_small: bool,
    /// Our own: one JSON object instead of lines.
    pub(super) json: bool,
    /// Our own: first finish moves that an earlier run left half done.
    pub(super) resumes: bool,
    /// Our own name: what stock's scripts do not read may be said otherwise.
    pub(super) is_own: bool,
    /// Our own: slots are moved key by key even where nodes could move them as a whole.
    pub(super) is_legacy: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            replicas: 0,
            from: None,
            to: None,
            from_user: None,
            from_password: None,
            asks_from_password: false,
            weights: Vec::new(),
            master_id: None,
            slots: 0,
            timeout_ms: 60_000,
            pipeline: 10,
            threshold_percent: 2.0,
            yes: false,
            replace: false,
            copy: false,
            as_replica: false,
            simulate: false,
            uses_empty_masters: false,
            searches_multiple_owners: false,
            fixes_with_unreachable_masters: false,
            only_masters: false,
            only_replicas: false,
            is_verbose: false,
            allows_small: false,
            json: false,
            resumes: false,
            is_own: false,
            is_legacy: false,
        }
    }
}

/// A command line, understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Line {
    /// The command and what it is to work on.
    pub(super) words: Vec<String>,
    pub(super) options: Options,
    /// What was said of the password and the user.
    pub(super) credentials: Credentials,
    pub(super) asks_password: bool,
    /// A password stood on the line and no word that this is known.
    pub(super) warns_of_password: bool,
}

/// Why a command line is not understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misunderstood {
    /// This word is no option, or what belongs behind it is missing.
    Option(String),
    /// Weights were given twice.
    WeightsTwice,
}

/// Reads the words behind `--cluster`.
///
/// A command's own words stand together: an option behind them ends them, and later ones that are no option are left out,
/// as stock does.
pub(super) fn parse(words: &[OsString]) -> Result<Line, Misunderstood> {
    let mut words: Vec<String> =
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    words.reverse();
    let mut line = Line::default();
    let mut is_quiet = false;
    let mut ended = false;
    while let Some(word) = words.pop() {
        if !word.starts_with('-') || word == "-" {
            if !ended {
                line.words.push(word);
            }
            continue;
        }
        ended = ended || line.words.len() > 1;
        match word.as_str() {
            "--no-auth-warning" => is_quiet = true,
            "--askpass" => line.asks_password = true,
            "-a" | "--pass" => {
                line.credentials.password = Some(value(&word, &mut words)?);
                line.warns_of_password = true;
            }
            "--user" => line.credentials.user = Some(value(&word, &mut words)?),
            // The address of a node stands behind the command.
            "-h" | "-p" => drop(value(&word, &mut words)?),
            _ => line.options.take(&word, &mut words)?,
        }
    }
    line.warns_of_password &= !is_quiet;
    Ok(line)
}

/// The word behind `option`.
fn value(option: &str, words: &mut Vec<String>) -> Result<String, Misunderstood> {
    words.pop().ok_or_else(|| Misunderstood::Option(option.to_owned()))
}

/// What stands at the start of a word as a number, as `atoi` reads it.
pub(super) fn leading_number(word: &str) -> i64 {
    let word = word.trim_start();
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number: i64 = digits[..end].parse().unwrap_or(if end == 0 { 0 } else { i64::MAX });
    if word.starts_with('-') { -number } else { number }
}

/// What stands at the start of a word as a decimal number, as `atof` reads it.
pub(super) fn leading_decimal(word: &str) -> f64 {
    let word = word.trim_start();
    let longest = (1..=word.len()).rev().filter(|end| word.is_char_boundary(*end));
    longest.filter_map(|end| word[..end].parse::<f64>().ok()).next().unwrap_or(0.0)
}

impl Options {
    fn take(&mut self, word: &str, words: &mut Vec<String>) -> Result<(), Misunderstood> {
        let mut number = || value(word, words).map(|word| leading_number(&word));
        match word {
            "--cluster-replicas" => self.replicas = usize::try_from(number()?).unwrap_or(0),
            "--cluster-slots" => self.slots = number()?,
            "--cluster-timeout" => self.timeout_ms = number()?,
            "--cluster-pipeline" => self.pipeline = number()?,
            "--cluster-threshold" => self.threshold_percent = leading_decimal(&value(word, words)?),
            "--cluster-from" => self.from = Some(value(word, words)?),
            "--cluster-to" => self.to = Some(value(word, words)?),
            "--cluster-from-user" => self.from_user = Some(value(word, words)?),
            "--cluster-from-pass" => self.from_password = Some(value(word, words)?),
            "--cluster-master-id" => self.master_id = Some(value(word, words)?),
            "--cluster-weight" => {
                if !self.weights.is_empty() {
                    return Err(Misunderstood::WeightsTwice);
                }
                while words.last().is_some_and(|word| !word.starts_with('-')) {
                    self.weights.extend(words.pop());
                }
                if self.weights.is_empty() {
                    return Err(Misunderstood::Option(word.to_owned()));
                }
            }
            _ => *self.switch(word).ok_or_else(|| Misunderstood::Option(word.to_owned()))? = true,
        }
        Ok(())
    }

    fn switch(&mut self, word: &str) -> Option<&mut bool> {
        Some(match word {
            "--cluster-yes" => &mut self.yes,
            "--cluster-replace" => &mut self.replace,
            "--cluster-copy" => &mut self.copy,
            "--cluster-slave" => &mut self.as_replica,
            "--cluster-simulate" => &mut self.simulate,
            "--cluster-use-empty-masters" => &mut self.uses_empty_masters,
            "--cluster-search-multiple-owners" => &mut self.searches_multiple_owners,
            "--cluster-fix-with-unreachable-masters" => &mut self.fixes_with_unreachable_masters,
            "--cluster-only-masters" => &mut self.only_masters,
            "--cluster-only-replicas" => &mut self.only_replicas,
            "--cluster-from-askpass" => &mut self.asks_from_password,
            "--verbose" => &mut self.is_verbose,
            "--cluster-allow-small" => &mut self.allows_small,
            "--cluster-json" | "--json" => &mut self.json,
            "--cluster-resume" => &mut self.resumes,
            "--cluster-key-by-key" => &mut self.is_legacy,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Line, Misunderstood> {
        parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_stand_anywhere() {
        let line = read("--cluster-yes create a:1 b:2 --cluster-replicas 1 -a pw").unwrap();
        assert_eq!(line.words, ["create", "a:1", "b:2"]);
        assert!(line.options.yes && line.options.replicas == 1);
        assert_eq!(line.credentials.password.as_deref(), Some("pw"));
        assert!(line.warns_of_password);
        assert!(!read("check a:1 -a pw --no-auth-warning").unwrap().warns_of_password);
    }

    #[test]
    fn words_behind_an_option_are_left_out() {
        let line = read("call a:1 get --cluster-only-masters x").unwrap();
        assert_eq!(line.words, ["call", "a:1", "get"]);
    }

    #[test]
    fn options_may_stand_between_a_command_and_its_words() {
        assert_eq!(read("check --cluster-yes a:1").unwrap().words, ["check", "a:1"]);
    }

    #[test]
    fn weights_are_a_list() {
        let line = read("rebalance a:1 --cluster-weight a=1 b=2 --cluster-simulate").unwrap();
        assert_eq!(line.options.weights, ["a=1", "b=2"]);
        assert!(line.options.simulate);
        let twice = read("rebalance a:1 --cluster-weight a=1 --cluster-weight b=2");
        assert_eq!(twice, Err(Misunderstood::WeightsTwice));
    }

    #[test]
    fn what_is_no_option_is_named() {
        let wrong = |line: &str| read(line).unwrap_err();
        assert_eq!(wrong("check a:1 --bogus"), Misunderstood::Option("--bogus".into()));
        assert_eq!(
            wrong("check a:1 --cluster-from"),
            Misunderstood::Option("--cluster-from".into())
        );
    }

    #[test]
    fn numbers_are_read_up_to_what_is_none() {
        let read = ["12", "-5x", "x", "+3", ""].map(leading_number);
        assert_eq!(read, [12, -5, 0, 3, 0]);
        let read = ["1.5", "2%", "x", "-1"].map(leading_decimal);
        assert_eq!(read, [1.5, 2.0, 0.0, -1.0]);
    }
}
