//! Civil dates as day numbers.
//!
//! Windows and balancing are arithmetic on days, so the engine counts them from 1970-01-01 and
//! turns them into calendar dates only at its edges.

use std::{
    fmt,
    ops::{Add, AddAssign, Sub},
};

use jiff::civil::Date;

use crate::EventColumns;

/// The calendar repeats after 400 years.
const DAYS_PER_ERA: i32 = 146_097;
/// Days from March 1 of the year 0 to the epoch.
const EPOCH_IN_ERA: i32 = 719_468;
/// So many times 400 years before the year 0 there is no date.
const ERAS_BEFORE: i32 = 26;

/// A civil date, as the number of days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day with this number; 0 is 1970-01-01.
    pub const fn new(number: i32) -> Self {
        Self(number)
    }

    /// Days since 1970-01-01, negative before it.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The day of a calendar date.
    pub fn from_date(date: Date) -> Self {
        Self::from_civil(date.year().into(), date.month().into(), date.day().into())
    }

    /// The day of a date that exists.
    const fn from_civil(year: i32, month: i32, day: i32) -> Self {
        // Years begin in March, so that the day that some lack is their last.
        let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
        // Without a sign a division takes less.
        let (year, month) = ((year + ERAS_BEFORE * 400).cast_unsigned(), month.cast_unsigned());
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5;
        Self(days.cast_signed() + day - 1 - EPOCH_IN_ERA - ERAS_BEFORE * DAYS_PER_ERA)
    }

    /// Year, month and day of month.
    pub(crate) fn civil(self) -> (i32, i32, i32) {
        let days = self.0.saturating_add(EPOCH_IN_ERA);
        let (era, day) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (era * 400 + year + i32::from(month <= 2), month, day_of_month)
    }

    /// The calendar date; days outside of jiff's years -9999 to 9999 give the nearest one inside.
    pub fn to_date(self) -> Date {
        let (year, month, day) = self.parts();
        jiff::civil::date(year, month, day)
    }

    /// Year, month and day of month of the calendar date.
    #[inline]
    fn parts(self) -> (i16, i8, i8) {
        const FIRST: i32 = Day::from_civil(-9999, 1, 1).0;
        const LAST: i32 = Day::from_civil(9999, 12, 31).0;
        let (year, month, day) = Self(self.0.clamp(FIRST, LAST)).civil();
        #[expect(clippy::cast_possible_truncation, reason = "a date of these years")]
        (year as i16, month as i8, day as i8)
    }

    /// The day of `year`-`month`-`day`, or `None` if there is no such date. Years 1 to 9999.
    ///
    /// ```
    /// use curfew_engine::Day;
    /// assert!(Day::from_ymd(2028, 2, 29).is_some());
    /// assert!(Day::from_ymd(2027, 2, 29).is_none());
    /// ```
    pub fn from_ymd(year: i16, month: i8, day: i8) -> Option<Self> {
        let (year, month, day) = (year.into(), month.into(), day.into());
        Self::exists(year, month, day).then(|| Self::from_civil(year, month, day))
    }

    /// Whether there is such a date, see [`Day::from_ymd`].
    #[inline]
    fn exists(year: i32, month: i32, day: i32) -> bool {
        (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
    }

    /// Reads `YYYY-MM-DD` with an optional time part (`2026-11-20`, `2026-11-20 08:30:00`,
    /// `2026-11-20T08:30:00Z`), as SPEC section 2 accepts dates.
    ///
    /// # Errors
    /// [`DateError::Malformed`] if the text has another form, [`DateError::NotReal`] if there is no
    /// such date.
    ///
    /// ```
    /// use curfew_engine::{DateError, Day};
    /// assert_eq!(Day::parse("1970-01-02 08:30").unwrap().number(), 1);
    /// assert_eq!(Day::parse("2027-02-29"), Err(DateError::NotReal));
    /// assert_eq!(Day::parse("02/03/2027"), Err(DateError::Malformed));
    /// ```
    pub fn parse(text: &str) -> Result<Self, DateError> {
        Self::parse_bytes(text.as_bytes())
    }

    /// Like [`Day::parse`]; bytes that are no UTF-8 are malformed.
    #[inline]
    pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<Self, DateError> {
        let (year, month, day) = parse_civil(bytes)?;
        Ok(Self::from_civil(year, month, day))
    }

    /// The calendar year.
    pub fn year(self) -> i16 {
        i16::try_from(self.civil().0.clamp(-9999, 9999)).expect("four digits")
    }

    /// The first day of this day's month.
    #[must_use]
    pub fn month_start(self) -> Self {
        self - (self.civil().2 - 1)
    }
}

