//! Changing campaigns: what is written, what is on record, what is refused.

use std::collections::BTreeMap;

use curfew_engine::Day;
use curfew_store::{
    CampaignChange, CampaignEditor, CampaignError, CampaignSettings, Database, InstanceFields,
    NewTarget, Removal, TargetOutcome, TypeFields,
};

use crate::fixture::{CONTACTS, Folder, NOW, read_write};

const PEOPLE: &str = "INSERT INTO contacts (id, email, zip_code) VALUES
  (1, 'ann@example.com', '90210'), (2, ' Bob@Example.com ', '60601'),
  (3, 'twins@example.com', '60601'), (4, 'TWINS@example.com', '60601');";

fn office() -> (Folder, Database) {
    let folder = Folder::new();
    let mut db = read_write(&folder.file(&format!("{CONTACTS}{PEOPLE}")));
    db.migrate(NOW).unwrap();
    (folder, db)
}

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn rate_increase() -> TypeFields {
    TypeFields { days_before_event: Some(14), priority: Some(5), ..TypeFields::default() }
}

fn may() -> InstanceFields {
    InstanceFields {
        campaign_type: Some("rate_increase".to_owned()),
        instance_name: Some("May".to_owned()),
        email_template: Some(Some("rates".to_owned())),
        ..InstanceFields::default()
    }
}

/// What was changed, as `entity id field old -> new`, with `!` where rescheduling is required.
fn text(changes: &[CampaignChange]) -> Vec<String> {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    changes
        .iter()
        .map(|change| {
            let mark = if change.requires_rescheduling { "!" } else { "" };
            format!(
                "{} {} {} {} -> {}{mark}",
                change.entity,
                change.entity_id,
                change.field,
                value(&change.old_value),
                value(&change.new_value)
            )
        })
        .collect()
}

fn edit<T>(
    db: &Database,
    change: impl FnOnce(&mut CampaignEditor<'_>) -> Result<T, CampaignError>,
) -> Result<(T, Vec<String>), CampaignError> {
    let mut editor = db.edit_campaigns("ann", NOW)?;
    let result = change(&mut editor)?;
    Ok((result, text(&editor.commit()?)))
}

/// A type with an instance, whose id is 1.
fn campaign(db: &Database) {
    edit(db, |editor| {
        editor.add_type("rate_increase", &rate_increase())?;
        editor.add_instance(&may())
    })
    .unwrap();
}

fn commit_message(db: &Database) {
    db.connection()
        .execute_batch(
            "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date,
               scheduled_send_time, status, campaign_instance_id)
             VALUES (1, 'rate_increase', '2026-11-01', '08:30:00', 'delivered', 1)",
        )
        .unwrap();
}

#[test]
fn every_field_of_a_change_is_on_record_with_old_and_new_value() {
    let (_folder, db) = office();
    let (id, changes) = edit(&db, |editor| {
        editor.add_type("rate_increase", &rate_increase())?;
        editor.add_instance(&may())
    })
    .unwrap();
    assert_eq!(id, 1);
    assert_eq!(
        changes,
        [
            "campaign_type rate_increase respect_exclusion_windows - -> true",
            "campaign_type rate_increase enable_followups - -> true",
            "campaign_type rate_increase days_before_event - -> 14",
            "campaign_type rate_increase target_all_contacts - -> false",
            "campaign_type rate_increase priority - -> 5",
            "campaign_type rate_increase active - -> true",
            "campaign_instance 1 campaign_type - -> rate_increase!",
            "campaign_instance 1 instance_name - -> May",
            "campaign_instance 1 email_template - -> rates!",
        ]
    );
    let ((), changes) = edit(&db, |editor| {
        editor.edit_type("Rate_Increase", &TypeFields { active: Some(false), ..rate_increase() })
    })
    .unwrap();
    assert_eq!(changes, ["campaign_type rate_increase active true -> false!"]);

    let log = db.campaign_log(None, None, 100).unwrap();
    assert_eq!(log.len(), 10);
    let last = log.last().unwrap();
    assert_eq!(last.changed_by.as_deref(), Some("ann"));
    assert_eq!(last.changed_at.as_deref(), Some(NOW));
    assert_eq!(
        (last.old_value.as_deref(), last.new_value.as_deref()),
        (Some("true"), Some("false"))
    );
    assert_eq!(last.requires_rescheduling, Some(true));
    assert_eq!(db.campaign_log(Some("campaign_instance"), Some("1"), 100).unwrap().len(), 3);
}

