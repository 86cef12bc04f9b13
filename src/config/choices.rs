//! Settings that take one word of a list.

/// A type whose values are the words a setting accepts.
pub trait Choice: Copy + PartialEq + 'static {
    /// The words in the order in which an error message lists them. A value may have two words (`yes` and `relative` of
    /// `oom-score-adj`): both are read, the first is printed.
    const WORDS: &'static [(&'static str, Self)];

    /// The word of this value.
    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, value)| *value == self);
        found.expect("every value of a choice has a word").0
    }

    /// The value of `word`, in any case.
    fn from_word(word: &str) -> Option<Self> {
        let found = Self::WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map(|(_, value)| *value)
    }

    /// All words, as an error message lists them.
    fn listed() -> String {
        let words: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        words.join(", ")
    }
}

/// When the log is synced: `appendfsync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppendFsync {
    /// Once per second.
    #[default]
    EverySec,
    /// Before a write is acknowledged.
    Always,
    /// When the kernel likes.
    No,
}

impl Choice for AppendFsync {
    const WORDS: &'static [(&'static str, Self)] =
        &[("everysec", Self::EverySec), ("always", Self::Always), ("no", Self::No)];
}

/// What is evicted when memory is full: `maxmemory-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvictionPolicy {
    /// Least recently used among keys that expire.
    VolatileLru,
    /// Least frequently used among keys that expire.
    VolatileLfu,
    /// Any key that expires.
    VolatileRandom,
    /// The key that expires soonest.
    VolatileTtl,
    /// Least recently used key.
    AllkeysLru,
    /// Least frequently used key.
    AllkeysLfu,
    /// Any key.
    AllkeysRandom,
    /// Nothing: writes are refused.
    #[default]
    NoEviction,
}

impl EvictionPolicy {
    /// Whether access counters, not access times, are kept.
    #[must_use]
    pub const fn is_lfu(self) -> bool {
        matches!(self, Self::VolatileLfu | Self::AllkeysLfu)
    }

    /// Whether the keys unused for the longest time go first.
    #[must_use]
    pub const fn is_lru(self) -> bool {
        matches!(self, Self::VolatileLru | Self::AllkeysLru)
    }

    /// Whether only keys with an expiry are candidates.
    #[must_use]
    pub const fn is_volatile(self) -> bool {
        matches!(
            self,
            Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl
        )
    }
}

impl Choice for EvictionPolicy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("volatile-lru", Self::VolatileLru),
        ("volatile-lfu", Self::VolatileLfu),
        ("volatile-random", Self::VolatileRandom),
        ("volatile-ttl", Self::VolatileTtl),
        ("allkeys-lru", Self::AllkeysLru),
        ("allkeys-lfu", Self::AllkeysLfu),
        ("allkeys-random", Self::AllkeysRandom),
        ("noeviction", Self::NoEviction),
    ];
}

/// The least important lines that are logged: `loglevel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Much that is seldom useful.
    Verbose,
    /// What an operator wants to know.
    #[default]
    Notice,
    /// Only what is wrong.
    Warning,
    /// Not a line.
    Nothing,
}

impl Choice for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("debug", Self::Debug),
        ("verbose", Self::Verbose),
        ("notice", Self::Notice),
        ("warning", Self::Warning),
        ("nothing", Self::Nothing),
    ];
}

/// Who may use a dangerous command: `enable-debug-command` and its siblings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtectedAction {
    /// Nobody.
    #[default]
    No,
    /// Everybody who may run the command.
    Yes,
    /// Connections from this host.
    Local,
}

impl ProtectedAction {
    /// Whether a client may, who is `local` or not.
    #[must_use]
    pub const fn allows(self, local: bool) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Local => local,
        }
    }
}

impl Choice for ProtectedAction {
    const WORDS: &'static [(&'static str, Self)] =
        &[("no", Self::No), ("yes", Self::Yes), ("local", Self::Local)];
}

/// The process manager that is told about the start: `supervised`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Supervision {
    /// Upstart: the process stops itself once ready.
    Upstart,
    /// systemd: a datagram to `$NOTIFY_SOCKET`.
    Systemd,
    /// Whichever of them the environment shows.
    Auto,
    /// Nobody.
    #[default]
    No,
}

impl Choice for Supervision {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("upstart", Self::Upstart),
        ("systemd", Self::Systemd),
        ("auto", Self::Auto),
        ("no", Self::No),
    ];
}

