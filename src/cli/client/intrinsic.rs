//! `--intrinsic-latency`: how long this machine itself takes the processor away. No server is asked.

use std::hint::black_box;
use std::process::ExitCode;

use super::screen::print;
use crate::clock;

/// Rounds of work per run: about a tenth of a microsecond.
const WORK: u64 = 50;

/// Runs for `seconds`.
#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
pub(super) fn run(seconds: u64) -> ExitCode {
    let begun = clock::mono_us();
    let until = begun.saturating_add(seconds.saturating_mul(1_000_000));
    let (mut runs, mut max, mut now) = (0_u64, 0, begun);
    while now < until {
        work();
        let after = clock::mono_us();
        if after - now > max {
            max = after - now;
            print(format!("Max latency so far: {max} microseconds.\n").as_bytes());
        }
        now = after;
        runs += 1;
    }
    let average = (now - begun) as f64 / runs.max(1) as f64;
    let times = if average > 0.0 { max as f64 / average } else { 0.0 };
    print(
        format!(
            "\n{runs} total runs (avg latency: {average:.4} microseconds / {:.2} nanoseconds per run).\n\
             Worst run took {times:.0}x longer than the average latency.\n",
            average * 1000.0
        )
        .as_bytes(),
    );
    ExitCode::SUCCESS
}

fn work() {
    let mut state = 1_u64;
    for round in 0..WORK {
        state = black_box(state.rotate_left(7) ^ round);
    }
}
