//! The row of one setting: all that is known about it, from which reading, printing, changing and documenting derive.

use super::choices::Choice;
use super::units;
use super::values::Values;

/// When a setting may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At the start only.
    Start,
    /// By CONFIG SET too.
    Runtime,
    /// By CONFIG SET, if `enable-protected-configs` lets this client.
    Protected,
}

/// What a setting does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// What its row says.
    Honoured,
    /// It is accepted, kept and printed, and changes nothing, for this reason.
    Without(&'static str),
    /// It is accepted, kept and printed, and waits for a part of the server that is still to come: this one.
    Later(&'static str),
}

/// One setting.
#[derive(Clone, Copy)]
pub struct Row {
    /// The name, as in redis.conf.
    pub name: &'static str,
    /// An older name that is read and printed as well.
    pub alias: Option<&'static str>,
    /// Type, range, and the field.
    pub(super) kind: Kind,
    /// The default, written as in redis.conf.
    pub default: &'static str,
    /// When it may change.
    pub change: Change,
    /// What it does here.
    pub meaning: Meaning,
    /// Left out where CONFIG GET is given a pattern.
    pub hidden: bool,
    /// Never part of CONFIG GET and CONFIG SET: a directive of the file.
    pub file_only: bool,
    /// Refused while the data set is loaded.
    pub not_while_loading: bool,
    /// Two or three lines for a reader.
    pub doc: &'static str,
}

/// The type of a setting, with access to its field.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `yes` or `no`.
    Flag { get: fn(&Values) -> bool, set: fn(&mut Values, bool) },
    /// A whole number from `min` to `max`.
    Number { field: Number, min: i64, max: i64 },
    /// Permissions in base eight.
    Octal { field: Number, max: i64 },
    /// A size in bytes, with units.
    Memory { field: Number, min: u64, max: u64 },
    /// One word of a list.
    Choice { listed: fn() -> String, get: fn(&Values) -> &'static str, set: SetWord },
    /// UTF-8 text.
    Text { get: fn(&Values) -> &str, set: fn(&mut Values, String), check: Check },
    /// Bytes that may be anything: passwords.
    Secret { get: fn(&Values) -> &[u8], set: fn(&mut Values, Vec<u8>) },
    /// Anything else, usually of several words.
    Special(Special),
}

/// What reads and what writes a field: made by the macros below.
type FlagField = (fn(&Values) -> bool, fn(&mut Values, bool));
type ChoiceField = (fn() -> String, fn(&Values) -> &'static str, SetWord);
type TextField = (fn(&Values) -> &str, fn(&mut Values, String));
type SecretField = (fn(&Values) -> &[u8], fn(&mut Values, Vec<u8>));

/// Sets a field to the value of a word; false if there is no such word.
pub(super) type SetWord = fn(&mut Values, &str) -> bool;

/// Whether a text is acceptable; the error is shown.
pub(super) type Check = fn(&str) -> Result<(), String>;

/// A numeric field of any width.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub(super) get: fn(&Values) -> i128,
    pub(super) set: fn(&mut Values, i128),
}

/// A setting with a form of its own.
#[derive(Clone, Copy)]
pub(super) struct Special {
    /// What the documentation calls its type.
    pub(super) form: &'static str,
    /// Takes the words of a line. `again` says that an earlier line of the same source gave this setting already, so
    /// that settings of several lines add up.
    pub(super) set: fn(&mut Values, words: &[String], again: bool) -> Result<(), String>,
    /// The value as CONFIG GET shows it.
    pub(super) get: fn(&Values) -> String,
    /// The value as lines of words for CONFIG REWRITE, without the name.
    pub(super) lines: fn(&Values) -> Vec<Vec<String>>,
    /// Fewest and most words of a line.
    pub(super) words: (usize, usize),
}

impl Row {
    const fn new(name: &'static str, default: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            alias: None,
            kind,
            default,
            change: Change::Runtime,
            meaning: Meaning::Honoured,
            hidden: false,
            file_only: false,
            not_while_loading: false,
            doc,
        }
    }

    pub(super) const fn flag(
        name: &'static str,
        default: &'static str,
        (get, set): FlagField,
        doc: &'static str,
    ) -> Self {
        Self::new(name, default, Kind::Flag { get, set }, doc)
    }

    pub(super) const fn number(
        name: &'static str,
        default: &'static str,
        (min, max): (i64, i64),
        field: Number,
        doc: &'static str,
    ) -> Self {
        Self::new(name, default, Kind::Number { field, min, max }, doc)
    }

    pub(super) const fn memory(
        name: &'static str,
        default: &'static str,
        (min, max): (u64, u64),
        field: Number,
        doc: &'static str,
    ) -> Self {
        Self::new(name, default, Kind::Memory { field, min, max }, doc)
    }

    pub(super) const fn octal(
        name: &'static str,
        default: &'static str,
        field: Number,
        doc: &'static str,
    ) -> Self {
        Self::new(name, default, Kind::Octal { field, max: 0o777 }, doc)
    }

    pub(super) const fn choice(
        name: &'static str,
        default: &'static str,
        (listed, get, set): ChoiceField,
        doc: &'static str,
    ) -> Self {
        Self::new(name, default, Kind::Choice { listed, get, set }, doc)
    }

    pub(super) const fn text(
        name: &'static str,
        default: &'static str,
        (get, set): TextField,
        doc: &'static str,
    ) -> Self {
        Self::new(name, default, Kind::Text { get, set, check: |_| Ok(()) }, doc)
    }

    pub(super) const fn secret(
        name: &'static str,
        (get, set): SecretField,
        doc: &'static str,
    ) -> Self {
        Self::new(name, "", Kind::Secret { get, set }, doc)
    }

    pub(super) const fn special(
        name: &'static str,
        default: &'static str,
        special: Special,
        doc: &'static str,
    ) -> Self {
        Self::new(name, default, Kind::Special(special), doc)
    }

    pub(super) const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    pub(super) const fn at_start(mut self) -> Self {
        self.change = Change::Start;
        self
    }

    pub(super) const fn protected(mut self) -> Self {
        self.change = Change::Protected;
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(super) const fn file_only(mut self) -> Self {
        self.file_only = true;
        self.change = Change::Start;
        self
    }

    pub(super) const fn not_while_loading(mut self) -> Self {
        self.not_while_loading = true;
        self
    }

    pub(super) const fn without(mut self, reason: &'static str) -> Self {
        self.meaning = Meaning::Without(reason);
        self
    }

    pub(super) const fn later(mut self, part: &'static str) -> Self {
        self.meaning = Meaning::Later(part);
        self
    }

    pub(super) const fn checked(mut self, new: Check) -> Self {
        if let Kind::Text { get, set, .. } = self.kind {
            self.kind = Kind::Text { get, set, check: new };
        }
        self
    }

    /// Whether it takes several words.
    pub(super) const fn takes_words(&self) -> bool {
        matches!(self.kind, Kind::Special(Special { words: (_, 2..), .. }))
    }

    /// Whether the value is not for everybody's eyes: log lines and MONITOR leave it out.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret { .. })
    }

    /// The value as CONFIG GET shows it.
    pub(super) fn print(&self, values: &Values) -> Vec<u8> {
        let text = match self.kind {
            Kind::Flag { get, .. } => if get(values) { "yes" } else { "no" }.to_owned(),
            Kind::Number { field, .. } | Kind::Memory { field, .. } => {
                (field.get)(values).to_string()
            }
            Kind::Octal { field, .. } => format!("{:o}", (field.get)(values)),
            Kind::Choice { get, .. } => get(values).to_owned(),
            Kind::Text { get, .. } => get(values).to_owned(),
            Kind::Secret { get, .. } => return get(values).to_vec(),
            Kind::Special(special) => (special.get)(values),
        };
        text.into_bytes()
    }

    /// The value as lines of redis.conf, each as its words without the name.
    pub(super) fn lines(&self, values: &Values) -> Vec<Vec<Vec<u8>>> {
        let Kind::Special(special) = self.kind else { return vec![vec![self.print(values)]] };
        let bytes = |line: Vec<String>| line.into_iter().map(String::into_bytes).collect();
        (special.lines)(values).into_iter().map(bytes).collect()
    }

    /// The type and its range, as the documentation names them.
    #[must_use]
    pub fn form(&self) -> String {
        match self.kind {
            Kind::Flag { .. } => "yes or no".to_owned(),
            Kind::Number { min, max, .. } => range("number", i128::from(min), i128::from(max)),
            Kind::Octal { max, .. } => format!("permissions, 0 to {max:o}"),
            Kind::Memory { min, max, .. } => range("bytes", i128::from(min), i128::from(max)),
            Kind::Choice { listed, .. } => listed(),
            Kind::Text { .. } => "text".to_owned(),
            Kind::Secret { .. } => "text or bytes".to_owned(),
            Kind::Special(special) => special.form.to_owned(),
        }
    }

    /// Sets the field from the words of a line, the name left out.
    ///
    /// # Errors
    /// The reason in stock's words; `values` may be changed in part.
    pub(super) fn parse(
        &self,
        values: &mut Values,
        words: &[Vec<u8>],
        again: bool,
    ) -> Result<(), String> {
        if let Kind::Special(special) = self.kind {
            if !(special.words.0..=special.words.1).contains(&words.len()) {
                return Err("wrong number of arguments".into());
            }
            let words: Result<Vec<String>, String> = words.iter().map(|word| utf8(word)).collect();
            return (special.set)(values, &words?, again);
        }
        let [word] = words else { return Err("wrong number of arguments".into()) };
        if let Kind::Secret { set, .. } = self.kind {
            set(values, word.clone());
            return Ok(());
        }
        self.parse_word(values, utf8(word)?)
    }

    fn parse_word(&self, values: &mut Values, word: String) -> Result<(), String> {
        match self.kind {
            Kind::Flag { set, .. } => match word.to_ascii_lowercase().as_str() {
                "yes" => set(values, true),
                "no" => set(values, false),
                _ => return Err("argument must be 'yes' or 'no'".into()),
            },
            Kind::Number { field, min, max } => {
                let number = units::integer(&word)
                    .ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())?;
                within(number, min, max)?;
                (field.set)(values, i128::from(number));
            }
            Kind::Octal { field, max } => {
                let number = i64::from_str_radix(&word, 8)
                    .map_err(|_| "argument couldn't be parsed as an octal number".to_owned())?;
                if !(0..=max).contains(&number) {
                    return Err(format!("argument must be between 0 and {max:o} inclusive"));
                }
                (field.set)(values, i128::from(number));
            }
            Kind::Memory { field, min, max } => {
                let bytes = units::memory(&word)
                    .ok_or_else(|| "argument must be a memory value".to_owned())?;
                within(bytes, min, max)?;
                (field.set)(values, i128::from(bytes));
            }
            Kind::Choice { listed, set, .. } => {
                if !set(values, &word) {
                    return Err(format!("argument(s) must be one of the following: {}", listed()));
                }
            }
            Kind::Text { set, check, .. } => {
                check(&word)?;
                set(values, word);
            }
            Kind::Secret { .. } | Kind::Special(_) => unreachable!("taken by the caller"),
        }
        Ok(())
    }
}

