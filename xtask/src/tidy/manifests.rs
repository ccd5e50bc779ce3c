//! Every crate inherits the lints of the workspace: without the two lines cargo checks nothing and
//! says nothing.

use anyhow::{Context as _, Result};

use super::{Problem, Tree, Workspace};

pub(super) fn check(workspace: &Workspace, tree: &Tree, problems: &mut Vec<Problem>) -> Result<()> {
    for member in &workspace.members {
        let file = format!("{}/Cargo.toml", member.folder);
        let inherits = inherits_lints(&tree.read(&file)?);
        if !inherits.with_context(|| format!("cannot parse {file}"))? {
            let message =
                "does not inherit the workspace's lints; add `[lints]` with `workspace = true`";
            problems.push(Problem::new("lints", file, message));
        }
    }
    Ok(())
}

fn inherits_lints(manifest: &str) -> Result<bool> {
    let manifest: toml::Table = manifest.parse()?;
    let inherited = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    Ok(inherited.and_then(toml::Value::as_bool).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_inherited_however_it_is_written() {
        for (manifest, expected) in [
            ("[lints]\nworkspace = true", true),
            ("lints.workspace = true\n[package]\nname = \"a\"", true),
            ("lints = { workspace = true }", true),
            ("[package]\nname = \"a\"", false),
            ("[lints]\nworkspace = false", false),
            ("[lints.clippy]\npedantic = \"warn\"", false),
            ("# [lints]\n# workspace = true", false),
        ] {
            assert_eq!(inherits_lints(manifest).unwrap(), expected, "{manifest}");
        }
    }
}
