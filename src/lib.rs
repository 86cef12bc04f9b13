//! Highwater: a persistent node for Redis Cluster.
