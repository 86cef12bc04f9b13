//! Error replies. Texts that clients match on are here, once.

use std::borrow::Cow;

use super::quoted::{bytes, quoted};

/// An error reply to a command: the client's mistake, or a state the node is in. The text starts with its code
/// (`ERR`, `WRONGTYPE`, ...) and has no leading dash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError(Cow<'static, str>);

impl CommandError {
    /// An error with a text known at compile time, code included.
    pub const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// An error with a text made now, code included.
    pub fn owned(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    /// The text, code included.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The code: the first word.
    pub fn code(&self) -> &str {
        self.0.split(' ').next().unwrap_or("ERR")
    }
}

impl From<&'static str> for CommandError {
    fn from(text: &'static str) -> Self {
        Self::new(text)
    }
}

impl From<String> for CommandError {
    fn from(text: String) -> Self {
        Self::owned(text)
    }
}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: CommandError = CommandError::new($text);)*
    };
}

errors! {
    /// A command on a key of another type.
    WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    /// Options that do not fit together, or an unknown one.
    SYNTAX = "ERR syntax error";
    /// An argument or a stored value that should be an integer.
    NOT_INTEGER = "ERR value is not an integer or out of range";
    /// An argument or a stored value that should be a number.
    NOT_FLOAT = "ERR value is not a valid float";
    /// A slot is its target's to take, and the target has not been heard for a while.
    HANDOFF = "TRYAGAIN Slot is being handed over and its target does not answer";
    /// A key that must exist.
    NO_SUCH_KEY = "ERR no such key";
    /// An index outside its range.
    OUT_OF_RANGE = "ERR index out of range";
    /// Source and target are one.
    SAME_OBJECT = "ERR source and destination objects are the same";
    /// A database number that does not exist.
    DB_OUT_OF_RANGE = "ERR DB index is out of range";
    /// A command before authentication.
    NOAUTH = "NOAUTH Authentication required.";
    /// While data is being loaded.
    LOADING = "LOADING Redis is loading the dataset in memory";
    /// EXEC after a queued command was refused.
    EXECABORT = "EXECABORT Transaction discarded because of previous errors.";
    /// No memory below `maxmemory` can be freed.
    OOM = "OOM command not allowed when used memory > 'maxmemory'.";
    /// Writes while the last snapshot failed.
    MISCONF_RDB = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.";
    /// Writes on a read-only replica.
    READONLY = "READONLY You can't write against a read only replica.";
    /// Writes while too few replicas keep up.
    NOREPLICAS = "NOREPLICAS Not enough good replicas to write.";
    /// On a replica without its primary that must not show old data.
    MASTERDOWN = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    /// Keys of one request in more than one slot.
    CROSSSLOT = "CROSSSLOT Keys in request don't hash to the same slot";
    /// It waits for another node, which a transaction cannot.
    MIGRATE_IN_MULTI = "ERR MIGRATE inside MULTI is not allowed";
    /// Some keys of a slot on the move are here, some are not.
    TRYAGAIN = "TRYAGAIN Multiple keys request during rehashing of slot";
    /// A slot whose former keys are still being removed.
    TRIMMING = "TRYAGAIN Slot is being trimmed";
    /// A slot that nobody owns.
    SLOT_NOT_SERVED = "CLUSTERDOWN Hash slot not served";
    /// The cluster does not serve.
    CLUSTERDOWN = "CLUSTERDOWN The cluster is down";
    /// The cluster serves reads only.
    CLUSTERDOWN_READS = "CLUSTERDOWN The cluster is down and only accepts read commands";
    /// A command of the cluster outside of cluster mode.
    CLUSTER_DISABLED = "ERR This instance has cluster support disabled";
    /// RESTORE over an existing key.
    BUSYKEY = "BUSYKEY Target key name already exists.";
    /// A string that would grow past `proto-max-bulk-len`.
    STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    /// An increment that leaves 64 bits.
    OVERFLOW = "ERR increment or decrement would overflow";
    /// A bit offset outside the string size limit.
    BIT_OFFSET = "ERR bit offset is not an integer or out of range";
    /// A negative offset.
    OFFSET_OUT_OF_RANGE = "ERR offset is out of range";
}

/// `ERR wrong number of arguments for 'name' command`.
pub fn wrong_arity(name: &str) -> CommandError {
    CommandError::owned(format!("ERR wrong number of arguments for '{name}' command"))
}

/// `ERR invalid expire time in 'name' command`.
pub fn invalid_expire(name: &str) -> CommandError {
    CommandError::owned(format!("ERR invalid expire time in '{name}' command"))
}

/// `ERR unknown command 'x', with args beginning with: 'a' 'b' `, each word cut at 128 bytes, at most 128 bytes of them.
pub fn unknown_command(name: &[u8], args: impl Iterator<Item = impl AsRef<[u8]>>) -> CommandError {
    let mut shown = String::new();
    for arg in args {
        let len = bytes(&shown).count();
        if len >= 128 {
            break;
        }
        let room = 128 - len;
        let arg = arg.as_ref();
        shown.push_str(&format!("'{}' ", quoted(&arg[..arg.len().min(room)])));
    }
    let name = quoted(&name[..name.len().min(128)]);
    CommandError::owned(format!("ERR unknown command '{name}', with args beginning with: {shown}"))
}

/// `ERR unknown subcommand 'x'. Try NAME HELP.`
pub fn unknown_subcommand(name: &str, subcommand: &[u8]) -> CommandError {
    let shown = quoted(&subcommand[..subcommand.len().min(128)]);
    let name = name.to_ascii_uppercase();
    CommandError::owned(format!("ERR unknown subcommand '{shown}'. Try {name} HELP."))
}

/// Text of unknown encoding for the log: line ends become spaces, other bytes stay as they are where they are text. A zero byte
/// ends it. ([`quoted`] for error replies.)
pub fn printable(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_command_quotes_its_arguments() {
        let error = unknown_command(b"foo", [&b"a"[..], b"b\r\nc"].iter());
        assert_eq!(
            error.text(),
            "ERR unknown command 'foo', with args beginning with: 'a' 'b  c' "
        );
        assert_eq!(error.code(), "ERR");
        let error = unknown_command(b"a\0b", [&b"\0c"[..], b"d\0"].iter());
        assert_eq!(error.text(), "ERR unknown command 'a', with args beginning with: '' 'd' ");
        let error = unknown_subcommand("xinfo", b"a\0b");
        assert_eq!(error.text(), "ERR unknown subcommand 'a'. Try XINFO HELP.");
    }

    #[test]
    fn unknown_command_is_bounded() {
        let many = vec![vec![b'x'; 1000]; 50];
        assert!(unknown_command(&[b'y'; 5000], many.iter()).text().len() < 500);
    }
}
