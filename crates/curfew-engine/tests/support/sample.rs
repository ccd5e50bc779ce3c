//! Made-up organizations for properties: dates that collide, rows that others wrote, dirty data.

use curfew_engine::{
    Anniversary, Answer, Campaign, Day, Decimal, Moment, PlanConfig, Today, rule::default_table,
    spreading_hash,
};
use proptest::{
    collection::vec,
    option::{self, weighted},
    prelude::*,
    sample::select,
};

use super::{
    organization::{Cell, ContactRow, Organization, ScheduleRow, TargetRow},
    rules,
};

const ZIP_CODES: [&str; 16] = [
    "90210",
    "83702",
    "40202",
    "21201",
    "63101",
    "89101",
    "73102",
    "97201",
    "23219",
    "10001",
    "75201",
    "33101",
    "06101",
    "75201",
    "63101",
    "90001-1234",
];
const STATES: [&str; 6] = ["CA", "mo", "NV", "TX", "NY", "nowhere"];
const STATUSES: [&str; 9] = [
    "pre-scheduled",
    "skipped",
    "scheduled",
    "processing",
    "sent",
    "delivered",
    "failed",
    "bounced",
    "cancelled",
];
const REASONS: [&str; 8] = [
    "Birthday exclusion window for CA",
    "Frequency limit: 3 emails in 30 days",
    "Frequency limit: 5 emails in 7 days",
    "Lower priority than campaign_promo on the same day",
    "Lower priority",
    "Expired before it was sent",
    "Year-round exclusion for NY",
    "by hand",
];
const KINDS: [&str; 13] = [
    "birthday",
    "effective_date",
    "aep",
    "post_window",
    "followup_1_cold",
    "followup_2_clicked_no_hq",
    "followup_4_hq_with_yes",
    "campaign_promo",
    "campaign_notice",
    "BIRTHDAY",
    "POST_WINDOW",
    "Followup_1_Cold",
    "SCHEDULED_RATE_INCREASE",
];
/// Days on which calendars go wrong, and ordinary ones.
const TODAYS: [&str; 10] = [
    "2026-02-28",
    "2027-12-31",
    "2028-01-01",
    "2028-02-28",
    "2028-02-29",
    "2028-03-01",
    "2026-09-15",
    "2026-10-15",
    "2026-06-10",
    "2027-07-30",
];

/// A recipe for an organization; small and readable when a property fails.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) today: &'static str,
    config: ConfigSample,
    contacts: Vec<ContactSample>,
    campaigns: Vec<CampaignSample>,
    targets: Vec<TargetSample>,
    rows: Vec<RowSample>,
    deeds: Vec<Deed>,
    /// Days before today on which there was a run already, and what the sender did since.
    earlier_run: Option<(i32, u64)>,
}

#[derive(Clone, Debug)]
struct ConfigSample {
    is_default: bool,
    cap_percent: u64,
    threshold_tenths: u64,
    emails_max: u16,
    period_days: u16,
    overflow_days: u16,
    grace_days: u16,
    horizon_days: u16,
    catch_up_days: u16,
    smoothing_days: u16,
    pre_window_days: u16,
    aep: u8,
}

