//! `--latency-dist`: the distribution of round trips as a coloured line per interval.

use std::process::ExitCode;
use std::time::Duration;

use super::options::Options;
use super::screen::print;
use super::session;
use crate::clock;

/// Colours of the 256 of a terminal, from nothing to everything.
const COLOURS: &[u8] =
    &[0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 144, 143, 142, 184, 226, 214, 208, 202, 196];

/// Upper bounds in microseconds, and the sign of each column. The last takes all that is longer.
const COLUMNS: &[(u64, char)] = &[
    (10, '.'),
    (125, '-'),
    (250, '*'),
    (500, '#'),
    (1_000, '1'),
    (2_000, '2'),
    (3_000, '3'),
    (4_000, '4'),
    (5_000, '5'),
    (6_000, '6'),
    (7_000, '7'),
    (8_000, '8'),
    (9_000, '9'),
    (10_000, 'A'),
    (20_000, 'B'),
    (30_000, 'C'),
    (40_000, 'D'),
    (50_000, 'E'),
    (100_000, 'F'),
    (200_000, 'G'),
    (300_000, 'H'),
    (400_000, 'I'),
    (500_000, 'J'),
    (1_000_000, 'K'),
    (2_000_000, 'L'),
    (4_000_000, 'M'),
    (8_000_000, 'N'),
    (16_000_000, 'O'),
    (30_000_000, 'P'),
    (60_000_000, 'Q'),
    (u64::MAX, '?'),
];

/// Lines between legends.
const LINES: u64 = 20;

/// Prints lines until the connection breaks.
pub(super) fn run(options: &Options) -> ExitCode {
    let Ok(mut connection) = session::connect(options) else { return ExitCode::FAILURE };
    let interval =
        if options.interval.is_zero() { Duration::from_secs(1) } else { options.interval };
    let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    let mut printed = 0;
    loop {
        let mut counts = vec![0; COLUMNS.len()];
        let begun = clock::mono_us();
        while clock::mono_us() - begun < interval_us {
            let sent = clock::mono_us();
            if let Err(error) = connection.ask(&["PING"]) {
                return session::lost(&error);
            }
            counts[column(clock::mono_us() - sent)] += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        if printed % LINES == 0 {
            print(legend().as_bytes());
        }
        print(line(&counts).as_bytes());
        printed += 1;
    }
}

/// The column of a time.
fn column(elapsed_us: u64) -> usize {
    COLUMNS.partition_point(|(bound, _)| *bound < elapsed_us)
}

fn legend() -> String {
    let rule = "---------------------------------------------\n";
    let colours: String = COLOURS.iter().map(|colour| format!("\x1b[48;5;{colour}m ")).collect();
    format!(
        "{rule}. - * #          .01 .125 .25 .5 milliseconds\n\
         1,2,3,...,9      from 1 to 9     milliseconds\n\
         A,B,C,D,E        10,20,30,40,50  milliseconds\n\
         F,G,H,I,J        .1,.2,.3,.4,.5       seconds\n\
         K,L,M,N,O,P,Q,?  1,2,4,8,16,30,60,>60 seconds\n\
         From 0 to 100%: {colours}\x1b[0m\n{rule}"
    )
}

fn line(counts: &[u64]) -> String {
    let total: u64 = counts.iter().sum::<u64>().max(1);
    let brightest = COLOURS.len() as u64 - 1;
    let cells = counts.iter().zip(COLUMNS).map(|(count, (_, sign))| {
        // The least is not nothing.
        let shade = (count * brightest).div_ceil(total).min(brightest);
        let colour = COLOURS[usize::try_from(shade).unwrap_or(0)];
        format!("\x1b[48;5;{colour}m{sign}")
    });
    format!("\x1b[38;5;0m{}\x1b[0m\n", cells.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_find_their_column() {
        for (elapsed_us, sign) in
            [(0, '.'), (10, '.'), (11, '-'), (999, '1'), (9_500, 'A'), (u64::MAX, '?')]
        {
            assert_eq!(COLUMNS[column(elapsed_us)].1, sign, "{elapsed_us}");
        }
    }

    #[test]
    fn brightest_is_all() {
        let mut counts = vec![0; COLUMNS.len()];
        counts[0] = 5;
        assert!(line(&counts).starts_with("\x1b[38;5;0m\x1b[48;5;196m.\x1b[48;5;0m-"));
    }
}
