//! The records of a CSV file, one by one, in bounded memory, with the lines they stand on.
//!
//! The `csv` crate reads what is well formed. This reader agrees with it there (a test compares
//! the two), but a quotation mark that is never closed costs one line, not the rest of the file,
//! and is reported where it stands.

use std::io::{self, Read};

/// A record may be this long, over all the lines that it stands on.
pub(super) const RECORD_BYTES_MAX: usize = 64 * 1024;

const CHUNK_BYTES: usize = 256 * 1024;

/// The fields of a record, without their quotation marks.
#[derive(Debug, Default)]
pub(super) struct Record {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The line of the file on which it begins, from 1.
    pub(super) line: u64,
}

impl Record {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

/// What is wrong with the form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormProblem {
    /// A quotation mark that is opened is not closed.
    OpenQuote,
    /// The line is longer than [`RECORD_BYTES_MAX`].
    TooLong,
    /// The number of fields is not that of the header.
    FieldCount { found: usize, expected: usize },
}

/// What comes next in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A record.
    Record,
    /// A line that cannot be read; reading goes on with the line after it.
    Bad(FormProblem),
    /// Nothing.
    End,
}

/// Why the whole file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf16,
    Spreadsheet,
    Binary,
}

/// Reads records.
#[derive(Debug)]
pub(super) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where the next record begins in the buffer.
    start: usize,
    input_ended: bool,
    /// The line on which it begins.
    line: u64,
    delimiter: u8,
    /// How many fields a record must have.
    expected: Option<usize>,
    /// The rest of a line that is too long must still be passed over.
    skipping: bool,
    /// How much was read from the input.
    pub(super) bytes_read: u64,
}

impl<R: Read> Records<R> {
    pub(super) fn new(input: R) -> io::Result<Self> {
        let mut this = Self {
            input,
            buffer: Vec::new(),
            start: 0,
            input_ended: false,
            line: 1,
            delimiter: b',',
            expected: None,
            skipping: false,
            bytes_read: 0,
        };
        this.read_more()?;
        if this.buffer.starts_with(b"\xEF\xBB\xBF") {
            this.start = 3;
        }
        Ok(this)
    }

