//! The cluster manager: `highwater cluster ...`, and the same as `redis-cli --cluster ...`.
//!
//! Its commands, options, questions, texts and exit codes are those of redis-cli 7.0, so that scripts go on as they are;
//! `docs/manager.md` says what differs. What is planned (`layout`, `plan`, `balance`) knows nothing of connections.

mod add_node;
mod address;
mod atomic;
mod backup;
mod call;
mod check;
mod create;
mod del_node;
mod fix_coverage;
mod fix_open;
mod fix_owners;
mod help;
mod import;
mod job;
mod join;
mod layout;
mod load;
mod moving;
mod nodes;
mod options;
mod owner;
mod password;
mod peer;
mod plan;
mod progress;
mod rebalance;
mod reshard;
mod resume;
mod screen;
mod show;
#[cfg(test)]
mod testing;
mod transfer;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use super::local;
use super::wire::Credentials;
use check::How;
use nodes::Cluster;
use options::{Line, Misunderstood, Options};

pub(in crate::cli) use screen::{Done, Screen, Stop};

/// What is said of a word that is no address.
const INVALID_ADDRESS: &str = "[ERR] Invalid arguments: you need to pass either a valid address (ie. 120.0.0.1:7000) or \
     space separated IP and port (ie. 120.0.0.1 7000)\n";

const WRONG_NUMBER: &str = "[ERR] Wrong number of arguments for specified --cluster sub command\n";

const PASSWORD_WARNING: &str = "Warning: Using a password with '-a' or '-u' option on the command line interface may \
     not be safe.\n";

