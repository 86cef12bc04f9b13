//! A moment as people write it: seconds since 1970, or date and time of day.
//!
//! ```text
//! 1700000000                  seconds since 1970
//! 2023-11-14 22:13:20         local time; the T of ISO 8601 may stand for the blank
//! 2023-11-14T22:13:20Z        UTC
//! 2023-11-14 23:13:20+01:00   so far east of UTC; also +0100 and +01
//! ```
//!
//! Seconds may be left out (they are 0 then) or have a fraction (it is dropped: the log's time stamps are whole seconds).

use crate::logging::seconds_east_of_utc;

/// What a moment looks like, for messages.
const FORMS: &str = "write seconds since 1970, or YYYY-MM-DD HH:MM:SS (local time), with Z behind it for UTC or an \
                     offset such as +01:00";

const DAY_S: i64 = 86_400;

/// Seconds since 1970 of the moment that `text` names.
///
/// # Errors
/// What is wrong with it, and how it can be written.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    parse_in_zone(text, seconds_east_of_utc)
}

/// [`parse`], where `offset_at` is how many seconds local time is ahead of UTC at a moment.
fn parse_in_zone(text: &str, offset_at: impl Fn(i64) -> i64) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let unclear = || format!("this is no moment: {FORMS}");
    let (date, rest) = text.split_at_checked(10).ok_or_else(unclear)?;
    let days = days_since_1970(date).ok_or_else(unclear)??;
    let rest = match rest.chars().next() {
        Some(' ' | 'T' | 't') => &rest[1..],
        None => return Err("the time of day is missing: put HH:MM:SS behind the date".to_owned()),
        Some(_) => return Err(unclear()),
    };
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let naive = days * DAY_S + time_of_day(time.trim_end()).ok_or_else(unclear)??;
    match zone {
        "" => local(naive, offset_at),
        "Z" | "z" => Ok(naive),
        zone => Ok(naive - zone_offset(zone).ok_or_else(unclear)??),
    }
}

/// The moment at which clocks on the wall show `naive`, seconds counted as if they showed UTC.
fn local(naive: i64, offset_at: impl Fn(i64) -> i64) -> Result<i64, String> {
    // Zones change their offset far less often than daily, so one of these two was in force.
    let [early, late] = [naive - DAY_S, naive + DAY_S].map(|near| naive - offset_at(near));
    let shows = |moment: i64| moment + offset_at(moment) == naive;
    match (shows(early), shows(late)) {
        (true, true) if early != late => Err(
            "the clocks were put back, so local time showed that twice: put an offset such as +01:00 behind it"
                .to_owned(),
        ),
        (true, _) => Ok(early),
        (false, true) => Ok(late),
        (false, false) => {
            Err("the clocks were put forward over that: local time never showed it".to_owned())
        }
    }
}

