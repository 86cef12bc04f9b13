//! The pages that are made of the rows: `docs/settings.md`, and a section of `docs/compatibility.md`.
//!
//! They are checked in. The tests compare them with the rows, and write them anew when run with `UPDATE=1`.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use super::row::{Change, Meaning, Row};
use super::rows::{TOPICS, Topic};

const HEAD: &str = "\
# Settings

Every setting of the server, made of the rows in `src/config/rows/`. Names, defaults and ranges are those of Redis 7.2.4;
`rdb-version` is our own. The column *changes* says when a setting may: at the *start* only, at any time by *CONFIG SET*, or
by CONFIG SET *protected* by `enable-protected-configs`. Sizes take the units `k kb m mb g gb`. A setting marked `-` is
accepted and does nothing, or nothing yet; [compatibility.md](compatibility.md#settings-without-meaning-here) says why.

`highwater server` without a file differs in two: `appendonly yes` and `dir ./highwater-data`.
";

fn settings_page() -> String {
    let mut page = HEAD.to_owned();
    for topic in TOPICS {
        section(&mut page, topic).expect("writing to a string does not fail");
    }
    page
}

fn section(page: &mut String, topic: &Topic) -> std::fmt::Result {
    writeln!(page, "\n## {}\n", topic.title)?;
    writeln!(page, "| setting | default | values | changes | what it does |")?;
    writeln!(page, "|---|---|---|---|---|")?;
    for row in topic.rows.iter().filter(|row| !row.hidden) {
        let alias = row.alias.map(|alias| format!(" (`{alias}`)")).unwrap_or_default();
        let default = match row.default {
            "" => String::new(),
            text => format!("`{text}`"),
        };
        let changes = match row.change {
            Change::Start => "start",
            Change::Runtime => "CONFIG SET",
            Change::Protected => "protected",
        };
        let mark = if row.meaning == Meaning::Honoured { "" } else { "- " };
        let (form, doc) = (cell(&row.form()), cell(row.doc));
        writeln!(page, "| `{}`{alias} | {default} | {form} | {changes} | {mark}{doc} |", row.name)?;
    }
    Ok(())
}

/// A text inside a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const SECTION_HEAD: &str = "## Settings without meaning here";

fn without_meaning_section() -> String {
    let mut text = format!(
        "{SECTION_HEAD}\n\nThese are read, checked, kept and printed, and change nothing.\n\n| setting | why |\n|---|---|\n"
    );
    let reason = |row: &Row| match row.meaning {
        Meaning::Without(reason) => Some(reason),
        _ => None,
    };
    let part = |row: &Row| match row.meaning {
        Meaning::Later(part) => Some(part),
        _ => None,
    };
    table(&mut text, reason);
    text.push_str(
        "\nThese wait for a part of the server that is still to come. A start that relies on one of the parts\n\
         (`user`, `aclfile`, `tls-port`) is refused.\n\n| setting | part |\n|---|---|\n",
    );
    table(&mut text, part);
    text
}

fn table(text: &mut String, second: impl Fn(&Row) -> Option<&'static str>) {
    for row in super::all() {
        if let Some(cell_text) = second(row) {
            writeln!(text, "| `{}` | {} |", row.name, cell(cell_text))
                .expect("writing to a string does not fail");
        }
    }
}

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

#[test]
fn settings_page_is_that_of_the_rows() {
    let path = page("settings.md");
    if updating() {
        fs::write(&path, settings_page()).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == settings_page(), "docs/settings.md is old: UPDATE=1 cargo test writes it");
}

#[test]
fn compatibility_page_lists_settings_without_meaning() {
    let path = page("compatibility.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|_| "# Compatibility\n\n".to_owned());
    let section = without_meaning_section();
    if updating() {
        fs::write(&path, with_section(&text, &section)).unwrap();
        return;
    }
    assert!(
        text.contains(&section),
        "docs/compatibility.md is old: UPDATE=1 cargo test writes its section"
    );
}

/// `text` with its section replaced, or added at the end.
fn with_section(text: &str, section: &str) -> String {
    let Some(start) = text.find(SECTION_HEAD) else {
        return format!("{}\n\n{section}", text.trim_end());
    };
    let behind = start + SECTION_HEAD.len();
    let end = text[behind..].find("\n## ").map_or(text.len(), |at| behind + at + 1);
    let rest = &text[end..];
    let gap = if rest.is_empty() { "" } else { "\n" };
    format!("{}{section}{gap}{rest}", &text[..start])
}

#[test]
fn section_is_replaced_in_its_place() {
    let old = format!("# A\n\n{SECTION_HEAD}\n\nold\n\n## B\n\ntext\n");
    let new = format!("{SECTION_HEAD}\n\nnew\n");
    let text = with_section(&old, &new);
    assert_eq!(text, format!("# A\n\n{new}\n## B\n\ntext\n"));
    assert_eq!(with_section(&text, &new), text);
    assert_eq!(with_section("# A\n", &new), format!("# A\n\n{new}"));
}

#[test]
fn rows_say_what_they_do_in_sentences() {
    for row in super::all() {
        assert!(row.doc.trim_end_matches(')').ends_with('.'), "{}", row.name);
        if let Meaning::Without(reason) | Meaning::Later(reason) = row.meaning {
            assert!(!reason.is_empty() && !reason.ends_with('.'), "{}", row.name);
        }
    }
}

/// Settings that their rows call honoured and that no code reads yet. The list may only become shorter.
const UNREAD: [&str; 0] = [];

/// A setting that nobody reads does nothing, whatever its row says.
#[test]
fn honoured_settings_are_read_somewhere() {
    let mut code = String::new();
    read_code(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    let words: std::collections::HashSet<&str> =
        code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for row in super::all().filter(|row| row.meaning == Meaning::Honoured && !row.file_only) {
        let field = row.name.replace('-', "_");
        // What guards other settings is read by the settings themselves.
        let read = words.contains(field.as_str()) || field == "enable_protected_configs";
        let unread = UNREAD.contains(&row.name);
        assert!(read || unread, "{}: no code reads it", row.name);
        assert!(!(read && unread), "{}: it is read, take it off the list", row.name);
    }
}

/// All code but that of the settings.
fn read_code(folder: &std::path::Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("src/config") {
            read_code(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
