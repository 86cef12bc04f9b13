//! What a call of the client asks for: the flags, each declared once with its help and its effect.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use super::output::Format;
use super::uri::Uri;
use crate::cli::wire::{Address, Credentials};
use crate::resp::inline::split_words;

/// What to do once connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// Run the command given, or those typed or piped in.
    Commands,
    /// Send what comes from standard input.
    Pipe,
    /// Sample INFO.
    Stat,
    /// Sample round trips.
    Latency,
    /// Sample round trips, a line per interval.
    LatencyHistory,
    /// Sample round trips, a coloured line per interval.
    LatencyDistribution,
    /// Measure for how long the system takes the processor away, for so many seconds.
    IntrinsicLatency(u64),
    /// The largest keys by elements.
    BigKeys,
    /// The largest keys by bytes, each estimated from so many elements (0: all; `None`: the server's choice).
    MemKeys(Option<u64>),
    /// The keys used most.
    HotKeys,
    /// All keys.
    Scan,
    /// Fetch a snapshot; `-` is standard output.
    Rdb(PathBuf),
    /// Print the stream of replication.
    Replica,
    /// Run a script.
    Eval(PathBuf),
    /// Manage a cluster, as these words say.
    Cluster(Vec<OsString>),
    /// Something that this client does not have.
    Absent(&'static str),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Which version of the protocol to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// What a connection begins with.
    Unsaid,
    /// Version 2, whatever the form of output prefers.
    Two,
    /// Version 3, which the form of output prefers; a server that does not know it is fine.
    PreferThree,
    /// Version 3.
    Three,
}

/// Everything that the arguments say.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) host: String,
    pub(super) port: u16,
    /// Takes precedence over host and port.
    pub(super) socket: Option<PathBuf>,
    pub(super) credentials: Credentials,
    /// The password stood among the arguments, where other users of the machine see it.
    pub(super) password_is_exposed: bool,
    pub(super) auth_warning: bool,
    pub(super) ask_password: bool,
    pub(super) database: i64,
    pub(super) protocol: Protocol,
    pub(super) format: Format,
    pub(super) element_delimiter: Vec<u8>,
    pub(super) reply_delimiter: Vec<u8>,
    /// Negative: for ever.
    pub(super) repeat: i64,
    pub(super) interval: Duration,
    /// Standard input is the last argument.
    pub(super) read_last: bool,
    /// Standard input takes the place of this argument.
    pub(super) read_tag: Option<Vec<u8>>,
    pub(super) quoted_input: bool,
    pub(super) cluster: bool,
    /// An error reply is told by the exit status.
    pub(super) error_status: bool,
    /// Says at a terminal what may help.
    pub(super) hints: bool,
    pub(super) show_pushes: bool,
    pub(super) pipe_timeout: Duration,
    pub(super) pattern: Option<Vec<u8>>,
    pub(super) scan_count: u64,
    pub(super) mode: Mode,
    /// The command, or the keys and arguments of a script.
    pub(super) words: Vec<Vec<u8>>,
}

/// A flag: its names, the word for its value, what it is for, what it does.
struct Flag {
    names: &'static [&'static str],
    value: &'static str,
    help: &'static str,
    set: fn(&mut Options, &[u8]) -> Result<(), String>,
}

const fn flag(
    names: &'static [&'static str],
    value: &'static str,
    help: &'static str,
    set: fn(&mut Options, &[u8]) -> Result<(), String>,
) -> Flag {
    Flag { names, value, help, set }
}