/// A type and its range; ends without a meaning of their own are left out.
fn range(unit: &str, min: i128, max: i128) -> String {
    let open = max >= i128::from(i32::MAX);
    match (min <= i128::from(i32::MIN), open) {
        (true, _) => unit.to_owned(),
        (false, true) => format!("{unit}, from {min}"),
        (false, false) => format!("{unit}, {min} to {max}"),
    }
}

fn utf8(word: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(word).map_err(|_| "argument must be valid UTF-8".to_owned())?;
    Ok(text.to_owned())
}

fn within<T: PartialOrd + std::fmt::Display>(value: T, min: T, max: T) -> Result<(), String> {
    if value < min || value > max {
        return Err(format!("argument must be between {min} and {max} inclusive"));
    }
    Ok(())
}

/// Integers that a numeric field may have. The range of the row makes sure that a value fits.
pub(super) trait Width: Sized {
    fn widen(&self) -> i128;
    fn narrow(value: i128) -> Self;
}

macro_rules! width {
    ($($int:ty),*) => { $(
        impl Width for $int {
            fn widen(&self) -> i128 {
                i128::from(*self)
            }
            fn narrow(value: i128) -> Self {
                Self::try_from(value).expect("the range of the row is within the field's type")
            }
        }
    )* };
}
width!(u16, u32, u64, i32, i64);

