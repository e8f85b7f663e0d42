//! Reports as CSV, the form in which devices' logs are exported.
//!
//! The first row is a header, which tells what the rows report. It names the columns in any order and in any case:
//!
//! - crossings: `timestamp`, `direction` and `dpu_id`, and optionally `seq`
//! - intervals: `from`, `to`, `toward`, `away` and `dpu_id`, and optionally `revise`
//! - totals: `timestamp`, `total_toward`, `total_away` and `dpu_id`, and optionally `force`
//!
//! Values may be quoted or bare, and are separated by commas, semicolons or tabs. `rows` decides where a row ends, and `parser`
//! splits it.

mod columns;
mod parser;

use std::io::{self, ErrorKind, Read};

use chrono_tz::Tz;
use tokio_util::bytes::BytesMut;

pub use self::columns::HeaderError;
use self::columns::{Columns, FORMS, Form, Kind};
use self::parser::{DELIMITERS, Parser, malformed};
use super::Rejection;
use super::report::Report;
use super::rows::Rows;

const PIECE_BYTES: usize = 64 * 1024;

/// Reads the rows of a file one at a time, in memory that does not grow with the file.
#[derive(Debug)]
pub struct CsvRows<R> {
    file: R,
    /// Bytes that were read from the file and not parsed yet.
    source: BytesMut,
    is_at_end: bool,
    csv: Csv,
    zone: Option<Tz>,
}

/// Parses rows from a buffer that the caller fills.
#[derive(Debug)]
pub(super) struct Csv {
    rows: Rows,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    /// Not known yet: the header has not been read.
    Unknown,
    Header(Box<Header>),
    /// `timestamp,direction,dpu_id`, with `seq` as an optional fourth value, without a header.
    Bare(Box<Parsers>),
}

#[derive(Debug)]
struct Header {
    form: &'static Form,
    parser: Parser,
    columns: Columns,
    ignored: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Line number, from 1.
    pub line: u64,
    pub report: Result<Report, Rejection>,
}

impl<R: Read> CsvRows<R> {
    /// Timestamps without a time zone are in `zone`, or if it is `None`, in that of their DPU.
    pub fn new(file: R, zone: Option<Tz>) -> Result<Self, HeaderError> {
        let mut rows = Self { file, source: BytesMut::new(), is_at_end: false, csv: Csv::new(), zone };
        while !rows.csv.read_header(&mut rows.source, rows.is_at_end)? {
            rows.fill()?;
        }
        Ok(rows)
    }

    pub fn ignored_columns(&self) -> &[String] {
        self.csv.ignored_columns()
    }

    /// Returns the columns that a file of this kind can have, as a list for people to read.
    pub fn known_columns(&self) -> String {
        match &self.csv.layout {
            Layout::Header(header) => {
                format!("{} and {}", header.form.needed.join(", "), header.form.optional)
            }
            Layout::Unknown | Layout::Bare(_) => String::new(),
        }
    }