/// All flags but `--cluster`, which takes everything behind it, in the order of the help.
#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    flag(&["-h"], "HOST", "Where the server is (127.0.0.1)", |o, v| { o.host = text(v); Ok(()) }),
    flag(&["-p"], "PORT", "The port it listens on (6379)", set_port),
    flag(&["-s"], "PATH", "A socket of the file system instead", |o, v| { o.socket = Some(path(v)); Ok(()) }),
    flag(&["-u"], "URI", "All in one: redis://user:password@host:port/database", set_uri),
    flag(&["-a", "--pass"], "PASSWORD", "The password. The variable REDISCLI_AUTH keeps it out of sight of other users", set_password),
    flag(&["--user"], "NAME", "The user to log in as, with -a", |o, v| { o.credentials.user = Some(text(v)); Ok(()) }),
    flag(&["--askpass"], "", "Ask for the password, which is typed unseen", |o, _| { o.ask_password = true; Ok(()) }),
    flag(&["--no-auth-warning"], "", "Say nothing of passwords among the arguments", |o, _| { o.auth_warning = false; Ok(()) }),
    flag(&["-n"], "DATABASE", "The database to select", |o, v| { o.database = number(v); Ok(()) }),
    flag(&["-2"], "", "Speak version 2 of the protocol", |o, _| { o.protocol = Protocol::Two; Ok(()) }),
    flag(&["-3"], "", "Speak version 3 of the protocol", |o, _| { o.protocol = Protocol::Three; Ok(()) }),
    flag(&["-c"], "", "Follow the redirections of a cluster", |o, _| { o.cluster = true; Ok(()) }),
    flag(&["-e"], "", "Exit with 1, and write to standard error, when the reply is an error (the rule for 'highwater cli')", |o, _| { o.error_status = true; Ok(()) }),
    flag(&["-r"], "COUNT", "Run the command so many times; -1 is for ever", |o, v| { o.repeat = number(v); Ok(()) }),
    flag(&["-i"], "SECONDS", "Wait between runs (fractions are fine); also between the rounds of the sampling modes", set_interval),
    flag(&["-x"], "", "Standard input is the last argument of the command", |o, _| { o.read_last = true; Ok(()) }),
    flag(&["-X"], "TAG", "Standard input takes the place of the argument TAG", |o, v| { o.read_tag = Some(v.to_vec()); Ok(()) }),
    flag(&["--quoted-input"], "", "Arguments may be quoted as at the prompt: '\"a\\x00b\"'", |o, _| { o.quoted_input = true; Ok(()) }),
    flag(&["--raw"], "", "Print replies as they are (the rule where output is no terminal)", |o, _| { o.format = Format::Raw; Ok(()) }),
    flag(&["--no-raw"], "", "Print replies as for a terminal", |o, _| { o.format = Format::Standard; Ok(()) }),
    flag(&["-d"], "TEXT", "What stands between elements with --raw (a line feed)", |o, v| { o.element_delimiter = v.to_vec(); Ok(()) }),
    flag(&["-D"], "TEXT", "What stands behind each reply with --raw (a line feed)", |o, v| { o.reply_delimiter = v.to_vec(); Ok(()) }),
    flag(&["--csv"], "", "Print values with commas between", |o, _| { o.format = Format::Csv; Ok(()) }),
    flag(&["--json"], "", "Print JSON, of version 3 of the protocol unless -2 is given", |o, _| { set_json(o, Format::Json); Ok(()) }),
    flag(&["--quoted-json"], "", "The same in plain ASCII: strings are quoted as on a terminal", |o, _| { set_json(o, Format::QuotedJson); Ok(()) }),
    flag(&["--show-pushes"], "YES|NO", "Print what the server sends unasked (yes on a terminal)", set_show_pushes),
    flag(&["--verbose"], "", "Taken and ignored: there is no more to say", |_, _| Ok(())),
    flag(&["--eval"], "FILE", "Run a script: behind it the keys, a comma, the arguments", |o, v| { o.mode = Mode::Eval(path(v)); Ok(()) }),
    flag(&["--pipe"], "", "Send the requests of standard input; with -c each goes to the node that serves its keys", |o, _| { o.mode = Mode::Pipe; Ok(()) }),
    flag(&["--pipe-timeout"], "SECONDS", "Give up when no reply has come for so long after the last request (30; 0 is never)", set_pipe_timeout),
    flag(&["--scan"], "", "Print all keys", |o, _| { o.mode = Mode::Scan; Ok(()) }),
    flag(&["--pattern"], "GLOB", "Only such keys, with --scan, --bigkeys, --memkeys and --hotkeys", |o, v| { o.pattern = Some(v.to_vec()); Ok(()) }),
    flag(&["--quoted-pattern"], "GLOB", "The same, quoted as at the prompt", set_quoted_pattern),
    flag(&["--count"], "COUNT", "Keys per step of --scan", |o, v| { o.scan_count = number(v).try_into().unwrap_or(0); Ok(()) }),
    flag(&["--bigkeys"], "", "Look for keys with many elements", |o, _| { o.mode = Mode::BigKeys; Ok(()) }),
    flag(&["--memkeys"], "", "Look for keys that take much memory", |o, _| { o.mode = Mode::MemKeys(None); Ok(()) }),
    flag(&["--memkeys-samples"], "COUNT", "The same; so many elements of each key are looked at", |o, v| { o.mode = Mode::MemKeys(Some(number(v).try_into().unwrap_or(0))); Ok(()) }),
    flag(&["--hotkeys"], "", "Look for keys that are used much; maxmemory-policy has to be one of LFU", |o, _| { o.mode = Mode::HotKeys; Ok(()) }),
    flag(&["--stat"], "", "A line per interval: keys, memory, clients, requests", |o, _| { o.mode = Mode::Stat; Ok(()) }),
    flag(&["--latency"], "", "Sample round trips; where output is no terminal, for a second, or -i", |o, _| { o.mode = Mode::Latency; Ok(()) }),
    flag(&["--latency-history"], "", "A line of them each 15 seconds, or -i", |o, _| { o.mode = Mode::LatencyHistory; Ok(()) }),
    flag(&["--latency-dist"], "", "Their distribution in colours each second, or -i", |o, _| { o.mode = Mode::LatencyDistribution; Ok(()) }),
    flag(&["--intrinsic-latency"], "SECONDS", "Measure the pauses of this machine itself, without a server", |o, v| { o.mode = Mode::IntrinsicLatency(number(v).try_into().unwrap_or(0)); Ok(()) }),
    flag(&["--rdb"], "FILE", "Fetch a snapshot of the server into FILE; - is standard output", |o, v| { o.mode = Mode::Rdb(path(v)); Ok(()) }),
    flag(&["--replica", "--slave"], "", "Follow as a replica does, and print what comes", |o, _| { o.mode = Mode::Replica; Ok(()) }),
    flag(&["--help"], "", "Print this", |o, _| { o.mode = Mode::Help; Ok(()) }),
    flag(&["-v", "--version"], "", "Print the version", |o, _| { o.mode = Mode::Version; Ok(()) }),
];

