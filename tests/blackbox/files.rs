//! What settings promise about files: access clocks in snapshots, history of the log.

use std::path::Path;

use crate::peer::{bulk, words};
use crate::server::{Server, wait_for};

/// Names in the folder of the log.
fn log_files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("appendonlydir")).expect("the log has a folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".manifest"))
        .collect();
    names.sort();
    names
}

fn rewrite(server: &Server) {
    let before = server.info("aof_rewrites");
    assert!(server.ask("BGREWRITEAOF").starts_with('+'));
    wait_for("the end of the rewrite", || {
        let ended =
            server.info("aof_rewrites") != before && server.info("aof_rewrite_in_progress") == "0";
        ended.then_some(())
    });
}

/// Sets keys with given access clocks and reads these after a restart.
fn after_restart(policy: &str, option: &str, asked: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["--maxmemory-policy", policy];
    let mut server = Server::start(folder.path(), &settings);
    server.ask("SET a 1");
    let payload = server.client().run(&[words("DUMP a")]).remove(0);
    let payload = bulk(&payload).to_vec();
    let mut request = words("RESTORE old 0");
    request.push(payload);
    request.extend(words(option));
    assert_eq!(server.client().run(&[request]), [b"+OK\r\n"]);
    rewrite(&server);
    server.kill();
    let server = Server::start(folder.path(), &settings);
    (server.ask(&format!("OBJECT {asked} old")), server.ask(&format!("OBJECT {asked} a")))
}

#[test]
fn access_clocks_survive_a_restart_under_the_policies_that_use_them() {
    let number = |reply: &str| reply.trim_start_matches(':').trim_end().parse::<u64>().unwrap();
    let (old, fresh) = after_restart("allkeys-lru", "IDLETIME 5000", "IDLETIME");
    assert!((5000..5100).contains(&number(&old)), "{old}");
    assert!(number(&fresh) < 100, "{fresh}");
    let (old, fresh) = after_restart("volatile-lfu", "FREQ 200", "FREQ");
    assert!((199..=200).contains(&number(&old)), "{old}");
    assert!((4..=6).contains(&number(&fresh)), "{fresh}");
    let (old, _) = after_restart("allkeys-random", "IDLETIME 5000", "IDLETIME");
    assert!(number(&old) < 100, "no policy asks for it: {old}");
}

#[test]
fn history_of_the_log_is_kept_while_the_setting_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &["--aof-disable-auto-gc", "yes"]);
    server.ask("SET a 1");
    rewrite(&server);
    rewrite(&server);
    let kept = log_files(folder.path());
    let first = "appendonly.aof.1.incr.aof".to_owned();
    assert!(kept.contains(&first) && kept.len() >= 5, "{kept:?}");
    server.kill();
    let server = Server::start(folder.path(), &["--aof-disable-auto-gc", "yes"]);
    assert_eq!(server.ask("GET a"), "$1\r\n1\r\n");
    assert_eq!(log_files(folder.path()), kept, "a start keeps them too");
    assert_eq!(server.ask("CONFIG SET aof-disable-auto-gc no"), "+OK\r\n");
    // What replicas may still want stays, until it is not to either.
    assert!(log_files(folder.path()).contains(&first));
    assert_eq!(server.ask("CONFIG SET repl-backlog-disk-size 0"), "+OK\r\n");
    wait_for("the end of history", || (log_files(folder.path()).len() == 2).then_some(()));
    let manifest = folder.path().join("appendonlydir/appendonly.aof.manifest");
    wait_for("a manifest without history", || {
        let text = std::fs::read_to_string(&manifest).unwrap();
        (!text.contains(" type h")).then_some(())
    });
    rewrite(&server);
    assert_eq!(log_files(folder.path()).len(), 2);
}

#[test]
fn a_snapshot_shows_nothing_of_what_is_asked_for_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--appendonly", "no", "--save", ""]);
    let requests = ["MSET a 1 b 2", "BGSAVE", "SET c 3", "FLUSHALL"].map(words);
    assert_eq!(server.client().run(&requests).last().unwrap(), b"+OK\r\n");
    wait_for("the snapshot", || (server.info("rdb_saves") == "1").then_some(()));
    drop(server);
    let server = Server::start(folder.path(), &["--appendonly", "no", "--save", ""]);
    assert_eq!(server.ask("MGET a b c"), "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n");
}
