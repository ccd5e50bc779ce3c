//! Documents that are generated from the code, and the check that they are up to date.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::{Outcome, Task};

/// A generated document.
struct Document {
    /// Its file, relative to the workspace.
    path: &'static str,
    /// What the file must hold, given the folder of the workspace. It must depend on what is
    /// committed alone: the same text on every machine and every day.
    generate: fn(&Path) -> Result<String>,
}

/// Every generated document. A new one needs a line here and one run of `cargo xtask docs --write`.
/// A generator that asks a program of the workspace is
/// `|root| shell::output(&mut shell::command(root, "cargo run --quiet --locked --package …"))`.
const DOCUMENTS: &[Document] =
    &[Document { path: "docs/rules.md", generate: |_| Ok(curfew_engine::rule::markdown()) }];

pub(crate) fn run(task: &Task) -> Result<Outcome> {
    if task.write { write(&task.root, DOCUMENTS) } else { check(&task.root, DOCUMENTS) }
}

fn check(root: &Path, documents: &[Document]) -> Result<Outcome> {
    if documents.is_empty() {
        return Ok(Outcome::Skipped(
            "no generated document is declared, nothing was checked".into(),
        ));
    }
    let mut stale = Vec::new();
    for document in documents {
        let expected = generate(root, document)?;
        // A file that is missing or unreadable is as stale as one with another text.
        match std::fs::read_to_string(root.join(document.path)) {
            Ok(found) if found == expected => eprintln!("up to date: {}", document.path),
            Ok(found) => stale.push(format!(
                "{}: stale from line {} on",
                document.path,
                first_difference(&found, &expected)
            )),
            Err(error) => stale.push(format!("{}: {error}", document.path)),
        }
    }
    if !stale.is_empty() {
        bail!("{}\nrewrite with: cargo xtask docs --write", stale.join("\n"));
    }
    Ok(Outcome::Passed)
}

fn write(root: &Path, documents: &[Document]) -> Result<Outcome> {
    for document in documents {
        let expected = generate(root, document)?;
        let path = root.join(document.path);
        if std::fs::read_to_string(&path).is_ok_and(|found| found == expected) {
            eprintln!("up to date: {}", document.path);
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, expected)
            .with_context(|| format!("cannot write {}", document.path))?;
        eprintln!("rewritten: {}", document.path);
    }
    Ok(Outcome::Passed)
}

fn generate(root: &Path, document: &Document) -> Result<String> {
    let text = (document.generate)(root);
    text.with_context(|| format!("cannot generate {}", document.path))
}

/// The first line, counted from 1, on which the texts differ.
fn first_difference(found: &str, expected: &str) -> usize {
    let same = found.lines().zip(expected.lines()).take_while(|(one, other)| one == other);
    same.count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[Document] =
        &[Document { path: "docs/rules.md", generate: |_| Ok("# Rules\n\nCA\n".into()) }];

    #[test]
    fn a_stale_document_fails_the_check_by_name_until_it_is_rewritten() {
        let root = tempfile::tempdir().unwrap();
        let missing = check(root.path(), RULES).unwrap_err().to_string();
        assert!(missing.starts_with("docs/rules.md: "), "{missing}");

        write(root.path(), RULES).unwrap();
        assert_eq!(check(root.path(), RULES).unwrap(), Outcome::Passed);

        std::fs::write(root.path().join("docs/rules.md"), "# Rules\n\nNY\n").unwrap();
        let stale = check(root.path(), RULES).unwrap_err().to_string();
        assert!(stale.starts_with("docs/rules.md: stale from line 3 on"), "{stale}");

        write(root.path(), RULES).unwrap();
        assert_eq!(check(root.path(), RULES).unwrap(), Outcome::Passed);
    }

    #[test]
    fn an_empty_list_does_not_pass_as_checked() {
        let outcome = check(Path::new("."), &[]).unwrap();
        assert!(matches!(outcome, Outcome::Skipped(_)), "{outcome:?}");
    }

    #[test]
    fn a_generator_that_fails_is_an_error_that_names_the_document() {
        let broken: &[Document] =
            &[Document { path: "docs/rules.md", generate: |_| bail!("no state has a rule") }];
        let error = format!("{:#}", check(Path::new("."), broken).unwrap_err());
        assert_eq!(error, "cannot generate docs/rules.md: no state has a rule");
    }
}