/// Flags of the stock client that this one knows only to say that it cannot. The second: whether a value follows.
const ABSENT: &[(&str, bool, &str)] = &[
    ("--tls", false, "TLS is not supported"),
    ("--sni", true, "TLS is not supported"),
    ("--cacert", true, "TLS is not supported"),
    ("--cacertdir", true, "TLS is not supported"),
    ("--insecure", false, "TLS is not supported"),
    ("--cert", true, "TLS is not supported"),
    ("--key", true, "TLS is not supported"),
    ("--tls-ciphers", true, "TLS is not supported"),
    ("--tls-ciphersuites", true, "TLS is not supported"),
    ("--lru-test", true, "--lru-test is not supported"),
    (
        "--functions-rdb",
        true,
        "--functions-rdb is not supported: servers of this kind have no functions",
    ),
    ("--ldb", false, "the debugger of scripts is not supported"),
    ("--ldb-sync-mode", false, "the debugger of scripts is not supported"),
];

/// Options of the cluster manager that are followed by a value.
const CLUSTER_VALUES: &[&str] = &[
    "--cluster-replicas",
    "--cluster-from",
    "--cluster-to",
    "--cluster-slots",
    "--cluster-timeout",
    "--cluster-pipeline",
    "--cluster-threshold",
    "--cluster-master-id",
    "--cluster-from-user",
    "--cluster-from-pass",
    "--cluster-weight",
];

impl Options {
    /// Without any arguments.
    pub(super) fn new() -> Self {
        // FAKETTY is stock's, for its tests.
        let is_terminal = std::io::stdout().is_terminal() || std::env::var_os("FAKETTY").is_some();
        let password = std::env::var("REDISCLI_AUTH").ok().filter(|password| !password.is_empty());
        Self {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            socket: None,
            credentials: Credentials { user: None, password },
            password_is_exposed: false,
            auth_warning: true,
            ask_password: false,
            database: 0,
            protocol: Protocol::Unsaid,
            format: if is_terminal { Format::Standard } else { Format::Raw },
            element_delimiter: b"\n".to_vec(),
            reply_delimiter: b"\n".to_vec(),
            repeat: 1,
            interval: Duration::ZERO,
            read_last: false,
            read_tag: None,
            quoted_input: false,
            cluster: false,
            error_status: false,
            hints: false,
            show_pushes: is_terminal,
            pipe_timeout: Duration::from_secs(30),
            pattern: None,
            scan_count: 10,
            mode: Mode::Commands,
            words: Vec::new(),
        }
    }

