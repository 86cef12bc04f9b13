//! A cluster gets the input request by request, each at the node that serves its keys.
//!
//! Requests are sent in rounds. In a round all requests of a slot go to one node, in the order of the input; what is
//! redirected goes first in the next round. So the requests of a key keep their order, and nodes work side by side.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, BufReader, Read};
use std::time::Duration;

use super::keys::Keys;
use super::{Counts, plain, requests, say_answered, say_sent};
use crate::cli::client::command::is_word;
use crate::cli::client::options::Options;
use crate::cli::client::redirect::{REDIRECTS_MAX, Redirect};
use crate::cli::client::screen::complain;
use crate::cli::client::session::{could_not_connect, plain as plain_text};
use crate::cli::wire::{Address, Connection, Failure, Reply};
use crate::keyspace::Slot;

/// Requests of a round, and bytes of them.
const UNITS_MAX: usize = 10_000;
const UNIT_BYTES_MAX: usize = 4 << 20;

/// Bytes that are sent before replies are read: what the buffers of a connection take without anybody reading.
const PIECE: usize = 64 * 1024;

/// Before a request is sent again for which a node was not ready.
const PAUSE: Duration = Duration::from_millis(100);

/// Requests that have to go to one node without others between: one, or a transaction.
#[derive(Debug, Clone, Default)]
struct Unit {
    requests: Vec<Vec<Vec<u8>>>,
    slot: Option<Slot>,
    /// Where the slot is on its way to.
    ask: Option<Address>,
    redirects: usize,
}

/// What came of a unit.
enum Outcome {
    Answered(Counts),
    Redirected(Redirect),
    /// The node was not ready for it.
    Later,
}

struct Router<'a> {
    options: &'a Options,
    seed: Address,
    keys: Keys,
    owners: HashMap<Slot, Address>,
    connections: HashMap<Address, Connection>,
    counts: Counts,
}

/// Sends all requests of `input`. False: it had to stop.
pub(super) fn run(
    options: &Options,
    mut connection: Connection,
    mut input: BufReader<impl Read + Send>,
) -> (Counts, bool) {
    let learnt = connection.call(&["CLUSTER", "SLOTS"]).and_then(|slots| {
        let commands = connection.call(&["COMMAND"])?;
        Ok((slots, commands))
    });
    let (slots, commands) = match learnt {
        Ok(learnt) => learnt,
        Err(Failure::Connection(error)) => {
            complain(&format!("Error: {}", plain_text(&error)));
            return (Counts::default(), false);
        }
        // It is no cluster.
        Err(Failure::Refused(_)) => return plain::run(options, connection, input),
    };
    let seed = options.address();
    let mut router = Router {
        options,
        owners: owners(&slots, &seed),
        keys: Keys::from_reply(&commands),
        connections: HashMap::from([(seed.clone(), connection)]),
        seed,
        counts: Counts::default(),
    };
    let done = router.send_all(&mut input);
    (router.counts, done)
}

/// Who serves which slot.
fn owners(slots: &Reply, seed: &Address) -> HashMap<Slot, Address> {
    let mut owners = HashMap::new();
    for range in slots.elements().unwrap_or_default() {
        let [first, last, owner, ..] = range.elements().unwrap_or_default() else { continue };
        let [host, port, ..] = owner.elements().unwrap_or_default() else { continue };
        let number = |reply: &Reply| reply.integer().and_then(|number| u16::try_from(number).ok());
        let (Some(first), Some(last), Some(port)) = (number(first), number(last), number(port))
        else {
            continue;
        };
        // A node that does not know its own address leaves it out.
        let host = host.text().filter(|host| !host.is_empty() && host != "?");
        let host = host.unwrap_or_else(|| match seed {
            Address::Tcp(host, _) => host.clone(),
            Address::Unix(_) => "127.0.0.1".to_owned(),
        });
        for slot in (first..=last).filter_map(Slot::new) {
            owners.insert(slot, Address::Tcp(host.clone(), port));
        }
    }
    owners
}

