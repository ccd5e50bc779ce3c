//! An organization in memory: the tables that a plan reads and writes, and one run of the scheduler
//! over them. It stands where the store stands in the program, and checks what the store relies on.

use std::collections::{BTreeMap, BTreeSet};

use curfew_engine::{
    Answer, Balance, Behaviour, Campaign, Catalog, Change, ChangedMeanwhile, Changes, ContactInput,
    DateError, Day, DeleteReason, Draft, ExistingRow, Fate, Issue, Ledger, Limits, Message, Moment,
    Note, PlanConfig, Planner, RawContact, RawRow, RowReader, SkipReason, Standing, Status, Tally,
    Target, TargetStatus, Today, Value, WantedRow,
};

/// A value of a column of `contacts`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Cell {
    #[default]
    Null,
    Integer(i64),
    Text(String),
    Blob,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::of(text),
            Self::Blob => Value::Other,
        }
    }
}

/// A row of `contacts`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContactRow {
    pub(crate) email: Cell,
    pub(crate) zip_code: Cell,
    pub(crate) birth_date: Cell,
    pub(crate) effective_date: Cell,
    pub(crate) state: Cell,
    pub(crate) phone_number: Cell,
    pub(crate) status: Cell,
}

impl ContactRow {
    fn raw(&self, id: i64) -> RawContact<'_> {
        RawContact {
            id,
            email: self.email.value(),
            zip_code: self.zip_code.value(),
            birth_date: self.birth_date.value(),
            effective_date: self.effective_date.value(),
            state: self.state.value(),
            phone_number: self.phone_number.value(),
            status: self.status.value(),
        }
    }
}

/// A row of `email_schedules`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ScheduleRow {
    pub(crate) contact_id: i64,
    pub(crate) email_type: String,
    pub(crate) date: String,
    pub(crate) time: String,
    pub(crate) status: String,
    pub(crate) skip_reason: Option<String>,
    pub(crate) priority: Option<i64>,
    pub(crate) instance_id: Option<i64>,
    pub(crate) email_template: Option<String>,
    pub(crate) sms_template: Option<String>,
    pub(crate) event: [Option<i64>; 3],
    pub(crate) initial_id: Option<i64>,
    pub(crate) shift_days: Option<i64>,
    pub(crate) metadata: Option<String>,
    pub(crate) actual_send_datetime: Option<String>,
}

impl ScheduleRow {
    pub(crate) fn is_owned(&self) -> bool {
        Status::of(Some(&self.status)).is_owned()
    }

    pub(crate) fn is_planned(&self) -> bool {
        self.status == "pre-scheduled"
    }

    pub(crate) fn day(&self) -> Option<Day> {
        Day::parse(&self.date).ok()
    }

    /// The event date, if the event columns name one.
    pub(crate) fn event_day(&self) -> Option<Day> {
        let [year, month, day] = self.event;
        Day::from_ymd(
            i16::try_from(year?).ok()?,
            i8::try_from(month?).ok()?,
            i8::try_from(day?).ok()?,
        )
    }

    pub(crate) fn is_follow_up(&self) -> bool {
        self.email_type.to_ascii_lowercase().starts_with("followup_")
    }

    /// What must be unique among owned rows that have event columns (SPEC section 9).
    fn unique_key(&self) -> Option<(i64, &str, i64, [i64; 3], i64)> {
        let [Some(year), Some(month), Some(day)] = self.event else { return None };
        self.is_owned().then(|| {
            (
                self.contact_id,
                self.email_type.as_str(),
                self.instance_id.unwrap_or(0),
                [year, month, day],
                self.initial_id.unwrap_or(0),
            )
        })
    }

    fn read(&self, id: i64, reader: &RowReader<'_>) -> ExistingRow {
        let metadata_initial = self.metadata.as_deref().and_then(|text| {
            let value: serde_json::Value = serde_json::from_str(text).ok()?;
            value.get("initial_comm_log_id")?.as_i64()
        });
        reader.read(&RawRow {
            id,
            email_type: Some(self.email_type.as_bytes()),
            scheduled_send_date: Some(self.date.as_bytes()),
            scheduled_send_time: Some(self.time.as_bytes()),
            status: Some(self.status.as_bytes()),
            skip_reason: self.skip_reason.as_deref().map(str::as_bytes),
            priority: self.priority,
            campaign_instance_id: self.instance_id,
            email_template: self.email_template.as_deref().map(str::as_bytes),
            sms_template: self.sms_template.as_deref().map(str::as_bytes),
            event_year: self.event[0],
            event_month: self.event[1],
            event_day: self.event[2],
            initial_schedule_id: self.initial_id,
            shift_days: self.shift_days,
            metadata: self.metadata.as_deref(),
            metadata_initial,
            actual_send_datetime: self.actual_send_datetime.as_deref(),
        })
    }

