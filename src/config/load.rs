//! Reading settings at the start: a file, then standard input, then arguments, each overriding what came before.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::row::Row;
use super::{Config, LoadError, glob, rows, set};
use crate::resp::inline::split_words;

/// Most files that may include one another; a file that includes itself is found by this.
const INCLUDE_DEPTH_MAX: usize = 32;

/// Directives of old versions that were taken away, and are skipped with whatever value they have.
const GONE: [&str; 2] = ["list-max-ziplist-entries", "list-max-ziplist-value"];

/// Where settings come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file. The first becomes the one that CONFIG REWRITE changes.
    File(PathBuf),
    /// Standard input, to its end.
    Stdin,
    /// Lines made of `--name value` arguments.
    Arguments(Vec<u8>),
}

/// Reads `sources` in order on top of `base`. Paths are taken from the working folder, or from `dir` once that is set.
///
/// # Errors
/// The first source that cannot be read, or the first line that is wrong.
pub fn load(base: Config, sources: &[Source]) -> Result<Config, LoadError> {
    let folder = std::env::current_dir()
        .map_err(|error| LoadError::Unreadable { path: PathBuf::from("."), error })?;
    let own_dir = folder.join(&base.values.dir);
    let mut reader = Reader { config: base, seen: HashMap::new() };
    reader.config.values.dir = text_of(&folder);
    for source in sources {
        match source {
            Source::File(path) => {
                let path = folder.join(path);
                let text = read(&path)?;
                let name = path.display().to_string();
                reader.config.file.get_or_insert(path);
                reader.text(&name, &text, 0)?;
            }
            Source::Stdin => {
                let mut text = Vec::new();
                let unreadable = |error| LoadError::Unreadable { path: PathBuf::from("-"), error };
                std::io::stdin().lock().read_to_end(&mut text).map_err(unreadable)?;
                reader.text("standard input", &text, 0)?;
            }
            Source::Arguments(text) => reader.text("the command line", text, 0)?,
        }
    }
    reader.finish(&own_dir)
}

/// Reads `text` as though it stood at `path`, on top of the defaults.
///
/// # Errors
/// As [`load`].
pub(super) fn load_text(text: &[u8], path: &Path) -> Result<Config, LoadError> {
    let mut reader = Reader { config: Config::default(), seen: HashMap::new() };
    reader.config.values.dir = text_of(Path::new("/"));
    reader.text(&path.display().to_string(), text, 0)?;
    reader.finish(Path::new("/"))
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|error| LoadError::Unreadable { path: path.to_path_buf(), error })
}

fn text_of(path: &Path) -> String {
    // A path that is not UTF-8 shows itself with replacement characters, and fails where it is first used.
    let clean: PathBuf = path.components().collect();
    clean.to_string_lossy().into_owned()
}

/// A line and where it stands.
#[derive(Clone)]
struct Place {
    source: String,
    number: usize,
    line: String,
}

impl Place {
    fn wrong(&self, reason: impl Into<String>) -> LoadError {
        let Self { source, number, line } = self.clone();
        LoadError::Line { source, number, line, reason: reason.into() }
    }
}

struct Reader {
    config: Config,
    /// The last line that gave each setting.
    seen: HashMap<&'static str, Place>,
}

impl Reader {
    fn text(&mut self, source: &str, text: &[u8], depth: usize) -> Result<(), LoadError> {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let place = Place {
                source: source.to_owned(),
                number: index + 1,
                line: String::from_utf8_lossy(line).into_owned(),
            };
            self.line(place, line, depth)?;
        }
        Ok(())
    }

    fn line(&mut self, place: Place, line: &[u8], depth: usize) -> Result<(), LoadError> {
        let words = split_words(line)
            .ok_or_else(|| place.wrong("Unbalanced quotes in configuration line"))?;
        let [name, words @ ..] = words.as_slice() else { return Ok(()) };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if let ("include", [path]) = (name.as_str(), words) {
            return self.include(&place, &String::from_utf8_lossy(path), depth);
        }
        if GONE.contains(&name.as_str()) && words.len() == 1 {
            return Ok(());
        }
        let row = rows::find(&name)
            .ok_or_else(|| place.wrong("Bad directive or wrong number of arguments"))?;
        self.setting(row, place, words)
    }

    fn setting(
        &mut self,
        row: &'static Row,
        place: Place,
        words: &[Vec<u8>],
    ) -> Result<(), LoadError> {
        let again = self.seen.contains_key(row.name);
        let values = &mut self.config.values;
        // Several words may come as one in quotes, as they do in CONFIG SET.
        let split = match words {
            [only] => set::words_of(row, only),
            _ => words.to_vec(),
        };
        row.parse(values, &split, again)
            .and_then(|()| set::refuse_at_start(row, values))
            .map_err(|reason| place.wrong(reason))?;
        self.seen.insert(row.name, place);
        Ok(())
    }

    /// Reads the files that `pattern` names; a pattern without wildcards must name one.
    fn include(&mut self, place: &Place, pattern: &str, depth: usize) -> Result<(), LoadError> {
        if depth == INCLUDE_DEPTH_MAX {
            return Err(place.wrong("files include one another too deeply"));
        }
        let path = Path::new(&self.config.values.dir).join(pattern);
        for path in expand(&path) {
            let text = read(&path)?;
            self.text(&path.display().to_string(), &text, depth + 1)?;
        }
        Ok(())
    }

    /// Checks what no single line can tell.
    fn finish(mut self, own_dir: &Path) -> Result<Config, LoadError> {
        set::settle(&mut self.config.values);
        if !self.seen.contains_key("dir") {
            self.config.values.dir = text_of(own_dir);
        }
        let primary = self.seen.get("replicaof").filter(|_| self.config.replicaof.is_some());
        if let Some(place) = primary.filter(|_| self.config.cluster_enabled) {
            return Err(place.wrong("replicaof directive not allowed in cluster mode"));
        }
        Ok(self.config)
    }
}

