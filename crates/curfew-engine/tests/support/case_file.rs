//! The readable form of a case: what is given above a line `---`, what is expected below it. The
//! file `cases/README.md` says how it is written.

use std::{collections::BTreeMap, fmt};

use curfew_engine::{
    Answer, Campaign, Catalog, Day, Decimal, Moment, PlanConfig, Standing, State,
    rule::default_table,
};

use super::{
    organization::{Cell, ContactRow, Effect, Organization, Plan, ScheduleRow, TargetRow},
    rules,
};

/// The line between what is given and what is expected.
pub(crate) const LINE: &str = "---";
/// Rows in `contacts`, unless the case says otherwise: so many that no daily limit is reached.
const CONTACTS_IN_ALL: u64 = 1000;
/// Ids of the rows of other contacts, and of these contacts.
const OTHERS_FROM: i64 = 1_000_001;

/// A case as it is read from its file.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) organization: Organization,
    show: Show,
    /// The file up to and with the line.
    pub(crate) given: String,
    /// What stands below the line.
    pub(crate) expected: String,
}

/// Which rows are compared, and what of them.
#[derive(Debug, Default)]
struct Show {
    /// Beginnings of kinds; none: all.
    kinds: Vec<String>,
    priority: bool,
    templates: bool,
    metadata: bool,
}

/// What is wrong with a case file, and where.
#[derive(Debug)]
pub(crate) struct CaseError {
    file: String,
    line: usize,
    why: String,
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.why)
    }
}

impl std::error::Error for CaseError {}

type Reading<T> = Result<T, String>;

/// Reads a case; `file` is its name for errors.
pub(crate) fn read(file: &str, text: &str) -> Result<Case, CaseError> {
    let fail = |line: usize, why: String| CaseError { file: file.to_owned(), line, why };
    let number_of_lines = text.lines().count();
    let head: Vec<(usize, &str)> =
        (1..).zip(text.lines()).take_while(|(_, line)| line.trim_end() != LINE).collect();
    if head.len() == number_of_lines {
        return Err(fail(
            number_of_lines,
            format!("a line `{LINE}` and the plan below are missing"),
        ));
    }
    let expected: String =
        text.lines().skip(head.len() + 1).map(|line| line.to_owned() + "\n").collect();
    let given: String =
        text.lines().take(head.len() + 1).map(|line| line.to_owned() + "\n").collect();

    let mut reader = Reader::new();
    for (number, line) in head.iter().skip(1) {
        reader.line(*number, line.trim()).map_err(|why| fail(*number, why))?;
    }
    let show = std::mem::take(&mut reader.show);
    let organization = reader.finish().map_err(|(line, why)| fail(line, why))?;
    Ok(Case { organization, show, given, expected })
}

struct Reader<'t> {
    organization: Organization,
    show: Show,
    has_today: bool,
    /// States whose default rules were replaced.
    replaced: Vec<State>,
    /// Lines of rows, read last because they depend on all the others.
    rows: Vec<(usize, i64, &'t str)>,
    others: i64,
}

impl<'t> Reader<'t> {
    fn new() -> Self {
        let config = PlanConfig::with_rules(default_table());
        let mut organization = Organization::new(Day::new(0), config);
        organization.contacts_in_all = Some(CONTACTS_IN_ALL);
        Self {
            organization,
            show: Show::default(),
            has_today: false,
            replaced: Vec::new(),
            rows: Vec::new(),
            others: OTHERS_FROM,
        }
    }

