"""Plays with a cluster as Python's users do, and kills a primary in the middle. Arguments: RESP version, ports."""

import os
import signal
import sys
import time

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

PROTOCOL = int(sys.argv[1])
PORTS = [int(port) for port in sys.argv[2:]]


def connect(**settings):
    nodes = [ClusterNode("127.0.0.1", port) for port in PORTS]
    # It tries again at once, not after what is said here: a thousand times take longer than a failover.
    retry = Retry(ConstantBackoff(0.05), 1000)
    return RedisCluster(
        startup_nodes=nodes, protocol=PROTOCOL, decode_responses=True, retry=retry,
        socket_timeout=5, **settings)


def wait_for(what, look):
    for _ in range(600):
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(what + " does not come")


def play(client, number):
    """Writes and reads in all shards, one by one, many at once, and over several slots."""
    for key in range(60):
        assert client.set(f"one:{key}", number)
        assert client.get(f"one:{key}") == str(number)
    pipe = client.pipeline()
    for key in range(60):
        pipe.set(f"many:{key}", number)
        pipe.get(f"many:{key}")
    assert pipe.execute() == [True, str(number)] * 60
    assert client.mset_nonatomic({f"spread:{key}": number for key in range(20)})
    assert client.mget_nonatomic([f"spread:{key}" for key in range(20)]) == [str(number)] * 20
    with client.pipeline(transaction=True) as transaction:
        transaction.set("{t}:a", number)
        transaction.incr("{t}:a")
        transaction.get("{t}:a")
        replies = transaction.execute()
        # What SET says in a transaction is not translated.
        assert replies == ["OK", number + 1, str(number + 1)], replies
    assert len(list(client.scan_iter(match="one:*"))) == 60


def messages(client):
    listener = client.pubsub()
    listener.subscribe("news")
    assert listener.get_message(timeout=5)["type"] == "subscribe"
    client.publish("news", "hello")
    assert listener.get_message(timeout=5)["data"] == "hello"
    listener.close()
    shard = client.pubsub()
    shard.ssubscribe("shard")
    assert shard.get_sharded_message(timeout=5)["type"] == "ssubscribe"
    client.spublish("shard", "hello")
    heard = lambda: shard.get_sharded_message(timeout=0.1)
    assert wait_for("a message of the shard", heard)["data"] == "hello"
    shard.close()


def parsed(client):
    """What the library makes of the cluster's descriptions of itself."""
    # A replica is named once the one that is asked has heard of its offset.
    complete = lambda slots: slots if all(place["replicas"] for place in slots.values()) else None
    slots = wait_for("a full list of replicas", lambda: complete(client.cluster_slots()))
    assert sum(last - first + 1 for first, last in slots) == 16384, slots
    assert {place["primary"][1] for place in slots.values()} <= set(PORTS), slots
    assert all(len(place["replicas"]) == 1 for place in slots.values()), slots
    healthy = lambda shards: all(
        node["health"] == "online" for shard in shards for node in shard["nodes"])
    wait_for("health", lambda: healthy(client.cluster_shards()))
    shards = client.cluster_shards(target_nodes=client.get_primaries()[0])
    assert len(shards) == 3, shards
    for shard in shards:
        roles = sorted(node["role"] for node in shard["nodes"])
        assert roles == ["master", "replica"], shards
        assert {node["port"] for node in shard["nodes"]} <= set(PORTS), shards
    nodes = client.cluster_nodes()
    assert {int(address.split(":")[1]) for address in nodes} == set(PORTS), nodes
    assert all(node["connected"] for node in nodes.values()), nodes
    links = client.cluster_links(client.get_primaries()[0])
    if PROTOCOL == 2:
        links = [dict(zip(link[::2], link[1::2])) for link in links]
    ways = {str(link["direction"]) for link in links}
    assert ways == {"to", "from"} and len(links) >= 10, links
    info = client.cluster_info(target_nodes=client.get_primaries()[0])
    assert info["cluster_state"] == "ok" and info["cluster_size"] == "3", info
    assert client.cluster_keyslot("foo") == 12182
    assert client.cluster_myid(client.get_primaries()[0])


def port_of(client, key):
    return client.get_node_from_key(key).port


def replica_of(port):
    _, replicas = Redis(port=port).role()[1:3]
    return int(replicas[0][1])


def confirm(client, key):
    """WAIT goes to one shard: that of the key, over a connection of its own."""
    direct = Redis(port=port_of(client, key), decode_responses=True)
    direct.set(key, "confirmed")
    assert direct.wait(1, 5000) == 1


def main():
    client = connect()
    play(client, 1)
    messages(client)
    parsed(client)
    # An operator moves a primary.
    port = port_of(client, "one:1")
    replica = replica_of(port)
    assert Redis(port=replica).cluster("FAILOVER")
    play(client, 2)
    wait_for("a new primary", lambda: Redis(port=replica).role()[0] in (b"master", "master"))
    play(client, 3)
    wait_for("a reinitialised map", lambda: client.set("one:1", 3) and port_of(client, "one:1") == replica)
    wait_for("a replica again", lambda: Redis(port=replica).role()[2])
    # A primary dies.
    confirm(client, "{one:1}:confirmed")
    os.kill(int(Redis(port=replica).info("server")["process_id"]), signal.SIGKILL)
    play(client, 4)
    assert client.get("{one:1}:confirmed") == "confirmed"
    assert port_of(client, "one:1") == port
    messages(client)
    # Reads from replicas, as far as there are any.
    reader = connect(read_from_replicas=True)
    for key in range(60):
        wait_for("a replica's word", lambda: reader.get(f"one:{key}") == "4")
    print("played")


main()
