//! One test for each question of the order, and one for what is not asked.

use super::*;
use crate::clock::Time;
use crate::cluster::Facts;
use crate::cluster::core::OpenSlot;
use crate::cluster::testing::{cluster_of, id, slot};

const START: Time = Time { mono_us: 1_000_000, unix_us: 1_700_000_000_000_000 };

/// `bar` is in slot 5061, of `a`; `foo` in 12182, of `c`.
const READ: Asked = Asked {
    writes: false,
    reads_replicas: false,
    asks: false,
    is_message: false,
    moves_keys: false,
};
const WRITE: Asked = Asked { writes: true, ..READ };
const ASKING: Asked = Asked { asks: true, ..READ };
const MESSAGE: Asked = Asked { is_message: true, ..READ };
const OF_REPLICA: Asked = Asked { reads_replicas: true, ..READ };
const MIGRATE: Asked = Asked { moves_keys: true, ..WRITE };

const RULES: Rules =
    Rules { endpoint: EndpointType::Ip, reads_when_down: false, messages_when_down: true };

const SERVED: &str = "served";

/// Where a request with `keys` goes; keys that begin with `no` are missing.
fn routed_by(rules: Rules, cluster: &Cluster, asked: Asked, keys: &str) -> String {
    let words = keys.split_whitespace().map(str::as_bytes);
    let result = route(cluster, rules, asked, words, |key| key.starts_with(b"no"));
    result.map_or_else(|error| error.text().to_owned(), |_| SERVED.to_owned())
}

fn routed(cluster: &Cluster, asked: Asked, keys: &str) -> String {
    routed_by(RULES, cluster, asked, keys)
}

fn open(cluster: &mut Cluster, number: u16, what: OpenSlot) {
    cluster.begin(START, Facts::default());
    cluster.set_slot(slot(number), what, 0).unwrap();
}

fn migrating() -> Cluster {
    let mut cluster = cluster_of('a', START);
    open(&mut cluster, 5061, OpenSlot::Migrating(id('b')));
    cluster
}

fn importing() -> Cluster {
    let mut cluster = cluster_of('b', START);
    open(&mut cluster, 5061, OpenSlot::Importing(id('a')));
    cluster
}

fn down() -> Cluster {
    let mut cluster = cluster_of('a', START);
    cluster.begin(START, Facts::default());
    cluster.delete_slots(&[slot(0)]).unwrap();
    cluster.finish();
    assert!(!cluster.is_ok());
    cluster
}

#[test]
fn a_request_without_keys_is_served_by_anybody() {
    assert_eq!(routed(&down(), WRITE, ""), SERVED);
}

#[test]
fn the_first_key_of_a_slot_without_an_owner_ends_it() {
    let cluster = down();
    // Slot 0.
    assert_eq!(routed(&cluster, READ, "{06S}"), "CLUSTERDOWN Hash slot not served");
    assert_eq!(routed(&cluster, READ, "{06S} foo"), "CLUSTERDOWN Hash slot not served");
    assert_eq!(
        routed(&cluster, READ, "foo {06S}"),
        "CROSSSLOT Keys in request don't hash to the same slot"
    );
}

#[test]
fn keys_are_in_one_slot_whoever_owns_them() {
    let crossed = "CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(routed(&cluster_of('a', START), READ, "bar foo"), crossed);
    assert_eq!(routed(&cluster_of('a', START), READ, "foo bar"), crossed);
    assert_eq!(routed(&migrating(), READ, "bar nobar"), crossed);
    assert_eq!(routed(&importing(), ASKING, "bar nobar"), crossed);
    assert_eq!(routed(&cluster_of('a', START), READ, "bar {bar}1 bar"), SERVED);
}

#[test]
fn while_the_cluster_is_down_the_settings_decide() {
    let cluster = down();
    let all = "CLUSTERDOWN The cluster is down";
    assert_eq!(routed(&cluster, READ, "bar"), all);
    assert_eq!(routed(&cluster, READ, "foo"), all, "also for what is elsewhere");
    assert_eq!(routed(&cluster, WRITE, "bar"), all);
    assert_eq!(routed(&cluster, MESSAGE, "bar"), SERVED);
    let rules = Rules { reads_when_down: true, messages_when_down: false, ..RULES };
    assert_eq!(routed_by(rules, &cluster, READ, "bar"), SERVED);
    assert_eq!(routed_by(rules, &cluster, MESSAGE, "bar"), all);
    assert_eq!(
        routed_by(rules, &cluster, WRITE, "bar"),
        "CLUSTERDOWN The cluster is down and only accepts read commands"
    );
}