    fn line(&mut self, number: usize, line: &'t str) -> Reading<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "" => Ok(()),
            _ if word.starts_with('#') => Ok(()),
            "today" => {
                self.has_today = true;
                self.organization.today = date(rest)?;
                Ok(())
            }
            "organization" => {
                let words: Vec<&str> = rest.split(' ').collect();
                let ["of", contacts, "contacts"] = words[..] else {
                    return Err("expected `organization of N contacts`".into());
                };
                self.organization.contacts_in_all = Some(number_of(contacts)?);
                Ok(())
            }
            "rule" => self.rule(rest),
            "set" => set(&mut self.organization.config, rest),
            "show" => self.show(rest),
            "others:" => self.others(rest),
            "contact" => {
                let (id, rest) = numbered(rest)?;
                let contact = contact(id, rest)?;
                no_twin(self.organization.contacts.insert(id, contact).is_none())
            }
            "campaign" => {
                let (id, rest) = numbered(rest)?;
                no_twin(self.organization.campaigns.iter().all(|c| c.instance_id != id))?;
                self.organization.campaigns.push(campaign(id, rest)?);
                Ok(())
            }
            "target" => {
                let (id, rest) = numbered(rest)?;
                no_twin(self.organization.targets.insert(id, target(rest)?).is_none())
            }
            "row" => {
                let (id, rest) = numbered(rest)?;
                no_twin(self.rows.iter().all(|(_, other, _)| *other != id))?;
                self.rows.push((number, id, rest));
                Ok(())
            }
            "click:" => {
                let (id, at, _) = at_time(rest)?;
                self.organization.clicks.push((id, at));
                Ok(())
            }
            "answer:" => {
                let (id, at, rest) = at_time(rest)?;
                let mut answer = Answer { at, has_medical_conditions: false, any_yes: false };
                for item in rest {
                    match item.split_once(' ') {
                        Some(("medical", "conditions")) => answer.has_medical_conditions = true,
                        Some((count, "yes")) => answer.any_yes = number_of::<u64>(count)? > 0,
                        _ => return Err(format!("no such answer `{item}`")),
                    }
                }
                self.organization.answers.push((id, answer));
                Ok(())
            }
            _ => Err(format!("no line begins with `{word}`")),
        }
    }

    /// The first line about a state replaces its default rules, further ones add to them.
    fn rule(&mut self, text: &str) -> Reading<()> {
        let table = &mut self.organization.config.rules;
        let (code, rest) = text.split_once(':').ok_or("expected `STATE: RULE`")?;
        let state = State::from_code(code).ok_or_else(|| format!("no state `{code}`"))?;
        let mut list =
            if self.replaced.contains(&state) { table.of(state).to_vec() } else { vec![] };
        if rest.trim() != "none" {
            list.push(rules::read_line(text)?.1);
        }
        self.replaced.push(state);
        table.set(state, list);
        Ok(())
    }

    fn show(&mut self, text: &str) -> Reading<()> {
        let (kinds, extras) = match text.split_once("with ") {
            Some((kinds, extras)) => (kinds, items(extras)),
            None => (text, Vec::new()),
        };
        self.show.kinds =
            items(kinds).into_iter().filter(|k| *k != "everything").map(str::to_owned).collect();
        for extra in extras {
            match extra {
                "priority" => self.show.priority = true,
                "templates" => self.show.templates = true,
                "metadata" => self.show.metadata = true,
                _ => return Err(format!("`{extra}` cannot be shown")),
            }
        }
        Ok(())
    }

    /// `others: 70 messages on 2026-03-01`: rows of contacts that are not listed.
    fn others(&mut self, text: &str) -> Reading<()> {
        let words: Vec<&str> = text.split(' ').collect();
        let (count, status, on) = match words[..] {
            [count, "messages", "on", on] => (count, "scheduled", on),
            [count, status, "messages", "on", on] => (count, status, on),
            _ => return Err("expected `others: N [STATUS] messages on DATE`".into()),
        };
        for _ in 0..number_of::<i64>(count)? {
            let row = ScheduleRow {
                contact_id: self.others,
                email_type: "birthday".to_owned(),
                date: date(on)?.to_string(),
                time: self.organization.config.send_time.clone(),
                status: status.to_owned(),
                ..ScheduleRow::default()
            };
            self.organization.rows.insert(self.others, row);
            self.others += 1;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Organization, (usize, String)> {
        if !self.has_today {
            return Err((1, "a line `today DATE` is missing".into()));
        }
        let catalog = Catalog::new(&self.organization.config, self.organization.campaigns.clone());
        for (line, id, text) in &self.rows {
            let row = row(text, &self.organization, &catalog).map_err(|why| (*line, why))?;
            self.organization.rows.insert(*id, row);
        }
        // New rows get readable ids, away from those of others.
        self.organization.last_row_id = OTHERS_FROM * 2;
        Ok(self.organization)
    }
}

/// `1: rest`
fn numbered(text: &str) -> Reading<(i64, &str)> {
    let (id, rest) = text.split_once(':').ok_or("expected a number and `:`")?;
    Ok((number_of(id)?, rest.trim()))
}

fn no_twin(is_new: bool) -> Reading<()> {
    if is_new { Ok(()) } else { Err("there is another one with this number".into()) }
}

/// Splits at commas, except for those between quotes.
fn items(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
    .filter(|item| !item.is_empty())
    .collect()
}

fn number_of<N: std::str::FromStr>(text: &str) -> Reading<N> {
    text.trim().parse().map_err(|_| format!("`{text}` is not a number that can stand here"))
}

fn date(text: &str) -> Reading<Day> {
    Day::parse(text).map_err(|why| format!("`{text}` {why}"))
}

fn moment(text: &str) -> Reading<Moment> {
    Moment::parse(text).ok_or_else(|| format!("`{text}` is not a date and time"))
}

/// A text without the quotes that may stand around it.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn cell(text: &str) -> Reading<Cell> {
    Ok(match text {
        "none" => Cell::Null,
        "blob" => Cell::Blob,
        _ => match text.strip_prefix("number ") {
            Some(number) => Cell::Integer(number_of(number)?),
            None => Cell::text(unquoted(text)),
        },
    })
}

