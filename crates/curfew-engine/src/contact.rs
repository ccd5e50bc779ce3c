//! Contacts: what is read, what is valid (SPEC section 2).

use std::fmt;

use email_address::{EmailAddress, Options};

use crate::{Anniversary, State, Today};

/// A value of a contact's column as the database has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value, or no such column.
    Null,
    /// A whole number.
    Integer(i64),
    /// A text; one that is not UTF-8 is nothing that is valid.
    Text(&'a [u8]),
    /// A real number or a blob.
    Other,
}

impl<'a> Value<'a> {
    /// A text.
    pub const fn of(text: &'a str) -> Self {
        Self::Text(text.as_bytes())
    }

    /// Whether there is no value, or a text with nothing but space.
    pub fn is_blank(self) -> bool {
        match self {
            Value::Null => true,
            Value::Text(text) => {
                !text.iter().any(u8::is_ascii_graphic)
                    && str::from_utf8(text).is_ok_and(|text| text.trim().is_empty())
            }
            Value::Integer(_) | Value::Other => false,
        }
    }
}

/// A row of `contacts`, unchecked.
#[derive(Clone, Copy, Debug)]
pub struct RawContact<'a> {
    /// Its `id`.
    pub id: i64,
    /// Column `email`.
    pub email: Value<'a>,
    /// Column `zip_code`.
    pub zip_code: Value<'a>,
    /// Column `birth_date`, else `birthday`.
    pub birth_date: Value<'a>,
    /// Column `effective_date`.
    pub effective_date: Value<'a>,
    /// Column `state`.
    pub state: Value<'a>,
    /// Column `phone_number`.
    pub phone_number: Value<'a>,
    /// Column `status`.
    pub status: Value<'a>,
}

/// A valid, active contact.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// Its `id`.
    pub id: i64,
    /// The state of the ZIP code.
    pub state: State,
    /// The stored state where it is valid and differs: its rules apply as well.
    pub second_state: Option<State>,
    /// The birth date, if it is known.
    pub birth: Option<Anniversary>,
    /// The policy effective date, if it is known.
    pub effective: Option<Anniversary>,
    /// Whether there is a phone number for SMS.
    pub has_phone: bool,
}

/// What a contact is to the scheduler.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Messages are planned.
    Valid(Contact),
    /// The status is neither empty nor `active`: nothing is planned.
    Inactive,
    /// The e-mail address or the ZIP code cannot be used: nothing is planned.
    Invalid,
}

/// A column of `contacts` that something is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the columns")]
pub enum Field {
    Id,
    Email,
    ZipCode,
    BirthDate,
    EffectiveDate,
    State,
    TriggerDate,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Id => "id",
            Self::Email => "email",
            Self::ZipCode => "zip_code",
            Self::BirthDate => "birth_date",
            Self::EffectiveDate => "effective_date",
            Self::State => "state",
            Self::TriggerDate => "trigger_date",
        })
    }
}

/// What is wrong with it. The first three make a contact invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// There is no value.
    Missing,
    /// The value does not have the form it must have.
    Malformed,
    /// The ZIP code has the right form, but is not in use.
    UnknownZip,
    /// The date has the right form, but there is no such day.
    NotARealDate,
    /// The birth date lies after the day of the plan.
    InTheFuture,
    /// The stored state is not the one of the ZIP code.
    StateMismatch {
        /// The stored state.
        stored: State,
        /// The state of the ZIP code.
        of_zip: State,
    },
    /// Another contact has the same id.
    Duplicate,
}

/// Something wrong with a contact, for `contact_issues`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The column.
    pub field: Field,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            Problem::Missing => f.write_str("is missing"),
            Problem::Malformed => f.write_str(match self.field {
                Field::Email => "is not a valid e-mail address",
                Field::ZipCode => "is not of the form NNNNN or NNNNN-NNNN",
                Field::BirthDate | Field::EffectiveDate | Field::TriggerDate => {
                    "is not of the form YYYY-MM-DD"
                }
                Field::Id => "is not a whole number",
                Field::State => "is not a state",
            }),
            Problem::UnknownZip => f.write_str("is not a known ZIP code"),
            Problem::NotARealDate => f.write_str("is not a real date"),
            Problem::InTheFuture => f.write_str("lies in the future"),
            Problem::StateMismatch { stored, of_zip } => {
                write!(f, "is {stored}, but the ZIP code is in {of_zip}; the rules of both apply")
            }
            Problem::Duplicate => f.write_str("occurs more than once"),
        }
    }
}

