//! `import` and `backup`.

use crate::both::{THREE, compare, id};
use crate::member::{Kind, Member};

use Kind::Stock;

#[test]
fn keys_of_a_lone_server_are_imported_alike() {
    let alone = |password: &[&str]| {
        let settings = [&["--cluster-enabled", "no"], password].concat();
        let source = Member::start(Stock, &settings);
        (0..12).for_each(|number| drop(source.ask(&format!("SET key:{number} x"))));
        source
    };
    compare(Stock, THREE, |lab, cli| {
        let source = alone(&[]);
        let from = source.address();
        let at = lab.at(0);
        let import = |more: &[&str]| {
            let said = cli(&[&["import", &at, "--cluster-from", &from], more].concat(), &[]);
            let said = said.replace(&from, "SOURCE");
            // Which key comes first is the order of a hash table.
            let first = said.find("Migrating").filter(|_| said.contains("BUSYKEY"));
            first.map_or(said.clone(), |at| said[..at].to_owned())
        };
        let mut said = vec![
            cli(&["import", &at, "--cluster-from", &lab.at(1)], &[]),
            cli(&["import", &at, "--cluster-from", "127.0.0.1:1"], &[]),
            import(&["--cluster-copy"]),
            import(&[]),
            import(&["--cluster-replace"]),
            import(&[]),
            cli(&["info", &at], &[]),
        ];
        source.ask("CONFIG SET requirepass secret");
        said.push(import(&[]));
        said.push(import(&["--cluster-from-pass", "secret"]));
        said
    });
}

#[test]
fn backups_are_alike() {
    for is_broken in [false, true] {
        compare(Stock, THREE, |lab, cli| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().to_str().unwrap();
            if is_broken {
                lab.order(1, &format!("CLUSTER SETSLOT 5 IMPORTING {}", id(0)));
            }
            let said = cli(&["backup", &lab.at(0), path], &[]).replace(path, "FOLDER");
            let mut names: Vec<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            let json = std::fs::read_to_string(folder.path().join("nodes.json")).unwrap();
            let nodes: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
            let mut shown: Vec<String> = nodes
                .iter()
                .map(|node| {
                    let mut node = node.clone();
                    node["port"] = serde_json::Value::Null;
                    node.to_string()
                })
                .collect();
            shown.sort();
            for entry in std::fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "rdb") {
                    let checked = std::process::Command::new("redis-check-rdb").arg(&path).output();
                    assert!(checked.unwrap().status.success(), "{}", path.display());
                }
            }
            // Lines of one node stand apart, as far as they go to two streams.
            let layout = json.lines().find(|line| line.contains("slots\"")).unwrap().to_owned();
            vec![said, names.len().to_string(), shown.join("\n"), layout[..13].to_owned()]
        });
    }
}
