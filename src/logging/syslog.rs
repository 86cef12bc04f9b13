//! Lines to syslog: datagrams to `/dev/log`, in the form that the C library sends.

use std::os::unix::net::UnixDatagram;

use super::line::{Header, Level};
use crate::config::choices::SyslogFacility;

const SOCKET: &str = "/dev/log";

/// The connection to the system's log.
pub(super) struct Syslog {
    ident: String,
    facility: u8,
    /// `None` until the first line, and again after an error.
    socket: Option<UnixDatagram>,
}

impl Syslog {
    pub(super) fn new(ident: &str, facility: SyslogFacility) -> Self {
        Self { ident: ident.to_owned(), facility: facility_number(facility), socket: None }
    }

    /// Sends a line. If the daemon is away or busy, the line is lost here; it is still in the log file.
    pub(super) fn write(&mut self, header: &Header, message: &str) {
        let datagram = self.datagram(header, message);
        // The daemon may have been started anew: one more try on a new socket.
        for _try in 0..2 {
            if self.socket.is_none() {
                self.socket = connect();
            }
            let Some(socket) = &self.socket else { return };
            if socket.send(datagram.as_bytes()).is_ok() {
                return;
            }
            self.socket = None;
        }
    }

    fn datagram(&self, header: &Header, message: &str) -> String {
        let Header { pid, role, time, level } = header;
        let priority = self.facility * 8 + severity(*level);
        format!(
            "<{priority}>{} {:2} {:02}:{:02}:{:02} {}[{pid}]: {pid}:{role} {message}",
            time.month_name(),
            time.day,
            time.hour,
            time.minute,
            time.second,
            self.ident
        )
    }
}

fn connect() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    // A daemon that does not keep up must not stop the server.
    socket.set_nonblocking(true).ok()?;
    socket.connect(SOCKET).ok()?;
    Some(socket)
}

/// Numbers of syslog(3).
const fn facility_number(facility: SyslogFacility) -> u8 {
    match facility {
        SyslogFacility::User => 1,
        SyslogFacility::Local0 => 16,
        SyslogFacility::Local1 => 17,
        SyslogFacility::Local2 => 18,
        SyslogFacility::Local3 => 19,
        SyslogFacility::Local4 => 20,
        SyslogFacility::Local5 => 21,
        SyslogFacility::Local6 => 22,
        SyslogFacility::Local7 => 23,
    }
}

const fn severity(level: Level) -> u8 {
    match level {
        Level::Debug => 7,
        Level::Verbose => 6,
        Level::Notice => 5,
        Level::Warning => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::super::local_time::LocalTime;
    use super::*;

    #[test]
    fn datagram_has_priority_time_and_name() {
        let time = LocalTime { day: 2, month: 1, year: 2026, hour: 3, minute: 4, second: 5, ms: 6 };
        let header = Header { pid: 42, role: 'M', time, level: Level::Warning };
        let syslog = Syslog::new("redis", SyslogFacility::Local0);
        assert_eq!(
            syslog.datagram(&header, "disk is full"),
            "<132>Jan  2 03:04:05 redis[42]: 42:M disk is full"
        );
    }
}
