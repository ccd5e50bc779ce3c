//! Contacts: who is active and valid, and what is wrong with the others (section 2).

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::civil::Date;
use rusqlite::{Connection, types::Value};

use super::database::{Record, records};
use crate::{calendar::parse_date, periods::Person};

/// What is wrong with a contact: its id and the column.
pub type Issue = (i64, String);

/// A contact as section 2 sees it.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) id: i64,
    pub(crate) active: bool,
    pub(crate) valid: bool,
    pub(crate) person: Person,
    /// The states whose rules apply, one or two.
    pub(crate) states: Vec<String>,
    pub(crate) has_phone: bool,
}

impl Contact {
    /// Stands for a contact that is not there, whose rows are.
    pub(crate) fn nobody(id: i64) -> Self {
        let (person, states) = (Person::default(), Vec::new());
        Self { id, active: false, valid: false, person, states, has_phone: false }
    }
}

/// The two-letter codes a stored state may have: states, DC, territories.
pub(crate) const STATE_CODES: [&str; 59] = [
    "AK", "AL", "AR", "AS", "AZ", "CA", "CO", "CT", "DC", "DE", "FL", "FM", "GA", "GU", "HI", "IA",
    "ID", "IL", "IN", "KS", "KY", "LA", "MA", "MD", "ME", "MH", "MI", "MN", "MO", "MP", "MS", "MT",
    "NC", "ND", "NE", "NH", "NJ", "NM", "NV", "NY", "OH", "OK", "OR", "PA", "PR", "PW", "RI", "SC",
    "SD", "TN", "TX", "UT", "VA", "VI", "VT", "WA", "WI", "WV", "WY",
];

static STATE_OF_ZIP: LazyLock<BTreeMap<&'static str, &'static str>> = LazyLock::new(|| {
    zipcodes::database().iter().map(|z| (z.zip_code.as_str(), z.state.as_str())).collect()
});

/// Reads all contacts, and records what is wrong with them.
pub(crate) fn read(conn: &Connection, today: Date, issues: &mut Vec<Issue>) -> Vec<Contact> {
    records(conn, "contacts").iter().map(|record| judge(record, today, issues)).collect()
}

fn judge(record: &Record, today: Date, issues: &mut Vec<Issue>) -> Contact {
    let id = record.integer("id").expect("contacts.id");
    let mut issue = |field: &str| issues.push((id, field.to_owned()));

    let status = record.text("status").unwrap_or_default();
    let active = status.is_empty() || status.eq_ignore_ascii_case("active");

    let email_is_good = record.text("email").is_some_and(|email| is_email(&email));
    if !email_is_good {
        issue("email");
    }
    let zip_state = zip_code(&record.value("zip_code"))
        .and_then(|zip| STATE_OF_ZIP.get(&zip[..5]).copied().map(str::to_owned));
    if zip_state.is_none() {
        issue("zip_code");
    }

    let birth_column = if record.has("birth_date") { "birth_date" } else { "birthday" };
    let mut date_in = |column: &str, last: Date| {
        let text = record.text(column).filter(|text| !text.is_empty())?;
        let date = parse_date(&text).filter(|date| *date <= last);
        if date.is_none() {
            // One name for the field, whatever the column is called.
            issue(if column == "birthday" { "birth_date" } else { column });
        }
        date
    };
    let birth = date_in(birth_column, today);
    let effective = date_in("effective_date", Date::MAX);

    let mut states: Vec<String> = zip_state.iter().cloned().collect();
    let stored = record.text("state").unwrap_or_default().to_ascii_uppercase();
    if STATE_CODES.contains(&stored.as_str())
        && let Some(zip_state) = zip_state.as_ref()
        && *zip_state != stored
    {
        issue("state");
        states.push(stored);
    }

    Contact {
        id,
        active,
        valid: email_is_good && zip_state.is_some(),
        person: Person { birth, effective },
        states,
        has_phone: record.text("phone_number").is_some_and(|phone| !phone.is_empty()),
    }
}

/// One `@`, no spaces, something before it, and a domain of at least two labels, none empty.
fn is_email(email: &str) -> bool {
    let Some((local, domain)) = email.split_once('@') else { return false };
    !local.is_empty()
        && !domain.contains('@')
        && !email.contains(char::is_whitespace)
        && domain.contains('.')
        && domain.split('.').all(|label| !label.is_empty())
}

/// `NNNNN` or `NNNNN-NNNN`; an integer is padded with zeros.
fn zip_code(value: &Value) -> Option<String> {
    let text = match value {
        Value::Integer(number) if *number >= 0 => format!("{number:05}"),
        Value::Text(text) => text.clone(),
        _ => return None,
    };
    let digits = |part: &str, count: usize| {
        part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let good = match text.split_once('-') {
        None => digits(&text, 5),
        Some((zip, plus_four)) => digits(zip, 5) && digits(plus_four, 4),
    };
    good.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_2_emails() {
        for good in ["a@b.co", "first.last+tag@mail.example.com", "x_1@sub.example.org"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "", "a", "a@b", "@b.co", "a@", "a@@b.co", "a@b@c.co", "a b@c.co", "a@b.co ", "a@.co",
            "a@b..co", "a@b.",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn section_2_zip_codes() {
        let text = |text: &str| zip_code(&Value::Text(text.to_owned()));
        assert_eq!(text("02134").as_deref(), Some("02134"));
        assert_eq!(text("02134-1234").as_deref(), Some("02134-1234"));
        assert_eq!(zip_code(&Value::Integer(2134)).as_deref(), Some("02134"));
        assert_eq!(zip_code(&Value::Integer(123_456)), None);
        assert_eq!(zip_code(&Value::Integer(-2134)), None);
        for bad in ["", "2134", "021345", "02134-", "02134-12", "02134 1234", "ABCDE", " 02134"] {
            assert_eq!(text(bad), None, "{bad}");
        }
        assert_eq!(zip_code(&Value::Null), None);
        assert_eq!(STATE_OF_ZIP.get("90210"), Some(&"CA"));
        assert_eq!(STATE_OF_ZIP.get("00000"), None);
    }

    #[test]
    fn state_codes_are_sorted_and_unique() {
        assert!(STATE_CODES.is_sorted_by(|a, b| a < b));
    }
}