    fn row(&mut self) -> io::Result<Option<Row>> {
        loop {
            if let Some(mut row) = self.csv.next_row(&mut self.source, self.is_at_end) {
                row.report = row.report.and_then(|report| report.within(self.zone));
                return Ok(Some(row));
            }
            if self.is_at_end {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let kept = self.source.len();
        self.source.resize(kept + PIECE_BYTES, 0);
        let read = loop {
            match self.file.read(&mut self.source[kept..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.source.truncate(kept + read.as_ref().map_or(0, |read| *read));
        self.is_at_end = read? == 0;
        Ok(())
    }
}

impl<R: Read> Iterator for CsvRows<R> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.row().transpose()
    }
}

impl Csv {
    /// Returns a parser for rows after a header.
    pub(super) fn new() -> Self {
        Self { rows: Rows::default(), layout: Layout::Unknown }
    }

    /// Returns a parser for rows without a header.
    pub(super) fn bare() -> Self {
        Self { layout: Layout::Bare(Box::default()), ..Self::new() }
    }

    pub(super) fn next(&mut self, source: &mut BytesMut, at_end: bool) -> Result<Option<Row>, HeaderError> {
        Ok(if self.read_header(source, at_end)? { self.next_row(source, at_end) } else { None })
    }

    pub(super) fn ignored_columns(&self) -> &[String] {
        match &self.layout {
            Layout::Header(header) => &header.ignored,
            Layout::Unknown | Layout::Bare(_) => &[],
        }
    }

    /// Reads the header, unless it was read before. Returns whether rows come next.
    fn read_header(&mut self, source: &mut BytesMut, at_end: bool) -> Result<bool, HeaderError> {
        while matches!(self.layout, Layout::Unknown) {
            match self.rows.next(source, at_end, Header::read) {
                Some((_, header)) => {
                    self.layout = header?.map_or(Layout::Unknown, |header| Layout::Header(Box::new(header)));
                }
                None if at_end => return Err(HeaderError::Empty),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn next_row(&mut self, source: &mut BytesMut, at_end: bool) -> Option<Row> {
        let layout = &mut self.layout;
        let (line, report) = self.rows.next(source, at_end, |row| layout.report(row))?;
        Some(Row { line, report })
    }
}

impl Layout {
    fn report(&mut self, row: &[u8]) -> Result<Report, Rejection> {
        match self {
            Self::Header(header) => header.report(row),
            Self::Bare(parsers) => parsers.crossing(row),
            Self::Unknown => Err(malformed("the row comes before the header")),
        }
    }
}

impl Header {
    /// Reads a file's first row. Returns `None` if it is `sep=` and a delimiter, which spreadsheets write before the
    /// header.
    fn read(line: &[u8]) -> Result<Option<Self>, HeaderError> {
        if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
            return Err(HeaderError::Utf16);
        }
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if matches!(line.trim_ascii(), [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', _]) {
            return Ok(None);
        }
        let mut best: Option<(usize, &'static Form, Parser, Vec<String>)> = None;
        for mut parser in Parsers::default().0 {
            let names = parser.names(line).map_err(HeaderError::Malformed)?;
            let known = |form: &Form| names.iter().filter(|name| form.has(name)).count();
            // The last of equal ones is taken.
            let Some(form) = FORMS.iter().rev().max_by_key(|form| known(form)) else { break };
            let known = known(form);
            if best.as_ref().is_none_or(|(most, ..)| known > *most) {
                best = Some((known, form, parser, names));
            }
            // All required columns are there, so the other delimiters need not be tried.
            if known >= form.needed.len() {
                break;
            }
        }
        let Some((known, form, parser, names)) = best else { return Err(HeaderError::Empty) };
        let text = String::from_utf8_lossy(line);
        let shown = || text.chars().take(60).collect();
        let small = text.to_lowercase();
        let is_named = |form: &Form| form.needed.iter().all(|name| small.contains(name));
        if known < form.needed.len() && FORMS.iter().any(is_named) {
            return Err(HeaderError::Delimiter(shown()));
        }
        if known == 0 {
            return Err(HeaderError::NoHeader(shown()));
        }
        let columns = Columns::find(form, &names)?;
        let ignored = names.into_iter().filter(|name| !form.has(name)).collect();
        Ok(Some(Self { form, parser, columns, ignored }))
    }

    fn report(&mut self, row: &[u8]) -> Result<Report, Rejection> {
        let columns = self.columns;
        let (fields, found) = self.parser.row(row)?;
        // Spreadsheets write empty values beyond the last column.
        if found < columns.count || fields[columns.count..].iter().any(|field| !field.is_empty()) {
            return Err(malformed(format!(
                "the row has {found} values, but the header names {} columns",
                columns.count
            )));
        }
        columns.report(&fields)
    }
}

#[derive(Debug)]
struct Parsers([Parser; DELIMITERS.len()]);

impl Default for Parsers {
    fn default() -> Self {
        Self(std::array::from_fn(Parser::new))
    }
}

impl Parsers {
    /// Reads a crossing without a header.
    fn crossing(&mut self, row: &[u8]) -> Result<Report, Rejection> {
        let mut most = 0;
        for parser in &mut self.0 {
            let (fields, found) = parser.row(row)?;
            let count = fields.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
            if (3..=4).contains(&count) {
                let places = [Some(0), Some(1), Some(2), (count == 4).then_some(3), None, None];
                return Columns { kind: Kind::Crossings, count, places }.report(&fields);
            }
            most = most.max(found);
        }
        Err(malformed(format!("the line has {most} values: it must be timestamp,direction,dpu_id[,seq]")))
    }
}

#[cfg(test)]
mod tests {
    use entity::event::Direction;
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::rows::ROW_BYTES_MAX;
    use crate::ingest::{Crossing, RejectionCode};

    fn rows(text: &[u8]) -> Vec<Row> {
        CsvRows::new(text, None).unwrap().map(Result::unwrap).collect()
    }

    fn refusal(text: &[u8]) -> String {
        CsvRows::new(text, None).expect_err("a refusal").to_string()
    }

    fn rejection(line: &str) -> (RejectionCode, String) {
        let text = format!("timestamp,direction,dpu_id,seq\n{line}\n");
        let rejection = rows(text.as_bytes()).remove(0).report.unwrap_err();
        (rejection.code, rejection.message)
    }

    #[test]
    fn columns_come_in_any_order_quoted_or_bare() {
        let crossing = Crossing {
            serial: "423".to_owned(),
            ts: "2018-02-24T08:45:21.893Z".parse().unwrap(),
            direction: Direction::Away,
            seq: 0,
        };
        for text in [
            "timestamp,direction,dpu_id\n2018-02-24T08:45:21.893Z,-1,423",
            "\"timestamp\",\"direction\",\"dpu_id\"\r\n\"2018-02-24T08:45:21.893Z\",\"-1\",\"423\"\r\n",
            "\u{feff}dpu_id, seq ,timestamp,direction\n\n423,0, 2018-02-24T08:45:21.893Z ,-1\n\n",
            "note,dpu_id,timestamp,direction\n\"a, \"\"b\"\"\",423,2018-02-24T08:45:21.893Z,-1\n",
            "note,dpu_id,timestamp,direction\n\"a\rb\",423,2018-02-24T08:45:21.893Z,-1\n",
            "Timestamp;DIRECTION;Dpu_Id;seq\n2018-02-24T08:45:21,893Z;-1.0;423;\n",
            "sep=;\r\ntimestamp;direction;dpu_id\r\n2018-02-24T08:45:21.893Z;AWAY;423\r\n",
            "timestamp\tdirection\tdpu_id\tseq\n2018-02-24T08:45:21.893Z\t-1\t423\t0.0\n",
            "timestamp,direction,dpu_id,,\n2018-02-24T08:45:21.893Z,-1,423,,,\n",
            "timestamp,direction,dpu_id\n1519461921893,-1,423,\n",
            "timestamp,direction,dpu_id\r1519461921.893,-1,423\r",
        ] {
            let rows = rows(text.as_bytes());
            assert_eq!(rows.len(), 1, "{text}");
            assert_eq!(rows[0].report.as_ref(), Ok(&Report::Crossing(crossing.clone())), "{text}");
        }
    }

    #[test]
    fn a_file_without_a_usable_header_is_refused() {
        assert!(refusal(b"").contains("is empty"));
        assert!(refusal(b"\n\r\n").contains("is empty"));
        assert!(refusal(b"2018-02-24T08:45:21.893Z,1,423\n").contains("has no header"));
        assert!(refusal(b"timestamp,dpu_id\n").contains("lacks the column direction"));
        assert!(refusal(b"timestamp,direction,dpu_id,direction\n").contains("direction twice"));
        assert!(refusal(b"timestamp,direction,\"dpu_id\n").contains("never closed"));
        assert!(refusal(b"timestamp,direction,dpu_id,r\xe9sum\xe9\n").contains("not UTF-8"));
        assert!(refusal(",".repeat(100).as_bytes()).contains("more than 63 values"));
        assert!(refusal(b"timestamp|direction|dpu_id\n").contains("by commas, semicolons or tabs"));
        assert!(refusal(b"timestamp;direction,dpu_id\n").contains("by commas, semicolons or tabs"));
        assert!(refusal(b"\xff\xfet\0i\0m\0e\0").contains("UTF-16"));
    }

    #[test]
    fn an_invalid_row_has_the_code_of_its_error() {
        use RejectionCode::{BadDirection, BadSeq, BadTimestamp, Malformed};
        for direction in ["0", "2", "1.5", "1.", "", "one", "--1", "\0"] {
            let (code, message) = rejection(&format!("2018-02-24,{direction},423,0"));
            assert_eq!(code, BadDirection, "{direction}: {message}");
        }
        for seq in ["-1", "x", "2147483648", "0.5"] {
            assert_eq!(rejection(&format!("2018-02-24,1,423,{seq}")).0, BadSeq, "{seq}");
        }
        assert_eq!(rejection("yesterday,1,423,0").0, BadTimestamp);
        assert_eq!(rejection("2018-02-24,1,423").0, Malformed);
        assert_eq!(rejection("2018-02-24,1,423,0,0").0, Malformed);
        assert_eq!(rejection("2018-02-24,\"1,423,0").0, Malformed);
        assert_eq!(rejection(&",".repeat(100)).0, Malformed);
        assert_eq!(rejection(&"x".repeat(ROW_BYTES_MAX + 1)).0, Malformed);
    }

    #[test]
    fn an_invalid_line_does_not_affect_the_others() {
        let text = b"timestamp,direction,dpu_id\n2018-02-24,\"1,423\nr\xe9sum\xe9,1,423\n2018-02-24,+1,423\n2018-02-24,1,42";
        let rows = rows(text);
        let lines: Vec<_> = rows.iter().map(|row| (row.line, row.report.is_ok())).collect();
        assert_eq!(lines, [(2, false), (3, false), (4, true), (5, true)]);
    }

    #[test]
    fn a_carriage_return_alone_ends_a_row() {
        let (good, header) = ("2018-02-24,1,423", "timestamp,direction,dpu_id");
        for (text, expected) in [
            (format!("{header}\r{good}\r{good}\n{good}\r\n{good}"), vec![true; 4]),
            // A quote that is never closed, quotes in the midst of values, and good rows after them.
            (format!("{header}\r2018-02-24,\"1,423\r{good}\r{good}\r"), vec![false, true, true]),
            (format!("{header}\ra\"b\rc\"d\r{good}\r"), vec![false, false, true]),
            (format!("{header}\rx\"\r\"2018-02-24\",\"1\",\"423\"\r{good}\r"), vec![false, true, true]),
        ] {
            let found: Vec<_> = rows(text.as_bytes()).iter().map(|row| row.report.is_ok()).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn a_zone_applies_to_timestamps_without_one() {
        let text = b"timestamp,direction,dpu_id\n2018-02-24T12:00,1,1\n2018-02-24T12:00Z,1,1\n2018-03-25T02:30,1,1\n";
        let rows = CsvRows::new(text.as_slice(), Some(Tz::Europe__Berlin)).unwrap();
        let found: Vec<_> = rows
            .map(|row| row.unwrap().report.map(|report| report.ts().unwrap().in_utc().to_string()))
            .collect();
        assert_eq!(
            found[..2],
            [Ok("2018-02-24T11:00:00Z".to_owned()), Ok("2018-02-24T12:00:00Z".to_owned())]
        );
        assert!(found[2].as_ref().unwrap_err().message.contains("skipped"), "{:?}", found[2]);
    }

    /// A valid row, or arbitrary bytes.
    fn row() -> impl Strategy<Value = (Vec<u8>, bool)> {
        prop_oneof![
            prop_oneof!["2018-02-24,1,423", "\"2018-02-24\",\"1\",\"423\"", "2018-02-24,1,423,,"]
                .prop_map(|row| (row.into_bytes(), true)),
            prop::collection::vec(any::<u8>(), 0..30).prop_map(|row| (row, false)),
            "[\"a,;\r\n]{0,9}".prop_map(|row| (row.into_bytes(), false)),
        ]
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = CsvRows::new(body.as_slice(), None).map(Iterator::count);
        }

        #[test]
        fn every_valid_row_is_read_whatever_surrounds_it(
            rows in prop::collection::vec((row(), "\n|\r|\r\n"), 0..20),
        ) {
            let mut text = b"timestamp,direction,dpu_id\n".to_vec();
            for ((row, _), end) in &rows {
                text.extend_from_slice(row);
                text.extend_from_slice(end.as_bytes());
            }
            let found: Vec<_> = super::tests::rows(&text);
            let good = rows.iter().filter(|((_, is_good), _)| *is_good).count();
            prop_assert!(found.iter().filter(|row| row.report.is_ok()).count() >= good, "{:?}", found);
            // Every row that is not blank is accepted or rejected.
            let blank = |row: &&((Vec<u8>, bool), String)| row.0.0.trim_ascii().is_empty();
            prop_assert!(found.len() >= rows.len() - rows.iter().filter(blank).count());
        }
    }
}
