//! `call`: one command to all nodes; `set-timeout`: one setting.

use super::super::wire::{Failure, Reply};
use super::nodes::Cluster;
use super::options::Options;
use super::screen::{Done, Screen, Stop};

/// Below this a node is taken for dead while it is merely busy.
pub(super) const TIMEOUT_MS_MIN: i64 = 100;

/// Sends a command to all nodes, or to those of one role, and shows the replies.
pub(super) fn run(
    screen: &mut Screen<'_>,
    cluster: &mut Cluster,
    words: &[String],
    options: &Options,
) {
    screen.info(">>> Calling");
    screen.say(&format!(" {}\n", words.join(" ")));
    let mut replies = serde_json::Map::new();
    for node in &mut cluster.nodes {
        let is_left_out = (options.only_masters && node.is_replica())
            || (options.only_replicas && node.is_primary());
        if is_left_out {
            continue;
        }
        let reply = match node.peer.call(words) {
            Ok(reply) => reply,
            Err(Failure::Refused(text)) => Reply::Error(text),
            Err(Failure::Connection(_)) => {
                screen.say(&format!("{}: Failed!\n", node.peer));
                continue;
            }
        };
        let mut bytes = format!("{}: ", node.peer).into_bytes();
        write_raw(&mut bytes, &reply);
        bytes.push(b'\n');
        screen.bytes(&bytes);
        let text = reply.error().map(str::to_owned).or_else(|| reply.text());
        replies.insert(node.address(), text.into());
    }
    screen.fact("replies", replies);
}

/// A reply without any marks: what is in it, a line each.
fn write_raw(out: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Nil => {}
        Reply::Error(text) => {
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
        }
        Reply::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::Boolean(is_true) => {
            out.extend_from_slice(if *is_true { b"(true)" } else { b"(false)" });
        }
        Reply::Double(text) | Reply::BigNumber(text) => out.extend_from_slice(text.as_bytes()),
        Reply::Array(_) | Reply::Set(_) | Reply::Push(_) => {
            for (index, element) in reply.elements().unwrap_or_default().iter().enumerate() {
                if index > 0 {
                    out.push(b'\n');
                }
                write_raw(out, element);
            }
        }
        Reply::Map(pairs) => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b'\n');
                }
                write_raw(out, key);
                out.push(b' ');
                write_raw(out, value);
            }
        }
        Reply::Status(_) | Reply::Bulk(_) | Reply::Verbatim(..) => {
            out.extend_from_slice(reply.bytes().unwrap_or_default());
        }
    }
}

/// Sets the time after which silent nodes are suspected, on all nodes and in their files.
pub(super) fn set_timeout(screen: &mut Screen<'_>, cluster: &mut Cluster, timeout_ms: i64) -> Done {
    screen.info(">>> Reconfiguring node timeout in every cluster node...\n");
    let (mut good, mut bad) = (0, 0);
    for node in &mut cluster.nodes {
        let set = node.peer.line(&format!("CONFIG SET cluster-node-timeout {timeout_ms}"));
        match set.and_then(|_| node.peer.line("CONFIG REWRITE")) {
            Ok(_) => {
                screen.warn(&format!("*** New timeout set for {}\n", node.peer));
                good += 1;
            }
            Err(failure) => {
                screen.error(&format!("ERR setting node-timeout for {}: {failure}\n", node.peer));
                bad += 1;
            }
        }
    }
    screen.info(&format!(">>> New node timeout set. {good} OK, {bad} ERR.\n"));
    if bad == 0 { Ok(()) } else { Err(Stop::said()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_replies_have_a_line_per_element() {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let raw = |reply: &Reply| {
            let mut out = Vec::new();
            write_raw(&mut out, reply);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(raw(&Reply::Error("ERR no".into())), "ERR no\n");
        assert_eq!(raw(&Reply::Array(vec![])), "");
        let node = Reply::Array(vec![bulk("id"), Reply::Array(vec![])]);
        let slots = Reply::Array(vec![Reply::Integer(0), node, Reply::Integer(5)]);
        assert_eq!(raw(&slots), "0\nid\n\n5");
    }
}
