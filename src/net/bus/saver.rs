//! Writes the configuration file, on a thread of its own: names that are slow to be looked up share the threads of the
//! runtime, and a promise does not wait for those.

use std::sync::mpsc;

use highwater_persistence::nodes_conf::NodesConf;
use tokio::sync::oneshot;

use super::config_file::ConfigFile;

/// What is to be written, and who waits for that.
type Task = (NodesConf, oneshot::Sender<Result<(), String>>);

/// Has the file written.
#[derive(Debug)]
pub(super) struct Saver {
    tasks: mpsc::Sender<Task>,
}

impl Saver {
    /// Starts the thread, which holds the file from now on.
    pub(super) fn start(mut file: ConfigFile) -> Self {
        let (tasks, received) = mpsc::channel::<Task>();
        super::super::spawn_thread("nodes-conf", move || {
            for (conf, done) in received {
                if let Err(result) = done.send(file.write(&conf)) {
                    tracing::debug!("nobody waits for the cluster configuration: {result:?}");
                }
            }
        });
        Self { tasks }
    }

    /// Has the file replaced; what is answered says, in words if it failed, when it is on disk. No answer: the thread is gone.
    pub(super) fn begin(&self, conf: NodesConf) -> oneshot::Receiver<Result<(), String>> {
        let (done, result) = oneshot::channel();
        // A thread that is gone takes nothing: `done` is dropped, which whoever waits is told.
        drop(self.tasks.send((conf, done)));
        result
    }
}
