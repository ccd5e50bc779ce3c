//! Reading rows of `email_schedules`: one by one, or as one that differs little from another.

use std::ops::Range;

use curfew_engine::{ExistingRow, FOLLOWUP_PREFIX, RawRow, RowReader, Status, VaryingColumns};
use libsql_pages::{Field, NumberPlace};

use crate::{
    json,
    stream::{Cells, PageRow},
};

type SqlResult<T> = rusqlite::Result<T>;

/// What is read of a row; before them comes the contact's id, so that they are counted from 1.
pub(crate) const COLUMNS: [&str; 17] = [
    "id",
    "email_type",
    "scheduled_send_date",
    "scheduled_send_time",
    "status",
    "skip_reason",
    "priority",
    "campaign_instance_id",
    "email_template",
    "sms_template",
    "event_year",
    "event_month",
    "event_day",
    "initial_schedule_id",
    "shift_days",
    "metadata",
    "actual_send_datetime",
];

const ID: usize = 1;
const EMAIL_TYPE: usize = 2;
const SEND_DATE: usize = 3;
const SEND_TIME: usize = 4;
const STATUS: usize = 5;
const SKIP_REASON: usize = 6;
const PRIORITY: usize = 7;
const INSTANCE: usize = 8;
const EMAIL_TEMPLATE: usize = 9;
const SMS_TEMPLATE: usize = 10;
const EVENT_YEAR: usize = 11;
const EVENT_MONTH: usize = 12;
const EVENT_DAY: usize = 13;
const INITIAL: usize = 14;
const SHIFT_DAYS: usize = 15;
const METADATA: usize = 16;
const SENT_AT: usize = 17;

/// What rows must have alike to be compared, see [`KnownRows`].
const ALIKE: [usize; 7] =
    [EMAIL_TYPE, SEND_TIME, STATUS, PRIORITY, INSTANCE, EMAIL_TEMPLATE, SMS_TEMPLATE];

/// The key of `metadata` under which a follow-up names its initial row.
const INITIAL_KEY: &str = "initial_comm_log_id";

/// Reads a row.
pub(crate) fn read<'r>(row: impl Cells<'r>, reader: &RowReader<'_>) -> SqlResult<ExistingRow> {
    let email_type = row.bytes(EMAIL_TYPE)?;
    let is_follow_up = email_type.is_some_and(|kind| {
        kind.get(..FOLLOWUP_PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(FOLLOWUP_PREFIX.as_bytes()))
    });
    // Whatever its kind, a committed row that names an initial row handles its follow-up.
    let named = row.text(METADATA)?;
    let metadata = named.filter(|_| is_follow_up);
    let metadata_initial = named
        .filter(|text| text.contains(INITIAL_KEY))
        .and_then(|text| json::pick(text, [INITIAL_KEY]))
        .and_then(|[initial]| initial?.as_i64());
    Ok(reader.read(&RawRow {
        id: row.integer(ID)?.unwrap_or_default(),
        email_type,
        scheduled_send_date: row.bytes(SEND_DATE)?,
        scheduled_send_time: row.bytes(SEND_TIME)?,
        status: row.bytes(STATUS)?,
        skip_reason: row.bytes(SKIP_REASON)?,
        priority: row.integer(PRIORITY)?,
        campaign_instance_id: row.integer(INSTANCE)?,
        email_template: row.bytes(EMAIL_TEMPLATE)?,
        sms_template: row.bytes(SMS_TEMPLATE)?,
        event_year: row.integer(EVENT_YEAR)?,
        event_month: row.integer(EVENT_MONTH)?,
        event_day: row.integer(EVENT_DAY)?,
        initial_schedule_id: row.integer(INITIAL)?,
        shift_days: row.integer(SHIFT_DAYS)?,
        metadata,
        metadata_initial,
        actual_send_datetime: row.text(SENT_AT)?,
    }))
}

/// Rows that others are compared with: of each shape of records the one that was read last.
///
/// The rows of a plan are alike in most columns: kind, time, status, priority, templates. What was
/// made of a row serves for all that have these alike, byte for byte, so that they are not looked at
/// one by one.
#[derive(Debug, Default)]
pub(crate) struct KnownRows(Vec<Option<KnownRow>>);