impl RawContact<'_> {
    /// Checks a contact (SPEC section 2). Everything that is wrong goes to `issues`, also what
    /// leaves the contact valid, and what is wrong with an inactive one.
    pub fn check(&self, today: Today, mut issues: impl FnMut(Issue)) -> Standing {
        let mut report = |field, problem| issues(Issue { field, problem });
        let email_ok = match check_email(self.email) {
            Ok(()) => true,
            Err(problem) => {
                report(Field::Email, problem);
                false
            }
        };
        let state = match check_zip(self.zip_code) {
            Ok(state) => Some(state),
            Err(problem) => {
                report(Field::ZipCode, problem);
                None
            }
        };
        let mut date = |field, value| match check_date(value) {
            Ok(date) => date,
            Err(problem) => {
                report(field, problem);
                None
            }
        };
        let mut birth = date(Field::BirthDate, self.birth_date);
        let effective = date(Field::EffectiveDate, self.effective_date);
        if birth.is_some_and(|birth| birth.first() > today.day) {
            report(Field::BirthDate, Problem::InTheFuture);
            birth = None;
        }
        let stored = match self.state {
            Value::Text(code) => State::from_bytes(code),
            _ => None,
        };
        let second_state = stored.filter(|stored| state.is_some_and(|state| state != *stored));
        if let (Some(stored), Some(of_zip)) = (second_state, state) {
            report(Field::State, Problem::StateMismatch { stored, of_zip });
        }
        if !is_active(self.status) {
            return Standing::Inactive;
        }
        let (true, Some(state)) = (email_ok, state) else {
            return Standing::Invalid;
        };
        Standing::Valid(Contact {
            id: self.id,
            state,
            second_state,
            birth,
            effective,
            has_phone: !self.phone_number.is_blank(),
        })
    }
}

fn is_active(status: Value<'_>) -> bool {
    match status {
        Value::Null => true,
        Value::Text(status) => status.is_empty() || status.eq_ignore_ascii_case(b"active"),
        Value::Integer(_) | Value::Other => false,
    }
}

fn check_email(email: Value<'_>) -> Result<(), Problem> {
    match email {
        Value::Null | Value::Text(b"") => Err(Problem::Missing),
        Value::Text(text) if is_plain_email(text) => Ok(()),
        Value::Text(text) if str::from_utf8(text).is_ok_and(is_email) => Ok(()),
        Value::Text(_) | Value::Integer(_) | Value::Other => Err(Problem::Malformed),
    }
}

const EMAIL_OPTIONS: Options =
    Options { minimum_sub_domains: 2, allow_domain_literal: false, allow_display_text: false };

/// Whether a text can be written to as an e-mail address: one `@`, no spaces, a dot in the domain,
/// and otherwise as RFC 5321 has it.
///
/// ```
/// assert!(curfew_engine::is_email("ann.o'hara+mail@example.com"));
/// assert!(!curfew_engine::is_email("ann@example"));
/// ```
pub fn is_email(text: &str) -> bool {
    is_plain_email(text.as_bytes())
        || (text.bytes().filter(|byte| *byte == b'@').count() == 1
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
            && EmailAddress::parse_with_options(text, EMAIL_OPTIONS).is_ok())
}

/// The form that nearly all addresses have, accepted without a full parse.
fn is_plain_email(text: &[u8]) -> bool {
    // Where the part between dots begins, and where the domain does.
    let (mut label, mut domain, mut labels) = (0, None, 0);
    for (at, byte) in text.iter().enumerate() {
        match PLAIN[usize::from(*byte)] {
            InAddress::Anywhere => {}
            InAddress::BeforeAt if domain.is_none() => {}
            InAddress::Dot if is_label(at - label, domain) => {
                label = at + 1;
                labels += 1;
            }
            InAddress::At if domain.is_none() && at > label && at <= 64 => {
                (label, labels) = (at + 1, 1);
                domain = Some(label);
            }
            _ => return false,
        }
    }
    domain.is_some_and(|start| text.len() - start <= 254)
        && is_label(text.len() - label, domain)
        && labels >= 2
}

