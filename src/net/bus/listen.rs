//! The listening sockets of the bus.

use std::sync::Arc;
use std::time::Duration;

use super::super::listener::bind_address;
use super::super::shared::Shared;
use super::link;
use super::strangers::Stranger;
use crate::cluster::settings::{BUS_PORT_OFFSET, bus_port};
use crate::config::Config;

/// The most connections of the bus at a time: two for each of more nodes than a cluster has.
const LINKS_MAX: usize = 20_000;

/// Between two looks at whether a primary has loaded its data.
const LOADING_POLL: Duration = Duration::from_millis(50);

/// Binds the bus port on the addresses that clients are served on.
///
/// # Errors
/// The port is out of range, or cannot be bound.
pub(super) fn bind(config: &Config) -> Result<Vec<std::net::TcpListener>, String> {
    if config.cluster_port == 0 && config.port > u16::MAX - BUS_PORT_OFFSET {
        return Err("Redis port number too high. Cluster communication port is 10,000 port numbers higher than your Redis port. Your Redis port number must be 55535 or less.".to_owned());
    }
    if config.port == 0 {
        return Err(
            "No bind address is configured, but it is required for the Cluster bus.".to_owned()
        );
    }
    let port = bus_port(config);
    let mut bound = Vec::new();
    for address in &config.bind {
        let (optional, name) = match address.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, address.as_str()),
        };
        match bind_address(name, port, config) {
            Ok(listener) => bound.push(listener),
            Err(error) if optional => {
                tracing::debug!("the bus does not listen on {name}:{port}: {error}");
            }
            Err(error) => {
                return Err(format!(
                    "Failed listening on port {port} (cluster), aborting: {name}: {error}"
                ));
            }
        }
    }
    Ok(bound)
}

/// Accepts for ever. A primary that is loading its data does not: it is not there yet.
pub(super) async fn accept(shared: Arc<Shared>, listener: std::net::TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the bus cannot listen: {error}"),
    };
    loop {
        while super::is_absent(&shared) {
            tokio::time::sleep(LOADING_POLL).await;
        }
        match listener.accept().await {
            Ok((stream, address)) => {
                let is_full = shared.bus.links.lock().len() >= LINKS_MAX;
                let Some(stranger) = Stranger::admit(&shared).filter(|_| !is_full) else {
                    shared.bus.strangers.refused.warn(&format_args!(
                        "too many connections on the cluster bus: {address} is refused"
                    ));
                    continue;
                };
                let remote = link::ip_of(address);
                tokio::spawn(link::welcome(Arc::clone(&shared), stream, remote, stranger));
            }
            Err(error) => {
                let line = format!("Error accepting cluster node: {error}");
                shared.bus.strangers.refused.warn(&line);
                tokio::time::sleep(LOADING_POLL).await;
            }
        }
    }
}