/// The year, month and day of month of a date as [`Day::parse`] reads it.
fn parse_civil(bytes: &[u8]) -> Result<(i32, i32, i32), DateError> {
    let Some((date, rest)) = bytes.split_first_chunk::<10>() else {
        return Err(DateError::Malformed);
    };
    let &[y1, y2, y3, y4, h1, m1, m2, h2, d1, d2] = date;
    // Eight bytes at once: digits become 0 to 9, hyphens 0. What is more in a byte has its highest
    // bit, or gets it by the addition.
    let month =
        u64::from_le_bytes([y1, y2, y3, y4, h1, m1, m2, h2]) ^ u64::from_le_bytes(*b"0000-00-");
    let day = [d1, d2].map(|digit| digit.wrapping_sub(b'0'));
    let beyond = month | month.wrapping_add(0x7f76_767f_7676_7676);
    if beyond & 0x8080_8080_8080_8080 != 0 || day[0].max(day[1]) > 9 || !is_time_part(rest) {
        return Err(DateError::Malformed);
    }
    // Each byte becomes ten times itself and the next one, which is at most 99.
    let [century, _, year, _, _, month, ..] = (month * 10 + (month >> 8)).to_le_bytes();
    let year = i32::from(century) * 100 + i32::from(year);
    let (month, day) = (i32::from(month), i32::from(day[0] * 10 + day[1]));
    if Day::exists(year, month, day) { Ok((year, month, day)) } else { Err(DateError::NotReal) }
}

/// Whether what follows a date is nothing, or ` ` or `T` and a time with an optional zone.
#[inline]
fn is_time_part(rest: &[u8]) -> bool {
    rest.is_empty() || is_separated_time(rest)
}

fn is_separated_time(rest: &[u8]) -> bool {
    let [b'T' | b't' | b' ', time @ ..] = rest else {
        return false;
    };
    let time = match time {
        [head @ .., b'Z' | b'z'] => head,
        [head @ .., b'+' | b'-', h1, h2, b':', m1, m2]
        | [head @ .., b'+' | b'-', h1, h2, m1, m2]
            if [h1, h2, m1, m2].iter().all(|c| c.is_ascii_digit()) =>
        {
            head
        }
        _ => time,
    };
    let pair = |high: u8, low: u8, below: u8| {
        high.is_ascii_digit() && low.is_ascii_digit() && (high - b'0') * 10 + (low - b'0') < below
    };
    match time {
        [h1, h2, b':', m1, m2] => pair(*h1, *h2, 24) && pair(*m1, *m2, 60),
        [h1, h2, b':', m1, m2, b':', s1, s2, fraction @ ..] => {
            pair(*h1, *h2, 24)
                && pair(*m1, *m2, 60)
                && pair(*s1, *s2, 61)
                && match fraction {
                    [] => true,
                    [b'.', digits @ ..] => {
                        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
                    }
                    _ => false,
                }
        }
        _ => false,
    }
}

/// Why a text is not a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DateError {
    /// The text is not of the form `YYYY-MM-DD` with an optional time part.
    #[error("is not of the form YYYY-MM-DD")]
    Malformed,
    /// The form is right, but there is no such day, like February 30.
    #[error("is not a real date")]
    NotReal,
}

impl Add<i32> for Day {
    type Output = Self;
    fn add(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }
}

impl AddAssign<i32> for Day {
    fn add_assign(&mut self, days: i32) {
        *self = *self + days;
    }
}

