//! Rules about Rust source: no ignored test, no sleeping test, no allowed lint without its reason,
//! no inline module with an empty name.
//!
//! Sources are read as tokens. Text in comments and strings is therefore no violation, and unlike
//! the compiler this sees code that is configured away and code inside macros.

use anyhow::Result;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{Problem, Tree, names};

/// The functions of std and tokio that wait for time to pass.
const SLEEPS: &[&str] = &["sleep", "sleep_ms", "sleep_until"];

pub(super) fn check(tree: &Tree, problems: &mut Vec<Problem>) -> Result<()> {
    for file in tree.with_ending(".rs") {
        check_source(file, &tree.read(file)?, problems);
    }
    Ok(())
}

fn check_source(file: &str, source: &str, problems: &mut Vec<Problem>) {
    match source.parse::<TokenStream>() {
        Ok(tokens) => Scan { file, problems }.scan(tokens, is_test_file(file)),
        Err(error) => {
            let place = format!("{file}:{}", error.span().start().line);
            problems.push(Problem::new("sources", place, format!("cannot be read: {error}")));
        }
    }
}

/// Integration tests, `tests.rs` beside a module, and the crate that is for tests only.
fn is_test_file(file: &str) -> bool {
    file.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "testkit")
}

struct Scan<'a> {
    file: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Scan<'_> {
    fn report(&mut self, rule: &'static str, at: &TokenTree, message: impl Into<String>) {
        let place = format!("{}:{}", self.file, at.span().start().line);
        self.problems.push(Problem::new(rule, place, message));
    }

    /// Looks at `tokens` and everything within. `in_test`: they belong to code that only tests run.
    fn scan(&mut self, tokens: TokenStream, mut in_test: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        // An attribute `#[test]` or `#[cfg(test)]` was seen whose item has not ended yet.
        let mut item_is_test = false;
        for (at, token) in tokens.iter().enumerate() {
            let previous = at.checked_sub(1).map(|before| &tokens[before]);
            match token {
                TokenTree::Group(group) if is_attribute(&tokens[..at], group) => {
                    let attribute: Vec<TokenTree> = group.stream().into_iter().collect();
                    self.check_attribute(&attribute);
                    if marks_test(&attribute) {
                        let inner = previous.is_some_and(|token| is_punct(token, '!'));
                        in_test |= inner;
                        item_is_test |= !inner;
                    }
                }
                TokenTree::Group(group) => {
                    self.scan(group.stream(), in_test || item_is_test);
                    item_is_test &= group.delimiter() != Delimiter::Brace;
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => item_is_test = false,
                TokenTree::Ident(name) => {
                    let name = name.to_string();
                    if (in_test || item_is_test) && SLEEPS.contains(&name.as_str()) {
                        let message = "a test does not sleep; wait for the event itself, \
                             with a deadline (a channel, a line of output, a connection)";
                        self.report("no-sleep", token, message);
                    }
                    if previous.is_some_and(|token| is_ident(token, "mod"))
                        && names::is_empty_word(&name)
                    {
                        self.report("names", token, names::objection(&name));
                    }
                }
                _ => {}
            }
        }
    }

    /// `attribute`: what stands between the brackets, or one of the attributes within `cfg_attr`.
    fn check_attribute(&mut self, attribute: &[TokenTree]) {
        let Some(TokenTree::Ident(name)) = attribute.first() else { return };
        let arguments = arguments(attribute);
        match name.to_string().as_str() {
            "ignore" => self.report(
                "no-ignore",
                &attribute[0],
                "a test that does not run proves nothing; make it run or delete it",
            ),
            "allow" | "expect" if !has_reason(&arguments) => self.report(
                "reasons",
                &attribute[0],
                "say why the lint does not apply here: reason = \"…\"",
            ),
            "cfg_attr" => {
                let parts = arguments.split(|token| is_punct(token, ','));
                parts.skip(1).for_each(|part| self.check_attribute(part));
            }
            _ => {}
        }
    }
}

/// Whether `group`, which follows `before`, is the bracket of `#[…]` or `#![…]`.
fn is_attribute(before: &[TokenTree], group: &Group) -> bool {
    group.delimiter() == Delimiter::Bracket
        && match before {
            [.., hash, bang] if is_punct(bang, '!') => is_punct(hash, '#'),
            [.., hash] => is_punct(hash, '#'),
            [] => false,
        }
}

/// Whether an attribute makes its item a test or part of tests: `test`, `tokio::test`, `cfg(test)`,
/// `cfg(all(test, unix))`. Not so `cfg(not(test))`.
fn marks_test(attribute: &[TokenTree]) -> bool {
    let is_cfg = attribute.first().is_some_and(|token| is_ident(token, "cfg"));
    if is_cfg {
        return names_test(&arguments(attribute));
    }
    let path = attribute.iter().take_while(|token| !matches!(token, TokenTree::Group(_)));
    path.last().is_some_and(|token| is_ident(token, "test"))
}

fn names_test(condition: &[TokenTree]) -> bool {
    condition.iter().enumerate().any(|(at, token)| match token {
        TokenTree::Group(group) => {
            let negated = at > 0 && is_ident(&condition[at - 1], "not");
            !negated && names_test(&group.stream().into_iter().collect::<Vec<_>>())
        }
        token => is_ident(token, "test"),
    })
}

