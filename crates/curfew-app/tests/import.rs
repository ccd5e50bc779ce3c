//! Imports of ugly files into all sorts of databases.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{fmt::Write as _, fs, path::PathBuf};

use curfew_app::import::{
    Findings, ImportError, ImportReport, ImportRequest, Progress, Reason, import, import_from,
    import_with,
};
use curfew_engine::{Day, Today};
use rusqlite::{Connection, types::ValueRef};
use tempfile::TempDir;

/// A folder with a database and a file.
struct Room {
    folder: TempDir,
}

impl Room {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("org.db")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("contacts.csv")
    }

    fn request(&self) -> ImportRequest {
        let today = Today::new(Day::parse("2026-11-20").unwrap()).unwrap();
        ImportRequest::new(self.database(), self.file(), today)
    }

    fn import(&self, text: impl AsRef<[u8]>) -> ImportReport {
        self.try_import(text).unwrap()
    }

    fn try_import(&self, text: impl AsRef<[u8]>) -> Result<ImportReport, ImportError> {
        fs::write(self.file(), text).unwrap();
        import(&self.request())
    }

    fn open(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    fn sql(&self, sql: &str) {
        self.open().execute_batch(sql).unwrap();
    }

    /// The rows of a query, values separated by `|`.
    fn rows(&self, sql: &str) -> Vec<String> {
        let connection = self.open();
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let values = (0..columns).map(|i| match row.get_ref(i).unwrap() {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                other => format!("{other:?}"),
            });
            lines.push(values.collect::<Vec<_>>().join("|"));
        }
        lines
    }
}

/// Line, column and reason of each finding.
fn listed(findings: &Findings) -> Vec<(u64, &str, Reason)> {
    findings.listed.iter().map(|e| (e.line, e.column.as_deref().unwrap_or(""), e.reason)).collect()
}

/// Inserted, updated, unchanged, repeated, rejected; their sum is the number of lines.
fn counts(report: &ImportReport) -> [u64; 5] {
    let counts =
        [report.inserted, report.updated, report.unchanged, report.repeated, report.rejected];
    assert_eq!(counts.iter().sum::<u64>(), report.lines, "{report:?}");
    counts
}

const HEADER: &str = "id,first_name,last_name,email,zip_code,birth_date\n";

#[test]
fn a_missing_database_is_made_and_a_second_import_changes_no_byte() {
    let room = Room::new();
    let text = "First Name,Surname,E-Mail,Zip,DOB,Policy Effective Date,Phone,Notes\n\
                Ann,Lee,ann@example.com,90210,1952-02-29,2019-01-01,555-0101,x\n\
                Bob,Poe,bob@example.org,501,3/7/1950,12/1/2020,,y\n";
    let report = room.import(text);
    assert!(report.written);
    assert_eq!(counts(&report), [2, 0, 0, 0, 0]);
    assert_eq!((report.dates_normalized, report.states_derived), (2, 2));
    assert_eq!(listed(&report.notes), [(3, "Zip", Reason::ZipPadded)]);
    let columns: Vec<_> = report.columns.iter().map(|c| c.column.as_deref()).collect();
    assert_eq!(
        columns,
        [
            Some("first_name"),
            Some("last_name"),
            Some("email"),
            Some("zip_code"),
            Some("birth_date"),
            Some("effective_date"),
            Some("phone_number"),
            None,
        ]
    );
    assert_eq!(
        room.rows("SELECT * FROM contacts"),
        [
            "1|Ann|Lee|ann@example.com|90210|CA|1952-02-29|2019-01-01|555-0101|NULL|NULL|active",
            "2|Bob|Poe|bob@example.org|00501|NY|1950-03-07|2020-12-01|NULL|NULL|NULL|active",
        ]
    );

    let bytes = fs::read(room.database()).unwrap();
    let again = room.import(text);
    assert_eq!(counts(&again), [0, 0, 2, 0, 0]);
    assert!(again.is_unchanged());
    assert_eq!(fs::read(room.database()).unwrap(), bytes);
}

