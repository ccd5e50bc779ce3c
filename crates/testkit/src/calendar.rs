//! Civil dates: days between them, yearly occurrences, ages (section 3).

use jiff::{Span, civil::Date};

/// The date `days` after `date`, or the last (first) date there is.
pub(crate) fn plus(date: Date, days: i64) -> Date {
    // Ten thousand years are enough for any date; a longer span would be refused.
    date.saturating_add(Span::new().days(days.clamp(-3_652_500, 3_652_500)))
}

/// Days from `from` to `to`: negative when `to` is earlier.
pub(crate) fn days_between(from: Date, to: Date) -> i64 {
    from.duration_until(to).as_hours() / 24
}

/// `date` as days since 1970-01-01.
pub(crate) fn day_number(date: Date) -> i64 {
    days_between(jiff::civil::date(1970, 1, 1), date)
}

/// Where the yearly return of `original` falls in `year`: February 29 falls on February 28 in a year without one.
/// `None` before the original year, and beyond the calendar.
pub(crate) fn occurrence_in(original: Date, year: i16) -> Option<Date> {
    if year < original.year() {
        return None;
    }
    Date::new(year, original.month(), original.day())
        .or_else(|_| Date::new(year, original.month(), 28))
        .ok()
}

/// The first occurrence on or after `today`.
pub(crate) fn next_occurrence(today: Date, original: Date) -> Option<Date> {
    (original.year()..=9999)
        .filter_map(|year| occurrence_in(original, year))
        .find(|&occurrence| occurrence >= today)
}

/// The last occurrence before `today`.
pub(crate) fn previous_occurrence(today: Date, original: Date) -> Option<Date> {
    (original.year()..=today.year())
        .filter_map(|year| occurrence_in(original, year))
        .rfind(|&occurrence| occurrence < today)
}

/// Age in completed years on `on`: a year is completed on the yearly return of the birthday, which for February 29 is
/// February 28 in common years. Negative before the birth.
pub(crate) fn completed_years(birth: Date, on: Date) -> i64 {
    let years = i64::from(on.year()) - i64::from(birth.year());
    let returns_later = match Date::new(on.year(), birth.month(), birth.day()) {
        Ok(birthday) => birthday > on,
        Err(_) => (on.month(), on.day()) < (birth.month(), 28),
    };
    if returns_later { years - 1 } else { years }
}

/// Reads `YYYY-MM-DD` with an optional time part (section 2). `None` when it is malformed or not a real date.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let (day, time) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    if time.is_some_and(|time| !is_time(time)) {
        return None;
    }
    let bytes = day.as_bytes();
    let shape = bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, byte)| match i {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shape {
        return None;
    }
    Date::new(day[..4].parse().ok()?, day[5..7].parse().ok()?, day[8..].parse().ok()?).ok()
}

/// `HH:MM`, `HH:MM:SS`, with a fraction, and with `Z` or an offset behind it.
fn is_time(text: &str) -> bool {
    let text = text.strip_suffix('Z').unwrap_or_else(|| match text.rfind(['+', '-']) {
        Some(at) if at >= 5 => &text[..at],
        _ => text,
    });
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let limits = [24, 60, 60];
    (2..=3).contains(&parts.len())
        && parts.iter().zip(limits).all(|(part, limit)| {
            part.len() == 2
                && part.bytes().all(|b| b.is_ascii_digit())
                && part.parse::<u32>().is_ok_and(|n| n < limit)
        })
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit())
}

/// A point in time that compares by date, then by time of day: how the sender's and the trackers' columns are read. An
/// offset behind the time is not looked at. A date alone is its midnight.
pub(crate) fn parse_moment(text: &str) -> Option<(Date, String)> {
    let date = parse_date(text)?;
    let time = text.get(11..).unwrap_or("").trim_end_matches('Z');
    let mut clock: String =
        time.chars().take_while(|c| c.is_ascii_digit() || *c == ':' || *c == '.').collect();
    if clock.len() == 5 {
        clock.push_str(":00");
    }
    if clock.is_empty() {
        clock.push_str("00:00:00");
    }
    Some((date, clock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn section_3_february_29_falls_on_february_28_in_common_years() {
        let born = date(2000, 2, 29);
        assert_eq!(occurrence_in(born, 2001), Some(date(2001, 2, 28)));
        assert_eq!(occurrence_in(born, 2004), Some(date(2004, 2, 29)));
        assert_eq!(occurrence_in(born, 1999), None);
        assert_eq!(next_occurrence(date(2025, 2, 28), born), Some(date(2025, 2, 28)));
        assert_eq!(next_occurrence(date(2025, 3, 1), born), Some(date(2026, 2, 28)));
        assert_eq!(previous_occurrence(date(2025, 2, 28), born), Some(date(2024, 2, 29)));
        assert_eq!(completed_years(born, date(2025, 2, 27)), 24);
        assert_eq!(completed_years(born, date(2025, 2, 28)), 25);
    }

    #[test]
    fn section_3_the_original_date_is_an_occurrence_and_nothing_is_before_it() {
        let start = date(2025, 6, 1);
        assert_eq!(next_occurrence(date(2025, 1, 1), start), Some(start));
        assert_eq!(previous_occurrence(start, start), None);
        assert_eq!(previous_occurrence(date(2025, 6, 2), start), Some(start));
        assert_eq!(next_occurrence(date(2020, 1, 1), date(2025, 6, 1)), Some(start));
    }

    #[test]
    fn section_2_dates_are_iso_with_an_optional_time() {
        for good in [
            "2024-02-29",
            "2024-02-29 10:00:00",
            "2024-02-29T10:00",
            "2024-02-29T00:00:00Z",
            "2024-02-29T00:00:00.000-06:00",
        ] {
            assert_eq!(parse_date(good), Some(date(2024, 2, 29)), "{good}");
        }
        for bad in [
            "",
            "2023-02-29",
            "2024-13-01",
            "2024-2-9",
            "02/29/2024",
            "2024-02-29x",
            "2024-02-29 ",
            "2024-02-29Tnoon",
            "20240229",
            "+024-02-29",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_compare_by_date_then_time() {
        assert!(parse_moment("2025-01-02") < parse_moment("2025-01-02 00:00:01"));
        assert_eq!(parse_moment("2025-01-02T08:30:00Z"), parse_moment("2025-01-02 08:30:00"));
        assert!(parse_moment("2025-01-02 08:30") < parse_moment("2025-01-02 08:30:00.5"));
    }
}
