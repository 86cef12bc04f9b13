use std::sync::Arc;

use super::*;
use crate::clock;
use crate::cluster::core::LinkId;
use crate::cluster::packet::Heartbeat;
use crate::cluster::testing::cluster_of;
use crate::cluster::{Epoch, Header, SlotSet};
use crate::keyspace::Slot;

fn claim(epoch: u64, slots: &[u16]) -> Claim {
    let slots: SlotSet = slots.iter().map(|&slot| Slot::new(slot).expect("a slot")).collect();
    Claim { config_epoch: Epoch(epoch), primary: None, slots: Arc::new(slots) }
}

/// A packet about something, in which the sender claims something.
fn packet(number: u64, claim: &Claim, body: Body) -> Output {
    let header = Header {
        config_epoch: claim.config_epoch,
        primary: claim.primary,
        slots: Arc::clone(&claim.slots),
        ..cluster_of('a', clock::now()).header()
    };
    let packet = Arc::new(Packet { header: Some(Box::new(header)), body });
    Output::Send { link: LinkId(number), packet }
}

fn ping(number: u64, claim: &Claim) -> Output {
    let body =
        Body::Heartbeat { kind: Heartbeat::Ping, gossip: Vec::new(), extensions: Vec::new() };
    packet(number, claim, body)
}

/// The links of packets, and of what else there is.
fn links(outputs: &[Output]) -> Vec<u64> {
    let link = |output: &Output| match output {
        Output::Send { link, .. } | Output::Close { link } | Output::Connect { link, .. } => link.0,
        other => panic!("{other:?} is not for the driver"),
    };
    outputs.iter().map(link).collect()
}

#[test]
fn packets_that_say_what_the_file_says_do_not_wait_and_others_do() {
    let (old, new) = (claim(1, &[1, 2]), claim(7, &[1, 2, 3]));
    let mut outbox = Outbox::new(old.clone());
    assert_eq!(links(&outbox.add(vec![ping(1, &new)])), [1], "nothing was promised");
    assert!(!outbox.wants_save());

    let vote = packet(3, &old, Body::Vote);
    let added = outbox.add(vec![ping(2, &old), Output::Persist, vote.clone(), ping(4, &old)]);
    assert_eq!(links(&added), [2, 4]);
    assert!(outbox.wants_save());
    outbox.begin_save(old.clone());
    assert!(!outbox.wants_save(), "one at a time");
    // Closing waits for what is to be sent there, and nothing else does.
    let close = |number| Output::Close { link: LinkId(number) };
    let added = outbox.add(vec![close(3), close(4), ping(5, &old), ping(6, &new)]);
    assert_eq!(links(&added), [4, 5]);
    // A promise that comes now is not in what is being written.
    assert_eq!(outbox.add(vec![Output::Persist, ping(7, &new)]), []);
    assert_eq!(links(&outbox.end_save(true)), [3, 3, 6]);
    assert!(outbox.wants_save());
    outbox.begin_save(new.clone());
    assert_eq!(
        links(&outbox.add(vec![ping(8, &old), vote])),
        [8],
        "the old claim is on disk still"
    );
    assert_eq!(links(&outbox.end_save(true)), [7, 3]);
    assert!(!outbox.wants_save());
}

#[test]
fn what_cannot_be_written_is_not_promised() {
    let (old, new) = (claim(1, &[1]), claim(2, &[1]));
    let mut outbox = Outbox::new(old.clone());
    let vote = packet(1, &old, Body::Vote);
    assert_eq!(outbox.add(vec![Output::Persist, vote.clone(), ping(2, &new)]), []);
    outbox.begin_save(new.clone());
    assert_eq!(outbox.add(vec![Output::Persist, ping(3, &new)]), []);
    assert_eq!(outbox.end_save(false), [], "neither the vote nor the claim");
    assert!(outbox.wants_save(), "the second promise is another try");
    outbox.begin_save(new.clone());
    assert_eq!(outbox.end_save(false), []);
    assert!(!outbox.wants_save());
    assert_eq!(links(&outbox.add(vec![vote.clone(), ping(4, &new), ping(5, &old)])), [5]);
    // Nor what is new in the epoch that the file has; less may be said, and a replica claims nothing for itself.
    let (more, less) = (claim(1, &[1, 2]), claim(1, &[]));
    let replica = Claim { primary: Some(crate::cluster::testing::id('b')), ..new.clone() };
    assert_eq!(links(&outbox.add(vec![ping(7, &more), ping(8, &less), ping(9, &replica)])), [8, 9]);
    assert_eq!(outbox.add(vec![Output::Persist, ping(7, &more)]), []);
    assert_eq!(outbox.len(), 2);
    outbox.begin_save(more.clone());
    assert_eq!(outbox.end_save(false), []);
    assert!(outbox.is_empty());
    assert_eq!(outbox.add(vec![Output::Persist]), []);
    outbox.begin_save(new.clone());
    assert_eq!(outbox.end_save(true), []);
    assert_eq!(links(&outbox.add(vec![vote, ping(6, &new)])), [1, 6]);
}
