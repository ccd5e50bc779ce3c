//! A crate is found where its name says, and no name is a drawer for everything.

use super::{Problem, Tree, Workspace};

const RULE: &str = "names";

/// Names that say nothing about what is inside, so that everything ends up there.
const EMPTY_WORDS: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "manager", "managers"];

pub(super) fn is_empty_word(name: &str) -> bool {
    EMPTY_WORDS.contains(&name)
}

pub(super) fn objection(name: &str) -> String {
    format!("`{name}` does not say what is inside; name it after its one idea")
}

/// Modules written inline (`mod utils {`) are seen by [`super::sources`].
pub(super) fn check(workspace: &Workspace, tree: &Tree, problems: &mut Vec<Problem>) {
    for member in &workspace.members {
        let folder = member.folder.rsplit('/').next().unwrap_or_default();
        if folder != member.name {
            let message = format!("the folder of crate {} must bear its name", member.name);
            problems.push(Problem::new(RULE, &member.folder, message));
        }
        if is_empty_word(&member.name) {
            problems.push(Problem::new(RULE, &member.folder, objection(&member.name)));
        }
    }
    for file in tree.with_ending(".rs") {
        let modules = file.trim_end_matches(".rs").split('/');
        for name in modules.filter(|name| is_empty_word(name)) {
            problems.push(Problem::new(RULE, file, objection(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, workspace};
    use super::*;

    fn tree(files: &[&str]) -> Tree {
        Tree { root: "/nowhere".into(), files: files.iter().map(|&file| file.into()).collect() }
    }

    #[test]
    fn a_folder_bears_the_name_of_its_crate() {
        let mut workspace = workspace(&[("curfew-store", &[]), ("curfew-app", &[])]);
        workspace.members[1].folder = "crates/app".into();
        let mut problems = Vec::new();
        check(&workspace, &tree(&[]), &mut problems);
        assert_eq!(places(&problems), ["crates/app"]);
    }

    #[test]
    fn a_crate_is_not_a_drawer() {
        let mut problems = Vec::new();
        check(&workspace(&[("common", &[])]), &tree(&[]), &mut problems);
        assert_eq!(places(&problems), ["crates/common"]);
    }

    #[test]
    fn a_module_is_not_a_drawer() {
        let files = [
            "crates/a/src/calendar.rs",
            "crates/a/src/commonwealth.rs",
            "crates/a/src/helpers/dates.rs",
            "crates/a/src/utils.rs",
            "crates/a/tests/common/mod.rs",
        ];
        let mut problems = Vec::new();
        check(&workspace(&[]), &tree(&files), &mut problems);
        assert_eq!(places(&problems), files[2..]);
    }
}
