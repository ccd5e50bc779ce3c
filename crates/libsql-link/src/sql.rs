//! Whether a statement only reads, told from its words.

/// True only if it is certain: a `SELECT`, `VALUES` or `EXPLAIN`, or a `WITH` without any word that
/// changes rows. What is quoted or in a comment does not count.
pub(crate) fn only_reads(sql: &str) -> bool {
    let mut words = Words { rest: sql };
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    match words.next() {
        Some(first) if ["select", "values", "explain"].iter().any(|one| is(first, one)) => true,
        Some(first) if is(first, "with") => !words.any(|word| {
            ["insert", "update", "delete", "replace"].iter().any(|change| is(word, change))
        }),
        _ => false,
    }
}

/// The bare words of a statement.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let first = self.rest.chars().next()?;
            let after = |text: &'a str, end: &str, from: usize| {
                text[from..].find(end).map_or("", |at| &text[from + at + end.len()..])
            };
            self.rest = match first {
                // A doubled quote reads as two quoted parts in a row.
                '\'' | '"' | '`' => after(self.rest, &first.to_string(), 1),
                '[' => after(self.rest, "]", 1),
                '-' if self.rest.starts_with("--") => after(self.rest, "\n", 2),
                '/' if self.rest.starts_with("/*") => after(self.rest, "*/", 2),
                _ if first.is_alphabetic() || first == '_' => {
                    let end = self
                        .rest
                        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                        .unwrap_or(self.rest.len());
                    let (word, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    return Some(word);
                }
                _ => &self.rest[first.len_utf8()..],
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_reads_counts_as_reading() {
        for (sql, reads) in [
            ("SELECT 1", true),
            ("  -- insert\n /* delete */ select replace(a, 'x', 'y') from t", true),
            ("VALUES (1)", true),
            ("explain query plan delete from t", true),
            (
                "WITH a AS (SELECT 'insert it', \"update\", [delete], `replace`) SELECT * FROM a",
                true,
            ),
            ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a RETURNING *", false),
            ("with a as (select 'it''s') delete from t", false),
            ("INSERT INTO t VALUES (1) RETURNING a", false),
            ("UPDATE t SET a = 1", false),
            ("PRAGMA user_version = 3", false),
            ("", false),
            ("'select", false),
            ("/* select", false),
        ] {
            assert_eq!(only_reads(sql), reads, "{sql}");
        }
    }
}