    fn write(&mut self, wanted: &WantedRow, catalog: &Catalog, config: &PlanConfig) {
        let kind = catalog.kind(wanted.kind);
        let owned = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        self.email_type = kind.text.to_string();
        self.date = wanted.date.to_string();
        self.time.clone_from(&config.send_time);
        let status = if wanted.skip.is_none() { "pre-scheduled" } else { "skipped" };
        status.clone_into(&mut self.status);
        self.skip_reason = wanted.skip.as_ref().map(|reason| reason.text(config).into_owned());
        self.priority = Some(wanted.priority);
        self.instance_id = wanted.instance_id;
        self.email_template = owned(&kind.email_template);
        self.sms_template = if wanted.sms { owned(&kind.sms_template) } else { None };
        self.event = [wanted.event.year, wanted.event.month, wanted.event.day];
        self.initial_id = wanted.initial_id;
        self.shift_days = Some(wanted.shift_days.into());
        self.metadata = owned(&wanted.metadata);
    }
}

/// A row of `contact_campaigns`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TargetRow {
    pub(crate) contact_id: i64,
    pub(crate) instance_id: i64,
    pub(crate) trigger: Option<String>,
    pub(crate) status: Option<String>,
}

/// All that a plan reads and writes.
#[derive(Clone, Debug)]
pub(crate) struct Organization {
    pub(crate) today: Day,
    pub(crate) config: PlanConfig,
    pub(crate) campaigns: Vec<Campaign>,
    /// The number of rows in `contacts`, if it is not that of `contacts` below.
    pub(crate) contacts_in_all: Option<u64>,
    pub(crate) contacts: BTreeMap<i64, ContactRow>,
    pub(crate) rows: BTreeMap<i64, ScheduleRow>,
    pub(crate) targets: BTreeMap<i64, TargetRow>,
    /// Contact and time of every click.
    pub(crate) clicks: Vec<(i64, Moment)>,
    /// Contact and content of every answer, by id.
    pub(crate) answers: Vec<(i64, Answer)>,
    /// Row ids are never used twice.
    pub(crate) last_row_id: i64,
}

/// What one run decided.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) catalog: Catalog,
    pub(crate) contacts: Vec<ContactPlan>,
    pub(crate) limits: Limits,
    pub(crate) moved: u64,
    pub(crate) days_above_threshold: usize,
    pub(crate) volume: BTreeMap<Day, u64>,
    pub(crate) tally: Tally,
}

/// What one run decided for one contact.
#[derive(Debug)]
pub(crate) struct ContactPlan {
    pub(crate) id: i64,
    pub(crate) standing: Option<Standing>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) messages: Vec<PlannedMessage>,
    pub(crate) fates: Vec<Fate>,
    pub(crate) notes: Vec<Note>,
    pub(crate) changes: Changes,
}

/// A considered message as it ended.
#[derive(Debug)]
pub(crate) struct PlannedMessage {
    pub(crate) message: Message,
    pub(crate) date: Day,
    pub(crate) is_planned: bool,
    pub(crate) is_moved: bool,
    pub(crate) is_refused: bool,
    /// Id of the row that it had before.
    pub(crate) row_id: Option<i64>,
}

/// What a run did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Inserted,
    Updated,
    Deleted(DeleteReason),
}

impl Plan {
    pub(crate) fn is_unchanged(&self) -> bool {
        self.contacts.iter().all(|contact| contact.changes.is_empty())
    }

    pub(crate) fn contact(&self, id: i64) -> Option<&ContactPlan> {
        self.contacts.iter().find(|contact| contact.id == id)
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = (i64, &PlannedMessage)> {
        self.contacts
            .iter()
            .flat_map(|contact| contact.messages.iter().map(|message| (contact.id, message)))
    }
}

impl Organization {
    pub(crate) fn new(today: Day, config: PlanConfig) -> Self {
        Self {
            today,
            config,
            campaigns: Vec::new(),
            contacts_in_all: None,
            contacts: BTreeMap::new(),
            rows: BTreeMap::new(),
            targets: BTreeMap::new(),
            clicks: Vec::new(),
            answers: Vec::new(),
            last_row_id: 0,
        }
    }

    /// Adds a row with a new id.
    pub(crate) fn add_row(&mut self, row: ScheduleRow) -> i64 {
        self.last_row_id = self.last_row_id.max(self.rows.keys().max().copied().unwrap_or(0)) + 1;
        self.rows.insert(self.last_row_id, row);
        self.last_row_id
    }