    /// Whether the file is something else than a text.
    pub(super) fn encoding_problem(&self) -> Option<Encoding> {
        let bytes = &self.buffer;
        if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
            Some(Encoding::Utf16)
        } else if bytes.starts_with(b"PK\x03\x04") {
            Some(Encoding::Spreadsheet)
        } else if bytes.iter().take(4096).any(|byte| *byte == 0) {
            Some(Encoding::Binary)
        } else {
            None
        }
    }

    /// Takes `delimiter` from here on, and records of this many fields.
    pub(super) fn set_form(&mut self, delimiter: u8, expected: Option<usize>) {
        self.delimiter = delimiter;
        self.expected = expected;
    }

    /// The next record that is not blank as it would be with another delimiter, without taking it;
    /// `None` if there is none or it cannot be read.
    pub(super) fn peek(&self, delimiter: u8) -> Option<Record> {
        let mut record = Record::default();
        let mut at = self.start;
        loop {
            match split(&self.buffer[at..], self.input_ended, delimiter, &mut record) {
                Split::Record { length, .. } if record.is_blank() => at += length,
                Split::Record { .. } => return Some(record),
                Split::Incomplete { .. } | Split::End => return None,
            }
        }
    }

    /// Reads the next record that is not blank; `record` has its line also when it is bad.
    pub(super) fn next(&mut self, record: &mut Record) -> io::Result<Next> {
        loop {
            if self.skipping && !self.skip_line()? {
                return Ok(Next::End);
            }
            record.line = self.line;
            let rest = &self.buffer[self.start..];
            match split(rest, self.input_ended, self.delimiter, record) {
                Split::End => return Ok(Next::End),
                Split::Record { .. } if record.bytes.len() > RECORD_BYTES_MAX => {
                    return self.bad(FormProblem::TooLong);
                }
                Split::Record { length, lines, goes_on } => {
                    let problem = self.form_problem(record);
                    // A record over several lines with too few or too many fields, or with text
                    // after the closing mark, is most likely one line with a stray quotation mark,
                    // and good lines after it.
                    if lines > 1 && (goes_on || problem.is_some()) {
                        return self.bad(FormProblem::OpenQuote);
                    }
                    self.advance(length, lines);
                    if let Some(problem) = problem {
                        return Ok(Next::Bad(problem));
                    }
                    if !record.is_blank() {
                        return Ok(Next::Record);
                    }
                }
                Split::Incomplete { in_quotes } => {
                    let problem =
                        if in_quotes { FormProblem::OpenQuote } else { FormProblem::TooLong };
                    if self.input_ended || rest.len() > RECORD_BYTES_MAX {
                        return self.bad(problem);
                    }
                    self.read_more()?;
                }
            }
        }
    }

    /// Blank records have no form; fields beyond the header's may be there if they are empty.
    fn form_problem(&self, record: &Record) -> Option<FormProblem> {
        let expected = self.expected?;
        let found = record.len();
        let fits = found == expected
            || found > expected && (expected..found).all(|i| record.get(i).is_empty());
        (!fits && !record.is_blank()).then_some(FormProblem::FieldCount { found, expected })
    }

    /// Goes on after the first line of a record that cannot be read.
    fn bad(&mut self, problem: FormProblem) -> io::Result<Next> {
        self.skipping = true;
        self.skip_line()?;
        Ok(Next::Bad(problem))
    }

    /// Goes to the beginning of the next line; `false` if there is none.
    fn skip_line(&mut self) -> io::Result<bool> {
        loop {
            let rest = &self.buffer[self.start..];
            let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.start = self.buffer.len();
                if self.input_ended {
                    self.skipping = false;
                    return Ok(false);
                }
                self.read_more()?;
                continue;
            };
            let is_return = rest[at] == b'\r';
            if is_return && at + 1 == rest.len() && !self.input_ended {
                // The line feed that belongs to it may still come.
                self.start += at;
                self.read_more()?;
                continue;
            }
            let both = is_return && rest.get(at + 1) == Some(&b'\n');
            self.advance(at + 1 + usize::from(both), 1);
            self.skipping = false;
            return Ok(true);
        }
    }

    fn advance(&mut self, length: usize, lines: u64) {
        self.start += length;
        self.line += lines;
    }

    /// Appends to the buffer, after what of it is already done with has been dropped.
    fn read_more(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        let chunk = u64::try_from(CHUNK_BYTES).expect("a small number");
        (&mut self.input).take(chunk).read_to_end(&mut self.buffer)?;
        let read = self.buffer.len() - before;
        self.input_ended = read < CHUNK_BYTES;
        self.bytes_read += read as u64;
        Ok(())
    }
}

/// What the beginning of some bytes is.
enum Split {
    /// A record of `length` bytes, its line end included, on so many lines. `goes_on`: a field has
    /// text after its closing quotation mark.
    Record { length: usize, lines: u64, goes_on: bool },
    /// More bytes are needed to tell; at the end of the input: quotation marks are left open.
    Incomplete { in_quotes: bool },
    /// There are no bytes left.
    End,
}

