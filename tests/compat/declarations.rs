//! What the declarations of commands say, beside COMMAND INFO of a stock server.

use std::collections::BTreeSet;

use highwater::commands::{
    Command, Entry, Find, Flag, KeyFlag, KeySpec, dump, expire, flush, generic, generic_move,
    object, scan, sort, table,
};

use crate::peer::{Stock, words};
use crate::tree::Tree;

fn get<'a>(tree: &'a Tree, name: &str) -> &'a Tree {
    tree.field(name).unwrap_or_else(|| panic!("no {name} in {tree:?}"))
}

fn texts(tree: &Tree) -> BTreeSet<String> {
    tree.list().iter().map(|tree| tree.text().to_owned()).collect()
}

/// A flag as COMMAND INFO names it: `SkipMonitor` is `skip_monitor`.
fn shown(name: String) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// Key flags, where the first four are written in capitals.
fn key_flag(flag: KeyFlag) -> String {
    let name = shown(format!("{flag:?}"));
    if name.len() == 2 { name.to_uppercase() } else { name }
}

/// Tips that came with 7.2.
const NEW_TIPS: &[(&str, &str)] =
    &[("scan", "response_policy:special"), ("randomkey", "response_policy:special")];

/// Commands whose key flags are others since 7.2: MOVE takes its key away.
const NEW_KEY_FLAGS: &[&str] = &["move"];

/// Commands that have an option since 7.2.
const NEW_ARITY: &[&str] = &["zrank", "zrevrank"];

fn check_keys(command: &Command, ours: &KeySpec, stock: &Tree) {
    let name = command.name;
    let flags: BTreeSet<String> = ours.flags.iter().copied().map(key_flag).collect();
    if !NEW_KEY_FLAGS.contains(&name) {
        assert_eq!(flags, texts(get(stock, "flags")), "key flags of {name}");
    }
    let Find::Range { first, last, step } = ours.find else { return };
    let begin = get(get(stock, "begin_search"), "spec");
    assert_eq!(get(begin, "index"), &Tree::Number(i64::from(first)), "first key of {name}");
    let range = get(get(stock, "find_keys"), "spec");
    let last = if last < 0 { last } else { last - first.cast_signed() };
    assert_eq!(get(range, "lastkey"), &Tree::Number(i64::from(last)), "last key of {name}");
    assert_eq!(get(range, "keystep"), &Tree::Number(i64::from(step)), "step of {name}");
}

fn check(command: &Command, stock: &Tree) {
    let name = command.name;
    let stock = stock.list();
    if !NEW_ARITY.contains(&name) {
        assert_eq!(Tree::Number(command.arity.shown()), stock[1], "arity of {name}");
    }
    let hidden = [Flag::AlsoLoading, Flag::MayReplicate];
    let reported = command.flags.iter().filter(|flag| !hidden.contains(flag));
    let flags: BTreeSet<String> = reported.map(|flag| shown(format!("{flag:?}"))).collect();
    assert_eq!(flags, texts(&stock[2]), "flags of {name}");
    let known = command.tips.iter().filter(|tip| !NEW_TIPS.contains(&(name, **tip)));
    let tips: BTreeSet<String> = known.map(|tip| (*tip).to_owned()).collect();
    assert_eq!(tips, texts(&stock[7]), "tips of {name}");
    let specs = stock[8].list();
    assert_eq!(command.keys.len(), specs.len(), "key specifications of {name}");
    for (ours, stock) in command.keys.iter().zip(specs) {
        check_keys(command, ours, stock);
    }
}

fn check_docs(entry: &Entry, stock: &Tree) {
    let (name, command) = (&entry.full_name, entry.command);
    let docs = get(stock, name);
    assert_eq!(get(docs, "since").text(), command.since, "since of {name}");
    assert_eq!(get(docs, "group").text(), command.group.name(), "group of {name}");
}

/// Commands that 7.0 does not say to be deprecated yet.
const NEWLY_DEPRECATED: &[&str] = &["quit", "setex", "setnx", "psetex"];

fn check_age(name: &str, stock: &Tree, ours: &Tree) {
    if NEWLY_DEPRECATED.contains(&name) {
        return;
    }
    for field in ["doc_flags", "deprecated_since"] {
        assert_eq!(ours.field(field), stock.field(field), "{field} of {name}");
    }
    assert_eq!(ours.field("replaced_by").is_some(), stock.field("replaced_by").is_some(), "{name}");
}

/// Type, token and flags of each argument, where there are as many.
fn check_arguments(name: &str, stock: &Tree, ours: &Tree) {
    let known = |docs: &Tree| {
        let mut found = Vec::new();
        if let Some(arguments) = docs.field("arguments") {
            gather(arguments, &mut found);
        }
        found
    };
    let (stock, ours) = (known(stock), known(ours));
    if stock.len() == ours.len() {
        assert_eq!(ours, stock, "arguments of {name}");
    }
}

fn gather(arguments: &Tree, found: &mut Vec<(String, Option<String>)>) {
    for argument in arguments.list() {
        let text = |field: &str| argument.field(field).map(|tree| tree.text().to_owned());
        found.push((text("type").expect("each has one"), text("token")));
        if let Some(parts) = argument.field("arguments") {
            gather(parts, found);
        }
    }
}