    /// Plans the organization; `contacts_per_ledger` says how the work is divided.
    ///
    /// # Panics
    /// If a contact that is not among the changed ones has something to write.
    pub(crate) fn plan(&self, contacts_per_ledger: usize) -> Plan {
        let catalog = Catalog::new(&self.config, self.campaigns.clone());
        let today = Today::new(self.today).expect("a year that plans are made for");
        let planner = Planner::new(&self.config, &catalog, today);
        let reader = RowReader::new(&self.config, &catalog);
        let read = self.read(&catalog, &reader);

        let mut draft = Draft::default();
        let mut ledgers = Vec::new();
        for chunk in read.chunks(contacts_per_ledger.max(1)) {
            let mut ledger = Ledger::new(&planner);
            for contact in chunk {
                let input = contact.input(self);
                planner.draft(&input, &mut draft);
                let dirty = planner.has_stale_targets(&input);
                ledger.add(&planner, &draft, &contact.rows, dirty);
            }
            ledgers.push(ledger);
        }
        let limits = Limits::of(&self.config, self.number_of_contacts());
        let balance = Balance::new(&planner, ledgers, limits);

        let changed: BTreeSet<i64> = balance.changed().map(|changed| changed.id).collect();
        assert_eq!(changed.len(), balance.changed_count(), "no contact is changed twice");
        let contacts = read.iter().map(|contact| {
            let input = contact.input(self);
            let mut draft = Draft { explain: true, ..Draft::default() };
            planner.draft(&input, &mut draft);
            let settled = balance.settled(contact.id);
            let mut changes = Changes::default();
            planner
                .changes(&input, &draft, settled, &mut changes)
                .expect("the data are those that were balanced");
            assert!(
                changes.is_empty() || changed.contains(&contact.id),
                "contact {} is not among the changed ones, but has {changes:?}",
                contact.id
            );
            let outcomes = draft.outcomes(settled).expect("as above");
            let messages = outcomes.into_iter().map(|outcome| PlannedMessage {
                message: outcome.message.clone(),
                date: outcome.date,
                is_planned: outcome.is_planned(),
                is_moved: outcome.moved,
                is_refused: outcome.refused,
                row_id: outcome.message.row.map(|at| contact.rows[at].id),
            });
            ContactPlan {
                id: contact.id,
                messages: messages.collect(),
                standing: draft.standing.take(),
                issues: std::mem::take(&mut draft.issues),
                fates: std::mem::take(&mut draft.fates),
                notes: std::mem::take(&mut draft.notes),
                changes,
            }
        });
        let contacts = contacts.collect();
        let (moved, days_above_threshold) = (balance.moved(), balance.days_above_threshold());
        let volume = balance.volume().collect();
        let tally = balance.tally().clone();
        Plan { catalog, contacts, limits, moved, days_above_threshold, volume, tally }
    }

    /// Plans the organization, and then settles the contact with the data that it has `now`.
    pub(crate) fn settle_later(
        &self,
        now: &Self,
        contact_id: i64,
    ) -> Result<Changes, ChangedMeanwhile> {
        let catalog = Catalog::new(&self.config, self.campaigns.clone());
        let today = Today::new(self.today).expect("a year that plans are made for");
        let planner = Planner::new(&self.config, &catalog, today);
        let reader = RowReader::new(&self.config, &catalog);
        let mut draft = Draft::default();
        let mut ledger = Ledger::new(&planner);
        for contact in self.read(&catalog, &reader) {
            planner.draft(&contact.input(self), &mut draft);
            ledger.add(&planner, &draft, &contact.rows, false);
        }
        let limits = Limits::of(&self.config, self.number_of_contacts());
        let balance = Balance::new(&planner, vec![ledger], limits);
        let read = now.read(&catalog, &reader);
        let contact = read.iter().find(|contact| contact.id == contact_id).expect("it exists");
        planner.draft(&contact.input(now), &mut draft);
        let mut changes = Changes::default();
        planner.changes(&contact.input(now), &draft, balance.settled(contact_id), &mut changes)?;
        Ok(changes)
    }

    pub(crate) fn number_of_contacts(&self) -> u64 {
        self.contacts_in_all.unwrap_or(self.contacts.len() as u64)
    }