impl Router<'_> {
    fn send_all(&mut self, input: &mut BufReader<impl Read>) -> bool {
        let mut more = true;
        while more {
            let mut units = VecDeque::new();
            let read = self.read_units(input, &mut units);
            more = !units.is_empty();
            while !units.is_empty() {
                let before = self.counts.replies;
                match self.round(&units) {
                    Ok(again) => units = again,
                    Err(text) => {
                        let all: u64 = units.iter().map(|unit| unit.requests.len() as u64).sum();
                        let open = all - (self.counts.replies - before);
                        complain(&text);
                        complain(&format!(
                            "{open} requests have no reply and may have been executed or not; those behind them were not sent"
                        ));
                        return false;
                    }
                }
            }
            if let Err(error) = read {
                complain(&format!("Error in the input: {}", plain_text(&error)));
                return false;
            }
        }
        say_sent();
        say_answered();
        true
    }

    /// Reads the requests of a round, or those that have come so far. Those before a mistake are there when it is told.
    fn read_units(
        &self,
        input: &mut BufReader<impl Read>,
        units: &mut VecDeque<Unit>,
    ) -> io::Result<()> {
        let mut bytes = 0;
        while units.len() < UNITS_MAX && bytes < UNIT_BYTES_MAX {
            let Some(words) = requests::read(input)? else { return Ok(()) };
            let mut unit = Unit::default();
            let mut is_open = is_word(&words, 0, "multi");
            bytes += self.add(&mut unit, words);
            while is_open {
                let Some(words) = requests::read(input)? else { break };
                is_open = !is_word(&words, 0, "exec") && !is_word(&words, 0, "discard");
                bytes += self.add(&mut unit, words);
            }
            units.push_back(unit);
            if input.buffer().is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn add(&self, unit: &mut Unit, words: Vec<Vec<u8>>) -> usize {
        unit.slot = unit.slot.or_else(|| self.keys.slot(&words));
        let bytes = words.iter().map(Vec::len).sum();
        unit.requests.push(words);
        bytes
    }

    fn address(&self, unit: &Unit) -> Address {
        let owner = unit.slot.and_then(|slot| self.owners.get(&slot));
        unit.ask.as_ref().or(owner).unwrap_or(&self.seed).clone()
    }

    /// Sends units and reads their replies; what has to be sent again.
    fn round(&mut self, units: &VecDeque<Unit>) -> Result<VecDeque<Unit>, String> {
        let mut by_address: BTreeMap<String, (Address, Vec<usize>)> = BTreeMap::new();
        for (at, unit) in units.iter().enumerate() {
            let address = self.address(unit);
            let entry = by_address.entry(address.to_string());
            entry.or_insert_with(|| (address, Vec::new())).1.push(at);
        }
        let mut jobs = Vec::new();
        for (address, places) in by_address.into_values() {
            let connection = self.take_connection(&address)?;
            jobs.push((address, places, connection));
        }
        let done: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = jobs
                .into_iter()
                .map(|(address, places, mut connection)| {
                    scope.spawn(move || {
                        let mut outcomes = Vec::with_capacity(places.len());
                        let exchanged = exchange(&mut connection, units, &places, &mut outcomes);
                        (address, places, connection, outcomes, exchanged)
                    })
                })
                .collect();
            running.into_iter().map(|job| job.join().expect("an exchange does not panic")).collect()
        });
        let mut outcomes = BTreeMap::new();
        let mut broken = None;
        for (address, places, connection, outcomes_of, exchanged) in done {
            if let Err(error) = exchanged {
                broken.get_or_insert(format!("Error: {address}: {}", plain_text(&error)));
            }
            outcomes.extend(
                places
                    .into_iter()
                    .zip(outcomes_of.into_iter().map(|outcome| (outcome, address.clone()))),
            );
            self.connections.insert(address, connection);
        }
        let mut again = VecDeque::new();
        let mut pause = false;
        for (at, (outcome, address)) in outcomes {
            match outcome {
                Outcome::Answered(counts) => {
                    self.counts.errors += counts.errors;
                    self.counts.replies += counts.replies;
                }
                Outcome::Redirected(redirect) => {
                    again.push_back(self.redirected(&units[at], &redirect, &address))
                }
                Outcome::Later => {
                    pause = true;
                    let unit = units[at].clone();
                    again.push_back(Unit { redirects: unit.redirects + 1, ask: None, ..unit });
                }
            }
        }
        if let Some(text) = broken {
            return Err(text);
        }
        if pause {
            std::thread::sleep(PAUSE);
        }
        Ok(again)
    }

    fn redirected(&mut self, unit: &Unit, redirect: &Redirect, from: &Address) -> Unit {
        let target = redirect.address(from);
        let mut unit = Unit { redirects: unit.redirects + 1, ask: None, ..unit.clone() };
        if redirect.is_ask {
            unit.ask = Some(target);
        } else if let Some(slot) = Slot::new(redirect.slot) {
            self.owners.insert(slot, target);
            unit.slot = Some(slot);
        }
        unit
    }

    fn take_connection(&mut self, address: &Address) -> Result<Connection, String> {
        if let Some(connection) = self.connections.remove(address) {
            return Ok(connection);
        }
        Connection::log_in(address, &self.options.credentials, None).map_err(
            |failure| match failure {
                Failure::Connection(error) => could_not_connect(address, &error),
                Failure::Refused(text) => format!("AUTH failed: {text}"),
            },
        )
    }
}