fn contact(id: i64, text: &str) -> Reading<ContactRow> {
    let mut row = ContactRow {
        email: Cell::text(format!("contact{id}@example.com")),
        ..ContactRow::default()
    };
    for item in items(text) {
        let (name, value) = item.split_once(' ').ok_or_else(|| format!("`{item}` has no value"))?;
        let column = match name {
            "email" => &mut row.email,
            "zip" => &mut row.zip_code,
            "birth" => &mut row.birth_date,
            "effective" => &mut row.effective_date,
            "state" => &mut row.state,
            "phone" => &mut row.phone_number,
            "status" => &mut row.status,
            _ => return Err(format!("a contact has no `{name}`")),
        };
        *column = cell(value)?;
    }
    Ok(row)
}

fn campaign(id: i64, text: &str) -> Reading<Campaign> {
    let mut items = items(text).into_iter();
    let first = items.next().ok_or("expected the type of the campaign")?;
    let (campaign_type, name) = first.split_once(' ').unwrap_or((first, first));
    let mut campaign = Campaign {
        instance_id: id,
        campaign_type: campaign_type.to_owned(),
        name: unquoted(name).to_owned(),
        email_template: Some(campaign_type.to_owned()),
        sms_template: None,
        active_start: None,
        active_end: None,
        active: true,
        respects_windows: true,
        follow_ups: false,
        days_before_event: 0,
        targets_all: false,
        priority: 50,
    };
    for item in items {
        let words: Vec<&str> = item.split(' ').collect();
        match words[..] {
            [days, "days", "before"] => campaign.days_before_event = number_of(days)?,
            [days, "days", "after"] => campaign.days_before_event = -number_of::<i32>(days)?,
            ["priority", number] => campaign.priority = number_of(number)?,
            ["ignores", "windows"] => campaign.respects_windows = false,
            ["followed", "up"] => campaign.follow_ups = true,
            ["from", on] => campaign.active_start = Some(date(on)?),
            ["until", on] => campaign.active_end = Some(date(on)?),
            ["for", "all", "contacts"] => campaign.targets_all = true,
            ["inactive"] => campaign.active = false,
            ["templates", email, sms] => {
                campaign.email_template = Some(email.to_owned());
                campaign.sms_template = Some(sms.to_owned());
            }
            _ => return Err(format!("a campaign has no `{item}`")),
        }
    }
    Ok(campaign)
}

