use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::super::driver::with_node;
use super::super::shared::Shared;
use super::saver::Saver;
use super::strangers::Stranger;
use super::{config_file, link};
use crate::clock;
use crate::cluster::core::LinkId;
use crate::cluster::testing::{cluster_of, id};
use crate::cluster::{Host, wire};
use crate::config::Config;

/// Long enough for anything that happens at all.
const LONG: Duration = Duration::from_secs(10);

/// A node of a cluster, without the driver of its bus.
fn node() -> Arc<Shared> {
    let shared = Arc::new(super::super::make_shared(Config::default(), 1));
    let now = clock::now();
    with_node(&shared, |node| node.join_cluster(now, cluster_of('a', now)));
    shared
}

/// The start of a packet of a node with a type and a length.
fn header(letter: char, kind: u16, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; wire::HEADER_BYTES];
    bytes[..4].copy_from_slice(b"RCmb");
    bytes[4..8].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    bytes[9] = 1;
    bytes[12..14].copy_from_slice(&kind.to_be_bytes());
    bytes[40..80].copy_from_slice(id(letter).as_str().as_bytes());
    bytes
}

/// A connection that has come to the node, which may wait for its name for so long; and the task that serves it.
async fn stranger(
    shared: &Arc<Shared>,
    patience: Duration,
) -> (TcpStream, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, address) = listener.accept().await.unwrap();
    let stranger = Stranger::admit_for(shared, patience, 1).expect("there is room");
    let serving = link::welcome(Arc::clone(shared), theirs, address.ip(), stranger);
    (ours, tokio::spawn(serving))
}

fn links(shared: &Shared) -> usize {
    shared.bus.links.lock().len()
}

/// Whether there is room for another stranger.
fn has_room(shared: &Arc<Shared>) -> bool {
    Stranger::admit_for(shared, LONG, 1).is_some()
}

#[test]
fn names_that_are_slow_to_be_looked_up_do_not_hold_up_a_save() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    let path = folder.path().join("nodes.conf");
    path.to_str().unwrap().clone_into(&mut config.values_mut().cluster_config_file);
    let (cluster, file) = config_file::open(&config).unwrap();
    std::fs::write(&path, "").unwrap();
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let lookup = tokio::task::spawn_blocking(move || held.recv().is_err());
        let saver = Saver::start(file);
        let saved = timeout(LONG, saver.begin(cluster.to_conf())).await;
        saved.expect("it is saved").expect("the thread is there").unwrap();
        drop(release);
        assert!(lookup.await.unwrap());
    });
    assert!(std::fs::read_to_string(&path).unwrap().contains("myself"));
}

#[tokio::test]
async fn a_connection_that_was_given_up_while_it_was_opened_is_not_kept() {
    let shared = node();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = Host::new("127.0.0.1").unwrap();
    let opening = link::open(Arc::clone(&shared), LinkId(u64::MAX), host, port);
    timeout(LONG, opening).await.expect("nobody waits for it");
    assert_eq!(links(&shared), 0);
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stranger_is_closed_when_its_time_is_over_and_a_node_is_not() {
    let shared = node();
    let patience = Duration::from_millis(300);
    let (mut stream, serving) = stranger(&shared, patience).await;
    stream.write_all(&header('f', 0, wire::HEADER_BYTES)).await.unwrap();
    assert!(!has_room(&shared));
    assert_eq!(timeout(LONG, stream.read(&mut [0])).await.unwrap().unwrap(), 0);
    serving.await.unwrap();
    assert!(has_room(&shared) && links(&shared) == 0);
    let (mut stream, serving) = stranger(&shared, patience).await;
    stream.write_all(&header('b', 0, wire::HEADER_BYTES)).await.unwrap();
    while !has_room(&shared) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(2 * patience).await;
    assert!(!serving.is_finished() && links(&shared) == 1);
    // What it says may be long.
    stream.write_all(&header('b', 4, 500 << 20)).await.unwrap();
    tokio::time::sleep(patience).await;
    assert!(!serving.is_finished());
    drop(stream);
    serving.await.unwrap();
    assert_eq!(links(&shared), 0);
}

#[tokio::test]
async fn a_stranger_that_announces_a_long_packet_is_closed() {
    let shared = node();
    let (mut stream, serving) = stranger(&shared, LONG * 10).await;
    stream.write_all(&header('f', 4, 500 << 20)).await.unwrap();
    timeout(LONG, serving).await.expect("it is closed").unwrap();
    assert_eq!(links(&shared), 0);
}

#[tokio::test]
async fn what_waits_holds_up_whoever_asked_until_it_is_taken_away() {
    let waiting = link::Waiting::default();
    waiting.add(100);
    let mut waiter = std::pin::pin!(waiting.at_most(50));
    assert!(timeout(Duration::from_millis(20), &mut waiter).await.is_err());
    waiting.remove(40);
    assert!(timeout(Duration::from_millis(20), &mut waiter).await.is_err());
    waiting.remove(10);
    timeout(LONG, waiter).await.expect("it goes on");
}
