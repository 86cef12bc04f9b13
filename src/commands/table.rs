//! All commands, found by name.

use std::sync::LazyLock;

use super::command::{Arity, Command, Flag};

/// A set of [`Flag`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u32);

impl Flags {
    fn of(flags: &[Flag]) -> Self {
        Self(flags.iter().fold(0, |bits, &flag| bits | 1 << flag as u8))
    }

    /// Whether `flag` is in the set.
    #[inline]
    pub fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }
}

/// A command in the table, with what the hot path wants at hand.
#[derive(Debug)]
pub struct Entry {
    /// The declaration.
    pub command: &'static Command,
    /// Index of its statistics; subcommands have their own.
    pub id: usize,
    /// Its flags.
    pub flags: Flags,
    /// How many arguments.
    pub arity: Arity,
    /// Full name: `get`, or `config|get`.
    pub full_name: String,
    /// Subcommands.
    pub subcommands: Vec<Entry>,
}

impl Entry {
    fn new(command: &'static Command, parent: Option<&str>, next_id: &mut usize) -> Self {
        let full_name = match parent {
            Some(parent) => format!("{parent}|{}", command.name),
            None => command.name.to_owned(),
        };
        let id = *next_id;
        *next_id += 1;
        let subcommands = command
            .subcommands
            .iter()
            .map(|subcommand| Entry::new(subcommand, Some(&full_name), next_id))
            .collect();
        let flags = Flags::of(command.flags);
        Entry { command, id, flags, arity: command.arity, full_name, subcommands }
    }

    /// The subcommand called `name`, in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&Entry> {
        self.subcommands
            .iter()
            .find(|entry| name.eq_ignore_ascii_case(entry.command.name.as_bytes()))
    }
}

/// Slots of the hash table: a power of two, some times the number of commands.
const BUCKETS: usize = 2048;

/// The longest name; longer words are no commands.
const NAME_BYTES_MAX: usize = 32;

/// All commands.
#[derive(Debug)]
pub struct Table {
    entries: Vec<Entry>,
    /// Index + 1 of the entry, by linear probing; 0 is empty.
    buckets: Vec<u16>,
    ids: usize,
}

impl Table {
    fn new(families: &[&'static [Command]]) -> Self {
        let mut ids = 0;
        let entries: Vec<Entry> = families
            .iter()
            .flat_map(|family| family.iter())
            .map(|command| Entry::new(command, None, &mut ids))
            .collect();
        assert!(entries.len() < BUCKETS / 2, "the table of commands is to stay sparse");
        let mut buckets = vec![0u16; BUCKETS];
        for (index, entry) in entries.iter().enumerate() {
            let name = entry.command.name.as_bytes();
            assert!(name.len() <= NAME_BYTES_MAX, "{} is too long", entry.command.name);
            let mut at = bucket_of(name);
            while buckets[at] != 0 {
                let other = entries[usize::from(buckets[at]) - 1].command.name;
                assert_ne!(other, entry.command.name, "a command is declared once");
                at = (at + 1) % BUCKETS;
            }
            buckets[at] = u16::try_from(index + 1).expect("fewer than 65,535 commands");
        }
        Self { entries, buckets, ids }
    }

    /// The command called `name`, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&Entry> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let mut at = bucket_of(name);
        loop {
            let entry = &self.entries[usize::from(self.buckets[at]).checked_sub(1)?];
            if name.eq_ignore_ascii_case(entry.command.name.as_bytes()) {
                return Some(entry);
            }
            at = (at + 1) % BUCKETS;
        }
    }

    /// The command or subcommand called `name`, written `config|get` for the latter.
    pub fn find_full(&self, name: &[u8]) -> Option<&Entry> {
        match name.iter().position(|&byte| byte == b'|') {
            Some(bar) => self.find(&name[..bar])?.subcommand(&name[bar + 1..]),
            None => self.find(name),
        }
    }

    /// All commands, in the order of their families.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many sets of statistics there are: one for each command and subcommand.
    pub fn ids(&self) -> usize {
        self.ids
    }
}

/// FNV-1a over the lower-cased name.
#[inline]
fn bucket_of(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in name {
        hash = (hash ^ u32::from(byte | 0x20)).wrapping_mul(0x0100_0193);
    }
    (hash ^ (hash >> 15)) as usize % BUCKETS
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(super::FAMILIES));

/// The table of all commands.
#[inline]
pub fn table() -> &'static Table {
    &TABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_any_case() {
        for name in ["get", "GET", "gEt"] {
            assert_eq!(table().find(name.as_bytes()).unwrap().command.name, "get");
        }
        assert!(table().find(b"nosuch").is_none());
        assert!(table().find(b"").is_none());
        assert!(table().find(&[b'g'; 100]).is_none());
    }

    #[test]
    fn every_entry_finds_itself_and_has_its_own_statistics() {
        let mut seen = std::collections::HashSet::new();
        for entry in table().entries() {
            assert_eq!(table().find(entry.command.name.as_bytes()).unwrap().id, entry.id);
            assert!(seen.insert(entry.id));
            for subcommand in &entry.subcommands {
                let found = table().find_full(subcommand.full_name.as_bytes()).unwrap();
                assert_eq!(found.id, subcommand.id);
                assert!(seen.insert(subcommand.id));
            }
        }
        assert_eq!(seen.len(), table().ids());
    }
}