fn target(text: &str) -> Reading<TargetRow> {
    let mut target = TargetRow {
        contact_id: 0,
        instance_id: 0,
        trigger: None,
        status: Some("pending".to_owned()),
    };
    for item in items(text) {
        match item.split_once(' ') {
            Some(("contact", id)) => target.contact_id = number_of(id)?,
            Some(("campaign", id)) => target.instance_id = number_of(id)?,
            Some(("trigger", "none")) => target.trigger = None,
            Some(("trigger", on)) => target.trigger = Some(unquoted(on).to_owned()),
            Some(("status", status)) => target.status = Some(unquoted(status).to_owned()),
            _ => return Err(format!("a target has no `{item}`")),
        }
    }
    Ok(target)
}

/// `contact 1 at 2026-03-02 10:00, more`
fn at_time(text: &str) -> Reading<(i64, Moment, Vec<&str>)> {
    let mut items = items(text).into_iter();
    let first = items.next().unwrap_or_default();
    let (contact, at) = first
        .strip_prefix("contact ")
        .and_then(|rest| rest.split_once(" at "))
        .ok_or("expected `contact N at DATE TIME`")?;
    Ok((number_of(contact)?, moment(at)?, items.collect()))
}

/// `contact 1, birthday for 2026-03-15, pre-scheduled on 2026-03-01, …`. What is not said is as the
/// scheduler itself writes it.
fn row(text: &str, organization: &Organization, catalog: &Catalog) -> Reading<ScheduleRow> {
    // The metadata come last, as they have commas and quotes of their own.
    let (text, metadata) = match text.split_once(", metadata ") {
        Some((text, metadata)) => (text, Some(metadata.to_owned())),
        None => (text, None),
    };
    let mut items = items(text).into_iter();
    let mut row = ScheduleRow { metadata, ..ScheduleRow::default() };
    let contact = items.next().and_then(|item| item.strip_prefix("contact "));
    row.contact_id = number_of(contact.ok_or("expected `contact N` first")?)?;
    kind(items.next().ok_or("expected the kind next")?, &mut row)?;
    let status = items.next().ok_or("expected `STATUS on DATE` next")?;
    let (status, on) = status.rsplit_once(" on ").ok_or("expected `STATUS on DATE` next")?;
    unquoted(status).clone_into(&mut row.status);
    unquoted(on).clone_into(&mut row.date);

    row.time.clone_from(&organization.config.send_time);
    let found = catalog.find(&row.email_type.to_ascii_lowercase(), row.instance_id);
    if let Some(found) = found {
        let found = catalog.kind(found);
        row.priority = Some(found.priority);
        row.email_template = found.email_template.as_deref().map(str::to_owned);
        let has_phone = organization
            .contacts
            .get(&row.contact_id)
            .is_some_and(|contact| contact.phone_number != Cell::Null);
        if has_phone {
            row.sms_template = found.sms_template.as_deref().map(str::to_owned);
        }
    }
    if row.is_owned() {
        row.shift_days = Some(0);
    }
    for item in items {
        let (name, value) = item.split_once(' ').ok_or_else(|| format!("`{item}` has no value"))?;
        match name {
            "shift" if value == "none" => row.shift_days = None,
            "shift" => row.shift_days = Some(number_of(value)?),
            "reason" => row.skip_reason = Some(unquoted(value).to_owned()),
            "priority" if value == "none" => row.priority = None,
            "priority" => row.priority = Some(number_of(value)?),
            "time" => value.clone_into(&mut row.time),
            "sent" => row.actual_send_datetime = Some(unquoted(value).to_owned()),
            "template" => row.email_template = Some(unquoted(value).to_owned()),
            "sms" => row.sms_template = Some(unquoted(value).to_owned()),
            _ => return Err(format!("a row has no `{name}`")),
        }
    }
    Ok(row)
}