#[derive(Clone, Debug)]
struct ContactSample {
    zip: usize,
    state: Option<usize>,
    /// Age, and days from today to the birthday.
    birth: Option<(i16, i32)>,
    effective: Option<(i16, i32)>,
    has_phone: bool,
    dirt: u8,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
struct CampaignSample {
    campaign_type: &'static str,
    start: Option<i32>,
    end: Option<i32>,
    is_active: bool,
    respects_windows: bool,
    follow_ups: bool,
    days_before: i32,
    targets_all: bool,
    priority: i64,
}

#[derive(Clone, Debug)]
struct TargetSample {
    contact: usize,
    campaign: usize,
    trigger: Option<i32>,
    status: &'static str,
}

#[derive(Clone, Debug)]
struct RowSample {
    contact: usize,
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    /// Where the event comes from: the contact's next or last one, a day from today, none.
    event: u8,
    event_days: i32,
    /// Days from the ideal date, or from today.
    date_days: i32,
    from_ideal: bool,
    right_shift: bool,
    instance: Option<i64>,
    initial: usize,
    priority: Option<i64>,
    /// It is written for the event of the row before.
    is_twin: bool,
}

/// A click or an answer: contact, days from today, hour, what.
type Deed = (usize, i32, i32, u8);

fn days_near() -> impl Strategy<Value = i32> {
    prop_oneof![
        4 => select(vec![-1, 0, 1, 13, 14, 15, 29, 30, 31, 44]),
        2 => -5..10,
        2 => -70..120,
        1 => -200..430,
    ]
}

fn config() -> impl Strategy<Value = ConfigSample> {
    let limits =
        (select(vec![1, 7, 20, 50, 100]), 10..=20_u64, 1..=4_u16, select(vec![1, 7, 30, 45]));
    let days = (
        select(vec![0, 3, 30, 60]),
        select(vec![0, 10, 30]),
        select(vec![0, 100, 366]),
        1..=10_u16,
        1..=9_u16,
        select(vec![0, 10, 60, 90]),
    );
    (any::<bool>(), limits, days, 0..8_u8).prop_map(|(is_default, limits, days, aep)| {
        ConfigSample {
            is_default,
            cap_percent: limits.0,
            threshold_tenths: limits.1,
            emails_max: limits.2,
            period_days: limits.3,
            overflow_days: days.0,
            grace_days: days.1,
            horizon_days: days.2,
            catch_up_days: days.3,
            smoothing_days: days.4,
            pre_window_days: days.5,
            aep,
        }
    })
}

fn contact() -> impl Strategy<Value = ContactSample> {
    let birth = weighted(0.9, (0..90_i16, days_near()));
    let effective = weighted(0.8, (-1..20_i16, days_near()));
    let state = weighted(0.15, 0..STATES.len());
    (0..ZIP_CODES.len(), state, birth, effective, any::<bool>(), 0..30_u8).prop_map(
        |(zip, state, birth, effective, has_phone, dirt)| ContactSample {
            zip,
            state,
            birth,
            effective,
            has_phone,
            dirt,
        },
    )
}

fn campaign() -> impl Strategy<Value = CampaignSample> {
    let bounds = (weighted(0.7, -40..5), weighted(0.6, prop_oneof![-2..60, 0..4]));
    let flags = (weighted(0.9, Just(())), any::<bool>(), any::<bool>(), weighted(0.3, Just(())));
    let days_before = prop_oneof![2 => select(vec![0, 1, 14, -3]), 1 => -20..30];
    let numbers = (select(vec!["promo", "Notice"]), days_before, select(vec![5, 15, 15, 35, 50]));
    (bounds, flags, numbers).prop_map(|(bounds, flags, numbers)| CampaignSample {
        campaign_type: numbers.0,
        start: bounds.0,
        end: bounds.1,
        is_active: flags.0.is_some(),
        respects_windows: flags.1,
        follow_ups: flags.2,
        days_before: numbers.1,
        targets_all: flags.3.is_some(),
        priority: numbers.2,
    })
}

fn target() -> impl Strategy<Value = TargetSample> {
    let status = select(vec!["pending", "scheduled", "skipped", "sent", "odd"]);
    let trigger = prop_oneof![select(vec![0, 1, 2, 14, 15]), days_near()];
    let contact = prop_oneof![0..3_usize, any::<usize>()];
    (contact, any::<usize>(), weighted(0.9, trigger), status).prop_map(
        |(contact, campaign, trigger, status)| TargetSample { contact, campaign, trigger, status },
    )
}

fn row() -> impl Strategy<Value = RowSample> {
    let words = (select(KINDS.to_vec()), select(STATUSES.to_vec()), select(REASONS.to_vec()));
    let date = prop_oneof![days_near(), -36..3_i32];
    let dates = (0..6_u8, days_near(), date, any::<bool>(), any::<bool>());
    // The first contacts get most of the rows.
    let contact = prop_oneof![0..4_usize, any::<usize>()];
    let ids = (contact, any::<usize>(), option::of(1..5_i64), weighted(0.8, 0..60_i64), 0..6_u8);
    (words, dates, ids).prop_map(|(words, dates, ids)| RowSample {
        contact: ids.0,
        kind: words.0,
        status: words.1,
        reason: words.2,
        event: dates.0,
        event_days: dates.1,
        date_days: dates.2,
        from_ideal: dates.3,
        right_shift: dates.4,
        instance: ids.2,
        initial: ids.1,
        priority: ids.3,
        is_twin: ids.4 == 0,
    })
}

/// Organizations with up to so many contacts.
pub(crate) fn samples(contacts_max: usize) -> impl Strategy<Value = Sample> {
    let people = (vec(contact(), 1..=contacts_max), vec(row(), 0..=contacts_max * 3));
    let campaigns = (vec(campaign(), 0..5), vec(target(), 0..=contacts_max * 2));
    let deeds = vec((prop_oneof![0..4_usize, any::<usize>()], -40..1, 0..24, 0..4_u8), 0..20);
    let earlier = weighted(0.6, (1..40, any::<u64>()));
    (select(TODAYS.to_vec()), config(), people, campaigns, deeds, earlier).prop_map(
        |(today, config, people, campaigns, deeds, earlier_run)| Sample {
            today,
            config,
            contacts: people.0,
            rows: people.1,
            campaigns: campaigns.0,
            targets: campaigns.1,
            deeds,
            earlier_run,
        },
    )
}

impl ConfigSample {
    fn config(&self) -> PlanConfig {
        let mut config = PlanConfig::with_rules(default_table());
        if self.is_default {
            return config;
        }
        config.daily_cap = Decimal::new(self.cap_percent, 2);
        config.overage_threshold = Decimal::new(self.threshold_tenths, 1);
        config.emails_per_period_max = self.emails_max;
        config.period_days = self.period_days;
        config.max_overflow_days = self.overflow_days;
        config.grace_days = self.grace_days;
        config.horizon_days = self.horizon_days;
        config.catch_up_spread_days = self.catch_up_days;
        config.ed_smoothing_window_days = self.smoothing_days;
        config.pre_window_days = self.pre_window_days;
        match self.aep {
            0 => config.aep_dates = vec![(9, 15), (11, 20)],
            1 => config.aep_years = vec![2027, 2028],
            2 => config.aep_dates = vec![(2, 29)],
            3 => {
                config.rules = rules::table([
                    "TX: birthday -30..+60 age 65..",
                    "TX: effective date -0..+60",
                    "FL: birthday -0..+200",
                    "FL: effective date -10..+200",
                    "CA: all year age ..70",
                    "CA: birthday from month start -0..+30 until 2028-01-01",
                ]);
            }
            _ => {}
        }
        config
    }
}

/// A date that returns so many days from today, and first was so many years ago.
fn original(today: Day, (years, days): (i16, i32)) -> Day {
    let returns = (today + days).to_date();
    let year = returns.year() - years;
    Day::from_ymd(year, returns.month(), returns.day())
        .or_else(|| Day::from_ymd(year - 1, returns.month(), returns.day()))
        .unwrap_or_else(|| Day::from_ymd(year, 2, 28).expect("a real date"))
}

impl ContactSample {
    fn row(&self, id: i64, today: Day) -> ContactRow {
        let date = |when: Option<(i16, i32)>| {
            when.map_or(Cell::Null, |when| Cell::text(original(today, when).to_string()))
        };
        let mut row = ContactRow {
            email: Cell::text(format!("c{id}@example.com")),
            zip_code: Cell::text(ZIP_CODES[self.zip]),
            birth_date: date(self.birth),
            effective_date: date(self.effective),
            state: self.state.map_or(Cell::Null, |state| Cell::text(STATES[state])),
            phone_number: if self.has_phone { Cell::text("555") } else { Cell::Null },
            status: Cell::Null,
        };
        match self.dirt {
            0 => row.email = Cell::Null,
            1 => row.zip_code = Cell::text("00000"),
            2 => row.birth_date = Cell::text("1960-02-30"),
            3 => row.status = Cell::text("Cancelled"),
            4 => row.zip_code = Cell::Integer(501),
            5 => row.effective_date = Cell::text("soon"),
            6 => row.birth_date = Cell::text((today + 1).to_string()),
            7 => row.birth_date = Cell::text("1960-02-29"),
            _ => {}
        }
        row
    }
}

impl Sample {
    pub(crate) fn build(&self) -> Organization {
        let today = super::day(self.today);
        let mut organization = Organization::new(today, self.config.config());
        for (contact, id) in self.contacts.iter().zip(1..) {
            organization.contacts.insert(id, contact.row(id, today));
        }
        for (campaign, id) in self.campaigns.iter().zip(1..) {
            organization.campaigns.push(Campaign {
                instance_id: id,
                campaign_type: campaign.campaign_type.to_owned(),
                name: format!("Campaign \"{id}\""),
                email_template: (id != 2).then(|| format!("campaign_{id}")),
                sms_template: (id == 1).then(|| "campaign_sms".to_owned()),
                active_start: campaign.start.map(|days| today + days),
                active_end: campaign.end.map(|days| today + days),
                active: campaign.is_active,
                respects_windows: campaign.respects_windows,
                follow_ups: campaign.follow_ups,
                days_before_event: campaign.days_before,
                targets_all: campaign.targets_all,
                priority: campaign.priority,
            });
        }
        for (target, id) in self.targets.iter().zip(1..) {
            if self.campaigns.is_empty() {
                break;
            }
            let trigger = match target.trigger {
                Some(days) => Some((today + days).to_string()),
                None if id % 2 == 0 => Some("2026-13-01".to_owned()),
                None => None,
            };
            organization.targets.insert(
                id,
                TargetRow {
                    contact_id: self.contact_of(target.contact),
                    instance_id: self.campaign_of(target.campaign),
                    trigger,
                    status: Some(target.status.to_owned()),
                },
            );
        }
        for (contact, days, hour, what) in &self.deeds {
            let contact = self.contact_of(*contact);
            let at = format!("{} {hour:02}:00", today + *days);
            let at = Moment::parse(&at).expect("a moment");
            match what {
                0 | 1 => organization.clicks.push((contact, at)),
                _ => organization.answers.push((
                    contact,
                    Answer { at, has_medical_conditions: *what == 2, any_yes: hour % 2 == 0 },
                )),
            }
        }
        for row in &self.rows {
            let mut new = self.schedule_row(row, &organization);
            if row.is_twin
                && let Some((_, before)) = organization.rows.last_key_value()
            {
                new = ScheduleRow {
                    status: new.status,
                    skip_reason: new.skip_reason,
                    date: new.date,
                    initial_id: if before.is_follow_up() {
                        before.initial_id
                    } else {
                        new.initial_id
                    },
                    ..before.clone()
                };
            }
            organization.add_row(new);
        }
        if let Some((days, sender)) = self.earlier_run {
            organization.today = today - days;
            let plan = organization.plan(usize::MAX);
            organization.apply(&plan);
            organization.today = today;
            send_some(&mut organization, sender);
        }
        organization
    }

