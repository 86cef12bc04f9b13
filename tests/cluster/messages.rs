//! Messages reach the subscribers of all nodes, or of the shard.

use crate::member::Kind;
use crate::peer::words;
use crate::shards::Shards;

#[test]
fn messages_reach_all_nodes_and_shard_messages_the_shard() {
    let shards = Shards::make(
        &[Kind::Ours, Kind::Stock, Kind::Ours, Kind::Stock, Kind::Ours, Kind::Stock],
        1,
        &[],
    );
    let mut listeners: Vec<_> = shards.members.iter().map(|member| member.client()).collect();
    for listener in &mut listeners {
        listener.run(&[words("SUBSCRIBE news")]);
    }
    for member in &shards.members {
        let text = format!("from-{}", member.port);
        member.ask(&format!("PUBLISH news {text}"));
        for listener in &mut listeners {
            let told = String::from_utf8_lossy(&listener.reply().unwrap()).into_owned();
            assert!(told.contains(&text), "{told}");
        }
    }
    let primary = shards.owner("shard");
    let replica = shards.replicas(primary)[0];
    let mut listener = shards.members[replica].client();
    listener.run(&[words("READONLY"), words("SSUBSCRIBE shard")]);
    shards.members[primary].ask("SPUBLISH shard hello");
    let told = String::from_utf8_lossy(&listener.reply().unwrap()).into_owned();
    assert!(told.contains("smessage") && told.contains("hello"), "{told}");
}
