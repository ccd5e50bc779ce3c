use curfew_engine::Campaign;
use curfew_store::{Access, Database};

use crate::fixture::{CONTACTS, Folder, NOW, day, read_write};

const TYPES: &str = "
CREATE TABLE campaign_types (name TEXT PRIMARY KEY, respect_exclusion_windows BOOLEAN,
  enable_followups BOOLEAN, days_before_event INTEGER, target_all_contacts BOOLEAN,
  priority INTEGER, active BOOLEAN);
CREATE TABLE campaign_instances (id INTEGER PRIMARY KEY, campaign_type TEXT, instance_name TEXT,
  email_template TEXT, sms_template TEXT, active_start_date DATE, active_end_date DATE,
  metadata TEXT);
INSERT INTO campaign_types VALUES
  ('rate_increase', 1, 0, 14, 0, 5, 1),
  ('Blast', 0, 'TRUE', -3, 1, 60, 1),
  ('bare', NULL, NULL, NULL, NULL, NULL, NULL),
  ('odd', 'perhaps', 1, 'soon', 'x', 1.5, 1),
  ('off', 1, 1, 0, 0, 1, 0);
";

/// Each instance and each problem, as text.
fn read(instances: &str) -> (Vec<Campaign>, Vec<String>) {
    let folder = Folder::new();
    let sql = format!("{CONTACTS}{TYPES}INSERT INTO campaign_instances VALUES {instances}");
    let db = Database::open(folder.file(&sql), Access::ReadOnly).unwrap();
    let (campaigns, problems) = db.campaigns().unwrap();
    (campaigns, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn an_instance_has_the_settings_of_its_type_and_its_metadata_overrides_them() {
    let (campaigns, problems) = read(
        "(7, 'rate_increase', 'Spring', 'spring', NULL, '2026-02-01', '2026-03-31 00:00:00', NULL),
         (3, 'rate_increase', 'Urgent', 'urgent', 'urgent_sms', NULL, '',
          '{\"priority\": 1, \"days_before_event\": -7, \"enable_followups\": true,
            \"respect_exclusion_windows\": 0, \"color\": {\"priority\": 9}}'),
         (4, 'Blast', 'All', NULL, NULL, '2026-01-01', NULL, '{\"priority\": null}'),
         (5, 'bare', 'Defaults', NULL, NULL, NULL, NULL, 'null'),
         (6, 'off', 'Off', NULL, NULL, NULL, NULL, '')",
    );
    assert!(problems.is_empty(), "{problems:?}");
    let urgent = Campaign {
        instance_id: 3,
        campaign_type: "rate_increase".to_owned(),
        name: "Urgent".to_owned(),
        email_template: Some("urgent".to_owned()),
        sms_template: Some("urgent_sms".to_owned()),
        active_start: None,
        active_end: None,
        active: true,
        respects_windows: false,
        follow_ups: true,
        days_before_event: -7,
        targets_all: false,
        priority: 1,
    };
    let spring = Campaign {
        instance_id: 7,
        name: "Spring".to_owned(),
        email_template: Some("spring".to_owned()),
        sms_template: None,
        active_start: Some(day("2026-02-01")),
        active_end: Some(day("2026-03-31")),
        respects_windows: true,
        follow_ups: false,
        days_before_event: 14,
        priority: 5,
        ..urgent.clone()
    };
    let all = Campaign {
        instance_id: 4,
        campaign_type: "Blast".to_owned(),
        name: "All".to_owned(),
        email_template: None,
        sms_template: None,
        active_start: Some(day("2026-01-01")),
        follow_ups: true,
        days_before_event: -3,
        targets_all: true,
        priority: 60,
        ..urgent.clone()
    };
    let bare = Campaign {
        instance_id: 5,
        campaign_type: "bare".to_owned(),
        name: "Defaults".to_owned(),
        active_start: None,
        respects_windows: true,
        days_before_event: 0,
        targets_all: false,
        priority: 10,
        ..all.clone()
    };
    let off = Campaign {
        instance_id: 6,
        campaign_type: "off".to_owned(),
        name: "Off".to_owned(),
        active: false,
        priority: 1,
        ..bare.clone()
    };
    assert_eq!(campaigns, [urgent, all, bare, off, spring]);
}

#[test]
fn an_instance_with_a_flaw_is_named_and_does_not_take_part() {
    for (instance, problem) in [
        ("'rate_increase', 'A', '', '', NULL, NULL, '{oops'", "its metadata is not a JSON object"),
        ("'rate_increase', 'A', '', '', NULL, NULL, '[1]'", "its metadata is not a JSON object"),
        (
            "'rate_increase', 'A', '', '', NULL, NULL, '{\"priority\": \"high\"}'",
            "its priority is not a whole number",
        ),
        (
            "'rate_increase', 'A', '', '', NULL, NULL, '{\"enable_followups\": \"yes\"}'",
            "its enable_followups is not true or false",
        ),
        (
            "'rate_increase', 'A', '', '', NULL, NULL, '{\"days_before_event\": 40000}'",
            "its days_before_event is not a number of days within a century",
        ),
        (
            "'rate_increase', 'A', '', '', '2026-02-30', NULL, NULL",
            "its active_start_date is not a real date",
        ),
        (
            "'rate_increase', 'A', '', '', NULL, 20260101, NULL",
            "its active_end_date is not of the form YYYY-MM-DD",
        ),
        (
            "'Blast', 'A', '', '', NULL, NULL, NULL",
            "its type targets all contacts, so it needs an active_start_date",
        ),
    ] {
        let (campaigns, problems) = read(&format!("(9, {instance})"));
        assert_eq!(problems, [format!("campaign instance 9 `A` is left out: {problem}")]);
        assert!(!campaigns[0].active, "{problem}");
    }
    let (campaigns, problems) = read("(9, 'nope', 'A', '', '', NULL, NULL, NULL)");
    assert_eq!(problems, ["campaign instance 9 `A` is left out: there is no campaign type `nope`"]);
    assert!(campaigns.is_empty());
    let (campaigns, problems) = read("(9, 'odd', 'A', '', '', NULL, NULL, NULL)");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(!campaigns[0].active);
}

#[test]
fn a_database_without_campaigns_has_none() {
    let folder = Folder::new();
    let mut db = read_write(&folder.file(CONTACTS));
    assert_eq!(db.campaigns().unwrap(), (vec![], vec![]));
    db.migrate(NOW).unwrap();
    assert_eq!(db.campaigns().unwrap(), (vec![], vec![]));
    let sql = "INSERT INTO campaign_types (name) VALUES ('new');
               INSERT INTO campaign_instances (campaign_type, instance_name) VALUES ('new', 'N')";
    db.connection().execute_batch(sql).unwrap();
    let (campaigns, problems) = db.campaigns().unwrap();
    assert!(problems.is_empty());
    let new = &campaigns[0];
    assert!(new.active && new.respects_windows && new.follow_ups && !new.targets_all);
    assert_eq!((new.priority, new.days_before_event), (10, 0));
}
