//! What the scheduler decides, case by case: every file below `cases/` is a test.
//!
//! `UPDATE_EXPECT=1` rewrites what stands below the line. It says what the program does, not what is
//! right: read it before you commit it.

mod support;

use std::{fmt, path::Path};

use support::{
    case_file::{self, Case},
    differences::differences,
    promises,
};

/// What is wrong, for people: the harness prints errors as `Debug`.
struct Failure(String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

#[expect(clippy::needless_pass_by_value, reason = "the harness calls it so")]
fn check(path: &Path, text: String) -> datatest_stable::Result<()> {
    let name = path.display().to_string();
    let case = case_file::read(&name, &text).map_err(|error| Failure(error.to_string()))?;
    let found = run(&case).map_err(|why| Failure(format!("{name}: {why}")))?;
    if found == case.expected {
        return Ok(());
    }
    if updates_are_wanted() {
        return write(path, &(case.given + &found));
    }
    let differences = differences(&case.expected, &found);
    Err(Failure(format!(
        "{name}: the plan is not the expected one (- expected, + planned)\n\n{differences}"
    ))
    .into())
}

/// Plans the case, and checks on the way what holds for every plan.
fn run(case: &Case) -> Result<String, String> {
    let before = &case.organization;
    let plan = before.plan(usize::MAX);
    let divided = before.plan(1);
    for (whole, part) in plan.contacts.iter().zip(&divided.contacts) {
        if whole.changes != part.changes {
            let (id, whole, part) = (whole.id, &whole.changes, &part.changes);
            return Err(format!(
                "the plan of contact {id} depends on how the work is divided:\n{whole:#?}\n{part:#?}"
            ));
        }
    }
    let mut after = before.clone();
    let effects = after.apply(&plan);
    promises::check(before, &plan, &after)?;
    let again = after.plan(usize::MAX);
    if let Some(contact) = again.contacts.iter().find(|contact| !contact.changes.is_empty()) {
        let (id, changes) = (contact.id, &contact.changes);
        return Err(format!("a second run on the same day changes contact {id}: {changes:#?}"));
    }
    Ok(case.describe(&plan, &after, &effects))
}

#[expect(clippy::disallowed_methods, reason = "the reader of case files, not the engine")]
fn updates_are_wanted() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

#[expect(clippy::disallowed_methods, reason = "the writer of case files, not the engine")]
fn write(path: &Path, text: &str) -> datatest_stable::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(std::fs::write(root.join(path), text)?)
}

datatest_stable::harness! {
    { test = check, root = "cases", pattern = r"\.case$" },
}
