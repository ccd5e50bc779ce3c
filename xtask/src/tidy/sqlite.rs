//! One SQLite: two copies in one program have the same symbols, and whichever the linker takes
//! serves both. `libsql-ffi` declares no `links` key, so cargo itself does not object.

use super::{Problem, Workspace};

const RULE: &str = "one-sqlite";

/// The package that carries our SQLite.
const OURS: &str = "libsql-ffi";

/// Other packages that carry or link one.
const OTHERS: &[&str] = &["libsqlite3-sys", "sqlite3-sys", "sqlite3-src", "sqlite-wasm-rs"];

pub(super) fn check(workspace: &Workspace, problems: &mut Vec<Problem>) {
    let mut ours = Vec::new();
    for (name, version) in &workspace.resolved {
        if name == OURS {
            ours.push(version.as_str());
        } else if OTHERS.contains(&name.as_str()) {
            let message = format!(
                "{name} {version} would be a second SQLite beside {OURS}; \
                 find who wants it with: cargo tree --workspace --all-features -i {name}"
            );
            problems.push(Problem::new(RULE, "Cargo.lock", message));
        }
    }
    if ours.len() > 1 {
        let message = format!(
            "{OURS} comes in the versions {}; bring libsql and libsql-rusqlite to the same release",
            ours.join(", ")
        );
        problems.push(Problem::new(RULE, "Cargo.lock", message));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::workspace;
    use super::*;

    fn problems(resolved: &[(&str, &str)]) -> usize {
        let mut workspace = workspace(&[]);
        workspace.resolved =
            resolved.iter().map(|&(name, version)| (name.into(), version.into())).collect();
        let mut problems = Vec::new();
        check(&workspace, &mut problems);
        problems.len()
    }

    #[test]
    fn there_is_at_most_one_sqlite() {
        assert_eq!(problems(&[("serde", "1.0.0"), ("serde", "2.0.0")]), 0);
        assert_eq!(problems(&[("libsql-ffi", "0.10.0"), ("libsql-rusqlite", "0.10.0")]), 0);
        assert_eq!(problems(&[("libsql-ffi", "0.9.30"), ("libsql-ffi", "0.10.0")]), 1);
        assert_eq!(problems(&[("libsql-ffi", "0.10.0"), ("libsqlite3-sys", "0.30.1")]), 1);
        assert_eq!(problems(&[("libsqlite3-sys", "0.30.1")]), 1);
    }
}
