//! A case file begins with its claim: one sentence in business words that the plan below it proves.

use anyhow::Result;

use super::{Problem, Tree};

/// Fewer words are a title, not a claim that can be true or false.
const CLAIM_WORDS_MIN: usize = 3;

pub(super) fn check(tree: &Tree, problems: &mut Vec<Problem>) -> Result<()> {
    for file in tree.with_ending(".case") {
        if let Some(why) = objection(&tree.read(file)?) {
            let message = format!("the first line must be the claim of the case: {why}");
            problems.push(Problem::new("case-claims", format!("{file}:1"), message));
        }
    }
    Ok(())
}

fn objection(case: &str) -> Option<String> {
    let claim = case.lines().next().unwrap_or_default();
    let mut words = claim.split_whitespace();
    if claim.trim().is_empty() {
        Some("it is empty".into())
    } else if !claim.starts_with(char::is_alphanumeric) {
        Some("it starts with something else than a word".into())
    } else if words.clone().next() == Some("today") {
        Some("it is the line of the date already".into())
    } else if words.nth(CLAIM_WORDS_MIN - 1).is_none() {
        Some(format!("it has fewer than {CLAIM_WORDS_MIN} words"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_starts_with_a_claim() {
        let rest = "\ntoday 2026-03-01\n---\n";
        for claim in [
            "A contact in New York gets nothing all year",
            "60 days after a birthday the window is still closed",
            "today's messages are sent today",
        ] {
            assert_eq!(objection(&format!("{claim}{rest}")), None, "{claim}");
        }
        for claim in [
            "",
            "   ",
            "---",
            "# A claim behind a hash",
            "  An indented claim here",
            "Nevada",
            "today 2026-03-01 is it",
        ] {
            assert!(objection(&format!("{claim}{rest}")).is_some(), "`{claim}` was accepted");
        }
        assert!(objection("").is_some());
    }
}