#[test]
fn migrate_works_where_the_slot_is_open() {
    assert_eq!(routed(&migrating(), MIGRATE, "nobody{bar}"), SERVED);
    assert_eq!(routed(&importing(), MIGRATE, "nobody{bar}"), SERVED);
    assert_eq!(routed(&cluster_of('a', START), MIGRATE, "foo"), "MOVED 12182 10.0.0.2:7002");
}

#[test]
fn a_migrating_slot_serves_the_keys_it_still_has() {
    let cluster = migrating();
    assert_eq!(routed(&cluster, WRITE, "bar"), SERVED);
    assert_eq!(routed(&cluster, WRITE, "bar {bar}2"), SERVED);
    assert_eq!(routed(&cluster, WRITE, "no{bar}"), "ASK 5061 10.0.0.2:7001");
    assert_eq!(routed(&cluster, WRITE, "no{bar} no2{bar}"), "ASK 5061 10.0.0.2:7001");
    assert_eq!(
        routed(&cluster, WRITE, "bar no{bar}"),
        "TRYAGAIN Multiple keys request during rehashing of slot"
    );
    assert_eq!(routed(&cluster, MESSAGE, "no{bar}"), SERVED, "channels are not there or missing");
    let mut cluster = cluster;
    open(&mut cluster, 5061, OpenSlot::Migrating(id('a')));
    assert_eq!(routed(&cluster, WRITE, "no{bar}"), SERVED, "nobody is sent to where he is");
}

#[test]
fn an_importing_slot_serves_those_who_ask() {
    let cluster = importing();
    assert_eq!(routed(&cluster, WRITE, "bar"), "MOVED 5061 10.0.0.2:7000");
    assert_eq!(routed(&cluster, ASKING, "no{bar}"), SERVED);
    assert_eq!(routed(&cluster, ASKING, "no{bar} no{bar}"), SERVED, "one key, named twice");
    assert_eq!(
        routed(&cluster, ASKING, "bar no{bar}"),
        "TRYAGAIN Multiple keys request during rehashing of slot"
    );
    assert_eq!(routed(&cluster, ASKING, "bar {bar}2"), SERVED);
    assert_eq!(routed(&cluster, ASKING, "foo"), "MOVED 12182 10.0.0.2:7002");
}

#[test]
fn a_replica_answers_reads_of_its_primary_to_those_who_want_that() {
    let cluster = cluster_of('d', START);
    assert_eq!(routed(&cluster, READ, "bar"), "MOVED 5061 10.0.0.2:7000");
    assert_eq!(routed(&cluster, OF_REPLICA, "bar"), SERVED);
    assert_eq!(routed(&cluster, OF_REPLICA, "foo"), "MOVED 12182 10.0.0.2:7002");
    assert_eq!(routed(&cluster, MESSAGE, "bar"), SERVED);
    let write = Asked { writes: true, ..OF_REPLICA };
    assert_eq!(routed(&cluster, write, "bar"), "MOVED 5061 10.0.0.2:7000");
    assert_eq!(
        routed(&cluster_of('b', START), OF_REPLICA, "bar"),
        "MOVED 5061 10.0.0.2:7000",
        "a primary answers for nobody else"
    );
}

#[test]
fn what_is_elsewhere_is_named_as_the_settings_say() {
    let cluster = cluster_of('a', START);
    let to = |endpoint| routed_by(Rules { endpoint, ..RULES }, &cluster, READ, "foo");
    assert_eq!(to(EndpointType::Ip), "MOVED 12182 10.0.0.2:7002");
    assert_eq!(to(EndpointType::Hostname), "MOVED 12182 ?:7002");
    assert_eq!(to(EndpointType::UnknownEndpoint), "MOVED 12182 :7002");
}

#[test]
fn a_slot_that_does_not_move_is_never_searched() {
    let mut cluster = migrating();
    let search = |cluster: &Cluster, asked, keys: &[&str]| {
        let words = keys.iter().map(|key| key.as_bytes());
        let never = |_: &[u8]| -> bool { panic!("a key was looked for") };
        route(cluster, RULES, asked, words, never).is_ok()
    };
    assert!(search(&cluster, WRITE, &["{06S}1", "{06S}2"]), "another slot moves");
    assert!(search(&cluster, MESSAGE, &["bar"]));
    open(&mut cluster, 5061, OpenSlot::Stable);
    assert!(search(&cluster, WRITE, &["bar", "{bar}2"]));
    assert!(!search(&cluster, ASKING, &["foo"]));
}

#[test]
fn the_slot_is_told() {
    let cluster = cluster_of('a', START);
    let found = route(&cluster, RULES, READ, [&b"bar"[..]].into_iter(), |_| false);
    assert_eq!(found.unwrap(), Some(slot(5061)));
    assert_eq!(route(&cluster, RULES, READ, std::iter::empty(), |_| false).unwrap(), None);
}
