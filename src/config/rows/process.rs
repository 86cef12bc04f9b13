//! The process: how it starts and stops, what it logs, what it tells its surroundings.

use super::I32_MAX;
use crate::config::row::{Row, Special, choice, flag, number, text};
use crate::config::special::{ShutdownFlags, parse_scores};

const ON_SIGINT: Special = Special {
    form: "words",
    set: |values, words, _| {
        values.shutdown_on_sigint = ShutdownFlags::parse(words)?;
        Ok(())
    },
    get: |values| values.shutdown_on_sigint.print(),
    lines: |values| vec![words(&values.shutdown_on_sigint.print())],
    words: (1, 4),
};

const ON_SIGTERM: Special = Special {
    form: "words",
    set: |values, words, _| {
        values.shutdown_on_sigterm = ShutdownFlags::parse(words)?;
        Ok(())
    },
    get: |values| values.shutdown_on_sigterm.print(),
    lines: |values| vec![words(&values.shutdown_on_sigterm.print())],
    words: (1, 4),
};

const SCORES: Special = Special {
    form: "three numbers",
    set: |values, words, _| {
        values.oom_score_adj_values = parse_scores(words)?;
        Ok(())
    },
    get: |values| values.oom_score_adj_values.map(|score| score.to_string()).join(" "),
    lines: |values| vec![values.oom_score_adj_values.map(|score| score.to_string()).to_vec()],
    words: (1, 3),
};

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Variables of `proc-title-template`.
const TITLE_VARIABLES: [&str; 7] =
    ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];

fn title_template(template: &str) -> Result<(), String> {
    let wrong = || "template format is invalid or contains unknown variables".to_owned();
    if template.is_empty() {
        return Err(wrong());
    }
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let inside = rest[at..].strip_prefix('{').ok_or_else(wrong)?;
        let (name, after) = inside.split_once('}').ok_or_else(wrong)?;
        if !TITLE_VARIABLES.contains(&name) {
            return Err(wrong());
        }
        rest = after;
    }
    Ok(())
}

/// Why the settings of the title do nothing.
const TITLE: &str = "the process keeps the name and arguments it was started with, so that `ps` and `pgrep` find them";
/// Why the CPU lists do nothing.
const CPUS: &str = "threads are not pinned; start the process under `taskset`";

pub(super) const ROWS: &[Row] = &[
    Row::flag("daemonize", "no", flag!(daemonize), "Goes on in the background, away from the terminal.").at_start(),
    Row::text("pidfile", "", text!(pidfile), "File that holds the process id while the server runs. A daemon writes /var/run/redis.pid where this is empty.").at_start(),
    Row::choice("supervised", "no", choice!(supervised), "The process manager to tell when the server is ready and when it stops.").at_start(),
    Row::choice("loglevel", "notice", choice!(loglevel), "The least important lines that are logged."),
    Row::text("logfile", "", text!(logfile), "File for log lines; empty for standard output. It may be renamed away at any time: a new one is made.").at_start(),
    Row::flag("syslog-enabled", "no", flag!(syslog_enabled), "Sends log lines to syslog as well.").at_start(),
    Row::text("syslog-ident", "redis", text!(syslog_ident), "Name of the program in lines to syslog.").at_start(),
    Row::choice("syslog-facility", "local0", choice!(syslog_facility), "Facility of lines to syslog.").at_start(),
    Row::flag("always-show-logo", "no", flag!(always_show_logo), "Shows a picture at the start.")
        .at_start()
        .without("there is no picture"),
    Row::flag("set-proc-title", "yes", flag!(set_proc_title), "Whether the process shows itself by a title of its own.")
        .at_start()
        .without(TITLE),
    Row::text("proc-title-template", "{title} {listen-addr} {server-mode}", text!(proc_title_template), "That title, with the variables `{title}`, `{listen-addr}`, `{server-mode}`, `{port}`, `{tls-port}`, `{unixsocket}`, `{config-file}`.")
        .checked(title_template)
        .without(TITLE),
    Row::text("locale-collate", "", text!(locale_collate), "Locale by which SORT ALPHA compares; empty for that of the environment.")
        .without("SORT ALPHA compares bytes, so that every node sorts alike"),
    Row::special("shutdown-on-sigint", "default", ON_SIGINT, "What an interrupt does: `default`, or some of `save` or `nosave`, `now`, `force`."),
    Row::special("shutdown-on-sigterm", "default", ON_SIGTERM, "What a signal to terminate does: the same words."),
    Row::number("shutdown-timeout", "10", (0, I32_MAX), number!(shutdown_timeout), "Seconds for which a shutdown waits for replicas that lag."),
    Row::number("hz", "10", (0, I32_MAX), number!(hz), "Rounds of background work per second, kept between 1 and 500."),
    Row::flag("dynamic-hz", "yes", flag!(dynamic_hz), "More rounds per second when there are many clients.")
        .without("background work is bounded by time, not by rounds"),
    Row::choice("oom-score-adj", "no", choice!(oom_score_adj), "Whether the kernel is told how gladly to lose this process when memory is short."),
    Row::special("oom-score-adj-values", "0 200 800", SCORES, "The scores of a primary, a replica, and a background process, -2000 to 2000. (There are no background processes here.)"),
    Row::flag("disable-thp", "yes", flag!(disable_thp), "Turns transparent huge pages off for this process.").at_start(),
    Row::text("server_cpulist", "", text!(server_cpulist), "CPUs of the server's threads.").at_start().without(CPUS),
    Row::text("bio_cpulist", "", text!(bio_cpulist), "CPUs of background threads.").at_start().without(CPUS),
    Row::text("aof_rewrite_cpulist", "", text!(aof_rewrite_cpulist), "CPUs of a log rewrite.").at_start().without(CPUS),
    Row::text("bgsave_cpulist", "", text!(bgsave_cpulist), "CPUs of a snapshot.").at_start().without(CPUS),
    Row::text("ignore-warnings", "", text!(ignore_warnings), "Warnings about the host that do not stop the start.")
        .without("warnings about the host never stop the start"),
    Row::flag("crash-log-enabled", "yes", flag!(crash_log_enabled), "A report in the log when the process crashes.")
        .without("a failed assertion always prints itself and where it stands"),
    Row::flag("crash-memcheck-enabled", "yes", flag!(crash_memcheck_enabled), "A test of the memory after a crash.")
        .without("there is no memory test"),
    Row::flag("use-exit-on-panic", "no", flag!(use_exit_on_panic), "Exits instead of aborting after a failed assertion.")
        .hidden()
        .without("an aborted process is the same to those who watch it"),
    Row::number("watchdog-period", "0", (0, I32_MAX), number!(watchdog_period), "Milliseconds after which a stalled server prints a stack trace.")
        .hidden()
        .without("there is no watchdog"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_names_known_variables() {
        for good in ["redis", "{title} {port}", "{title}{config-file}"] {
            assert!(title_template(good).is_ok(), "{good}");
        }
        for wrong in ["", "{foo", "{foo}", "a}", "{title"] {
            assert!(title_template(wrong).is_err(), "{wrong}");
        }
    }
}