    fn read(&self, catalog: &Catalog, reader: &RowReader<'_>) -> Vec<ReadContact> {
        let mut read: BTreeMap<i64, ReadContact> = BTreeMap::new();
        let of = |read: &mut BTreeMap<i64, ReadContact>, id: i64| {
            read.entry(id).or_insert_with(|| ReadContact::new(id));
        };
        for id in self.contacts.keys() {
            of(&mut read, *id);
        }
        for (id, row) in &self.rows {
            of(&mut read, row.contact_id);
            read.get_mut(&row.contact_id).expect("just added").rows.push(row.read(*id, reader));
        }
        for (id, target) in &self.targets {
            let campaign = catalog.campaign_index(target.instance_id);
            of(&mut read, target.contact_id);
            let trigger: Result<Option<Day>, DateError> =
                target.trigger.as_deref().map(Day::parse).transpose();
            read.get_mut(&target.contact_id).expect("just added").targets.push(Target {
                id: *id,
                campaign,
                trigger,
                status: TargetStatus::of(target.status.as_deref()),
            });
        }
        for contact in read.values_mut() {
            let clicks = self.clicks.iter().filter(|(id, _)| *id == contact.id);
            contact.behaviour.clicks = clicks.map(|(_, at)| *at).collect();
            contact.behaviour.clicks.sort_unstable();
            let answers = self.answers.iter().filter(|(id, _)| *id == contact.id);
            contact.behaviour.answers = answers.map(|(_, answer)| *answer).collect();
            contact.behaviour.answers.sort_by_key(|answer| answer.at);
        }
        read.into_values().collect()
    }

    /// Writes what a plan changes, in its order, and says what happened to each row.
    ///
    /// # Panics
    /// If the plan touches a row that the sender has, a row of another contact, or one that does not
    /// exist; or if two owned rows of one event exist at any point.
    pub(crate) fn apply(&mut self, plan: &Plan) -> BTreeMap<i64, Effect> {
        let mut effects = BTreeMap::new();
        for contact in &plan.contacts {
            for change in &contact.changes.rows {
                // A database may come with several rows of one event, but never gets more.
                let twins = self.twins(contact.id);
                let (id, effect) = self.apply_change(contact.id, change, &plan.catalog);
                let before = effects.insert(id, effect);
                assert_eq!(before, None, "row {id} is changed twice");
                assert!(self.twins(contact.id) <= twins, "row {id} is a second one of its event");
            }
            assert_eq!(
                self.twins(contact.id),
                0,
                "contact {} has two rows of one event",
                contact.id
            );
            for (id, status) in &contact.changes.targets {
                let target = self.targets.get_mut(id).expect("the target exists");
                assert_eq!(target.contact_id, contact.id, "it is a target of the contact");
                assert_ne!(target.status.as_deref(), Some("sent"), "what was sent stays sent");
                target.status = Some(status.text().to_owned());
            }
        }
        effects
    }

    fn apply_change(
        &mut self,
        contact_id: i64,
        change: &Change,
        catalog: &Catalog,
    ) -> (i64, Effect) {
        let id = match change {
            Change::Insert(wanted) => {
                let mut row = ScheduleRow { contact_id, ..ScheduleRow::default() };
                row.write(wanted, catalog, &self.config);
                return (self.add_row(row), Effect::Inserted);
            }
            Change::Update { id, .. }
            | Change::Expire { id }
            | Change::LowerCase { id }
            | Change::Delete { id, .. } => *id,
        };
        let config = &self.config;
        let row = self.rows.get_mut(&id).expect("the row exists");
        assert_eq!(row.contact_id, contact_id, "row {id} is one of the contact");
        assert!(row.is_owned(), "row {id} is {}: the sender has it", row.status);
        let effect = match change {
            Change::Insert(_) => unreachable!("handled above"),
            Change::Update { row: wanted, .. } => {
                row.write(wanted, catalog, config);
                Effect::Updated
            }
            Change::Expire { .. } => {
                "skipped".clone_into(&mut row.status);
                row.skip_reason = Some(SkipReason::Expired.text(config).into_owned());
                // Owned rows' kinds become lower case, whatever else is written.
                row.email_type.make_ascii_lowercase();
                Effect::Updated
            }
            Change::LowerCase { .. } => {
                row.email_type.make_ascii_lowercase();
                Effect::Updated
            }
            Change::Delete { why, .. } => {
                self.rows.remove(&id);
                Effect::Deleted(*why)
            }
        };
        (id, effect)
    }

    /// How many owned rows of a contact there are beyond one for each event.
    fn twins(&self, contact_id: i64) -> usize {
        let rows = self.rows.values().filter(|row| row.contact_id == contact_id);
        let keys: Vec<_> = rows.filter_map(ScheduleRow::unique_key).collect();
        keys.len() - keys.iter().collect::<BTreeSet<_>>().len()
    }
}

/// One contact with all that belongs to it.
struct ReadContact {
    id: i64,
    rows: Vec<ExistingRow>,
    targets: Vec<Target>,
    behaviour: Behaviour,
}

impl ReadContact {
    fn new(id: i64) -> Self {
        Self { id, rows: Vec::new(), targets: Vec::new(), behaviour: Behaviour::default() }
    }

    fn input<'a>(&'a self, organization: &'a Organization) -> ContactInput<'a> {
        ContactInput {
            id: self.id,
            contact: organization.contacts.get(&self.id).map(|contact| contact.raw(self.id)),
            rows: &self.rows,
            targets: &self.targets,
            behaviour: &self.behaviour,
        }
    }
}