#[test]
fn every_bad_line_is_reported_with_its_number_column_and_reason() {
    let room = Room::new();
    let mut text = b"id;Email;ZIP;Birth Date;Effective;State\n".to_vec();
    for line in [
        &b"1;ann@example.com;90210;1952-01-05;2020-01-01;CA"[..],
        b"x;bob@example.com;90210;;;",
        b"3;not an address;90210;;;",
        b"4;dan@example;9021O;;;",
        b"5;eve@example.com;00000;;;",
        b"6;fay@example.com;90210;1952-02-30;;",
        b"7;gus@example.com;90210;1/5/52;5 Jan 2020;",
        b"8;hal@example.com;90210;13/1/1952;;",
        b"9;j\xF6rg@example.com;90210;;;",
        b"10;kim@example.com;90210",
        b"11;lea@example.com;90210;;;;;extra",
        b"12;\"max@example.com;90210;;;",
        b"13;;90210;;;",
        b"14;ned@example.com;;;;",
        b"0;oda@example.com;90210;;;",
        b"16;pia@example.com;90210;2031-01-01;;NY",
        b"",
        b";;;;;",
        b"17;quo@example.com;90210;;;Calif.",
    ] {
        text.extend_from_slice(line);
        text.extend_from_slice(b"\r\n");
    }
    let report = room.import(text);
    assert_eq!(
        listed(&report.problems),
        [
            (3, "id", Reason::IdMalformed),
            (4, "Email", Reason::EmailMalformed),
            (5, "Email", Reason::EmailMalformed),
            (5, "ZIP", Reason::ZipMalformed),
            (6, "ZIP", Reason::ZipUnknown),
            (7, "Birth Date", Reason::DateNotReal),
            (8, "Birth Date", Reason::DateTwoDigitYear),
            (8, "Effective", Reason::DateMalformed),
            (9, "Birth Date", Reason::DateNotReal),
            (10, "Email", Reason::NotUtf8),
            (11, "", Reason::FieldCount),
            (12, "", Reason::FieldCount),
            (13, "", Reason::OpenQuote),
            (14, "Email", Reason::EmailMissing),
            (15, "ZIP", Reason::ZipMissing),
            (16, "id", Reason::IdMalformed),
        ]
    );
    assert_eq!(
        listed(&report.notes),
        [
            (17, "Birth Date", Reason::BirthDateInTheFuture),
            (17, "State", Reason::StateMismatch),
            (20, "State", Reason::StateUnreadable),
        ]
    );
    assert_eq!(counts(&report), [3, 0, 0, 0, 14]);
    assert_eq!(
        room.rows("SELECT id, email, birth_date, state FROM contacts"),
        [
            "1|ann@example.com|1952-01-05|CA",
            "16|pia@example.com|2031-01-01|NY",
            "17|quo@example.com|NULL|CA",
        ]
    );
    let text_of = |line| {
        let entry = report.problems.listed.iter().find(|entry| entry.line == line).unwrap();
        format!("{}: {}", entry.value.clone().unwrap_or_default(), entry.text)
    };
    assert_eq!(text_of(6), "00000: is not a known ZIP code");
    assert_eq!(text_of(8), "1/5/52: has a year of two digits; write all four");
    assert_eq!(
        text_of(10),
        "j\u{fffd}rg@example.com: is not UTF-8 text (Latin-1, perhaps); save the file as UTF-8"
    );
    assert_eq!(text_of(11), ": the line has 3 fields, but the header has 6");
}

#[test]
fn strict_writes_all_or_nothing() {
    let room = Room::new();
    let good = "email,zip\nann@example.com,90210\n";
    let bad = format!("{good}bob@example.com,1\n");
    fs::write(room.file(), bad).unwrap();
    let strict = ImportRequest { strict: true, ..room.request() };
    let report = import(&strict).unwrap();
    assert!(!report.written);
    assert_eq!(counts(&report), [1, 0, 0, 0, 1]);
    assert!(!room.database().exists(), "nothing is left of an import that wrote nothing");

    fs::write(room.file(), good).unwrap();
    let report = import(&strict).unwrap();
    assert!(report.written);
    assert_eq!(counts(&report), [1, 0, 0, 0, 0]);
}

