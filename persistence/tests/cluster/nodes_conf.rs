//! Stock starts from files that we wrote, and knows what they say.

use std::net::TcpListener;
use std::path::Path;

use highwater_persistence::nodes_conf::{Form, NodeFlag, NodeLine, NodesConf};

use crate::server::Server;

/// What of a node does not depend on who looks at it, and when.
fn lasting(node: &NodeLine) -> NodeLine {
    let is_myself = node.is(NodeFlag::Myself);
    let mut node = NodeLine { ping_sent: 0, pong_received: 0, connected: false, ..node.clone() };
    if is_myself {
        // Its own ports are those it was started with.
        (node.ip, node.port, node.cport) = (String::new(), 0, 0);
    }
    node
}

fn all_lasting(conf: &NodesConf) -> Vec<NodeLine> {
    let mut nodes: Vec<_> = conf.nodes.iter().map(lasting).collect();
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    nodes
}

fn check_stock(name: &str) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/nodes_conf");
    let conf = NodesConf::parse(&std::fs::read(fixtures.join(name)).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.conf");
    let written = conf.write_form(Form::Seven0);
    std::fs::write(&file, &written).unwrap();
    let ours = NodesConf::parse(written.as_bytes()).unwrap();
    // What a node is told at its start goes before what its file says of itself.
    let hostname = ours.myself().unwrap().hostname.clone();
    let stays = if ours.myself().unwrap().is(NodeFlag::NoFailover) { "yes" } else { "no" };
    // Both at once, so that they differ.
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, bus] = listeners.map(|it| it.local_addr().unwrap().port().to_string());
    let server = Server::start(
        folder.path(),
        &[
            ["--port", &port],
            ["--cluster-port", &bus],
            ["--bind", "127.0.0.1"],
            ["--cluster-enabled", "yes"],
            ["--cluster-node-timeout", "100000"],
            ["--cluster-announce-hostname", &hostname],
            ["--cluster-replica-no-failover", stays],
        ]
        .concat(),
    );
    let shown = server.ask(&["CLUSTER", "NODES"]) + "\n";
    let shown = NodesConf::parse(shown.as_bytes()).unwrap();
    assert_eq!(all_lasting(&shown), all_lasting(&ours), "{name}");
    assert_eq!(server.ask(&["CLUSTER", "SAVECONFIG"]), "OK");
    drop(server);
    let saved = NodesConf::parse(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(all_lasting(&saved), all_lasting(&ours), "{name}");
    let epochs = |conf: &NodesConf| (conf.current_epoch, conf.last_vote_epoch);
    assert_eq!(epochs(&saved), epochs(&ours), "{name}");
}

#[test]
fn stock_starts_from_files_that_we_wrote() {
    for name in ["new", "migrating", "importing", "replica", "failed"] {
        check_stock(&format!("stock_70/{name}.conf"));
    }
    // Newer files, in the old form.
    check_stock("redis_62.conf");
    check_stock("redis_72.conf");
    check_stock("valkey_8.conf");
}
