//! How far a command has come.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// One line on stderr that says what is being done and how far it has come; it disappears when the
/// work ends.
#[derive(Debug)]
pub struct Bar {
    is_shown: bool,
    line: Mutex<Option<Line>>,
}

#[derive(Debug)]
struct Line {
    doing: String,
    bar: ProgressBar,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const WITH_TOTAL: &str = "{msg} [{bar:24}] {human_pos}/{human_len}{prefix} {eta}";
const WITHOUT_TOTAL: &str = "{spinner} {msg} {human_pos}{prefix}";
const WITHOUT_COUNT: &str = "{spinner} {msg}";
/// How often a line is drawn anew while nothing is told.
const TICK: Duration = Duration::from_millis(100);

impl Bar {
    /// A bar that shows nothing unless `is_shown`: for stderr that is no terminal.
    pub fn new(is_shown: bool) -> Self {
        Self { is_shown, line: Mutex::new(None) }
    }

    /// Begins to show what is being done, with `total` of what is counted, where that is known.
    pub fn begin(&self, doing: &str, total: Option<u64>) {
        let mut line = self.line();
        *line = None;
        if !self.is_shown {
            return;
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        bar.set_style(style(if total.is_some() { WITH_TOTAL } else { WITHOUT_COUNT }));
        bar.set_message(doing.to_owned());
        bar.enable_steady_tick(TICK);
        *line = Some(Line { doing: doing.to_owned(), bar });
    }

    /// How much there is in all of what is being counted.
    pub fn total(&self, total: u64) {
        if let Some(Line { bar, .. }) = &*self.line() {
            bar.set_length(total);
            bar.set_style(style(WITH_TOTAL));
        }
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        if let Some(Line { bar, .. }) = &*self.line() {
            bar.inc(count);
        }
    }

    /// What it is being done to, how many `rows` so far, and `bytes`.
    pub fn rows(&self, subject: &str, rows: u64, bytes: u64) {
        if let Some(Line { doing, bar }) = &*self.line() {
            bar.set_message(format!("{doing} {subject}"));
            bar.set_position(rows);
            bar.set_prefix(if bytes > 0 {
                format!(" rows, {}", HumanBytes(bytes))
            } else {
                " rows".to_owned()
            });
            if bar.length().is_none() {
                bar.set_style(style(WITHOUT_TOTAL));
            }
        }
    }

    /// Takes the line away: before something else is printed, or for a while.
    pub fn finish(&self) {
        *self.line() = None;
    }

    fn line(&self) -> MutexGuard<'_, Option<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_valid() {
        for template in [WITH_TOTAL, WITHOUT_TOTAL, WITHOUT_COUNT] {
            style(template);
        }
    }
}
