//! DEBUG PROTOCOL: an example of each type of reply, for tests of client libraries.

use super::command::CommandResult;
use super::context::Context;

/// Not quite pi: the number that stock servers answer.
#[expect(clippy::approx_constant, reason = "three digits are what client tests compare")]
const EXAMPLE_DOUBLE: f64 = 3.141;

pub(super) fn example(ctx: &mut Context<'_>, kind: &[u8]) -> CommandResult {
    let reply = &mut ctx.reply;
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(EXAMPLE_DOUBLE),
        b"null" => reply.nil(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.int(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.int(number);
                reply.bool(number == 1);
            }
        }
        b"attrib" => attribute(ctx),
        b"push" if !reply.is_resp3() => {
            return Err("ERR RESP2 is not supported by this command".into());
        }
        b"push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
            // A push stands beside replies, not in place of one.
            reply.bulk(b"Some real reply following the push reply");
        }
        b"true" => reply.bool(true),
        b"false" => reply.bool(false),
        b"verbatim" => reply.verbatim("txt", "This is a verbatim\nstring"),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        _ => {
            return Err("ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false".into());
        }
    }
    Ok(())
}

fn attribute(ctx: &mut Context<'_>) {
    // RESP2 has none: the reply stands alone.
    if ctx.reply.is_resp3() {
        ctx.reply.attribute(1);
        ctx.reply.bulk(b"key-popularity");
        ctx.reply.array(2);
        ctx.reply.bulk(b"key:123");
        ctx.reply.int(90);
    }
    ctx.reply.bulk(b"Some real reply following the attribute");
}
