//! The parser against whole, cut and wrong requests.

use super::*;

type Words = Vec<Vec<u8>>;

/// Feeds `input` in pieces of `step` bytes and collects all requests and the final error.
fn feed(input: &[u8], step: usize, limits: RequestLimits) -> (Vec<Words>, Option<String>) {
    let mut parser = RequestParser::default();
    let (mut buffer, mut found) = (Vec::new(), Vec::new());
    for piece in input.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            let mut requests = Requests::default();
            let parsed = parser.parse(&buffer, limits, &mut requests);
            for index in 0..requests.len() {
                let args = requests.get(index, &buffer);
                if let Some(raw) = args.raw() {
                    assert_eq!(raw.last(), Some(&b'\n'));
                    assert_eq!(raw.first(), Some(&b'*'));
                }
                found.push(args.iter().map(<[u8]>::to_vec).collect());
            }
            match parsed {
                Err(ProtocolError(text)) => return (found, Some(text)),
                Ok(Parsed::Requests { consumed }) => {
                    buffer.drain(..consumed);
                    // An inline request behind arrays is left for the next call.
                    if requests.is_empty() {
                        break;
                    }
                }
                Ok(Parsed::Inline { consumed, encoded }) => {
                    buffer.drain(..consumed);
                    let (inner, error) = feed(&encoded, encoded.len(), limits);
                    assert_eq!(error, None);
                    found.extend(inner);
                }
            }
        }
    }
    (found, None)
}

/// The same result in one piece and cut anywhere.
fn check(input: &[u8], expected: &[&[&str]]) {
    let expected: Vec<Words> = expected
        .iter()
        .map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect())
        .collect();
    for step in [input.len().max(1), 1, 2, 3, 5, 7, 11] {
        let (found, error) = feed(input, step, RequestLimits::default());
        assert_eq!(error, None, "step {step}");
        assert_eq!(found, expected, "step {step}");
    }
}

fn check_error(input: &[u8], limits: RequestLimits, expected: &str) {
    for step in [input.len(), 1000] {
        assert_eq!(feed(input, step, limits).1.as_deref(), Some(expected));
    }
}

#[test]
fn arrays_are_found_whole_and_cut() {
    check(b"*1\r\n$4\r\nPING\r\n", &[&["PING"]]);
    check(
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello\r\nworld\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        &[&["SET", "k", "hello\r\nworld"], &["GET", "k"]],
    );
}

#[test]
fn empty_requests_are_skipped() {
    check(b"*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n\r\n\r\n", &[&["PING"]]);
}

#[test]
fn inline_and_arrays_mix() {
    check(
        b"SET k \"a\\x41\\n\"\r\n*1\r\n$4\r\nPING\r\nget k\n",
        &[&["SET", "k", "aA\n"], &["PING"], &["get", "k"]],
    );
    check(
        b"\0 x\r\nget  a \r\n\r\n*1\r\n$4\r\nPING\r\nget b\n'get' c\nget d\n",
        &[&["get", "a"], &["PING"], &["get", "b"], &["get", "c"], &["get", "d"]],
    );
}

#[test]
fn an_argument_without_its_line_end_is_accepted_but_not_canonical() {
    for input in [&b"*1\r\n$4\r\nPINGxx"[..], b"*1\rx$4\r\nPING\r\n", b"*1\r\n$4\r\x0bPING\r\n"] {
        let mut requests = Requests::default();
        RequestParser::default().parse(input, RequestLimits::default(), &mut requests).unwrap();
        assert_eq!(requests.get(0, input).get(0), Some(&b"PING"[..]));
        assert_eq!(requests.get(0, input).raw(), None, "{}", input.escape_ascii());
    }
}

#[test]
fn malformed_requests_get_stock_errors() {
    let open = RequestLimits::default();
    check_error(b"*abc\r\n", open, "invalid multibulk length");
    check_error(b"*2147483648\r\n", open, "invalid multibulk length");
    check_error(b"*1\r\nPING\r\n", open, "expected '$', got 'P'");
    check_error(b"*1\r\n$-1\r\n", open, "invalid bulk length");
    check_error(b"*1\r\n$x\r\n", open, "invalid bulk length");
    check_error(b"*1\r\n$536870913\r\n", open, "invalid bulk length");
    check_error(&[b'a'; 70_000], open, "too big inline request");
    check_error(&[&b"*"[..], &[b'1'; 70_000]].concat(), open, "too big mbulk count string");
    check_error(&[&b"*1\r\n$"[..], &[b'1'; 70_000]].concat(), open, "too big bulk count string");
    check_error(b"set \"k\r\n", open, "unbalanced quotes in request");
    let closed = RequestLimits { authenticated: false, ..open };
    check_error(b"*11\r\n", closed, "unauthenticated multibulk length");
    check_error(b"*1\r\n$16385\r\n", closed, "unauthenticated bulk length");
}

#[test]
fn requests_before_an_error_are_kept() {
    let (found, error) = feed(b"*1\r\n$4\r\nPING\r\n*x\r\n", 4096, RequestLimits::default());
    assert_eq!(found.len(), 1);
    assert!(error.is_some());
}

#[test]
fn random_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let alphabet = b"*$\r\n0123456789-PINGSET\"'\\ \0\xff";
    for _ in 0..20_000 {
        let input: Vec<u8> =
            (0..random.usize(..60)).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
        let step = 1 + random.usize(..9);
        let whole = feed(&input, input.len().max(1), RequestLimits::default());
        assert_eq!(feed(&input, step, RequestLimits::default()), whole, "{input:?}");
    }
}
