//! Takes constraints out of the text of a `CREATE TABLE` statement.
//!
//! SQLite cannot drop a UNIQUE or NOT NULL constraint of a table; the table has to be made anew
//! under another name. So that everything else stays as it is (types, defaults, checks,
//! collations, generated columns, comments), only the constraint's own words are removed from the
//! text that the database has.

use crate::schema::quote;

/// The same table under another name, without these constraints. `None` if the text is not of the
/// form that SQLite keeps in its schema.
///
/// * A UNIQUE constraint goes if `drop_unique` says so for its columns.
/// * A NOT NULL constraint goes if `drop_not_null` says so for its column.
pub(crate) fn without_constraints(
    sql: &str,
    new_name: &str,
    drop_unique: impl Fn(&[String]) -> bool,
    drop_not_null: impl Fn(&str) -> bool,
) -> Option<String> {
    let tokens = tokens(sql)?;
    let code: Vec<&Token<'_>> = tokens.iter().filter(|token| !token.is_blank()).collect();
    let [create, table, name, open, ..] = code[..] else { return None };
    if !create.is_word("CREATE") || !table.is_word("TABLE") || open.text != "(" {
        return None;
    }
    let open_at = open.at;
    let close_at = matching_close(&tokens, open_at)?;

    let mut removed = vec![false; tokens.len()];
    // Where one definition ends and the next begins: the commas directly within the outer pair.
    let mut bounds = vec![open_at];
    let mut depth = 0_usize;
    for token in &tokens[open_at + 1..close_at] {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.checked_sub(1)?,
            "," if depth == 0 => bounds.push(token.at),
            _ => {}
        }
    }
    bounds.push(close_at);

    for pair in bounds.windows(2) {
        let definition = &tokens[pair[0] + 1..pair[1]];
        remove_constraints(definition, &drop_unique, &drop_not_null, &mut removed)?;
    }
    // A definition of which nothing is left goes with the comma before it, or, if it is the first,
    // with the one after it.
    let mut kept_any = false;
    for pair in bounds.windows(2) {
        let left = tokens[pair[0] + 1..pair[1]].iter();
        if left.into_iter().any(|token| !token.is_blank() && !removed[token.at]) {
            if !kept_any && tokens[pair[0]].text == "," {
                removed[pair[0]] = true;
            }
            kept_any = true;
        } else if tokens[pair[0]].text == "," {
            removed[pair[0]] = true;
        }
    }

    let mut text = format!("CREATE TABLE {}", quote(new_name));
    for token in &tokens[name.at + 1..] {
        if !removed[token.at] {
            text.push_str(token.text);
        }
    }
    Some(text)
}

/// Marks the tokens of the constraints that go from one column's or one table constraint's
/// definition.
fn remove_constraints(
    definition: &[Token<'_>],
    drop_unique: &impl Fn(&[String]) -> bool,
    drop_not_null: &impl Fn(&str) -> bool,
    removed: &mut [bool],
) -> Option<()> {
    let all: Vec<&Token<'_>> = definition.iter().filter(|token| !token.is_blank()).collect();
    let starts = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];
    let column = all
        .first()
        .filter(|first| !starts.iter().any(|word| first.is_word(word)))
        .map(|first| unquote(first.text));
    let mut depth = 0_usize;
    for (at, token) in all.iter().enumerate() {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.checked_sub(1)?,
            _ if depth > 0 => {}
            _ if token.is_word("UNIQUE") => {
                let mut end = at + 1;
                let columns = if all.get(end).is_some_and(|next| next.text == "(") {
                    let from = end + 1;
                    while all.get(end)?.text != ")" {
                        end += 1;
                    }
                    end += 1;
                    all[from..end - 1]
                        .split(|token| token.text == ",")
                        .filter_map(|part| part.first().map(|first| unquote(first.text)))
                        .collect()
                } else {
                    vec![column.clone()?]
                };
                if drop_unique(&columns) {
                    mark(&all, at, end, removed);
                }
            }
            _ if token.is_word("NULL")
                && at > 0
                && all[at - 1].is_word("NOT")
                && column.as_ref().is_some_and(|name| drop_not_null(name)) =>
            {
                mark(&all, at - 1, at + 1, removed);
            }
            _ => {}
        }
    }
    Some(())
}

/// Marks a constraint from `start` up to `end`, with its name before and its conflict clause after.
fn mark(all: &[&Token<'_>], start: usize, end: usize, removed: &mut [bool]) {
    let named = start >= 2 && all[start - 2].is_word("CONSTRAINT");
    let start = if named { start - 2 } else { start };
    let clause = all.get(end).is_some_and(|token| token.is_word("ON"))
        && all.get(end + 1).is_some_and(|token| token.is_word("CONFLICT"));
    let end = if clause { (end + 3).min(all.len()) } else { end };
    for token in &all[start..end] {
        removed[token.at] = true;
    }
}

#[derive(Debug)]
struct Token<'s> {
    text: &'s str,
    /// Place among all tokens.
    at: usize,
}

