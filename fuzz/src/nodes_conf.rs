//! What a node of a cluster keeps.

use highwater_persistence::nodes_conf::{Form, NodeFlag, NodesConf, SLOT_END};

/// A file that is read is written so that it reads the same; the old form says as much as it has room for.
pub fn check(input: &[u8]) {
    let Ok(mut conf) = NodesConf::parse(input) else { return };
    assert!(input.is_empty() || input.ends_with(b"\n"), "the last line has an end");
    let myself = conf.nodes.iter().filter(|node| node.is(NodeFlag::Myself));
    assert_eq!(myself.count(), 1);
    assert!(conf.newest_epoch() >= conf.current_epoch && conf.newest_epoch() < 1 << 63);
    let slots = conf.nodes.iter().flat_map(|node| &node.slots);
    let count: usize = slots.map(|&(first, last)| usize::from(last - first) + 1).sum();
    assert!(count <= usize::from(SLOT_END), "each slot has one owner");

    conf.has_vars = true;
    let written = conf.write();
    assert_eq!(NodesConf::parse(written.as_bytes()).as_ref(), Ok(&conf), "{written}");
    let old = conf.write_form(Form::Seven0);
    for node in &mut conf.nodes {
        (node.tls_port, node.tcp_port, node.nodename, node.shard_id) = (None, None, None, None);
        node.other_aux.clear();
    }
    assert_eq!(NodesConf::parse(old.as_bytes()).as_ref(), Ok(&conf), "{old}");
}
