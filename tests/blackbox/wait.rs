//! Waiting for what comes by itself.

use std::time::Duration;

/// Looks `looks` times, `pause` apart, until `look` finds something.
pub(crate) fn wait<T>(
    what: &str,
    (looks, pause): (usize, Duration),
    mut look: impl FnMut() -> Option<T>,
) -> T {
    for _ in 0..looks {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(pause);
    }
    panic!("{what} does not come")
}
