//! `backup`: a snapshot of each primary, and what the cluster looks like, into one folder.
//!
//! The snapshots are taken one after the other: each is whole, together they are of no one moment.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::wire::{Address, Connection};
use super::check::{self, How};
use super::nodes::{Cluster, Node};
use super::options::Options;
use super::plan;
use super::screen::{Done, Screen, Stop};

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Length of the mark that ends a snapshot of unknown length.
const MARK: usize = 40;

/// How long a node may prepare a snapshot without a word: it sends line feeds meanwhile.
const SILENCE: Duration = Duration::from_secs(60);

/// Bytes that a length, or the name of a mark, may take.
const LENGTH_BYTES_MAX: usize = 256;

/// Writes the backup into `folder`, which has to be there.
pub(super) fn run(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    folder: &str,
    options: &Options,
) -> Done {
    let folder = Path::new(folder);
    let is_well = check::run(screen, cluster, options, How::default());
    for index in cluster.primaries() {
        let node = &cluster.nodes[index];
        screen.info(&format!(">>> Node {} -> Saving RDB...\n", node.peer));
        let path = snapshot_path(folder, node);
        if let Err(text) = save(screen, node, &path) {
            screen.complain(&text);
            return Err(Stop::said());
        }
    }
    let path = folder.join("nodes.json");
    screen.info(&format!("Saving cluster configuration to: {}\n", path.display()));
    if std::fs::write(&path, describe(cluster)).is_err() {
        screen.error(&format!("Could not save nodes to: {}\n", path.display()));
        screen.error("[ERR] Failed to back cluster!\n");
        return Err(Stop::said());
    }
    if !is_well {
        screen.warn(
            "*** Cluster seems to have some problems, please be aware of it if you're going to restore this backup.\n",
        );
    }
    screen.success(&format!("[OK] Backup created into: {}\n", folder.display()));
    Ok(())
}

fn snapshot_path(folder: &Path, node: &Node) -> PathBuf {
    let (host, port) = (&node.peer.host, node.peer.port);
    folder.join(format!("redis-node-{host}-{port}-{}.rdb", node.id))
}

/// Fetches a snapshot, as a replica would, and goes away before the stream behind it.
///
/// # Errors
/// The text to show. The file may hold a part of the snapshot.
fn save(screen: &mut Screen<'_>, node: &Node, path: &Path) -> Result<(), String> {
    let address = Address::Tcp(node.peer.host.clone(), node.peer.port);
    let lost = |error: &dyn std::fmt::Display| format!("SYNC with master failed: {error}\n");
    let mut connection = Connection::log_in(&address, &node.peer.credentials, Some(SILENCE))
        .map_err(|e| lost(&e))?;
    connection.set_timeout(Some(SILENCE)).map_err(|error| lost(&error))?;
    // A server that does not know this word sends the snapshot all the same. One that is not told that we know about marks
    // says how long it is.
    connection.ask(&["REPLCONF", "rdb-only", "1"]).map_err(|error| lost(&error))?;
    connection.put(&["SYNC"]);
    connection.flush().map_err(|error| lost(&error))?;
    let length = announced(&mut connection).map_err(|error| lost(&error))?;
    let shown = path.display();
    screen.complain(&match &length {
        Length::Bytes(bytes) => {
            format!("SYNC sent to master, writing {bytes} bytes to '{shown}'\n")
        }
        Length::UpTo(_) => {
            format!("SYNC sent to master, writing bytes of bulk transfer until EOF marker to '{shown}'\n")
        }
    });
    let file = File::create(path).map_err(|error| {
        format!("Error opening '{shown}': {}\n", super::peer::plain_reason(&error))
    })?;
    let mut file = BufWriter::new(file);
    let copied = match length {
        Length::Bytes(bytes) => copy_bytes(&mut connection, &mut file, bytes),
        Length::UpTo(mark) => copy_up_to(&mut connection, &mut file, &mark),
    };
    copied.and_then(|()| file.flush()).map_err(|error| lost(&error))?;
    screen.complain("Transfer finished with success.\n");
    Ok(())
}

/// How much comes.
enum Length {
    Bytes(u64),
    /// All up to this mark.
    UpTo(Vec<u8>),
}

/// Reads the line before a snapshot, `$123` or `$EOF:` and a mark. Line feeds before it mean that the server is at it.
fn announced(connection: &mut Connection) -> std::io::Result<Length> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        if connection.read_raw(&mut byte)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match byte[0] {
            b'\n' if line.is_empty() => {}
            b'\n' => break,
            other => line.push(other),
        }
        if line.len() > LENGTH_BYTES_MAX {
            break;
        }
    }
    let line = line.strip_suffix(b"\r").unwrap_or(&line);
    let text = String::from_utf8_lossy(line);
    if let Some(mark) = line.strip_prefix(b"$EOF:").filter(|mark| mark.len() == MARK) {
        return Ok(Length::UpTo(mark.to_vec()));
    }
    let bytes = text.strip_prefix('$').and_then(|length| length.parse().ok());
    bytes.map(Length::Bytes).ok_or_else(|| std::io::Error::other(text.trim_start_matches('-')))
}

fn copy_bytes(
    connection: &mut Connection,
    file: &mut impl Write,
    bytes: u64,
) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let read = connection.read_raw(&mut piece[..most])?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all(&piece[..read])?;
        left -= read as u64;
    }
    Ok(())
}

fn copy_up_to(
    connection: &mut Connection,
    file: &mut impl Write,
    mark: &[u8],
) -> std::io::Result<()> {
    // What is read and not written: never less than the mark, which may come in pieces.
    let mut held = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        let read = connection.read_raw(&mut piece)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        held.extend_from_slice(&piece[..read]);
        if let Some(at) = memchr::memmem::find(&held, mark) {
            return file.write_all(&held[..at]);
        }
        let sure = held.len().saturating_sub(mark.len());
        file.write_all(&held[..sure])?;
        held.drain(..sure);
    }
}

/// All nodes as JSON, in stock's form, line for line.
fn describe(cluster: &Cluster) -> String {
    let open = |slots: &std::collections::BTreeMap<u16, String>| {
        slots.iter().map(|(slot, id)| format!("\"{slot}\": \"{id}\"")).collect::<Vec<_>>().join(",")
    };
    let one = |node: &Node| {
        let primary =
            node.primary.as_ref().map_or("null".to_owned(), |primary| format!("\"{primary}\""));
        let ranges: Vec<String> = plan::ranges(&node.slots)
            .into_iter()
            .map(|(first, last)| format!("[{first},{last}]"))
            .collect();
        let mut text = format!(
            "  {{\n    \"name\": \"{}\",\n    \"host\": \"{}\",\n    \"port\": {},\n    \"replicate\": {primary},\n    \
             \"slots\": [{}],\n    \"slots_count\": {},\n    \"flags\": \"{}\",\n    \"current_epoch\": {}",
            node.id,
            node.peer.host,
            node.peer.port,
            ranges.join(","),
            node.slots.len(),
            if node.is_replica() { "slave" } else { "master" },
            node.config_epoch
        );
        if !cluster.errors.is_empty() {
            text += &format!(",\n    \"cluster_errors\": {}", cluster.errors.len());
        }
        for (name, slots) in [("migrating", &node.migrating), ("importing", &node.importing)] {
            if !slots.is_empty() {
                text += &format!(",\n    \"{name}\": {{{}}}", open(slots));
            }
        }
        text + "\n  }"
    };
    let nodes: Vec<String> = cluster.nodes.iter().map(one).collect();
    format!("[\n{}\n]", nodes.join(",\n"))
}
