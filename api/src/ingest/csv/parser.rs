//! Splits one row of a CSV into its values.

use std::cell::RefCell;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::ingest::rows::ROW_BYTES_MAX;
use crate::ingest::{Rejection, RejectionCode};

/// A row has fewer values than this.
pub(super) const COLUMNS_MAX: usize = 64;
/// Accepted delimiters, the preferred one first.
pub(super) const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

thread_local! {
    /// One reader per delimiter. Creating one takes longer than recording an event, so each thread creates them once.
    static READERS: [RefCell<Reader>; DELIMITERS.len()] =
        DELIMITERS.map(|delimiter| RefCell::new(ReaderBuilder::new().delimiter(delimiter).build()));
}

/// Splits rows at one delimiter.
#[derive(Debug)]
pub(super) struct Parser {
    /// Index of its delimiter in [`DELIMITERS`].
    delimiter: usize,
    values: Vec<u8>,
    ends: [usize; COLUMNS_MAX],
}

impl Parser {
    pub(super) fn new(delimiter: usize) -> Self {
        Self { delimiter, values: Vec::new(), ends: [0; COLUMNS_MAX] }
    }

    /// Returns the values of a header in lower case, without the empty ones at its end.
    pub(super) fn names(&mut self, line: &[u8]) -> Result<Vec<String>, Rejection> {
        let names = self.fields(line)?.map(|name| name.map(str::to_lowercase));
        let mut names = names.collect::<Result<Vec<_>, _>>()?;
        names.truncate(names.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1));
        Ok(names)
    }

    /// Returns the values of a row, up to [`COLUMNS_MAX`] of them, and how many there are.
    pub(super) fn row(&mut self, line: &[u8]) -> Result<([&str; COLUMNS_MAX], usize), Rejection> {
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

    /// Returns the values of a line, without surrounding blanks.
    fn fields(&mut self, line: &[u8]) -> Result<impl Iterator<Item = Result<&str, Rejection>>, Rejection> {
        if line.len() > ROW_BYTES_MAX {
            return Err(malformed(format!("the line is longer than {ROW_BYTES_MAX} bytes")));
        }
        if line.iter().fold(false, |open, byte| open ^ (*byte == b'"')) {
            return Err(malformed("a quote is opened and never closed; the file may have been cut off"));
        }
        self.values.resize(line.len() + 1, 0);
        let (written, ends) = READERS.with(|readers| {
            let mut reader = readers[self.delimiter].borrow_mut();
            self.read(&mut reader, line)
        })?;
        let values = &self.values[..written];
        let mut start = 0;
        Ok(self.ends[..ends].iter().map(move |end| {
            let value = &values[std::mem::replace(&mut start, *end)..*end];
            str::from_utf8(value).map(str::trim).map_err(|_| malformed("the row is not UTF-8 text"))
        }))
    }

    /// Reads a line. Returns the number of bytes of its values, and the number of values.
    fn read(&mut self, reader: &mut Reader, line: &[u8]) -> Result<(usize, usize), Rejection> {
        reader.reset();
        let (mut state, read, mut written, mut ends) =
            reader.read_record(line, &mut self.values, &mut self.ends);
        if read < line.len() && matches!(state, ReadRecordResult::Record) {
            return Err(malformed("a value without quotes contains a carriage return"));
        }
        // An empty input after the line tells the reader that it has ended.
        if matches!(state, ReadRecordResult::InputEmpty) && read == line.len() {
            let (at_end, _, more, more_ends) =
                reader.read_record(&[], &mut self.values[written..], &mut self.ends[ends..]);
            (state, written, ends) = (at_end, written + more, ends + more_ends);
        }
        match state {
            ReadRecordResult::Record => Ok((written, ends)),
            _ => Err(malformed(format!("the row has more than {} values", COLUMNS_MAX - 1))),
        }
    }
}

pub(super) fn malformed(message: impl Into<String>) -> Rejection {
    Rejection::new(RejectionCode::Malformed, message)
}