    /// Reads the arguments behind the name of the program.
    ///
    /// # Errors
    /// What to tell the user.
    pub(super) fn parse(arguments: &[OsString]) -> Result<Self, String> {
        let mut options = Self::new();
        let mut cluster_words = Vec::new();
        let mut rest = arguments;
        while let Some((word, behind)) = rest.split_first() {
            let name = word.to_string_lossy();
            if name == "--cluster" && !behind.is_empty() {
                let mut words = options.take_cluster(behind)?;
                words.append(&mut cluster_words);
                options.mode = Mode::Cluster(words);
                return Ok(options);
            }
            if name.starts_with("--cluster-") {
                let count = 1 + usize::from(CLUSTER_VALUES.contains(&&*name) && !behind.is_empty());
                cluster_words.extend_from_slice(&rest[..count]);
                rest = &rest[count..];
            } else if let Some(taken) = options.take_flag(&name, behind)? {
                rest = &behind[taken..];
            } else if word.as_bytes().first() == Some(&b'-') {
                return Err(unknown(&name));
            } else {
                break;
            }
        }
        options.words = rest.iter().map(|word| word.clone().into_vec()).collect();
        options.check()?;
        Ok(options)
    }

    /// Applies a flag. How many of the words behind it are its own; `None`: it is no flag.
    fn take_flag(&mut self, name: &str, behind: &[OsString]) -> Result<Option<usize>, String> {
        if let Some(absent) = ABSENT.iter().find(|absent| absent.0 == name) {
            self.mode = Mode::Absent(absent.2);
            return Ok(Some(usize::from(absent.1).min(behind.len())));
        }
        let Some(flag) = FLAGS.iter().find(|flag| flag.names.contains(&name)) else {
            return Ok(None);
        };
        if flag.value.is_empty() {
            (flag.set)(self, b"")?;
            return Ok(Some(0));
        }
        match behind.first() {
            Some(value) => {
                (flag.set)(self, value.as_bytes())?;
                Ok(Some(1))
            }
            // Alone at the end it asks for help.
            None if name == "-h" => {
                self.mode = Mode::Help;
                Ok(Some(0))
            }
            None => Err(unknown(name)),
        }
    }

    /// Takes who is asking out of the words for the cluster manager, which gets the others.
    fn take_cluster(&mut self, words: &[OsString]) -> Result<Vec<OsString>, String> {
        const OURS: &[&str] = &["-a", "--pass", "--user", "--askpass", "--no-auth-warning"];
        let mut left = Vec::new();
        let mut rest = words;
        while let Some((word, behind)) = rest.split_first() {
            rest = behind;
            match word.to_str() {
                Some(name) if OURS.contains(&name) => {
                    let taken = self.take_flag(name, behind)?.unwrap_or(0);
                    rest = &behind[taken..];
                }
                _ => left.push(word.clone()),
            }
        }
        Ok(left)
    }

    fn check(&self) -> Result<(), String> {
        if self.read_last && self.read_tag.is_some() {
            return Err("Options -x and -X are mutually exclusive.".to_owned());
        }
        Ok(())
    }

    /// Where the server is.
    pub(super) fn address(&self) -> Address {
        match &self.socket {
            Some(path) => Address::Unix(path.clone()),
            None => Address::Tcp(self.host.clone(), self.port),
        }
    }
}

/// The help: how to call the client, and all flags.
pub(super) fn usage(name: &str) -> String {
    let mut text = format!(
        "Usage: {name} [OPTIONS] [COMMAND [ARGUMENT]...]\n\nRuns a command on a server and prints the reply. Without a \
         command there is a prompt, or commands are read\nfrom standard input, one per line.\n\n"
    );
    for flag in FLAGS {
        let names = flag.names.join(", ");
        let left = format!("{names} {}", flag.value);
        text += &format!("  {:<27} {}\n", left.trim_end(), flag.help);
    }
    text +=
        "  --cluster COMMAND ...       Manage a cluster; '--cluster help' lists what there is\n";
    text += "\nTLS, --lru-test, --functions-rdb and --ldb are not supported.\n";
    text
}

fn unknown(name: &str) -> String {
    format!("Unrecognized option or bad number of args for: '{name}'")
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

fn path(value: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(value))
}

/// A number as stock reads it: what does not begin with one is zero.
fn number(value: &[u8]) -> i64 {
    let text = text(value);
    let text = text.trim_start();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let length = digits.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    text[..text.len() - digits.len() + length].parse().unwrap_or(0)
}

fn set_port(options: &mut Options, value: &[u8]) -> Result<(), String> {
    options.port = text(value).parse().map_err(|_| "Invalid server port.".to_owned())?;
    Ok(())
}

