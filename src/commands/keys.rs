//! Which arguments of a request are keys, from the command's declaration.

use crate::resp::Args;
use crate::resp::number::parse_i64;

use super::command::{Command, Find, KeySpec};

/// Calls `visit` with the index of every key argument and the specification it comes from. Whether all specifications
/// could be read: false for a count that is no number or says more keys than there are arguments.
pub fn for_each_key(
    command: &'static Command,
    args: Args<'_>,
    mut visit: impl FnMut(usize, &'static KeySpec),
) -> bool {
    let mut whole = true;
    for spec in command.keys {
        match positions(spec.find, args) {
            Some(positions) => positions.for_each(|index| visit(index, spec)),
            None => whole = false,
        }
    }
    whole
}

/// The keys of a request, and what routes like one, as far as they can be read.
pub fn keys_of<'a>(
    command: &'static Command,
    args: Args<'a>,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let indexes = command.keys.iter().filter_map(move |spec| positions(spec.find, args)).flatten();
    indexes.filter_map(move |index| args.get(index))
}

fn positions(find: Find, args: Args<'_>) -> Option<std::iter::StepBy<std::ops::Range<usize>>> {
    match find {
        Find::Range { first, last, step } => {
            let end = match usize::try_from(last) {
                Ok(last) => last + 1,
                Err(_) => (args.len() + 1).checked_sub(usize::from(last.unsigned_abs()))?,
            };
            Some((usize::from(first)..end.min(args.len())).step_by(usize::from(step.max(1))))
        }
        Find::Counted { at, first } => counted(args, at, first, 1),
        Find::CountedPairs { at, first } => counted(args, at, first, 2),
        Find::OneUnless { at, word } => {
            let at = usize::from(at);
            let is_there = at < args.len() && behind(word, args).is_none();
            Some((at..at + usize::from(is_there)).step_by(1))
        }
        Find::Behind { word, from } => {
            let is_word = |arg: &[u8]| arg.eq_ignore_ascii_case(word.as_bytes());
            let at = args.iter_from(usize::from(from)).position(is_word);
            let first = at.map_or(args.len(), |at| usize::from(from) + at + 1);
            Some((first..args.len().min(first + 1)).step_by(1))
        }
        Find::BehindLast { word } => {
            let first = last_behind(word, args).unwrap_or(args.len());
            Some((first..args.len().min(first + 1)).step_by(1))
        }
        Find::Nowhere => Some((0..0).step_by(1)),
        Find::AllBehind { word } => Some(behind(word, args).unwrap_or(0..0).step_by(1)),
        Find::HalfBehind { word, .. } => {
            let all = streams_behind(word, args)?;
            // Of an odd number the half that is there for certain; the command refuses it.
            let half = all.len() / 2;
            (half > 0).then(|| (all.start..all.start + half).step_by(1))
        }
    }
}

/// Where the argument of SORT behind the last `word` stands.
fn last_behind(word: &str, args: Args<'_>) -> Option<usize> {
    let (mut at, mut found) = (2, None);
    while let Some(arg) = args.get(at) {
        let is = |word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
        if is(word) && at + 1 < args.len() {
            found = Some(at + 1);
        }
        at += 1 + usize::from(is(word) || is("by") || is("get")) + 2 * usize::from(is("limit"));
    }
    found
}

/// Keys from `first` on, each `step`; argument `at` says how many.
fn counted(
    args: Args<'_>,
    at: u8,
    first: u8,
    step: usize,
) -> Option<std::iter::StepBy<std::ops::Range<usize>>> {
    let count = usize::try_from(parse_i64(args.get(usize::from(at))?)?).ok()?;
    let first = usize::from(first);
    let end = count.checked_mul(step)?.checked_add(first)?;
    (count > 0 && end <= args.len()).then(|| (first..end).step_by(step))
}

/// The arguments of XREAD or XREADGROUP behind `word`. What an option takes is no word.
fn streams_behind(word: &str, args: Args<'_>) -> Option<std::ops::Range<usize>> {
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        let is = |word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
        if is(word) {
            return Some(at + 1..args.len());
        }
        at += 1 + usize::from(is("block") || is("count")) + 2 * usize::from(is("group"));
    }
    None
}

