//! Redirections: replies that name the node to ask instead.
//!
//! Spec: cluster, "MOVED Redirection" and "ASK redirection".

use crate::cli::wire::Address;

/// How often a request is redirected before its redirection counts as the reply: nodes that point at each other would
/// otherwise keep it for ever.
pub(super) const REDIRECTS_MAX: usize = 16;

/// Where a request is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) slot: u16,
    /// Empty: the host that replied.
    pub(super) host: String,
    pub(super) port: u16,
    /// For this request alone, with ASKING before it.
    pub(super) is_ask: bool,
}

impl Redirect {
    /// Reads an error reply. `None` for any other error.
    pub(super) fn parse(error: &str) -> Option<Self> {
        let mut words = error.split(' ');
        let is_ask = match words.next() {
            Some("MOVED") => false,
            Some("ASK") => true,
            _ => return None,
        };
        let slot = words.next()?.parse().ok()?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        Some(Self { slot, host: host.to_owned(), port: port.parse().ok()?, is_ask })
    }

    /// The address to go to; `from` is the one that replied.
    pub(super) fn address(&self, from: &Address) -> Address {
        let host = match from {
            Address::Tcp(host, _) if self.host.is_empty() => host.clone(),
            _ if self.host.is_empty() => "127.0.0.1".to_owned(),
            _ => self.host.clone(),
        };
        Address::Tcp(host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_read() {
        let moved = Redirect::parse("MOVED 12182 127.0.0.1:7993").unwrap();
        assert_eq!((moved.slot, &*moved.host, moved.port), (12182, "127.0.0.1", 7993));
        assert!(!moved.is_ask);
        assert!(Redirect::parse("ASK 1 ::1:7993").unwrap().is_ask);
        for other in ["ERR MOVED", "MOVED", "MOVED x h:1", "MOVED 1 h", "TRYAGAIN 1 h:1"] {
            assert_eq!(Redirect::parse(other), None, "{other}");
        }
    }

    #[test]
    fn host_that_is_left_out_is_the_one_that_replied() {
        let from = Address::Tcp("h".into(), 1);
        let address = Redirect::parse("MOVED 1 :7").unwrap().address(&from);
        assert_eq!(address, Address::Tcp("h".into(), 7));
    }
}
