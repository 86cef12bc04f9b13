//! Outputs as lines that a test can compare.

use highwater::cluster::packet::Heartbeat;
use highwater::cluster::{Body, Output, Packet, SlotSet};
use highwater::keyspace::Slot;

/// `output` in a few words; `peer` names the other end of a link, `node` the node at an address.
pub(crate) fn line(output: &Output, peer: &str, node: &str) -> String {
    match output {
        Output::Persist => "persist".into(),
        Output::SaveSoon => "save soon".into(),
        Output::Connect { .. } => format!("connect {node}"),
        Output::Close { .. } => format!("close {peer}"),
        Output::Send { packet, .. } => format!("{} -> {peer}", words(packet)),
        Output::Follow { .. } => format!("follow {node}"),
        Output::Promote => "promote".into(),
        Output::DropKeys(slots) => format!("drop keys {}", set(slots)),
        Output::GaveUp(slots) => format!("gave up {}", set(slots)),
        Output::Flush => "flush".into(),
        Output::Pause => "pause".into(),
        Output::Unpause => "unpause".into(),
        Output::Deliver { channel, .. } => format!("deliver {}", String::from_utf8_lossy(channel)),
        Output::Note { text, .. } => format!("note {text}"),
    }
}

/// What a packet is about.
pub(crate) fn words(packet: &Packet) -> String {
    match &packet.body {
        Body::Heartbeat { kind: Heartbeat::Ping, .. } => "ping".into(),
        Body::Heartbeat { kind: Heartbeat::Pong, .. } => "pong".into(),
        Body::Heartbeat { kind: Heartbeat::Meet, .. } => "meet".into(),
        Body::Fail(about) => format!("fail {}", &about.as_str()[..1]),
        Body::Publish { sharded: false, .. } => "publish".into(),
        Body::Publish { sharded: true, .. } => "spublish".into(),
        Body::VoteRequest => "vote?".into(),
        Body::Vote => "vote".into(),
        Body::Update { config_epoch, owner, slots } => {
            format!("update {} {config_epoch} {}", &owner.as_str()[..1], runs(slots))
        }
        Body::ManualFailover => "mfstart".into(),
        Body::Module => "module".into(),
        Body::Unknown(kind) => format!("type {kind}"),
    }
}

fn set(slots: &[Slot]) -> String {
    runs(&slots.iter().copied().collect())
}

/// A set of slots as the layouts write it.
pub(crate) fn runs(slots: &SlotSet) -> String {
    let run = |(first, last): (Slot, Slot)| match (first.number(), last.number()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    slots.ranges().into_iter().map(run).collect::<Vec<_>>().join(",")
}
