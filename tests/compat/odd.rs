//! Every command with arguments that make little sense, in both protocols: one whole reply, and never a panic.

use highwater::clock::{self, SystemClock};
use highwater::commands::table;
use highwater::state::client::Peer;

use crate::ours::{Ours, parse};
use crate::peer::{Request, encode, reply_length, shown};

/// Words that mean something to some command or other, and words that do not.
const WORDS: [&str; 24] = [
    "",
    "0",
    "1",
    "-1",
    "2",
    "3",
    "x",
    "1.5",
    "99999999999999999999",
    "9223372036854775807",
    "-9223372036854775808",
    "a",
    "b",
    "*",
    "[",
    "type",
    "id",
    "on",
    "yes",
    "filterby",
    "version",
    "inf",
    "nan",
    "\u{0}\u{ff}\r\n",
];

/// The most arguments behind a command's name.
const ARGUMENTS_MAX: usize = 5;

/// Requests for each command, argument count and protocol.
const ROUNDS: usize = 40;

/// One request; an empty reply where the client now waits or wants none.
fn play(ours: &mut Ours, request: &Request) {
    let bytes = encode(request);
    let requests = parse(&bytes);
    let mut out = Vec::new();
    let batch = (&requests, &bytes[..]);
    let outcome = ours.node.execute(ours.client, batch, 0, &mut out, &mut SystemClock);
    let silent = out.is_empty();
    let client = ours.node.state.clients.get(ours.client).expect("it is connected");
    let may_be_silent = client.blocked.is_some()
        || client.monitor
        || client.is_replica
        || request[0].eq_ignore_ascii_case(b"replconf")
        || outcome.executed == 0
        || request.iter().any(|word| word.eq_ignore_ascii_case(b"reply"));
    assert!(!silent || may_be_silent, "no reply to {}", shown(request));
    let mut length = reply_length(&out);
    // These confirm each channel on its own.
    while request[0].ends_with(b"subscribe")
        && let Some(so_far) = length.filter(|so_far| *so_far < out.len())
    {
        length = reply_length(&out[so_far..]).map(|next| so_far + next);
    }
    assert!(
        silent || length == Some(out.len()),
        "not one reply to {}: {:?}",
        shown(request),
        String::from_utf8_lossy(&out)
    );
}

#[test]
fn odd_arguments_get_one_whole_reply() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut names: Vec<Vec<&str>> = Vec::new();
    for entry in table().entries() {
        names.push(vec![entry.command.name]);
        let subcommands = entry.subcommands.iter();
        names.extend(subcommands.map(|one| vec![entry.command.name, one.command.name]));
    }
    for name in names {
        let mut ours = Ours::start(|config| {
            config.values_mut().enable_debug_command =
                highwater::config::choices::ProtectedAction::Yes;
        });
        for round in 0..2 * ROUNDS * (ARGUMENTS_MAX + 1) {
            play(&mut ours, &crate::peer::words("SET a 1"));
            let mut request: Request = name.iter().map(|word| word.as_bytes().to_vec()).collect();
            for _ in 0..round % (ARGUMENTS_MAX + 1) {
                request.push(WORDS[random.usize(..WORDS.len())].as_bytes().to_vec());
            }
            renew(&mut ours, random.bool());
            play(&mut ours, &request);
            renew(&mut ours, false);
        }
    }
}

/// A client without a past, and a node that pauses nobody.
fn renew(ours: &mut Ours, resp3: bool) {
    ours.node.disconnect(ours.client);
    ours.node.state.pause = None;
    let peer = Peer { loopback: true, ..Peer::default() };
    ours.client = ours.node.connect(peer, clock::now()).expect("there is room");
    ours.set_resp3(resp3);
}
