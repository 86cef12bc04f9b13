//! The redis.conf of each node: made once, and changed by what a later `up` is told. What else is in it stays.

use std::fs;
use std::io;
use std::path::Path;

use super::site::{self, Site};
use crate::cli::server;
use crate::commands::table;
use crate::config::{self, CommandNames, Config, LoadError, Source, os_reason, quote};
use crate::resp::inline::split_words;

const CONFIG: &str = "redis.conf";
const HEAD: &str = "\
# A node of the cluster in the folder above, for 'highwater cluster up'. Port, folder and log file are set at each start;
# all other lines are yours, and 'highwater cluster up --SETTING VALUE' changes them in all nodes.
";

/// Where a node listens unless told otherwise.
pub(super) const LOOPBACK: &str = "127.0.0.1";

/// What a cluster on one host starts with, besides what each node has of its own.
const FIRST: &[(&str, &str)] = &[
    ("bind", LOOPBACK),
    ("appendonly", "yes"),
    ("appendfsync", "everysec"),
    // The log is all there is to load; snapshots beside it would only cost.
    ("save", "\"\""),
    ("cluster-node-timeout", "5000"),
    // No replica needs to wait for others that may come.
    ("repl-diskless-sync-delay", "0"),
];

/// Settings that each node has of its own, or that make it something else than a node of this cluster.
const RESERVED: &[(&str, &str)] = &[
    ("cluster-announce-bus-port", "each node has ports of its own"),
    ("cluster-announce-port", "each node has ports of its own"),
    ("cluster-config-file", "each node keeps it in its folder"),
    ("cluster-enabled", "it is a cluster"),
    ("cluster-port", "the bus of each node is at its port + 10000"),
    ("daemonize", "--detach puts the cluster into the background"),
    ("logfile", "each node has a node.log in its folder"),
    ("pidfile", "nodes are found without"),
    ("replicaof", "in a cluster roles are given by 'cluster replicate'"),
    ("supervised", "'highwater cluster up' looks after the nodes"),
    ("unixsocket", "a path serves one node only"),
];

/// A line of redis.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// As in redis.conf, never an older name.
    pub(super) name: &'static str,
    /// The words behind it, quoted where they need it.
    pub(super) value: String,
}

impl Setting {
    fn line(&self) -> String {
        format!("{} {}", self.name, self.value)
    }

    /// The value as CONFIG SET takes it, without quotes.
    pub(super) fn plain(&self) -> String {
        let words = split_words(self.value.as_bytes()).unwrap_or_default();
        let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        words.join(" ")
    }
}

/// The name of a setting as in redis.conf, whether the new or the old one is given.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let fits = |known: &str| known.eq_ignore_ascii_case(name);
    config::all().find(|row| fits(row.name) || row.alias.is_some_and(fits)).map(|row| row.name)
}

/// Reads settings from `--name value...` words, and checks them as a node would at its start.
///
/// # Errors
/// What a node would not start with, or not as one of several.
pub(super) fn settings(words: &[Vec<u8>]) -> Result<Vec<Setting>, String> {
    let mut settings: Vec<Setting> = Vec::new();
    for source in config::sources(words) {
        let Source::Arguments(text) = source else { continue };
        check(&text)?;
        for line in text.split(|byte| *byte == b'\n') {
            settings.extend(setting(line));
        }
    }
    for Setting { name, .. } in &settings {
        if let Some((_, why)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
            return Err(format!("--{name} cannot be set for all nodes: {why}"));
        }
    }
    // Replicas log in at their primaries.
    let password = settings.iter().rfind(|setting| setting.name == "requirepass").cloned();
    if let Some(Setting { value, .. }) = password
        && !settings.iter().any(|setting| setting.name == "masterauth")
    {
        settings.push(Setting { name: "masterauth", value });
    }
    Ok(settings)
}

/// A line as a setting; nothing for a blank line, a comment, or one that is none.
fn setting(line: &[u8]) -> Option<Setting> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let words = split_words(line)?;
    let (name, words) = words.split_first()?;
    let value = words.iter().map(|word| shortest(word)).collect::<Vec<_>>().join(" ");
    Some(Setting { name: known(std::str::from_utf8(name).ok()?)?, value })
}

/// A word without quotes where it can do without.
fn shortest(word: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:,%*@+=".contains(byte);
    match std::str::from_utf8(word) {
        Ok(text) if !word.is_empty() && word.iter().all(plain) => text.to_owned(),
        _ => quote(word),
    }
}