/// Sets a field to the value of a word; false if there is no such word.
pub(super) fn choose<T: Choice>(field: &mut T, word: &str) -> bool {
    let Some(value) = T::from_word(word) else { return false };
    *field = value;
    true
}

/// The words of a field's type.
pub(super) fn listed<T: Choice>(_field: impl Fn(&Values) -> T) -> String {
    T::listed()
}

// A row names its field once; these make the two functions that read and write it.

/// The field of a setting that is yes or no.
macro_rules! flag {
    ($field:ident) => {
        (|values| values.$field, |values, new| values.$field = new)
    };
}

/// The field of a number or a size.
macro_rules! number {
    ($field:ident) => {
        $crate::config::row::Number {
            get: |values| $crate::config::row::Width::widen(&values.$field),
            set: |values, new| values.$field = $crate::config::row::Width::narrow(new),
        }
    };
}

/// The field of a setting of one word.
macro_rules! choice {
    ($field:ident) => {
        (
            || $crate::config::row::listed(|values| values.$field),
            |values| $crate::config::choices::Choice::word(values.$field),
            |values, word| $crate::config::row::choose(&mut values.$field, word),
        )
    };
}

/// The field of a text or a secret.
macro_rules! text {
    ($field:ident) => {
        (|values| &values.$field, |values, new| values.$field = new)
    };
}

pub(super) use {choice, flag, number, text};
