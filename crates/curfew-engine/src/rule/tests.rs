use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn rule(text: &str) -> Rule {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_form_of_the_language_is_read() {
    let span = |before_days, after_days| Span { before_days, after_days };
    assert_eq!(rule("birthday -30..+60"), Rule::new(RuleKind::Birthday(span(30, 60))));
    assert_eq!(
        rule("birthday from month start -0..+60"),
        Rule::new(RuleKind::BirthdayMonth(span(0, 60)))
    );
    assert_eq!(rule("effective date -30..+33"), Rule::new(RuleKind::EffectiveDate(span(30, 33))));
    assert_eq!(rule("all year"), Rule::new(RuleKind::AllYear));
    let day = |text| Some(Day::parse(text).unwrap());
    assert_eq!(
        rule("all year until 2027-12-31 age 65..75 from 2026-01-01"),
        Rule {
            age_min: Some(65),
            age_max: Some(75),
            from: day("2026-01-01"),
            until: day("2027-12-31"),
            ..Rule::new(RuleKind::AllYear)
        }
    );
    assert_eq!(rule("all year age 76..").age_min, Some(76));
    assert_eq!(rule("all year age 76..").age_max, None);
    assert_eq!(rule("all year age ..75").age_max, Some(75));
    assert_eq!(rule("all year age 65..65").age_min, Some(65));
    assert_eq!(rule("all year age 0..150").age_max, Some(150));
    assert_eq!(rule("all year from 2026-01-01 until 2026-01-01").from, day("2026-01-01"));
}

#[test]
fn capitals_and_spaces_do_not_matter() {
    for text in [
        "birthday -30..+60 age 65.. from 2026-01-01",
        "  BIRTHDAY\t-30..+60\nFrom 2026-01-01 AGE 65..  ",
        "Birthday - 30 .. + 60 age 65 .. from 2026-01-01",
        "birthday-30..+60age65..from 2026-01-01",
        "birthday -030..+060 from 2026-01-01 age 65..",
    ] {
        assert_eq!(rule(text).to_string(), "birthday -30..+60 age 65.. from 2026-01-01");
    }
    assert_eq!(
        rule("birthday FROM Month start-0..+60").to_string(),
        "birthday from month start -0..+60"
    );
}

#[test]
fn a_line_names_the_state_in_front() {
    let line: RuleLine = "ca : Birthday -30..+60".parse().unwrap();
    assert_eq!(line.to_string(), "CA: birthday -30..+60");
    let territory: RuleLine = "PR:all year".parse().unwrap();
    assert_eq!(territory.state.code(), "PR");
}

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&text.parse::<Rule>().unwrap_err().to_string());
}

