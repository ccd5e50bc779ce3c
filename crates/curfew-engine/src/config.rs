//! What can be configured about a plan (SPEC section 10), already validated.

use std::fmt;

use crate::rule::RuleTable;

/// The settings of a plan. Where they come from (a YAML file) is not the engine's business.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanConfig {
    /// Time of day written to `scheduled_send_time`, `HH:MM:SS`.
    pub send_time: String,
    /// Days from the ideal date of a birthday message to the birthday.
    pub birthday_days_before: u16,
    /// Days from the ideal date of an effective-date message to the effective date.
    pub effective_date_days_before: u16,
    /// Days by which every statutory window is extended at its beginning.
    pub pre_window_days: u16,
    /// Days from the sending of a message to its follow-up.
    pub followup_delay_days: u16,
    /// Days after the sending of a message until which a follow-up may go out.
    pub followup_lookback_days: u16,
    /// Days after its ideal date (or event) that a message without a firm deadline may go out.
    pub grace_days: u16,
    /// Messages with a later ideal date than today plus this are not considered yet.
    pub horizon_days: u16,
    /// How many messages, follow-ups apart, a contact may get within `period_days`.
    pub emails_per_period_max: u16,
    /// Length of the period of the frequency limit in days.
    pub period_days: u16,
    /// Share of all contacts that may be written to on one day.
    pub daily_cap: Decimal,
    /// Upper bound of the number of effective-date messages of one ideal date that are not spread.
    pub ed_daily_soft_limit: u32,
    /// Over how many days effective-date messages above the limit are spread; at least 1.
    pub ed_smoothing_window_days: u16,
    /// Over how many days late messages are spread; at least 1.
    pub catch_up_spread_days: u16,
    /// Multiple of the daily cap from which on messages are moved to later days; at least 1.
    pub overage_threshold: Decimal,
    /// How many days a message may be moved from an overfull day.
    pub max_overflow_days: u16,
    /// Months and days of the annual enrollment messages.
    pub aep_dates: Vec<(i8, i8)>,
    /// The years in which they are sent, ascending; empty: every year.
    pub aep_years: Vec<i16>,
    /// Priorities by kind; a lower number is more important.
    pub priorities: Priorities,
    /// Templates by kind.
    pub templates: Templates,
    /// The exclusion rules.
    pub rules: RuleTable,
}

/// Priorities of the kinds that are not campaigns; a lower number is more important.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kinds")]
pub struct Priorities {
    pub birthday: i64,
    pub effective_date: i64,
    pub aep: i64,
    pub post_window: i64,
    /// For follow-ups whose initial message has no priority.
    pub followup: i64,
}

/// Names of the e-mail and SMS template of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Written to `email_template`.
    pub email: String,
    /// Written to `sms_template` for contacts with a phone number.
    pub sms: String,
}

/// Templates of the kinds that are not campaigns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kinds")]
pub struct Templates {
    pub birthday: Template,
    pub effective_date: Template,
    pub aep: Template,
    pub post_window: Template,
    pub followup_1_cold: Template,
    pub followup_2_clicked_no_hq: Template,
    pub followup_3_hq_no_yes: Template,
    pub followup_4_hq_with_yes: Template,
}

impl Default for Templates {
    fn default() -> Self {
        let of = |kind: &str| Template { email: kind.to_owned(), sms: format!("{kind}_sms") };
        Self {
            birthday: of("birthday"),
            effective_date: of("effective_date"),
            aep: of("aep"),
            post_window: of("post_window"),
            followup_1_cold: of("followup_1_cold"),
            followup_2_clicked_no_hq: of("followup_2_clicked_no_hq"),
            followup_3_hq_no_yes: of("followup_3_hq_no_yes"),
            followup_4_hq_with_yes: of("followup_4_hq_with_yes"),
        }
    }
}

impl PlanConfig {
    /// The defaults of SPEC section 10 with these exclusion rules.
    pub fn with_rules(rules: RuleTable) -> Self {
        Self {
            send_time: "08:30:00".to_owned(),
            birthday_days_before: 14,
            effective_date_days_before: 30,
            pre_window_days: 60,
            followup_delay_days: 2,
            followup_lookback_days: 35,
            grace_days: 30,
            horizon_days: 366,
            emails_per_period_max: 3,
            period_days: 30,
            daily_cap: Decimal::new(7, 2),
            ed_daily_soft_limit: 15,
            ed_smoothing_window_days: 5,
            catch_up_spread_days: 7,
            overage_threshold: Decimal::new(12, 1),
            max_overflow_days: 30,
            aep_dates: vec![(9, 15)],
            aep_years: Vec::new(),
            priorities: Priorities {
                birthday: 10,
                effective_date: 20,
                aep: 30,
                post_window: 40,
                followup: 50,
            },
            templates: Templates::default(),
            rules,
        }
    }
}

/// A decimal number of at least 0, kept exactly: `units / 10^places`.
///
/// ```
/// use curfew_engine::Decimal;
/// let share: Decimal = "0.07".parse().unwrap();
/// assert_eq!(share.floor_of(300), 21); // in binary floating point 300 * 0.07 is 21.000000000000004
/// assert!("-1".parse::<Decimal>().is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    units: u64,
    places: u32,
}

impl Decimal {
    /// Digits after the point, at most.
    pub const PLACES_MAX: u32 = 18;

    /// The number `units / 10^places`; `places` at most [`Decimal::PLACES_MAX`].
    pub const fn new(units: u64, places: u32) -> Self {
        assert!(places <= Self::PLACES_MAX, "too many decimal places");
        Self { units, places }
    }

    /// The largest whole number not above the product, computed exactly.
    pub fn floor_of(self, factor: u64) -> u64 {
        let product = u128::from(self.units) * u128::from(factor) / 10_u128.pow(self.places);
        u64::try_from(product).unwrap_or(u64::MAX)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let scaled = |a: &Self, b: &Self| u128::from(a.units) * 10_u128.pow(b.places);
        scaled(self, other).cmp(&scaled(other, self))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_u64.pow(self.places);
        let (whole, fraction) = (self.units / one, self.units % one);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{fraction:0width$}", width = self.places as usize);
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// The text is not a decimal number of at least 0 with at most 18 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a decimal number of at least 0 with at most 18 digits")]
pub struct DecimalError;

impl std::str::FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = format!("{whole}{fraction}");
        let places = u32::try_from(fraction.len()).map_err(|_| DecimalError)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.is_empty() || !plain || places > Self::PLACES_MAX {
            return Err(DecimalError);
        }
        Ok(Self::new(digits.parse().map_err(|_| DecimalError)?, places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_compare_by_value() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(decimal("0.07").floor_of(100), 7);
        assert_eq!(decimal("1.2").floor_of(5), 6);
        assert_eq!(decimal("0.3").floor_of(10), 3);
        assert_eq!(decimal("0.29").floor_of(100), 29); // 0.29 * 100.0 is 28.999999999999996
        assert_eq!(decimal("1.20"), decimal("1.2"));
        assert!(decimal("0.07") < decimal("0.1"));
        assert_eq!(decimal("0.0700").to_string(), "0.07");
        assert_eq!(decimal("3").to_string(), "3");
        for bad in ["", ".5", "5.", "1e3", "-0.1", "+1", " 1", "1.0000000000000000001", "NaN"] {
            assert!(bad.parse::<Decimal>().is_err(), "{bad}");
        }
    }
}
