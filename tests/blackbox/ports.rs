//! Ports for the nodes of tests that run at the same time: none is given twice, so a test finds its own free whenever it starts
//! a node there, and starts it again.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// Distance of the bus port from the client port.
pub(crate) const BUS: u16 = 10_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that is free with the `count - 1` behind it, and those of the bus.
pub(crate) fn free_ports(count: u16) -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1000 {
        let port = fastrand::u16(11_000..21_000 - count);
        let ports = (port..port + count).flat_map(|port| [port, port + BUS]);
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if ports.clone().all(|port| !given.contains(&port) && is_free(port)) {
            given.extend(ports);
            return port;
        }
    }
    panic!("no ports are free")
}
