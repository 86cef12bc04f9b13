//! The command of the arguments.

use std::io::Read;

use super::options::{Options, unquoted};

/// The command of the arguments, with standard input where that belongs into it.
///
/// # Errors
/// What to tell the user.
pub(super) fn command(options: &Options) -> Result<Vec<Vec<u8>>, String> {
    let mut words = options.words.clone();
    if options.quoted_input {
        words = words.iter().map(|word| unquoted(word)).collect::<Result<_, _>>()?;
    }
    if options.read_last {
        words.push(standard_input()?);
    } else if let Some(tag) = &options.read_tag {
        let place = words.iter_mut().find(|word| *word == tag);
        let place = place.ok_or("Using -X option but stdin tag not match.")?;
        *place = standard_input()?;
    }
    Ok(words)
}

fn standard_input() -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    Ok(bytes)
}
