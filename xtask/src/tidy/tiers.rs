//! Rooms and directions: a crate depends only on crates of lower tiers.
//!
//! The table stands here and not in the crates' manifests: the rooms are seen side by side, and a
//! crate cannot move itself up in the same change that makes it reach too far without touching the
//! gate. A new crate needs a line here, which is the moment to ask where it belongs.

use super::{Dependency, Kind, Problem, Workspace};

const RULE: &str = "tiers";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// 0 to 3. Normal and build dependencies point to lower tiers only. Tier 3 are the doors: what
    /// users start or link to, and what therefore no crate depends on, not even in tests.
    Tier(u8),
    /// Only ever a dev-dependency.
    ForTests,
}

const DOOR: Room = Room::Tier(3);

/// Every crate that `crates/` holds or will hold.
const ROOMS: &[(&str, Room)] = &[
    ("curfew-engine", Room::Tier(0)),
    ("libsql-link", Room::Tier(0)),
    ("libsql-pages", Room::Tier(0)),
    ("terminal", Room::Tier(0)),
    ("curfew-store", Room::Tier(1)),
    ("libsql-diff", Room::Tier(1)),
    ("curfew-app", Room::Tier(2)),
    ("turso-sync", Room::Tier(2)),
    ("curfew", DOOR),
    ("curfew-server", DOOR),
    ("turso-ffi", DOOR),
    ("testkit", Room::ForTests),
];

fn room(name: &str) -> Option<Room> {
    ROOMS.iter().find(|(declared, _)| *declared == name).map(|&(_, room)| room)
}

/// Members outside of `crates/` (this program, fuzzing) have no room: they may use every crate but
/// doors, and no crate may use them.
pub(super) fn check(workspace: &Workspace, problems: &mut Vec<Problem>) {
    let is_member = |name: &str| workspace.members.iter().any(|member| member.name == name);
    for member in &workspace.members {
        let own = room(&member.name);
        if own.is_none() && member.folder.starts_with("crates/") {
            problems.push(Problem::new(
                RULE,
                &member.folder,
                "no tier is declared for this crate; add it to ROOMS in xtask/src/tidy/tiers.rs",
            ));
            continue;
        }
        for dependency in &member.dependencies {
            if is_member(&dependency.name)
                && let Some(why) = objection(own, dependency)
            {
                let message = format!("depends on {}: {why}", dependency.name);
                problems.push(Problem::new(RULE, format!("{}/Cargo.toml", member.folder), message));
            }
        }
    }
}

/// Why a crate in the room `own` may not have this dependency on another crate of the workspace.
fn objection(own: Option<Room>, dependency: &Dependency) -> Option<String> {
    let dev = dependency.kind == Kind::Dev;
    match (own, room(&dependency.name)) {
        (_, Some(DOOR)) => Some("it is a door, and nothing depends on a door".into()),
        (_, Some(Room::ForTests)) if !dev => Some("it may only be a dev-dependency".into()),
        (Some(_), None) => Some("it has no tier".into()),
        (Some(Room::Tier(own)), Some(Room::Tier(other))) if !dev && other >= own => Some(format!(
            "a crate of tier {own} may only depend on lower tiers, and that one is of tier {other}"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, workspace};
    use super::*;

    /// The objections to the first crate's dependency on the second.
    fn check_one(from: &str, to: &str, kind: Kind) -> Vec<String> {
        let dependencies = [(to, kind)];
        let workspace = workspace(&[(from, &dependencies), (to, &[])]);
        let mut problems = Vec::new();
        check(&workspace, &mut problems);
        assert!(problems.iter().all(|one| one.place == format!("crates/{from}/Cargo.toml")));
        problems.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn a_crate_depends_only_on_lower_tiers() {
        for (from, to, allowed) in [
            ("curfew-store", "curfew-engine", true),
            ("curfew", "curfew-engine", true),
            ("turso-sync", "libsql-diff", true),
            ("curfew-engine", "curfew-store", false),
            ("curfew-store", "libsql-diff", false),
            ("libsql-link", "curfew-engine", false),
            ("curfew-app", "turso-sync", false),
            ("testkit", "curfew-store", true),
        ] {
            for kind in [Kind::Normal, Kind::Build] {
                assert_eq!(check_one(from, to, kind).is_empty(), allowed, "{from} on {to}");
            }
        }
    }

    #[test]
    fn dev_dependencies_are_free_of_tiers() {
        assert!(check_one("curfew-engine", "curfew-store", Kind::Dev).is_empty());
        assert!(check_one("curfew-app", "turso-sync", Kind::Dev).is_empty());
    }

    #[test]
    fn nothing_depends_on_a_door() {
        for from in ["curfew-server", "curfew-app", "testkit", "turso-ffi"] {
            for kind in [Kind::Normal, Kind::Build, Kind::Dev] {
                let objections = check_one(from, "curfew", kind);
                assert_eq!(objections.len(), 1, "{from}");
                assert!(objections[0].contains("door"), "{}", objections[0]);
            }
        }
    }

    #[test]
    fn testkit_is_only_a_dev_dependency() {
        assert!(check_one("curfew-engine", "testkit", Kind::Dev).is_empty());
        for kind in [Kind::Normal, Kind::Build] {
            assert_eq!(check_one("curfew-store", "testkit", kind).len(), 1);
        }
    }

    #[test]
    fn a_crate_without_a_declared_tier_is_a_problem() {
        let mut problems = Vec::new();
        check(&workspace(&[("curfew-surprise", &[])]), &mut problems);
        assert_eq!(places(&problems), ["crates/curfew-surprise"]);
    }

    #[test]
    fn members_outside_of_crates_use_crates_and_are_used_by_none() {
        let uses_engine = [("curfew-engine", Kind::Normal)];
        let uses_xtask = [("xtask", Kind::Normal)];
        let mut workspace = workspace(&[("xtask", &uses_engine), ("curfew-engine", &uses_xtask)]);
        workspace.members[0].folder = "xtask".into();
        let mut problems = Vec::new();
        check(&workspace, &mut problems);
        assert_eq!(places(&problems), ["crates/curfew-engine/Cargo.toml"]);
    }
}