#[test]
fn all_that_stock_knows_is_documented_alike() {
    let mut stock = Stock::start(&[]);
    stock.run(&[words("HELLO 3")]);
    let theirs = Tree::read(&stock.run(&[words("COMMAND DOCS")])[0]);
    let ours = Tree::read(&highwater::commands::documentation());
    let mut checked = 0;
    for entry in table().entries() {
        let all = std::iter::once(entry).chain(&entry.subcommands);
        for entry in all {
            let find = |docs: &Tree| {
                let (container, _) =
                    entry.full_name.split_once('|').unwrap_or((&entry.full_name, ""));
                let whole = docs.field(container)?;
                if entry.full_name == container {
                    return Some(whole.clone());
                }
                whole.field("subcommands")?.field(&entry.full_name).cloned()
            };
            let (Some(theirs), Some(ours)) = (find(&theirs), find(&ours)) else { continue };
            check_age(&entry.full_name, &theirs, &ours);
            check_arguments(&entry.full_name, &theirs, &ours);
            checked += 1;
        }
    }
    assert!(checked > 250, "{checked}");
}

fn check_all(entries: &[&Entry]) {
    let mut stock = Stock::start(&[]);
    stock.run(&[words("HELLO 3")]);
    for entry in entries {
        let name = &entry.full_name;
        let replies = stock
            .run(&[words(&format!("COMMAND INFO {name}")), words(&format!("COMMAND DOCS {name}"))]);
        let info = Tree::read(&replies[0]);
        check(entry.command, &info.list()[0]);
        check_docs(entry, &Tree::read(&replies[1]));
    }
}

#[test]
fn strings_and_bitmaps_are_declared_as_in_stock() {
    let entries = table().entries().iter();
    let is_newer = |entry: &&Entry| ["8.4.0", "9.0.0"].contains(&entry.command.since);
    let families: Vec<&Entry> = entries
        .filter(|entry| matches!(entry.command.group.name(), "string" | "bitmap"))
        .filter(|entry| !is_newer(entry))
        .collect();
    assert_eq!(families.len(), 29, "all of them");
    check_all(&families);
}

#[test]
fn lists_are_declared_as_in_stock() {
    let entries = table().entries().iter();
    let family: Vec<&Entry> =
        entries.filter(|entry| entry.command.group.name() == "list").collect();
    assert_eq!(family.len(), 22, "all of them");
    check_all(&family);
}

#[test]
fn sorted_sets_and_places_are_declared_as_in_stock() {
    let entries = table().entries().iter();
    let families: Vec<&Entry> = entries
        .filter(|entry| matches!(entry.command.group.name(), "sorted-set" | "geo"))
        .collect();
    assert_eq!(families.len(), 45, "all of them");
    check_all(&families);
}

#[test]
fn the_generic_family_is_declared_as_in_stock() {
    let families = [
        generic::COMMANDS,
        generic_move::COMMANDS,
        expire::COMMANDS,
        scan::COMMANDS,
        sort::COMMANDS,
        object::COMMANDS,
        dump::COMMANDS,
        flush::COMMANDS,
    ];
    let commands = families.iter().flat_map(|family| family.iter());
    let found = |command: &Command| table().find(command.name.as_bytes()).expect("it is declared");
    let entries: Vec<&Entry> = commands.map(found).collect();
    assert_eq!(entries.len(), 31, "all of them");
    let subcommands = entries.iter().flat_map(|entry| entry.subcommands.iter());
    check_all(&entries.iter().copied().chain(subcommands).collect::<Vec<_>>());
}

/// Commands of hashes that came behind 7.0.
const NEW_HASH_COMMANDS: &[&str] = &[
    "hexpire",
    "hpexpire",
    "hexpireat",
    "hpexpireat",
    "hpersist",
    "httl",
    "hpttl",
    "hexpiretime",
    "hpexpiretime",
    "hgetdel",
    "hgetex",
    "hsetex",
];

#[test]
fn hashes_are_declared_as_in_stock() {
    let entries = table().entries().iter();
    let family = entries.filter(|entry| entry.command.group.name() == "hash");
    let known = |entry: &&Entry| !NEW_HASH_COMMANDS.contains(&entry.command.name);
    let (known, new): (Vec<&Entry>, Vec<&Entry>) = family.partition(known);
    assert_eq!((known.len(), new.len()), (16, NEW_HASH_COMMANDS.len()), "all of them");
    check_all(&known);
}

#[test]
fn sets_and_hyperloglogs_are_declared_as_in_stock() {
    let entries = table().entries().iter();
    let families: Vec<&Entry> = entries
        .filter(|entry| matches!(entry.command.group.name(), "set" | "hyperloglog"))
        .collect();
    assert_eq!(families.len(), 22, "all of them");
    check_all(&families);
}

#[test]
fn streams_are_declared_as_in_stock() {
    let entries = table().entries().iter();
    let family: Vec<&Entry> =
        entries.filter(|entry| entry.command.group.name() == "stream").collect();
    assert_eq!(family.len(), 15, "all of them");
    let subcommands = family.iter().flat_map(|entry| entry.subcommands.iter());
    check_all(&family.iter().copied().chain(subcommands).collect::<Vec<_>>());
}
