//! Which column of the file goes into which column of the table.

use std::io::Read;

use curfew_store::contacts::ContactsDatabase;

use super::{
    ColumnReport, ImportError,
    records::{Next, Record, Records},
};

/// What the import knows how to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Id,
    FirstName,
    LastName,
    Email,
    ZipCode,
    State,
    BirthDate,
    EffectiveDate,
    PhoneNumber,
    Status,
    CurrentCarrier,
    PlanType,
}

impl Known {
    const ALL: [Self; 12] = [
        Self::Id,
        Self::FirstName,
        Self::LastName,
        Self::Email,
        Self::ZipCode,
        Self::State,
        Self::BirthDate,
        Self::EffectiveDate,
        Self::PhoneNumber,
        Self::Status,
        Self::CurrentCarrier,
        Self::PlanType,
    ];

    /// The column's name, then what else it is called, as [`plain`] has it.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Id => &["id", "contactid"],
            Self::FirstName => &["firstname", "first", "givenname", "forename", "fname"],
            Self::LastName => &["lastname", "last", "surname", "familyname", "lname"],
            Self::Email => &["email", "emailaddress", "emailaddr", "mail", "primaryemail"],
            Self::ZipCode => &["zipcode", "zip", "postalcode", "postcode", "zippostalcode", "zip5"],
            Self::State => &["state", "statecode", "stateprovince", "stateabbreviation", "usstate"],
            Self::BirthDate => &["birthdate", "dateofbirth", "dob", "birthday", "bday", "born"],
            Self::EffectiveDate => &[
                "effectivedate",
                "policyeffectivedate",
                "planeffectivedate",
                "coverageeffectivedate",
                "policyeffective",
                "effective",
                "effdate",
                "policystartdate",
            ],
            Self::PhoneNumber => &[
                "phonenumber",
                "phone",
                "telephone",
                "telephonenumber",
                "tel",
                "mobile",
                "mobilephone",
                "mobilenumber",
                "cell",
                "cellphone",
            ],
            Self::Status => &["status", "contactstatus"],
            Self::CurrentCarrier => &["currentcarrier", "carrier", "insurancecarrier", "insurer"],
            Self::PlanType => &["plantype", "plan"],
        }
    }

    /// What a file without the column would call it.
    const fn column_name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::ZipCode => "zip_code",
            Self::State => "state",
            _ => self.names()[0],
        }
    }

    fn of(plain: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.names().contains(&plain))
    }

    /// The column of the table that it goes into.
    fn column(self, database: &ContactsDatabase) -> Option<&str> {
        if self == Self::BirthDate {
            return database.birth_date_column();
        }
        // Its own name first, then what else the table may call it.
        self.names()
            .iter()
            .find_map(|name| database.columns().find(|column| plain(column) == *name))
    }
}

/// Where a column of the file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It says which contact is meant.
    Id,
    /// Into a column of the table, checked for what it is.
    Known(Known, String),
    /// Into a column of the table that has the same name.
    SameName(String),
    /// Nowhere.
    Ignored,
}

impl Use {
    fn is(&self, known: Known) -> bool {
        matches!(self, Self::Known(other, _) if *other == known)
    }
}

/// The columns of a file.
#[derive(Debug)]
pub(super) struct Header {
    /// Their names as the file has them, and what becomes of them.
    pub(super) columns: Vec<(String, Use)>,
}

impl Header {
    /// The columns of the table that are written, in the order of the cells.
    pub(super) fn targets(&self) -> Vec<&str> {
        self.columns
            .iter()
            .filter_map(|(_, using)| match using {
                Use::Known(_, column) | Use::SameName(column) => Some(column.as_str()),
                Use::Id | Use::Ignored => None,
            })
            .collect()
    }

    /// What the file calls a column, or would call it.
    pub(super) fn name_of(&self, known: Known) -> &str {
        self.columns
            .iter()
            .find(|(_, using)| using.is(known))
            .map_or(known.column_name(), |(name, _)| name.as_str())
    }

    /// The place of a column among the cells, the id and what is ignored apart.
    pub(super) fn place_of(&self, known: Known) -> Option<usize> {
        self.columns
            .iter()
            .filter(|(_, using)| !matches!(using, Use::Id | Use::Ignored))
            .position(|(_, using)| using.is(known))
    }

    pub(super) fn into_report(self) -> Vec<ColumnReport> {
        let column = |using| match using {
            Use::Id => Some("id".to_owned()),
            Use::Known(_, column) | Use::SameName(column) => Some(column),
            Use::Ignored => None,
        };
        self.columns
            .into_iter()
            .map(|(header, using)| ColumnReport { header, column: column(using) })
            .collect()
    }
}