/// The arguments of MIGRATE behind `word`, if its key is empty. What stands behind AUTH is no word.
fn behind(word: &str, args: Args<'_>) -> Option<std::ops::Range<usize>> {
    const KEY: usize = 3;
    const OPTIONS: usize = 6;
    if !args.get(KEY)?.is_empty() {
        return None;
    }
    let is = |at: usize, word: &str| {
        args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    let mut at = OPTIONS;
    while at < args.len() {
        if is(at, word) {
            return Some(at + 1..args.len());
        }
        at += 1 + usize::from(is(at, "auth")) + 2 * usize::from(is(at, "auth2"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::inline::encode;
    use crate::resp::{RequestLimits, RequestParser, Requests};

    fn check(find: Find, words: &[&str], expected: Option<&[usize]>) {
        let bytes = encode(words);
        let mut requests = Requests::default();
        RequestParser::default().parse(&bytes, RequestLimits::default(), &mut requests).unwrap();
        let found = positions(find, requests.get(0, &bytes)).map(Iterator::collect::<Vec<_>>);
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn positions_follow_the_declaration() {
        let range = |first, last, step| Find::Range { first, last, step };
        check(range(1, 1, 1), &["get", "k"], Some(&[1]));
        check(range(1, -1, 1), &["del", "a", "b", "c"], Some(&[1, 2, 3]));
        check(range(1, -1, 2), &["mset", "a", "1", "b", "2"], Some(&[1, 3]));
        check(range(1, -2, 1), &["blpop", "a", "b", "0"], Some(&[1, 2]));
        let counted = Find::Counted { at: 1, first: 2 };
        check(counted, &["lmpop", "2", "a", "b", "left"], Some(&[2, 3]));
        check(counted, &["lmpop", "9", "a"], None);
        check(counted, &["lmpop", "x", "a"], None);
        check(counted, &["lmpop", "0", "a"], None);
        let pairs = Find::CountedPairs { at: 1, first: 2 };
        check(pairs, &["msetex", "2", "a", "1", "b", "2", "nx"], Some(&[2, 4]));
        check(pairs, &["msetex", "2", "a", "1", "b"], None);
        check(pairs, &["msetex", "9223372036854775807", "a", "1"], None);
        let half = Find::HalfBehind { word: "STREAMS", from: 1 };
        let reads = |words: &str, expected: Option<&[usize]>| {
            check(half, &words.split(' ').collect::<Vec<_>>(), expected);
        };
        reads("xread streams a b 0 0", Some(&[2, 3]));
        reads("xread count 1 block 0 STREAMS a 0", Some(&[6]));
        reads("xreadgroup group streams streams noack streams a >", Some(&[6]));
        reads("xread streams a", None);
        reads("xread streams a b 0", Some(&[2]));
        reads("xread streams a b c 0 0", Some(&[2, 3]));
        reads("xread streams", None);
        reads("xread count streams a 0", None);
        let stored = Find::BehindLast { word: "STORE" };
        let sorts = |words: &str, expected: &[usize]| {
            check(stored, &words.split(' ').collect::<Vec<_>>(), Some(expected));
        };
        sorts("sort a", &[]);
        sorts("sort store", &[]);
        sorts("sort a store b", &[3]);
        sorts("sort a store b STORE c", &[5]);
        sorts("sort a by store get store limit store store", &[]);
        sorts("sort a limit 0 1 by x store store store", &[8]);
        check(Find::Nowhere, &["sort", "a", "by", "b"], Some(&[]));
        let (one, all) =
            (Find::OneUnless { at: 3, word: "KEYS" }, Find::AllBehind { word: "KEYS" });
        let moves = |words: &str, single: &[usize], others: &[usize]| {
            let words: Vec<&str> = words.split(' ').map(|word| word.trim_matches('-')).collect();
            check(one, &words, Some(single));
            check(all, &words, Some(others));
        };
        moves("migrate h 1 k 0 9 copy", &[3], &[]);
        moves("migrate h 1 - 0 9 replace keys a b", &[], &[8, 9]);
        moves("migrate h 1 - 0 9 auth keys keys a", &[], &[9]);
        moves("migrate h 1 - 0 9 auth2 keys keys KEYS a", &[], &[10]);
        moves("migrate h 1 k 0 9 keys a", &[3], &[]);
        moves("migrate h 1 - 0 9", &[3], &[]);
    }
}
