//! Histories that differ are never continued: who has what the primary has not gets everything, and loses it.

use crate::logs::compare;
use crate::node::{Kind, Node, settle};

use Kind::{Ours, Stock};

/// How the old primary becomes a replica.
#[derive(Clone, Copy, Debug)]
enum Return {
    AsItRuns,
    KilledBefore,
}

/// Goal: an old primary took writes after its replica had been promoted. It and its other replica, which has these writes
/// too, end with the data of the new one. Method: `extra` keys are written to the old primary, `others` to the new one;
/// whichever of them is longer, neither must be taken for a continuation of the other.
fn check([old, new, sibling]: [Kind; 3], (extra, others): (usize, usize), way: Return) {
    let settings = ["--appendonly", "yes"];
    let mut old = Node::start(old, None, &settings);
    let mut new = Node::start(new, Some(&old), &settings);
    let sibling = Node::start(sibling, Some(&old), &settings);
    old.fill("shared", 100, 50);
    [&new, &sibling].into_iter().for_each(|replica| settle(&old, replica));

    new.lead();
    old.fill("extra", extra, 50);
    settle(&old, &sibling);
    new.fill("other", others, 50);
    let before = new.syncs();
    match way {
        Return::AsItRuns => old.follow(&new),
        Return::KilledBefore => {
            old.kill();
            old.will_follow(&new);
            old.restart();
        }
    }
    settle(&new, &old);
    settle(&old, &sibling);
    let served = new.syncs();
    assert_eq!(
        (served.0 - before.0, served.1 - before.1),
        (1, 0),
        "the old primary gets everything"
    );
    for node in [&old, &sibling] {
        assert_eq!(node.ask("EXISTS extra:0 shared:0 other:0"), ":2\r\n");
    }
    new.fill("later", 10, 50);
    settle(&new, &old);
    settle(&old, &sibling);
    for (one, two) in [(&new, &old), (&old, &sibling)] {
        if one.kind == Ours && two.kind == Ours {
            assert!(compare(one, two) > 0, "later keys are in both logs");
        }
    }
}

/// More on either side.
const LENGTHS: [(usize, usize); 2] = [(1, 40), (40, 1)];

#[test]
fn a_primary_that_wrote_on_after_a_promotion_gets_everything() {
    LENGTHS.into_iter().for_each(|lengths| check([Ours; 3], lengths, Return::AsItRuns));
}

#[test]
fn a_killed_primary_that_wrote_on_after_a_promotion_gets_everything() {
    LENGTHS.into_iter().for_each(|lengths| check([Ours; 3], lengths, Return::KilledBefore));
}

#[test]
fn histories_are_told_apart_with_stock_servers_too() {
    check([Ours, Stock, Ours], LENGTHS[0], Return::AsItRuns);
    check([Stock, Ours, Ours], LENGTHS[1], Return::AsItRuns);
    check([Stock, Ours, Stock], LENGTHS[0], Return::KilledBefore);
}
