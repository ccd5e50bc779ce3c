//! Configurations.

use fastrand::Rng;
use jiff::civil::Date;

use super::{chance, pick};
use crate::{
    calendar::plus,
    model::{Decimal, ModelConfig, Priorities},
    periods::{Kind, Rule},
};

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

/// The default; or one with small limits, so that days overflow; or one in which everything differs.
pub(super) fn random(random: &mut Rng, today: Date) -> ModelConfig {
    let mut config = ModelConfig::default();
    match random.u8(..10) {
        0..3 => {}
        3..6 => limits(&mut config, random),
        _ => {
            limits(&mut config, random);
            timing(&mut config, random);
            if random.bool() {
                rules(&mut config, random, today);
            }
        }
    }
    config
}

fn limits(config: &mut ModelConfig, random: &mut Rng) {
    config.daily_send_percentage_cap =
        decimal(pick(random, &["0.005", "0.015", "0.03", "0.07", "0.25", "1"]));
    config.overage_threshold = decimal(pick(random, &["1", "1.2", "1.25", "2"]));
    config.max_overflow_days = pick(random, &[1, 3, 10, 30]);
    config.catch_up_spread_days = pick(random, &[1, 2, 7, 10]);
    config.ed_daily_soft_limit = pick(random, &[1, 2, 15]);
    config.ed_smoothing_window_days = pick(random, &[1, 2, 4, 5, 9]);
    config.max_emails_per_period = pick(random, &[1, 2, 3, 5]);
    config.period_days = pick(random, &[1, 7, 30, 45]);
}

fn timing(config: &mut ModelConfig, random: &mut Rng) {
    config.birthday_email_days_before = pick(random, &[1, 7, 14, 35]);
    config.effective_date_days_before = pick(random, &[1, 14, 30, 45]);
    config.pre_window_exclusion_days = pick(random, &[0, 5, 60, 90]);
    config.followup_delay_days = pick(random, &[1, 2, 5]);
    // With no day between ideal date and deadline, nothing can move.
    let tight = config.followup_delay_days;
    config.followup_lookback_days = pick(random, &[tight, tight, tight + 1, 35, 50]);
    config.grace_days = pick(random, &[1, 10, 30, 45]);
    config.horizon_days = pick(random, &[30, 200, 366, 400]);
    pick(random, &["08:30:00", "17:05:09"]).clone_into(&mut config.send_time);
    config.batch_size = pick(random, &[1, 3, 10_000]);
    config.aep_dates = pick(random, &[vec![(9, 15)], vec![(10, 1)], vec![(3, 1), (9, 15)]]);
    let year = config.aep_years.clone();
    config.aep_years = pick(random, &[year, vec![2024, 2026], vec![2025]]);
    let priority = |random: &mut Rng| pick(random, &[1, 10, 10, 20, 30]);
    config.priorities = Priorities {
        birthday: priority(random),
        effective_date: priority(random),
        aep: priority(random),
        post_window: priority(random),
        followup: priority(random),
    };
    if let Some(templates) = config.templates.get_mut("birthday") {
        "birthday: \"new\" #2".clone_into(&mut templates.email);
    }
}

/// A few states with other rules: ages, dates, several rules, none.
fn rules(config: &mut ModelConfig, random: &mut Rng, today: Date) {
    for state in ["CA", "MO", "NV", "NY", "OK", "TX"] {
        if random.bool() {
            continue;
        }
        config.state_rules.retain(|rule| rule.state != state);
        for _ in 0..random.u8(..3) {
            let kind = pick(
                random,
                &[
                    Kind::Birthday,
                    Kind::Birthday,
                    Kind::BirthdayFromMonthStart,
                    Kind::EffectiveDate,
                    Kind::AllYear,
                ],
            );
            let (before, after) = match kind {
                Kind::AllYear => (0, 0),
                _ => (pick(random, &[0, 5, 45, 120]), pick(random, &[0, 1, 30, 63, 140])),
            };
            let mut rule = Rule::new(state, kind, before, after);
            if random.bool() {
                let low = Some(random.i64(60..70)).filter(|_| chance(random, 70));
                let high = Some(random.i64(70..76)).filter(|_| chance(random, 70));
                rule = rule.with_ages(low, high);
            }
            if random.bool() {
                let from = plus(today, random.i64(-500..60));
                let until = plus(from, random.i64(0..600));
                rule = rule.with_dates(
                    Some(from).filter(|_| chance(random, 70)),
                    Some(until).filter(|_| chance(random, 70)),
                );
            }
            config.state_rules.push(rule);
        }
    }
}
