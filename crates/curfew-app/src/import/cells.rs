//! What a line's cells mean, and what is wrong with them.
//!
//! Cells are only brought into the form that the scheduler reads; whether they are right then is
//! the engine's to say ([`RawContact::check`]).

use std::borrow::Cow;

use curfew_engine::{Day, Field, Issue, Problem, RawContact, State, Today, Value};

use super::{
    header::{Header, Known, Use},
    records::Record,
    report::Reason,
};
use crate::sample::places;

/// Ids beyond it are not exact in JSON and in spreadsheets.
pub(super) const ID_MAX: i64 = (1 << 53) - 1;

/// One line, ready for the database.
#[derive(Debug, Default)]
pub(super) struct CheckedLine<'r> {
    pub(super) id: Option<i64>,
    /// In the order of the columns that are used, the id apart.
    pub(super) cells: Vec<Option<Cow<'r, str>>>,
    /// Dates that were of the form M/D/YYYY.
    pub(super) dates_normalized: u64,
}

/// Something to say about a cell.
#[derive(Debug)]
pub(super) struct Finding<'r> {
    /// The column's place in the header.
    pub(super) column: usize,
    /// The cell as the file has it.
    pub(super) value: Cow<'r, str>,
    pub(super) reason: Reason,
    pub(super) text: String,
}

/// Checks a line. What there is to say about it goes to `findings`; with a problem among them the
/// line is not to be used.
pub(super) fn check<'r>(
    record: &'r Record,
    header: &Header,
    today: Today,
    findings: &mut Vec<Finding<'r>>,
) -> CheckedLine<'r> {
    let mut line = CheckedLine::default();
    let mut places = Places::default();
    for (column, (_, using)) in header.columns.iter().enumerate() {
        if *using == Use::Ignored {
            continue;
        }
        let mut say = |value: Cow<'r, str>, reason, text: &str| {
            findings.push(Finding { column, value, reason, text: text.to_owned() });
        };
        let bytes = record.get(column);
        let Ok(text) = std::str::from_utf8(bytes).map(unwrapped) else {
            let text = "is not UTF-8 text (Latin-1, perhaps); save the file as UTF-8";
            say(String::from_utf8_lossy(bytes), Reason::NotUtf8, text);
            continue;
        };
        if text.contains('\0') {
            say(text.into(), Reason::NulCharacter, "holds a NUL character");
        }
        if *using == Use::Id {
            line.id = text.parse().ok().filter(|id| (1..=ID_MAX).contains(id));
            if line.id.is_none() && !text.is_empty() {
                let why = "is not a whole number from 1 to 9007199254740991";
                say(text.into(), Reason::IdMalformed, why);
            }
            continue;
        }
        let (Use::Known(known, _), false) = (using, text.is_empty()) else {
            line.cells.push((!text.is_empty()).then_some(text.into()));
            continue;
        };
        if let Some(place) = places.of(*known) {
            *place = Some((column, line.cells.len()));
        }
        line.cells.push(match known {
            Known::ZipCode => Some(match padded_zip(text) {
                None => text.into(),
                Some(zip) => {
                    let note = format!("has lost its leading zeros; taken as {zip}");
                    say(text.into(), Reason::ZipPadded, &note);
                    zip.into()
                }
            }),
            Known::BirthDate | Known::EffectiveDate => match us_date(text) {
                UsDate::None => Some(text.into()),
                UsDate::Date(date) => {
                    line.dates_normalized += 1;
                    Some(date.into())
                }
                UsDate::TwoDigitYear => {
                    let why = "has a year of two digits; write all four";
                    say(text.into(), Reason::DateTwoDigitYear, why);
                    None
                }
            },
            Known::State => {
                let code = state_code(text);
                if code.is_none() {
                    let note = "is not a state; the cell is left out";
                    say(text.into(), Reason::StateUnreadable, note);
                }
                code.map(Into::into)
            }
            _ => Some(text.into()),
        });
    }

    let value = |place: Place| {
        place.and_then(|(_, cell)| line.cells[cell].as_deref()).map_or(Value::Null, Value::of)
    };
    let contact = RawContact {
        id: line.id.unwrap_or_default(),
        email: value(places.email),
        zip_code: value(places.zip_code),
        birth_date: value(places.birth_date),
        effective_date: value(places.effective_date),
        // The state is compared with the ZIP code when all lines of the contact are known, and a
        // line is checked whatever the contact's status is.
        state: Value::Null,
        phone_number: Value::Null,
        status: Value::Null,
    };
    contact.check(today, |issue| {
        if let Some((reason, Some((column, _)))) = reason_of(issue, &places) {
            let value = String::from_utf8_lossy(record.get(column));
            findings.push(Finding { column, value, reason, text: text_of(issue) });
        }
    });
    // Dates are stored without the time of day that a file may give them.
    for (_, cell) in [places.birth_date, places.effective_date].into_iter().flatten() {
        if let Some(text) = &line.cells[cell]
            && text.len() > 10
            && let Ok(day) = Day::parse(text)
        {
            line.cells[cell] = Some(day.to_string().into());
        }
    }
    line
}

/// A cell's place in the header and among the line's cells.
type Place = Option<(usize, usize)>;

/// The cells that the engine checks, as far as they are not empty.
#[derive(Default)]
struct Places {
    email: Place,
    zip_code: Place,
    birth_date: Place,
    effective_date: Place,
}