#[test]
fn strict_also_counts_what_only_the_table_refuses() {
    let room = Room::new();
    room.sql(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT,
           first_name TEXT CHECK (first_name <> 'Bob'))",
    );
    let text = "email,zip,first name\nann@example.com,90210,Ann\nbob@example.com,90210,Bob\n\
                bob@example.com,90211,\n";
    fs::write(room.file(), text).unwrap();
    let report = import(&ImportRequest { strict: true, ..room.request() }).unwrap();
    assert!(!report.written);
    assert_eq!(room.rows("SELECT count(*) FROM contacts"), ["0"]);

    let report = room.import(text);
    assert!(report.written);
    assert_eq!(counts(&report), [1, 0, 0, 0, 2]);
    assert_eq!(listed(&report.problems), [(3, "", Reason::RefusedByDatabase)]);
    assert!(report.problems.listed[0].text.contains("CHECK constraint failed"));
    assert!(report.problems.listed[0].text.contains("1 more lines"));
    assert_eq!(room.rows("SELECT email FROM contacts"), ["ann@example.com"]);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_touches_nothing() {
    let room = Room::new();
    let text = "email,zip\nann@example.com,90210\nbob@example.com,x\n";
    fs::write(room.file(), text).unwrap();
    let dry = ImportRequest { dry_run: true, ..room.request() };
    let report = import(&dry).unwrap();
    assert!(!report.written);
    assert_eq!(counts(&report), [1, 0, 0, 0, 1]);
    assert!(!room.database().exists());

    room.import(text);
    let bytes = fs::read(room.database()).unwrap();
    fs::write(
        room.file(),
        "email,zip,first_name\nANN@example.com,90210,Ann\ncal@example.com,2134,\nann@example.com,,\n",
    )
    .unwrap();
    let report = import(&dry).unwrap();
    assert_eq!(counts(&report), [1, 1, 0, 1, 0]);
    assert_eq!(fs::read(room.database()).unwrap(), bytes);
    assert_eq!(import(&room.request()).unwrap().updated, 1, "the dry run told the truth");
    let report = import(&dry).unwrap();
    assert_eq!(counts(&report), [0, 0, 2, 1, 0]);
}

#[test]
fn contacts_are_known_by_id_then_by_address_in_any_case() {
    let room = Room::new();
    room.import(format!(
        "{HEADER}7,Ann,Lee,ann@example.com,90210,1952-01-05\n8,Bob,Poe,bob@example.com,90210,\n"
    ));
    let report = room.import(format!(
        "{HEADER}7,Anna,,,,\n,Bobby,,BOB@example.com,,\n,Cal,Roe,cal@example.com,10001,\n"
    ));
    assert_eq!(counts(&report), [1, 2, 0, 0, 0]);
    assert_eq!(
        room.rows("SELECT id, first_name, last_name, email, zip_code, birth_date FROM contacts"),
        [
            "7|Anna|Lee|ann@example.com|90210|1952-01-05",
            "8|Bobby|Poe|BOB@example.com|90210|NULL",
            "9|Cal|Roe|cal@example.com|10001|NULL",
        ]
    );
}

#[test]
fn a_line_whose_id_and_address_name_two_contacts_is_bad() {
    let room = Room::new();
    room.import(format!(
        "{HEADER}1,,,a@example.com,90210,\n2,,,b@example.com,90210,\n3,,,c@example.com,90210,\n"
    ));
    let text = format!(
        "{HEADER}1,Ann,,b@example.com,90210,\n9,New,,c@example.com,90210,\n\
         2,Bob,,d@example.com,90210,\n3,Cal,,e@example.com,90210,\n3,Cal,,f@example.com,90210,\n"
    );
    let report = room.import(&text);
    assert_eq!(
        listed(&report.problems),
        [
            (2, "email", Reason::EmailOfAnother),
            (3, "email", Reason::EmailOfAnother),
            (4, "email", Reason::OldEmailInUse),
            (5, "email", Reason::OldEmailInUse),
            (6, "email", Reason::OtherEmail),
        ]
    );
    assert!(report.is_unchanged());
    // On their own, new addresses are taken.
    let report = room.import(format!("{HEADER}2,Bob,,d@example.com,90210,\n"));
    assert_eq!(counts(&report), [0, 1, 0, 0, 0]);
    assert_eq!(room.rows("SELECT email FROM contacts WHERE id = 2"), ["d@example.com"]);
}

