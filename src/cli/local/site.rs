//! The folder of a cluster: where its files are, and who holds it.
//!
//! ```text
//! highwater-data/
//!     cluster.state      the plan
//!     cluster.lock       held by the supervisor as long as it lives; says who that is
//!     cluster.log        what a supervisor in the background says
//!     7000/              all of one node: redis.conf, nodes.conf, appendonlydir/, node.log
//!     7000/order         what the supervisor is to do with the node; removed when it has heard
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_persistence::replace;
use highwater_persistence::storage::{RealStorage, Storage};
use rustix::fs::{FlockOperation, flock};

use super::plan::Plan;
use super::process::Process;
use crate::config::os_reason;

/// The folder unless told otherwise.
pub(super) const DEFAULT: &str = "./highwater-data";

const STATE: &str = "cluster.state";
const LOCK: &str = "cluster.lock";
const LOG: &str = "cluster.log";
const ORDER: &str = "order";

/// The folder of a cluster, by its absolute path.
#[derive(Clone, Debug)]
pub(super) struct Site {
    folder: PathBuf,
    /// As it was given.
    given: PathBuf,
}

impl Site {
    /// The folder at `path`, made if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn make(path: &Path) -> Result<Self, String> {
        create(path)
            .map_err(|e| format!("cannot make the folder {}: {}", path.display(), os_reason(&e)))?;
        Self::find(path)
    }

    /// The folder at `path`, which is there.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn find(path: &Path) -> Result<Self, String> {
        let folder = fs::canonicalize(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => no_cluster(path),
            _ => format!("cannot read the folder {}: {}", path.display(), os_reason(&error)),
        })?;
        // Settings are UTF-8, and one of them is the folder.
        match folder.to_str() {
            Some(_) => Ok(Self { folder, given: path.to_path_buf() }),
            None => Err(format!("the path of {} has to be UTF-8", folder.display())),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The option that leads other commands here; nothing where they come by themselves.
    pub(super) fn option(&self) -> String {
        if self.given == Path::new(DEFAULT) {
            String::new()
        } else {
            format!(" --dir {}", self.given.display())
        }
    }

    pub(super) fn node(&self, port: u16) -> PathBuf {
        self.folder.join(port.to_string())
    }

    pub(super) fn config(&self, port: u16) -> PathBuf {
        self.node(port).join("redis.conf")
    }

    pub(super) fn node_log(&self, port: u16) -> PathBuf {
        self.node(port).join("node.log")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join(LOG)
    }

    /// The plan, if there is one.
    ///
    /// # Errors
    /// Its file cannot be read, or is damaged.
    pub(super) fn plan(&self) -> Result<Option<Plan>, String> {
        let path = self.folder.join(STATE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {}", path.display(), os_reason(&error))),
        };
        Plan::parse(&text).map(Some).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The plan of a cluster that has to be there.
    ///
    /// # Errors
    /// It is not, or cannot be read.
    pub(super) fn known_plan(&self) -> Result<Plan, String> {
        self.plan()?.ok_or_else(|| no_cluster(&self.folder))
    }

    /// Keeps the plan.
    ///
    /// # Errors
    /// The file cannot be written; the old one is then in force.
    pub(super) fn keep(&self, plan: &Plan) -> Result<(), String> {
        self.replace(Path::new(""), STATE, plan.text().as_bytes())
    }

    /// Replaces the file `name` of a node by `bytes`, as a whole.
    ///
    /// # Errors
    /// The old one is then in force.
    pub(super) fn replace_in_node(
        &self,
        port: u16,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), String> {
        self.replace(Path::new(&port.to_string()), name, bytes)
    }

    fn replace(&self, folder: &Path, name: &str, bytes: &[u8]) -> Result<(), String> {
        let folder = self.folder.join(folder);
        let storage: Arc<dyn Storage> = Arc::new(RealStorage::new(&folder));
        let temp = format!("temp-{name}-{}", std::process::id());
        replace::replace(&storage, &temp, name, bytes)
            .map_err(|error| format!("cannot write {}: {error}", folder.join(name).display()))
    }

    /// Becomes the one who looks after the cluster, until the result is dropped. `note` is there for others to read.
    ///
    /// # Errors
    /// Somebody else does.
    pub(super) fn hold(&self, note: &str) -> Result<Held, Holding> {
        let path = self.folder.join(LOCK);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(|error| Holding::Impossible(format!("{}: {error}", path.display())))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Holding::Other(self.supervisor())),
            Err(error) => {
                return Err(Holding::Impossible(format!("{}: {error}", path.display())));
            }
        }
        let written =
            file.set_len(0).and_then(|()| writeln!(file, "{}\n{note}", Process::own_mark()));
        match written {
            Ok(()) => Ok(Held { _file: file }),
            Err(error) => Err(Holding::Impossible(format!("{}: {error}", path.display()))),
        }
    }

    /// Whether somebody looks after the cluster.
    pub(super) fn is_held(&self) -> bool {
        let Ok(file) = File::open(self.folder.join(LOCK)) else { return false };
        let free = flock(&file, FlockOperation::NonBlockingLockShared);
        free == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// The process that looks after the cluster, if it is there and can be told from others.
    pub(super) fn supervisor(&self) -> Option<Process> {
        let text = fs::read_to_string(self.folder.join(LOCK)).ok()?;
        let process = Process::by_mark(text.lines().next()?)?;
        self.is_held().then_some(process)
    }

    /// What the one who looks after the cluster wants others to know.
    pub(super) fn note(&self) -> String {
        let text = fs::read_to_string(self.folder.join(LOCK)).unwrap_or_default();
        text.lines().nth(1).unwrap_or_default().to_owned()
    }

    /// Asks the supervisor to do something with a node.
    ///
    /// # Errors
    /// The order cannot be written.
    pub(super) fn order(&self, port: u16, order: Order) -> Result<(), String> {
        self.replace_in_node(port, ORDER, order.word().as_bytes())
    }

    /// Whether an order still waits to be heard.
    pub(super) fn is_ordered(&self, port: u16) -> bool {
        self.node(port).join(ORDER).exists()
    }

    /// Takes the order that waits, if there is one.
    pub(super) fn take_order(&self, port: u16) -> Option<Order> {
        let path = self.node(port).join(ORDER);
        let word = fs::read_to_string(&path).ok()?;
        fs::remove_file(&path).ok()?;
        Order::of(word.trim())
    }
}

/// Makes a folder that only its owner may enter: it holds data, and perhaps a password.
pub(super) fn create(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether a cluster was made in the folder at `path`.
pub(super) fn is_cluster(path: &Path) -> bool {
    path.join(STATE).is_file()
}

fn no_cluster(path: &Path) -> String {
    format!(
        "there is no cluster in {}: 'highwater cluster up' makes one, --dir names another folder",
        path.display()
    )
}

/// What a supervisor may be asked to do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Start it now, and look after it.
    Start,
    /// Stop it, and let it be.
    Stop,
    /// As [`Order::Stop`], and strike it off the list.
    Remove,
}

impl Order {
    const ALL: [Self; 3] = [Self::Start, Self::Stop, Self::Remove];

    const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word() == word)
    }
}

/// The proof that this process looks after the cluster.
#[derive(Debug)]
pub(super) struct Held {
    /// The lock lasts as long as the file is open. Child processes do not inherit it.
    _file: File,
}

/// Why a cluster cannot be held.
#[derive(Debug)]
pub(super) enum Holding {
    /// Somebody looks after it; who, if that can be told.
    Other(Option<Process>),
    /// There is no lock to be had.
    Impossible(String),
}
