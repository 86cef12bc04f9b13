//! `--bigkeys` and `--memkeys`: the largest key of each type, by elements or by bytes.

use std::process::ExitCode;

use super::options::Options;
use super::output::quoted_text;
use super::scan::{Walk, ask_each, count_keys};
use super::screen::{complain, print};
use super::session;
use crate::cli::wire::{Connection, Failure, Reply};

/// By what keys are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Elements; bytes of a string.
    Elements,
    /// Bytes of memory, estimated from so many elements.
    Memory(Option<u64>),
}

/// A type: its name, the command that tells a key's size, the word for its elements.
struct Type {
    name: &'static str,
    size: &'static str,
    unit: &'static str,
}

const TYPES: &[Type] = &[
    Type { name: "string", size: "STRLEN", unit: "bytes" },
    Type { name: "list", size: "LLEN", unit: "items" },
    Type { name: "set", size: "SCARD", unit: "members" },
    Type { name: "zset", size: "ZCARD", unit: "members" },
    Type { name: "hash", size: "HLEN", unit: "fields" },
    Type { name: "stream", size: "XLEN", unit: "entries" },
];

/// What was found of one type.
#[derive(Debug, Default, Clone)]
struct Found {
    name: String,
    /// Empty: its elements cannot be counted.
    size_command: &'static str,
    unit: &'static str,
    biggest: u64,
    key: Option<Vec<u8>>,
    keys: u64,
    total: u64,
}

struct Report {
    measure: Measure,
    found: Vec<Found>,
    expected: u64,
    sampled: u64,
    key_bytes: u64,
}

/// Looks at all keys.
pub(super) fn run(options: &Options, measure: Measure) -> ExitCode {
    let Ok(mut connection) = session::connect(options) else { return ExitCode::FAILURE };
    let expected = match count_keys(&mut connection) {
        Ok(expected) => expected,
        Err(status) => return status,
    };
    print(
        b"\n# Looking at every key for the largest of each type and for averages. -i 0.1 pauses that long\n\
          # each 100 steps.\n\n",
    );
    let mut report = Report::new(measure, expected);
    let mut walk = Walk::new(options);
    loop {
        let looked = walk.next(&mut connection).and_then(|keys| match keys {
            Some(keys) => report.look(&mut connection, &keys).map(|()| true),
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
    print(report.summary().as_bytes());
    ExitCode::SUCCESS
}

impl Report {
    fn new(measure: Measure, expected: u64) -> Self {
        let found = TYPES.iter().map(|one| Found {
            name: one.name.to_owned(),
            size_command: one.size,
            unit: if measure == Measure::Elements { one.unit } else { "bytes" },
            ..Found::default()
        });
        Self { measure, found: found.collect(), expected, sampled: 0, key_bytes: 0 }
    }

    fn look(&mut self, connection: &mut Connection, keys: &[Vec<u8>]) -> Result<(), Failure> {
        let requests: Vec<_> = keys.iter().map(|key| vec![b"TYPE".to_vec(), key.clone()]).collect();
        let types = ask_each(connection, &requests)?;
        let mut known = Vec::new();
        for (key, kind) in keys.iter().zip(types) {
            match kind {
                Reply::Error(text) => return Err(Failure::Refused(text)),
                kind if kind.bytes() == Some(b"none") => {} // It has gone meanwhile.
                kind => known.push((key, self.place_of(&kind.text().unwrap_or_default()))),
            }
        }
        let requests: Vec<_> = known.iter().map(|(key, at)| self.request(key, *at)).collect();
        let asked: Vec<_> = requests.iter().flatten().cloned().collect();
        let mut sizes = ask_each(connection, &asked)?.into_iter();
        let progress = self.progress();
        for ((key, at), request) in known.into_iter().zip(requests) {
            let size = request.and_then(|_| sizes.next()).and_then(|reply| reply.integer());
            self.count(
                key,
                at,
                size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                progress,
            );
        }
        Ok(())
    }

    /// Where a type stands in the list; one of a module is added.
    fn place_of(&mut self, name: &str) -> usize {
        self.found.iter().position(|found| found.name == name).unwrap_or_else(|| {
            let unit = if self.measure == Measure::Elements { "?" } else { "bytes" };
            self.found.push(Found { name: name.to_owned(), unit, ..Found::default() });
            self.found.len() - 1
        })
    }

    /// What asks for the size of a key. `None`: nothing does.
    fn request(&self, key: &[u8], at: usize) -> Option<Vec<Vec<u8>>> {
        let key = key.to_vec();
        match self.measure {
            Measure::Elements if self.found[at].size_command.is_empty() => None,
            Measure::Elements => Some(vec![self.found[at].size_command.as_bytes().to_vec(), key]),
            Measure::Memory(samples) => {
                let mut words = vec![b"MEMORY".to_vec(), b"USAGE".to_vec(), key];
                if let Some(samples) = samples {
                    words.extend([b"SAMPLES".to_vec(), samples.to_string().into_bytes()]);
                }
                Some(words)
            }
        }
    }

    /// Per cent of the keys.
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    fn progress(&self) -> f64 {
        100.0 * self.sampled as f64 / self.expected.max(1) as f64
    }

    fn count(&mut self, key: &[u8], at: usize, size: u64, progress: f64) {
        self.sampled += 1;
        self.key_bytes += key.len() as u64;
        let found = &mut self.found[at];
        found.keys += 1;
        found.total += size;
        if size > found.biggest {
            found.biggest = size;
            found.key = Some(key.to_vec());
            let name = quoted_text(key);
            print(
                format!(
                    "[{progress:05.2}%] Biggest {:<6} found so far '{name}' with {size} {}\n",
                    found.name, found.unit
                )
                .as_bytes(),
            );
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    fn summary(&self) -> String {
        let average =
            |total: u64, count: u64| if count == 0 { 0.0 } else { total as f64 / count as f64 };
        let mut text = format!(
            "\n-------- summary -------\n\nSampled {} keys in the keyspace!\n\
             Total key length in bytes is {} (avg len {:.2})\n\n",
            self.sampled,
            self.key_bytes,
            average(self.key_bytes, self.sampled)
        );
        for found in &self.found {
            if let Some(key) = &found.key {
                text += &format!(
                    "Biggest {:>6} found '{}' has {} {}\n",
                    found.name,
                    quoted_text(key),
                    found.biggest,
                    found.unit
                );
            }
        }
        text += "\n";
        for found in &self.found {
            text += &format!(
                "{} {}s with {} {} ({:05.2}% of keys, avg size {:.2})\n",
                found.keys,
                found.name,
                found.total,
                found.unit,
                100.0 * average(found.keys, self.sampled),
                average(found.total, found.keys)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_counts_by_type() {
        let mut report = Report::new(Measure::Elements, 3);
        let list = report.place_of("list");
        report.count(b"a", list, 4, 0.0);
        report.count(b"b", list, 2, 0.0);
        let module = report.place_of("ReJSON-RL");
        assert!(report.request(b"c", module).is_none());
        let text = report.summary();
        assert!(text.contains("Sampled 2 keys in the keyspace!\n"));
        assert!(text.contains("Biggest   list found '\"a\"' has 4 items\n"));
        assert!(text.contains("2 lists with 6 items (100.00% of keys, avg size 3.00)\n"));
        assert!(text.contains("0 strings with 0 bytes (00.00% of keys, avg size 0.00)\n"));
    }
}
