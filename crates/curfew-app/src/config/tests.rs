#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them everywhere")]

use std::{collections::BTreeSet, fs, path::PathBuf};

use curfew_engine::{Decimal, State, rule};
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{keys, *};

fn config(yaml: &str) -> Config {
    Config::parse(yaml, "curfew.yaml").unwrap_or_else(|error| panic!("{error}\n\n{yaml}"))
}

fn check(yaml: &str, expected: &Expect) {
    let error = Config::parse(yaml, "curfew.yaml").expect_err(yaml);
    expected.assert_eq(&format!("{error}\n"));
}

fn rules(config: &Config, state: &str) -> Vec<String> {
    let state = State::from_code(state).unwrap();
    config.plan.rules.of(state).iter().map(ToString::to_string).collect()
}

fn in_project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn what_is_not_given_has_its_default() {
    for empty in
        ["", "\n", "# nothing\n", "---\n", "--- {}", "~", "\u{feff}", "{}", "state_rules:\n"]
    {
        assert_eq!(config(empty), Config::default(), "{empty:?}");
    }
    let sections = "timing_constants:\nstate_rules:\ncampaign_types:\ncampaign_instances:\n\
                    aep_config:\n  years:\n  default_dates:\n";
    assert_eq!(config(sections), Config::default());
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    expect![[r#"
        timezone: America/Chicago
        send_time: "08:30:00"
        batch_size: 10000
        timing_constants:
          birthday_email_days_before: 14
          effective_date_days_before: 30
          pre_window_exclusion_days: 60
          followup_delay_days: 2
          followup_lookback_days: 35
          grace_days: 30
          horizon_days: 366
        frequency_limits:
          max_emails_per_period: 3
          period_days: 30
        load_balancing:
          daily_send_percentage_cap: 0.07
          ed_daily_soft_limit: 15
          ed_smoothing_window_days: 5
          catch_up_spread_days: 7
          overage_threshold: 1.2
          max_overflow_days: 30
        aep_config:
          default_dates: [{month: 9, day: 15}]
          years: []
        priorities:
          birthday: 10
          effective_date: 20
          aep: 30
          post_window: 40
          followup: 50
        templates:
          birthday:
            email: birthday
            sms: birthday_sms
          effective_date:
            email: effective_date
            sms: effective_date_sms
          aep:
            email: aep
            sms: aep_sms
          post_window:
            email: post_window
            sms: post_window_sms
          followup_1_cold:
            email: followup_1_cold
            sms: followup_1_cold_sms
          followup_2_clicked_no_hq:
            email: followup_2_clicked_no_hq
            sms: followup_2_clicked_no_hq_sms
          followup_3_hq_no_yes:
            email: followup_3_hq_no_yes
            sms: followup_3_hq_no_yes_sms
          followup_4_hq_with_yes:
            email: followup_4_hq_with_yes
            sms: followup_4_hq_with_yes_sms
        backup:
          directory: backups
          retention_days: 7
        state_rules:
          AK: []
          AL: []
          AR: []
          AS: []
          AZ: []
          CA: birthday -30..+60
          CO: []
          CT: all year
          DC: []
          DE: []
          FL: []
          FM: []
          GA: []
          GU: []
          HI: []
          IA: []
          ID: birthday -0..+63
          IL: []
          IN: []
          KS: []
          KY: birthday -0..+60
          LA: []
          MA: all year
          MD: birthday -0..+30
          ME: []
          MH: []
          MI: []
          MN: []
          MO: effective date -30..+33
          MP: []
          MS: []
          MT: []
          NC: []
          ND: []
          NE: []
          NH: []
          NJ: []
          NM: []
          NV: birthday from month start -0..+60
          NY: all year
          OH: []
          OK: birthday -0..+60
          OR: birthday -0..+31
          PA: []
          PR: []
          PW: []
          RI: []
          SC: []
          SD: []
          TN: []
          TX: []
          UT: []
          VA: birthday -0..+30
          VI: []
          VT: []
          WA: all year
          WI: []
          WV: []
          WY: []
        campaign_types: {}
        campaign_instances: []
    "#]]
    .assert_eq(&Config::default().to_yaml());
}

#[test]
fn every_key_of_the_specification_is_read() {
    let config = config(
        "timezone: america/new_york
send_time: 21:05:00
batch_size: 500
timing_constants:
  birthday_email_days_before: 7
  effective_date_days_before: 45
  pre_window_exclusion_days: 0
  followup_delay_days: 3
  followup_lookback_days: 20
  grace_days: 14
  horizon_days: 400
frequency_limits: {max_emails_per_period: 2, period_days: 60}
load_balancing:
  daily_send_percentage_cap: '0.0700'
  ed_daily_soft_limit: 9
  ed_smoothing_window_days: 3
  catch_up_spread_days: 4
  overage_threshold: 1
  max_overflow_days: 0
aep_config:
  default_dates: [{month: 10, day: 1}, {day: 29, month: 2}]
  years: [2028, 2026]
priorities: {birthday: -1, effective_date: 9223372036854775807, aep: 0, post_window: 5, followup: 6}
templates:
  birthday: {email: b, sms: 'b sms'}
  followup_4_hq_with_yes: {sms: 'true'}
backup: {directory: /var/backups, retention_days: 30}
",
    );
    let plan = &config.plan;
    assert_eq!(config.timezone_name(), "America/New_York");
    assert_eq!(plan.send_time, "21:05:00");
    assert_eq!(config.batch_size, 500);
    let days = [
        plan.birthday_days_before,
        plan.effective_date_days_before,
        plan.pre_window_days,
        plan.followup_delay_days,
        plan.followup_lookback_days,
        plan.grace_days,
        plan.horizon_days,
        plan.emails_per_period_max,
        plan.period_days,
    ];
    assert_eq!(days, [7, 45, 0, 3, 20, 14, 400, 2, 60]);
    assert_eq!(plan.daily_cap, Decimal::new(7, 2));
    assert_eq!(plan.ed_daily_soft_limit, 9);
    assert_eq!((plan.ed_smoothing_window_days, plan.catch_up_spread_days), (3, 4));
    assert_eq!((plan.overage_threshold, plan.max_overflow_days), (Decimal::new(1, 0), 0));
    assert_eq!(plan.aep_dates, [(2, 29), (10, 1)]);
    assert_eq!(plan.aep_years, [2026, 2028]);
    let priorities = plan.priorities;
    assert_eq!((priorities.birthday, priorities.effective_date), (-1, i64::MAX));
    assert_eq!((priorities.aep, priorities.post_window, priorities.followup), (0, 5, 6));
    assert_eq!(plan.templates.birthday.sms, "b sms");
    assert_eq!(plan.templates.followup_4_hq_with_yes.sms, "true");
    assert_eq!(plan.templates.followup_4_hq_with_yes.email, "followup_4_hq_with_yes");
    assert_eq!(config.backup.directory, "/var/backups");
    assert_eq!(config.backup.retention_days, 30);
}

#[test]
fn an_entry_replaces_the_default_of_its_state_alone() {
    let config = config(
        "state_rules:
  ca: birthday -0..+10
  VA: [birthday -0..+30 until 2026-12-31, 'birthday -0..+60 from 2027-01-01']
  NY: []
  PR:
    - ALL YEAR
",
    );
    assert_eq!(rules(&config, "CA"), ["birthday -0..+10"]);
    let virginia = ["birthday -0..+30 until 2026-12-31", "birthday -0..+60 from 2027-01-01"];
    assert_eq!(rules(&config, "VA"), virginia);
    assert!(rules(&config, "NY").is_empty());
    assert_eq!(rules(&config, "PR"), ["all year"]);
    assert_eq!(rules(&config, "MO"), ["effective date -30..+33"]);
    assert!(rules(&config, "TX").is_empty());
}

#[test]
fn campaigns_are_read_with_their_defaults() {
    let config = config(
        "campaign_types:
  rate_increase: {days_before_event: -14, priority: 1}
  'Open house: May': {target_all_contacts: true, respect_exclusion_windows: false}
  plain:
campaign_instances:
  - campaign_type: rate_increase
    instance_name: May 2027
    active_start_date: 2027-05-01
    active_end_date: '2027-05-31'
    metadata: {priority: 5, enable_followups: false, note: 'é', list: [1, 2.50, no, null, {a: 1e3}]}
  - {campaign_type: stored, instance_name: x, email_template: ~, sms_template: s}
",
    );
    let rate = &config.campaign_types["rate_increase"];
    assert_eq!(
        *rate,
        CampaignType { days_before_event: -14, priority: 1, ..CampaignType::default() }
    );
    assert!(config.campaign_types["Open house: May"].target_all_contacts);
    assert_eq!(config.campaign_types["plain"], CampaignType::default());
    let [may, stored] = &config.campaign_instances[..] else { panic!("{config:?}") };
    assert_eq!(may.active_start_date, Day::from_ymd(2027, 5, 1));
    assert_eq!(may.active_end_date, Day::from_ymd(2027, 5, 31));
    let metadata = serde_json::json!(
        {"priority": 5, "enable_followups": false, "note": "é", "list": [1, 2.5, "no", null, {"a": 1e3}]}
    );
    assert_eq!(serde_json::Value::Object(may.metadata.clone().unwrap()), metadata);
    assert_eq!(
        (stored.email_template.as_deref(), stored.sms_template.as_deref()),
        (None, Some("s"))
    );
    assert_eq!(stored.metadata, None);
}

#[test]
fn unknown_keys_are_refused_with_a_hint() {
    check(
        "batch_sise: 10\n",
        &expect![[r#"
        curfew.yaml:1:1: batch_sise: there is no such key
          1 | batch_sise: 10
            | ^^^^^^^^^^
            = did you mean `batch_size`?
    "#]],
    );
    check(
        "timing_constants:\n  grace_dais: 30\n",
        &expect![[r#"
        curfew.yaml:2:3: timing_constants.grace_dais: there is no such key
          2 |   grace_dais: 30
            |   ^^^^^^^^^^
            = did you mean `grace_days`?
    "#]],
    );
    check(
        "grace_days: 30\n",
        &expect![[r#"
        curfew.yaml:1:1: grace_days: there is no such key
          1 | grace_days: 30
            | ^^^^^^^^^^
            = `grace_days` belongs below `timing_constants`
    "#]],
    );
    check(
        "templates:\n  birthday:\n    subject: x\n",
        &expect![[r#"
        curfew.yaml:3:5: templates.birthday.subject: there is no such key
          3 |     subject: x
            |     ^^^^^^^
            = the keys here are email, sms
    "#]],
    );
    check(
        "templates:\n  birthday:\n    grace_days: 3\n",
        &expect![[r#"
        curfew.yaml:3:5: templates.birthday.grace_days: there is no such key
          3 |     grace_days: 3
            |     ^^^^^^^^^^
            = `grace_days` belongs below `timing_constants`
    "#]],
    );
    check(
        "timing_constants.grace_days: 30\n",
        &expect![[r#"
        curfew.yaml:1:1: timing_constants.grace_days: there is no such key
          1 | timing_constants.grace_days: 30
            | ^^^^^^^^^^^^^^^^^^^^^^^^^^^
            = `grace_days` belongs below `timing_constants`
    "#]],
    );
    check(
        "campaign_types: {rate: {prioritie: 3}}\n",
        &expect![[r#"
        curfew.yaml:1:25: campaign_types.rate.prioritie: there is no such key
          1 | campaign_types: {rate: {prioritie: 3}}
            |                         ^^^^^^^^^
            = did you mean `priority`?
    "#]],
    );
    check(
        "Timezone: UTC\n",
        &expect![[r#"
        curfew.yaml:1:1: Timezone: there is no such key
          1 | Timezone: UTC
            | ^^^^^^^^
            = did you mean `timezone`?
    "#]],
    );
    check(
        "years: []\n",
        &expect![[r#"
        curfew.yaml:1:1: years: there is no such key
          1 | years: []
            | ^^^^^
            = `years` belongs below `aep_config`
    "#]],
    );
}

#[test]
fn repeated_keys_are_refused() {
    check(
        "batch_size: 10\n\nbatch_size: 20\n",
        &expect![[r#"
        curfew.yaml:3:1: batch_size: is given twice, first on line 1
          3 | batch_size: 20
            | ^^^^^^^^^^
    "#]],
    );
    check(
        "state_rules:\n  CA: []\n  ca: []\n",
        &expect![[r#"
        curfew.yaml:3:3: state_rules.ca: the rules of CA are given twice
          3 |   ca: []
            |   ^^
    "#]],
    );
    check(
        "campaign_types:\n  Rate:\n  rate:\n",
        &expect![[r#"
        curfew.yaml:3:3: campaign_types.rate: differs from `Rate` in capitals only
          3 |   rate:
            |   ^^^^
            = the kind of its messages is written in lower case
    "#]],
    );
    check(
        "campaign_instances:\n- {campaign_type: a, instance_name: x}\n- {campaign_type: A, instance_name: x}\n",
        &expect![[r#"
            curfew.yaml:3:3: campaign_instances[1]: the instance `x` of `A` is given twice, first as campaign_instances[0]
              3 | - {campaign_type: A, instance_name: x}
                |   ^
        "#]],
    );
    check(
        "campaign_instances:\n- {campaign_type: a, instance_name: x, metadata: {b: 1, b: 2}}\n",
        &expect![[r#"
            curfew.yaml:2:57: campaign_instances[0].metadata.b: is given twice, first on line 2
              2 | - {campaign_type: a, instance_name: x, metadata: {b: 1, b: 2}}
                |                                                         ^
        "#]],
    );
}

#[test]
fn a_wrong_type_is_refused() {
    check(
        "batch_size: many\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found `many`
          1 | batch_size: many
            |             ^^^^
    "#]],
    );
    check(
        "batch_size: [1]\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found a list
          1 | batch_size: [1]
            |             ^
    "#]],
    );
    check(
        "batch_size: {a: 1}\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found keys and values
          1 | batch_size: {a: 1}
            |             ^
    "#]],
    );
    check(
        "batch_size:\n",
        &expect![[r#"
            curfew.yaml:1:1: batch_size: expected a whole number from 1 to 1000000, found nothing
              1 | batch_size:
                | ^^^^^^^^^^
                = write a value, or leave the key out
        "#]],
    );
    check(
        "timezone: null\n",
        &expect![[r#"
            curfew.yaml:1:11: timezone: expected the name of a time zone, such as `America/Chicago`, found nothing
              1 | timezone: null
                |           ^^^^
                = write a value, or leave the key out
        "#]],
    );
    check(
        "timing_constants: 30\n",
        &expect![[r#"
        curfew.yaml:1:19: timing_constants: expected keys and values, such as `key: value`, found `30`
          1 | timing_constants: 30
            |                   ^^
    "#]],
    );
    check(
        "- timezone\n",
        &expect![[r#"
        curfew.yaml:1:1: expected keys and values, such as `key: value`, found a list
          1 | - timezone
            | ^
    "#]],
    );
    check(
        "hello\n",
        &expect![[r#"
        curfew.yaml:1:1: expected keys and values, such as `key: value`, found `hello`
          1 | hello
            | ^^^^^
    "#]],
    );
    check(
        "templates: {birthday: birthday}\n",
        &expect![[r#"
        curfew.yaml:1:23: templates.birthday: expected keys and values, such as `key: value`, found `birthday`
          1 | templates: {birthday: birthday}
            |                       ^^^^^^^^
    "#]],
    );
    check(
        "templates: {birthday: {email: 5, sms: true}}\n",
        &expect![[r#"
        curfew.yaml:1:31: templates.birthday.email: expected a text of 1 to 255 characters, found `5`
          1 | templates: {birthday: {email: 5, sms: true}}
            |                               ^
            = write it in quotes to have it as a text

        curfew.yaml:1:39: templates.birthday.sms: expected a text of 1 to 255 characters, found `true`
          1 | templates: {birthday: {email: 5, sms: true}}
            |                                       ^^^^
            = write it in quotes to have it as a text

        curfew.yaml: 2 problems
    "#]],
    );
    check(
        "backup: {directory: ' backups'}\n",
        &expect![[r#"
        curfew.yaml:1:21: backup.directory: expected a text of 1 to 1000 characters, found the text " backups"
          1 | backup: {directory: ' backups'}
            |                     ^^^^^^^^^^
            = remove the space at its beginning or end
    "#]],
    );
    check(
        "backup: {directory: \"a\\nb\"}\n",
        &expect![[r#"
        curfew.yaml:1:21: backup.directory: expected a text of 1 to 1000 characters, found the text "a b"
          1 | backup: {directory: "a\nb"}
            |                     ^^^^^^
            = remove line breaks and other control characters
    "#]],
    );
    check(
        "campaign_types: {rate: {active: yes}}\n",
        &expect![[r#"
        curfew.yaml:1:33: campaign_types.rate.active: expected `true` or `false`, found `yes`
          1 | campaign_types: {rate: {active: yes}}
            |                                 ^^^
            = write `true`
    "#]],
    );
    check(
        "campaign_types: {rate: {active: 'true'}}\n",
        &expect![[r#"
        curfew.yaml:1:33: campaign_types.rate.active: expected `true` or `false`, found the text "true"
          1 | campaign_types: {rate: {active: 'true'}}
            |                                 ^^^^^^
            = write `true` without quotes
    "#]],
    );
    check(
        "campaign_types: [rate]\n",
        &expect![[r#"
        curfew.yaml:1:17: campaign_types: expected keys and values, such as `key: value`, found a list
          1 | campaign_types: [rate]
            |                 ^
    "#]],
    );
    check(
        "campaign_types: {'': {}}\n",
        &expect![[r#"
        curfew.yaml:1:18: campaign_types.: the name must be a text of 1 to 100 characters
          1 | campaign_types: {'': {}}
            |                  ^^
    "#]],
    );
    check(
        "campaign_instances: {campaign_type: rate}\n",
        &expect![[r#"
        curfew.yaml:1:21: campaign_instances: expected a list of campaign instances, found keys and values
          1 | campaign_instances: {campaign_type: rate}
            |                     ^
    "#]],
    );
    check(
        "? [a, b]\n: 1\n",
        &expect![[r#"
        curfew.yaml:1:3: a key must be a word, not a list or a mapping
          1 | ? [a, b]
            |   ^
    "#]],
    );
}

#[test]
fn whole_numbers_are_plain_digits() {
    check(
        "batch_size: \"10\"\n",
        &expect![[r#"
            curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found the text "10"
              1 | batch_size: "10"
                |             ^^^^
                = write `10` without quotes
        "#]],
    );
    check(
        "batch_size: 10_000\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found `10_000`
          1 | batch_size: 10_000
            |             ^^^^^^
            = write `10000`
    "#]],
    );
    check(
        "batch_size: 010\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found `010`
          1 | batch_size: 010
            |             ^^^
            = write `10`
    "#]],
    );
    check(
        "batch_size: 10.0\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found `10.0`
          1 | batch_size: 10.0
            |             ^^^^
            = write `10`
    "#]],
    );
    check(
        "batch_size: 10.5\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found `10.5`
          1 | batch_size: 10.5
            |             ^^^^
    "#]],
    );
    check(
        "batch_size: 1e4\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found `1e4`
          1 | batch_size: 1e4
            |             ^^^
    "#]],
    );
    check(
        "batch_size: 99999999999999999999\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found `99999999999999999999`
          1 | batch_size: 99999999999999999999
            |             ^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
    check(
        "batch_size: -5\n",
        &expect![[r#"
        curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found `-5`
          1 | batch_size: -5
            |             ^^
    "#]],
    );
}

#[test]
fn decimal_numbers_are_taken_as_they_are_written() {
    let cap = |text: &str| {
        config(&format!("load_balancing: {{daily_send_percentage_cap: {text}}}")).plan.daily_cap
    };
    assert_eq!(cap("0.07"), Decimal::new(7, 2));
    assert_eq!(cap("\"0.07\""), Decimal::new(7, 2));
    assert_eq!(cap("0.070000000000000007"), Decimal::new(70_000_000_000_000_007, 18));
    assert_eq!(cap("1"), Decimal::new(1, 0));
    let check = |text: &str, expected: &Expect| {
        check(&format!("load_balancing:\n  daily_send_percentage_cap: {text}\n"), expected);
    };
    check(
        "7e-2",
        &expect![[r#"
        curfew.yaml:2:30: load_balancing.daily_send_percentage_cap: expected a decimal number above 0 and at most 1, found `7e-2`
          2 |   daily_send_percentage_cap: 7e-2
            |                              ^^^^
            = write `0.07`
    "#]],
    );
    check(
        "7%",
        &expect![[r#"
        curfew.yaml:2:30: load_balancing.daily_send_percentage_cap: expected a decimal number above 0 and at most 1, found `7%`
          2 |   daily_send_percentage_cap: 7%
            |                              ^^
            = write `0.07`
    "#]],
    );
    check(
        ".07",
        &expect![[r#"
        curfew.yaml:2:30: load_balancing.daily_send_percentage_cap: expected a decimal number above 0 and at most 1, found `.07`
          2 |   daily_send_percentage_cap: .07
            |                              ^^^
            = write `0.07`
    "#]],
    );
    check(
        "0,07",
        &expect![[r#"
        curfew.yaml:2:30: load_balancing.daily_send_percentage_cap: expected a decimal number above 0 and at most 1, found `0,07`
          2 |   daily_send_percentage_cap: 0,07
            |                              ^^^^
            = write `0.07`
    "#]],
    );
    check(
        "0",
        &expect![[r#"
        curfew.yaml:2:30: load_balancing.daily_send_percentage_cap: expected a decimal number above 0 and at most 1, found `0`
          2 |   daily_send_percentage_cap: 0
            |                              ^
    "#]],
    );
    check(
        "1.01",
        &expect![[r#"
        curfew.yaml:2:30: load_balancing.daily_send_percentage_cap: expected a decimal number above 0 and at most 1, found `1.01`
          2 |   daily_send_percentage_cap: 1.01
            |                              ^^^^
    "#]],
    );
    check(
        "seven",
        &expect![[r#"
        curfew.yaml:2:30: load_balancing.daily_send_percentage_cap: expected a decimal number above 0 and at most 1, found `seven`
          2 |   daily_send_percentage_cap: seven
            |                              ^^^^^
    "#]],
    );
}

#[test]
fn impossible_values_are_refused() {
    check(
        "timezone: America/Chicgo\n",
        &expect![[r#"
        curfew.yaml:1:11: timezone: expected the name of a time zone, such as `America/Chicago`, found `America/Chicgo`
          1 | timezone: America/Chicgo
            |           ^^^^^^^^^^^^^^
            = did you mean `America/Chicago`?
    "#]],
    );
    check(
        "timezone: Etc/Unknown\n",
        &expect![[r#"
        curfew.yaml:1:11: timezone: expected the name of a time zone, such as `America/Chicago`, found `Etc/Unknown`
          1 | timezone: Etc/Unknown
            |           ^^^^^^^^^^^
    "#]],
    );
    check(
        "timezone: +06:00\n",
        &expect![[r#"
        curfew.yaml:1:11: timezone: expected the name of a time zone, such as `America/Chicago`, found `+06:00`
          1 | timezone: +06:00
            |           ^^^^^^
    "#]],
    );
    check(
        "send_time: \"8:30\"\n",
        &expect![[r#"
        curfew.yaml:1:12: send_time: expected a time of day `HH:MM:SS` in quotes, found the text "8:30"
          1 | send_time: "8:30"
            |            ^^^^^^
            = write `"08:30:00"`
    "#]],
    );
    check(
        "send_time: 24:00:00\n",
        &expect![[r#"
        curfew.yaml:1:12: send_time: expected a time of day `HH:MM:SS` in quotes, found `24:00:00`
          1 | send_time: 24:00:00
            |            ^^^^^^^^
    "#]],
    );
    check(
        "send_time: noon\n",
        &expect![[r#"
        curfew.yaml:1:12: send_time: expected a time of day `HH:MM:SS` in quotes, found `noon`
          1 | send_time: noon
            |            ^^^^
    "#]],
    );
    check(
        "load_balancing: {overage_threshold: 0.99}\n",
        &expect![[r#"
        curfew.yaml:1:37: load_balancing.overage_threshold: expected a decimal number from 1 to 1000, found `0.99`
          1 | load_balancing: {overage_threshold: 0.99}
            |                                     ^^^^
    "#]],
    );
    check(
        "aep_config: {default_dates: [{month: 2, day: 30}]}\n",
        &expect![[r#"
        curfew.yaml:1:30: aep_config.default_dates[0]: there is no day 30 of month 2
          1 | aep_config: {default_dates: [{month: 2, day: 30}]}
            |                              ^
    "#]],
    );
    check(
        "aep_config: {default_dates: [{month: 13, day: 1}]}\n",
        &expect![[r#"
        curfew.yaml:1:38: aep_config.default_dates[0].month: expected a whole number from 1 to 12, found `13`
          1 | aep_config: {default_dates: [{month: 13, day: 1}]}
            |                                      ^^
    "#]],
    );
    check(
        "aep_config: {default_dates: [{month: 9}, {day: 1, month: 1, year: 2026}]}\n",
        &expect![[r#"
            curfew.yaml:1:30: aep_config.default_dates[0]: `day` is missing
              1 | aep_config: {default_dates: [{month: 9}, {day: 1, month: 1, year: 202…
                |                              ^

            curfew.yaml:1:61: aep_config.default_dates[1].year: there is no such key
              1 | aep_config: {default_dates: [{month: 9}, {day: 1, month: 1, year: 2026}]}
                |                                                             ^^^^
                = the keys here are month, day

            curfew.yaml: 2 problems
        "#]],
    );
    check(
        "aep_config: {default_dates: [09-15]}\n",
        &expect![[r#"
        curfew.yaml:1:30: aep_config.default_dates[0]: expected keys and values, such as `key: value`, found `09-15`
          1 | aep_config: {default_dates: [09-15]}
            |                              ^^^^^
    "#]],
    );
    check(
        "aep_config: {default_dates: {month: 9, day: 15}}\n",
        &expect![[r#"
        curfew.yaml:1:29: aep_config.default_dates: expected a list such as `[{month: 9, day: 15}]`, found keys and values
          1 | aep_config: {default_dates: {month: 9, day: 15}}
            |                             ^
    "#]],
    );
    check(
        "aep_config: {default_dates: [{month: 9, day: 15}, {month: 9, day: 15}]}\n",
        &expect![[r#"
            curfew.yaml:1:51: aep_config.default_dates[1]: this date is given twice
              1 | aep_config: {default_dates: [{month: 9, day: 15}, {month: 9, day: 15}]}
                |                                                   ^
        "#]],
    );
    check(
        "aep_config: {years: [2026, 26, 2026]}\n",
        &expect![[r#"
        curfew.yaml:1:28: aep_config.years[1]: expected a whole number from 1900 to 9000, found `26`
          1 | aep_config: {years: [2026, 26, 2026]}
            |                            ^^

        curfew.yaml:1:32: aep_config.years[2]: this year is given twice
          1 | aep_config: {years: [2026, 26, 2026]}
            |                                ^^^^

        curfew.yaml: 2 problems
    "#]],
    );
    check(
        "aep_config: {years: 2026}\n",
        &expect![[r#"
        curfew.yaml:1:21: aep_config.years: expected a list of years from 1900 to 9000, such as `[2026, 2027]`, found `2026`
          1 | aep_config: {years: 2026}
            |                     ^^^^
    "#]],
    );
    check(
        "campaign_instances: [{instance_name: May}]\n",
        &expect![[r#"
        curfew.yaml:1:22: campaign_instances[0]: `campaign_type` is missing
          1 | campaign_instances: [{instance_name: May}]
            |                      ^
    "#]],
    );
    check(
        "campaign_instances: [~]\n",
        &expect![[r#"
        curfew.yaml:1:22: campaign_instances[0]: `campaign_type` and `instance_name` are missing
          1 | campaign_instances: [~]
            |                      ^
    "#]],
    );
    check(
        "campaign_instances:
- campaign_type: rate
  instance_name: May
  active_start_date: 2027-05-31
  active_end_date: 2027-05-01
- campaign_type: rate
  instance_name: June
  active_start_date: 2027-02-29
  active_end_date: June
",
        &expect![[r#"
            curfew.yaml:5:20: campaign_instances[0].active_end_date: the last day 2027-05-01 is before the first day 2027-05-31
              5 |   active_end_date: 2027-05-01
                |                    ^^^^^^^^^^

            curfew.yaml:8:22: campaign_instances[1].active_start_date: expected a date `YYYY-MM-DD`, found `2027-02-29`
              8 |   active_start_date: 2027-02-29
                |                      ^^^^^^^^^^
                = there is no such date

            curfew.yaml:9:20: campaign_instances[1].active_end_date: expected a date `YYYY-MM-DD`, found `June`
              9 |   active_end_date: June
                |                    ^^^^

            curfew.yaml: 3 problems
        "#]],
    );
    check(
        "campaign_instances:
- campaign_type: rate
  instance_name: May
  metadata:
    priority: high
    enable_followups: 1
    large: 1e999
",
        &expect![[r#"
            curfew.yaml:5:15: campaign_instances[0].metadata.priority: expected a whole number, found `high`
              5 |     priority: high
                |               ^^^^

            curfew.yaml:6:23: campaign_instances[0].metadata.enable_followups: expected `true` or `false`, found `1`
              6 |     enable_followups: 1
                |                       ^
                = write `true`

            curfew.yaml:7:12: campaign_instances[0].metadata.large: expected a number that JSON can hold, found `1e999`
              7 |     large: 1e999
                |            ^^^^^
                = write it in quotes to have it as a text

            curfew.yaml: 3 problems
        "#]],
    );
}

#[test]
fn values_must_not_contradict_each_other() {
    check(
        "timing_constants: {followup_delay_days: 36}\n",
        &expect![[r#"
            curfew.yaml:1:41: timing_constants.followup_delay_days: 36 is more than `followup_lookback_days`, 35: no follow-up could go out
              1 | timing_constants: {followup_delay_days: 36}
                |                                         ^^
        "#]],
    );
    check(
        "timing_constants: {followup_lookback_days: 1}\n",
        &expect![[r#"
            curfew.yaml:1:44: timing_constants.followup_lookback_days: 1 is less than `followup_delay_days`, 2: no follow-up could go out
              1 | timing_constants: {followup_lookback_days: 1}
                |                                            ^
        "#]],
    );
    config("timing_constants: {followup_delay_days: 35}\n");
    check(
        "timing_constants: {pre_window_exclusion_days: 274}\n",
        &expect![[r#"
        curfew.yaml:1:47: timing_constants.pre_window_exclusion_days: with 274 days the rule `CA: birthday -30..+60` reaches over 364 days, it must be below 364
          1 | timing_constants: {pre_window_exclusion_days: 274}
            |                                               ^^^
            = write at most 273, or give CA another rule
    "#]],
    );
    config("timing_constants: {pre_window_exclusion_days: 273}\n");
    // A rule that the file gives is itself the place, wherever the days are given.
    check(
        "state_rules: {CA: birthday -30..+60}\ntiming_constants: {pre_window_exclusion_days: 274}\n",
        &expect![[r#"
            curfew.yaml:1:28: state_rules.CA: the window reaches over 364 days (30 before, 60 after, 274 ahead of it), it must be below 364
              1 | state_rules: {CA: birthday -30..+60}
                |                            ^^^^^^^^
                = before and after together may be at most 89 days
        "#]],
    );
    config("state_rules: {CA: []}\ntiming_constants: {pre_window_exclusion_days: 300}\n");
}

#[test]
fn problems_of_a_rule_are_marked_within_it() {
    check(
        "state_rules:
  CA: birthdy -30..+60
  NV: \"birthday from month start 0..60\"
  MO: ['effective date -30..+33', all year age 75..65]
  OR: birthday -200..+150
",
        &expect![[r#"
            curfew.yaml:2:7: state_rules.CA: expected `birthday`, `effective date` or `all year`, found `birthdy`
              2 |   CA: birthdy -30..+60
                |       ^^^^^^^
                = did you mean `birthday`?

            curfew.yaml:3:34: state_rules.NV: expected `-` and the days before it, found `0..60`
              3 |   NV: "birthday from month start 0..60"
                |                                  ^^^^^
                = write `-0..+60`

            curfew.yaml:4:48: state_rules.MO[1]: the lowest age 75 is above the highest age 65
              4 |   MO: ['effective date -30..+33', all year age 75..65]
                |                                                ^^^^^^
                = write `age 65..75`

            curfew.yaml:5:16: state_rules.OR: the window reaches over 410 days (200 before, 150 after, 60 ahead of it), it must be below 364
              5 |   OR: birthday -200..+150
                |                ^^^^^^^^^^
                = before and after together may be at most 303 days

            curfew.yaml: 4 problems
        "#]],
    );
    check(
        "state_rules:\n  CA: >\n    birthday\n    -30...+60\n",
        &expect![[r#"
        curfew.yaml:3:5: state_rules.CA: expected `..`, found `...+60` in `birthday -30...+60 `
          3 |     birthday
            |     ^^^^^^^^
            = write `-30..+60`
    "#]],
    );
    check(
        "state_rules:\n  CA: \"birthday\\t-30...+60\"\n",
        &expect![[r#"
        curfew.yaml:2:7: state_rules.CA: expected `..`, found `...+60` in `birthday -30...+60`
          2 |   CA: "birthday\t-30...+60"
            |       ^^^^^^^^^^^^^^^^^^^^^
            = write `-30..+60`
    "#]],
    );
    check(
        "state_rules: {CA: none}\n",
        &expect![[r#"
        curfew.yaml:1:19: state_rules.CA: expected a rule, such as `birthday -30..+60`, or a list of rules, found `none`
          1 | state_rules: {CA: none}
            |                   ^^^^
            = write `[]` for a state without rules
    "#]],
    );
    check(
        "state_rules:\n  CA:\n",
        &expect![[r#"
            curfew.yaml:2:3: state_rules.CA: expected a rule, such as `birthday -30..+60`, or a list of rules, found nothing
              2 |   CA:
                |   ^^
                = write `[]` for a state without rules
        "#]],
    );
    check(
        "state_rules: {CA: 30}\n",
        &expect![[r#"
        curfew.yaml:1:19: state_rules.CA: expected `birthday`, `effective date` or `all year`, found `30`
          1 | state_rules: {CA: 30}
            |                   ^^
    "#]],
    );
    check(
        "state_rules: {CA: [[all year]]}\n",
        &expect![[r#"
        curfew.yaml:1:20: state_rules.CA[0]: expected a rule, such as `birthday -30..+60`, or a list of rules, found a list
          1 | state_rules: {CA: [[all year]]}
            |                    ^
    "#]],
    );
    check(
        "state_rules: {CA: {birthday: -30..+60}}\n",
        &expect![[r#"
        curfew.yaml:1:19: state_rules.CA: expected a rule, such as `birthday -30..+60`, or a list of rules, found keys and values
          1 | state_rules: {CA: {birthday: -30..+60}}
            |                   ^
    "#]],
    );
    check(
        "state_rules: {California: all year}\n",
        &expect![[r#"
        curfew.yaml:1:15: state_rules.California: there is no such state
          1 | state_rules: {California: all year}
            |               ^^^^^^^^^^
            = write the two letters of a state or territory, such as `CA`
    "#]],
    );
    check(
        "state_rules: {AE: all year}\n",
        &expect![[r#"
            curfew.yaml:1:15: state_rules.AE: there is no such state
              1 | state_rules: {AE: all year}
                |               ^^
                = armed-forces post offices cannot have rules of their own
        "#]],
    );
    check(
        "state_rules: 'CA: all year'\n",
        &expect![[r#"
        curfew.yaml:1:14: state_rules: expected keys and values, such as `key: value`, found the text "CA: all year"
          1 | state_rules: 'CA: all year'
            |              ^^^^^^^^^^^^^^
    "#]],
    );
}

#[test]
fn what_is_not_one_plain_document_is_refused() {
    check(
        "timezone: UTC\n---\ntimezone: UTC\n",
        &expect![[r#"
        curfew.yaml:2:1: a second document begins here
          2 | ---
            | ^^^
            = a configuration is one document: remove this line
    "#]],
    );
    check(
        "a: &anchor 1\n",
        &expect![[r#"
            curfew.yaml:1:4: anchors (`&name`) are not used here
              1 | a: &anchor 1
                |    ^^^^^^^
                = leave it out, or quote a text that begins with `&`
        "#]],
    );
    check(
        "send_time: *time\n",
        &expect![[r#"
        curfew.yaml:1:12: references (`*name`) are not used here
          1 | send_time: *time
            |            ^^^^^
            = write the value out, or quote a text that begins with `*`
    "#]],
    );
    check(
        "batch_size: !!int 3\n",
        &expect![[r#"
            curfew.yaml:1:13: tags (`!name`) are not used here
              1 | batch_size: !!int 3
                |             ^^^^^
                = leave it out, or quote a text that begins with `!`
        "#]],
    );
    check(
        "timing_constants:\n\tgrace_days: 30\n",
        &expect![[r#"
            curfew.yaml:2:2: this is not YAML: tabs disallowed within this context (block indentation)
              2 |  grace_days: 30
                |  ^
                = indent with spaces
        "#]],
    );
    check(
        "timing_constants: {grace_days: 30\n",
        &expect![[r#"
        curfew.yaml:1:19: this is not YAML: unclosed bracket '{'
          1 | timing_constants: {grace_days: 30
            |                   ^
    "#]],
    );
    check(
        "send_time: \"08:30\n",
        &expect![[r#"
            curfew.yaml:2:1: this is not YAML: invalid indentation in multiline quoted scalar
                = a quote further up is not closed
        "#]],
    );
    check(
        "a: b: c\n",
        &expect![[r#"
            curfew.yaml:1:5: this is not YAML: mapping values are not allowed in this context
              1 | a: b: c
                |     ^
                = put a text with a colon in quotes, and each key on a line of its own
        "#]],
    );
    check(
        "timing_constants:\n  grace_days: 1\n horizon_days: 2\n",
        &expect![[r#"
            curfew.yaml:3:2: this is not YAML: while parsing a block mapping, did not find expected key
              3 |  horizon_days: 2
                |  ^
                = indent the keys of a section by the same number of spaces
        "#]],
    );
    check(
        &format!("a: {}\n", "[".repeat(100)),
        &expect![[r#"
        curfew.yaml:1:103: this is not YAML: unclosed bracket '['
          1 | …[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
            |                                                              ^
    "#]],
    );
    check(
        &format!("state_rules: {}", "{CA: ".repeat(50)),
        &expect![[r#"
        curfew.yaml:1:169: is nested too deeply
          1 | …{CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: {CA: …
            |                                                              ^
    "#]],
    );
}

#[test]
fn every_problem_of_a_file_is_reported_in_the_order_of_the_lines() {
    check(
        "batch_size: 0
state_rules:
  CA: birthday 30..60
  XX: all year
tming_constants:
  grace_days: 366
timing_constants:
  grace_days: 366
",
        &expect![[r#"
            curfew.yaml:1:13: batch_size: expected a whole number from 1 to 1000000, found `0`
              1 | batch_size: 0
                |             ^

            curfew.yaml:3:16: state_rules.CA: expected `-` and the days before it, or `from month start`, found `30..60`
              3 |   CA: birthday 30..60
                |                ^^^^^^
                = write `-30..+60`

            curfew.yaml:4:3: state_rules.XX: there is no such state
              4 |   XX: all year
                |   ^^
                = write the two letters of a state or territory, such as `CA`

            curfew.yaml:5:1: tming_constants: there is no such key
              5 | tming_constants:
                | ^^^^^^^^^^^^^^^
                = did you mean `timing_constants`?

            curfew.yaml:8:15: timing_constants.grace_days: expected a whole number from 0 to 365, found `366`
              8 |   grace_days: 366
                |               ^^^

            curfew.yaml: 5 problems
        "#]],
    );
}

#[test]
fn places_are_lines_and_characters() {
    let error = Config::parse("# é\r\nbackup: {directory: é, days: 3}\r\n", "c").unwrap_err();
    let ConfigError::Invalid(problems) = error else { panic!("{error}") };
    let [problem] = problems.list() else { panic!("{problems}") };
    assert_eq!((problem.line, problem.column), (2, 24));
    assert_eq!(problem.key, "backup.days");
    assert_eq!(problems.name(), "c");
    let marked = Config::parse("\u{feff}batch_size: 0", "c").unwrap_err().to_string();
    expect![[r#"
        c:1:13: batch_size: expected a whole number from 1 to 1000000, found `0`
          1 | batch_size: 0
            |             ^"#]]
    .assert_eq(&marked);
}

#[test]
fn a_file_full_of_problems_is_answered_in_reasonable_length() {
    let lines: Vec<String> = (0..500).map(|i| format!("key{i}: 1\n")).collect();
    let error = Config::parse(&lines.concat(), "c").unwrap_err();
    let ConfigError::Invalid(problems) = &error else { panic!("{error}") };
    assert_eq!((problems.list().len(), problems.count()), (100, 500));
    assert!(error.to_string().ends_with("\n\nc: 500 problems, 100 of them shown"));
    let repeated = "2026, ".repeat(50_000);
    assert!(Config::parse(&format!("aep_config: {{years: [{repeated}]}}"), "c").is_err());
    for deep in ["[", "{a: ", "- ", "? "] {
        assert!(Config::parse(&deep.repeat(100_000), "c").is_err());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curfew.yaml");
    let load = || Config::load(&path);
    let text = |error: ConfigError| error.to_string().replace(&path.display().to_string(), "FILE");
    assert_eq!(text(load().unwrap_err()), "cannot read the configuration FILE");
    fs::write(&path, "timezone: UTC\n").unwrap();
    assert_eq!(load().unwrap().timezone_name(), "UTC");
    fs::write(&path, b"timezone: UTC\n# caf\xe9\n").unwrap();
    assert_eq!(text(load().unwrap_err()), "the configuration FILE is not text in UTF-8 (line 2)");
    fs::write(&path, "batch_size: 0").unwrap();
    assert!(text(load().unwrap_err()).starts_with("FILE:1:13: batch_size: expected"));
    let size = usize::try_from(Config::FILE_BYTES_MAX).unwrap();
    fs::write(&path, "#".repeat(size)).unwrap();
    assert_eq!(load().unwrap(), Config::default());
    fs::write(&path, "#".repeat(size + 1)).unwrap();
    assert!(matches!(load().unwrap_err(), ConfigError::TooLarge { .. }));
    let directory = Config::load(folder.path()).unwrap_err();
    assert!(matches!(directory, ConfigError::Read { .. }), "{directory}");
}

/// A file with this value for a key.
fn with(path: &str, value: &str) -> String {
    let sections = path.matches('.').count();
    format!("{}: {value}{}", path.replace('.', ": {"), "}".repeat(sections))
}

#[test]
fn every_key_takes_the_ends_of_its_range_and_nothing_beyond() {
    for key in keys::CONFIG {
        let take = |value: &str| Config::parse(&with(key.path, value), "curfew.yaml");
        let refused = take(&key.kind.refused());
        let Err(ConfigError::Invalid(problems)) = refused else { panic!("{}", key.path) };
        assert!(problems.list()[0].key.starts_with(key.path), "{problems}");
        let keys::Kind::Whole(min, max) = key.kind else { continue };
        for inside in [min, max] {
            match take(&inside.to_string()) {
                Ok(config) => assert_eq!((key.get)(&config), keys::Value::Whole(inside)),
                // The value alone is fine, but contradicts a default.
                Err(error) => assert!(!error.to_string().contains("expected"), "{error}"),
            }
        }
        for outside in [min.checked_sub(1), max.checked_add(1)].into_iter().flatten() {
            assert!(take(&outside.to_string()).is_err(), "{}: {outside}", key.path);
        }
    }
    for key in keys::CAMPAIGN_TYPE {
        let yaml = format!("campaign_types: {{t: {{{}: {}}}}}", key.path, key.kind.refused());
        assert!(Config::parse(&yaml, "c").is_err(), "{yaml}");
    }
    for key in keys::CAMPAIGN_INSTANCE {
        let names = if key.required { "" } else { "campaign_type: t, instance_name: i, " };
        let yaml = format!("campaign_instances: [{{{names}{}: {}}}]", key.path, key.kind.refused());
        assert!(Config::parse(&yaml, "c").is_err(), "{yaml}");
    }
}

#[test]
fn the_example_is_the_default_configuration() {
    let config = Config::load(&in_project("examples/curfew.yaml")).unwrap();
    assert_eq!(diff(&Config::default(), &config), []);
    assert_eq!(config, Config::default());
}

#[test]
fn the_examples_comments_are_valid_too() {
    let text = fs::read_to_string(in_project("examples/curfew.yaml")).unwrap();
    let text = text.replace("campaign_types: {}", "campaign_types:");
    let text = text.replace("campaign_instances: []", "campaign_instances:");
    let text = text.replace("\n  # Examples:", "").replace("\n  # ", "\n  ");
    let config = config(&text);
    assert_eq!(rules(&config, "VA").len(), 2);
    assert_eq!(rules(&config, "KY"), [""; 0]);
    assert_eq!(config.campaign_types.len(), 1);
    assert_eq!(config.campaign_instances.len(), 1);
}

/// Replaces what stands between two marks by what is generated.
fn generated(page: &str, mark: &str, text: &str) -> String {
    let (start, end) = (format!("<!-- {mark}: generated -->\n"), format!("<!-- {mark}: end -->"));
    let (before, rest) = page.split_once(&start).expect(mark);
    let (_, after) = rest.split_once(&end).expect(mark);
    format!("{before}{start}\n{text}\n{end}{after}")
}

#[test]
fn the_page_on_configuration_is_up_to_date() {
    let bad = "batch_size: 10_000\ntiming_constants:\n  grace_dais: 14\nstate_rules:\n  CA: birthday -30...+60\n";
    let errors = Config::parse(bad, "curfew.yaml").unwrap_err();
    let errors = format!("```yaml\n{bad}```\n\n```text\n{errors}\n```\n");
    let path = in_project("docs/configure.md");
    let page = fs::read_to_string(&path).unwrap();
    let wanted = generated(&generated(&page, "errors", &errors), "keys", &key_tables());
    expect_test::expect_file![path].assert_eq(&wanted);
}

#[test]
fn the_tables_of_the_page_name_every_key_once() {
    let tables = key_tables();
    let documented: Vec<&str> = tables
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(key, _)| key)
        .collect();
    let mut wanted: Vec<String> = keys::CONFIG.iter().map(|key| key.path.to_owned()).collect();
    wanted.push("state_rules.STATE".to_owned());
    wanted
        .extend(keys::CAMPAIGN_TYPE.iter().map(|key| format!("campaign_types.NAME.{}", key.path)));
    wanted.extend(
        keys::CAMPAIGN_INSTANCE.iter().map(|key| format!("campaign_instances[].{}", key.path)),
    );
    assert_eq!(documented.len(), wanted.len());
    let documented: BTreeSet<&str> = documented.into_iter().collect();
    assert_eq!(documented, wanted.iter().map(String::as_str).collect());
    for line in tables.lines().filter(|line| line.starts_with('|')) {
        assert_eq!(line.split('|').count(), 8, "{line}");
    }
}

#[test]
fn differences_name_the_keys() {
    let old = config(
        "campaign_types: {rate: {}}\ncampaign_instances: [{campaign_type: rate, instance_name: May}]",
    );
    let new = config(
        "timezone: UTC
state_rules: {CA: [], TX: [all year age 76.., birthday -0..+5]}
campaign_types: {rate: {priority: 3}, 'a b: c': {}}
",
    );
    let lines: Vec<String> = diff(&old, &new)
        .into_iter()
        .map(|Difference { key, old, new }| {
            format!("{key}: {} -> {}", old.as_deref().unwrap_or("-"), new.as_deref().unwrap_or("-"))
        })
        .collect();
    expect![[r#"
        timezone: America/Chicago -> UTC
        state_rules.CA: birthday -30..+60 -> []
        state_rules.TX: [] -> [all year age 76.., birthday -0..+5]
        campaign_types.rate.priority: 10 -> 3
        campaign_instances[rate/May].campaign_type: rate -> -
        campaign_instances[rate/May].instance_name: May -> -
        campaign_instances[rate/May].email_template: null -> -
        campaign_instances[rate/May].sms_template: null -> -
        campaign_instances[rate/May].active_start_date: null -> -
        campaign_instances[rate/May].active_end_date: null -> -
        campaign_instances[rate/May].metadata: null -> -
        campaign_instances: [rate/May] -> []
        campaign_types."a b: c".respect_exclusion_windows: - -> true
        campaign_types."a b: c".enable_followups: - -> true
        campaign_types."a b: c".days_before_event: - -> 0
        campaign_types."a b: c".target_all_contacts: - -> false
        campaign_types."a b: c".priority: - -> 10
        campaign_types."a b: c".active: - -> true
    "#]]
    .assert_eq(&(lines.join("\n") + "\n"));
    assert_eq!(diff(&new, &new), []);
}

#[test]
fn the_hash_tells_configurations_apart() {
    let hash = Config::default().hash();
    assert_eq!(hash.len(), 64);
    assert_eq!(hash, config("batch_size: 10000 # the default").hash());
    assert_ne!(hash, config("batch_size: 10001").hash());
    // The way in which a number is written is not a difference.
    assert_eq!(hash, config("load_balancing: {daily_send_percentage_cap: 0.070}").hash());
}

fn any_text() -> impl Strategy<Value = String> {
    "[ -~]{1,12}|\\PC{1,12}|true|No|~|null|12|1e3|0x1F|a: b|-|'|\"|\\[|#x|&a|\u{85}|\u{2028}|\u{feff}x"
        .prop_map(|text| match text.trim().replace(char::is_control, "?") {
            empty if empty.is_empty() => "x".to_owned(),
            text => text,
        })
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        any_text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(any_text(), inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Configurations in which every key, type and instance may have any value that is allowed.
fn any_config() -> impl Strategy<Value = Config> {
    let numbers = prop::collection::vec(any::<u64>(), keys::CONFIG.len());
    let texts = prop::collection::vec(any_text(), keys::CONFIG.len());
    let names = prop::collection::btree_map(any_text(), any::<[bool; 4]>(), 0..3);
    let instances = prop::collection::vec(
        (any_text(), any_text(), prop::option::of(any_text()), any::<Option<(u16, u16)>>()),
        0..3,
    );
    let metadata = prop::option::of(prop::collection::btree_map(any_text(), any_json(), 0..3));
    (numbers, texts, names, instances, metadata).prop_map(
        |(numbers, texts, names, instances, metadata)| {
            let mut config = Config::default();
            for ((key, number), text) in keys::CONFIG.iter().zip(numbers).zip(texts) {
                use keys::{Kind, Value};
                let value = match key.kind {
                    Kind::Whole(min, max) => {
                        let span = u64::try_from(i128::from(max) - i128::from(min)).unwrap();
                        let offset = i128::from(number % span.saturating_add(1).max(1));
                        Value::Whole(i64::try_from(i128::from(min) + offset).unwrap())
                    }
                    Kind::Share => Value::Decimal(Decimal::new(1 + number % 1_000_000, 6)),
                    Kind::Factor => Value::Decimal(Decimal::new(1000 + number % 999_000, 3)),
                    Kind::Name(_) => Value::Text(text),
                    _ => continue,
                };
                (key.set)(&mut config, value);
            }
            let plan = &mut config.plan;
            plan.pre_window_days %= 274;
            plan.followup_lookback_days = plan.followup_lookback_days.max(plan.followup_delay_days);
            for (name, [a, b, c, d]) in names {
                let taken =
                    config.campaign_types.keys().any(|k| k.to_lowercase() == name.to_lowercase());
                if !taken {
                    config.campaign_types.insert(
                        name,
                        CampaignType {
                            respect_exclusion_windows: a,
                            enable_followups: b,
                            target_all_contacts: c,
                            active: d,
                            ..CampaignType::default()
                        },
                    );
                }
            }
            for (i, (campaign_type, name, template, dates)) in instances.into_iter().enumerate() {
                config.campaign_instances.push(CampaignInstance {
                    campaign_type,
                    instance_name: format!("{name}{i}"),
                    sms_template: template,
                    active_start_date: dates.map(|(start, _)| Day::new(start.into())),
                    active_end_date: dates
                        .map(|(start, length)| Day::new(i32::from(start) + i32::from(length))),
                    metadata: metadata.clone().map(|map| map.into_iter().collect()),
                    ..CampaignInstance::default()
                });
            }
            config
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_written_configuration_reads_as_the_same(config in any_config()) {
        let yaml = config.to_yaml();
        let read = Config::parse(&yaml, "written");
        let read = read.map_err(|error| TestCaseError::fail(format!("{error}\n\n{yaml}")))?;
        prop_assert_eq!(diff(&config, &read), []);
        prop_assert_eq!(&read, &config);
        prop_assert_eq!(read.to_yaml(), yaml);
        prop_assert_eq!(read.hash(), config.hash());
    }

    /// Another reader of YAML, which guesses types from words, sees the same texts and numbers.
    #[test]
    fn other_programs_read_what_is_written(config in any_config()) {
        let yaml = config.to_yaml();
        let read: serde_json::Value = serde_saphyr::from_str(&yaml)
            .map_err(|error| TestCaseError::fail(format!("{error}\n\n{yaml}")))?;
        prop_assert_eq!(&read["backup"]["directory"], &config.backup.directory);
        prop_assert_eq!(&read["templates"]["aep"]["sms"], &config.plan.templates.aep.sms);
        prop_assert_eq!(&read["batch_size"], config.batch_size);
        prop_assert_eq!(&read["send_time"], "08:30:00");
        prop_assert_eq!(&read["state_rules"]["CA"], "birthday -30..+60");
        for (i, instance) in config.campaign_instances.iter().enumerate() {
            let seen = &read["campaign_instances"][i];
            prop_assert_eq!(&seen["instance_name"], &instance.instance_name);
        }
        for name in config.campaign_types.keys() {
            prop_assert!(read["campaign_types"].get(name).is_some(), "{}", name);
        }
    }

    #[test]
    fn differences_are_empty_only_between_equals(a in any_config(), b in any_config()) {
        prop_assert_eq!(diff(&a, &b).is_empty(), a == b);
        prop_assert!(diff(&a, &a).is_empty());
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*|[ -~\\s]*") {
        let _ = Config::parse(&text, "any").map_err(|error| error.to_string());
    }

    /// Texts that come close to configurations reach further into the reader.
    #[test]
    fn no_pieces_of_yaml_make_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..20),
    ) {
        if let Err(error) = Config::parse(&pieces.concat(), "any") {
            prop_assert!(error.to_string().starts_with("any:"));
        }
    }
}

const PIECES: &[&str] = &[
    "timezone",
    "batch_size",
    "timing_constants",
    "grace_days",
    "state_rules",
    "CA",
    "aep_config",
    "default_dates",
    "years",
    "campaign_types",
    "campaign_instances",
    "metadata",
    "campaign_type",
    ": ",
    ":\n  ",
    "\n",
    "\n  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "30",
    "\"",
    "'",
    "|\n",
    ">\n",
    "#",
    "é",
    "\t",
    "\r\n",
    "&a ",
    "*a",
    "!!str ",
    "---\n",
    "...\n",
    "? ",
    "birthday -30...+60",
    "all year",
    "\u{feff}",
    "%YAML 1.2\n",
    "~",
    "\\x",
    "\u{85}",
    "\u{2028}",
];

#[test]
fn a_rule_that_is_set_is_a_rule_that_is_read() {
    let mut config = Config::default();
    for state in rule::states_with_law() {
        config.plan.rules.set(state, vec!["birthday -1..+2 age 65..75".parse().unwrap(); 2]);
    }
    assert_eq!(self::config(&config.to_yaml()), config);
}