impl Places {
    fn of(&mut self, known: Known) -> Option<&mut Place> {
        match known {
            Known::Email => Some(&mut self.email),
            Known::ZipCode => Some(&mut self.zip_code),
            Known::BirthDate => Some(&mut self.birth_date),
            Known::EffectiveDate => Some(&mut self.effective_date),
            _ => None,
        }
    }
}

/// What an issue of the engine's is to an import, and which cell it is about. What is missing is
/// none yet: the contact may have it.
fn reason_of(issue: Issue, places: &Places) -> Option<(Reason, Place)> {
    let (place, malformed) = match issue.field {
        Field::Email => (places.email, Reason::EmailMalformed),
        Field::ZipCode => (places.zip_code, Reason::ZipMalformed),
        Field::BirthDate => (places.birth_date, Reason::DateMalformed),
        Field::EffectiveDate => (places.effective_date, Reason::DateMalformed),
        _ => return None,
    };
    let reason = match issue.problem {
        Problem::Malformed => malformed,
        Problem::UnknownZip => Reason::ZipUnknown,
        Problem::NotARealDate => Reason::DateNotReal,
        Problem::InTheFuture => Reason::BirthDateInTheFuture,
        _ => return None,
    };
    Some((reason, place))
}

fn text_of(issue: Issue) -> String {
    match (issue.field, issue.problem) {
        (Field::BirthDate | Field::EffectiveDate, Problem::Malformed) => {
            format!("{issue} or M/D/YYYY")
        }
        _ => issue.to_string(),
    }
}

/// A cell without blanks around it, and without the `="…"` by which spreadsheets are told to keep
/// leading zeros.
fn unwrapped(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')).unwrap_or(text).trim()
}

/// A ZIP code of four or three digits with its zeros before it; `None` for anything else.
fn padded_zip(text: &str) -> Option<String> {
    let digits = text.split_once('-').map_or(text, |(five, _)| five);
    let is_short =
        (3..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_short.then(|| format!("{}{text}", &"00"[..5 - digits.len()]))
}

#[derive(Debug, PartialEq, Eq)]
enum UsDate {
    /// Not a date with slashes.
    None,
    /// The same as `YYYY-MM-DD`, with the rest of the cell; whether there is such a day is not
    /// known yet.
    Date(String),
    TwoDigitYear,
}

/// Reads `M/D/YYYY`, month first, with an optional time part.
fn us_date(text: &str) -> UsDate {
    let (date, time) = text.find([' ', 'T']).map_or((text, ""), |at| text.split_at(at));
    let mut parts = date.split('/');
    let (Some(month), Some(day), Some(year), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return UsDate::None;
    };
    let is_number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(month, 1..=2) || !is_number(day, 1..=2) {
        return UsDate::None;
    }
    if is_number(year, 2..=2) {
        return UsDate::TwoDigitYear;
    }
    if !is_number(year, 4..=4) {
        return UsDate::None;
    }
    // Spreadsheets write `1/5/1952 0:00`.
    let zero = if time.as_bytes().get(2) == Some(&b':') { "0" } else { "" };
    let time =
        time.split_at_checked(1).map_or(String::new(), |(t, rest)| format!("{t}{zero}{rest}"));
    UsDate::Date(format!("{year}-{month:0>2}-{day:0>2}{time}"))
}

/// The two-letter code of a state given by its code or its name; the armed-forces regions have
/// codes too, as addresses go.
fn state_code(text: &str) -> Option<&'static str> {
    State::all()
        .find(|state| state.code().eq_ignore_ascii_case(text))
        .map(State::code)
        .or_else(|| places::code_of_name(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_and_four_digits_are_zip_codes_without_their_zeros() {
        assert_eq!(padded_zip("501").as_deref(), Some("00501"));
        assert_eq!(padded_zip("2134").as_deref(), Some("02134"));
        assert_eq!(padded_zip("2134-1021").as_deref(), Some("02134-1021"));
        for other in ["", "2", "21", "02134", "123456789", "21a4", "٢١٣٤", "-2134"] {
            assert_eq!(padded_zip(other), None, "{other}");
        }
    }

    #[test]
    fn dates_with_slashes_are_month_first_and_have_four_digit_years() {
        let date = |text: &str| UsDate::Date(text.to_owned());
        assert_eq!(us_date("1/5/1952"), date("1952-01-05"));
        assert_eq!(us_date("12/31/1952"), date("1952-12-31"));
        assert_eq!(us_date("01/05/1952 0:00"), date("1952-01-05 00:00"));
        assert_eq!(us_date("1/5/1952 10:30:00"), date("1952-01-05 10:30:00"));
        assert_eq!(us_date("1/5/52"), UsDate::TwoDigitYear);
        for other in ["1952-01-05", "1/5", "1/5/1952/1", "1/5/195", "a/5/1952", "1//1952", "/"] {
            assert_eq!(us_date(other), UsDate::None, "{other}");
        }
    }

    #[test]
    fn a_state_is_known_by_code_and_by_name() {
        for text in ["CA", "ca", "California", "CALIFORNIA"] {
            assert_eq!(state_code(text), Some("CA"), "{text}");
        }
        assert_eq!(state_code("district of columbia"), Some("DC"));
        assert_eq!(state_code("AE"), Some("AE"));
        assert_eq!(state_code("XX"), None);
        assert_eq!(state_code(""), None);
    }

    #[test]
    fn cells_lose_blanks_and_the_dress_of_spreadsheets() {
        assert_eq!(unwrapped("  a b\u{a0}"), "a b");
        assert_eq!(unwrapped("=\"02134\""), "02134");
        assert_eq!(unwrapped("=\""), "=\"");
    }
}
