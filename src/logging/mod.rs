//! Log lines, in the form that tools for stock servers read.
//!
//! ```text
//! 4242:M 22 Nov 2026 15:59:15.702 * Ready to accept connections tcp port=6379
//! pid  | date and local time      | message                         fields
//!      role: C starting, M primary, S replica
//!                                 level: . debug  - verbose  * notice  # warning
//! ```
//!
//! Code logs through `tracing`: `error!` and `warn!` become warnings, `info!` a notice, `debug!` verbose, `trace!` debug.
//! Lines go to standard output or to `logfile`, and to syslog where that is asked for.

mod line;
mod local_time;
mod repeat;
mod sink;
mod syslog;

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

pub(crate) use local_time::seconds_east_of_utc;
pub use repeat::Repeat;

use crate::clock::{Clock, SystemClock};
use crate::config::choices::LogLevel;
use crate::config::{self, Values};
use sink::Sink;
use syslog::Syslog;

/// What the process is, as its log lines show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Not yet serving.
    Starting = b'C',
    /// Takes writes.
    Primary = b'M',
    /// Follows a primary.
    Replica = b'S',
}

/// The level of `loglevel`, as the number of [`rank`].
static LEVEL: AtomicU8 = AtomicU8::new(rank(LogLevel::Notice));
static ROLE: AtomicU8 = AtomicU8::new(Role::Starting as u8);

/// Levels as numbers: `nothing` is the lowest, `debug` the highest.
const fn rank(level: LogLevel) -> u8 {
    match level {
        LogLevel::Nothing => 0,
        LogLevel::Warning => 1,
        LogLevel::Notice => 2,
        LogLevel::Verbose => 3,
        LogLevel::Debug => 4,
    }
}

/// Changes `loglevel` while the server runs.
pub fn set_level(level: LogLevel) {
    LEVEL.store(rank(level), Ordering::Relaxed);
    // tracing remembers for each line of code whether anybody listens.
    tracing::callsite::rebuild_interest_cache();
}

/// Changes the letter behind the process id.
pub fn set_role(role: Role) {
    ROLE.store(role as u8, Ordering::Relaxed);
}

/// Starts to log as `values` say. Call it once, after the process has gone into the background.
///
/// # Errors
/// The log file cannot be opened, or somebody logs already.
pub fn start(values: &Values) -> Result<(), String> {
    let path = (!values.logfile.is_empty()).then(|| Path::new(&values.logfile));
    let sink = Sink::open(path)
        .map_err(|error| format!("Can't open the log file: {}", config::os_reason(&error)))?;
    let syslog =
        values.syslog_enabled.then(|| Syslog::new(&values.syslog_ident, values.syslog_facility));
    set_level(values.loglevel);
    let log = Log { out: Mutex::new(Out { sink, syslog }) };
    tracing::subscriber::set_global_default(log)
        .map_err(|_| "log lines already have a destination".to_owned())
}

/// Where lines go. The lock is held for one write: lines never mix.
struct Out {
    sink: Sink,
    syslog: Option<Syslog>,
}

struct Log {
    out: Mutex<Out>,
}

fn current_filter() -> LevelFilter {
    match LEVEL.load(Ordering::Relaxed) {
        0 => LevelFilter::OFF,
        1 => LevelFilter::WARN,
        2 => LevelFilter::INFO,
        3 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Only what this program says: libraries log for their own authors.
        let ours = metadata.target().starts_with("highwater");
        ours && metadata.is_event() && *metadata.level() <= current_filter()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(current_filter())
    }

    fn event(&self, event: &Event<'_>) {
        let level = line::Level::of(*event.metadata().level());
        let message = line::message(event);
        let header = line::Header {
            pid: std::process::id(),
            role: char::from(ROLE.load(Ordering::Relaxed)),
            time: local_time::LocalTime::of(SystemClock.now().unix_ms()),
            level,
        };
        let mut out = self.out.lock();
        out.sink.write(&format!("{header} {message}\n"));
        if let Some(syslog) = &mut out.syslog {
            syslog.write(&header, &message);
        }
    }

    // Spans are not used: a line says all by its fields.
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, because the level is one for the process.
    #[test]
    fn lines_of_a_level_reach_the_file_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.log");
        let sink = Sink::open(Some(&path)).unwrap();
        let log = Log { out: Mutex::new(Out { sink, syslog: None }) };
        tracing::subscriber::with_default(log, || {
            set_role(Role::Primary);
            set_level(LogLevel::Notice);
            tracing::info!(port = 6379, path = "/a b", "ready");
            tracing::debug!("not shown");
            set_level(LogLevel::Debug);
            tracing::trace!("shown");
            set_level(LogLevel::Nothing);
            tracing::error!("not shown");
            set_level(LogLevel::Warning);
            tracing::warn!("two\nlines");
            set_level(LogLevel::Notice);
            set_role(Role::Starting);
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let ends: Vec<&str> =
            text.lines().map(|line| line.splitn(6, ' ').nth(5).unwrap()).collect();
        assert_eq!(ends, ["* ready port=6379 path=/a b", ". shown", "# two\\nlines"]);
        assert!(text.starts_with(&format!("{}:M ", std::process::id())));
    }
}
