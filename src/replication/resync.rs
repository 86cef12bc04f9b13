//! How a replica that asks for the stream gets it: from where it stands, or from the beginning.
//!
//! A replica names the id of the history it holds and the offset up to which it holds it. It may go on from there if that
//! history is the node's own up to that offset, and the bytes behind it are still there. Otherwise everything is sent.

use std::fmt;

/// The node's own history.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// Its id.
    pub id: &'a str,
    /// The id before, and the offset up to which that history is this one.
    pub former: Option<(&'a str, u64)>,
    /// Offset of its end.
    pub end: u64,
}

/// What a replica asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The id of its history; `?` when it has none.
    pub id: String,
    /// The offset up to which it holds that history: one before the byte it wants next. `None`: nowhere.
    pub from: Option<u64>,
}

/// Where the bytes of the stream are still to be had.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reach {
    /// Offset before the first byte in memory.
    pub memory: Option<u64>,
    /// Offset before the first byte in the files of the log.
    pub disk: Option<u64>,
}

/// Where the first bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The backlog.
    Memory,
    /// The files of the log.
    Disk,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The stream goes on behind `from`.
    Continue {
        /// Offset that the replica holds.
        from: u64,
        /// Where the bytes behind it are.
        source: Source,
    },
    /// Everything is sent.
    Full(Why),
}

/// Why everything has to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The replica has nothing to go on from.
    Asked,
    /// It holds a history of another id.
    OtherHistory {
        /// That id.
        id: String,
    },
    /// It holds more of the history than the two have in common.
    Past {
        /// Offset up to which it holds it.
        from: u64,
        /// Offset up to which both do.
        common: u64,
    },
    /// The bytes it wants are gone.
    TooOld {
        /// Offset that it holds.
        from: u64,
        /// The oldest offset that could be served.
        oldest: Option<u64>,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Asked => f.write_str("it has no history to go on from"),
            Why::OtherHistory { id } => write!(f, "its history {id} is not this one"),
            Why::Past { from, common } => {
                write!(f, "it is at offset {from}, the histories are one up to {common} only")
            }
            Why::TooOld { from, oldest: Some(oldest) } => {
                write!(f, "it is at offset {from}, the stream reaches back to {oldest}")
            }
            Why::TooOld { from, oldest: None } => {
                write!(f, "it is at offset {from}, and nothing of the stream is kept")
            }
        }
    }
}

/// Decides what a replica gets.
#[must_use]
pub fn decide(asked: &Asked, history: &History<'_>, reach: &Reach) -> Decision {
    let Some(from) = asked.from.filter(|_| asked.id != "?") else {
        return Decision::Full(Why::Asked);
    };
    let is = |id: &str| asked.id.eq_ignore_ascii_case(id);
    let common = match history.former {
        _ if is(history.id) => history.end,
        Some((former, offset)) if is(former) => offset.min(history.end),
        _ => return Decision::Full(Why::OtherHistory { id: asked.id.clone() }),
    };
    if from > common {
        return Decision::Full(Why::Past { from, common });
    }
    // At the end nothing is needed that may be gone.
    if from == history.end || reach.memory.is_some_and(|first| from >= first) {
        return Decision::Continue { from, source: Source::Memory };
    }
    if reach.disk.is_some_and(|first| from >= first) {
        return Decision::Continue { from, source: Source::Disk };
    }
    let oldest = reach.memory.into_iter().chain(reach.disk).min();
    Decision::Full(Why::TooOld { from, oldest })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: History<'_> = History { id: "aa", former: Some(("bb", 500)), end: 1000 };

    fn check(id: &str, from: impl Into<Option<u64>>, expected: &Decision) {
        let reach = Reach { memory: Some(800), disk: Some(300) };
        let asked = Asked { id: id.to_owned(), from: from.into() };
        assert_eq!(decide(&asked, &HISTORY, &reach), *expected, "{asked:?}");
    }

    fn goes_on(from: u64, source: Source) -> Decision {
        Decision::Continue { from, source }
    }

    #[test]
    fn a_history_in_common_goes_on_from_where_it_is_kept() {
        check("aa", 1000, &goes_on(1000, Source::Memory));
        check("AA", 800, &goes_on(800, Source::Memory));
        check("aa", 799, &goes_on(799, Source::Disk));
        check("aa", 300, &goes_on(300, Source::Disk));
        check("bb", 500, &goes_on(500, Source::Disk));
        check("aa", 299, &Decision::Full(Why::TooOld { from: 299, oldest: Some(300) }));
    }

    #[test]
    fn a_history_that_differs_never_goes_on() {
        check("aa", 1001, &Decision::Full(Why::Past { from: 1001, common: 1000 }));
        check("bb", 501, &Decision::Full(Why::Past { from: 501, common: 500 }));
        check("cc", 500, &Decision::Full(Why::OtherHistory { id: "cc".to_owned() }));
        check("?", None, &Decision::Full(Why::Asked));
        check("?", 5, &Decision::Full(Why::Asked));
        check("aa", None, &Decision::Full(Why::Asked));
    }

    #[test]
    fn at_the_end_nothing_has_to_be_kept() {
        let asked = Asked { id: "aa".to_owned(), from: Some(1000) };
        let decision = decide(&asked, &HISTORY, &Reach::default());
        assert_eq!(decision, goes_on(1000, Source::Memory));
        let asked = Asked { id: "aa".to_owned(), from: Some(999) };
        let decision = decide(&asked, &HISTORY, &Reach::default());
        assert_eq!(decision, Decision::Full(Why::TooOld { from: 999, oldest: None }));
    }
}
