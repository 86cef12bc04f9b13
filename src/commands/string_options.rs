//! The options behind SET and GETEX.

use super::arguments::{TimeUnit, is};
use super::string_compare::Condition;
use crate::resp::{Args, CommandError, errors};

/// Whether a key has to exist for SET to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exists {
    /// It may.
    #[default]
    Either,
    /// `NX`: it must not.
    No,
    /// `XX`: it must.
    Yes,
}

/// What SET does with the expiry. The number is not looked at yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetExpiry<'a> {
    /// The key does not expire.
    #[default]
    None,
    /// `KEEPTTL`.
    Keep,
    /// `EX`, `PX`, `EXAT`, `PXAT`.
    At(TimeUnit, &'a [u8]),
}

/// The options of SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetOptions<'a> {
    /// `NX` or `XX`.
    pub exists: Exists,
    /// `IFEQ`, `IFNE`, `IFDEQ`, `IFDNE`; not together with `NX` or `XX`.
    pub condition: Option<Condition<'a>>,
    /// `GET`: reply with the value before.
    pub get: bool,
    /// What becomes of the expiry.
    pub expiry: SetExpiry<'a>,
}

impl<'a> SetOptions<'a> {
    /// Reads the arguments from index `from` on. An option may be repeated; of a repeated time, the last one counts.
    ///
    /// # Errors
    /// `syntax error` for an unknown option, one without what belongs to it, or two that do not go together.
    pub fn parse(args: Args<'a>, from: usize) -> Result<Self, CommandError> {
        let mut options = SetOptions::default();
        let mut index = from;
        while let Some(argument) = args.get(index) {
            let unconditional = options.condition.is_none();
            if is(argument, "NX") && options.exists != Exists::Yes && unconditional {
                options.exists = Exists::No;
            } else if is(argument, "XX") && options.exists != Exists::No && unconditional {
                options.exists = Exists::Yes;
            } else if is(argument, "GET") {
                options.get = true;
            } else if is(argument, "KEEPTTL") && !matches!(options.expiry, SetExpiry::At(..)) {
                options.expiry = SetExpiry::Keep;
            } else if let Some(condition) = Condition::parse(argument, args.get(index + 1))? {
                if !unconditional || options.exists != Exists::Either {
                    return Err(errors::SYNTAX);
                }
                options.condition = Some(condition);
                index += 1;
            } else {
                let before = match options.expiry {
                    SetExpiry::None => None,
                    SetExpiry::Keep => return Err(errors::SYNTAX),
                    SetExpiry::At(unit, _) => Some(unit),
                };
                index += 1;
                let (unit, number) = time(argument, args.get(index), before)?;
                options.expiry = SetExpiry::At(unit, number);
            }
            index += 1;
        }
        Ok(options)
    }
}

/// What GETEX does with the expiry. The number is not looked at yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GetexExpiry<'a> {
    /// It stays.
    #[default]
    None,
    /// `PERSIST`: the key does not expire any more.
    Persist,
    /// `EX`, `PX`, `EXAT`, `PXAT`.
    At(TimeUnit, &'a [u8]),
}

impl<'a> GetexExpiry<'a> {
    /// Reads the arguments from index 2 on, by the rules of [`SetOptions::parse`].
    ///
    /// # Errors
    /// `syntax error`, as there.
    pub fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let mut expiry = GetexExpiry::None;
        let mut index = 2;
        while let Some(argument) = args.get(index) {
            if is(argument, "PERSIST") && !matches!(expiry, GetexExpiry::At(..)) {
                expiry = GetexExpiry::Persist;
            } else {
                let before = match expiry {
                    GetexExpiry::None => None,
                    GetexExpiry::Persist => return Err(errors::SYNTAX),
                    GetexExpiry::At(unit, _) => Some(unit),
                };
                index += 1;
                let (unit, number) = time(argument, args.get(index), before)?;
                expiry = GetexExpiry::At(unit, number);
            }
            index += 1;
        }
        Ok(expiry)
    }
}

/// A time option with its number; `before` is the unit of one that came before it.
fn time<'a>(
    argument: &[u8],
    number: Option<&'a [u8]>,
    before: Option<TimeUnit>,
) -> Result<(TimeUnit, &'a [u8]), CommandError> {
    let unit = TimeUnit::of_option(argument).ok_or(errors::SYNTAX)?;
    let number = number.ok_or(errors::SYNTAX)?;
    if before.is_some_and(|before| before != unit) {
        return Err(errors::SYNTAX);
    }
    Ok((unit, number))
}
