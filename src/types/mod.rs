//! Values: plain collections that know their encodings and nothing of keys.

/// The value of a key that is not a string.
#[derive(Clone, Debug)]
pub enum Object {
    /// A list of byte strings.
    List(Vec<Vec<u8>>),
}

impl Object {
    /// The name of the type, as TYPE answers.
    pub fn type_name(&self) -> &'static str {
        match self {
            Object::List(_) => "list",
        }
    }

    /// The encoding, as OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self {
            Object::List(_) => "quicklist",
        }
    }

    /// Bytes of memory held, rounded as the allocator rounds.
    pub fn memory_usage(&self) -> usize {
        match self {
            Object::List(items) => items.iter().map(Vec::len).sum(),
        }
    }
}