/// Runs the command that `words` name: those behind `--cluster`, or behind `highwater cluster`.
///
/// `credentials` are those of the program around it; what `words` say goes before them.
pub(in crate::cli) fn run(words: Vec<OsString>, credentials: Credentials, name: &str) -> ExitCode {
    let is_own = name.ends_with("highwater cluster");
    if is_own && words.first().is_some_and(|word| local::WORDS.iter().any(|local| word == local)) {
        return local::run(words);
    }
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut input = io::stdin().lock();
    let mut screen = Screen::new(&mut out, &mut err, &mut input);
    let done = understood(&mut screen, &words, credentials, is_own);
    if let Err(stop) = &done
        && !stop.text().is_empty()
    {
        screen.error(stop.text());
    }
    if is_own && done.is_err() {
        screen.fail();
    }
    screen.finish();
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads the words, and runs the command.
fn understood(
    screen: &mut Screen<'_>,
    words: &[OsString],
    around: Credentials,
    is_own: bool,
) -> Done {
    if is_own && words.iter().any(|word| word == "--help" || word == "-h") {
        screen.say(&help::text(is_own));
        return Ok(());
    }
    let mut line = match options::parse(words) {
        Ok(line) => line,
        Err(Misunderstood::Option(word)) => {
            screen.complain(&format!("Unrecognized option or bad number of args for: '{word}'\n"));
            return Err(Stop::said());
        }
        Err(Misunderstood::WeightsTwice) => {
            screen.complain(
                "WARNING: you cannot use --cluster-weight more than once.\nYou can set more weights by adding them as a \
                 space-separated list, ie:\n--cluster-weight n1=w n2=w\n",
            );
            return Err(Stop::said());
        }
    };
    let set = |name: &str| std::env::var(name).ok();
    line.options.yes |= set("REDISCLI_CLUSTER_YES").is_some_and(|value| value == "1");
    line.options.resumes |= is_own;
    line.options.is_own = is_own;
    // Any terminal that is called an xterm, whether lines go to it or to a file: so does stock.
    let has_colours = set("TERM").is_some_and(|term| term.contains("xterm"));
    screen.adorn(has_colours && !line.options.json, line.options.is_verbose);
    if line.options.json {
        screen.for_machines();
    }
    if line.warns_of_password {
        screen.complain(PASSWORD_WARNING);
    }
    let mut credentials = around;
    if line.credentials.user.is_some() {
        credentials.user = line.credentials.user.take();
    }
    if line.asks_password {
        credentials.password = password::ask(screen, "Please input password: ");
    } else if line.credentials.password.is_some() {
        credentials.password = line.credentials.password.take();
    } else if is_own && credentials.password.is_none() {
        credentials.password = set("REDISCLI_AUTH");
    }
    dispatch(screen, &line, &credentials, is_own)
}

fn dispatch(screen: &mut Screen<'_>, line: &Line, credentials: &Credentials, is_own: bool) -> Done {
    let Some((name, words)) = line.words.split_first() else {
        screen.say(&help::text(is_own));
        return Err(Stop::said());
    };
    let Some(command) = help::find(name) else {
        screen.complain(&match is_own {
            true => format!(
                "'{name}' is no command of highwater cluster: 'highwater cluster help' lists them\n"
            ),
            false => "Unknown --cluster subcommand\n".to_owned(),
        });
        return Err(Stop::said());
    };
    if words.len() < command.least {
        screen.complain(WRONG_NUMBER);
        return Err(Stop::said());
    }
    let options = &line.options;
    match command.name {
        "help" => {
            screen.say(&help::text(is_own));
            // Stock ends its help as it ends a failure.
            if is_own { Ok(()) } else { Err(Stop::said()) }
        }
        "create" => {
            if words.iter().any(|word| address::parse(word).is_none()) {
                screen.complain(WRONG_NUMBER);
                return Err(Stop::said());
            }
            create::run(screen, words, credentials, options)
        }
        "add-node" => add_node::run(screen, &words[0], &words[1], credentials, options),
        _ => on_cluster(screen, command.name, words, credentials, options),
    }
}

/// Commands that begin by asking a cluster what it is.
fn on_cluster(
    screen: &mut Screen<'_>,
    command: &str,
    words: &[String],
    credentials: &Credentials,
    options: &Options,
) -> Done {
    // What stands behind the address belongs to the command, where it has anything behind it.
    let has_more = ["del-node", "call", "set-timeout", "import", "backup"].contains(&command);
    let (entry, more) = words.split_at(if has_more { 1 } else { words.len() });
    let Some((host, port)) = address::entry(entry) else {
        screen.complain(INVALID_ADDRESS);
        return Err(Stop::said());
    };
    let load = |screen: &mut Screen<'_>| load::cluster(screen, &host, port, credentials);
    let well = |is_well: bool| if is_well { Ok(()) } else { Err(Stop::said()) };
    match command {
        "check" | "fix" => {
            let mut cluster = load(screen)?;
            show::summary(screen, &mut cluster);
            let how = How { fixes: command == "fix", ..How::default() };
            well(check::run(screen, &mut cluster, options, how))
        }
        "info" => {
            let mut cluster = load(screen)?;
            show::summary(screen, &mut cluster);
            show::for_machines(screen, &cluster);
            Ok(())
        }
        "call" => {
            let mut cluster = load(screen)?;
            call::run(screen, &mut cluster, more, options);
            Ok(())
        }
        "set-timeout" => {
            let timeout_ms = options::leading_number(&more[0]);
            if timeout_ms < call::TIMEOUT_MS_MIN {
                screen.complain(
                    "Setting a node timeout of less than 100 milliseconds is a bad idea.\n",
                );
                return Err(Stop::said());
            }
            let mut cluster = load(screen)?;
            call::set_timeout(screen, &mut cluster, timeout_ms)
        }
        "del-node" => {
            let text = format!(">>> Removing node {} from cluster {host}:{port}\n", more[0]);
            screen.info(&text);
            let mut cluster: Cluster = load(screen)?;
            del_node::run(screen, &mut cluster, &more[0])
        }
        "reshard" => {
            let mut cluster = load(screen)?;
            reshard::run(screen, &mut cluster, options)
        }
        "rebalance" => {
            let mut cluster = load(screen)?;
            rebalance::run(screen, &mut cluster, options)
        }
        "import" => import::run(screen, (&host, port), credentials, options),
        "backup" => {
            let mut cluster = load(screen)?;
            backup::run(screen, &mut cluster, &more[0], options)
        }
        other => unreachable!("{other} is in the table and has no code"),
    }
}