/// The files that match a path with wildcards, sorted; the path itself if it has none.
fn expand(path: &Path) -> Vec<PathBuf> {
    let wild = |text: &str| text.contains(['*', '?', '[']);
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let text = part.as_os_str().to_string_lossy();
        if !wild(&text) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        found = found.iter().flat_map(|folder| matching(folder, &text)).collect();
    }
    found
}

/// Entries of `folder` whose names match, sorted. Hidden ones must be asked for.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| pattern.starts_with('.') || !name.starts_with('.'))
        .filter(|name| glob::matches(pattern.as_bytes(), name.as_bytes()))
        .collect();
    names.sort_unstable();
    names.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn from_lines(text: &str) -> Result<Config, LoadError> {
        load(Config::default(), &[Source::Arguments(text.as_bytes().to_vec())])
    }

    fn check_wrong(text: &str, number: usize, reason: &str) {
        match from_lines(text) {
            Err(LoadError::Line { number: at, reason: found, .. }) => {
                assert_eq!((at, found.as_str()), (number, reason), "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn wrong_line_is_named_with_its_number() {
        check_wrong("# one\n\nportx 1", 3, "Bad directive or wrong number of arguments");
        check_wrong("port abc", 1, "argument couldn't be parsed into an integer");
        check_wrong("port 1 2", 1, "wrong number of arguments");
        check_wrong("hz", 1, "wrong number of arguments");
        check_wrong("logfile \"a", 1, "Unbalanced quotes in configuration line");
        check_wrong("unixsocketperm 9", 1, "argument couldn't be parsed as an octal number");
        check_wrong("unixsocketperm 1777", 1, "argument must be between 0 and 777 inclusive");
        check_wrong("dbfilename a/b", 1, "dbfilename can't be a path, just a filename");
        check_wrong("appenddirname \"\"", 1, "appenddirname can't be empty");
        check_wrong("dir /no/such/folder", 1, "No such file or directory");
        check_wrong("replicaof a 99999", 1, "Invalid master port");
        check_wrong("save \"\" \"\"", 1, "Invalid save parameters");
        check_wrong(
            "replicaof a 1\ncluster-enabled yes",
            1,
            "replicaof directive not allowed in cluster mode",
        );
    }

    #[test]
    fn message_has_the_shape_of_stock() {
        let text = from_lines("portx 1").unwrap_err().to_string();
        let expected = "\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\n\
            Reading the configuration file, at line 1\n>>> 'portx 1'\n\
            Bad directive or wrong number of arguments\n(in the command line)";
        assert_eq!(text, expected);
    }

    #[test]
    fn later_lines_win_and_some_add_up() {
        let text =
            "port 1\nPORT 2\nsave 60 1\nsave 30 5\nrename-command a b\nrename-command c \"\"";
        let config = from_lines(text).unwrap();
        assert_eq!(config.port, 2);
        assert_eq!(config.save.len(), 2, "the defaults are gone");
        assert_eq!(config.rename_command.len(), 2);
        assert_eq!(from_lines("save 60 1\nsave \"\"").unwrap().save, []);
        assert_eq!(from_lines("bind a\nbind b").unwrap().bind, ["b"]);
    }

    #[test]
    fn words_of_old_versions_are_known() {
        let config = from_lines("slave-priority 5\nlist-max-ziplist-entries 5\nslaveof no one");
        assert_eq!(config.unwrap().replica_priority, 5);
    }

    #[test]
    fn sources_override_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.conf");
        fs::write(&path, "port 7000\r\ntimeout 5 \n").unwrap();
        let sources = [Source::File(path.clone()), Source::Arguments(b"port 7001\n".to_vec())];
        let config = load(Config::default(), &sources).unwrap();
        assert_eq!((config.port, config.timeout), (7001, 5));
        assert_eq!(config.file(), Some(path.as_path()));
    }

    #[test]
    fn include_takes_wildcards_and_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        file("1.inc", "port 1");
        file("2.inc", "port 2\ntimeout 9");
        file("bad.conf", "timeout 9\nport x");
        let shown = folder.path().display();
        let main = file("main.conf", &format!("include {shown}/*.inc\ninclude {shown}/*.none\n"));
        let config = load(Config::default(), &[Source::File(main)]).unwrap();
        assert_eq!((config.port, config.timeout), (2, 9));

        let main = file("main2.conf", &format!("include {shown}/bad.conf"));
        match load(Config::default(), &[Source::File(main)]) {
            Err(LoadError::Line { source, number: 2, .. }) => {
                assert!(source.ends_with("bad.conf"));
            }
            other => panic!("{other:?}"),
        }
        let main = file("main3.conf", &format!("include {shown}/missing.conf"));
        let error = load(Config::default(), &[Source::File(main)]).unwrap_err();
        assert!(matches!(error, LoadError::Unreadable { .. }));
        let main = folder.path().join("loop.conf");
        fs::write(&main, format!("include {}", main.display())).unwrap();
        assert!(load(Config::default(), &[Source::File(main)]).is_err());
    }

    #[test]
    fn folder_of_ours_stays_unless_another_is_named() {
        let config = load(Config::server_defaults(), &[]).unwrap();
        assert!(config.dir.ends_with("/highwater-data"), "{}", config.dir);
        assert!(Path::new(&config.dir).is_absolute());
        let config =
            load(Config::server_defaults(), &[Source::Arguments(b"dir /tmp".to_vec())]).unwrap();
        assert_eq!(config.dir, "/tmp");
    }
}
