//! Requests as clients send them: arrays of bulk strings, and lines of words.

use highwater::config::quote;
use highwater::resp::inline::{self, encode, split_words};
use highwater::resp::request::Parsed;
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater_persistence::log::{Entries, EntryKind};

/// Longer inputs meet limits on lines whose errors depend on how many bytes have arrived.
const INPUT_BYTES_MAX: usize = 32 * 1024;

type Words = Vec<Vec<u8>>;

/// The first byte says in which pieces the rest arrives, and whether the client is authenticated.
pub fn check(input: &[u8]) {
    let Some((&first, bytes)) = input.split_first() else { return };
    if bytes.len() > INPUT_BYTES_MAX {
        return;
    }
    let limits = RequestLimits { bulk_bytes_max: 1 << 20, authenticated: first & 128 == 0 };
    let piece = usize::from(first & 127) + 1;
    let (whole, pieces) = (read(bytes, bytes.len(), limits), read(bytes, piece, limits));
    assert_eq!(whole, pieces, "requests do not depend on how their bytes arrive, {piece} at once");
    for words in &whole.0 {
        let (again, error) = read(
            &encode(words),
            usize::MAX,
            RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true },
        );
        assert_eq!((&again[..], error), (&[words.clone()][..], None), "what is encoded is read");
    }
}

/// The requests in `bytes`, of which `piece` arrive at once, and the error behind them.
fn read(bytes: &[u8], piece: usize, limits: RequestLimits) -> (Vec<Words>, Option<String>) {
    let mut parser = RequestParser::default();
    let (mut found, mut buffer) = (Vec::new(), Vec::new());
    for chunk in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(chunk);
        loop {
            let mut requests = Requests::default();
            let parsed = parser.parse(&buffer, limits, &mut requests);
            found.extend((0..requests.len()).map(|index| words(&requests, index, &buffer)));
            let consumed = match parsed {
                Err(error) => return (found, Some(error.0)),
                Ok(Parsed::Requests { consumed }) => consumed,
                Ok(Parsed::Inline { consumed, encoded }) => {
                    let mut requests = Requests::default();
                    let inline = RequestParser::default().parse(&encoded, limits, &mut requests);
                    // The limits on arrays are not those on lines.
                    if inline.is_ok() {
                        assert_eq!(requests.len(), 1, "a line is one request");
                        found.push(words(&requests, 0, &encoded));
                    }
                    consumed
                }
            };
            assert!(consumed <= buffer.len());
            buffer.drain(..consumed);
            if consumed == 0 {
                break;
            }
        }
    }
    (found, None)
}

/// The words of a request. Where its bytes may be logged as they came, the log reads the same words.
fn words(requests: &Requests, index: usize, buffer: &[u8]) -> Words {
    let args = requests.get(index, buffer);
    let words: Words = args.iter().map(<[u8]>::to_vec).collect();
    assert!(!words.is_empty(), "a request has a name");
    assert!(requests.end_of(index) <= buffer.len());
    if let Some(raw) = args.raw() {
        let mut entries = Entries::new(raw, None);
        let entry = entries.next().expect("there are bytes").expect("they are a command");
        let EntryKind::Command { args, .. } = entry.kind else { panic!("no command: {entry:?}") };
        assert!(args.iter().eq(words.iter()), "the log reads what the client sent");
        assert_eq!(entry.size, raw.len());
    }
    words
}

/// A line of words, as people type it.
pub fn check_inline(input: &[u8]) {
    if let Some(plain) = inline::plain_words(input) {
        let plain: Words = plain.map(|word| input[word].to_vec()).collect();
        assert_eq!(
            split_words(input),
            Some(plain),
            "words without quotes lie in the line as they are"
        );
    }
    let Some(words) = split_words(input) else { return };
    let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
    let line = line.join(" ");
    assert_eq!(split_words(line.as_bytes()).as_ref(), Some(&words), "quoted words come back");
    if input.len() > INPUT_BYTES_MAX {
        return;
    }
    let ended = [line.as_bytes(), b"\r\n"].concat();
    let wanted: Vec<Words> = (!words.is_empty()).then_some(words).into_iter().collect();
    assert_eq!(read(&ended, usize::MAX, RequestLimits::default()), (wanted, None));
}