/// Checks lines of settings as a node does at its start.
fn check(text: &[u8]) -> Result<(), String> {
    let config = config::load(Config::default(), &[Source::Arguments(text.to_vec())])
        .map_err(|error| shown(&error))?;
    let is_command = |name: &str| table().find(name.as_bytes()).is_some();
    CommandNames::check(&config.rename_command, is_command)?;
    match server::missing(&config) {
        Some(missing) => Err(format!("{missing} is not part of this version")),
        None => Ok(()),
    }
}

fn shown(error: &LoadError) -> String {
    match error {
        LoadError::Line { line, reason, .. } => {
            let name = line.split_ascii_whitespace().next().unwrap_or_default();
            if config::is_secret(name) {
                return format!("the value of --{name} is not possible: {reason}");
            }
            format!("--{} is not possible: {reason}", line.replace('"', ""))
        }
        error => error.to_string(),
    }
}

/// The settings that a node has of its own.
fn own(site: &Site, port: u16) -> Vec<Setting> {
    let setting = |name, value: String| Setting { name, value };
    let folder = site.node(port);
    vec![
        setting("port", port.to_string()),
        setting("dir", quote(folder.to_string_lossy().as_bytes())),
        setting("cluster-enabled", "yes".to_owned()),
        setting("logfile", "node.log".to_owned()),
    ]
}

/// Writes the file of a node: the one it has with `settings` in it, or a first one, after the `model` if there is one.
///
/// # Errors
/// The file cannot be read or written, or is nothing that a node could start with.
pub(super) fn write(
    site: &Site,
    port: u16,
    model: Option<&[u8]>,
    settings: &[Setting],
) -> Result<(), String> {
    let path = site.config(port);
    site::create(&site.node(port))
        .map_err(|e| format!("cannot make {}: {}", site.node(port).display(), os_reason(&e)))?;
    let old = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => first(site, port, model),
        Err(error) => return Err(format!("{}: {}", path.display(), os_reason(&error))),
    };
    let text = merge(&merge(&old, &own(site, port)), settings);
    parse(&text, &path)?;
    if fs::read(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    site.replace_in_node(port, CONFIG, &text)
}

/// The first file of a node.
fn first(site: &Site, port: u16, model: Option<&[u8]>) -> Vec<u8> {
    if let Some(model) = model {
        let is_reserved = |name| RESERVED.iter().any(|(reserved, _)| *reserved == name);
        let lines = model.split_inclusive(|byte| *byte == b'\n');
        let kept = lines.filter(|line| !setting(line).is_some_and(|line| is_reserved(line.name)));
        return merge(&kept.collect::<Vec<_>>().concat(), &own(site, port));
    }
    let mut text = HEAD.to_owned();
    for setting in own(site, port) {
        text += &format!("{}\n", setting.line());
    }
    for (name, value) in FIRST {
        text += &format!("{name} {value}\n");
    }
    text.into_bytes()
}

/// Puts settings into the text of a file: in the place of lines that give them already, or at its end.
fn merge(old: &[u8], settings: &[Setting]) -> Vec<u8> {
    let mut text = Vec::with_capacity(old.len() + 256);
    let mut put: Vec<&str> = Vec::new();
    let write = |text: &mut Vec<u8>, name: &str| {
        for setting in settings.iter().filter(|setting| setting.name == name) {
            text.extend_from_slice(setting.line().as_bytes());
            text.push(b'\n');
        }
    };
    for line in old.split_inclusive(|byte| *byte == b'\n') {
        let name = setting(line).map(|setting| setting.name);
        match name.filter(|name| settings.iter().any(|setting| setting.name == *name)) {
            None => text.extend_from_slice(line),
            Some(name) if put.contains(&name) => {}
            Some(name) => {
                write(&mut text, name);
                put.push(name);
            }
        }
    }
    if text.last().is_some_and(|byte| *byte != b'\n') {
        text.push(b'\n');
    }
    for Setting { name, .. } in settings {
        if !put.contains(name) {
            write(&mut text, name);
            put.push(name);
        }
    }
    text
}

fn parse(text: &[u8], path: &Path) -> Result<Config, String> {
    config::load(Config::default(), &[Source::Arguments(text.to_vec())]).map_err(
        |error| match error {
            LoadError::Line { number, reason, line, .. } => {
                format!("{}, line {number}: {line}: {reason}", path.display())
            }
            error => error.to_string(),
        },
    )
}

