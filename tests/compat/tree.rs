//! Replies as trees, for comparisons that look inside.

use crate::peer::reply_length;

/// A reply. Status lines and bulk strings are one, and so are arrays, sets and maps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tree {
    Nil,
    Number(i64),
    Text(String),
    Error(String),
    List(Vec<Tree>),
}

impl Tree {
    /// Reads one whole reply.
    pub(crate) fn read(reply: &[u8]) -> Tree {
        let mut rest = reply;
        let tree = read(&mut rest);
        assert!(rest.is_empty(), "bytes behind a reply");
        tree
    }

    pub(crate) fn list(&self) -> &[Tree] {
        match self {
            Tree::List(items) => items,
            other => panic!("no list: {other:?}"),
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Tree::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    /// The texts of a list, sorted: a set.
    pub(crate) fn sorted(&self) -> Vec<&str> {
        let mut texts: Vec<&str> = self.list().iter().map(Tree::text).collect();
        texts.sort_unstable();
        texts
    }

    /// The value of `name` in a list of names and values.
    pub(crate) fn field(&self, name: &str) -> Option<&Tree> {
        let pair = self.list().chunks(2).find(|pair| pair[0] == Tree::Text(name.to_owned()))?;
        Some(&pair[1])
    }

    /// The names in a list of names and values.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.list().chunks(2).map(|pair| pair[0].text()).collect()
    }
}

fn read(rest: &mut &[u8]) -> Tree {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line");
    let (mark, line) = (rest[0], String::from_utf8_lossy(&rest[1..end]).into_owned());
    let number = || line.parse::<i64>().expect("a number");
    let whole = reply_length(rest).expect("a whole reply");
    let take = |rest: &mut &[u8], count: usize| *rest = &rest[count..];
    match mark {
        b'_' => {
            take(rest, whole);
            Tree::Nil
        }
        b'$' | b'*' if number() < 0 => {
            take(rest, whole);
            Tree::Nil
        }
        b'$' | b'=' => {
            let text = String::from_utf8_lossy(&rest[end + 2..whole - 2]).into_owned();
            take(rest, whole);
            Tree::Text(text)
        }
        b':' => {
            take(rest, whole);
            Tree::Number(number())
        }
        b'-' => {
            take(rest, whole);
            Tree::Error(line)
        }
        b'*' | b'~' | b'%' => {
            let count = if mark == b'%' { 2 * number() } else { number() };
            take(rest, end + 2);
            Tree::List((0..count).map(|_| read(rest)).collect())
        }
        _ => {
            take(rest, whole);
            Tree::Text(line)
        }
    }
}
