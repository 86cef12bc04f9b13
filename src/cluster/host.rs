//! The address of a node as text, at the length that packets have room for.

use std::fmt;
use std::net::IpAddr;

/// An IP address, or the host name that somebody announces in place of one; empty: not known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Host([u8; Host::BYTES]);

impl Host {
    /// Room for it in packets in bytes; the text ends with a zero byte.
    pub const BYTES: usize = 46;

    /// Not known.
    pub const UNKNOWN: Host = Host([0; Self::BYTES]);

    /// `text`; `None` if it is too long, or has characters that have no place in an address. An IP address gets its
    /// usual form.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        match text.parse::<IpAddr>() {
            Ok(ip) => Some(Self::from(ip)),
            Err(_) => Self::plain(text),
        }
    }

    fn plain(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_%".contains(&byte);
        if text.len() >= Self::BYTES || !text.bytes().all(allowed) {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    /// As it stands in packets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::BYTES);
        std::str::from_utf8(&self.0[..length]).expect("letters, digits and dots")
    }

    /// Whether it is not known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0[0] == 0
    }

    /// Whether it names the machine the node runs on.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.as_str().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        // The longest form of an IPv6 address, 45 characters, fits.
        Self::plain(&ip.to_canonical().to_string()).unwrap_or(Self::UNKNOWN)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_get_one_form_and_names_stay() {
        let shown = |text: &str| Host::new(text).map(|host| host.to_string());
        assert_eq!(shown("::0001").as_deref(), Some("::1"));
        assert_eq!(shown("::ffff:10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(shown("node-1.example").as_deref(), Some("node-1.example"));
        assert_eq!(shown("a b"), None);
        assert_eq!(shown(&"x".repeat(46)), None);
        assert!(shown(&"x".repeat(45)).is_some());
        assert!(Host::UNKNOWN.is_unknown() && !Host::new("::1").unwrap().is_unknown());
        assert!(Host::new("127.0.0.9").unwrap().is_loopback());
    }
}