#[test]
fn a_change_to_what_is_so_already_writes_nothing() {
    let (_folder, db) = office();
    campaign(&db);
    let fields = InstanceFields { metadata: Some(None), ..may() };
    let ((), changes) = edit(&db, |editor| {
        editor.edit_type("rate_increase", &rate_increase())?;
        editor.edit_instance(1, &fields)
    })
    .unwrap();
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn metadata_requires_rescheduling_where_it_overrides_a_setting() {
    let (_folder, db) = office();
    campaign(&db);
    let set = |metadata: &str| {
        let metadata = Some(Some(metadata.to_owned()));
        let fields = InstanceFields { metadata, ..InstanceFields::default() };
        edit(&db, |editor| editor.edit_instance(1, &fields)).map(|((), changes)| changes)
    };
    assert!(set(r#"{"color": 1}"#).unwrap()[0].ends_with("{\"color\": 1}"));
    assert!(set(r#"{"color": 1, "priority": 2}"#).unwrap()[0].ends_with('!'));
    assert!(set(r#"{ "priority":2,"color":1 }"#).unwrap().is_empty());
    for (bad, said) in [("[1]", "not a JSON object"), (r#"{"priority": "high"}"#, "whole number")] {
        let error = set(bad).unwrap_err();
        assert!(matches!(error, CampaignError::Unsound { .. }));
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn what_cannot_be_is_refused_and_nothing_of_it_is_written() {
    let (_folder, db) = office();
    campaign(&db);
    let before = db.campaign_log(None, None, 1000).unwrap();
    let refuse = |change: &dyn Fn(&mut CampaignEditor<'_>) -> Result<(), CampaignError>| {
        edit(&db, |editor| change(editor)).unwrap_err().to_string()
    };
    let said = refuse(&|editor| editor.edit_type("rate_incraese", &rate_increase()));
    assert_eq!(said, "there is no campaign type `rate_incraese`; did you mean `rate_increase`?");
    let said = refuse(&|editor| editor.add_type("RATE_INCREASE", &rate_increase()));
    assert!(said.contains("already"), "{said}");
    let said = refuse(&|editor| editor.add_instance(&may()).map(|_| ()));
    assert!(said.contains("with the id 1"), "{said}");
    let said = refuse(&|editor| editor.add_type(" x", &rate_increase()));
    assert!(said.contains("blanks"), "{said}");
    let said = refuse(&|editor| editor.remove_type("rate_increase").map(|_| ()));
    assert!(said.contains("has 1 instances"), "{said}");
    let said = refuse(&|editor| {
        let dates = InstanceFields {
            active_start_date: Some(Some(day("2027-02-01"))),
            active_end_date: Some(Some(day("2027-01-31"))),
            ..InstanceFields::default()
        };
        editor.edit_instance(1, &dates)
    });
    assert!(said.contains("is before"), "{said}");
    assert_eq!(db.campaign_log(None, None, 1000).unwrap(), before);
}

#[test]
fn removing_leaves_the_old_values_on_record() {
    let (_folder, db) = office();
    campaign(&db);
    let new = NewTarget { contact_id: Some(1), email: None, trigger_date: day("2027-05-01") };
    edit(&db, |editor| editor.add_targets(1, &[new])).unwrap();
    let (removal, changes) =
        edit(&db, |editor| editor.remove_instance(1, day("2026-11-20"))).unwrap();
    assert_eq!(removal, Removal::Removed);
    assert_eq!(
        changes,
        [
            "campaign_target 1/1 trigger_date 2027-05-01 -> -!",
            "campaign_target 1/1 status pending -> -!",
            "campaign_instance 1 campaign_type rate_increase -> -!",
            "campaign_instance 1 instance_name May -> -",
            "campaign_instance 1 email_template rates -> -!",
        ]
    );
    let (removal, _) = edit(&db, |editor| editor.remove_type("rate_increase")).unwrap();
    assert_eq!(removal, Removal::Removed);
    assert!(db.campaign_types().unwrap().is_empty());
    // The id of the removed instance is not used again.
    campaign_again(&db);
}

fn campaign_again(db: &Database) {
    let (id, _) = edit(db, |editor| {
        editor.add_type("rate_increase", &rate_increase())?;
        editor.add_instance(&may())
    })
    .unwrap();
    assert_eq!(id, 2);
}

#[test]
fn what_has_committed_messages_is_deactivated_instead() {
    let (_folder, db) = office();
    campaign(&db);
    let new = NewTarget { contact_id: Some(1), email: None, trigger_date: day("2026-11-15") };
    edit(&db, |editor| editor.add_targets(1, &[new])).unwrap();
    commit_message(&db);
    let kept = Removal::Deactivated { committed: 1 };

    let (removal, changes) = edit(&db, |editor| editor.remove_target(1, 1, None)).unwrap();
    assert_eq!((removal, changes.len()), (kept, 0));
    let (removal, changes) =
        edit(&db, |editor| editor.remove_instance(1, day("2026-11-20"))).unwrap();
    assert_eq!(removal, kept);
    assert_eq!(changes, ["campaign_instance 1 active_end_date - -> 2026-11-19!"]);
    let (_, changes) = edit(&db, |editor| editor.remove_instance(1, day("2026-11-30"))).unwrap();
    assert!(changes.is_empty(), "an instance that has ended keeps its end: {changes:?}");
    let (removal, changes) = edit(&db, |editor| editor.remove_type("rate_increase")).unwrap();
    assert_eq!(removal, kept);
    assert_eq!(changes, ["campaign_type rate_increase active true -> false!"]);
    assert!(!db.campaigns().unwrap().0[0].active);
}

#[test]
fn targets_are_found_by_id_and_address_and_are_added_once() {
    let (_folder, db) = office();
    campaign(&db);
    db.connection()
        .execute(
            "INSERT INTO contact_campaigns (contact_id, campaign_instance_id) VALUES (2, 1)",
            [],
        )
        .unwrap();
    let on = day("2027-05-01");
    let new = [
        NewTarget { contact_id: Some(1), email: None, trigger_date: on },
        NewTarget { contact_id: None, email: Some("ANN@example.com"), trigger_date: on },
        NewTarget { contact_id: None, email: Some("ann@example.com"), trigger_date: on + 30 },
        NewTarget { contact_id: None, email: Some("bob@example.com"), trigger_date: on },
        NewTarget { contact_id: None, email: Some("twins@example.com"), trigger_date: on },
        NewTarget { contact_id: Some(3), email: Some("twins@example.com"), trigger_date: on },
        NewTarget { contact_id: Some(1), email: Some("bob@example.com"), trigger_date: on },
        NewTarget { contact_id: Some(9), email: None, trigger_date: on },
        NewTarget { contact_id: None, email: Some("nobody"), trigger_date: on },
    ];
    let (outcomes, changes) = edit(&db, |editor| editor.add_targets(1, &new)).unwrap();
    assert_eq!(
        outcomes,
        [
            TargetOutcome::Added { contact_id: 1 },
            TargetOutcome::Unchanged { contact_id: 1 },
            TargetOutcome::Added { contact_id: 1 },
            TargetOutcome::Dated { contact_id: 2 },
            TargetOutcome::SeveralContacts { contact_ids: vec![3, 4] },
            TargetOutcome::Added { contact_id: 3 },
            TargetOutcome::OtherEmail { contact_id: 1 },
            TargetOutcome::UnknownContact,
            TargetOutcome::UnknownContact,
        ]
    );
    assert_eq!(changes.len(), 4);
    let (_, changes) = edit(&db, |editor| editor.add_targets(1, &new)).unwrap();
    assert!(changes.is_empty(), "{changes:?}");
    let targets = db.campaign_targets(Some(1)).unwrap();
    assert_eq!(targets.len(), 4);
    assert!(targets.iter().all(|target| target.status.as_deref() == Some("pending")));
    let (_, changes) = edit(&db, |editor| editor.remove_target(1, 1, Some(on))).unwrap();
    assert_eq!(changes[0], "campaign_target 1/1 trigger_date 2027-05-01 -> -!");
    assert_eq!(db.campaign_targets(Some(1)).unwrap().len(), 3);
}

/// A configuration that changes the type, adds another, changes the instance and adds two.
fn configuration() -> CampaignSettings {
    let named = |campaign_type: &str, name: &str| InstanceFields {
        campaign_type: Some(campaign_type.to_owned()),
        instance_name: Some(name.to_owned()),
        email_template: Some(None),
        sms_template: Some(None),
        active_start_date: Some(Some(day("2027-01-01"))),
        active_end_date: Some(None),
        metadata: Some(Some(r#"{"priority":3}"#.to_owned())),
    };
    let all = |days| TypeFields {
        respect_exclusion_windows: Some(false),
        enable_followups: Some(true),
        days_before_event: Some(days),
        target_all_contacts: Some(true),
        priority: Some(10),
        active: Some(true),
    };
    CampaignSettings {
        types: BTreeMap::from([
            ("Rate_Increase".to_owned(), all(21)),
            ("blast".to_owned(), all(0)),
        ]),
        instances: vec![
            named("rate_increase", "May"),
            named("BLAST", "Spring"),
            named("unknown", "Lost"),
        ],
    }
}

#[test]
fn a_dry_run_sees_the_campaigns_that_a_run_makes() {
    let (_folder, db) = office();
    campaign(&db);
    let settings = configuration();
    let before = db.campaign_log(None, None, 1000).unwrap();
    let foreseen = db.campaigns_with(&settings).unwrap();
    assert_eq!(db.campaign_log(None, None, 1000).unwrap(), before, "reading writes nothing");

    let changes = db.apply_campaign_settings(&settings, "configuration file", NOW).unwrap();
    assert!(!changes.is_empty());
    assert_eq!(db.campaigns().unwrap(), foreseen);
    assert_eq!(db.campaigns_with(&settings).unwrap(), foreseen);
    let (campaigns, problems) = foreseen;
    assert_eq!(campaigns.iter().map(|it| it.instance_id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((campaigns[0].days_before_event, campaigns[0].priority), (21, 3));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].instance_id, 3);
}

#[test]
fn a_dry_run_needs_no_tables() {
    let folder = Folder::new();
    let db = read_write(&folder.file(CONTACTS));
    let (campaigns, problems) = db.campaigns_with(&configuration()).unwrap();
    assert_eq!((campaigns.len(), problems.len()), (2, 1));
}

#[test]
fn an_unchanged_configuration_logs_nothing() {
    let (_folder, db) = office();
    let settings = configuration();
    let first = db.apply_campaign_settings(&settings, "configuration file", NOW).unwrap();
    assert!(first.iter().any(|change| change.field == "days_before_event"));
    let log = db.campaign_log(None, None, 1000).unwrap();
    assert_eq!(log.len(), first.len());
    let again = db.apply_campaign_settings(&settings, "configuration file", NOW).unwrap();
    assert!(again.is_empty(), "{:?}", text(&again));
    assert_eq!(db.campaign_log(None, None, 1000).unwrap(), log);
}

#[test]
fn what_a_configuration_does_not_name_stays() {
    let (_folder, db) = office();
    campaign(&db);
    let types = BTreeMap::from([("blast".to_owned(), rate_increase())]);
    let settings = CampaignSettings { types, instances: Vec::new() };
    db.apply_campaign_settings(&settings, "configuration file", NOW).unwrap();
    assert_eq!(db.campaign_types().unwrap().len(), 2);
    assert_eq!(
        db.campaign_type("rate_increase").unwrap().settings["priority"].as_deref(),
        Some("5")
    );
    assert_eq!(db.campaign_instances().unwrap().len(), 1);
}
