//! A moment as the clock on the wall shows it, and how far that is from UTC. The system's own table of time zones is used, through libc.

use std::fmt;

/// Date and time of day, in the zone of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalTime {
    /// 1 to 31.
    pub(super) day: i32,
    /// 1 to 12.
    pub(super) month: i32,
    pub(super) year: i32,
    pub(super) hour: i32,
    pub(super) minute: i32,
    pub(super) second: i32,
    pub(super) ms: u64,
}

/// How many seconds local time is ahead of UTC at `unix_s`.
pub(crate) fn seconds_east_of_utc(unix_s: i64) -> i64 {
    broken_down(unix_s).tm_gmtoff
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl LocalTime {
    /// The local time `unix_ms` milliseconds after 1970.
    pub(super) fn of(unix_ms: u64) -> Self {
        let seconds = i64::try_from(unix_ms / 1000).expect("a u64 over 1000 fits");
        let tm = broken_down(seconds);
        Self {
            day: tm.tm_mday,
            month: tm.tm_mon + 1,
            year: tm.tm_year + 1900,
            hour: tm.tm_hour,
            minute: tm.tm_min,
            second: tm.tm_sec,
            ms: unix_ms % 1000,
        }
    }

    /// The name of the month in three letters.
    pub(super) fn month_name(&self) -> &'static str {
        let index = usize::try_from(self.month - 1).ok();
        index.and_then(|index| MONTHS.get(index)).copied().unwrap_or("???")
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02} {} {:04} {:02}:{:02}:{:02}.{:03}",
            self.day,
            self.month_name(),
            self.year,
            self.hour,
            self.minute,
            self.second,
            self.ms
        )
    }
}

#[expect(unsafe_code, reason = "no safe binding of localtime_r is among the dependencies")]
fn broken_down(seconds: i64) -> libc::tm {
    let mut tm = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values of this frame; localtime_r writes the second and keeps neither. It
    // reads the environment (TZ), which this program never changes while it has more than one thread.
    // All bytes of `tm` were zeroed, and zero is a valid value of each of its fields (numbers and a nullable
    // pointer), so it is initialized whether or not the call succeeded.
    unsafe {
        libc::localtime_r(&raw const seconds, tm.as_mut_ptr());
        tm.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moment_has_a_date() {
        // Noon of 2 January 2020 in UTC is that day in zones from -12 to +11, and the next one further east.
        let time = LocalTime::of(1_577_966_400_123);
        assert_eq!((time.month, time.year, time.ms), (1, 2020, 123));
        assert!((2..=3).contains(&time.day));
        assert_eq!(time.month_name(), "Jan");
    }
}