#[test]
fn an_address_that_several_contacts_share_needs_an_id() {
    let room = Room::new();
    room.sql(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT, first_name TEXT);
         INSERT INTO contacts VALUES (1, 'both@example.com', '90210', 'Ann'),
                                     (2, ' BOTH@example.com', '90210', 'Bob')",
    );
    let report = room.import("id,email,first name\n,both@example.com,X\n2,both@example.com,Bert\n");
    assert_eq!(listed(&report.problems), [(2, "email", Reason::EmailOfSeveral)]);
    assert_eq!(counts(&report), [0, 1, 0, 0, 1]);
    assert_eq!(
        room.rows("SELECT * FROM contacts"),
        ["1|both@example.com|90210|Ann", "2|both@example.com|90210|Bert"]
    );
}

#[test]
fn of_lines_for_one_contact_the_later_value_counts_wherever_the_first_is_placed() {
    let room = Room::new();
    // Line 2 has no ZIP code, so it must wait for line 3 to make the contact.
    let text = "email,zip,first name,phone\n\
                ann@example.com,,First,555-0101\n\
                Ann@example.com,90210,Second,\n\
                ann@example.com,90211,,\n";
    let report = room.import(text);
    assert_eq!(counts(&report), [1, 0, 0, 2, 0]);
    assert_eq!(listed(&report.notes), [(2, "", Reason::Repeated), (4, "", Reason::Repeated)]);
    let row = ["ann@example.com|90211|Second|555-0101|CA"];
    let query = "SELECT email, zip_code, first_name, phone_number, state FROM contacts";
    assert_eq!(room.rows(query), row);
    let again = room.import(text);
    assert_eq!(counts(&again), [0, 0, 1, 2, 0]);
    assert_eq!(room.rows(query), row);
}

#[test]
fn a_database_of_the_older_application_takes_contacts() {
    let room = Room::new();
    room.sql(LEGACY_CONTACTS);
    room.sql(
        "INSERT INTO contacts (first_name, last_name, email, current_carrier, plan_type,
           effective_date, birth_date, tobacco_user, gender, state, zip_code, updated_at)
         VALUES ('Ann', 'Lee', 'Ann@Example.com', 'Acme', 'G', '2019-01-01', '1950-03-07', 1, 'F',
           'NV', '89101', '2020-01-01 00:00:00')",
    );
    let text = "Email;Zip;Carrier;Tobacco User;DOB\n\
                ann@example.com;89102;;;\n\
                bob@example.com;90210;Other;1;1/5/1952\n";
    let report = room.import(text);
    assert_eq!(counts(&report), [1, 1, 0, 0, 0]);
    assert_eq!(
        room.rows(
            "SELECT id, first_name, email, current_carrier, plan_type, effective_date, birth_date,
               typeof(tobacco_user), tobacco_user, gender, state, zip_code, agent_id,
               phone_number, status, created_at IS NOT NULL
             FROM contacts"
        ),
        [
            "1|Ann|ann@example.com|Acme|G|2019-01-01|1950-03-07|integer|1|F|NV|89102|NULL||active|1",
            "2||bob@example.com|Other|||1952-01-05|integer|1||CA|90210|NULL||active|1",
        ]
    );
    assert_eq!(
        room.rows("SELECT id FROM contacts WHERE updated_at > '2026'"),
        ["1", "2"],
        "a changed contact has a new time"
    );
    room.sql("UPDATE contacts SET updated_at = 'untouched'");
    assert!(room.import(text).is_unchanged());
    assert_eq!(room.rows("SELECT DISTINCT updated_at FROM contacts"), ["untouched"]);
}