/// Reads the record at the beginning of `bytes`.
fn split(bytes: &[u8], is_all: bool, delimiter: u8, record: &mut Record) -> Split {
    record.bytes.clear();
    record.ends.clear();
    if bytes.is_empty() {
        return if is_all { Split::End } else { Split::Incomplete { in_quotes: false } };
    }
    let mut at = 0;
    let mut lines = 1;
    let mut goes_on = false;
    loop {
        let mut is_quoted = false;
        // Blanks before a quotation mark are not part of the field.
        let blanks = bytes[at..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t') && **byte != delimiter)
            .count();
        if bytes.get(at + blanks) == Some(&b'"') {
            is_quoted = true;
            at += blanks + 1;
            loop {
                let Some(length) = bytes[at..].iter().position(|byte| *byte == b'"') else {
                    return Split::Incomplete { in_quotes: true };
                };
                record.bytes.extend_from_slice(&bytes[at..at + length]);
                lines += line_ends(&bytes[at..at + length]);
                at += length + 1;
                match bytes.get(at) {
                    Some(b'"') => {
                        record.bytes.push(b'"');
                        at += 1;
                    }
                    None if !is_all => return Split::Incomplete { in_quotes: true },
                    _ => break,
                }
            }
        }
        let length = bytes[at..]
            .iter()
            .position(|byte| *byte == delimiter || matches!(byte, b'\n' | b'\r'))
            .unwrap_or(bytes.len() - at);
        let text = &bytes[at..at + length];
        goes_on |= is_quoted && !text.trim_ascii().is_empty();
        record.bytes.extend_from_slice(text);
        at += length;
        record.ends.push(record.bytes.len());
        let next = bytes.get(at + 1);
        match bytes.get(at) {
            Some(byte) if *byte == delimiter => at += 1,
            Some(b'\n') => return Split::Record { length: at + 1, lines, goes_on },
            Some(_) if next == Some(&b'\n') => {
                return Split::Record { length: at + 2, lines, goes_on };
            }
            Some(_) if next.is_some() || is_all => {
                return Split::Record { length: at + 1, lines, goes_on };
            }
            None if is_all => return Split::Record { length: at, lines, goes_on },
            _ => return Split::Incomplete { in_quotes: false },
        }
    }
}

/// How many line ends there are: LF, CR LF, or CR alone.
fn line_ends(bytes: &[u8]) -> u64 {
    let ends = bytes.iter().enumerate().filter(|(i, byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(i + 1) != Some(&b'\n'),
        _ => false,
    });
    ends.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives at most a few bytes at a time, as pipes do.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(buffer.len()).min(7);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn read(text: &[u8], expected: Option<usize>) -> Vec<(u64, Result<Vec<String>, FormProblem>)> {
        let mut records = Records::new(Trickle(text)).unwrap();
        records.set_form(b',', expected);
        let mut record = Record::default();
        let mut all = Vec::new();
        loop {
            match records.next(&mut record).unwrap() {
                Next::End => return all,
                Next::Bad(problem) => all.push((record.line, Err(problem))),
                Next::Record => {
                    let fields = record.fields().map(|f| String::from_utf8_lossy(f).into_owned());
                    all.push((record.line, Ok(fields.collect())));
                }
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "compared with what may be a problem")]
    fn fields(list: &[&str]) -> Result<Vec<String>, FormProblem> {
        Ok(list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_may_end_in_any_usual_way() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["a,b", "", "1,2", "\"x", "y\",3", "4,5"].join(end);
            let broken = format!("x{end}y");
            let expected = [
                (1, fields(&["a", "b"])),
                (3, fields(&["1", "2"])),
                (4, fields(&[&broken, "3"])),
                (6, fields(&["4", "5"])),
            ];
            assert_eq!(read(text.as_bytes(), Some(2)), expected, "{end:?}");
            assert_eq!(read((text + end).as_bytes(), Some(2)), expected, "{end:?} at the end");
        }
    }

    #[test]
    fn quotation_marks_protect_and_are_doubled() {
        assert_eq!(
            read(b"\"a,b\",\"say \"\"hi\"\"\",\"\"\n x , \"c, d\" ,6'2\"\n", Some(3)),
            [
                (1, fields(&["a,b", "say \"hi\"", ""])),
                // Blanks before a mark belong to it; a mark within a field is a mark.
                (2, fields(&[" x ", "c, d ", "6'2\""])),
            ]
        );
    }

    #[test]
    fn a_quotation_mark_left_open_costs_one_line_only() {
        assert_eq!(
            read(b"a,b\n\"x,1\ny,2\nz,3\n", Some(2)),
            [
                (1, fields(&["a", "b"])),
                (2, Err(FormProblem::OpenQuote)),
                (3, fields(&["y", "2"])),
                (4, fields(&["z", "3"])),
            ]
        );
        // It may also seem to be closed by the mark of a later line.
        assert_eq!(
            read(b"\"x,1\ny,2\n\"z\",3\n", Some(2)),
            [(1, Err(FormProblem::OpenQuote)), (2, fields(&["y", "2"])), (3, fields(&["z", "3"])),]
        );
    }

    #[test]
    fn a_line_with_another_number_of_fields_is_bad_unless_the_rest_is_empty() {
        assert_eq!(
            read(b"1\n1,2\n1,2,\n1,2,3\n,,,\n", Some(2)),
            [
                (1, Err(FormProblem::FieldCount { found: 1, expected: 2 })),
                (2, fields(&["1", "2"])),
                (3, fields(&["1", "2", ""])),
                (4, Err(FormProblem::FieldCount { found: 3, expected: 2 })),
                // Line 5 has nothing at all.
            ]
        );
    }

    #[test]
    fn a_line_of_any_length_is_passed_over_in_bounded_memory() {
        for quoted in [false, true] {
            let mut text = if quoted { b"\"".to_vec() } else { Vec::new() };
            text.resize(3 * CHUNK_BYTES, b'x');
            text.extend_from_slice(b"\r\n1,2\n");
            let problem = if quoted { FormProblem::OpenQuote } else { FormProblem::TooLong };
            assert_eq!(read(&text, Some(2)), [(1, Err(problem)), (2, fields(&["1", "2"]))]);
            let mut records = Records::new(&text[..]).unwrap();
            let mut record = Record::default();
            while records.next(&mut record).unwrap() != Next::End {
                assert!(records.buffer.len() <= CHUNK_BYTES + RECORD_BYTES_MAX);
            }
        }
        let mut long = vec![b'x'; RECORD_BYTES_MAX + 1];
        long.extend_from_slice(b",2\n3,4\n");
        assert_eq!(read(&long, Some(2))[0], (1, Err(FormProblem::TooLong)));
        assert_eq!(read(&long[1..], Some(2))[1], (2, fields(&["3", "4"])));
    }

    #[test]
    fn files_that_are_no_text_are_recognized() {
        let problem = |bytes: &[u8]| Records::new(bytes).unwrap().encoding_problem();
        assert_eq!(problem(b"\xFF\xFEe\0m\0"), Some(Encoding::Utf16));
        assert_eq!(problem(b"PK\x03\x04...."), Some(Encoding::Spreadsheet));
        assert_eq!(problem(b"SQLite format 3\0"), Some(Encoding::Binary));
        assert_eq!(problem(b"\xEF\xBB\xBFemail\nj\xF6rg@example.com"), None);
        assert_eq!(read(b"\xEF\xBB\xBFa,b", None), [(1, fields(&["a", "b"]))]);
        assert_eq!(read(b"", None), []);
    }

    proptest! {
        #[test]
        fn what_is_well_formed_reads_as_the_csv_crate_reads_it(
            rows in prop::collection::vec(
                prop::collection::vec("[a-c\",;\r\n é]{0,6}", 3), 0..12),
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&text[..]);
            let expected: Vec<Vec<String>> = reader
                .records()
                .map(|record| record.unwrap().iter().map(ToString::to_string).collect())
                .filter(|record: &Vec<String>| !record.concat().trim().is_empty())
                .collect();
            let found: Vec<Vec<String>> = read(&text, Some(3))
                .into_iter()
                .map(|(_, record)| record.unwrap())
                .filter(|record| !record.concat().trim().is_empty())
                .collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_bytes_are_read_to_the_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let lines = line_ends(&bytes) + 1;
            for (line, _) in read(&bytes, Some(2)) {
                prop_assert!(line <= lines);
            }
        }
    }
}