/// The settings of a node, as its file has them.
///
/// # Errors
/// The file cannot be read, or is wrong.
pub(super) fn read(site: &Site, port: u16) -> Result<Config, String> {
    let path = site.config(port);
    let text =
        fs::read(&path).map_err(|error| format!("{}: {}", path.display(), os_reason(&error)))?;
    // The folder may have been moved since.
    parse(&merge(&text, &own(site, port)), &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn check_lines(text: &str, expected: &[&str]) {
        let lines: Vec<String> =
            settings(&words(text)).unwrap().iter().map(Setting::line).collect();
        assert_eq!(lines, expected, "{text}");
    }

    fn check_refused(text: &str, part: &str) {
        let error = settings(&words(text)).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }

    #[test]
    fn settings_are_read_as_a_node_reads_them() {
        check_lines(
            "--appendfsync always --maxmemory 1gb",
            &["appendfsync always", "maxmemory 1gb"],
        );
        check_lines("--save 60 1 --save 5 10", &["save 60 1", "save 5 10"]);
        check_lines("--slave-priority 3", &["replica-priority 3"]);
        check_lines("--save", &["save \"\""]);
    }

    #[test]
    fn replicas_know_the_password() {
        check_lines("--requirepass a#b", &["requirepass \"a#b\"", "masterauth \"a#b\""]);
        check_lines("--requirepass a --masterauth b", &["requirepass a", "masterauth b"]);
    }

    #[test]
    fn what_a_node_would_not_start_with_is_refused() {
        check_refused("--maxmemory much", "--maxmemory much is not possible: ");
        check_refused("--appendfsync sometimes", "always");
        check_refused("--nosuch 1", "Bad directive");
        check_refused("--aclfile users", "not part of this version");
        check_refused("--rename-command nosuch x", "No such command");
        check_refused("--cluster-port 1", "port + 10000");
    }

    #[test]
    fn settings_take_the_place_of_those_in_the_file() {
        let new = settings(&words("--maxmemory 2gb --save 60 1 --hz 20")).unwrap();
        let old = "# mine\nsave 1 1\nMaxMemory 1gb\nsave 2 2\nappendonly yes";
        let expected = "# mine\nsave 60 1\nmaxmemory 2gb\nappendonly yes\nhz 20\n";
        assert_eq!(String::from_utf8(merge(old.as_bytes(), &new)).unwrap(), expected);
    }

    #[test]
    fn file_is_made_once_and_kept_up() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::make(folder.path()).unwrap();
        write(&site, 7000, None, &settings(&words("--maxmemory 1gb")).unwrap()).unwrap();
        let config = read(&site, 7000).unwrap();
        assert!(config.appendonly && config.cluster_enabled && config.save.is_empty());
        assert_eq!((config.port, config.maxmemory), (7000, 1 << 30));
        assert_eq!(Path::new(&config.dir), site.node(7000));

        // A line by hand, and a folder that has moved, survive the next start.
        let text = fs::read_to_string(site.config(7000)).unwrap();
        let text = text.replace("appendfsync everysec", "appendfsync always");
        let text = text.replace(site.node(7000).to_str().unwrap(), "/nowhere");
        fs::write(site.config(7000), text + "hz 50\n").unwrap();
        write(&site, 7000, None, &[]).unwrap();
        let config = read(&site, 7000).unwrap();
        assert_eq!((config.hz, config.maxmemory), (50, 1 << 30));
        assert_eq!(config.appendfsync, config::choices::AppendFsync::Always);
    }

    #[test]
    fn new_node_has_the_settings_of_the_others_and_its_own_place() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::make(folder.path()).unwrap();
        write(&site, 7000, None, &settings(&words("--requirepass x --hz 30")).unwrap()).unwrap();
        let model = fs::read_to_string(site.config(7000)).unwrap() + "unixsocket /one\n";
        write(&site, 7001, Some(model.as_bytes()), &[]).unwrap();
        let config = read(&site, 7001).unwrap();
        assert_eq!((config.hz, config.requirepass.as_slice()), (30, b"x".as_slice()));
        assert_eq!((config.port, config.unixsocket.as_str()), (7001, ""));
        assert_eq!(Path::new(&config.dir), site.node(7001));
    }

    #[test]
    fn wrong_line_is_named_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::make(folder.path()).unwrap();
        write(&site, 7000, None, &[]).unwrap();
        let text = fs::read_to_string(site.config(7000)).unwrap();
        fs::write(site.config(7000), text + "nosuch 1\n").unwrap();
        let error = write(&site, 7000, None, &[]).unwrap_err();
        assert!(error.contains("7000/redis.conf, line ") && error.contains("nosuch"), "{error}");
    }
}
