//! What nodes say when they are asked without a client's program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::terminal::Terminal;

/// A node, as another one sees it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: String,
    /// The last digit of the port that the text has for it.
    pub(crate) digit: u16,
    pub(crate) is_primary: bool,
    /// The id of its primary.
    pub(crate) primary: String,
    /// First and last slots.
    slots: Vec<(u16, u16)>,
}

impl Node {
    pub(crate) fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| (range.0..=range.1).contains(&slot))
    }

    pub(crate) fn slot_count(&self) -> u16 {
        self.slots.iter().map(|(first, last)| last - first + 1).sum()
    }

    fn parse(terminal: &Terminal, line: &str) -> Node {
        let words: Vec<&str> = line.split(' ').collect();
        let address = words[1].split('@').next().unwrap();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        let settled = words[8..].iter().filter(|word| !word.starts_with('['));
        let range = |word: &&str| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            (first.parse().unwrap(), last.parse().unwrap())
        };
        Node {
            id: words[0].to_owned(),
            digit: terminal.ports.digit(port),
            is_primary: words[2].contains("master"),
            primary: words[3].to_owned(),
            slots: settled.map(range).collect(),
        }
    }
}

/// The text that the node at 700`digit` answers to a line. `None`: it does not.
pub(crate) fn ask(terminal: &Terminal, digit: u16, line: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", terminal.ports.at(digit))).ok()?;
    let password = terminal.password.unwrap_or_default();
    stream.write_all(format!("auth \"{password}\"\r\n{line}\r\n").as_bytes()).ok()?;
    let mut replies = BufReader::new(stream);
    // Without a password that is an error, which does not matter.
    let mut header = String::new();
    replies.read_line(&mut header).ok()?;
    header.clear();
    replies.read_line(&mut header).ok()?;
    let mut text = vec![0; header.trim_end().strip_prefix('$')?.parse().ok()?];
    replies.read_exact(&mut text).ok()?;
    String::from_utf8(text).ok()
}

/// All that the node at 700`digit` knows, in the order of ports.
pub(crate) fn seen_by(terminal: &Terminal, digit: u16) -> Vec<Node> {
    let text = ask(terminal, digit, "cluster nodes").unwrap_or_default();
    let mut nodes: Vec<Node> = text.lines().map(|line| Node::parse(terminal, line)).collect();
    nodes.sort_by_key(|node| node.digit);
    nodes
}

/// A field of INFO of the node at 700`digit`.
pub(crate) fn info(terminal: &Terminal, digit: u16, field: &str) -> Option<String> {
    let text = ask(terminal, digit, "info")?;
    text.lines().find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.to_owned()))
}

/// Whether the replica at `replica` has all that its primary at `primary` has.
pub(crate) fn has_caught_up(terminal: &Terminal, primary: u16, replica: u16) -> Option<()> {
    let linked = info(terminal, replica, "master_link_status")? == "up";
    let [theirs, ours] = [primary, replica].map(|digit| {
        let text = info(terminal, digit, "master_repl_offset")?;
        text.parse::<u64>().ok()
    });
    (linked && ours? >= theirs?).then_some(())
}