/// The table of `email_schedules`' older application, as its databases have it.
const LEGACY_CONTACTS: &str = "CREATE TABLE contacts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  email TEXT NOT NULL UNIQUE,
  current_carrier TEXT NOT NULL,
  plan_type TEXT NOT NULL,
  effective_date TEXT NOT NULL,
  birth_date TEXT NOT NULL,
  tobacco_user INTEGER NOT NULL,
  gender TEXT NOT NULL,
  state TEXT NOT NULL,
  zip_code TEXT NOT NULL,
  agent_id INTEGER,
  last_emailed DATETIME,
  phone_number TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL DEFAULT 'active',
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
)";

#[test]
fn any_table_of_contacts_will_do() {
    let room = Room::new();
    // No row numbers, numbers for ZIP codes, a name that needs quotes, words as defaults, a
    // computed column, and a conflict clause that would cost another contact.
    room.sql(
        "CREATE TABLE contacts (
           \"Last \"\"Name\" TEXT, birthday TEXT, zip_code INTEGER, email TEXT COLLATE NOCASE,
           id INTEGER NOT NULL, kind TEXT DEFAULT \"plain\", mood TEXT DEFAULT fine,
           added TEXT DEFAULT (date('2020-01-01')), big TEXT AS (upper(email)),
           phone_number TEXT UNIQUE ON CONFLICT REPLACE,
           PRIMARY KEY (id)) WITHOUT ROWID;
         INSERT INTO contacts (id, email, zip_code, phone_number) VALUES (5, 'a@example.com', 501, '1')",
    );
    let text = "EMAIL\tlast_name\tZip\tBirthday\tkind\tmood\tbig\tphone\n\
                A@example.com\tLee\t00501\t1950-03-07\t\t\tno\t\n\
                b@example.com\tPoe\t90210\t\t\t\tno\t1\n\
                c@example.com\tRoe\t90210\t\tspecial\t\tno\t2\n";
    let report = room.import(text);
    assert_eq!(counts(&report), [1, 1, 0, 0, 1]);
    assert_eq!(listed(&report.problems), [(3, "", Reason::RefusedByDatabase)]);
    assert_eq!(report.columns[6].column, None, "nothing can be written to a computed column");
    let query = "SELECT id, email, \"Last \"\"Name\", zip_code, birthday, kind, mood, added,
                   phone_number FROM contacts";
    let rows = [
        "5|A@example.com|Lee|501|1950-03-07|plain|fine|2020-01-01|1",
        "7|c@example.com|Roe|90210|NULL|special|fine|2020-01-01|2",
    ];
    assert_eq!(room.rows(query), rows);
    let again = room.import(text);
    assert_eq!(counts(&again), [0, 0, 2, 0, 1]);
    assert_eq!(room.rows(query), rows);
}

