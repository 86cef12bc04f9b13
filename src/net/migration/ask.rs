//! Requests of one node to another.

use std::io;
use std::time::Duration;

use super::world::{Answer, Link, World};
use crate::resp::inline::encode_into;

/// For the answer to anything but a batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to a node, and logs in as a replica would.
///
/// # Errors
/// In a sentence.
pub(super) async fn connect<W: World>(
    world: &W,
    (host, port): (&str, u16),
) -> Result<W::Link, String> {
    let mut link = world.open(host, port).await?;
    let (user, password) = world.look(|node| {
        let config = &node.state.config;
        (config.masteruser.clone(), config.masterauth.clone())
    });
    if !password.is_empty() {
        let answer = match user.is_empty() {
            true => ask(&mut link, &[b"AUTH", &password]).await,
            false => ask(&mut link, &[b"AUTH", &user, &password]).await,
        }
        .map_err(|error| format!("{host}:{port}: {error}"))?;
        if let Answer::Error(text) = answer {
            return Err(format!("{host}:{port} does not take masterauth: {text}"));
        }
    }
    Ok(link)
}

/// Sends a request and waits for its answer.
pub(super) async fn ask(link: &mut impl Link, words: &[&[u8]]) -> io::Result<Answer> {
    ask_for(link, words, TIMEOUT).await
}

/// The same, for as long as that.
pub(super) async fn ask_for(
    link: &mut impl Link,
    words: &[&[u8]],
    timeout: Duration,
) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    encode_into(&mut bytes, words);
    link.send(&bytes).await?;
    link.answer(timeout).await
}
