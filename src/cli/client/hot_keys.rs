//! `--hotkeys`: the keys used most, as the server estimates it for eviction.

use std::process::ExitCode;

use super::options::Options;
use super::output::quoted_text;
use super::scan::{Walk, ask_each, count_keys};
use super::screen::{complain, print};
use super::session;
use crate::cli::wire::{Connection, Failure, Reply};

/// Keys that are shown.
const SHOWN: usize = 16;

/// Looks at all keys.
pub(super) fn run(options: &Options) -> ExitCode {
    let Ok(mut connection) = session::connect(options) else { return ExitCode::FAILURE };
    let expected = match count_keys(&mut connection) {
        Ok(expected) => expected,
        Err(status) => return status,
    };
    print(
        b"\n# Looking at every key for those used most. -i 0.1 pauses that long each 100 steps.\n\n",
    );
    let mut hottest = Hottest::default();
    let mut sampled = 0;
    let mut walk = Walk::new(options);
    loop {
        let looked = walk.next(&mut connection).and_then(|keys| match keys {
            Some(keys) => {
                let progress = 100 * 100 * sampled / expected.max(1);
                sampled += keys.len() as u64;
                look(&mut connection, &keys, &mut hottest, progress).map(|()| true)
            }
            None => Ok(false),
        });
        match looked {
            Ok(true) => walk.pause(100),
            Ok(false) => break,
            Err(failure) => {
                complain(&format!("Error: {failure}"));
                return ExitCode::FAILURE;
            }
        }
    }
    let mut text =
        format!("\n-------- summary -------\n\nSampled {sampled} keys in the keyspace!\n");
    for (counter, key) in &hottest.keys {
        text += &format!("hot key found with counter: {counter}\tkeyname: {}\n", quoted_text(key));
    }
    print(text.as_bytes());
    ExitCode::SUCCESS
}

/// `progress` is in hundredths of per cent.
fn look(
    connection: &mut Connection,
    keys: &[Vec<u8>],
    hottest: &mut Hottest,
    progress: u64,
) -> Result<(), Failure> {
    let requests: Vec<_> =
        keys.iter().map(|key| vec![b"OBJECT".to_vec(), b"FREQ".to_vec(), key.clone()]).collect();
    for (key, reply) in keys.iter().zip(ask_each(connection, &requests)?) {
        let counter = match reply {
            Reply::Integer(counter) => counter,
            Reply::Error(text) => return Err(Failure::Refused(text)),
            _ => 0, // It has gone meanwhile.
        };
        if hottest.take(counter, key) {
            print(
                format!(
                    "[{:02}.{:02}%] Hot key '{}' found so far with counter {counter}\n",
                    progress / 100,
                    progress % 100,
                    quoted_text(key)
                )
                .as_bytes(),
            );
        }
    }
    Ok(())
}

/// The keys with the highest counters, the highest first.
#[derive(Debug, Default)]
struct Hottest {
    keys: Vec<(i64, Vec<u8>)>,
}

impl Hottest {
    /// Takes a key if it is among them.
    fn take(&mut self, counter: i64, key: &[u8]) -> bool {
        let at = self.keys.partition_point(|(other, _)| *other >= counter);
        // A walk may meet a key twice.
        if counter <= 0 || at >= SHOWN || self.keys.iter().any(|(_, known)| known == key) {
            return false;
        }
        self.keys.insert(at, (counter, key.to_vec()));
        self.keys.truncate(SHOWN);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hottest_stay() {
        let mut hottest = Hottest::default();
        assert!(!hottest.take(0, b"cold"));
        for counter in 1..=20 {
            assert!(hottest.take(counter, format!("k{counter}").as_bytes()));
        }
        assert!(!hottest.take(3, b"late"));
        let counters: Vec<i64> = hottest.keys.iter().map(|(counter, _)| *counter).collect();
        assert_eq!(counters, (5..=20).rev().collect::<Vec<i64>>());
    }
}
