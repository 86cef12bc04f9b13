//! Values that are more than a number or a word, each with the form in which it is read and printed.

use super::units;

/// One rule of `save`: a snapshot after `seconds` if at least `changes` keys changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveRule {
    /// Seconds since the last snapshot, at least 1.
    pub seconds: u64,
    /// Changes since the last snapshot.
    pub changes: u64,
}

/// Reads pairs of seconds and changes; one empty word stands for none.
pub(super) fn parse_save(words: &[String]) -> Result<Vec<SaveRule>, String> {
    const WRONG: &str = "Invalid save parameters";
    if let [only] = words
        && only.is_empty()
    {
        return Ok(Vec::new());
    }
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err(WRONG.into());
    }
    let rule = |pair: &[String]| {
        let seconds: u64 = pair[0].parse().ok().filter(|&seconds| seconds >= 1)?;
        let changes: u64 = pair[1].parse().ok()?;
        Some(SaveRule { seconds, changes })
    };
    words.chunks(2).map(|pair| rule(pair).ok_or_else(|| WRONG.to_owned())).collect()
}

pub(super) fn print_save(rules: &[SaveRule]) -> String {
    let pairs: Vec<String> =
        rules.iter().map(|rule| format!("{} {}", rule.seconds, rule.changes)).collect();
    pairs.join(" ")
}

/// How much output may wait for one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which the client is closed at once; 0 for no limit.
    pub hard: u64,
    /// Bytes that may not be exceeded for longer than `soft_seconds`; 0 for no limit.
    pub soft: u64,
    /// Seconds.
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit`: one limit per class of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    /// Ordinary clients, MONITOR included.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Clients subscribed to a channel.
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    /// Replaces the classes that `words` name, four words each; one empty word changes nothing.
    pub(super) fn update(&mut self, words: &[String]) -> Result<(), String> {
        if let [only] = words
            && only.is_empty()
        {
            return Ok(());
        }
        if words.is_empty() || !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        let mut next = *self;
        for group in words.chunks(4) {
            let class = match group[0].to_ascii_lowercase().as_str() {
                "normal" => &mut next.normal,
                "slave" | "replica" => &mut next.replica,
                "pubsub" => &mut next.pubsub,
                _ => {
                    return Err(
                        "Invalid client class specified in buffer limit configuration.".into()
                    );
                }
            };
            let limit = || {
                Some(OutputLimit {
                    hard: units::memory(&group[1])?,
                    soft: units::memory(&group[2])?,
                    soft_seconds: group[3].parse().ok()?,
                })
            };
            *class = limit().ok_or(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            )?;
        }
        *self = next;
        Ok(())
    }

    /// Name and limit of each class, in the order in which they are printed. Clients match on `slave`.
    pub(super) const fn classes(&self) -> [(&'static str, OutputLimit); 3] {
        [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)]
    }

    pub(super) fn print(&self) -> String {
        let class = |(name, limit): (&str, OutputLimit)| {
            format!("{name} {} {} {}", limit.hard, limit.soft, limit.soft_seconds)
        };
        self.classes().map(class).join(" ")
    }
}

/// Bytes, or a share of `maxmemory`: `maxmemory-clients`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryShare {
    /// Bytes; 0 for no limit.
    Bytes(u64),
    /// Percent of `maxmemory`, 1 to 100.
    Percent(u8),
}

impl Default for MemoryShare {
    fn default() -> Self {
        Self::Bytes(0)
    }
}

impl MemoryShare {
    /// Bytes this stands for under a `maxmemory`; 0 for no limit.
    #[must_use]
    pub fn bytes(self, maxmemory: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            // Divided first: the product could overflow, and a few bytes do not matter.
            Self::Percent(percent) => maxmemory / 100 * u64::from(percent),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const WRONG: &str = "argument must be a memory or percent value";
        let Some(number) = text.strip_suffix('%') else {
            return units::memory(text).map(Self::Bytes).ok_or_else(|| WRONG.to_owned());
        };
        let percent: u64 = number.parse().map_err(|_| WRONG.to_owned())?;
        match u8::try_from(percent) {
            Ok(0) => Ok(Self::Bytes(0)),
            Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
            _ => Err("percentage argument must be less or equal to 100".into()),
        }
    }

    pub(super) fn print(self) -> String {
        match self {
            Self::Bytes(bytes) => bytes.to_string(),
            Self::Percent(percent) => format!("{percent}%"),
        }
    }
}

/// Where this node's primary listens: `replicaof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryAddress {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl PrimaryAddress {
    /// Reads `host port`, or `no one`.
    pub(super) fn parse(words: &[String]) -> Result<Option<Self>, String> {
        let [host, port] = words else { return Err("wrong number of arguments".into()) };
        if host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one") {
            return Ok(None);
        }
        let port = port.parse().map_err(|_| "Invalid master port".to_owned())?;
        Ok(Some(Self { host: host.clone(), port }))
    }
}