impl Sub<i32> for Day {
    type Output = Self;
    fn sub(self, days: i32) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl Sub for Day {
    type Output = i32;
    fn sub(self, other: Self) -> i32 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.to_date();
        write!(f, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The yearly return of a date (SPEC section 3): the same month and day of every year from the
/// original date on; February 29 falls on February 28 in a year without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anniversary {
    first: Day,
    year: i16,
    month: i8,
    day: i8,
}

impl Anniversary {
    /// The yearly return of `first`.
    pub fn of(first: Day) -> Self {
        let (year, month, day) = first.parts();
        Self { first, year, month, day }
    }

    /// The yearly return of the date in a text, see [`Day::parse_bytes`].
    pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<Self, DateError> {
        let (year, month, day) = parse_civil(bytes)?;
        #[expect(clippy::cast_possible_truncation, reason = "a date of the years 1 to 9999")]
        let (y, m, d) = (year as i16, month as i8, day as i8);
        Ok(Self { first: Day::from_civil(year, month, day), year: y, month: m, day: d })
    }

    /// The original date.
    pub fn first(self) -> Day {
        self.first
    }

    /// The occurrence in `year`, or `None` before the original date's year.
    pub fn in_year(self, year: i16) -> Option<Day> {
        (year >= self.year).then(|| day_in_year(year, self.month, self.day))
    }

    /// `next(T, d)`: the first occurrence on or after `today`.
    pub fn next_from(self, today: Today) -> Day {
        self.next_with_year(today).0
    }

    /// The same, and its year.
    #[inline]
    pub(crate) fn next_with_year(self, today: Today) -> (Day, i16) {
        if self.first >= today.day {
            return (self.first, self.year);
        }
        let this_year = day_in_year(today.year, self.month, self.day);
        if this_year >= today.day {
            return (this_year, today.year);
        }
        (day_in_year(today.year + 1, self.month, self.day), today.year + 1)
    }

    /// `prev(T, d)`: the last occurrence before `today`, if there is one.
    pub fn last_before(self, today: Today) -> Option<Day> {
        self.last_with_year(today).map(|(day, _)| day)
    }

    /// The same, and its year.
    #[inline]
    pub(crate) fn last_with_year(self, today: Today) -> Option<(Day, i16)> {
        if self.first >= today.day {
            return None;
        }
        let this_year = day_in_year(today.year, self.month, self.day);
        if this_year < today.day {
            return Some((this_year, today.year));
        }
        self.in_year(today.year - 1).map(|day| (day, today.year - 1))
    }

    /// The event columns of the occurrence in `year`.
    #[inline]
    pub(crate) fn columns_in(self, year: i16) -> EventColumns {
        let last = days_in_month(year.into(), self.month.into());
        EventColumns {
            year: Some(year.into()),
            month: Some(self.month.into()),
            day: Some(i64::from(self.day).min(last.into())),
        }
    }

    /// Completed years on `day`: how often the anniversary has come round since the original date;
    /// negative before it.
    pub fn completed_years(self, day: Day) -> i32 {
        let year = day.year();
        let years = i32::from(year) - i32::from(self.year);
        if day < day_in_year(year, self.month, self.day) { years - 1 } else { years }
    }
}

/// The date of `month` and `day` in `year`; February 29 is February 28 where there is none.
pub(crate) fn day_in_year(year: i16, month: i8, day: i8) -> Day {
    let (year, month) = (year.into(), month.into());
    Day::from_civil(year, month, i32::from(day).min(days_in_month(year, month)))
}

/// How many days a month of 1 to 12 has.
#[inline]
fn days_in_month(year: i32, month: i32) -> i32 {
    if month == 2 {
        // A multiple of 4 and of 25 is one of 100, a multiple of 16 and of 25 one of 400.
        let is_leap = if year % 25 == 0 { year % 16 == 0 } else { year % 4 == 0 };
        return if is_leap { 29 } else { 28 };
    }
    // 31 for odd months up to July, and for even ones from August on.
    30 + ((month ^ month >> 3) & 1)
}

/// The day a plan is made for: `T` of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Today {
    /// The date.
    pub day: Day,
    /// Its calendar year, kept because almost every rule asks for it.
    pub year: i16,
}

impl Today {
    /// The first and the last year that a plan can be made for.
    pub const YEARS: std::ops::RangeInclusive<i16> = 1900..=9000;

