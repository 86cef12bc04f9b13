//! What servers of both kinds hold, in a form that can be compared.

use std::fs;
use std::path::Path;

use crate::peer::{Client, Stock, bulk, reply_length, words};

/// A stock server that looks at sorted sets for others. 7.0 prints scores with 17 digits and takes the digest of those;
/// our reference prints the shortest text that is exact.
pub(crate) struct Judge(pub(crate) Stock);

impl Judge {
    pub(crate) fn start() -> Judge {
        Judge(Stock::start(&[]))
    }

    /// Everything that a server holds: type, expiry and value of each key.
    pub(crate) fn contents(&mut self, client: &mut Client) -> Vec<String> {
        let mut found = Vec::new();
        for db in 0..16 {
            let select = words(&format!("SELECT {db}"));
            let mut keys = elements(&client.run(&[select, words("KEYS *")])[1]);
            keys.sort();
            for key in keys {
                let ask = |line: &str| [words(line), vec![key.clone()]].concat();
                let requests = [ask("TYPE"), ask("PEXPIRETIME"), ask("DEBUG DIGEST-VALUE")];
                let mut facts = client.run(&requests);
                if facts[0] == b"+zset\r\n" {
                    let payload = bulk(&client.run(&[ask("DUMP")])[0]).to_vec();
                    facts[2] = self.digest(payload);
                }
                let facts = facts.concat().escape_ascii().to_string();
                found.push(format!("{db} {} {facts}", key.escape_ascii()));
            }
        }
        found
    }

    /// The digest of a value that somebody dumped.
    fn digest(&mut self, payload: Vec<u8>) -> Vec<u8> {
        let restore = [words("RESTORE judged 0"), vec![payload, b"REPLACE".to_vec()]].concat();
        let mut replies = self.0.run(&[restore, words("DEBUG DIGEST-VALUE judged")]);
        assert_eq!(replies[0], b"+OK\r\n");
        replies.remove(1)
    }
}

/// A stock server on a copy of `folder`.
pub(crate) fn stock_on(folder: &Path, settings: &[&str]) -> Stock {
    let copy = copy_of(folder);
    let dir = copy.path().to_str().expect("temporary folders have plain names");
    let mut all = vec!["--dir", dir];
    all.extend(settings);
    // The server is ready once it answers: the copy is not needed any longer than that.
    Stock::start(&all)
}

pub(crate) fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    copy_tree(folder, copy.path());
    copy
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("room");
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("room");
        }
    }
}

/// The elements of an array of bulk strings.
pub(crate) fn elements(reply: &[u8]) -> Vec<Vec<u8>> {
    let mut at = reply.iter().position(|byte| *byte == b'\n').expect("a reply has a line") + 1;
    let mut found = Vec::new();
    while at < reply.len() {
        let length = reply_length(&reply[at..]).expect("the array is whole");
        found.push(bulk(&reply[at..at + length]).to_vec());
        at += length;
    }
    found
}