/// One `rename-command`: a command is reached by another name, or by none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenamedCommand {
    /// The command's own name.
    pub from: String,
    /// Its new name; empty takes it away.
    pub to: String,
}

/// A line kept as its words, for a part of the server that reads it later (`user`).
pub type UserLine = Vec<String>;

/// What a signal to stop does: `shutdown-on-sigint`, `shutdown-on-sigterm`. All unset is the default: save if there are
/// `save` rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent words of the setting")]
pub struct ShutdownFlags {
    /// A snapshot is written whatever the `save` rules.
    pub save: bool,
    /// No snapshot is written.
    pub nosave: bool,
    /// Lagging replicas are not waited for.
    pub now: bool,
    /// Errors do not keep the process.
    pub force: bool,
}

impl ShutdownFlags {
    pub(super) fn parse(words: &[String]) -> Result<Self, String> {
        const WRONG: &str =
            "argument(s) must be one of the following: default, save, nosave, now, force";
        if words.is_empty() {
            return Err(WRONG.into());
        }
        let mut flags = Self::default();
        for word in words {
            match word.to_ascii_lowercase().as_str() {
                "default" => {}
                "save" => flags.save = true,
                "nosave" => flags.nosave = true,
                "now" => flags.now = true,
                "force" => flags.force = true,
                _ => return Err(WRONG.into()),
            }
        }
        if flags.save && flags.nosave {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
        }
        Ok(flags)
    }

    pub(super) fn print(self) -> String {
        let words = [
            (self.save, "save"),
            (self.nosave, "nosave"),
            (self.now, "now"),
            (self.force, "force"),
        ];
        let set: Vec<&str> = words.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
        if set.is_empty() { "default".to_owned() } else { set.join(" ") }
    }
}

/// The classes of `notify-keyspace-events`, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(pub u32);

impl KeyspaceEvents {
    /// `K`: events are published by key.
    pub const KEYSPACE: u32 = 1;
    /// `E`: events are published by event.
    pub const KEYEVENT: u32 = 1 << 1;
    /// `g`: commands of no type, as DEL.
    pub const GENERIC: u32 = 1 << 2;
    /// `$`: strings.
    pub const STRING: u32 = 1 << 3;
    /// `l`: lists.
    pub const LIST: u32 = 1 << 4;
    /// `s`: sets.
    pub const SET: u32 = 1 << 5;
    /// `h`: hashes.
    pub const HASH: u32 = 1 << 6;
    /// `z`: sorted sets.
    pub const ZSET: u32 = 1 << 7;
    /// `x`: a key expired.
    pub const EXPIRED: u32 = 1 << 8;
    /// `e`: a key was evicted.
    pub const EVICTED: u32 = 1 << 9;
    /// `t`: streams.
    pub const STREAM: u32 = 1 << 10;
    /// `m`: a key was looked for and missing.
    pub const KEY_MISS: u32 = 1 << 11;
    /// `d`: types of modules.
    pub const MODULE: u32 = 1 << 13;
    /// `n`: a key is new.
    pub const NEW: u32 = 1 << 14;
    /// `A`: all classes but `m` and `n`.
    pub const ALL: u32 = Self::GENERIC
        | Self::STRING
        | Self::LIST
        | Self::SET
        | Self::HASH
        | Self::ZSET
        | Self::EXPIRED
        | Self::EVICTED
        | Self::STREAM
        | Self::MODULE;

    /// Letters of single classes, in the order in which they are printed.
    const LETTERS: [(char, u32); 14] = [
        ('g', Self::GENERIC),
        ('$', Self::STRING),
        ('l', Self::LIST),
        ('s', Self::SET),
        ('h', Self::HASH),
        ('z', Self::ZSET),
        ('x', Self::EXPIRED),
        ('e', Self::EVICTED),
        ('t', Self::STREAM),
        ('d', Self::MODULE),
        ('n', Self::NEW),
        ('K', Self::KEYSPACE),
        ('E', Self::KEYEVENT),
        ('m', Self::KEY_MISS),
    ];

