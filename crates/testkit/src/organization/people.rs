//! Contacts.

use fastrand::Rng;
use jiff::civil::Date;
use rusqlite::{Connection, Result, types::Value};

use super::{Table, chance, pick, text};
use crate::calendar::plus;

/// ZIP codes by state: of every state with a rule, of some without, of a territory and of the armed forces. Some are
/// not in use any more, and are known all the same.
const ZIPS: [(&str, [&str; 2]); 19] = [
    ("CA", ["90001", "90090"]),
    ("ID", ["83201", "83230"]),
    ("KY", ["40003", "40366"]),
    ("MD", ["20601", "21098"]),
    ("NV", ["89001", "89824"]),
    ("OK", ["73001", "73094"]),
    ("OR", ["97001", "97255"]),
    ("VA", ["20101", "20107"]),
    ("MO", ["63005", "63001"]),
    ("CT", ["06001", "06087"]),
    ("MA", ["01001", "01133"]),
    ("NY", ["10001", "00501"]),
    ("WA", ["98001", "98054"]),
    ("TX", ["73301", "75037"]),
    ("FL", ["32003", "32026"]),
    ("NJ", ["07001", "07182"]),
    ("PR", ["00601", "00602"]),
    ("DC", ["20001", "20023"]),
    ("AE", ["09000", "09007"]),
];

const BAD_EMAILS: [&str; 9] = [
    "",
    "no-at-sign.example.com",
    "two@at@example.com",
    "space in@example.com",
    "nodot@example",
    "@example.com",
    "nobody@",
    "double@example..com",
    " leading@example.com",
];
const BAD_ZIPS: [&str; 9] =
    ["", "1234", "123456", "ABCDE", "00000", "99999-12", "9000l", "90001-", "90001 1234"];
const BAD_DATES: [&str; 9] = [
    "2023-02-29",
    "1960-13-01",
    "1960-06-31",
    "06/15/1960",
    "1960-6-5",
    "unknown",
    "19600615",
    "1960-06-15x",
    "0000-00-00",
];

/// Writes the contacts.
pub(super) fn write(
    conn: &Connection,
    random: &mut Rng,
    today: Date,
    contacts: usize,
) -> Result<()> {
    let table = Table::new(conn, "contacts")?;
    let birthdays: Vec<Date> = (0..5).map(|_| plus(today, random.i64(-40..110))).collect();
    let effective: Vec<Date> = (0..4).map(|_| plus(today, random.i64(-40..110))).collect();
    // Half of the organizations live in three states, so that their days fill up.
    let states: Vec<_> = if random.bool() {
        ZIPS.to_vec()
    } else {
        (0..3).map(|_| pick(random, &ZIPS)).chain([ZIPS[13]]).collect()
    };
    let dirt = pick(random, &[0, 4, 12]);
    let mut id = 0;
    for number in 0..contacts {
        id += pick(random, &[1, 1, 1, 1, 2, 7, 1000]);
        let (state, zips) = pick(random, &states);
        let email = if chance(random, dirt) {
            pick(random, &BAD_EMAILS).to_owned()
        } else {
            format!("contact{number}@mail.example.com")
        };
        let birth = birth_date(random, today, &birthdays, dirt);
        let effective_date = effective_date(random, today, &effective, dirt);
        let mut values = vec![
            ("id", Value::Integer(id)),
            ("email", if chance(random, dirt / 4) { Value::Null } else { text(email) }),
            ("zip_code", zip_code(random, &zips, dirt)),
            ("birth_date", birth.clone()),
            ("birthday", birth),
            ("effective_date", effective_date),
            ("state", stored_state(random, state, dirt)),
            ("phone_number", pick(random, &[text("+15550100"), text(""), text("555-0101")])),
            ("status", status(random)),
        ];
        for (column, value) in [
            ("first_name", text("First")),
            ("last_name", text("Last")),
            ("current_carrier", text("Carrier")),
            ("plan_type", text("G")),
            ("tobacco_user", Value::Integer(0)),
            ("gender", text("F")),
            ("created_at", text("2024-01-01 00:00:00")),
            ("updated_at", text("2024-01-01 00:00:00")),
        ] {
            values.push((column, value));
        }
        // The older table knows no NULL in most columns and drops such contacts.
        table.insert(&values)?;
    }
    Ok(())
}

fn zip_code(random: &mut Rng, zips: &[&str; 2], dirt: u8) -> Value {
    if chance(random, dirt) {
        let bad: Vec<Value> = BAD_ZIPS
            .iter()
            .map(|zip| text(*zip))
            .chain([Value::Null, Value::Integer(123_456)])
            .collect();
        return pick(random, &bad);
    }
    let zip = if chance(random, 85) { zips[0] } else { zips[1] };
    if chance(random, 10) { text(format!("{zip}-0123")) } else { text(zip) }
}

/// Mostly one of a few days, in a year that makes the contact about 65, or any.
fn birth_date(random: &mut Rng, today: Date, days: &[Date], dirt: u8) -> Value {
    if chance(random, dirt) {
        let future = text(plus(today, random.i64(1..400)).to_string());
        let bad = text(pick(random, &BAD_DATES));
        return pick(random, &[bad, Value::Null, text(""), future]);
    }
    let year = today.year() - random.i16(62..78);
    let date = match random.u8(..10) {
        0 => Date::new(1952 + 4 * random.i16(0..4), 2, 29),
        1 => Date::new(year, random.i8(1..=12), random.i8(1..=28)),
        _ => {
            let day = pick(random, days);
            // February 29 in another year may not be.
            Date::new(year, day.month(), day.day()).or(Date::new(year, day.month(), 28))
        }
    };
    written(random, date.expect("a real date"))
}

/// Some are new, some begin in the future.
fn effective_date(random: &mut Rng, today: Date, days: &[Date], dirt: u8) -> Value {
    if chance(random, dirt) {
        let bad = text(pick(random, &BAD_DATES));
        return pick(random, &[bad, Value::Null, text("")]);
    }
    let date = match random.u8(..10) {
        0 => Date::new(2020, 2, 29).expect("a leap day"),
        1 => plus(today, random.i64(-1500..500)),
        _ => {
            let day = pick(random, days);
            let year = day.year() - pick(random, &[0, 0, 1, 2, 5]);
            Date::new(year, day.month(), day.day())
                .or(Date::new(year, day.month(), 28))
                .expect("a real date")
        }
    };
    written(random, date)
}

fn written(random: &mut Rng, date: Date) -> Value {
    match random.u8(..20) {
        0 => text(format!("{date} 00:00:00")),
        1 => text(format!("{date}T12:30:00Z")),
        _ => text(date.to_string()),
    }
}

fn stored_state(random: &mut Rng, state: &str, dirt: u8) -> Value {
    if chance(random, dirt) {
        return pick(
            random,
            &[text("California"), text("XX"), text(""), Value::Null, text("CA"), text("mo")],
        );
    }
    if chance(random, 10) { text(state.to_lowercase()) } else { text(state) }
}

fn status(random: &mut Rng) -> Value {
    match random.u8(..20) {
        0 => text("inactive"),
        1 => text("Deceased"),
        2 => text("ACTIVE"),
        3 => text(""),
        4 => Value::Null,
        _ => text("active"),
    }
}
