//! Ports 7000 to 7009 as a text names them, and those that stand in for them.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// Distance of the bus port from the client port.
const BUS: u16 = 10_000;

/// Ports of a text, all but the last digit.
const TEXT: &str = "700";

/// Ten ports in a row that begin with one that ends in 0, and those of the bus. No other walkthrough on this host has
/// them meanwhile.
pub(crate) struct Ports {
    first: u16,
    /// A socket with a name of its own, without a file: the system takes it back when the process ends.
    _claim: UnixListener,
}

impl Ports {
    pub(crate) fn claim() -> Ports {
        for first in (7000..8000).step_by(10) {
            let name = format!("highwater-walkthrough-{first}");
            let address = SocketAddr::from_abstract_name(name).unwrap();
            let Ok(claim) = UnixListener::bind_addr(&address) else { continue };
            let ports = (first..first + 10).flat_map(|port| [port, port + BUS]);
            let held: Vec<_> = ports.map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
            if held.iter().all(Result::is_ok) {
                return Ports { first, _claim: claim };
            }
        }
        panic!("no ports are free")
    }

    /// The port that stands in for 700`digit`.
    pub(crate) fn at(&self, digit: u16) -> u16 {
        assert!(digit < 10);
        self.first + digit
    }

    /// The digit of a port of ours.
    pub(crate) fn digit(&self, port: u16) -> u16 {
        assert!((self.first..self.first + 10).contains(&port), "{port} is nobody's");
        port - self.first
    }

    /// A text with our ports in the place of its own. A number within a longer word is none.
    pub(crate) fn put_into(&self, text: &str) -> String {
        let ours = (self.first / 10).to_string();
        let bytes = text.as_bytes();
        let is_word = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
        let mut done = String::new();
        let mut copied = 0;
        for (at, _) in text.match_indices(TEXT) {
            let last = at + TEXT.len();
            let begins = at == 0 || !is_word(at - 1);
            if begins && bytes.get(last).is_some_and(u8::is_ascii_digit) && !is_word(last + 1) {
                done += &text[copied..at];
                done += &ours;
                copied = last;
            }
        }
        done + &text[copied..]
    }
}

#[test]
fn ports_are_put_where_ports_stand() {
    let mut ports = Ports::claim();
    ports.first = 7120;
    let text = "-p 7003 127.0.0.1:7000 redis-7001.conf 70012 a7001 7001a 17001 700";
    let put = "-p 7123 127.0.0.1:7120 redis-7121.conf 70012 a7001 7001a 17001 700";
    assert_eq!(ports.put_into(text), put);
}
