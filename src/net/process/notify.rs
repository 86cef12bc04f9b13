//! The process manager: systemd by datagrams to `$NOTIFY_SOCKET`, upstart by stopping ourselves once.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::{info, warn};

use crate::config::choices::Supervision;

/// Who started this process and wants to know how it is.
#[derive(Clone, Debug)]
pub(super) enum Manager {
    /// Nobody asks.
    Nobody,
    /// systemd, at the address that the environment names.
    Systemd(SocketAddr),
}

impl Manager {
    /// The manager that `wanted` and the environment agree on. Upstart is told at once, by a stop signal to ourselves.
    pub(super) fn find(wanted: Supervision) -> Self {
        let socket = || env::var_os("NOTIFY_SOCKET");
        let systemd = matches!(wanted, Supervision::Systemd | Supervision::Auto);
        let upstart = matches!(wanted, Supervision::Upstart | Supervision::Auto);
        if upstart && env::var_os("UPSTART_JOB").is_some() {
            info!("supervised by upstart, will stop to signal readiness.");
            if let Err(error) = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::STOP,
            ) {
                warn!(%error, "could not signal readiness to upstart");
            }
            return Self::Nobody;
        }
        match (systemd, socket()) {
            (true, Some(path)) => match address(&path) {
                Ok(address) => {
                    info!(
                        "supervised by systemd. Please make sure you set appropriate values for \
                         TimeoutStartSec and TimeoutStopSec in your service unit."
                    );
                    Self::Systemd(address)
                }
                Err(error) => {
                    warn!(%error, "NOTIFY_SOCKET is not an address");
                    Self::Nobody
                }
            },
            (true, None) if wanted == Supervision::Systemd => {
                warn!(
                    "systemd supervision requested or auto-detected, but NOTIFY_SOCKET not found"
                );
                Self::Nobody
            }
            _ => Self::Nobody,
        }
    }

    /// The data set is being loaded.
    pub(super) fn loading(&self) {
        self.tell("STATUS=Redis is loading...\n");
    }

    /// Clients are served.
    pub(super) fn ready(&self) {
        self.tell("STATUS=Ready to accept connections\nREADY=1\n");
    }

    /// Something an operator may like to see, on one line.
    pub(super) fn status(&self, text: &str) {
        self.tell(&format!("STATUS={}\n", text.replace('\n', " ")));
    }

    /// The server is about to exit.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    fn tell(&self, message: &str) {
        let Self::Systemd(address) = self else { return };
        let sent = UnixDatagram::unbound()
            .and_then(|socket| socket.send_to_addr(message.as_bytes(), address));
        if let Err(error) = sent {
            warn!(%error, "could not notify systemd");
        }
    }
}

/// A path, or a name in the abstract namespace, which starts with `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an @ name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: SocketAddr) {
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        let manager = Manager::Systemd(address);
        let mut buffer = [0; 100];
        let mut next = || {
            let length = receiver.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        manager.loading();
        assert_eq!(next(), "STATUS=Redis is loading...\n");
        manager.ready();
        assert_eq!(next(), "STATUS=Ready to accept connections\nREADY=1\n");
        manager.stopping();
        assert_eq!(next(), "STOPPING=1\n");
    }

    #[test]
    fn systemd_is_told_through_a_path() {
        let folder = tempfile::tempdir().unwrap();
        check(address(folder.path().join("notify").as_os_str()).unwrap());
    }

    #[test]
    fn systemd_is_told_through_an_abstract_name() {
        let name = format!("@highwater-test-{}", std::process::id());
        check(address(OsStr::new(&name)).unwrap());
    }

    #[test]
    fn other_addresses_are_refused() {
        assert!(address(OsStr::new("relative")).is_err());
        assert!(address(OsStr::new("")).is_err());
    }
}
