//! What the commands print alike: data to stdout, errors to stderr, tables, progress.

#![deny(missing_docs)]

mod bar;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{HumanBytes, HumanCount};

pub use bar::Bar;

/// Prints a text to stdout.
pub fn print(text: &str) -> anyhow::Result<()> {
    io::stdout().lock().write_all(text.as_bytes()).context("cannot write to stdout")
}

/// A text for people without what a terminal would carry out: names in a database are chosen by
/// whoever made it. Line ends and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_seen = |c: char| {
        let turns = matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        matches!(c, '\n' | '\t') || !(c.is_control() || turns)
    };
    if text.chars().all(is_seen) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_seen(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    shown.into()
}

/// Prints a value as JSON to stdout.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// An empty table that reads well without colours.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    table
}

/// A table as text, without spaces at the ends of lines.
pub fn table_text(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A number with separators.
pub fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A number of bytes in the unit that reads best.
pub fn bytes(number: u64) -> String {
    HumanBytes(number).to_string()
}

/// An error and its causes, a line for each that says something new.
pub fn error_text(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    let mut text = format!("error: {said}\n");
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Many messages name their cause themselves.
        if !said.contains(&cause) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  because {cause}");
            said = cause;
        }
    }
    visible(&text).into_owned()
}

/// Whether an error is that the reader of the output has seen enough, as with `… | head`.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_named_already_is_not_repeated() {
        let error = anyhow::anyhow!("no space").context("a.db: no space").context("cannot write");
        assert_eq!(error_text(&error), "error: cannot write\n  because a.db: no space\n");
    }

    #[test]
    fn what_a_terminal_would_carry_out_is_shown_instead() {
        assert_eq!(visible("plain ä€\n\ttext"), "plain ä€\n\ttext");
        assert_eq!(visible("a\u{1b}[31mb\r\u{9b}c\u{202e}"), r"a\u{1b}[31mb\u{d}\u{9b}c\u{202e}");
        assert!(error_text(&anyhow::anyhow!("table \u{7}")).contains(r"table \u{7}"));
    }

    #[test]
    fn a_pipe_that_broke_is_found_below_what_was_being_done() {
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::new(broken).context("cannot write to stdout")));
        assert!(!is_broken_pipe(&anyhow::anyhow!("broken pipe")));
    }
}