/// Whether a part between dots may be so long.
#[inline]
fn is_label(length: usize, domain: Option<usize>) -> bool {
    length > 0 && (domain.is_none() || length <= 63)
}

/// Where a byte may be in a plain address.
#[derive(Clone, Copy)]
enum InAddress {
    Nowhere,
    Anywhere,
    BeforeAt,
    Dot,
    At,
}

const PLAIN: [InAddress; 256] = {
    let mut parts = [InAddress::Nowhere; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        parts[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => InAddress::Anywhere,
            b'_' | b'+' | b'-' => InAddress::BeforeAt,
            b'.' => InAddress::Dot,
            b'@' => InAddress::At,
            _ => InAddress::Nowhere,
        };
        byte += 1;
    }
    parts
};

fn check_zip(zip: Value<'_>) -> Result<State, Problem> {
    let number = match zip {
        Value::Null | Value::Text(b"") => return Err(Problem::Missing),
        // A column of integers has lost the leading zeros.
        Value::Integer(number) => {
            u32::try_from(number).ok().filter(|n| *n <= 99_999).ok_or(Problem::Malformed)?
        }
        Value::Text(text) => zip_number(text).ok_or(Problem::Malformed)?,
        Value::Other => return Err(Problem::Malformed),
    };
    State::of_zip(number).ok_or(Problem::UnknownZip)
}

/// The five-digit number of `NNNNN` or `NNNNN-NNNN`.
fn zip_number(bytes: &[u8]) -> Option<u32> {
    let (five, four) = match bytes.len() {
        5 => (bytes, &b""[..]),
        10 if bytes[5] == b'-' => (&bytes[..5], &bytes[6..]),
        _ => return None,
    };
    if !four.iter().all(u8::is_ascii_digit) {
        return None;
    }
    five.iter()
        .try_fold(0, |n, digit| digit.is_ascii_digit().then(|| n * 10 + u32::from(digit - b'0')))
}

fn check_date(value: Value<'_>) -> Result<Option<Anniversary>, Problem> {
    match value {
        Value::Null | Value::Text(b"") => Ok(None),
        Value::Text(text) => match Anniversary::parse_bytes(text) {
            Ok(date) => Ok(Some(date)),
            Err(crate::DateError::NotReal) => Err(Problem::NotARealDate),
            Err(crate::DateError::Malformed) => Err(Problem::Malformed),
        },
        Value::Integer(_) | Value::Other => Err(Problem::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_without_a_full_parse_is_an_address_to_that_as_well() {
        let is_full = |text: &str| EmailAddress::parse_with_options(text, EMAIL_OPTIONS).is_ok();
        let mut texts = vec![String::new()];
        let mut accepted = 0;
        for _ in 0..6 {
            texts = texts
                .iter()
                .flat_map(|text| ["a", "Z9", "-", "_", ".", "@"].map(|end| format!("{text}{end}")))
                .collect();
            for text in texts.iter().filter(|text| is_plain_email(text.as_bytes())) {
                accepted += 1;
                assert!(is_full(text), "{text}");
            }
        }
        assert!(accepted > 100, "{accepted} of the short texts");
        for length in [1, 62, 63, 64, 65, 254, 255, 256] {
            let name = "x".repeat(length);
            for text in [
                format!("{name}@example.com"),
                format!("a@{name}.com"),
                format!("a@example.{name}"),
                format!("a@{}", "abc.".repeat(length) + "com"),
            ] {
                assert!(!is_plain_email(text.as_bytes()) || is_full(&text), "{text}");
            }
        }
        for refused in ["", "a", "a@b", "a@b.", "a@.b.c", ".a@b.c", "a.@b.c", "a..b@c.d", "a@b@c.d"]
        {
            assert!(!is_plain_email(refused.as_bytes()), "{refused}");
        }
    }
}