/// `birthday for 2026-03-15`, `campaign_promo of instance 3 for 2026-05-01`, `followup_1_cold to row 7`
fn kind(text: &str, row: &mut ScheduleRow) -> Reading<()> {
    let mut words = text.split(' ');
    words.next().unwrap_or_default().clone_into(&mut row.email_type);
    let rest: Vec<&str> = words.collect();
    let mut rest = &rest[..];
    loop {
        rest = match rest {
            [] => return Ok(()),
            ["of", "instance", id, rest @ ..] => {
                row.instance_id = Some(number_of(id)?);
                rest
            }
            ["to", "row", id, rest @ ..] => {
                row.initial_id = Some(number_of(id)?);
                rest
            }
            ["for", on, rest @ ..] => {
                let parts: Vec<&str> = on.split('-').collect();
                let [year, month, day] = parts[..] else {
                    return Err(format!("`{on}` is not an event date"));
                };
                row.event = [year, month, day].map(|part| part.parse().ok());
                rest
            }
            [word, ..] => return Err(format!("`{word}` says nothing about a kind")),
        };
    }
}

/// `set KEY VALUE`, with the keys of the configuration file.
fn set(config: &mut PlanConfig, text: &str) -> Reading<()> {
    let (key, value) = text.split_once(' ').ok_or("expected `set KEY VALUE`")?;
    let decimal = || value.parse::<Decimal>().map_err(|why| format!("`{value}` {why}"));
    match key {
        "send_time" => value.clone_into(&mut config.send_time),
        "birthday_email_days_before" => config.birthday_days_before = number_of(value)?,
        "effective_date_days_before" => config.effective_date_days_before = number_of(value)?,
        "pre_window_exclusion_days" => config.pre_window_days = number_of(value)?,
        "followup_delay_days" => config.followup_delay_days = number_of(value)?,
        "followup_lookback_days" => config.followup_lookback_days = number_of(value)?,
        "grace_days" => config.grace_days = number_of(value)?,
        "horizon_days" => config.horizon_days = number_of(value)?,
        "max_emails_per_period" => config.emails_per_period_max = number_of(value)?,
        "period_days" => config.period_days = number_of(value)?,
        "daily_send_percentage_cap" => config.daily_cap = decimal()?,
        "ed_daily_soft_limit" => config.ed_daily_soft_limit = number_of(value)?,
        "ed_smoothing_window_days" => config.ed_smoothing_window_days = number_of(value)?,
        "catch_up_spread_days" => config.catch_up_spread_days = number_of(value)?,
        "overage_threshold" => config.overage_threshold = decimal()?,
        "max_overflow_days" => config.max_overflow_days = number_of(value)?,
        "aep_dates" => {
            let dates = items(value).into_iter().map(|date| {
                let (month, day) = date.split_once('-').ok_or("expected MONTH-DAY")?;
                Ok((number_of(month)?, number_of(day)?))
            });
            config.aep_dates = dates.collect::<Reading<_>>()?;
        }
        "aep_years" => {
            config.aep_years = items(value).into_iter().map(number_of).collect::<Reading<_>>()?;
        }
        "priorities.birthday" => config.priorities.birthday = number_of(value)?,
        "priorities.effective_date" => config.priorities.effective_date = number_of(value)?,
        "priorities.aep" => config.priorities.aep = number_of(value)?,
        "priorities.post_window" => config.priorities.post_window = number_of(value)?,
        "priorities.followup" => config.priorities.followup = number_of(value)?,
        _ => return Err(format!("no setting is called `{key}`")),
    }
    Ok(())
}

