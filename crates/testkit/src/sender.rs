//! The sender of section 1, which once a day sends the planned rows dated that day; and senders that do less well.

use std::collections::BTreeSet;

use fastrand::Rng;
use jiff::civil::Date;
use rusqlite::{Connection, Result, params};

/// What a sender does with the rows that are due. Shares are in percent, from 0 to 100.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Days on which nothing happens.
    pub misses_days: u8,
    /// Rows that fail.
    pub fails: u8,
    /// Rows that it takes (`scheduled`) and sends on its next day only.
    pub delays: u8,
    /// The rows it took and has not sent.
    taken: BTreeSet<i64>,
    random: Rng,
}

impl Sender {
    /// Sends what is due, every day.
    pub fn reliable() -> Self {
        Self {
            misses_days: 0,
            fails: 0,
            delays: 0,
            taken: BTreeSet::new(),
            random: Rng::with_seed(0),
        }
    }

    /// Misses a day now and then, fails now and then, and takes rows that it sends later. One seed is one behaviour.
    pub fn unreliable(seed: u64) -> Self {
        Self {
            misses_days: 15,
            fails: 5,
            delays: 20,
            taken: BTreeSet::new(),
            random: Rng::with_seed(seed),
        }
    }

    /// Does a day's work; answers how many rows were sent.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub fn send(&mut self, conn: &mut Connection, today: Date) -> Result<usize> {
        if self.happens(self.misses_days) {
            return Ok(0);
        }
        let transaction = conn.transaction()?;
        let ids: Vec<(i64, String)> = transaction
            .prepare(
                "SELECT id, status FROM email_schedules
                 WHERE status = 'pre-scheduled' AND scheduled_send_date = ?1 OR status = 'scheduled'
                 ORDER BY id",
            )?
            .query_map([today.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_>>()?;
        let mut sent = 0;
        for (id, status) in ids {
            if status == "scheduled" && !self.taken.remove(&id) {
                continue;
            }
            let (status, at) = if status == "pre-scheduled" && self.happens(self.delays) {
                self.taken.insert(id);
                ("scheduled", None)
            } else if self.happens(self.fails) {
                ("failed", None)
            } else {
                sent += 1;
                ("sent", Some(format!("{today} 08:30:05")))
            };
            transaction.execute(
                "UPDATE email_schedules SET status = ?2, actual_send_datetime = ?3 WHERE id = ?1",
                params![id, status, at],
            )?;
        }
        transaction.commit()?;
        Ok(sent)
    }

    fn happens(&mut self, percent: u8) -> bool {
        percent > 0 && self.random.u8(0..100) < percent
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::model::create_schema;

    fn office() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        create_schema(&conn).unwrap();
        for (on, status) in [
            ("2025-02-28", "pre-scheduled"),
            ("2025-03-01", "pre-scheduled"),
            ("2025-03-01", "skipped"),
            ("2025-03-01", "scheduled"),
            ("2025-03-02", "pre-scheduled"),
        ] {
            conn.execute(
                "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, scheduled_send_time, status)
                 VALUES (1, 'aep', ?1, '08:30:00', ?2)",
                [on, status],
            )
            .unwrap();
        }
        conn
    }

    fn statuses(conn: &Connection) -> Vec<String> {
        let mut statement = conn.prepare("SELECT status FROM email_schedules ORDER BY id").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn section_1_it_sends_the_planned_rows_of_the_day_and_leaves_older_ones() {
        let mut conn = office();
        assert_eq!(Sender::reliable().send(&mut conn, date(2025, 3, 1)), Ok(1));
        assert_eq!(
            statuses(&conn),
            ["pre-scheduled", "sent", "skipped", "scheduled", "pre-scheduled"]
        );
        let at: String = conn
            .query_row("SELECT actual_send_datetime FROM email_schedules WHERE id = 2", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(at, "2025-03-01 08:30:05");
    }

    #[test]
    fn it_may_miss_the_day_fail_or_send_a_day_later() {
        let mut conn = office();
        let mut sender = Sender::reliable();
        sender.misses_days = 100;
        assert_eq!(sender.send(&mut conn, date(2025, 3, 1)), Ok(0));
        assert_eq!(statuses(&conn)[1], "pre-scheduled");
        (sender.misses_days, sender.delays) = (0, 100);
        assert_eq!(sender.send(&mut conn, date(2025, 3, 1)), Ok(0));
        assert_eq!(statuses(&conn)[1], "scheduled");
        (sender.delays, sender.fails) = (0, 0);
        assert_eq!(sender.send(&mut conn, date(2025, 3, 2)), Ok(2));
        assert_eq!(statuses(&conn), ["pre-scheduled", "sent", "skipped", "scheduled", "sent"]);
        let mut conn = office();
        sender.fails = 100;
        assert_eq!(sender.send(&mut conn, date(2025, 3, 1)), Ok(0));
        assert_eq!(statuses(&conn)[1], "failed");
    }
}