    fn contact_of(&self, number: usize) -> i64 {
        // One more than there are, so that some things belong to nobody.
        i64::try_from(number % (self.contacts.len() + 1)).expect("small") + 1
    }

    fn campaign_of(&self, number: usize) -> i64 {
        i64::try_from(number % self.campaigns.len()).expect("small") + 1
    }

    fn schedule_row(&self, sample: &RowSample, organization: &Organization) -> ScheduleRow {
        let today = organization.today;
        let contact_id = self.contact_of(sample.contact);
        let contact = usize::try_from(contact_id - 1).ok().and_then(|at| self.contacts.get(at));
        let kind = sample.kind.to_ascii_lowercase();
        let yearly = match &*kind {
            "effective_date" => contact.and_then(|contact| contact.effective),
            _ => contact.and_then(|contact| contact.birth),
        };
        let yearly = yearly.map(|when| Anniversary::of(original(today, when)));
        let now = Today::new(today).expect("our times");
        let event = match sample.event {
            0 | 1 => yearly.map(|yearly| yearly.next_from(now)),
            2 => yearly.and_then(|yearly| yearly.last_before(now)),
            3 => Day::from_ymd(today.year(), 9, 15),
            4 => Some(today + sample.event_days),
            _ => None,
        };
        let ideal = event.map(|event| match &*kind {
            "birthday" => event - 14,
            "effective_date" => event - 30,
            "post_window" => event + 1,
            _ => event,
        });
        let date = match ideal {
            Some(ideal) if sample.from_ideal => ideal + sample.date_days % 5,
            _ => today + sample.date_days,
        };
        let shift = match ideal {
            Some(ideal) if sample.right_shift => Some(i64::from(date - ideal)),
            _ => Some(i64::from(sample.date_days)).filter(|days| days % 3 != 0),
        };
        let is_follow_up = kind.starts_with("followup_");
        let rows = organization.rows.len();
        let columns = event.map(Day::to_date);
        ScheduleRow {
            contact_id,
            email_type: sample.kind.to_owned(),
            date: date.to_string(),
            time: "08:30:00".to_owned(),
            status: sample.status.to_owned(),
            skip_reason: (sample.status == "skipped").then(|| sample.reason.to_owned()),
            priority: sample.priority,
            instance_id: if kind.starts_with("campaign_") { sample.instance } else { None },
            email_template: Some(kind.clone()),
            sms_template: None,
            event: [
                columns.map(|date| date.year().into()),
                columns.map(|date| date.month().into()),
                columns.map(|date| date.day().into()),
            ],
            // Now and then a row names an initial row although its kind has none.
            initial_id: ((is_follow_up || sample.initial.is_multiple_of(16)) && rows > 0)
                .then(|| i64::try_from(sample.initial % rows).expect("small") + 1),
            shift_days: shift,
            metadata: None,
            actual_send_datetime: (sample.initial.is_multiple_of(2) && sample.status == "sent")
                .then(|| format!("{date} 09:15:00")),
        }
    }
}

/// The sender takes some of the rows that were due until yesterday.
pub(crate) fn send_some(organization: &mut Organization, sender: u64) {
    let today = organization.today;
    for (id, row) in &mut organization.rows {
        let is_due = row.is_planned() && row.day() < Some(today);
        let chance = spreading_hash(*id, "sender", i64::try_from(sender >> 1).expect("63 bits"));
        if is_due && !chance.is_multiple_of(4) {
            let status = STATUSES[2 + usize::try_from(chance / 4 % 7).expect("small")];
            status.clone_into(&mut row.status);
        }
    }
}
