//! Replies for a terminal: `(integer) 1`, `"text"`, and elements with their numbers, nested ones indented.

use crate::cli::wire::Reply;

use super::quote::quoted;

/// Writes `reply` and a line feed. `margin` stands before all lines but the first.
pub(super) fn write(out: &mut Vec<u8>, reply: &Reply, margin: &str) {
    let text = match reply {
        Reply::Error(text) => format!("(error) {text}"),
        Reply::Status(text) => text.clone(),
        Reply::Integer(number) => format!("(integer) {number}"),
        Reply::BigNumber(number) => format!("(integer) {number}"),
        Reply::Double(number) => format!("(double) {number}"),
        Reply::Boolean(truth) => format!("({truth})"),
        Reply::Nil => "(nil)".to_owned(),
        Reply::Bulk(bytes) => {
            out.extend_from_slice(&quoted(bytes));
            String::new()
        }
        Reply::Verbatim(_, bytes) => {
            out.extend_from_slice(bytes);
            String::new()
        }
        Reply::Array(elements) => return write_list(out, elements, ')', "array", margin),
        Reply::Set(elements) => return write_list(out, elements, '~', "set", margin),
        Reply::Push(elements) => return write_list(out, elements, ')', "push", margin),
        Reply::Map(pairs) => return write_map(out, pairs, margin),
    };
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

fn write_list(out: &mut Vec<u8>, elements: &[Reply], mark: char, kind: &str, margin: &str) {
    if elements.is_empty() {
        out.extend_from_slice(format!("(empty {kind})\n").as_bytes());
    }
    let width = elements.len().to_string().len();
    let inner = format!("{margin}{:width$}  ", "");
    for (index, element) in elements.iter().enumerate() {
        let before = if index == 0 { "" } else { margin };
        out.extend_from_slice(format!("{before}{:width$}{mark} ", index + 1).as_bytes());
        write(out, element, &inner);
    }
}

fn write_map(out: &mut Vec<u8>, pairs: &[(Reply, Reply)], margin: &str) {
    if pairs.is_empty() {
        out.extend_from_slice(b"(empty hash)\n");
    }
    let width = pairs.len().to_string().len();
    let inner = format!("{margin}{:width$}  ", "");
    for (index, (key, value)) in pairs.iter().enumerate() {
        let before = if index == 0 { "" } else { margin };
        out.extend_from_slice(format!("{before}{:width$}# ", index + 1).as_bytes());
        write(out, key, &inner);
        // The key's line goes on with the value, unless that is long.
        out.pop();
        out.extend_from_slice(b" => ");
        if is_long(value) {
            out.push(b'\n');
            out.extend_from_slice(inner.as_bytes());
        }
        write(out, value, &inner);
    }
}

/// Whether a value of a map begins a line of its own: somewhere along its only elements there are several.
fn is_long(value: &Reply) -> bool {
    match value {
        Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => {
            match &elements[..] {
                [only] => is_long(only),
                elements => !elements.is_empty(),
            }
        }
        Reply::Map(pairs) => match &pairs[..] {
            [(_, only)] => is_long(only),
            pairs => !pairs.is_empty(),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply;
    use super::*;

    fn check(bytes: &str, expected: &str) {
        let mut out = Vec::new();
        write(&mut out, &reply(bytes), "");
        assert_eq!(String::from_utf8_lossy(&out), expected, "{bytes:?}");
    }

    #[test]
    fn single_values_show_their_type() {
        check(":5\r\n", "(integer) 5\n");
        check("+OK\r\n", "OK\n");
        check("-ERR no\r\n", "(error) ERR no\n");
        check("$3\r\na\"b\r\n", "\"a\\\"b\"\n");
        check("$-1\r\n", "(nil)\n");
        check("#f\r\n", "(false)\n");
        check(",1.5\r\n", "(double) 1.5\n");
        check("=8\r\ntxt:a\r\nb\r\n", "a\r\nb\n");
        check("*0\r\n", "(empty array)\n");
        check("~0\r\n", "(empty set)\n");
        check("%0\r\n", "(empty hash)\n");
    }

    #[test]
    fn nested_elements_are_aligned() {
        check(
            "*2\r\n*2\r\n:1\r\n:2\r\n:3\r\n",
            "1) 1) (integer) 1\n   2) (integer) 2\n2) (integer) 3\n",
        );
        let ten = format!("*10\r\n*1\r\n*2\r\n:0\r\n:0\r\n{}", ":1\r\n".repeat(9));
        let mut expected = " 1) 1) 1) (integer) 0\n       2) (integer) 0\n".to_owned();
        for index in 2..=10 {
            expected += &format!("{index:2}) (integer) 1\n");
        }
        check(&ten, &expected);
    }

    #[test]
    fn values_of_maps_begin_a_line_when_they_are_long() {
        check("%1\r\n$1\r\na\r\n*1\r\n:1\r\n", "1# \"a\" => 1) (integer) 1\n");
        check(
            "%1\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n",
            "1# \"a\" => \n   1) (integer) 1\n   2) (integer) 2\n",
        );
        check("%1\r\n+a\r\n~0\r\n", "1# a => (empty set)\n");
        let only = "1# a => 1# 1) (integer) 1\n      2) (integer) 2 => b\n";
        check("%1\r\n+a\r\n%1\r\n*2\r\n:1\r\n:2\r\n+b\r\n", only);
        check("%1\r\n+a\r\n*1\r\n*2\r\n+b\r\n+c\r\n", "1# a => \n   1) 1) b\n      2) c\n");
    }
}
