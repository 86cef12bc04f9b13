//! LOLWUT: a picture of the sea, and the mark that the highest wave has left.

use super::command::{Command, CommandResult, Flag, Group};
use super::context::Context;
use crate::resp::{Args, errors, number};

const LOLWUT: Command = Command {
    name: "lolwut",
    flags: &[Flag::Readonly, Flag::Fast],
    group: Group::Server,
    since: "5.0.0",
    summary: "Draws a picture and tells the version.",
    syntax: "[VERSION version [columns [rows]]]",
    run: lolwut,
    ..Command::DEFAULT
};

/// Columns and rows unless others are asked for, and the most of each.
const SIZE: (usize, usize) = (66, 8);
const SIZE_MAX: (usize, usize) = (200, 50);

fn lolwut(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut numbers = args.iter_from(1).map(|word| number::parse_i64(word).ok_or(word));
    let mut size = SIZE;
    match numbers.next() {
        None => {}
        Some(Err(word)) if word.eq_ignore_ascii_case(b"version") && args.len() > 2 => {
            let mut given = [0; 3];
            for (place, number) in given.iter_mut().zip(&mut numbers) {
                *place = number.map_err(|_| errors::NOT_INTEGER)?;
            }
            let within = |number: i64, default: usize, max: usize| match usize::try_from(number) {
                Ok(0) | Err(_) => default,
                Ok(number) => number.min(max),
            };
            size = (within(given[1], SIZE.0, SIZE_MAX.0), within(given[2], SIZE.1, SIZE_MAX.1));
        }
        // Stock servers pass over arguments they do not know.
        Some(_) => {}
    }
    let text = picture(size, ctx.time.unix_us);
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

/// Waves of random height: `~` is their surface, `=` the mark above all of them.
fn picture((columns, rows): (usize, usize), seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut height = rows / 2;
    let heights: Vec<usize> = (0..columns)
        .map(|_| {
            let step = random.usize(0..3);
            height = (height + step).saturating_sub(1).clamp(1, rows.max(1));
            height
        })
        .collect();
    let highest = heights.iter().copied().max().unwrap_or(0);
    let mut text = String::new();
    for row in (1..=rows + 1).rev() {
        let letter = |height: &usize| match row {
            row if row == highest + 1 => '=',
            row if row == *height => '~',
            row if row < *height => ':',
            _ => ' ',
        };
        let line: String = heights.iter().map(letter).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str("\nAs high as the water has been. Redis ver. ");
    text.push_str(crate::REDIS_VERSION);
    text.push('\n');
    text
}

/// The family.
pub const COMMANDS: &[Command] = &[LOLWUT];

#[cfg(test)]
mod tests {
    use super::picture;

    #[test]
    fn the_mark_is_above_every_wave() {
        for seed in 0..50 {
            let text = picture((40, 6), seed);
            let lines: Vec<&str> = text.lines().collect();
            let mark = lines.iter().position(|line| line.starts_with('=')).unwrap();
            assert!(lines[..mark].iter().all(|line| line.is_empty()), "{text}");
            assert!(lines[mark + 1].contains('~'), "{text}");
            assert!(text.ends_with("Redis ver. 7.2.4\n"));
        }
    }
}