/// The facility of lines to syslog: `syslog-facility`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of syslog(3)")]
pub enum SyslogFacility {
    User,
    #[default]
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

impl Choice for SyslogFacility {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("user", Self::User),
        ("local0", Self::Local0),
        ("local1", Self::Local1),
        ("local2", Self::Local2),
        ("local3", Self::Local3),
        ("local4", Self::Local4),
        ("local5", Self::Local5),
        ("local6", Self::Local6),
        ("local7", Self::Local7),
    ];
}

/// Whether the kernel's out-of-memory score is changed: `oom-score-adj`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OomScoreAdj {
    /// Left as it is.
    #[default]
    No,
    /// Added to the score at the start.
    Relative,
    /// Written as given.
    Absolute,
}

impl Choice for OomScoreAdj {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("no", Self::No),
        ("yes", Self::Relative),
        ("relative", Self::Relative),
        ("absolute", Self::Absolute),
    ];
}

/// What new users may subscribe to: `acl-pubsub-default`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PubsubDefault {
    /// Every channel.
    AllChannels,
    /// None.
    #[default]
    ResetChannels,
}

impl Choice for PubsubDefault {
    const WORDS: &'static [(&'static str, Self)] =
        &[("allchannels", Self::AllChannels), ("resetchannels", Self::ResetChannels)];
}

/// Whose RESTORE payloads are checked to the last byte: `sanitize-dump-payload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sanitize {
    /// Nobody's.
    #[default]
    No,
    /// Everybody's, snapshots included.
    Yes,
    /// Those of client connections.
    Clients,
}

impl Choice for Sanitize {
    const WORDS: &'static [(&'static str, Self)] =
        &[("no", Self::No), ("yes", Self::Yes), ("clients", Self::Clients)];
}

/// Whether TLS clients show a certificate: `tls-auth-clients`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not asked for.
    No,
    /// Required.
    #[default]
    Yes,
    /// Checked when shown.
    Optional,
}

impl Choice for ClientAuth {
    const WORDS: &'static [(&'static str, Self)] =
        &[("no", Self::No), ("yes", Self::Yes), ("optional", Self::Optional)];
}

/// How a replica takes a snapshot from the socket: `repl-diskless-load`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisklessLoad {
    /// Through a file.
    #[default]
    Disabled,
    /// Directly, if it has no keys.
    OnEmptyDb,
    /// Directly, beside the old keys.
    SwapDb,
}

impl Choice for DisklessLoad {
    const WORDS: &'static [(&'static str, Self)] =
        &[("disabled", Self::Disabled), ("on-empty-db", Self::OnEmptyDb), ("swapdb", Self::SwapDb)];
}

/// What happens when a replicated command fails: `propagation-error-behavior`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PropagationError {
    /// A line is logged.
    #[default]
    Ignore,
    /// The process stops.
    Panic,
    /// The process stops if it is a replica.
    PanicOnReplicas,
}

impl Choice for PropagationError {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("ignore", Self::Ignore),
        ("panic", Self::Panic),
        ("panic-on-replicas", Self::PanicOnReplicas),
    ];
}

/// What a redirection names: `cluster-preferred-endpoint-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointType {
    /// The address.
    #[default]
    Ip,
    /// The announced host name.
    Hostname,
    /// Nothing: the client uses the address it knows.
    UnknownEndpoint,
}

impl Choice for EndpointType {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("ip", Self::Ip),
        ("hostname", Self::Hostname),
        ("unknown-endpoint", Self::UnknownEndpoint),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_printed_in_lower() {
        assert_eq!(AppendFsync::from_word("ALWAYS"), Some(AppendFsync::Always));
        assert_eq!(AppendFsync::from_word("sometimes"), None);
        assert_eq!(EvictionPolicy::AllkeysLfu.word(), "allkeys-lfu");
        assert_eq!(AppendFsync::listed(), "everysec, always, no");
    }

    #[test]
    fn relative_score_prints_its_first_word() {
        assert_eq!(OomScoreAdj::from_word("relative"), Some(OomScoreAdj::Relative));
        assert_eq!(OomScoreAdj::Relative.word(), "yes");
    }

    #[test]
    fn local_action_asks_where_the_client_is() {
        assert!(ProtectedAction::Local.allows(true));
        assert!(!ProtectedAction::Local.allows(false));
        assert!(!ProtectedAction::No.allows(true));
    }
}