/// Sends the units at `places` to one node, piece by piece, and adds what it replies to `outcomes`: where the connection
/// breaks, what came before that.
fn exchange(
    connection: &mut Connection,
    units: &VecDeque<Unit>,
    places: &[usize],
    outcomes: &mut Vec<Outcome>,
) -> io::Result<()> {
    let mut rest = places;
    while !rest.is_empty() {
        let mut bytes = 0;
        let mut count = 0;
        while count < rest.len() && (count == 0 || bytes < PIECE) {
            let unit = &units[rest[count]];
            if unit.ask.is_some() {
                connection.put(&["ASKING"]);
            }
            for words in &unit.requests {
                connection.put(words);
                bytes += words.iter().map(|word| word.len() + 16).sum::<usize>();
            }
            count += 1;
        }
        connection.flush()?;
        for place in &rest[..count] {
            outcomes.push(receive(connection, &units[*place])?);
        }
        rest = &rest[count..];
    }
    Ok(())
}

/// Reads the replies to a unit.
fn receive(connection: &mut Connection, unit: &Unit) -> io::Result<Outcome> {
    if unit.ask.is_some() {
        next(connection)?;
    }
    let mut errors = Vec::new();
    for _ in &unit.requests {
        if let Reply::Error(text) = next(connection)? {
            errors.push(text);
        }
    }
    if unit.redirects < REDIRECTS_MAX {
        if let Some(redirect) = errors.iter().find_map(|text| Redirect::parse(text)) {
            return Ok(Outcome::Redirected(redirect));
        }
        if errors.iter().any(|text| text.starts_with("TRYAGAIN")) {
            return Ok(Outcome::Later);
        }
    }
    errors.iter().for_each(|text| complain(text));
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    Ok(Outcome::Answered(Counts {
        errors: count(errors.len()),
        replies: count(unit.requests.len()),
        moved: 0,
    }))
}

fn next(connection: &mut Connection) -> io::Result<Reply> {
    loop {
        match connection.receive()? {
            Reply::Push(_) => {}
            reply => return Ok(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read() {
        let reply = "*2\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:7\r\n*3\r\n:2\r\n:2\r\n*2\r\n$0\r\n\r\n:8\r\n";
        let reply = Reply::read(&mut reply.as_bytes()).unwrap();
        let owners = owners(&reply, &Address::Tcp("seed".into(), 1));
        let of = |slot: u16| owners.get(&Slot::new(slot).unwrap()).map(ToString::to_string);
        assert_eq!((of(0), of(1)), (Some("h:7".into()), Some("h:7".into())));
        assert_eq!((of(2), of(3)), (Some("seed:8".into()), None));
    }

    #[test]
    fn transactions_stay_together() {
        let router = Router {
            options: &Options::new(),
            seed: Address::Tcp("seed".into(), 1),
            keys: Keys::default(),
            owners: HashMap::new(),
            connections: HashMap::new(),
            counts: Counts::default(),
        };
        let mut units = VecDeque::new();
        let input = "get a\nmulti\nset a 1\nset b 2\nexec\nget b\n";
        router.read_units(&mut BufReader::new(input.as_bytes()), &mut units).unwrap();
        let sizes: Vec<usize> = units.iter().map(|unit| unit.requests.len()).collect();
        assert_eq!(sizes, [1, 4, 1]);
    }
}
