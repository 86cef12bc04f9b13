//! `import`: the keys of a server outside of any cluster go to the nodes whose slots they belong to.

use crate::keyspace::Slot;

use super::super::wire::{Credentials, Failure, Reply};
use super::check::{self, How};
use super::nodes::Cluster;
use super::options::Options;
use super::peer::{Peer, Unreachable, field};
use super::screen::{Done, Screen, Stop};
use super::{address, load, password};

/// Keys that one SCAN asks for.
const KEYS_PER_SCAN: usize = 1000;

/// Imports into the cluster of the node at this address.
pub(super) fn run(
    screen: &mut Screen<'_>,
    (host, port): (&str, u16),
    credentials: &Credentials,
    options: &Options,
) -> Done {
    let Some(from) = &options.from else {
        screen.complain("[ERR] Option '--cluster-from' is required for subcommand 'import'.\n");
        return Err(Stop::said());
    };
    let Some((from_host, from_port, _)) = address::parse(from) else {
        screen.complain(
            "[ERR] Invalid --cluster-from host. You need to pass a valid address (ie. 120.0.0.1:7000).\n",
        );
        return Err(Stop::said());
    };
    let mut login =
        Credentials { user: options.from_user.clone(), password: options.from_password.clone() };
    if options.asks_from_password {
        let question = "Please input import source node password: ";
        login.password = password::ask(screen, question);
    }
    screen.info(&format!(
        ">>> Importing data from {from_host}:{from_port} to cluster {host}:{port}\n"
    ));
    let mut cluster = load::cluster(screen, host, port, credentials)?;
    if !check::run(screen, &mut cluster, options, How::default()) {
        return Err(Stop::said());
    }
    let mut source = Peer::new(&from_host, from_port, &login);
    greet(screen, &mut source)?;
    let count = ask(screen, &mut source, &["DBSIZE"])?.integer().unwrap_or(0);
    screen.warn(&format!("*** Importing {count} keys from DB 0\n"));
    keys(screen, &mut cluster, &mut source, options)
}

/// Connects to the source, which must not be a node of a cluster.
fn greet(screen: &mut Screen<'_>, source: &mut Peer) -> Done {
    match source.connect() {
        Ok(_) => {}
        Err(Unreachable::Silent(text)) => {
            screen.complain(&format!("{}.\n", text.trim_end()));
            return Err(Stop::said());
        }
        Err(Unreachable::Refuses(text)) => {
            screen.error(&text);
            return Err(Stop::said());
        }
    }
    let info = ask(screen, source, &["INFO"])?.text().unwrap_or_default();
    if field(&info, "cluster_enabled") == Some("1") {
        screen.error("[ERR] The source node should not be a cluster node.\n");
        return Err(Stop::said());
    }
    Ok(())
}

fn ask(screen: &mut Screen<'_>, source: &mut Peer, words: &[impl AsRef<[u8]>]) -> Done<Reply> {
    source.call(words).map_err(|failure| {
        screen.error(&replied(source, &failure));
        Stop::said()
    })
}

fn replied(source: &Peer, failure: &Failure) -> String {
    format!("Source {source} replied with error:\n{failure}\n")
}

/// Walks all keys. Keys that leave while SCAN goes on are no trouble for it.
fn keys(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    source: &mut Peer,
    options: &Options,
) -> Done {
    let per_scan = KEYS_PER_SCAN.to_string();
    let mut cursor = "0".to_owned();
    loop {
        let reply = ask(screen, source, &["SCAN", &cursor, "COUNT", &per_scan])?;
        let (Some(next), Some(keys)) = (
            reply.elements().and_then(|parts| parts.first()?.text()),
            reply.elements().and_then(|parts| parts.get(1)?.elements()),
        ) else {
            return Err(Stop::with("The source replied to SCAN with something else\n"));
        };
        for key in keys.iter().filter_map(Reply::bytes) {
            one(screen, cluster, source, options, key)?;
        }
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

fn one(
    screen: &mut Screen<'_>,
    cluster: &Cluster,
    source: &mut Peer,
    options: &Options,
    key: &[u8],
) -> Done {
    let slot = Slot::of(key);
    let Some(owner) = cluster.owner(slot) else {
        return Err(Stop::with(format!("Nobody serves slot {}\n", slot.number())));
    };
    let target = &cluster.nodes[owner].peer;
    let mut shown = b"Migrating ".to_vec();
    shown.extend_from_slice(key);
    shown.extend_from_slice(format!(" to {target}: ").as_bytes());
    screen.bytes(&shown);
    let (port, timeout) = (target.port.to_string(), options.timeout_ms.to_string());
    let mut words: Vec<&[u8]> =
        vec![b"MIGRATE", target.host.as_bytes(), port.as_bytes(), key, b"0", timeout.as_bytes()];
    if options.copy {
        words.push(b"COPY");
    }
    if options.replace {
        words.push(b"REPLACE");
    }
    let login = &target.credentials;
    match (&login.user, &login.password) {
        (Some(user), Some(password)) => {
            words.extend([&b"AUTH2"[..], user.as_bytes(), password.as_bytes()]);
        }
        (None, Some(password)) => words.extend([&b"AUTH"[..], password.as_bytes()]),
        (_, None) => {}
    }
    match source.call(&words) {
        Ok(_) => {
            screen.success("OK\n");
            Ok(())
        }
        Err(failure) => {
            screen.error(&replied(source, &failure));
            Err(Stop::said())
        }
    }
}
