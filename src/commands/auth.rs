//! AUTH and HELLO: who a client is, and which protocol it speaks.

use super::command::{Arity, Command, CommandResult, Flag, Group};
use super::context::Context;
use crate::resp::{Args, CommandError, number, quoted};
use crate::state::State;

const BEFORE_AUTH: &[Flag] =
    &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy];

const WRONGPASS: CommandError =
    CommandError::new("WRONGPASS invalid username-password pair or user is disabled.");
const NO_PASSWORD: CommandError = CommandError::new(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
);
const HELLO_NOAUTH: CommandError = CommandError::new(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
);
const BAD_NAME: CommandError =
    CommandError::new("ERR Client names cannot contain spaces, newlines or special characters.");

const AUTH: Command = Command {
    name: "auth",
    arity: Arity::AtLeast(2),
    flags: BEFORE_AUTH,
    categories: &["connection"],
    group: Group::Connection,
    summary: "Tells the server the password, and the user it belongs to.",
    complexity: "O(N) with N the passwords of the user",
    syntax: "[username] password",
    run: auth,
    ..Command::DEFAULT
};

fn auth(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let (user, password): (&[u8], &[u8]) = match args.len() {
        2 if ctx.state.config.requirepass.is_empty() => return Err(NO_PASSWORD),
        2 => (b"default", &args[1]),
        3 => (&args[1], &args[2]),
        _ => return Err(crate::resp::errors::SYNTAX),
    };
    authenticate(ctx, user, password)?;
    ctx.reply.ok();
    Ok(())
}

fn authenticate(ctx: &mut Context<'_>, user: &[u8], password: &[u8]) -> CommandResult {
    if !is_right(ctx.state, user, password) {
        ctx.state.stats.auth_failures += 1;
        return Err(WRONGPASS);
    }
    ctx.client.authenticated = true;
    Ok(())
}

/// There is one user, `default`, whose password is `requirepass`; without one, every password is right.
fn is_right(state: &State, user: &[u8], password: &[u8]) -> bool {
    let expected = &state.config.requirepass;
    user == b"default" && (expected.is_empty() || same(expected, password))
}

/// Compares in a time that depends on the length of `given` alone, so that a password cannot be guessed byte by byte.
fn same(expected: &[u8], given: &[u8]) -> bool {
    let mut difference = usize::from(expected.len() != given.len());
    for (index, byte) in given.iter().enumerate() {
        difference |= usize::from(byte ^ expected.get(index).copied().unwrap_or(0));
    }
    difference == 0
}

const HELLO: Command = Command {
    name: "hello",
    arity: Arity::AtLeast(1),
    flags: BEFORE_AUTH,
    categories: &["connection"],
    group: Group::Connection,
    since: "6.0.0",
    summary: "Says what the server is; changes the protocol, authenticates and names the connection in one step.",
    syntax: "[protover [AUTH username password] [SETNAME clientname]]",
    run: hello,
    ..Command::DEFAULT
};

/// What a HELLO asks for.
#[derive(Default)]
struct Hello<'a> {
    resp3: Option<bool>,
    auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn hello(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let wanted = parse_hello(args)?;
    if let Some((user, password)) = wanted.auth {
        authenticate(ctx, user, password)?;
    }
    if !ctx.client.authenticated {
        return Err(HELLO_NOAUTH);
    }
    if let Some(name) = wanted.name {
        ctx.client.name = name.to_vec();
    }
    if let Some(resp3) = wanted.resp3 {
        ctx.client.resp3 = resp3;
        ctx.reply.set_resp3(resp3);
    }
    introduce(ctx);
    Ok(())
}

fn parse_hello<'a>(args: Args<'a>) -> Result<Hello<'a>, CommandError> {
    let mut hello = Hello::default();
    let Some(version) = args.get(1) else { return Ok(hello) };
    hello.resp3 = match number::parse_i64(version) {
        Some(2) => Some(false),
        Some(3) => Some(true),
        Some(_) => return Err("NOPROTO unsupported protocol version".into()),
        None => return Err("ERR Protocol version is not an integer or out of range".into()),
    };
    let mut at = 2;
    while let Some(option) = args.get(at) {
        match (args.get(at + 1), args.get(at + 2)) {
            (Some(user), Some(password)) if option.eq_ignore_ascii_case(b"auth") => {
                hello.auth = Some((user, password));
                at += 3;
            }
            (Some(name), _) if option.eq_ignore_ascii_case(b"setname") => {
                if !is_plain(name) {
                    return Err(BAD_NAME);
                }
                hello.name = Some(name);
                at += 2;
            }
            _ => {
                return Err(CommandError::owned(format!(
                    "ERR Syntax error in HELLO option '{}'",
                    quoted(option)
                )));
            }
        }
    }
    Ok(hello)
}

/// The map that HELLO answers.
fn introduce(ctx: &mut Context<'_>) {
    let mode: &[u8] = if ctx.state.config.cluster_enabled { b"cluster" } else { b"standalone" };
    ctx.reply.map(7);
    ctx.reply.bulk(b"server");
    ctx.reply.bulk(b"redis");
    ctx.reply.bulk(b"version");
    ctx.reply.bulk(crate::REDIS_VERSION.as_bytes());
    ctx.reply.bulk(b"proto");
    ctx.reply.int(if ctx.client.resp3 { 3 } else { 2 });
    ctx.reply.bulk(b"id");
    ctx.reply.int(ctx.client.id.0.cast_signed());
    ctx.reply.bulk(b"mode");
    ctx.reply.bulk(mode);
    ctx.reply.bulk(b"role");
    ctx.reply.bulk(if ctx.state.is_replica() { b"replica" } else { b"master" });
    ctx.reply.bulk(b"modules");
    ctx.reply.array(0);
}

/// Whether text can stand in a line of CLIENT LIST: printable, without spaces.
pub(super) fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// Whether argument `index` of a request is a secret that MONITOR and the slow log do not show.
pub fn is_secret(name: &str, args: Args<'_>, index: usize) -> bool {
    let word_is =
        |at: usize, word: &[u8]| args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word));
    match name {
        "auth" => index >= 1,
        "hello" => index >= 2 && (word_is(index - 1, b"auth") || word_is(index - 2, b"auth")),
        "config|set" => {
            let secrets: [&[u8]; 4] =
                [b"requirepass", b"masterauth", b"masteruser", b"tls-key-file-pass"];
            index >= 3 && index % 2 == 1 && secrets.iter().any(|word| word_is(index - 1, word))
        }
        "migrate" if index >= 7 => {
            let is_key = (6..index).any(|at| word_is(at, b"keys") && args[3].is_empty());
            let is_secret = word_is(index - 1, b"auth") || word_is(index - 1, b"auth2");
            !is_key && (is_secret || word_is(index - 2, b"auth2"))
        }
        _ => false,
    }
}

/// The family.
pub const COMMANDS: &[Command] = &[AUTH, HELLO];
