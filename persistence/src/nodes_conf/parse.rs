//! From text to what it says.

use std::collections::HashSet;

use super::{
    ADDRESS_BYTES_MAX, ADDRESS_MARKS, FLAGS, HOSTNAME_MARKS, Mistake, NAME_BYTES_MAX,
    NODENAME_MARKS, NodeFlag, NodeLine, NodesConf, NodesConfError, OpenSlot, OpenState, SLOT_END,
    has_only, is_aux, is_id,
};
use crate::words::split_words;

/// Words of a node without slots.
const WORDS_MIN: usize = 8;
/// How far the port of the bus is from that for clients where it is not written.
const BUS_DISTANCE: u16 = 10_000;
/// From here on epochs are refused, so that nothing that is added to them overflows.
const EPOCH_END: u64 = 1 << 63;

impl NodesConf {
    /// Reads a file. One without any byte is for the caller to look at: stock takes it for none.
    ///
    /// # Errors
    /// [`NodesConfError`] names the line; nothing of the file is to be believed then.
    pub fn parse(bytes: &[u8]) -> Result<Self, NodesConfError> {
        let mut reader = Reader::default();
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let error = |what| NodesConfError { line: index + 1, what };
            // Versions before 7.2 fill the file up with empty lines; a line without an end is none of theirs.
            if !line.ends_with(b"\n") {
                return Err(error(Mistake::CutShort));
            }
            reader.line(line).map_err(error)?;
        }
        reader.finish().map_err(|what| NodesConfError { line: 0, what })
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    nodes: Vec<NodeLine>,
    ids: HashSet<String>,
    vars: Option<Vars>,
    taken: Slots,
}

/// A set of slots.
#[derive(Default)]
struct Slots(Vec<bool>);

impl Slots {
    /// Puts a slot in.
    ///
    /// # Errors
    /// It was in.
    fn take(&mut self, slot: u16) -> Result<(), Mistake> {
        self.0.resize(usize::from(SLOT_END), false);
        let taken = std::mem::replace(&mut self.0[usize::from(slot)], true);
        if taken { Err(Mistake::SlotTwice(slot)) } else { Ok(()) }
    }
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), Mistake> {
        let words = split_words(line).ok_or(Mistake::Quotes)?;
        let words: Vec<String> =
            words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        match words.first().map(String::as_str) {
            None => Ok(()),
            Some("vars") if self.vars.is_some() => Err(Mistake::Vars),
            Some("vars") => {
                self.vars = Some(read_vars(&words[1..])?);
                Ok(())
            }
            Some(_) => self.node(&words),
        }
    }

    fn node(&mut self, words: &[String]) -> Result<(), Mistake> {
        let [id, address, flags, primary, ping, pong, epoch, link, slots @ ..] = words else {
            return Err(Mistake::TooFewWords(words.len()));
        };
        debug_assert!(words.len() >= WORDS_MIN);
        let id = read_id(id)?;
        if !self.ids.insert(id.clone()) {
            return Err(Mistake::Twice(id));
        }
        let mut node = NodeLine {
            id,
            flags: read_flags(flags)?,
            primary: if primary == "-" { None } else { Some(read_id(primary)?) },
            ping_sent: read_number(ping, u64::MAX)?,
            pong_received: read_number(pong, u64::MAX)?,
            config_epoch: read_number(epoch, EPOCH_END)?,
            connected: match link.as_str() {
                "connected" => true,
                "disconnected" => false,
                other => return Err(Mistake::Link(other.to_owned())),
            },
            ..NodeLine::default()
        };
        read_address(address, &mut node)?;
        let roles = (node.is(NodeFlag::Primary), node.is(NodeFlag::Replica));
        if roles == (true, true) || (roles.0 && node.primary.is_some()) {
            return Err(Mistake::Role);
        }
        let is_myself = node.is(NodeFlag::Myself);
        if is_myself && self.nodes.iter().any(|node| node.is(NodeFlag::Myself)) {
            return Err(Mistake::SecondMyself);
        }
        let mut open = Slots::default();
        for word in slots {
            if let Some(inside) = word.strip_prefix('[') {
                let slot = read_open(inside).ok_or_else(|| Mistake::Slots(word.clone()))?;
                if !is_myself {
                    return Err(Mistake::OpenElsewhere);
                }
                open.take(slot.slot)?;
                node.open.push(slot);
            } else {
                let range = read_range(word).ok_or_else(|| Mistake::Slots(word.clone()))?;
                (range.0..=range.1).try_for_each(|slot| self.taken.take(slot))?;
                node.slots.push(range);
            }
        }
        self.nodes.push(node);
        Ok(())
    }

    fn finish(self) -> Result<NodesConf, Mistake> {
        if !self.nodes.iter().any(|node| node.is(NodeFlag::Myself)) {
            return Err(Mistake::NoMyself);
        }
        let has_vars = self.vars.is_some();
        let vars = self.vars.unwrap_or_default();
        Ok(NodesConf {
            nodes: self.nodes,
            current_epoch: vars.current_epoch,
            last_vote_epoch: vars.last_vote_epoch,
            has_vars,
            elected_in: vars.elected_in,
            data_until: vars.data_until,
            unclaimed: vars.unclaimed,
        })
    }
}

/// What the line of `vars` holds.
#[derive(Debug, Default)]
struct Vars {
    current_epoch: u64,
    last_vote_epoch: u64,
    elected_in: u64,
    data_until: u64,
    unclaimed: Vec<(u16, u16)>,
}

