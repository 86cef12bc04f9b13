//! `nodes.conf`: read at the start, replaced whole at each change.

use std::path::Path;

use highwater_persistence::config_lock::{ConfigLock, LockError};
use highwater_persistence::nodes_conf::NodesConf;

use crate::clock;
use crate::cluster::settings::Settings;
use crate::cluster::{Cluster, NodeId};
use crate::config::Config;
use crate::random;

/// The file, locked.
#[derive(Debug)]
pub(super) struct ConfigFile {
    lock: ConfigLock,
}

/// Takes the file and makes the node it describes; a new one where there is none.
///
/// # Errors
/// In a sentence for the operator. A file that was there has not changed.
pub(super) fn open(config: &Config) -> Result<(Cluster, ConfigFile), String> {
    let name = &config.cluster_config_file;
    let lock = ConfigLock::take(Path::new(name)).map_err(|error| match error {
        LockError::Busy(_) => format!(
            "Sorry, the cluster configuration file {} is already used by a different Redis Cluster node. Please make sure that different nodes use different cluster configuration files.",
            full_path(name).display()
        ),
        error => format!("Can't lock the cluster configuration file {name}: {error}"),
    })?;
    let mut file = ConfigFile { lock };
    let bytes = std::fs::read(file.lock.path())
        .map_err(|error| format!("Can't read the cluster configuration file {name}: {error}"))?;
    let (seed, now, settings) = (random::seed(), clock::now(), Settings::of(config));
    if bytes.is_empty() {
        let id = new_id();
        let cluster = Cluster::new(id, new_id(), settings, seed, now);
        tracing::info!("No cluster configuration found, I'm {id}");
        // Nobody is told of a name that could be forgotten.
        file.write(&cluster.to_conf())?;
        file.note_place(&cluster);
        return Ok((cluster, file));
    }
    let wrong = |error: &dyn std::fmt::Display| {
        format!("Unrecoverable error: corrupted cluster config file \"{name}\": {error}")
    };
    let conf = NodesConf::parse(&bytes).map_err(|error| wrong(&error))?;
    if !conf.has_vars {
        tracing::warn!(
            "{name} has no line with this node's epochs: it may have been cut, and a vote given before may be unknown"
        );
    }
    let cluster = Cluster::from_conf(&conf, settings, seed, now).map_err(|error| wrong(&error))?;
    let id = cluster.peers().me().id;
    tracing::info!("Node configuration loaded, I'm {id}");
    if let Some(moved) = file.lock.moved() {
        tracing::warn!(
            "The node {} was last used in {}: this folder was moved, or is a copy. Two nodes with one ID harm their cluster; if both are to run, remove {name} from one of them while it is stopped.",
            moved.id,
            moved.from
        );
    }
    file.note_place(&cluster);
    Ok((cluster, file))
}

/// With the folder, where that can be told.
fn full_path(name: &str) -> std::path::PathBuf {
    std::env::current_dir().map_or_else(|_| name.into(), |folder| folder.join(name))
}

fn new_id() -> NodeId {
    NodeId::new(&random::hex_id()).expect("hex digits")
}

impl ConfigFile {
    /// Replaces the file; it is on disk then.
    ///
    /// # Errors
    /// In words. The file is the old one or the new one, whole.
    pub(super) fn write(&mut self, conf: &NodesConf) -> Result<(), String> {
        self.lock.replace(conf.write().as_bytes()).map_err(|error| error.to_string())
    }

    fn note_place(&mut self, cluster: &Cluster) {
        if let Err(error) = self.lock.note_place(cluster.peers().me().id.as_str()) {
            tracing::warn!("a copy of this folder would not be noticed: {error}");
        }
    }
}
