//! Events as CSV, the form in which devices' logs are exported.
//!
//! The first line is a header that names `timestamp`, `direction` and `dpu_id`, and `seq` if there is
//! one, in any order; values may be quoted or bare. A row is always one line, so that a quote which is
//! never closed spoils its own line and no other.

use std::io::{self, BufRead};

use csv_core::{ReadRecordResult, Reader};
use entity::event::Direction;

use super::event::parse_seq;
use super::{Crossing, Rejection, RejectionCode};

/// The longest line that is read, in bytes; a longer one is rejected, and skipped without being kept.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// The most columns that a header may name.
const COLUMNS_MAX: usize = 64;

/// Reads rows one at a time, in memory that does not grow with the file.
#[derive(Debug)]
pub struct CsvRows<R> {
    lines: Lines<R>,
    header: Header,
}

/// What the first line says, by which every other line is read.
#[derive(Debug)]
pub(super) struct Header {
    parser: Parser,
    columns: Columns,
    ignored: Vec<String>,
}

/// A row and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number of its line, the header's being 1.
    pub line: u64,
    /// The crossing it reports, or what is wrong with it.
    pub crossing: Result<Crossing, Rejection>,
}

/// Why nothing of a file can be read.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// There is not even a header.
    #[error("the file is empty: its first line must be a header such as timestamp,direction,dpu_id")]
    Empty,
    /// The first line names none of the columns, so it is probably a row.
    #[error(
        "the file has no header: its first line must name the columns timestamp, direction and dpu_id, but is {0:?}"
    )]
    NoHeader(String),
    /// A column is missing.
    #[error("the header lacks the column {0}: timestamp, direction and dpu_id are needed, seq may be given")]
    Missing(&'static str),
    /// A column is there twice.
    #[error("the header names the column {0} twice")]
    Twice(&'static str),
    /// The first line cannot be read at all.
    #[error("the header cannot be read: {0}")]
    Malformed(Rejection),
    /// The source failed.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Where in a row each value stands.
#[derive(Clone, Copy, Debug)]
struct Columns {
    count: usize,
    timestamp: usize,
    direction: usize,
    dpu_id: usize,
    seq: Option<usize>,
}

impl<R: BufRead> CsvRows<R> {
    /// Reads the header.
    pub fn new(source: R) -> Result<Self, HeaderError> {
        let mut lines = Lines { source, number: 0, line: Vec::new() };
        if !lines.next()? {
            return Err(HeaderError::Empty);
        }
        let header = Header::read(&lines.line)?;
        Ok(Self { lines, header })
    }

    /// The columns that the header names and nobody reads.
    pub fn ignored_columns(&self) -> &[String] {
        &self.header.ignored
    }

    fn row(&mut self) -> io::Result<Option<Row>> {
        Ok(self.lines.next()?.then(|| {
            let crossing = self.header.crossing(&self.lines.line);
            Row { line: self.lines.number, crossing }
        }))
    }
}

impl<R: BufRead> Iterator for CsvRows<R> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.row().transpose()
    }
}

impl Header {
    /// Reads a file's first line that is not blank.
    pub(super) fn read(line: &[u8]) -> Result<Self, HeaderError> {
        let mut parser = Parser::default();
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let names = parser.fields(line).map_err(HeaderError::Malformed)?;
        let names: Vec<&str> = names.collect::<Result<_, _>>().map_err(HeaderError::Malformed)?;

        let find = |name| {
            let mut places =
                names.iter().enumerate().filter(|(_, other)| **other == name).map(|(place, _)| place);
            match (places.next(), places.next()) {
                (_, Some(_)) => Err(HeaderError::Twice(name)),
                (place, None) => Ok(place),
            }
        };
        let found = [find("timestamp")?, find("direction")?, find("dpu_id")?];
        let columns = match found {
            [None, None, None] => {
                let first: String = String::from_utf8_lossy(line).chars().take(60).collect();
                return Err(HeaderError::NoHeader(first));
            }
            [None, ..] => return Err(HeaderError::Missing("timestamp")),
            [_, None, _] => return Err(HeaderError::Missing("direction")),
            [.., None] => return Err(HeaderError::Missing("dpu_id")),
            [Some(timestamp), Some(direction), Some(dpu_id)] => {
                Columns { count: names.len(), timestamp, direction, dpu_id, seq: find("seq")? }
            }
        };
        let known = ["timestamp", "direction", "dpu_id", "seq"];
        let ignored = names.iter().filter(|name| !known.contains(name)).map(ToString::to_string).collect();
        Ok(Self { parser, columns, ignored })
    }

