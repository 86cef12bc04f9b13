//! CONFIG SET: several settings at once, all or none.

use super::row::{Change, Row};
use super::values::Values;
use super::{Config, ConfigError, rows};

/// What CONFIG SET has to know of who asks, and when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client {
    /// Connected from this host.
    pub local: bool,
    /// The data set is being loaded.
    pub loading: bool,
}

/// Settings that a call of [`Config::set`] changed, so that the server can react, and what undoes it.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Names, as in redis.conf (never the alias), of those whose value is a new one.
    pub names: Vec<&'static str>,
    before: Box<Values>,
}

impl Changes {
    /// Whether the setting `name` has a new value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// The changed settings with the values they had, as a call of [`Config::set`] takes them.
    #[must_use]
    pub fn pairs_before(&self) -> Vec<(String, Vec<u8>)> {
        let pair = |name: &&str| {
            let row = rows::find(name).expect("a setting that was set has a row");
            ((*name).to_owned(), row.print(&self.before))
        };
        self.names.iter().map(pair).collect()
    }

    /// The values before the call.
    #[must_use]
    pub const fn before(&self) -> &Values {
        &self.before
    }
}

impl Config {
    /// Sets all `pairs` of name and value, or none of them. A value may be several words, as in a line of redis.conf.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing has changed then.
    pub fn set(
        &mut self,
        pairs: &[(String, Vec<u8>)],
        client: Client,
    ) -> Result<Changes, ConfigError> {
        let named = self.named(pairs, client)?;
        let before = self.values.clone();
        let mut values = before.clone();
        for (row, (name, value)) in named.iter().zip(pairs) {
            row.parse(&mut values, &words_of(row, value), false)
                .and_then(|()| refuse(row, &values))
                .map_err(|reason| ConfigError::Refused { name: name.clone(), reason })?;
        }
        settle(&mut values);
        let changed = |row: &&&Row| row.print(&before) != row.print(&values);
        let names = named.iter().filter(changed).map(|row| row.name).collect();
        self.values = values;
        Ok(Changes { names, before: Box::new(before) })
    }

    /// Takes back what a call of [`Config::set`] did, where the server could not follow it.
    pub fn undo(&mut self, changes: Changes) {
        self.values = *changes.before;
    }

    /// The rows that `pairs` name, if each may be changed now.
    fn named(
        &self,
        pairs: &[(String, Vec<u8>)],
        client: Client,
    ) -> Result<Vec<&'static Row>, ConfigError> {
        let mut named: Vec<&'static Row> = Vec::with_capacity(pairs.len());
        for (at, (name, _)) in pairs.iter().enumerate() {
            let row = rows::find(name)
                .filter(|row| !row.file_only)
                .ok_or_else(|| ConfigError::Unknown { name: name.clone() })?;
            let refused = |reason: &str| {
                Err(ConfigError::Refused { name: name.clone(), reason: reason.to_owned() })
            };
            let protected = row.change == Change::Protected;
            if row.change == Change::Start {
                return refused("can't set immutable config");
            }
            if protected && !self.enable_protected_configs.allows(client.local) {
                return refused("can't set protected config");
            }
            if row.not_while_loading && client.loading {
                return Err(ConfigError::Loading);
            }
            if pairs[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return refused("duplicate parameter");
            }
            named.push(row);
        }
        Ok(named)
    }
}

/// The words of a value: settings of several words take them from one argument, split at each blank.
pub(super) fn words_of(row: &Row, value: &[u8]) -> Vec<Vec<u8>> {
    if row.takes_words() && !row.file_only {
        value.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect()
    } else {
        vec![value.to_vec()]
    }
}

/// Why a server that runs cannot take the new value of `row`.
fn refuse(row: &Row, values: &Values) -> Result<(), String> {
    if asks_for_tls(row, values) {
        return Err("Unable to update TLS configuration. Check server logs.".to_owned());
    }
    refuse_at_start(row, values)
}

/// Why a server cannot start with the value of `row`, although it is one.
pub(super) fn refuse_at_start(row: &Row, values: &Values) -> Result<(), String> {
    if asks_for_tls(row, values) {
        return Err("TLS is not part of this version".to_owned());
    }
    if row.name == "activedefrag" && values.activedefrag {
        return Err("Active defragmentation cannot be enabled: memory is not moved here".into());
    }
    Ok(())
}

fn asks_for_tls(row: &Row, values: &Values) -> bool {
    match row.name {
        "tls-port" => values.tls_port != 0,
        "tls-cluster" => values.tls_cluster,
        "tls-replication" => values.tls_replication,
        _ => false,
    }
}

/// Lowest and highest number of rounds of background work per second.
const HZ_RANGE: (u32, u32) = (1, 500);

