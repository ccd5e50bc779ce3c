//! Changesets and patchsets of SQLite's session extension.

use crate::desk::Desk;

/// `a.db`, and in `b.db` one row came, one went, one changed; the changeset is in `f`.
fn changeset() -> Desk {
    let desk = Desk::new();
    drop(desk.sql(
        "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, weight REAL);
         INSERT INTO t VALUES (1, 'Ann', 1.5), (2, 'Bob', 2.5), (3, 'Cy', NULL)",
    ));
    desk.copy("a.db", "b.db");
    drop(desk.sql(
        "b.db",
        "DELETE FROM t WHERE id = 1; UPDATE t SET weight = 1e999 WHERE id = 2;
         INSERT INTO t VALUES (4, 'Di', x'00ff')",
    ));
    let (stdout, stderr) = desk.ends_with(0, &["diff", "a.db", "b.db", "--changeset", "f"]);
    assert_eq!(stdout, "");
    assert_eq!(stderr, "Wrote f: 1 rows inserted, 1 updated, 1 deleted in 1 table\n");
    desk
}

#[test]
fn a_changeset_leads_there_and_its_inverse_back() {
    let desk = changeset();
    desk.copy("a.db", "c.db");
    let applied = desk.succeeds(&["apply", "f", "c.db"]);
    assert_eq!(applied, "Applied to c.db: 1 rows inserted, 1 updated, 1 deleted\n");
    desk.are_equal("b.db", "c.db");
    desk.succeeds(&["changeset", "invert", "f", "--out", "undo"]);
    desk.succeeds(&["changeset", "apply", "undo", "c.db"]);
    desk.are_equal("a.db", "c.db");
    desk.succeeds(&["changeset", "concat", "f", "undo", "--out", "nothing"]);
    assert_eq!(desk.succeeds(&["changeset", "inspect", "nothing"]), "No changes.\n");
}

#[test]
fn several_changesets_become_one() {
    let desk = changeset();
    desk.copy("b.db", "c.db");
    drop(desk.sql("c.db", "UPDATE t SET name = 'Dora' WHERE id = 4; DELETE FROM t WHERE id = 2"));
    desk.succeeds(&["diff", "b.db", "c.db", "--changeset", "g"]);
    desk.succeeds(&["changeset", "concat", "f", "g", "--out", "both"]);
    desk.succeeds(&["apply", "both", "a.db"]);
    desk.are_equal("a.db", "c.db");
}

#[test]
fn a_changeset_is_listed_as_text_and_as_json() {
    let desk = changeset();
    let text = desk.succeeds(&["changeset", "inspect", "f"]);
    for line in [
        "+ t 0: 4, 1: \"Di\", 2: x'00ff'\n",
        "- t 0: 1, 1: \"Ann\", 2: 1.5\n",
        "~ t 0: 2, 2: 2.5 -> 2: inf\n",
        "changeset, 3 changes\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    let text = desk.succeeds(&["changeset", "inspect", "f", "--limit", "1"]);
    assert!(text.contains("and 2 more changes"), "{text}");
    let json = desk.succeeds(&["changeset", "inspect", "f", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["kind"], "changeset");
    assert_eq!(json["tables"][0]["key"], serde_json::json!([1, 0, 0]));
    let changes = json["changes"].as_array().unwrap();
    let of = |kind: &str| changes.iter().find(|change| change["change"] == kind).unwrap();
    assert_eq!(of("insert")["new"], serde_json::json!({"0": 4, "1": "Di", "2": {"blob": "00ff"}}));
    assert_eq!(of("update")["new"], serde_json::json!({"2": {"real": "Infinity"}}));
    assert_eq!(of("delete")["new"], serde_json::Value::Null);
}

#[test]
fn a_row_that_is_not_as_expected_stops_everything_unless_a_policy_says_otherwise() {
    let desk = changeset();
    drop(desk.sql("a.db", "UPDATE t SET weight = 7 WHERE id = 2"));
    for policy in ["skip", "replace"] {
        desk.copy("a.db", &format!("{policy}.db"));
    }
    desk.fails(1, &["changeset", "apply", "f", "a.db"], "the row holds other values");
    desk.fails(1, &["apply", "f", "a.db"], "the row holds other values");
    let skip = ["changeset", "apply", "f", "skip.db", "--on-conflict", "skip"];
    let (text, _) = desk.ends_with(0, &skip);
    assert!(text.contains("1 skipped, 0 replaced"), "{text}");
    assert!(text.starts_with("t key 2: the row holds other values"), "{text}");
    let dry = ["changeset", "apply", "f", "replace.db", "--on-conflict", "replace"];
    let (json, _) = desk.ends_with(0, &[&dry[..], &["--dry-run", "--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["replaced"], 1);
    assert_eq!(json["conflicts"][0]["found"], 7.0);
    desk.are_equal("a.db", "replace.db");
    desk.ends_with(0, &dry);
    desk.are_equal("b.db", "replace.db");
}

#[test]
fn what_a_changeset_cannot_hold_is_said_even_when_quiet() {
    let desk = changeset();
    drop(desk.sql("b.db", "CREATE TABLE later(x); INSERT INTO later VALUES (1), (2)"));
    let quiet = ["diff", "a.db", "b.db", "--changeset", "f", "--quiet"];
    let (stdout, stderr) = desk.ends_with(1, &quiet);
    assert_eq!(stdout, "");
    assert!(
        stderr.starts_with("warning: left out of the changeset: table later, with 2 row changes"),
        "{stderr}"
    );
}

#[test]
fn a_patchset_is_smaller_and_cannot_be_inverted() {
    let desk = changeset();
    desk.succeeds(&["diff", "a.db", "b.db", "--patchset", "p"]);
    assert!(desk.read("p").len() < desk.read("f").len());
    assert!(desk.succeeds(&["changeset", "inspect", "p"]).contains("patchset, 3 changes"));
    desk.fails(2, &["changeset", "invert", "p", "--out", "undo"], "patchset");
    desk.succeeds(&["apply", "p", "a.db"]);
    desk.are_equal("a.db", "b.db");
}

#[test]
fn what_is_no_changeset_is_refused() {
    let desk = changeset();
    let whole = desk.read("f");
    desk.write("cut", &whole[..whole.len() - 3]);
    desk.write("text", "no changeset at all");
    desk.fails(2, &["changeset", "inspect", "cut"], "cut: byte");
    desk.fails(2, &["apply", "cut", "a.db"], "cut: byte");
    desk.fails(2, &["changeset", "inspect", "text"], "text is not a changeset");
    desk.fails(2, &["changeset", "inspect", "a.db"], "a.db is a database, not a diff");
    desk.fails(2, &["changeset", "invert", "f", "--out", "f"], "f is read");
    desk.fails(2, &["changeset", "concat", "f", "--out", "g"], "2 values required");
}
