//! Which commands are deprecated, and what serves in their place; which are not for users.

/// What COMMAND DOCS says of a command that should not be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deprecated {
    /// Since which version.
    pub(super) since: &'static str,
    /// What to use.
    pub(super) by: &'static str,
}

/// Full names in small letters.
const DEPRECATED: &[(&str, &str, &str)] = &[
    ("brpoplpush", "6.2.0", "BLMOVE with RIGHT LEFT"),
    ("cluster|slaves", "5.0.0", "CLUSTER REPLICAS"),
    ("cluster|slots", "7.0.0", "CLUSTER SHARDS"),
    ("georadius", "6.2.0", "GEOSEARCH or GEOSEARCHSTORE with FROMLONLAT and BYRADIUS"),
    ("georadius_ro", "6.2.0", "GEOSEARCH with FROMLONLAT and BYRADIUS"),
    ("georadiusbymember", "6.2.0", "GEOSEARCH or GEOSEARCHSTORE with FROMMEMBER and BYRADIUS"),
    ("georadiusbymember_ro", "6.2.0", "GEOSEARCH with FROMMEMBER and BYRADIUS"),
    ("getset", "6.2.0", "SET with GET"),
    ("hmset", "4.0.0", "HSET with several fields"),
    ("psetex", "2.6.12", "SET with PX"),
    ("quit", "7.2.0", "closing the connection"),
    ("rpoplpush", "6.2.0", "LMOVE with RIGHT LEFT"),
    ("setex", "2.6.12", "SET with EX"),
    ("setnx", "2.6.12", "SET with NX"),
    ("slaveof", "5.0.0", "REPLICAOF"),
    ("substr", "2.0.0", "GETRANGE"),
    ("zrangebylex", "6.2.0", "ZRANGE with BYLEX"),
    ("zrangebyscore", "6.2.0", "ZRANGE with BYSCORE"),
    ("zrevrange", "6.2.0", "ZRANGE with REV"),
    ("zrevrangebylex", "6.2.0", "ZRANGE with REV and BYLEX"),
    ("zrevrangebyscore", "6.2.0", "ZRANGE with REV and BYSCORE"),
];

/// Commands that servers and their tests send.
const OF_SERVERS: &[&str] = &["debug", "pfdebug", "pfselftest", "replconf", "restore-asking"];

/// Whether and how a command is deprecated.
pub(super) fn deprecated(full_name: &str) -> Option<Deprecated> {
    let (_, since, by) = DEPRECATED.iter().find(|(name, ..)| *name == full_name)?;
    Some(Deprecated { since, by })
}

/// Whether it is not for users.
pub(super) fn is_of_servers(full_name: &str) -> bool {
    OF_SERVERS.contains(&full_name)
}