/// `currentEpoch` and `lastVoteEpoch` have to be there. Names that are not known are passed over, as stock does.
fn read_vars(words: &[String]) -> Result<Vars, Mistake> {
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Mistake::Vars);
    }
    let (mut current, mut last_vote, mut vars) = (None, None, Vars::default());
    for [name, value] in pairs {
        match name.as_str() {
            "currentEpoch" => current = Some(read_number(value, EPOCH_END)?),
            "lastVoteEpoch" => last_vote = Some(read_number(value, EPOCH_END)?),
            "electedIn" => vars.elected_in = read_number(value, EPOCH_END)?,
            "dataUntil" => vars.data_until = read_number(value, u64::MAX)?,
            "unclaimed" => {
                let read =
                    |word: &str| read_range(word).ok_or_else(|| Mistake::Slots(word.to_owned()));
                vars.unclaimed = value.split(',').map(read).collect::<Result<_, _>>()?;
            }
            _ => {}
        }
    }
    (vars.current_epoch, vars.last_vote_epoch) = current.zip(last_vote).ok_or(Mistake::Vars)?;
    Ok(vars)
}

fn read_id(text: &str) -> Result<String, Mistake> {
    if is_id(text) { Ok(text.to_owned()) } else { Err(Mistake::Id(text.to_owned())) }
}

/// A number below `end`, or any, where that is the largest there is.
fn read_number(text: &str, end: u64) -> Result<u64, Mistake> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (*number < end || end == u64::MAX));
    number.ok_or_else(|| Mistake::Number(text.to_owned()))
}

fn read_flags(text: &str) -> Result<Vec<NodeFlag>, Mistake> {
    if text == "noflags" {
        return Ok(Vec::new());
    }
    let words: Vec<&str> = text.split(',').collect();
    let known = |word: &str| FLAGS.iter().any(|(_, name)| *name == word);
    match words.iter().find(|word| !known(word)) {
        Some(unknown) => Err(Mistake::Flag((*unknown).to_owned())),
        None => {
            let named = FLAGS.iter().filter(|(_, name)| words.contains(name));
            Ok(named.map(|(flag, _)| *flag).collect())
        }
    }
}

/// `ip:port@cport,hostname,name=value,...`
fn read_address(text: &str, node: &mut NodeLine) -> Result<(), Mistake> {
    let mut parts = text.split(',');
    let ends = parts.next().and_then(read_ends);
    let (ip, port, cport) = ends.ok_or_else(|| Mistake::Address(text.to_owned()))?;
    (node.ip, node.port, node.cport) = (ip, port, cport);
    let hostname = parts.next().unwrap_or_default();
    if hostname.len() >= NAME_BYTES_MAX || !has_only(hostname, HOSTNAME_MARKS) {
        return Err(Mistake::Address(text.to_owned()));
    }
    hostname.clone_into(&mut node.hostname);
    for part in parts {
        let understood = part.split_once('=').and_then(|(name, value)| read_aux(name, value, node));
        understood.ok_or_else(|| Mistake::Aux(part.to_owned()))?;
    }
    Ok(())
}

/// The port is behind the last colon: IPv6 addresses have no brackets.
fn read_ends(text: &str) -> Option<(String, u16, u16)> {
    let (ip, ports) = text.rsplit_once(':')?;
    let (port, cport) = match ports.split_once('@') {
        Some((port, cport)) => (read_port(port)?, read_port(cport)?),
        // Versions before 4.0.
        None => {
            let port = read_port(ports)?;
            (port, port.checked_add(BUS_DISTANCE)?)
        }
    };
    let fits = ip.len() < ADDRESS_BYTES_MAX && has_only(ip, ADDRESS_MARKS);
    fits.then(|| (ip.to_owned(), port, cport))
}

fn read_port(text: &str) -> Option<u16> {
    let number = read_number(text, u64::from(u16::MAX) + 1).ok()?;
    u16::try_from(number).ok()
}

fn read_aux(name: &str, value: &str, node: &mut NodeLine) -> Option<()> {
    match name {
        "tls-port" => node.tls_port = Some(read_port(value)?),
        "tcp-port" => node.tcp_port = Some(read_port(value)?),
        "shard-id" if is_id(value) => node.shard_id = Some(value.to_owned()),
        "nodename" if value.len() < NAME_BYTES_MAX && has_only(value, NODENAME_MARKS) => {
            node.nodename = Some(value.to_owned());
        }
        "shard-id" | "nodename" => return None,
        _ if is_aux(name, value) => node.other_aux.push((name.to_owned(), value.to_owned())),
        _ => return None,
    }
    Some(())
}

fn read_slot(text: &str) -> Option<u16> {
    read_port(text).filter(|slot| *slot < SLOT_END)
}

/// `5`, or `5-7`.
fn read_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = (read_slot(first)?, read_slot(last)?);
    (range.0 <= range.1).then_some(range)
}

/// `5->-<id>]`, or `5-<-<id>]`.
fn read_open(inside: &str) -> Option<OpenSlot> {
    let (slot, rest) = inside.strip_suffix(']')?.split_once('-')?;
    let (arrow, id) = rest.split_once('-')?;
    let (slot, id) = (read_slot(slot)?, read_id(id).ok()?);
    let state = match arrow {
        ">" => OpenState::Migrating(id),
        "<" => OpenState::Importing(id),
        _ => return None,
    };
    Some(OpenSlot { slot, state })
}
