//! `--stat`: a line per interval of what INFO says.

use std::process::ExitCode;
use std::time::Duration;

use super::options::Options;
use super::screen::{complain, print};
use super::session;
use crate::cli::wire::Failure;

/// Lines between headings.
const LINES: u64 = 20;

const HEADING: &str = "\
------- data ------ --------------------- load -------------------- - child -
keys       mem      clients blocked requests            connections          \n";

/// Prints lines until the connection breaks.
pub(super) fn run(options: &Options) -> ExitCode {
    let Ok(mut connection) = session::connect(options) else { return ExitCode::FAILURE };
    let interval =
        if options.interval.is_zero() { Duration::from_secs(1) } else { options.interval };
    let mut requests_before = None;
    let mut printed = 0;
    loop {
        let info = match connection.call(&["INFO"]) {
            Ok(reply) => reply.text().unwrap_or_default(),
            Err(Failure::Refused(text)) => {
                complain(&format!("ERROR: {text}"));
                return ExitCode::FAILURE;
            }
            Err(Failure::Connection(error)) => return session::lost(&error),
        };
        if printed % LINES == 0 {
            print(HEADING.as_bytes());
        }
        let (line, requests) = line(&info, requests_before);
        print(line.as_bytes());
        requests_before = Some(requests);
        printed += 1;
        std::thread::sleep(interval);
    }
}

/// A line, and the number of requests in it.
fn line(info: &str, requests_before: Option<i64>) -> (String, i64) {
    let number =
        |name: &str| field(info, name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let keys: i64 = info.lines().filter_map(keys_of_database).sum();
    let memory = human(number("used_memory"));
    let requests = number("total_commands_processed");
    let more = requests - requests_before.unwrap_or(requests);
    let load = format!("{requests} (+{more})");
    let child = match (
        number("rdb_bgsave_in_progress"),
        number("aof_rewrite_in_progress"),
        number("loading"),
    ) {
        (_, _, 1) => "LOAD",
        (1, 1, _) => "SAVE+AOF",
        (1, 0, _) => "SAVE",
        (0, 1, _) => "AOF",
        _ => "",
    };
    let line = format!(
        "{keys:<11}{memory:<9}{:<8}{:<8}{load:<20}{:<12}{child}\n",
        number("connected_clients"),
        number("blocked_clients"),
        number("total_connections_received"),
    );
    (line, requests)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// The keys in a line such as `db0:keys=5,expires=0,avg_ttl=0`.
fn keys_of_database(line: &str) -> Option<i64> {
    let (number, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
    let is_database = number.bytes().all(|byte| byte.is_ascii_digit());
    let keys = rest.split(',').next().filter(|_| is_database)?;
    keys.parse().ok()
}

/// Bytes with a unit.
#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn human(bytes: i64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["K", "M", "G", "T"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes}B") } else { format!("{value:.2}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_its_columns() {
        let info = "used_memory:2230000\r\nconnected_clients:1\r\nblocked_clients:0\r\ntotal_commands_processed:10\r\n\
                    total_connections_received:954\r\naof_rewrite_in_progress:1\r\ndb0:keys=20,expires=0,avg_ttl=0\r\ndb3:keys=2,expires=0\r\n";
        let (text, requests) = line(info, Some(7));
        let expected = "22         2.13M    1       0       10 (+3)             954         AOF\n";
        assert_eq!((&*text, requests), (expected, 10));
        assert_eq!(human(999), "999B");
    }
}