#[derive(Debug)]
struct KnownRow {
    /// The number of its shape.
    shape: u64,
    /// The bytes of [`ALIKE`], and where they begin.
    compared: Vec<(usize, Box<[u8]>)>,
    varying: Varying,
    row: ExistingRow,
}

/// Where the columns are in which rows mostly differ.
#[derive(Debug)]
struct Varying {
    /// `None`: it is the rowid.
    id: Option<NumberPlace>,
    scheduled_send_date: Option<Range<usize>>,
    skip_reason: Option<Range<usize>>,
    event_year: NumberPlace,
    event_month: NumberPlace,
    event_day: NumberPlace,
    initial_schedule_id: NumberPlace,
    shift_days: NumberPlace,
}

impl Varying {
    /// Of rows of the shape of this one; `None` if they have to be read column by column.
    fn of(row: PageRow<'_>) -> Option<Self> {
        let text = |at| match row.field(at) {
            Some(field) => Some(field.is_text().then(|| field.range())),
            None => row.text(at).is_none().then_some(None),
        };
        let number = |at| match row.field(at) {
            Some(field) => field.number_place(),
            None => Some(NumberPlace::constant(row.number(at))),
        };
        Some(Self {
            id: if row.is_rowid(ID) { None } else { Some(number(ID)?) },
            scheduled_send_date: text(SEND_DATE)?,
            skip_reason: text(SKIP_REASON)?,
            event_year: number(EVENT_YEAR)?,
            event_month: number(EVENT_MONTH)?,
            event_day: number(EVENT_DAY)?,
            initial_schedule_id: number(INITIAL)?,
            shift_days: number(SHIFT_DAYS)?,
        })
    }

    #[inline]
    fn read<'r>(&self, row: PageRow<'r>) -> VaryingColumns<'r> {
        let bytes = row.record();
        let text = |range: &Option<Range<usize>>| range.clone().and_then(|range| bytes.get(range));
        let id = match self.id {
            None => row.rowid(),
            Some(id) => id.read(bytes).unwrap_or_default(),
        };
        VaryingColumns {
            id,
            scheduled_send_date: text(&self.scheduled_send_date),
            skip_reason: text(&self.skip_reason),
            event_year: self.event_year.read(bytes),
            event_month: self.event_month.read(bytes),
            event_day: self.event_day.read(bytes),
            initial_schedule_id: self.initial_schedule_id.read(bytes),
            shift_days: self.shift_days.read(bytes),
        }
    }
}

impl KnownRows {
    /// Adds a row to `rows`, as [`read`] reads it.
    #[inline]
    pub(crate) fn read_into(
        &mut self,
        rows: &mut Vec<ExistingRow>,
        row: PageRow<'_>,
        reader: &RowReader<'_>,
    ) -> SqlResult<()> {
        if let Some(Some(known)) = self.0.get(row.shape().place())
            && known.is_like(row)
        {
            rows.push(reader.read_like(&known.row, &known.varying.read(row)));
            return Ok(());
        }
        let read = read(row, reader)?;
        self.learn(row, &read);
        rows.push(read);
        Ok(())
    }

    fn learn(&mut self, row: PageRow<'_>, read: &ExistingRow) {
        // What these say depends on more columns.
        let is_sent = matches!(read.status, Status::Committed { sent: true, .. });
        if is_sent || row.text(METADATA).is_some() {
            return;
        }
        let Some(varying) = Varying::of(row) else { return };
        let place = row.shape().place();
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place] = Some(KnownRow::of(row, varying, read.clone()));
    }
}

impl KnownRow {
    fn of(row: PageRow<'_>, varying: Varying, read: ExistingRow) -> Self {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        // What is not in the record is the same for all records of its shape.
        for range in ALIKE.into_iter().filter_map(|at| row.field(at)).map(Field::range) {
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        let bytes = |range: Range<usize>| Some((range.start, row.record().get(range)?.into()));
        let compared = ranges.into_iter().filter_map(bytes).collect();
        Self { shape: row.shape().number(), compared, varying, row: read }
    }

    #[inline]
    fn is_like(&self, row: PageRow<'_>) -> bool {
        let bytes = row.record();
        self.shape == row.shape().number()
            && self
                .compared
                .iter()
                .all(|(start, own)| bytes.get(*start..*start + own.len()) == Some(&**own))
    }
}
