//! Reading and writing pieces of SQL text: quoting, tokens, top-level commas.

/// `name` as an SQL identifier, always quoted.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names joined as a list of quoted identifiers.
pub(crate) fn quoted_list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// Whether two names mean the same to SQLite, which folds ASCII letters only.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or plain identifier, also a number.
    Word,
    /// `"x"`, `[x]`, `` `x` `` or `'x'`.
    Quoted,
    /// A single character of punctuation.
    Mark(char),
}

/// A token of SQL text; comments and white space lie between tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'s> {
    pub kind: TokenKind,
    pub text: &'s str,
    /// Where `text` begins, in bytes.
    pub start: usize,
}

impl Token<'_> {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// A name without its quotes.
    pub(crate) fn name(&self) -> String {
        if self.kind != TokenKind::Quoted {
            return self.text.to_owned();
        }
        let close = match self.text.chars().next() {
            Some('[') => ']',
            Some(open) => open,
            None => return String::new(),
        };
        let inner = self.text.get(1..).unwrap_or_default();
        let inner = inner.strip_suffix(close).unwrap_or(inner);
        if close == ']' {
            inner.to_owned()
        } else {
            inner.replace(&format!("{close}{close}"), &close.to_string())
        }
    }
}

/// Splits SQL text as SQLite's tokenizer does, as far as names, texts and punctuation go.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0c => {
                at += 1;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = find(bytes, at, b"\n").unwrap_or(bytes.len());
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = find(bytes, at + 2, b"*/").map_or(bytes.len(), |end| end + 2);
                continue;
            }
            open @ (b'"' | b'\'' | b'`') => {
                at += 1;
                while at < bytes.len() {
                    if bytes[at] == open {
                        at += 1;
                        if bytes.get(at) != Some(&open) {
                            break;
                        }
                    }
                    at += 1;
                }
                TokenKind::Quoted
            }
            b'[' => {
                at = find(bytes, at, b"]").map_or(bytes.len(), |end| end + 1);
                TokenKind::Quoted
            }
            byte if is_word_byte(byte) => {
                while at < bytes.len() && is_word_byte(bytes[at]) {
                    at += 1;
                }
                TokenKind::Word
            }
            byte => {
                at += 1;
                TokenKind::Mark(char::from(byte))
            }
        };
        let end = at.min(bytes.len());
        out.push(Token { kind, text: &sql[start..end], start });
    }
    out
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn find(bytes: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    bytes.get(from..)?.windows(needle.len()).position(|window| window == needle).map(|at| at + from)
}

/// The pieces of `text` between commas outside of parentheses and quotes, trimmed.
pub(crate) fn split_at_commas(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for token in tokens(text) {
        match token.kind {
            TokenKind::Mark('(') => depth += 1,
            TokenKind::Mark(')') => depth -= 1,
            TokenKind::Mark(',') if depth == 0 => {
                pieces.push(text[start..token.start].trim());
                start = token.start + 1;
            }
            _ => {}
        }
    }
    pieces.push(text[start..].trim());
    pieces
}

/// A virtual table's module and its arguments, from its `CREATE VIRTUAL TABLE` text.
pub(crate) fn virtual_module(sql: &str) -> Option<(String, Vec<String>)> {
    let tokens = tokens(sql);
    let using = tokens.iter().position(|token| token.is_word("USING"))?;
    let module = tokens.get(using + 1)?.name();
    let arguments = match (tokens.get(using + 2), tokens.last()) {
        (Some(open), Some(close))
            if open.kind == TokenKind::Mark('(') && close.kind == TokenKind::Mark(')') =>
        {
            let inner = &sql[open.start + 1..close.start];
            split_at_commas(inner).into_iter().map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    Some((module, arguments))
}

/// Whether a table is called as those in which the virtual table `owner` keeps its data.
pub(crate) fn virtual_owner(table: &str, owner: &str) -> bool {
    let rest = table.get(owner.len()..).is_some_and(|rest| rest.starts_with('_'));
    rest && table.get(..owner.len()).is_some_and(|start| same_name(start, owner))
}

/// Whether `word` occurs as a word of its own in `sql`, outside of quotes and comments.
pub(crate) fn has_word(sql: &str, word: &str) -> bool {
    tokens(sql).iter().any(|token| token.is_word(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_doubles_the_quote() {
        assert_eq!(quoted(r#"a"b"#), r#""a""b""#);
    }

    #[test]
    fn commas_inside_quotes_comments_and_parentheses_do_not_split() {
        let text = "a INT DEFAULT (1,2), \"b,c\" TEXT -- x, y\n, [d,e], 'f,''g' /* , */";
        assert_eq!(
            split_at_commas(text),
            ["a INT DEFAULT (1,2)", "\"b,c\" TEXT -- x, y", "[d,e]", "'f,''g' /* , */"]
        );
    }

    #[test]
    fn module_and_arguments_of_a_virtual_table() {
        let (module, arguments) = virtual_module(
            "CREATE VIRTUAL TABLE \"using it\" USING fts5(a, 'b', content='', tokenize = \"x y\")",
        )
        .unwrap();
        assert_eq!(module, "fts5");
        assert_eq!(arguments, ["a", "'b'", "content=''", "tokenize = \"x y\""]);
        assert_eq!(virtual_module("CREATE VIRTUAL TABLE v USING x").unwrap().1.len(), 0);
    }

    #[test]
    fn names_lose_their_quotes() {
        let names: Vec<String> = tokens(r#"a "b""c" [d e] `f`"#).iter().map(Token::name).collect();
        assert_eq!(names, ["a", "b\"c", "d e", "f"]);
    }

    #[test]
    fn words_in_texts_and_comments_do_not_count() {
        assert!(has_word("x integer primary key autoincrement", "AUTOINCREMENT"));
        assert!(!has_word("x default 'autoincrement' -- autoincrement", "AUTOINCREMENT"));
    }
}