/// Days from 1970 to a date `YYYY-MM-DD`; outside `None` if it has another form.
fn days_since_1970(date: &str) -> Option<Result<i64, String>> {
    let bytes = date.as_bytes();
    if bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let (year, month, day) = (digits(&date[..4])?, digits(&date[5..7])?, digits(&date[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month - 1).ok();
    let Some(length) = index.and_then(|index| months.get(index)) else {
        return Some(Err(format!("there is no month {month}")));
    };
    if !(1..=*length).contains(&day) {
        return Some(Err(format!("there is no day {day} in month {month} of {year}")));
    }
    let before: i64 = months.iter().take(index.unwrap_or(0)).sum();
    // Leap days of all years before this one, counted from the year 0.
    let leap_days = |year: i64| {
        let last = year - 1;
        last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400)
    };
    let days = 365 * (year - 1970) + leap_days(year) - leap_days(1970) + before + day - 1;
    Some(Ok(days))
}

/// Seconds from midnight to `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`.
fn time_of_day(time: &str) -> Option<Result<i64, String>> {
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    digits(fraction)?;
    let parts: Vec<&str> = whole.split(':').collect();
    let (hour, minute, second) = match parts[..] {
        [hour, minute] if whole == time => (two_digits(hour)?, two_digits(minute)?, 0),
        [hour, minute, second] => (two_digits(hour)?, two_digits(minute)?, two_digits(second)?),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return Some(Err(format!("there is no time of day {whole}")));
    }
    Some(Ok(hour * 3600 + minute * 60 + second))
}

/// Seconds ahead of UTC of `+HH:MM`, `+HHMM` or `+HH`.
fn zone_offset(zone: &str) -> Option<Result<i64, String>> {
    let (sign, rest) = (if zone.starts_with('-') { -1 } else { 1 }, zone.get(1..)?);
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at_checked(2)?,
        _ => rest.split_once(':')?,
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    // The farthest that was ever in use is below 16 hours.
    if hours > 15 || minutes > 59 {
        return Some(Err(format!("no zone is {zone} from UTC")));
    }
    Some(Ok(sign * (hours * 3600 + minutes * 60)))
}

fn two_digits(text: &str) -> Option<i64> {
    if text.len() == 2 { digits(text) } else { None }
}

/// A number of digits only: `parse` would take a sign too.
fn digits(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Fractions may be longer than any number; what they say does not matter.
    Some(text.parse().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One hour ahead of UTC, two from 1711846800 (31 March 2024, 01:00 UTC) to 1729990800 (27 October 2024, 01:00 UTC).
    fn central_europe(moment: i64) -> i64 {
        if (1_711_846_800..1_729_990_800).contains(&moment) { 7200 } else { 3600 }
    }

    fn check(text: &str, expected: Result<i64, &str>) {
        let parsed = parse_in_zone(text, central_europe);
        match (&parsed, expected) {
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            _ => assert_eq!(parsed.as_ref().ok(), expected.ok().as_ref(), "{text}: {parsed:?}"),
        }
    }

    #[test]
    fn moments_are_read_in_every_form() {
        check("1700000000", Ok(1_700_000_000));
        check("-5", Ok(-5));
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14t22:13:20z",
            "2023-11-14 22:13:20.999999999999999999999Z",
            "2023-11-14 22:13:20 Z",
            "2023-11-14 23:13:20",
            "2023-11-14T23:13:20+01:00",
            "2023-11-14 23:13:20 +0100",
            "2023-11-14 23:13:20+01",
            "2023-11-14 16:43:20-05:30",
            "  2023-11-14 23:13:20 ",
        ] {
            check(text, Ok(1_700_000_000));
        }
        check("2023-11-14 22:13Z", Ok(1_699_999_980));
        check("1970-01-01 00:00:00Z", Ok(0));
        check("1969-12-31 23:59:59Z", Ok(-1));
        check("2000-02-29 00:00:00Z", Ok(951_782_400));
        check("2100-03-01 00:00:00Z", Ok(4_107_542_400));
    }

    #[test]
    fn local_time_follows_the_zone_of_that_day() {
        check("2024-01-15 12:00:00", Ok(1_705_316_400));
        check("2024-07-15 12:00:00", Ok(1_721_037_600));
        check("2024-03-31 01:59:59", Ok(1_711_846_799));
        check("2024-03-31 03:00:00", Ok(1_711_846_800));
        check("2024-03-31 02:30:00", Err("put forward"));
        check("2024-10-27 02:30:00", Err("twice"));
        check("2024-10-27 02:30:00+02:00", Ok(1_729_989_000));
        check("2024-10-27 03:00:00", Ok(1_729_994_400));
    }

    #[test]
    fn what_is_no_moment_is_said() {
        check("2023-11-14", Err("the time of day is missing"));
        check("2023-13-14 00:00:00", Err("there is no month 13"));
        check("2023-02-29 00:00:00", Err("there is no day 29 in month 2 of 2023"));
        check("2023-11-14 24:00:00", Err("there is no time of day 24:00:00"));
        check("2023-11-14 12:00:00+19:00", Err("no zone is +19:00"));
        for text in [
            "",
            "now",
            "14 Nov 2023 22:13:20",
            "2023-11-14x22:13:20",
            "2023-11-14 2:13:20",
            "2023-11-14 22:13:20 CET",
            "2023-11-14 22.13",
            "2023-11-14 22:13:20+1",
            "2023-1\u{e9}-14 22:13:20",
            "+023-11-14 22:13:20",
            "99999999999999999999",
        ] {
            check(text, Err("this is no moment"));
        }
    }
}