/// Reads the first record, and finds out what separates the fields.
pub(super) fn read<R: Read>(
    records: &mut Records<R>,
    database: &ContactsDatabase,
) -> Result<Header, ImportError> {
    let mut line = Record::default();
    let mut delimiter = skip_separator_line(records)?;
    if delimiter.is_none() {
        // The separator is the one that makes most known names, then most names.
        let score = |delimiter: &u8| {
            let names = records.peek(*delimiter).map(|record| names(&record)).unwrap_or_default();
            let known = names.iter().filter(|name| Known::of(&plain(name)).is_some()).count();
            (known, names.len())
        };
        // Of equals the last is taken: the comma.
        delimiter = [b'\t', b';', b','].into_iter().max_by_key(score);
    }
    let delimiter = delimiter.unwrap_or(b',');
    records.set_form(delimiter, None);
    match records.next(&mut line)? {
        Next::Record => {}
        Next::Bad(_) => return Err(ImportError::HeaderUnreadable { line: line.line }),
        Next::End => return Err(ImportError::Empty),
    }
    let names = names(&line);
    records.set_form(delimiter, Some(names.len()));
    Ok(Header { columns: assign(names, database)? })
}

/// Spreadsheets may say in a first line, `sep=;`, what separates the fields.
fn skip_separator_line<R: Read>(records: &mut Records<R>) -> Result<Option<u8>, ImportError> {
    // With a delimiter that is in no text, the line is one field.
    const NONE: u8 = 0x1F;
    let Some(first) = records.peek(NONE) else { return Ok(None) };
    let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter @ (b',' | b';' | b'\t')] =
        *first.get(0)
    else {
        return Ok(None);
    };
    records.set_form(NONE, None);
    records.next(&mut Record::default())?;
    Ok(Some(delimiter))
}

fn names(record: &Record) -> Vec<String> {
    record.fields().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect()
}

/// A name in lower case, without anything but letters and digits.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn assign(
    names: Vec<String>,
    database: &ContactsDatabase,
) -> Result<Vec<(String, Use)>, ImportError> {
    let same_name = |name: &str| {
        let plain_name = plain(name);
        database
            .columns()
            .find(|column| !plain_name.is_empty() && plain(column) == plain_name)
            .map(ToOwned::to_owned)
    };
    let wanted = |known: Known| known.column(database).map(ToOwned::to_owned);
    let mut columns: Vec<(String, Use)> = names
        .into_iter()
        .map(|name| {
            let using = match Known::of(&plain(&name)) {
                Some(Known::Id) => Use::Id,
                Some(known) => match wanted(known) {
                    Some(column) => Use::Known(known, column),
                    None => same_name(&name).map_or(Use::Ignored, Use::SameName),
                },
                None => same_name(&name).map_or(Use::Ignored, Use::SameName),
            };
            (name, using)
        })
        .collect();

    // `Phone` and `Mobile` both mean the phone number; where the table has a column `mobile` of its
    // own, that is where the second one goes.
    for known in Known::ALL {
        if columns.iter().filter(|(_, using)| using.is(known)).count() > 1 {
            for (name, using) in &mut columns {
                if let Use::Known(other, column) = using
                    && *other == known
                    && let Some(own) = same_name(name)
                    && own != *column
                {
                    *using = Use::SameName(own);
                }
            }
        }
    }

    let target = |using: &Use| match using {
        Use::Id => Some("id".to_owned()),
        Use::Known(_, column) | Use::SameName(column) => Some(column.clone()),
        Use::Ignored => None,
    };
    for (i, (_, using)) in columns.iter().enumerate() {
        let Some(column) = target(using) else { continue };
        let same: Vec<String> = columns[i..]
            .iter()
            .filter(|(_, other)| target(other).as_ref() == Some(&column))
            .map(|(name, _)| name.clone())
            .collect();
        if same.len() > 1 {
            return Err(ImportError::AmbiguousHeader { column, names: same });
        }
    }
    let identifies = |using: &Use| *using == Use::Id || using.is(Known::Email);
    if !columns.iter().any(|(_, using)| identifies(using)) {
        return Err(ImportError::NoIdentity {
            names: columns.into_iter().map(|(name, _)| name).collect(),
        });
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_blanks_and_punctuation() {
        for (name, known) in [
            ("E-Mail", Known::Email),
            (" email_address ", Known::Email),
            ("EMAIL ADDRESS", Known::Email),
            ("Zip", Known::ZipCode),
            ("ZIP Code", Known::ZipCode),
            ("Postal-Code", Known::ZipCode),
            ("D.O.B.", Known::BirthDate),
            ("Date of Birth", Known::BirthDate),
            ("Birthday", Known::BirthDate),
            ("Policy Effective Date", Known::EffectiveDate),
            ("Phone #", Known::PhoneNumber),
            ("Cell Phone", Known::PhoneNumber),
            ("First Name", Known::FirstName),
            ("SURNAME", Known::LastName),
            ("Contact ID", Known::Id),
            ("Current Carrier", Known::CurrentCarrier),
        ] {
            assert_eq!(Known::of(&plain(name)), Some(known), "{name}");
        }
        for name in ["", "Zip+4", "Name", "email2", "Agent", "Birthplace"] {
            assert_eq!(Known::of(&plain(name)), None, "{name}");
        }
    }

    #[test]
    fn no_name_means_two_things() {
        for known in Known::ALL {
            for name in known.names() {
                assert_eq!(Known::of(name), Some(known), "{name}");
                assert_eq!(plain(name), *name);
            }
        }
    }
}
