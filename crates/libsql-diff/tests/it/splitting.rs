//! Splitting SQL text, beside SQLite's own notion of a complete statement.

#![allow(unsafe_code, reason = "asks SQLite's C function, which rusqlite does not wrap")]

use std::ffi::CString;

use libsql_diff::statements;
use proptest::prelude::*;

/// What SQLite says about a text: whether its last statement has ended.
fn is_complete(text: &str) -> bool {
    let text = CString::new(text).unwrap();
    // SAFETY: the text ends with a NUL and is only read during the call.
    unsafe { libsql_ffi::sqlite3_complete(text.as_ptr()) != 0 }
}

const PIECES: [&str; 30] = [
    "CREATE",
    "create",
    "TEMP",
    "TEMPORARY",
    "TRIGGER",
    "BEGIN",
    "END",
    "end",
    "CASE",
    "EXPLAIN",
    ";",
    ";",
    ";",
    " ",
    "\n",
    "\t",
    "'a;b'",
    "'it''s;'",
    "\"x;\"",
    "`;`",
    "[a;]",
    "--c;\n",
    "/*;*/",
    "/* END; **/",
    "a1",
    "-",
    "(",
    "'",
    "é",
    "ENDED",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn statements_end_where_sqlite_says(
        pieces in proptest::collection::vec((0..PIECES.len(), any::<bool>()), 0..30),
    ) {
        let mut text = String::new();
        for (piece, is_apart) in pieces {
            text.push_str(PIECES[piece]);
            if is_apart {
                text.push(' ');
            }
        }
        // Both have one opinion on whether the text ends within a statement.
        let rest = statements(&text).last().filter(|statement| !statement.is_complete);
        let has_semicolon = text.contains(';');
        prop_assert_eq!(rest.is_none() && has_semicolon, is_complete(&text) || {
            // SQLite calls a text without any statement incomplete.
            rest.is_none() && has_semicolon && statements(&text).next().is_none()
        }, "{:?}", text);
        for statement in statements(&text) {
            prop_assert_eq!(&text[statement.start..statement.start + statement.text.len()], statement.text);
            prop_assert_eq!(text[..statement.start].matches('\n').count() + 1, statement.line);
            if statement.is_complete {
                let with_semicolon = format!("{};", statement.text);
                prop_assert!(is_complete(&with_semicolon), "{:?}", statement.text);
                // No part of it is a statement by itself.
                for (at, _) in statement.text.match_indices(';') {
                    prop_assert!(!is_complete(&statement.text[..=at]), "{:?}", statement.text);
                }
            }
        }
    }
}