/// Least bytes of the replication backlog.
const BACKLOG_MIN: u64 = 16 * 1024;

/// Brings values within bounds that are silent: out-of-range is corrected, not refused.
pub(super) fn settle(values: &mut Values) {
    values.repl_backlog_size = values.repl_backlog_size.max(BACKLOG_MIN);
    values.hz = values.hz.clamp(HZ_RANGE.0, HZ_RANGE.1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
        let pairs: Vec<(String, Vec<u8>)> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        let client = Client { local: true, loading: false };
        config.set(&pairs, client).map(|changes| changes.names).map_err(|error| error.to_string())
    }

    fn check_error(pairs: &[(&str, &str)], expected: &str) {
        let mut config = Config::default();
        assert_eq!(set(&mut config, pairs).unwrap_err(), expected);
        assert_eq!(config, Config::default(), "a refused call changes nothing");
    }

    fn failed(name: &str, reason: &str) -> String {
        format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}")
    }

    #[test]
    fn pairs_are_set_together() {
        let mut config = Config::default();
        let changed = set(&mut config, &[("MAXMEMORY", "5mb"), ("hz", "10"), ("timeout", "3")]);
        assert_eq!(changed.unwrap(), ["maxmemory", "timeout"], "hz was 10 before");
        assert_eq!((config.maxmemory, config.timeout), (5 << 20, 3));
    }

    #[test]
    fn one_wrong_value_leaves_all_as_they_were() {
        let reason = failed("timeout", "argument couldn't be parsed into an integer");
        check_error(&[("maxmemory", "5mb"), ("timeout", "x")], &reason);
    }

    #[test]
    fn errors_are_those_of_stock() {
        check_error(
            &[("port", "1"), ("nosuch", "1")],
            "Unknown option or number of arguments for CONFIG SET - 'nosuch'",
        );
        check_error(&[("port", "1"), ("PORT", "2")], &failed("PORT", "duplicate parameter"));
        check_error(&[("logfile", "x")], &failed("logfile", "can't set immutable config"));
        check_error(&[("dbfilename", "x")], &failed("dbfilename", "can't set protected config"));
        check_error(
            &[("maxmemory", "-1")],
            &failed("maxmemory", "argument must be a memory value"),
        );
        check_error(
            &[("port", "70000")],
            &failed("port", "argument must be between 0 and 65535 inclusive"),
        );
        check_error(
            &[("appendonly", "maybe")],
            &failed("appendonly", "argument must be 'yes' or 'no'"),
        );
        check_error(
            &[("appendfsync", "zz")],
            &failed(
                "appendfsync",
                "argument(s) must be one of the following: everysec, always, no",
            ),
        );
        check_error(&[("save", "3600")], &failed("save", "Invalid save parameters"));
    }

    #[test]
    fn protected_setting_asks_who_the_client_is() {
        let mut config = Config::default();
        config.values_mut().enable_protected_configs =
            super::super::choices::ProtectedAction::Local;
        assert!(set(&mut config, &[("dbfilename", "x.rdb")]).is_ok());
        let pairs = [("dbfilename".to_owned(), b"y.rdb".to_vec())];
        assert!(config.set(&pairs, Client::default()).is_err());
        assert_eq!(config.dbfilename, "x.rdb");
    }

    #[test]
    fn setting_may_have_to_wait_for_the_end_of_loading() {
        let pairs = [("appendonly".to_owned(), b"yes".to_vec())];
        let client = Client { local: true, loading: true };
        let error = Config::default().set(&pairs, client).unwrap_err();
        assert_eq!(error, ConfigError::Loading);
    }

    #[test]
    fn change_can_be_taken_back() {
        let mut config = Config::default();
        let pairs = [("port".to_owned(), b"7000".to_vec())];
        let changes = config.set(&pairs, Client::default()).unwrap();
        assert!(changes.has("port"));
        config.undo(changes);
        assert_eq!(config.port, 6379);
    }

    #[test]
    fn several_words_come_in_one_argument() {
        let mut config = Config::default();
        set(&mut config, &[("save", "60 1 30 2"), ("bind", "127.0.0.1 -::1")]).unwrap();
        assert_eq!(config.save.len(), 2);
        assert_eq!(config.bind, ["127.0.0.1", "-::1"]);
        set(&mut config, &[("save", ""), ("bind", "")]).unwrap();
        assert!(config.save.is_empty() && config.bind.is_empty());
    }

    #[test]
    fn hz_is_kept_within_bounds() {
        let mut config = Config::default();
        set(&mut config, &[("hz", "1000")]).unwrap();
        assert_eq!(config.hz, 500);
        set(&mut config, &[("hz", "0")]).unwrap();
        assert_eq!(config.hz, 1);
    }
}