    /// Whether any class of `mask` is set.
    #[must_use]
    pub const fn has(self, mask: u32) -> bool {
        self.0 & mask != 0
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bits = |letter: char| match letter {
            'A' => Some(Self::ALL),
            _ => Self::LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, bit)| *bit),
        };
        let all = text.chars().try_fold(0, |mask, letter| Some(mask | bits(letter)?));
        all.map(Self)
            .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned())
    }

    pub(super) fn print(self) -> String {
        let mut text = String::new();
        let mut rest = self.0;
        if rest & Self::ALL == Self::ALL {
            text.push('A');
            rest &= !Self::ALL;
        }
        text.extend(Self::LETTERS.iter().filter(|(_, bit)| rest & bit != 0).map(|(c, _)| *c));
        text
    }
}

/// Reads the three scores of `oom-score-adj-values`.
pub(super) fn parse_scores(words: &[String]) -> Result<[i32; 3], String> {
    let [a, b, c] = words else { return Err("wrong number of arguments".into()) };
    let score = |word: &String| {
        word.parse::<i32>().ok().filter(|score| (-2000..=2000).contains(score)).ok_or_else(|| {
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.".to_owned()
        })
    };
    Ok([score(a)?, score(b)?, score(c)?])
}

/// Reads percentiles from 0 to 100; one empty word stands for none.
pub(super) fn parse_percentiles(words: &[String]) -> Result<Vec<f64>, String> {
    if let [only] = words
        && only.is_empty()
    {
        return Ok(Vec::new());
    }
    let percentile = |word: &String| {
        let value: f64 = word
            .parse()
            .ok()
            .filter(|value: &f64| !value.is_nan())
            .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if (0.0..=100.0).contains(&value) {
            return Ok(value);
        }
        Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
            .to_owned())
    };
    words.iter().map(percentile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn save_rules_come_in_pairs() {
        assert_eq!(print_save(&parse_save(&words("3600 1 300 100")).unwrap()), "3600 1 300 100");
        assert_eq!(parse_save(&words("")).unwrap(), []);
        for wrong in ["3600", "0 1", "1 -1", "a b", "1 2 3"] {
            assert!(parse_save(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn output_limits_change_only_the_named_classes() {
        let mut limits = OutputLimits::default();
        limits.update(&words("replica 1mb 2mb 3")).unwrap();
        limits.update(&words("normal 5 5 5 pubsub 1 1 1")).unwrap();
        assert_eq!(limits.print(), "normal 5 5 5 slave 1048576 2097152 3 pubsub 1 1 1");
        for wrong in ["normal 1 2", "master 1 2 3", "normal 1 2x 3", "normal 1 2 -3"] {
            assert!(limits.update(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn share_of_memory_is_bytes_or_percent() {
        let check = |text: &str, expected: &str| {
            let printed = MemoryShare::parse(text).map_or_else(|error| error, MemoryShare::print);
            assert_eq!(printed, expected, "{text}");
        };
        check("3mb", "3145728");
        check("50%", "50%");
        check("0%", "0");
        check("200%", "percentage argument must be less or equal to 100");
        check("-5%", "argument must be a memory or percent value");
        check("%", "argument must be a memory or percent value");
        assert_eq!(MemoryShare::Percent(50).bytes(u64::MAX), u64::MAX / 100 * 50);
    }

    #[test]
    fn event_classes_print_in_their_own_order() {
        let check = |text: &str, expected: &str| {
            assert_eq!(KeyspaceEvents::parse(text).unwrap().print(), expected, "{text}");
        };
        check("KEA", "AKE");
        check("KEg$", "g$KE");
        check("Kgn", "gnK");
        check("KEmn", "nKEm");
        check("", "");
        assert!(KeyspaceEvents::parse("q").is_err());
    }

    #[test]
    fn shutdown_words_exclude_each_other() {
        assert_eq!(ShutdownFlags::parse(&words("default save")).unwrap().print(), "save");
        assert_eq!(ShutdownFlags::default().print(), "default");
        assert!(ShutdownFlags::parse(&words("save nosave")).is_err());
        assert!(ShutdownFlags::parse(&words("")).is_err());
    }

    #[test]
    fn percentiles_lie_between_0_and_100() {
        assert_eq!(parse_percentiles(&words("50 99.99 100")).unwrap(), [50.0, 99.99, 100.0]);
        assert_eq!(parse_percentiles(&words("")).unwrap(), [0.0; 0]);
        for wrong in ["-1", "101", "nan", "x"] {
            assert!(parse_percentiles(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn primary_address_may_be_none() {
        assert_eq!(PrimaryAddress::parse(&words("no one")).unwrap(), None);
        let address = PrimaryAddress::parse(&words("db1 6379")).unwrap().unwrap();
        assert_eq!((address.host.as_str(), address.port), ("db1", 6379));
        assert!(PrimaryAddress::parse(&words("db1 99999")).is_err());
    }
}
