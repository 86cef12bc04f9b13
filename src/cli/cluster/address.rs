//! Addresses as operators write them.

/// Host, port and bus port of `host:port` or `host:port@bus`; 0: the bus port was not said.
pub(super) fn parse(word: &str) -> Option<(String, u16, u16)> {
    let (address, bus) = match word.split_once('@') {
        Some((address, bus)) => (address, bus.parse().ok()?),
        None => (word, 0),
    };
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port, bus))
}

/// The entry of a cluster: one word `host:port`, or host and port as two.
pub(super) fn entry(words: &[String]) -> Option<(String, u16)> {
    match words {
        [word] => parse(word).map(|(host, port, _)| (host, port)),
        [host, port] => {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some((host.clone(), port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port_and_maybe_one_of_the_bus() {
        assert_eq!(parse("10.0.0.1:7000"), Some(("10.0.0.1".into(), 7000, 0)));
        assert_eq!(parse("::1:7000@1"), Some(("::1".into(), 7000, 1)));
        for wrong in ["10.0.0.1", "host:", "host:x", ":7000", "host:70000", "host:0"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn entries_are_one_word_or_two() {
        let entry =
            |words: &[&str]| entry(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(entry(&["h:1"]), Some(("h".into(), 1)));
        assert_eq!(entry(&["h", "1"]), Some(("h".into(), 1)));
        assert_eq!(entry(&["h"]), None);
        assert_eq!(entry(&["a", "b", "c"]), None);
    }
}
