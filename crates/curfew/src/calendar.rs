//! The volume of each day as a small calendar for the terminal.

use std::{collections::BTreeMap, fmt::Write as _};

use curfew_app::run::DayVolume;
use jiff::{ToSpan as _, civil::Date};

/// Months with the number of messages of each day, from the month of `today` on.
pub(crate) fn calendar(volume: &[DayVolume], today: Date, months: i32) -> String {
    let by_day: BTreeMap<Date, u64> =
        volume.iter().filter_map(|day| Some((day.date.parse().ok()?, day.messages))).collect();
    let width = by_day.values().map(|number| number.to_string().len()).max().unwrap_or(1).max(2);
    let mut out = String::new();
    let first_month = today.first_of_month();
    for month in 0..months {
        let Ok(first) = first_month.checked_add(month.months()) else { break };
        // Writing to a string does not fail.
        let _ = writeln!(out, "{}", month_text(first, &by_day, today, width));
    }
    out
}

fn month_text(first: Date, by_day: &BTreeMap<Date, u64>, today: Date, width: usize) -> String {
    let mut out = format!("  {}\n    ", first.strftime("%B %Y"));
    for name in ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"] {
        let _ = write!(out, "   {name:>width$} ");
    }
    out.push_str("\n    ");
    let before = first.weekday().to_monday_zero_offset();
    for _ in 0..before {
        let _ = write!(out, "   {:>width$} ", "");
    }
    let last = first.last_of_month();
    let mut day = first;
    loop {
        let number = by_day.get(&day).copied().unwrap_or(0);
        let cell = match number {
            _ if day < today => String::new(),
            0 => "·".to_owned(),
            number => number.to_string(),
        };
        let mark = if day == today { '*' } else { ' ' };
        let _ = write!(out, "{:>2}{mark}{cell:>width$} ", day.day());
        if day == last {
            break;
        }
        if day.weekday() == jiff::civil::Weekday::Sunday {
            out.push_str("\n    ");
        }
        let Ok(next) = day.tomorrow() else { break };
        day = next;
    }
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_shows_each_day_from_today_on_with_its_volume() {
        let volume = [("2026-11-20", 3), ("2026-11-23", 12)]
            .map(|(date, messages)| DayVolume { date: date.to_owned(), messages });
        let text = calendar(&volume, jiff::civil::date(2026, 11, 20), 1);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "  November 2026",
                "       Mo    Tu    We    Th    Fr    Sa    Su",
                "                                         1",
                "     2     3     4     5     6     7     8",
                "     9    10    11    12    13    14    15",
                "    16    17    18    19    20* 3 21  · 22  ·",
                "    23 12 24  · 25  · 26  · 27  · 28  · 29  ·",
                "    30  ·",
                "",
            ]
        );
    }
}
