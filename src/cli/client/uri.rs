//! Addresses of the form `redis://user:password@host:port/database`.
//!
//! Source: IANA, "Uniform Resource Identifier (URI) Schemes", redis.

/// The parts that were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) database: Option<i64>,
}

impl Uri {
    /// Reads an address. Before the host stands a password, or a user and a password; `%41` is an A in either.
    ///
    /// # Errors
    /// Another scheme, or a part that is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if starts_with(text, "rediss://") {
            return Err("TLS is not supported: only redis:// is".to_owned());
        }
        if !starts_with(text, "redis://") {
            return Err("Invalid URI scheme".to_owned());
        }
        let mut uri = Self::default();
        let mut rest = &text["redis://".len()..];
        if let Some((who, behind)) = rest.split_once('@') {
            rest = behind;
            match who.split_once(':') {
                Some((user, password)) => {
                    uri.user = Some(decoded(user)?).filter(|user| !user.is_empty());
                    uri.password = Some(decoded(password)?);
                }
                None => uri.password = Some(decoded(who)?),
            }
        }
        let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
        uri.database = database.parse().ok();
        // An IPv6 address stands in brackets.
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
            None => place.split_once(':').unwrap_or((place, "")),
        };
        uri.host = Some(decoded(host)?).filter(|host| !host.is_empty());
        if !port.is_empty() {
            uri.port = Some(port.parse().map_err(|_| "Invalid server port.".to_owned())?);
        }
        Ok(uri)
    }
}

fn starts_with(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Takes `%XX` for the byte it stands for.
fn decoded(text: &str) -> Result<String, String> {
    const WRONG: &str = "Incomplete URI encoding";
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(value.ok_or(WRONG)?);
        rest = &behind[2..];
    }
    String::from_utf8(bytes).map_err(|_| "Invalid URI encoding".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let check = |text: &str, parts: [&str; 5]| {
            let uri = Uri::parse(text).unwrap();
            let shown = |part: Option<String>| part.unwrap_or_default();
            let found = [
                shown(uri.user),
                shown(uri.password),
                shown(uri.host),
                shown(uri.port.map(|port| port.to_string())),
                shown(uri.database.map(|database| database.to_string())),
            ];
            assert_eq!(found, parts, "{text}");
        };
        check("redis://u:p@h:7/2", ["u", "p", "h", "7", "2"]);
        check("redis://p%40@h", ["", "p@", "h", "", ""]);
        check("redis://:p@h", ["", "p", "h", "", ""]);
        check("redis://[::1]:7", ["", "", "::1", "7", ""]);
        check("redis://", ["", "", "", "", ""]);
        check("redis://h/x", ["", "", "h", "", ""]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert_eq!(Uri::parse("http://h").unwrap_err(), "Invalid URI scheme");
        assert!(Uri::parse("rediss://h").unwrap_err().contains("TLS"));
        assert!(Uri::parse("redis://%4@h").is_err());
        assert!(Uri::parse("redis://h:x").is_err());
    }
}
