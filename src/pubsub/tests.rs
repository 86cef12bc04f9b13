//! Random subscriptions beside a list of all of them.

use super::*;

/// Client, kind and name, in the order of subscribing.
type Model = Vec<(u64, Kind, Vec<u8>)>;

const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

/// Few names, so that clients meet.
fn random_topic(random: &mut fastrand::Rng) -> (Kind, Vec<u8>) {
    let names = ["a", "b", "a*", "?", "", "*", "{a}b", "{a}"];
    (KINDS[random.usize(..3)], names[random.usize(..names.len())].as_bytes().to_vec())
}

fn count(model: &Model, client: u64, kind: Kind) -> usize {
    model.iter().filter(|(other, of, _)| (*other, *of) == (client, kind)).count()
}

fn compare(pubsub: &PubSub, model: &Model) {
    pubsub.check_invariants();
    assert_eq!(pubsub.is_empty(), model.is_empty());
    for client in 0..5 {
        for kind in KINDS {
            let own = model.iter().filter(|(other, of, _)| (*other, *of) == (client, kind));
            let expected: Vec<&[u8]> = own.map(|(_, _, name)| &name[..]).collect();
            let found = pubsub.list(client, kind);
            assert_eq!(found.iter().map(|name| &name[..]).collect::<Vec<_>>(), expected);
        }
        let [channels, patterns, shards] = KINDS.map(|kind| count(model, client, kind));
        assert_eq!(pubsub.counts(client), Counts { channels, patterns, shards });
    }
    for channel in [&b"a"[..], b"ab", b""] {
        let mut expected: Vec<(Vec<u8>, u64)> = model
            .iter()
            .filter(|(_, kind, name)| *kind == Kind::Pattern && glob::matches(name, channel))
            .map(|(client, _, name)| (name.clone(), *client))
            .collect();
        expected.sort_unstable();
        let found: Vec<(Vec<u8>, u64)> = pubsub
            .matching(channel)
            .flat_map(|(pattern, clients)| clients.map(|client| (pattern.to_vec(), client)))
            .collect();
        assert_eq!(found, expected);
    }
    let distinct = |kind| {
        let of_kind = model.iter().filter(|(_, of, _)| *of == kind);
        let names: std::collections::BTreeSet<_> = of_kind.map(|(_, _, name)| name).collect();
        names.len()
    };
    assert_eq!(KINDS.map(|kind| pubsub.topics(kind)), KINDS.map(distinct));
    assert_eq!(pubsub.channels().count(), distinct(Kind::Channel));
    assert_eq!(pubsub.shard_channels().count(), distinct(Kind::Shard));
}

fn play(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut pubsub, mut model) = (PubSub::default(), Model::new());
    for _ in 0..400 {
        let client = random.u64(..5);
        let (kind, name) = random_topic(&mut random);
        let topic = Topic::new(kind, &name);
        let slot = Slot::of(&name);
        let entry = (client, kind, name.clone());
        let known = model.contains(&entry);
        match random.u8(..20) {
            0 => {
                pubsub.leave(client);
                model.retain(|(other, ..)| *other != client);
            }
            1 => {
                let mut expected: Vec<(Vec<u8>, u64)> = model
                    .iter()
                    .filter(|(_, kind, name)| *kind == Kind::Shard && Slot::of(name) == slot)
                    .map(|(client, _, name)| (name.clone(), *client))
                    .collect();
                expected.sort_unstable();
                let dropped = pubsub.drop_slot(slot).into_iter();
                let dropped: Vec<(Vec<u8>, u64)> = dropped
                    .flat_map(|(name, clients)| {
                        clients.into_iter().map(move |client| (name.to_vec(), client))
                    })
                    .collect();
                assert_eq!(dropped, expected);
                model.retain(|(_, kind, name)| *kind != Kind::Shard || Slot::of(name) != slot);
            }
            2..=10 => {
                assert_eq!(pubsub.subscribe(client, topic), !known);
                if !known {
                    model.push(entry);
                }
            }
            _ => {
                assert_eq!(pubsub.unsubscribe(client, topic), known);
                model.retain(|other| *other != entry);
            }
        }
        compare(&pubsub, &model);
        let subscribers: Vec<u64> = pubsub.subscribers(topic).collect();
        let mut expected: Vec<u64> = model
            .iter()
            .filter(|(_, of, other)| (*of, other) == (kind, &name))
            .map(|(client, ..)| *client)
            .collect();
        expected.sort_unstable();
        assert_eq!(subscribers, expected);
    }
}

#[test]
fn random_subscriptions_are_those_of_a_list() {
    for seed in 0..20 {
        if let Err(panic) = std::panic::catch_unwind(|| play(seed)) {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn what_is_posted_is_settled_once() {
    let mut pubsub = PubSub::default();
    let [first, second] = [(); 2].map(|()| Arc::new(Post::new(b">0\r\n".to_vec())));
    pubsub.note_posted([Arc::clone(&first)]);
    assert!(pubsub.has_posted());
    pubsub.settle(3);
    pubsub.note_posted([Arc::clone(&second)]);
    pubsub.settle(7);
    assert!(!pubsub.has_posted());
    assert_eq!((first.hold(9), second.hold(9)), (3, 7));
}