#[test]
fn tables_that_cannot_be_written_to_are_refused_with_a_reason() {
    for (sql, expected) in [
        ("CREATE TABLE contacts (email TEXT, zip_code TEXT)", "has no column id"),
        ("CREATE TABLE contacts (id INTEGER PRIMARY KEY, zip_code TEXT)", "has no column email"),
        ("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT)", "has no column zip_code"),
        ("CREATE TABLE contacts (id INTEGER, email TEXT, zip_code TEXT)", "is not unique"),
        (
            "CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT);
             CREATE VIEW contacts AS SELECT * FROM people",
            "is a view",
        ),
    ] {
        let room = Room::new();
        room.sql(sql);
        let error = room.try_import("email,zip\nann@example.com,90210\n").unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let room = Room::new();
    room.sql(
        "CREATE TABLE contacts (id INTEGER, email TEXT, zip_code TEXT);
         CREATE UNIQUE INDEX contacts_id ON contacts (id)",
    );
    assert_eq!(room.import("email,zip\nann@example.com,90210\n").inserted, 1);
}

#[test]
fn databases_that_cannot_be_used_are_refused_with_a_reason() {
    let room = Room::new();
    let text = "email,zip\nann@example.com,90210\n";
    fs::write(room.database(), "this is a text file, and a long one for a header").unwrap();
    let error = room.try_import(text).unwrap_err();
    assert!(error.to_string().ends_with("org.db is not an SQLite database"), "{error}");
    assert_eq!(fs::read(room.database()).unwrap()[..4], *b"this");

    let request = ImportRequest {
        database: room.folder.path().join("missing").join("org.db"),
        ..room.request()
    };
    assert!(import(&request).unwrap_err().to_string().contains("cannot be opened"));
    let request = ImportRequest { file: room.folder.path().join("none.csv"), ..room.request() };
    assert!(import(&request).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn headers_that_do_not_tell_enough_are_refused_and_leave_no_file() {
    let room = Room::new();
    for (text, expected) in [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("ann@example.com,90210\nbob@example.com,90210\n", "no column is named `email` or `id`"),
        (
            "name,zip\n",
            "no column is named `email` or `id`; the first line must name the columns, but it reads: name, zip",
        ),
        ("email,zip,E-Mail\n", "the columns `email` and `E-Mail` all mean email"),
        ("email,Zip,Postal Code\n", "the columns `Zip` and `Postal Code` all mean zip_code"),
        ("email,phone,mobile\n", "the columns `phone` and `mobile` all mean phone_number"),
        ("id,email,contact id\n", "all mean id"),
        ("\"email,zip\n", "cannot be read"),
        ("\u{feff}\u{0}", "not a text file"),
        ("PK\u{3}\u{4}", "a spreadsheet"),
    ] {
        let error = room.try_import(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text:?}: {error}");
        assert!(!room.database().exists(), "{text:?}");
    }
    let error = room.try_import(b"\xFF\xFEe\0m\0").unwrap_err();
    assert!(error.to_string().contains("UTF-16"), "{error}");
}

#[test]
fn names_delimiters_and_marks_of_all_sorts_are_understood() {
    let rows = ["1|ann@example.com|90210|Lee, Ann|1950-03-07"];
    for text in [
        "\u{feff}E-Mail,Postal Code,Last-Name,Birthday\r\nann@example.com,90210,\"Lee, Ann\",1950-03-07\r\n",
        "sep=;\r\nEMAIL ADDRESS;zip;surname;d.o.b.\r\nann@example.com;90210;Lee, Ann;3/7/1950",
        "\nemail_address\tZIP_CODE\tLAST NAME\tDate of Birth\nann@example.com\t=\"90210\"\tLee, Ann\t1950-03-07T00:00:00\n",
        "\"Email\", \"Zip\", \"Last\", \"DOB\"\n\"ann@example.com\", \"90210\", \"Lee, Ann\", \"03/07/1950\"\n",
        "email;zip;last_name;dob;remarks, if any\rann@example.com;90210;Lee, Ann;3/7/1950 0:00;\"a\rb\"\r",
    ] {
        let room = Room::new();
        let report = room.import(text);
        assert_eq!(counts(&report), [1, 0, 0, 0, 0], "{text}: {report:?}");
        let query = "SELECT id, email, zip_code, last_name, birth_date FROM contacts";
        assert_eq!(room.rows(query), rows, "{text}");
    }
}

#[test]
fn the_state_follows_the_zip_code_unless_somebody_said_otherwise() {
    let room = Room::new();
    room.import("id,email,zip,state\n1,a@example.com,90210,\n2,b@example.com,90210,nevada\n");
    let states = "SELECT id, zip_code, state FROM contacts";
    assert_eq!(room.rows(states), ["1|90210|CA", "2|90210|NV"]);
    let report = room.import("id,zip\n1,10001\n2,10001\n");
    assert_eq!(room.rows(states), ["1|10001|NY", "2|10001|NV"]);
    assert_eq!(report.states_derived, 1);
    assert_eq!(listed(&report.notes), [(3, "state", Reason::StateMismatch)]);
    assert_eq!(
        report.notes.listed[0].text,
        "is NV, but the ZIP code is in NY; the rules of both apply"
    );
}

#[test]
fn new_ids_are_beyond_all_ids_of_the_table_and_of_the_file() {
    let room = Room::new();
    room.import("id,email,zip\n10,a@example.com,90210\n");
    room.sql("DELETE FROM contacts");
    // Line 3 is bad, but may come again put right: nobody else may have got its id by then.
    room.import(
        "id,email,zip\n,b@example.com,90210\n30,c@example.com,bad\n20,d@example.com,90210\n",
    );
    assert_eq!(
        room.rows("SELECT id, email FROM contacts ORDER BY id"),
        ["20|d@example.com", "31|b@example.com"]
    );
    let report = room.import("id,email,zip\n30,c@example.com,90210\n");
    assert_eq!(counts(&report), [1, 0, 0, 0, 0]);
}

#[test]
fn a_report_file_has_every_finding_and_the_report_the_first_thousand() {
    let room = Room::new();
    let mut text = "email,zip\n".to_owned();
    for i in 0..3000 {
        writeln!(text, "a{i}@example.com,{}", if i % 2 == 0 { "x" } else { "2134" }).unwrap();
    }
    fs::write(room.file(), text).unwrap();
    let path = room.folder.path().join("report.csv");
    let request = ImportRequest { report: Some(path.clone()), ..room.request() };
    let report = import(&request).unwrap();
    assert_eq!(counts(&report), [1500, 0, 0, 0, 1500]);
    for findings in [&report.problems, &report.notes] {
        assert_eq!((findings.listed.len(), findings.not_listed), (1000, 500));
    }
    assert_eq!(report.problems.by_reason[&Reason::ZipMalformed], 1500);
    let lines: Vec<String> =
        fs::read_to_string(path).unwrap().lines().map(ToOwned::to_owned).collect();
    assert_eq!(lines.len(), 3001);
    assert_eq!(
        lines[..3],
        [
            "line,level,column,value,reason,text",
            "2,problem,zip,x,zip_malformed,is not of the form NNNNN or NNNNN-NNNN",
            "3,note,zip,2134,zip_padded,has lost its leading zeros; taken as 02134",
        ]
    );

    for overwritten in [room.file(), room.database()] {
        let request = ImportRequest { report: Some(overwritten), ..room.request() };
        let error = import(&request).unwrap_err();
        assert!(error.to_string().contains("would overwrite"), "{error}");
    }
}

#[test]
fn the_json_report_has_the_documented_names() {
    let room = Room::new();
    fs::write(room.file(), "email,zip,notes\nann@example.com,2134,\nbob,2134,\n").unwrap();
    let mut report = import(&room.request()).unwrap();
    report.file = "contacts.csv".to_owned();
    report.database = "org.db".to_owned();
    expect_test::expect![[r#"
        {
          "file": "contacts.csv",
          "database": "org.db",
          "written": true,
          "dry_run": false,
          "strict": false,
          "lines": 2,
          "inserted": 1,
          "updated": 0,
          "unchanged": 0,
          "repeated": 0,
          "rejected": 1,
          "dates_normalized": 0,
          "states_derived": 1,
          "columns": [
            {
              "header": "email",
              "column": "email"
            },
            {
              "header": "zip",
              "column": "zip_code"
            },
            {
              "header": "notes",
              "column": null
            }
          ],
          "problems": {
            "by_reason": {
              "email_malformed": 1
            },
            "listed": [
              {
                "line": 3,
                "column": "email",
                "value": "bob",
                "reason": "email_malformed",
                "text": "is not a valid e-mail address"
              }
            ],
            "not_listed": 0
          },
          "notes": {
            "by_reason": {
              "zip_padded": 1
            },
            "listed": [
              {
                "line": 2,
                "column": "zip",
                "value": "2134",
                "reason": "zip_padded",
                "text": "has lost its leading zeros; taken as 02134"
              }
            ],
            "not_listed": 0
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn nothing_is_written_while_an_import_is_not_complete() {
    /// Fails where a file ends that is still being written, or a disk that breaks.
    struct Broken<'a>(&'a [u8]);
    impl std::io::Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(std::io::Error::other("gone"));
            }
            std::io::Read::read(&mut self.0, buffer)
        }
    }
    let room = Room::new();
    room.import("email,zip\nann@example.com,90210\n");
    let bytes = fs::read(room.database()).unwrap();
    let mut text = "email,zip\n".to_owned();
    for i in 0..50_000 {
        writeln!(text, "a{i}@example.com,90210").unwrap();
    }
    let error = import_from(&room.request(), Broken(text.as_bytes()), |_| {}).unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
    assert_eq!(fs::read(room.database()).unwrap(), bytes);

    // Another reader sees the old contacts until the end.
    fs::write(room.file(), text).unwrap();
    let mut seen = Vec::new();
    import_with(&room.request(), |progress| {
        if matches!(progress, Progress::Reading { .. }) {
            seen.push(room.rows("SELECT count(*) FROM contacts"));
        }
    })
    .unwrap();
    assert_eq!(seen, vec![["1"]; 5]);
    assert_eq!(room.rows("SELECT count(*) FROM contacts"), ["50001"]);
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// A few ids and addresses, so that lines meet; also what is missing or bad.
    fn line() -> impl Strategy<Value = String> {
        let id =
            prop_oneof![3 => Just(String::new()), 4 => (1..6_u8).prop_map(|id| id.to_string())];
        let email = prop_oneof![
            1 => Just(String::new()),
            6 => "[a-eA-C]@example\\.com",
        ];
        let zip = prop_oneof![
            3 => Just("90210"), 2 => Just("10001"), 2 => Just("501"), 2 => Just(""), 1 => Just("x"),
        ];
        let state = prop_oneof![4 => Just(""), 1 => Just("NV"), 1 => Just("CA")];
        (id, email, zip, state, "[a-c]{0,1}", "[x-z]{0,1}")
            .prop_map(|(id, email, zip, state, a, b)| format!("{id},{email},{zip},{state},{a},{b}"))
    }

    fn file() -> impl Strategy<Value = String> {
        (any::<bool>(), prop::collection::vec(line(), 0..14)).prop_map(|(ids, lines)| {
            let mut text = "id,email,zip,state,first,last\n".to_owned();
            for line in lines {
                text.push_str(&line);
                text.push('\n');
            }
            if ids {
                return text;
            }
            // The same file without its first column.
            text.lines().map(|line| line.split_once(',').unwrap().1.to_owned() + "\n").collect()
        })
    }

    fn existing() -> impl Strategy<Value = String> {
        let row = (1..6_u8, "[a-eA-C]", prop_oneof!["90210", "10001", ""], "(NV|CA|NY|)");
        prop::collection::vec(row, 0..5).prop_map(|rows| {
            let mut sql =
                "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT,
                state TEXT, first_name TEXT, last_name TEXT);"
                    .to_owned();
            for (id, email, zip, state) in rows {
                write!(
                    sql,
                    "INSERT OR IGNORE INTO contacts VALUES
                       ({id}, '{email}@example.com', '{zip}', '{state}', 'q', '');"
                )
                .unwrap();
            }
            sql
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]
        #[test]
        fn a_second_import_changes_nothing_and_rejects_the_same_lines(
            existing in existing(),
            text in file(),
        ) {
            let room = Room::new();
            room.sql(&existing);
            let all = "SELECT * FROM contacts ORDER BY id";
            let before = room.rows(all);

            fs::write(room.file(), &text).unwrap();
            let dry = import(&ImportRequest { dry_run: true, ..room.request() }).unwrap();
            prop_assert_eq!(room.rows(all), before.clone());

            let first = room.import(&text);
            let after = room.rows(all);
            prop_assert_eq!(counts(&first), counts(&dry));
            prop_assert_eq!(&first.problems, &dry.problems);
            prop_assert_eq!(&first.notes, &dry.notes);
            prop_assert_eq!(after.len(), before.len() + usize::try_from(first.inserted).unwrap());

            let second = room.import(&text);
            prop_assert!(second.is_unchanged(), "{second:?}");
            prop_assert_eq!(room.rows(all), after);
            let rejected = |report: &ImportReport| -> Vec<u64> {
                report.problems.listed.iter().map(|e| e.line).collect()
            };
            prop_assert_eq!(rejected(&second), rejected(&first));

            // Nobody comes to share an address.
            let shared = "SELECT lower(email) FROM contacts GROUP BY lower(email) HAVING count(*) > 1";
            let shared_before = {
                let other = Room::new();
                other.sql(&existing);
                other.rows(shared)
            };
            for email in room.rows(shared) {
                prop_assert!(shared_before.contains(&email), "{email}");
            }
        }
    }
}