    /// Planning on `day`, or `None` outside of [`Today::YEARS`].
    pub fn new(day: Day) -> Option<Self> {
        let year = day.year();
        Self::YEARS.contains(&year).then_some(Self { day, year })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Date = jiff::civil::date(1970, 1, 1);

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn today(text: &str) -> Today {
        Today::new(day(text)).unwrap()
    }

    #[test]
    fn a_date_may_have_a_time_part_and_nothing_else() {
        for good in [
            "2026-11-20",
            "2026-11-20 08:30",
            "2026-11-20 08:30:00",
            "2026-11-20T08:30:00Z",
            "2026-11-20T08:30:00.123+05:30",
            "2026-11-20T08:30:00-0600",
        ] {
            assert_eq!(Day::parse(good), Ok(day("2026-11-20")), "{good}");
        }
        for bad in [
            "",
            "2026-11-2",
            "2026/11/20",
            "20-11-2026",
            "2026-11-20x",
            "2026-11-20 ",
            " 2026-11-20",
            "2026-11-20T25:00",
            "2026-11-20 soon",
            "２０２６-11-20",
            "2026-1-20",
            "+026-11-20",
        ] {
            assert_eq!(Day::parse(bad), Err(DateError::Malformed), "{bad}");
        }
        for unreal in ["2027-02-29", "2026-13-01", "2026-00-10", "2026-04-31", "0000-01-01"] {
            assert_eq!(Day::parse(unreal), Err(DateError::NotReal), "{unreal}");
        }
    }

    #[test]
    fn every_byte_of_a_date_is_a_digit_or_a_hyphen_in_its_place() {
        for at in 0..10 {
            for byte in 0..=u8::MAX {
                let mut text = *b"2026-11-20";
                text[at] = byte;
                let fits = if [4, 7].contains(&at) { byte == b'-' } else { byte.is_ascii_digit() };
                let malformed = Day::parse_bytes(&text) == Err(DateError::Malformed);
                assert_eq!(malformed, !fits, "{:?}", text.escape_ascii().to_string());
            }
        }
    }

    #[test]
    fn printing_and_parsing_are_inverse_for_every_day_of_two_centuries() {
        for number in -40_000..40_000 {
            let day = Day::new(number);
            assert_eq!(Day::parse(&day.to_string()), Ok(day));
            assert_eq!(Day::from_date(day.to_date()), day);
        }
    }

    #[test]
    fn days_and_dates_are_those_of_the_calendar() {
        let first = jiff::civil::date(-9999, 1, 1);
        let dates = std::iter::successors(Some(first), |date| date.tomorrow().ok());
        let number = i32::try_from(first.duration_since(EPOCH).as_hours() / 24).unwrap();
        // Every day of the years around the epoch, and every seventeenth of all others.
        for (number, date) in (number..).zip(dates) {
            if number % 17 == 0 || (-50_000..50_000).contains(&number) {
                assert_eq!(Day::from_date(date).number(), number, "{date}");
                let civil = (date.year().into(), date.month().into(), date.day().into());
                assert_eq!(Day::new(number).civil(), civil, "{date}");
            }
        }
    }

    #[test]
    fn february_29_returns_on_february_28_in_common_years() {
        let leap = Anniversary::of(day("1952-02-29"));
        assert_eq!(leap.in_year(2027), Some(day("2027-02-28")));
        assert_eq!(leap.in_year(2028), Some(day("2028-02-29")));
        assert_eq!(leap.next_from(today("2027-02-28")), day("2027-02-28"));
        assert_eq!(leap.next_from(today("2027-03-01")), day("2028-02-29"));
        assert_eq!(leap.last_before(today("2027-02-28")), Some(day("2026-02-28")));
        assert_eq!(leap.completed_years(day("2027-02-27")), 74);
        assert_eq!(leap.completed_years(day("2027-02-28")), 75);
        assert_eq!(leap.completed_years(day("2028-02-28")), 75);
        assert_eq!(leap.completed_years(day("2028-02-29")), 76);
    }

    #[test]
    fn event_columns_of_an_occurrence_are_those_of_its_day() {
        for first in ["1952-02-29", "1960-01-01", "1999-12-31", "2026-11-20", "2030-02-28"] {
            let anniversary = Anniversary::of(day(first));
            assert_eq!(Anniversary::parse_bytes(first.as_bytes()), Ok(anniversary));
            for date in ["1990-01-01", "2026-11-20", "2027-02-28", "2028-02-29", "2028-03-01"] {
                let today = today(date);
                let next = anniversary.next_with_year(today);
                let last = anniversary.last_with_year(today);
                for (occurrence, year) in [Some(next), last].into_iter().flatten() {
                    assert_eq!(anniversary.columns_in(year), EventColumns::of(occurrence));
                    assert_eq!(anniversary.in_year(year), Some(occurrence));
                }
            }
        }
    }

    #[test]
    fn the_original_date_is_the_first_occurrence() {
        let future = Anniversary::of(day("2030-05-01"));
        assert_eq!(future.next_from(today("2026-11-20")), day("2030-05-01"));
        assert_eq!(future.last_before(today("2026-11-20")), None);
        assert_eq!(future.last_before(today("2030-05-01")), None);
        assert_eq!(future.last_before(today("2030-05-02")), Some(day("2030-05-01")));
        let january = Anniversary::of(day("2026-01-05"));
        assert_eq!(january.last_before(today("2027-01-01")), Some(day("2026-01-05")));
        assert_eq!(january.last_before(today("2026-01-05")), None);
    }
}