fn set_uri(options: &mut Options, value: &[u8]) -> Result<(), String> {
    let uri = Uri::parse(&text(value))?;
    options.host = uri.host.unwrap_or_else(|| options.host.clone());
    options.port = uri.port.unwrap_or(options.port);
    options.database = uri.database.unwrap_or(options.database);
    if let Some(password) = uri.password {
        options.credentials = Credentials { user: uri.user, password: Some(password) };
        options.password_is_exposed = true;
    }
    Ok(())
}

fn set_password(options: &mut Options, value: &[u8]) -> Result<(), String> {
    options.credentials.password = Some(text(value));
    options.password_is_exposed = true;
    Ok(())
}

fn set_interval(options: &mut Options, value: &[u8]) -> Result<(), String> {
    let seconds = text(value).trim().parse::<f64>().unwrap_or(0.0);
    options.interval = Duration::try_from_secs_f64(seconds)
        .map_err(|_| "The seconds of -i cannot be negative.".to_owned())?;
    Ok(())
}

fn set_pipe_timeout(options: &mut Options, value: &[u8]) -> Result<(), String> {
    options.pipe_timeout = Duration::from_secs(number(value).try_into().unwrap_or(0));
    Ok(())
}

fn set_json(options: &mut Options, format: Format) {
    options.format = format;
    if options.protocol == Protocol::Unsaid {
        options.protocol = Protocol::PreferThree;
    }
}

fn set_show_pushes(options: &mut Options, value: &[u8]) -> Result<(), String> {
    match value.first() {
        Some(b'y' | b'Y') => options.show_pushes = true,
        Some(b'n' | b'N') => options.show_pushes = false,
        _ => {
            return Err(format!(
                "Unknown --show-pushes value '{}' (valid: '[y]es', '[n]o')",
                text(value)
            ));
        }
    }
    Ok(())
}

fn set_quoted_pattern(options: &mut Options, value: &[u8]) -> Result<(), String> {
    options.pattern = Some(unquoted(value)?);
    Ok(())
}

/// Reads a word that may be quoted as at the prompt.
///
/// # Errors
/// The quotes do not match, or there is more than one word.
pub(super) fn unquoted(value: &[u8]) -> Result<Vec<u8>, String> {
    match split_words(value).as_deref() {
        Some([word]) => Ok(word.clone()),
        _ => Err("Invalid quoted string".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, String> {
        let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        Options::parse(&words)
    }

    #[test]
    fn flags_end_where_the_command_begins() {
        let options = parse("-h h -p 7 -n 3 -c set -x --foo").unwrap();
        assert_eq!(options.address(), Address::Tcp("h".into(), 7));
        assert_eq!(options.database, 3);
        assert!(options.cluster && !options.read_last);
        assert_eq!(options.words, [b"set".to_vec(), b"-x".to_vec(), b"--foo".to_vec()]);
    }

    #[test]
    fn mistakes_are_told() {
        let wrong = |words: &str| parse(words).unwrap_err();
        assert_eq!(wrong("--foo"), "Unrecognized option or bad number of args for: '--foo'");
        assert_eq!(wrong("-p"), "Unrecognized option or bad number of args for: '-p'");
        assert_eq!(wrong("-x -X tag set a"), "Options -x and -X are mutually exclusive.");
        assert_eq!(parse("-h").unwrap().mode, Mode::Help);
    }

    #[test]
    fn manager_gets_its_words_without_the_password() {
        let options =
            parse("--cluster-yes --user u --cluster create -a p h:1 h:2 --cluster-replicas 1")
                .unwrap();
        let words = ["create", "h:1", "h:2", "--cluster-replicas", "1", "--cluster-yes"];
        assert_eq!(options.mode, Mode::Cluster(words.map(OsString::from).to_vec()));
        let expected = Credentials { user: Some("u".into()), password: Some("p".into()) };
        assert_eq!(options.credentials, expected);
    }

    #[test]
    fn json_asks_for_version_three_unless_told_otherwise() {
        assert_eq!(parse("--json get").unwrap().protocol, Protocol::PreferThree);
        assert_eq!(parse("-2 --json get").unwrap().protocol, Protocol::Two);
        assert_eq!(parse("--json -2 get").unwrap().protocol, Protocol::Two);
    }

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        for (value, expected) in [("12", 12), ("-1", -1), ("7x", 7), ("x", 0), ("", 0)] {
            assert_eq!(number(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn every_flag_has_its_help() {
        let help = usage("redis-cli");
        for flag in FLAGS {
            assert!(help.contains(flag.help) && !flag.help.is_empty(), "{:?}", flag.names);
            assert!(flag.names.iter().all(|name| help.contains(name)));
        }
        assert!(help.is_ascii());
    }
}