    /// The crossing that a line reports, or what is wrong with it.
    pub(super) fn crossing(&mut self, line: &[u8]) -> Result<Crossing, Rejection> {
        let columns = self.columns;
        let (fields, found) = self.parser.row(line)?;
        if found != columns.count {
            let message =
                format!("the row has {found} values where the header names {} columns", columns.count);
            return Err(Rejection::new(RejectionCode::Malformed, message));
        }
        columns.crossing(&fields)
    }
}

impl Columns {
    fn crossing(self, fields: &[&str; COLUMNS_MAX]) -> Result<Crossing, Rejection> {
        let seq = self.seq.map_or("0", |place| fields[place]);
        Ok(Crossing {
            serial: fields[self.dpu_id].to_owned(),
            ts: fields[self.timestamp].parse()?,
            direction: fields[self.direction]
                .parse::<Direction>()
                .map_err(|_| Rejection::bad_direction(fields[self.direction]))?,
            seq: parse_seq(seq)?,
        })
    }
}

/// Reads lines that no header comes before: `timestamp,direction,dpu_id`, or with `seq` as a fourth value.
#[derive(Debug, Default)]
pub(crate) struct BareRows {
    parser: Parser,
}

impl BareRows {
    /// The crossing that a line reports, or what is wrong with it.
    pub(crate) fn crossing(&mut self, line: &[u8]) -> Result<Crossing, Rejection> {
        let (fields, count) = self.parser.row(line)?;
        if !(3..=4).contains(&count) {
            let message = format!("the line has {count} values: it must be timestamp,direction,dpu_id[,seq]");
            return Err(Rejection::new(RejectionCode::Malformed, message));
        }
        let columns =
            Columns { count, timestamp: 0, direction: 1, dpu_id: 2, seq: (count == 4).then_some(3) };
        columns.crossing(&fields)
    }
}

/// Takes a line apart.
#[derive(Debug)]
struct Parser {
    reader: Reader,
    values: Vec<u8>,
    ends: [usize; COLUMNS_MAX],
}

impl Default for Parser {
    fn default() -> Self {
        Self { reader: Reader::new(), values: Vec::new(), ends: [0; COLUMNS_MAX] }
    }
}

impl Parser {
    /// The values of a line, as many of them as can be columns, and how many there are.
    fn row(&mut self, line: &[u8]) -> Result<([&str; COLUMNS_MAX], usize), Rejection> {
        let (mut row, mut found) = ([""; COLUMNS_MAX], 0);
        for field in self.fields(line)? {
            let field = field?;
            if let Some(place) = row.get_mut(found) {
                *place = field;
            }
            found += 1;
        }
        Ok((row, found))
    }

    /// The values of a line, without blanks around them.
    fn fields(&mut self, line: &[u8]) -> Result<impl Iterator<Item = Result<&str, Rejection>>, Rejection> {
        let malformed = |message: &str| Rejection::new(RejectionCode::Malformed, message);
        if line.len() > LINE_BYTES_MAX {
            return Err(malformed(&format!("the line is longer than {LINE_BYTES_MAX} bytes")));
        }
        if line.iter().fold(false, |open, byte| open ^ (*byte == b'"')) {
            return Err(malformed("a quote is opened and never closed, as where a file was cut off"));
        }
        self.reader.reset();
        self.values.resize(line.len() + 1, 0);
        // The parser is told of the end by an empty input after the line.
        let (state, read, mut written, mut ends) =
            self.reader.read_record(line, &mut self.values, &mut self.ends);
        let mut state = state;
        if matches!(state, ReadRecordResult::InputEmpty) && read == line.len() {
            let (at_end, _, more, more_ends) =
                self.reader.read_record(&[], &mut self.values[written..], &mut self.ends[ends..]);
            (state, written, ends) = (at_end, written + more, ends + more_ends);
        }
        if !matches!(state, ReadRecordResult::Record) {
            return Err(malformed(&format!("the row has more than {} values", COLUMNS_MAX - 1)));
        }
        let values = &self.values[..written];
        let mut start = 0;
        Ok(self.ends[..ends].iter().map(move |end| {
            let value = &values[std::mem::replace(&mut start, *end)..*end];
            str::from_utf8(value).map(str::trim).map_err(|_| malformed("the row is not UTF-8 text"))
        }))
    }
}