/// What stands in the parentheses of an attribute.
fn arguments(attribute: &[TokenTree]) -> Vec<TokenTree> {
    let group = attribute.iter().find_map(|token| match token {
        TokenTree::Group(group) => Some(group.stream()),
        _ => None,
    });
    group.into_iter().flatten().collect()
}

/// Whether `reason = "…"` with some text is among the arguments.
fn has_reason(arguments: &[TokenTree]) -> bool {
    arguments.windows(3).any(|tokens| {
        is_ident(&tokens[0], "reason")
            && is_punct(&tokens[1], '=')
            && matches!(&tokens[2], TokenTree::Literal(text) if text.to_string() != "\"\"")
    })
}

fn is_punct(token: &TokenTree, expected: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == expected)
}

fn is_ident(token: &TokenTree, expected: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if *ident == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that `source` breaks as a file of a library, with the line of each.
    fn broken(source: &str) -> Vec<(&'static str, String)> {
        broken_in("crates/a/src/calendar.rs", source)
    }

    fn broken_in(file: &str, source: &str) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        check_source(file, source, &mut problems);
        let line = |place: &str| place.rsplit(':').next().unwrap().to_owned();
        problems.iter().map(|problem| (problem.rule, line(&problem.place))).collect()
    }

    fn one(rule: &'static str, line: usize) -> Vec<(&'static str, String)> {
        vec![(rule, line.to_string())]
    }

    #[test]
    fn no_test_is_ignored() {
        assert_eq!(broken("#[test]\n#[ignore]\nfn a() {}"), one("no-ignore", 2));
        assert_eq!(broken("#[test]\n#[ignore = \"slow\"]\nfn a() {}"), one("no-ignore", 2));
        assert_eq!(broken("#[cfg_attr(windows, ignore)]\nfn a() {}"), one("no-ignore", 1));
        assert_eq!(broken("m! { #[ignore] fn a() {} }"), one("no-ignore", 1));
        assert_eq!(broken("fn ignore() { let ignore = \"#[ignore]\"; } // #[ignore]"), []);
    }

    #[test]
    fn no_test_sleeps() {
        for call in [
            "std::thread::sleep(wait);",
            "sleep(wait);",
            "tokio::time::sleep_until(then).await;",
            "let wait = thread::sleep;",
        ] {
            for source in [
                format!("#[test]\nfn a() {{ {call} }}"),
                format!("#[tokio::test(flavor = \"multi_thread\")]\nasync fn a() {{ {call} }}"),
                format!("#[cfg(test)]\nmod tests {{ fn wait() {{ {call} }} }}"),
                format!("#[cfg(all(test, unix))]\nmod tests {{ fn wait() {{ {call} }} }}"),
                format!("proptest! {{ #[test]\nfn a(x in 0..9) {{ {call} }} }}"),
                format!("#![cfg(test)]\nfn a() {{ {call} }}"),
            ] {
                assert_eq!(broken(&source), one("no-sleep", 2), "{source}");
            }
            let function = format!("fn a() {{ {call} }}");
            for file in
                ["crates/a/tests/b.rs", "crates/a/src/b/tests.rs", "crates/testkit/src/lib.rs"]
            {
                assert_eq!(broken_in(file, &function), one("no-sleep", 1), "{file}");
            }
        }
    }

    #[test]
    fn code_outside_of_tests_may_sleep_between_retries() {
        for source in [
            "fn a() { std::thread::sleep(wait); }",
            "#[cfg(not(test))]\nfn a() { std::thread::sleep(wait); }",
            "#[cfg(test)]\nmod tests;\nfn a() { std::thread::sleep(wait); }",
            "#[test]\nfn a() {}\nfn b() { std::thread::sleep(wait); }",
            "#[test]\nfn a() { let text = \"thread::sleep(wait)\"; } // thread::sleep(wait)",
        ] {
            assert_eq!(broken(source), [], "{source}");
        }
    }

    #[test]
    fn an_allowed_lint_has_a_reason() {
        assert_eq!(broken("#[allow(dead_code)]\nfn a() {}"), one("reasons", 1));
        assert_eq!(broken("#![allow(unsafe_code)]"), one("reasons", 1));
        assert_eq!(broken("\n#[expect(dead_code, reason = \"\")]\nfn a() {}"), one("reasons", 2));
        assert_eq!(broken("#[cfg_attr(test, allow(dead_code))]\nfn a() {}"), one("reasons", 1));
        assert_eq!(broken("#[allow(dead_code, reason = \"read by C\")]\nfn a() {}"), []);
        assert_eq!(broken("#[cfg_attr(test, allow(dead_code, reason = \"C\"))]\nfn a() {}"), []);
        assert_eq!(broken("fn a() { b.expect(\"a row\"); }"), []);
    }

    #[test]
    fn an_inline_module_is_not_a_drawer() {
        assert_eq!(broken("mod helpers { fn a() {} }"), one("names", 1));
        assert_eq!(broken("mod calendar { fn helpers() {} }"), []);
    }

    #[test]
    fn a_file_that_is_not_rust_is_a_problem() {
        assert_eq!(broken("fn a() {\n").len(), 1);
    }
}