impl Token<'_> {
    fn is_blank(&self) -> bool {
        self.text.starts_with("--")
            || self.text.starts_with("/*")
            || self.text.starts_with(|c: char| c.is_ascii_whitespace())
    }

    /// Whether it is this keyword; quoted, it would be a name.
    fn is_word(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }
}

fn matching_close(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for token in &tokens[open..] {
        match token.text {
            "(" => depth += 1,
            ")" => {
                depth -= 1;
                if depth == 0 {
                    return Some(token.at);
                }
            }
            _ => {}
        }
    }
    None
}

/// A name without its quotes.
fn unquote(name: &str) -> String {
    let inner = |from: &str, to: &str| name[1..name.len() - 1].replace(from, to);
    match name.as_bytes().first() {
        Some(b'"') => inner("\"\"", "\""),
        Some(b'`') => inner("``", "`"),
        Some(b'\'') => inner("''", "'"),
        Some(b'[') => name[1..name.len() - 1].to_owned(),
        _ => name.to_owned(),
    }
}

/// Splits SQL into words, quoted names and texts, comments, runs of blanks and single signs.
/// `None` if a quote or comment does not end.
fn tokens(sql: &str) -> Option<Vec<Token<'_>>> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' | '`' => quoted_length(rest, first)?,
            '[' => rest.find(']')? + 1,
            '-' if rest.starts_with("--") => rest.find('\n').map_or(rest.len(), |end| end + 1),
            // A comment may end with the text.
            '/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |end| end + 4),
            c if c.is_ascii_whitespace() => {
                rest.find(|c: char| !c.is_ascii_whitespace()).unwrap_or(rest.len())
            }
            c if is_word_part(c) => rest.find(|c| !is_word_part(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (text, after) = rest.split_at(length);
        found.push(Token { text, at: found.len() });
        rest = after;
    }
    Some(found)
}

fn is_word_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// The length of a quoted text at the beginning of `sql`; a doubled quote stands for one.
fn quoted_length(sql: &str, quote: char) -> Option<usize> {
    let mut signs = sql.char_indices().skip(1).peekable();
    while let Some((at, sign)) = signs.next() {
        if sign == quote && signs.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// What is left of a table if the UNIQUE constraints on `a` and the NOT NULL of `n` go.
    fn edited(sql: &str) -> String {
        without_constraints(
            sql,
            "new",
            |columns| columns.iter().any(|column| column == "a"),
            |column| column == "n",
        )
        .unwrap()
    }

    #[test]
    fn only_the_words_of_the_constraint_go() {
        for (before, after) in [
            ("CREATE TABLE t(a, b)", "CREATE TABLE \"new\"(a, b)"),
            ("CREATE TABLE t(a UNIQUE, b UNIQUE)", "CREATE TABLE \"new\"(a , b UNIQUE)"),
            (
                "CREATE TABLE \"t\" (a INT CONSTRAINT u UNIQUE ON CONFLICT REPLACE DEFAULT 1, b)",
                "CREATE TABLE \"new\" (a INT   DEFAULT 1, b)",
            ),
            ("CREATE TABLE t(a, b, UNIQUE (a, b))", "CREATE TABLE \"new\"(a, b )"),
            (
                "CREATE TABLE t(a, b, UNIQUE(a) UNIQUE(b), CHECK (a > 0))",
                "CREATE TABLE \"new\"(a, b,  UNIQUE(b), CHECK (a > 0))",
            ),
            (
                "CREATE TABLE t(n TEXT NOT NULL DEFAULT 'UNIQUE', m NOT NULL)",
                "CREATE TABLE \"new\"(n TEXT  DEFAULT 'UNIQUE', m NOT NULL)",
            ),
            (
                "CREATE TABLE t(n CHECK (n IS NOT NULL), \"UNIQUE\" INT, [a] UNIQUE)",
                "CREATE TABLE \"new\"(n CHECK (n IS NOT NULL), \"UNIQUE\" INT, [a] )",
            ),
            (
                "CREATE TABLE t(a INT -- UNIQUE, really\n, b INT /* , UNIQUE(a) */) STRICT",
                "CREATE TABLE \"new\"(a INT -- UNIQUE, really\n, b INT /* , UNIQUE(a) */) STRICT",
            ),
            (
                "CREATE TABLE t(b, a GENERATED ALWAYS AS (b + (1)) UNIQUE, UNIQUE(\"a\" COLLATE nocase DESC))",
                "CREATE TABLE \"new\"(b, a GENERATED ALWAYS AS (b + (1))  )",
            ),
        ] {
            assert_eq!(
                edited(before).split_whitespace().collect::<Vec<_>>(),
                after.split_whitespace().collect::<Vec<_>>(),
                "{before}"
            );
            let db = Connection::open_in_memory().unwrap();
            db.execute_batch(before).unwrap();
            db.execute_batch(&edited(before)).unwrap();
        }
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        for sql in ["", "CREATE TABLE t", "CREATE VIEW t(a)", "CREATE TABLE t(a 'x", "SELECT (1)"] {
            assert!(without_constraints(sql, "new", |_| true, |_| true).is_none(), "{sql}");
        }
    }
}