/// The lines of a source, blank ones left out.
#[derive(Debug)]
struct Lines<R> {
    source: R,
    number: u64,
    /// The line read last, without its end; cut off just beyond the longest that is accepted.
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line; `false` at the end of the source.
    fn next(&mut self) -> io::Result<bool> {
        loop {
            self.line.clear();
            let mut ended = false;
            let mut any = false;
            while !ended {
                let available = self.source.fill_buf()?;
                if available.is_empty() {
                    break;
                }
                any = true;
                let end = available.iter().position(|byte| *byte == b'\n');
                let part = &available[..end.unwrap_or(available.len())];
                let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len());
                self.line.extend_from_slice(&part[..part.len().min(room)]);
                let used = part.len() + usize::from(end.is_some());
                ended = end.is_some();
                self.source.consume(used);
            }
            if !any {
                return Ok(false);
            }
            self.number += 1;
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &[u8]) -> Vec<Row> {
        CsvRows::new(text).unwrap().map(Result::unwrap).collect()
    }

    fn refusal(text: &[u8]) -> String {
        CsvRows::new(text).expect_err("a refusal").to_string()
    }

    fn rejection(line: &str) -> (RejectionCode, String) {
        let text = format!("timestamp,direction,dpu_id,seq\n{line}\n");
        let rejection = rows(text.as_bytes()).remove(0).crossing.unwrap_err();
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
        ] {
            let rows = rows(text.as_bytes());
            assert_eq!(rows.len(), 1, "{text}");
            assert_eq!(rows[0].crossing.as_ref(), Ok(&crossing), "{text}");
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
    }

    #[test]
    fn a_row_that_is_wrong_says_how() {
        use RejectionCode::{BadDirection, BadSeq, BadTimestamp, Malformed};
        for direction in ["0", "2", "1.0", "", "one", "--1", "\0"] {
            let (code, message) = rejection(&format!("2018-02-24,{direction},423,0"));
            assert_eq!(code, BadDirection, "{direction}: {message}");
        }
        for seq in ["-1", "", "x", "2147483648", "0.5"] {
            assert_eq!(rejection(&format!("2018-02-24,1,423,{seq}")).0, BadSeq, "{seq}");
        }
        assert_eq!(rejection("yesterday,1,423,0").0, BadTimestamp);
        assert_eq!(rejection("2018-02-24,1,423").0, Malformed);
        assert_eq!(rejection("2018-02-24,1,423,0,0").0, Malformed);
        assert_eq!(rejection("2018-02-24,\"1,423,0").0, Malformed);
        assert_eq!(rejection(&",".repeat(100)).0, Malformed);
        assert_eq!(rejection(&"x".repeat(LINE_BYTES_MAX + 1)).0, Malformed);
    }

    #[test]
    fn what_is_wrong_with_one_line_spoils_no_other() {
        let text = b"timestamp,direction,dpu_id\n2018-02-24,\"1,423\nr\xe9sum\xe9,1,423\n2018-02-24,+1,423\n2018-02-24,1,42";
        let rows = rows(text);
        let lines: Vec<_> = rows.iter().map(|row| (row.line, row.crossing.is_ok())).collect();
        assert_eq!(lines, [(2, false), (3, false), (4, true), (5, true)]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_lose_a_line(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut text = b"timestamp,direction,dpu_id\n".to_vec();
            text.extend(&body);
            let blank = |line: &&[u8]| line.iter().all(u8::is_ascii_whitespace);
            let expected = body.split(|byte| *byte == b'\n').filter(|line| !blank(line)).count();
            prop_assert_eq!(rows(&text).len(), expected);
            // Whatever it is, as a header it is read or refused.
            let _ = CsvRows::new(body.as_slice()).map(Iterator::count);
        }
    }
}
