//! What the log says of jobs: a PING whose argument is a line of words.
//!
//! ```text
//!   hw:slots export NAME SOURCE TARGET RANGES    the source moves these slots
//!   hw:slots grant NAME                          it serves them no more, and the target may take them
//!   hw:slots handed NAME                         they are the target's; their keys are being removed
//!   hw:slots import NAME SOURCE TARGET RANGES    the target receives their keys, which nobody sees
//!   hw:slots from NAME SESSION                   what comes is of this session of the source
//!   hw:slots at NAME NUMBER                      it has applied this batch, which stands in the same unit
//!   hw:slots drop NAME                           what has come is of no use and is being removed
//!   hw:slots take NAME                           it may claim the slots, and does
//!   hw:slots end NAME                            the job is over, on the side whose log this is
//! ```

use crate::cluster::{NodeId, SlotSet};

use super::ranges::{parse_ranges, shown_ranges};

/// How every note begins.
const MARK: &str = "hw:slots ";

/// The longest name of a session.
pub const SESSION_BYTES_MAX: usize = 64;

/// Whether this can be the name of a session.
#[must_use]
pub fn is_session(word: &[u8]) -> bool {
    (1..=SESSION_BYTES_MAX).contains(&word.len()) && word.iter().all(u8::is_ascii_graphic)
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The job.
    pub name: NodeId,
    /// What is said of it.
    pub said: Said,
}

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The slots are to be moved from here.
    Export(Box<Plan>),
    /// The target may take them.
    Grant,
    /// The target has them.
    Handed,
    /// The slots are received here.
    Import(Box<Plan>),
    /// Batches are those of this session of the source: [`SESSION_BYTES_MAX`] bytes at most, no spaces.
    From(String),
    /// Batches up to this one have been applied.
    At(u64),
    /// What has come is being removed; nobody goes on from here.
    Drop,
    /// The slots are taken.
    Take,
    /// The job is over.
    End,
}

/// What is moved, from where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The primary that has the slots.
    pub source: NodeId,
    /// The primary that gets them.
    pub target: NodeId,
    /// The slots.
    pub slots: SlotSet,
}

impl Note {
    /// The note that a PING's argument is, if it is one.
    #[must_use]
    pub fn parse(argument: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(argument).ok()?.strip_prefix(MARK)?;
        let mut words = text.split(' ');
        let (verb, name) = (words.next()?, NodeId::new(words.next()?.as_bytes())?);
        let said = match verb {
            "export" => Said::Export(Box::new(plan(&mut words)?)),
            "import" => Said::Import(Box::new(plan(&mut words)?)),
            "grant" => Said::Grant,
            "handed" => Said::Handed,
            "from" => {
                Said::From(words.next().filter(|word| is_session(word.as_bytes()))?.to_owned())
            }
            "at" => Said::At(words.next()?.parse().ok()?),
            "drop" => Said::Drop,
            "take" => Said::Take,
            "end" => Said::End,
            _ => return None,
        };
        words.next().is_none().then_some(Self { name, said })
    }

    /// The argument that says it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let name = &self.name;
        let planned = |verb: &str, plan: &Plan| {
            let slots = shown_ranges(&plan.slots, ",", false);
            format!("{MARK}{verb} {name} {} {} {slots}", plan.source, plan.target)
        };
        match &self.said {
            Said::Export(plan) => planned("export", plan),
            Said::Import(plan) => planned("import", plan),
            Said::Grant => format!("{MARK}grant {name}"),
            Said::Handed => format!("{MARK}handed {name}"),
            Said::From(session) => format!("{MARK}from {name} {session}"),
            Said::At(number) => format!("{MARK}at {name} {number}"),
            Said::Drop => format!("{MARK}drop {name}"),
            Said::Take => format!("{MARK}take {name}"),
            Said::End => format!("{MARK}end {name}"),
        }
    }
}

fn plan<'t>(words: &mut impl Iterator<Item = &'t str>) -> Option<Plan> {
    let mut id = || NodeId::new(words.next()?.as_bytes());
    let (source, target) = (id()?, id()?);
    let slots = parse_ranges(words.next()?)?;
    Some(Plan { source, target, slots })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_written_and_read() {
        let id = |letter: char| NodeId::new(letter.to_string().repeat(40).as_bytes()).unwrap();
        let plan = || {
            let slots = parse_ranges("0-5,9").unwrap();
            Box::new(Plan { source: id('a'), target: id('b'), slots })
        };
        let all = [
            Said::Export(plan()),
            Said::Grant,
            Said::Handed,
            Said::Import(plan()),
            Said::From("a1:7".to_owned()),
            Said::At(u64::MAX),
            Said::Drop,
            Said::Take,
            Said::End,
        ];
        for said in all {
            let note = Note { name: id('c'), said };
            assert_eq!(Note::parse(note.to_text().as_bytes()), Some(note));
        }
        let (a, c) = (id('a'), id('c'));
        for text in [
            "hello".to_owned(),
            "hw:slots ".to_owned(),
            format!("hw:slots fly {c}"),
            format!("hw:slots take {c} more"),
            format!("hw:slots at {c} x"),
            "hw:slots take abc".to_owned(),
            format!("hw:slots import {c} {a} {a} 5-3"),
            format!("hw:slots import {c} {a} {a}"),
        ] {
            assert_eq!(Note::parse(text.as_bytes()), None, "{text}");
        }
    }
}
