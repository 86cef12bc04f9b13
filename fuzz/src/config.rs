//! redis.conf.

use highwater::config::{Config, Source, load, quote};
use highwater::resp::inline::split_words;

/// Settings that reach beyond the text: other files, the folder that is gone to.
const REACHING: [&[u8]; 2] = [b"include", b"dir"];

/// A text that is read says the same when it is written again from what was understood.
pub fn check(input: &[u8]) {
    let reaches = |line: &[u8]| {
        let words = split_words(line.trim_ascii()).unwrap_or_default();
        words.first().is_some_and(|word| REACHING.contains(&&word.to_ascii_lowercase()[..]))
    };
    let lines = input.split(|byte| *byte == b'\n').filter(|line| !reaches(line));
    let text: Vec<u8> = lines.collect::<Vec<_>>().join(&b'\n');
    let Ok(config) = read(text) else { return };
    let mut again = Vec::new();
    // Only what was changed: many defaults are values that a file cannot give.
    for ((name, value), default) in config.get("*").into_iter().zip(Config::default().get("*")) {
        assert_eq!(name, default.0);
        if !REACHING.contains(&name.as_bytes()) && value != default.1 {
            again.extend_from_slice(format!("{name} {}\n", quote(&value)).as_bytes());
        }
    }
    let read = read(again).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.get("*"), config.get("*"), "what is written again is read the same");
}

fn read(text: Vec<u8>) -> Result<Config, String> {
    load(Config::default(), &[Source::Arguments(text)]).map_err(|error| error.to_string())
}
