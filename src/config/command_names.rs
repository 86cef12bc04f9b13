//! `rename-command`: by which names clients reach commands.

use std::collections::HashMap;

use super::special::RenamedCommand;

/// Names that mean something else than they say.
#[derive(Clone, Debug, Default)]
pub struct CommandNames {
    /// By name in lower case: the command's own name, or `None` where the name reaches nothing.
    by_name: HashMap<Vec<u8>, Option<String>>,
}

/// What a name reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached<'a> {
    /// The command of that name.
    Itself,
    /// The command whose own name this is.
    Other(&'a str),
    /// Nothing: the command was renamed.
    Nothing,
}

impl CommandNames {
    /// The names after all of `renamed`, in order. What [`CommandNames::check`] refuses has no effect.
    #[must_use]
    pub fn new(renamed: &[RenamedCommand]) -> Self {
        let mut names = Self::default();
        for RenamedCommand { from, to } in renamed {
            names.rename(from, to);
        }
        names
    }

    /// Whether each of `renamed` can be carried out, where `known` says which commands there are.
    ///
    /// # Errors
    /// In stock's words.
    pub fn check(
        renamed: &[RenamedCommand],
        known: impl Fn(&str) -> bool,
    ) -> Result<(), &'static str> {
        let mut names = Self::default();
        for RenamedCommand { from, to } in renamed {
            let exists = |name: &str| match names.reached(name.as_bytes()) {
                Reached::Itself => known(name),
                Reached::Other(_) => true,
                Reached::Nothing => false,
            };
            if !exists(from) {
                return Err("No such command in rename-command");
            }
            if !to.is_empty() && !to.eq_ignore_ascii_case(from) && exists(to) {
                return Err("Target command name already exists");
            }
            names.rename(from, to);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
        let own = match self.reached(from.as_bytes()) {
            Reached::Itself => from.clone(),
            Reached::Other(own) => own.to_owned(),
            Reached::Nothing => return,
        };
        self.by_name.insert(from.into_bytes(), None);
        if !to.is_empty() {
            self.by_name.insert(to.into_bytes(), Some(own));
        }
    }

    /// What `name` reaches, in any case.
    #[inline]
    #[must_use]
    pub fn reached(&self, name: &[u8]) -> Reached<'_> {
        if self.by_name.is_empty() {
            return Reached::Itself;
        }
        match self.by_name.get(&name.to_ascii_lowercase()) {
            None => Reached::Itself,
            Some(Some(own)) => Reached::Other(own),
            Some(None) => Reached::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(pairs: &[(&str, &str)]) -> Vec<RenamedCommand> {
        let pair = |(from, to): &(&str, &str)| RenamedCommand {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
        };
        pairs.iter().map(pair).collect()
    }

    fn check(pairs: &[(&str, &str)], expected: Result<(), &'static str>) {
        let known = |name: &str| ["get", "set", "config"].contains(&&*name.to_ascii_lowercase());
        assert_eq!(CommandNames::check(&renamed(pairs), known), expected, "{pairs:?}");
    }

    #[test]
    fn renamed_command_is_reached_by_its_new_name_alone() {
        let names = CommandNames::new(&renamed(&[("CONFIG", "Secret"), ("get", "")]));
        assert_eq!(names.reached(b"config"), Reached::Nothing);
        assert_eq!(names.reached(b"SECRET"), Reached::Other("config"));
        assert_eq!(names.reached(b"get"), Reached::Nothing);
        assert_eq!(names.reached(b"set"), Reached::Itself);
    }

    #[test]
    fn names_may_be_exchanged_in_steps() {
        let names = CommandNames::new(&renamed(&[("get", "t"), ("set", "get"), ("t", "set")]));
        assert_eq!(names.reached(b"get"), Reached::Other("set"));
        assert_eq!(names.reached(b"set"), Reached::Other("get"));
        assert_eq!(names.reached(b"t"), Reached::Nothing);
    }

    #[test]
    fn impossible_renames_are_refused() {
        check(&[("get", "x"), ("config", "")], Ok(()));
        check(&[("get", "x"), ("set", "get")], Ok(()));
        check(&[("nosuch", "x")], Err("No such command in rename-command"));
        check(&[("get", "x"), ("get", "y")], Err("No such command in rename-command"));
        check(&[("get", "set")], Err("Target command name already exists"));
        check(&[("get", "x"), ("set", "x")], Err("Target command name already exists"));
    }
}
