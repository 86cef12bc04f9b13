//! What the client has to know of a few commands: how their reply is printed, and what it changes for what follows.

/// What follows a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Its reply.
    Reply,
    /// Messages without end, of channels.
    Messages,
    /// Requests of others without end.
    Monitor,
    /// The stream of replication.
    Replication,
}

/// What follows the command in `words`.
pub(super) fn stream(words: &[Vec<u8>]) -> Stream {
    let is = |names: &[&str]| names.iter().any(|name| is_word(words, 0, name));
    if is(&["subscribe", "psubscribe", "ssubscribe"]) {
        Stream::Messages
    } else if is(&["monitor"]) {
        Stream::Monitor
    } else if is(&["sync", "psync"]) {
        Stream::Replication
    } else {
        Stream::Reply
    }
}

/// Whether the reply is a text for people, which is printed as it is in any form of output.
pub(super) fn replies_with_text(words: &[Vec<u8>]) -> bool {
    const ANY_LENGTH: &[(&str, &str)] = &[
        ("debug", "htstats"),
        ("debug", "htstats-key"),
        ("debug", "client-eviction"),
        ("memory", "malloc-stats"),
        ("memory", "doctor"),
        ("client", "list"),
        ("client", "info"),
        ("proxy", "info"),
    ];
    let is = |name: &str, sub: &str| is_word(words, 0, name) && is_word(words, 1, sub);
    is_word(words, 0, "info")
        || is_word(words, 0, "lolwut")
        || ANY_LENGTH.iter().any(|(name, sub)| is(name, sub))
        || words.len() == 2 && (is("cluster", "nodes") || is("cluster", "info"))
        || words.len() == 2 && is("latency", "doctor")
        || words.len() == 3 && is("latency", "graph")
}

/// Whether a password may be in `words`, so that they are not kept.
pub(super) fn is_sensitive(words: &[Vec<u8>]) -> bool {
    const SECRET_SETTINGS: &[&str] = &[
        "masterauth",
        "masteruser",
        "requirepass",
        "primaryauth",
        "tls-key-file-pass",
        "tls-client-key-file-pass",
    ];
    let has = |name: &str| (1..words.len()).any(|at| is_word(words, at, name));
    is_word(words, 0, "auth")
        || is_word(words, 0, "acl") && is_word(words, 1, "setuser")
        || is_word(words, 0, "config")
            && is_word(words, 1, "set")
            && SECRET_SETTINGS.iter().any(|setting| has(setting))
        || is_word(words, 0, "hello") && has("auth")
        || is_word(words, 0, "migrate") && (has("auth") || has("auth2"))
}

/// Whether the word at `at` is `name`, in upper or lower case.
pub(super) fn is_word(words: &[Vec<u8>], at: usize, name: &str) -> bool {
    words.get(at).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::inline::split_words;

    fn words(line: &str) -> Vec<Vec<u8>> {
        split_words(line.as_bytes()).unwrap()
    }

    #[test]
    fn texts_are_known() {
        for line in ["INFO", "info all", "cluster nodes", "CLIENT LIST ID 1", "latency graph x"] {
            assert!(replies_with_text(&words(line)), "{line}");
        }
        for line in ["get info", "cluster slots", "client id", "latency graph", "cluster info x"] {
            assert!(!replies_with_text(&words(line)), "{line}");
        }
    }

    #[test]
    fn passwords_are_not_kept() {
        for line in
            ["auth x", "HELLO 3 AUTH u p", "config set a b requirepass x", "acl setuser u >p"]
        {
            assert!(is_sensitive(&words(line)), "{line}");
        }
        for line in ["get auth", "hello 3", "config get requirepass", "acl whoami"] {
            assert!(!is_sensitive(&words(line)), "{line}");
        }
    }

    #[test]
    fn streams_are_known() {
        assert_eq!(stream(&words("PSubscribe *")), Stream::Messages);
        assert_eq!(stream(&words("monitor")), Stream::Monitor);
        assert_eq!(stream(&words("get monitor")), Stream::Reply);
    }
}