impl Case {
    /// What stands below the line for a plan that was applied.
    pub(crate) fn describe(
        &self,
        plan: &Plan,
        after: &Organization,
        effects: &BTreeMap<i64, Effect>,
    ) -> String {
        let mut text = String::new();
        let mut put = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        for contact in &plan.contacts {
            let id = contact.id;
            match &contact.standing {
                Some(Standing::Inactive) => put(format!("contact {id}: inactive")),
                Some(Standing::Invalid) => put(format!("contact {id}: invalid")),
                None if id < OTHERS_FROM => put(format!("contact {id}: does not exist")),
                Some(Standing::Valid(_)) | None => {}
            }
            for issue in &contact.issues {
                put(format!("contact {id}: {} {issue}", issue.field));
            }
            let mut rows: Vec<(&i64, &ScheduleRow)> = after
                .rows
                .iter()
                .filter(|(_, row)| row.contact_id == id && row.is_owned() && self.shows(row))
                .collect();
            rows.sort_by_key(|(id, row)| (&row.date, &row.email_type, row.event, **id));
            for (row_id, row) in rows {
                put(format!("contact {id}: {}", describe_row(*row_id, row, effects)));
                self.describe_extras(row, &mut put);
            }
            for (row_id, effect) in effects {
                if let Effect::Deleted(why) = effect
                    && self.organization.rows[row_id].contact_id == id
                {
                    put(format!("row {row_id} deleted: {why}"));
                }
            }
        }
        for (id, target) in &after.targets {
            put(format!("target {id}: {}", target.status.as_deref().unwrap_or("without status")));
        }
        if plan.days_above_threshold > 0 {
            put(format!("days above the threshold: {}", plan.days_above_threshold));
        }
        text
    }

    fn shows(&self, row: &ScheduleRow) -> bool {
        let kinds = &self.show.kinds;
        kinds.is_empty() || kinds.iter().any(|kind| row.email_type.starts_with(kind.as_str()))
    }

    fn describe_extras(&self, row: &ScheduleRow, mut put: impl FnMut(String)) {
        if self.show.priority {
            let priority = row.priority.map_or("none".to_owned(), |number| number.to_string());
            put(format!("    priority {priority}"));
        }
        if self.show.templates {
            let name = |template: &Option<String>| template.clone().unwrap_or("none".to_owned());
            put(format!(
                "    e-mail {}, SMS {}, at {}",
                name(&row.email_template),
                name(&row.sms_template),
                row.time
            ));
        }
        if self.show.metadata {
            put(format!("    {}", row.metadata.as_deref().unwrap_or("no metadata")));
        }
    }
}

/// `birthday for 2026-04-15 skipped on 2026-04-01, row 7 untouched: Birthday exclusion window for CA`
fn describe_row(id: i64, row: &ScheduleRow, effects: &BTreeMap<i64, Effect>) -> String {
    let mut words = vec![row.email_type.clone()];
    words.extend(row.instance_id.map(|instance| format!("of instance {instance}")));
    words.extend(row.initial_id.map(|initial| format!("to row {initial}")));
    match (row.event_day(), row.event) {
        (Some(event), _) => words.push(format!("for {event}")),
        (None, [None, None, None]) => {}
        (None, other) => words.push(format!("for {other:?}")),
    }
    let planned = if row.is_planned() { "planned" } else { "skipped" };
    words.push(format!("{planned} on {}", row.date));
    match row.shift_days {
        Some(0) => {}
        Some(shift) => words.push(format!("(shift {shift:+})")),
        None => words.push("(no shift)".to_owned()),
    }
    let effect = match effects.get(&id) {
        Some(Effect::Inserted) => String::new(),
        Some(Effect::Updated) => format!(", row {id} updated"),
        Some(Effect::Deleted(_)) => unreachable!("the row exists"),
        None => format!(", row {id} untouched"),
    };
    let reason = row.skip_reason.as_deref().map(|reason| format!(": {reason}"));
    words.join(" ") + &effect + &reason.unwrap_or_default()
}
