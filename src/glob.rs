//! Patterns of KEYS, SCAN, CONFIG GET, `include` and the like, byte by byte: `*`, `?`, `[abc]`, `[a-z]`, `[^a]`, `\`
//! before a literal.
//!
//! A class that is not closed ends with the pattern, the ends of a range may stand in either order, and `]` right
//! behind `[` closes an empty class: clients see these corners, so they are as stock servers have them.

/// Whether `name` matches `pattern`, ASCII letters of either case being the same.
pub fn matches_any_case(pattern: &[u8], name: &[u8]) -> bool {
    matches(&pattern.to_ascii_lowercase(), &name.to_ascii_lowercase())
}

/// Whether `name` matches `pattern` exactly. Takes no more steps than the product of their lengths.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Not even a star matches nothing; callers for whom `*` means everything ask for that themselves.
    if name.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut n) = (0, 0);
    // Where to go on when a literal fails: behind the last star, one byte of the name later. Only the last star ever
    // needs to be tried again, so the work is bounded by the product of the lengths.
    let mut again: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            again = Some((p, n));
            continue;
        }
        if n == name.len() && p == pattern.len() {
            return true;
        }
        if n < name.len()
            && let Some(next) = one(&pattern[p..], name[n])
        {
            p += next;
            n += 1;
            continue;
        }
        match again {
            Some((star, from)) if from < name.len() => {
                (p, n) = (star, from + 1);
                again = Some((star, from + 1));
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the head of `pattern`: the length of that head, or `None`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ref rest @ ..] => {
            let (hit, length) = class(rest, byte);
            hit.then_some(1 + length)
        }
        [b'\\', literal, ..] => (literal == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
    }
}

/// Whether `byte` is in the class whose text, behind the `[`, starts `rest`; and how long that text is, `]` included.
fn class(rest: &[u8], byte: u8) -> (bool, usize) {
    let negated = rest.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut hit = false;
    while let Some(&low) = rest.get(at) {
        match (low, rest.get(at + 1), rest.get(at + 2)) {
            (b']', ..) => return (hit != negated, at + 1),
            (b'\\', Some(&literal), _) => {
                hit |= literal == byte;
                at += 2;
            }
            (_, Some(b'-'), Some(&high)) => {
                // Stock servers on x86 compare signed characters: 0x80 to 0xff stand before 0.
                let [low, high, byte] = [low, high, byte].map(u8::cast_signed);
                hit |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            _ => {
                hit |= low == byte;
                at += 1;
            }
        }
    }
    // A class that is not closed ends with the pattern.
    (hit != negated, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        let check = |pattern, name, expected| {
            let found = matches_any_case(str::as_bytes(pattern), str::as_bytes(name));
            assert_eq!(found, expected, "{pattern} {name}");
        };
        check("*", "port", true);
        check("*", "", false);
        check("a**", "a", true);
        check("p?rt", "port", true);
        check("P*T", "port", true);
        check("p*x", "port", false);
        check("*max*mem*", "maxmemory-clients", true);
        check("[a-q]ort", "port", true);
        check("[^p]ort", "port", false);
        check("[^a]ort", "port", true);
        check("[", "a", false);
        check("[a", "a", true);
        check("\\*", "*", true);
        check("\\*", "x", false);
        check("port*", "port", true);
        check("port", "ports", false);
        check("", "", true);
        check("[]a]", "a]", false);
        check("[^]", "a", true);
        check("[z-a]", "m", true);
        check("[a-", "-", true);
        check("a\\", "a\\", true);
    }

    #[test]
    fn case_counts_unless_it_is_said_not_to() {
        assert!(!matches(b"A*", b"abc"));
        assert!(matches_any_case(b"A*", b"abc"));
        assert!(matches(b"\xff?", b"\xff\x00"));
    }

    #[test]
    fn many_stars_stay_cheap() {
        assert!(!matches("*a".repeat(200).as_bytes(), "a".repeat(150).as_bytes()));
    }
}