#[test]
fn a_misspelled_kind_is_recognized() {
    check(
        "birthdy -30..+60",
        &expect![[r"
            expected `birthday`, `effective date` or `all year`, found `birthdy`
              birthdy -30..+60
              ^^^^^^^
              did you mean `birthday`?"]],
    );
    check(
        "effective_date -30..+33",
        &expect![[r"
            expected `birthday`, `effective date` or `all year`, found `effective_date`
              effective_date -30..+33
              ^^^^^^^^^^^^^^
              did you mean `effective date`?"]],
    );
    check(
        "effective -30..+33",
        &expect![[r"
            expected `date`, found `-30..+33`
              effective -30..+33
                        ^^^^^^^^"]],
    );
    check(
        "allyear",
        &expect![[r"
            expected `birthday`, `effective date` or `all year`, found `allyear`
              allyear
              ^^^^^^^
              did you mean `all year`?"]],
    );
    check(
        "all yaer",
        &expect![[r"
            expected `year`, found `yaer`
              all yaer
                  ^^^^
              did you mean `year`?"]],
    );
    check(
        "",
        &expect![[r"
            expected `birthday`, `effective date` or `all year`, found the end of the line"]],
    );
    check(
        "CA: birthday -30..+60",
        &expect![[r"
            expected `birthday`, `effective date` or `all year`, found `CA:`
              CA: birthday -30..+60
              ^^^
              the rule is what stands after `CA:`"]],
    );
    check(
        "anniversary -30..+60",
        &expect![[r"
            expected `birthday`, `effective date` or `all year`, found `anniversary`
              anniversary -30..+60
              ^^^^^^^^^^^"]],
    );
}

#[test]
fn days_need_both_signs_and_two_dots() {
    check(
        "birthday -30...+60",
        &expect![[r"
            expected `..`, found `...+60`
              birthday -30...+60
                          ^^^^^^
              write `-30..+60`"]],
    );
    check(
        "birthday 30..60",
        &expect![[r"
            expected `-` and the days before it, or `from month start`, found `30..60`
              birthday 30..60
                       ^^^^^^
              write `-30..+60`"]],
    );
    check(
        "effective date -30..33 age 65..",
        &expect![[r"
            expected `+` and the days after it, found `33`
              effective date -30..33 age 65..
                                  ^^
              write `-30..+33`"]],
    );
    check(
        "birthday −30…+60",
        &expect![[r"
            expected `-` and the days before it, or `from month start`, found `−30…+60`
              birthday −30…+60
                       ^^^^^^^
              write `-30..+60`"]],
    );
    check(
        "birthday +30..+60",
        &expect![[r"
            expected `-` and the days before it, or `from month start`, found `+30..+60`
              birthday +30..+60
                       ^^^^^^^^
              write the days before and after, such as `-30..+60`"]],
    );
    check(
        "birthday",
        &expect![[r"
            expected `-` and the days before it, or `from month start`, found the end of the line
              birthday
                      ^
              write the days before and after, such as `-30..+60`"]],
    );
    check(
        "birthday -30..",
        &expect![[r"
            expected `+` and the days after it, found the end of the line
              birthday -30..
                            ^
              write the days before and after, such as `-30..+60`"]],
    );
    check(
        "birthday -thirty..+60",
        &expect![[r"
            expected a number of days, found `thirty..+60`
              birthday -thirty..+60
                        ^^^^^^^^^^^
              write the days before and after, such as `-30..+60`"]],
    );
    check(
        "birthday -30..+60 days",
        &expect![[r"
            expected `age`, `from`, `until` or the end of the line, found `days`
              birthday -30..+60 days
                                ^^^^"]],
    );
    check(
        "birthday form month start -0..+60",
        &expect![[r"
            expected `-` and the days before it, or `from month start`, found `form`
              birthday form month start -0..+60
                       ^^^^
              did you mean `from month start`?"]],
    );
    check(
        "birthday from 2026-01-01 -30..+60",
        &expect![[r"
            expected `month start`, found `2026-01-01`
              birthday from 2026-01-01 -30..+60
                            ^^^^^^^^^^
              conditions come last: `birthday -30..+60 from 2026-01-01`"]],
    );
}

#[test]
fn a_window_must_not_meet_the_next_years() {
    check(
        "birthday -99999999999999999999..+60",
        &expect![[r"
            99999999999999999999 days are too many, a window has at most 363
              birthday -99999999999999999999..+60
                        ^^^^^^^^^^^^^^^^^^^^"]],
    );
    check(
        "birthday -364..+0",
        &expect![[r"
            364 days are too many, a window has at most 363
              birthday -364..+0
                        ^^^"]],
    );
    check(
        "birthday -300..+64",
        &expect![[r"
            the window reaches over 364 days (300 before, 64 after, 0 ahead of it), it must be below 364
              birthday -300..+64
                       ^^^^^^^^^
              before and after together may be at most 363 days"]],
    );
    assert!("birthday -300..+63".parse::<Rule>().is_ok());
    let error = Rule::parse("effective date - 200 ..+104 age 65..", 60).unwrap_err();
    expect![[r"
        the window reaches over 364 days (200 before, 104 after, 60 ahead of it), it must be below 364
          effective date - 200 ..+104 age 65..
                         ^^^^^^^^^^^^
          before and after together may be at most 303 days"]]
    .assert_eq(&error.to_string());
    assert!(Rule::parse("effective date -200..+103", 60).is_ok());
    assert!(Rule::parse("all year", u16::MAX).is_ok());
    assert_eq!(
        error.problem(),
        &RuleProblem::TooLong(ReachError {
            before_days: 200,
            after_days: 104,
            pre_window_days: 60
        })
    );
}

#[test]
fn ages_are_a_range_from_low_to_high() {
    check(
        "all year age 75..65",
        &expect![[r"
            the lowest age 75 is above the highest age 65
              all year age 75..65
                           ^^^^^^
              write `age 65..75`"]],
    );
    check(
        "all year age 76+",
        &expect![[r"
            expected `..`, found `+`
              all year age 76+
                             ^
              write `age 76..` for 76 or older, `age ..76` for 76 or younger"]],
    );
    check(
        "all year age 65-75",
        &expect![[r"
            expected `..`, found `-75`
              all year age 65-75
                             ^^^
              write `age 65..75`"]],
    );
    check(
        "all year age ..",
        &expect![[r"
            expected an age, found the end of the line
              all year age ..
                             ^
              write `age 65..75`, `age 76..` or `age ..75`"]],
    );
    check(
        "all year age over 65",
        &expect![[r"
            expected `LOW..HIGH`, `LOW..` or `..HIGH`, found `over`
              all year age over 65
                           ^^^^
              write `age 65..75`, `age 76..` or `age ..75`"]],
    );
    check(
        "all year age 65..151",
        &expect![[r"
            151 is too high an age, the highest is 150
              all year age 65..151
                               ^^^"]],
    );
    check(
        "all year age 65.. age ..75",
        &expect![[r"
            `age` is given twice
              all year age 65.. age ..75
                                ^^^"]],
    );
}

#[test]
fn dates_are_real_and_in_order() {
    check(
        "all year from 2027-02-29",
        &expect![[r"
            there is no such date as 2027-02-29
              all year from 2027-02-29
                            ^^^^^^^^^^"]],
    );
    check(
        "all year until 31.12.2027",
        &expect![[r"
            expected a date `YYYY-MM-DD`, found `31.12.2027`
              all year until 31.12.2027
                             ^^^^^^^^^^"]],
    );
    check(
        "all year from 2026-01-01T00:00",
        &expect![[r"
            expected a date `YYYY-MM-DD`, found `2026-01-01T00:00`
              all year from 2026-01-01T00:00
                            ^^^^^^^^^^^^^^^^"]],
    );
    check(
        "all year from",
        &expect![[r"
            expected a date `YYYY-MM-DD`, found the end of the line
              all year from
                           ^"]],
    );
    check(
        "all year until 2026-01-01 from 2026-01-02",
        &expect![[r"
            the first date 2026-01-02 is after the last date 2026-01-01
              all year until 2026-01-01 from 2026-01-02
                                             ^^^^^^^^^^
              write `from 2026-01-01 until 2026-01-02`"]],
    );
    check(
        "all year from 2026-01-01 from 2026-01-02",
        &expect![[r"
            `from` is given twice
              all year from 2026-01-01 from 2026-01-02
                                       ^^^^"]],
    );
    check(
        "all year untill 2026-01-01",
        &expect![[r"
            expected `age`, `from`, `until` or the end of the line, found `untill`
              all year untill 2026-01-01
                       ^^^^^^
              did you mean `until`?"]],
    );
}

#[test]
fn a_line_needs_a_known_state() {
    let check = |text: &str, expected: &Expect| {
        expected.assert_eq(&text.parse::<RuleLine>().unwrap_err().to_string());
    };
    check(
        "California: birthday -30..+60",
        &expect![[r"
            there is no state `California`
              California: birthday -30..+60
              ^^^^^^^^^^
              write the two letters of a state or territory, such as `CA`"]],
    );
    check(
        "CA birthday -30..+60",
        &expect![[r"
            expected `:`, found `birthday`
              CA birthday -30..+60
                 ^^^^^^^^
              write `CA: RULE`"]],
    );
    check(
        "CA: birthday -30..60",
        &expect![[r"
            expected `+` and the days after it, found `60`
              CA: birthday -30..60
                                ^^
              write `-30..+60`"]],
    );
    check(
        ": all year",
        &expect![[r"
            expected the code of a state, found `:`
              : all year
              ^"]],
    );
}

#[test]
fn of_a_long_text_the_place_is_shown() {
    let text = format!("all year {} {}", " ".repeat(100), "x".repeat(100));
    let [line, carets] = point_at(&text, 110..210);
    assert_eq!(line.chars().count(), 1 + 60 + 40 + 1);
    assert_eq!(carets, format!("{}{}", " ".repeat(61), "^".repeat(40)));
    // Never between the bytes of a character.
    assert_eq!(point_at("äöü\nß", 2..4), ["äöü ß", " ^"]);
    let error = text.parse::<Rule>().unwrap_err().to_string();
    assert!(error.lines().all(|line| line.chars().count() < 110), "{error}");
}

#[test]
fn the_default_table_is_that_of_the_specification() {
    let lines: Vec<String> = default_table().lines().map(|line| line.to_string()).collect();
    expect![[r"
        CA: birthday -30..+60
        CT: all year
        ID: birthday -0..+63
        KY: birthday -0..+60
        MA: all year
        MD: birthday -0..+30
        MO: effective date -30..+33
        NV: birthday from month start -0..+60
        NY: all year
        OK: birthday -0..+60
        OR: birthday -0..+31
        VA: birthday -0..+30
        WA: all year"]]
    .assert_eq(&lines.join("\n"));
    for entry in default_entries() {
        assert!(!entry.source.is_empty() && !entry.rules.is_empty(), "{}", entry.state);
        assert!(entry.rules.iter().all(|rule| rule.check_reach(60).is_ok()));
    }
    assert!(default_entries().is_sorted_by_key(|entry| entry.state));
}

#[test]
fn the_page_of_rules_is_up_to_date() {
    expect_test::expect_file!["../../../../docs/rules.md"].assert_eq(&markdown());
}

#[test]
fn the_page_of_rules_names_every_state_once() {
    let page = markdown();
    for state in states_with_law() {
        let in_table = page.matches(&format!("\n| {state} | ")).count();
        let in_list = page
            .lines()
            .find(|line| line.starts_with("No rule: "))
            .unwrap()
            .split([' ', ',', ';'])
            .filter(|word| *word == state.code())
            .count();
        assert_eq!(in_table + in_list, 1, "{state}");
    }
}

fn any_span() -> impl Strategy<Value = Span> {
    (0_u16..364)
        .prop_flat_map(|reach| (Just(reach), 0..=reach))
        .prop_map(|(reach, before)| Span { before_days: before, after_days: reach - before })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let kind = prop_oneof![
        any_span().prop_map(RuleKind::Birthday),
        any_span().prop_map(RuleKind::BirthdayMonth),
        any_span().prop_map(RuleKind::EffectiveDate),
        Just(RuleKind::AllYear),
    ];
    let age = || prop::option::of(0..=Rule::AGE_MAX);
    // The years 1 to 9999.
    let date = || prop::option::of((-719_162..=2_932_896).prop_map(Day::new));
    (kind, age(), age(), date(), date()).prop_map(|(kind, low, high, from, until)| {
        let swap_ages = matches!((low, high), (Some(low), Some(high)) if low > high);
        let (age_min, age_max) = if swap_ages { (high, low) } else { (low, high) };
        let swap_dates = matches!((from, until), (Some(from), Some(until)) if from > until);
        let (from, until) = if swap_dates { (until, from) } else { (from, until) };
        Rule { kind, age_min, age_max, from, until }
    })
}

proptest! {
    #[test]
    fn a_printed_rule_reads_as_the_same_rule(rule in any_rule()) {
        prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
        let loud = rule.to_string().to_uppercase().replace(' ', "  ");
        prop_assert_eq!(loud.parse::<Rule>(), Ok(rule));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*|[ -~\\s]*") {
        let _ = text.parse::<Rule>().map_err(|error| error.to_string());
        let _ = text.parse::<RuleLine>().map_err(|error| error.to_string());
    }

    /// Texts that come close to rules reach further into the reader.
    #[test]
    fn no_pieces_of_rules_make_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..12),
    ) {
        let text = pieces.concat();
        match text.parse::<Rule>() {
            Ok(rule) => prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule)),
            Err(error) => {
                prop_assert!(text.get(error.span()).is_some(), "{error:?}");
                prop_assert!(text.trim().is_empty() || error.to_string().contains('^'));
            }
        }
        let _ = text.parse::<RuleLine>();
    }
}

const PIECES: &[&str] = &[
    "birthday",
    "from month start",
    "effective date",
    "all year",
    "age",
    "from",
    "until",
    "CA",
    ":",
    " ",
    "  ",
    "-",
    "+",
    "..",
    "...",
    ".",
    "30",
    "60",
    "0",
    "364",
    "99999",
    "2026-01-01",
    "2027-02-29",
    "-30..+60",
    "65..75",
    "76..",
    "..75",
    "ä",
    "…",
    "\n",
    "−",
    "BIRTHDAY",
    "ſ",
    "İ",
];
