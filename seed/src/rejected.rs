//! Reports the rejected rows of a file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use api::ingest::Rejection;

/// Number of rejected rows of a file that are reported one by one; the others are summed up by reason.
const TOLD_MAX: u64 = 20;

pub(crate) struct Rejected<'a, W> {
    name: &'a str,
    output: W,
    count: u64,
    /// The rows that were not reported one by one: for each reason their number, and the first of them.
    others: BTreeMap<&'static str, (u64, String)>,
}

impl<'a, W: Write> Rejected<'a, W> {
    pub(crate) fn new(name: &'a str, output: W) -> Self {
        Self { name, output, count: 0, others: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, line: u64, reason: &Rejection) -> io::Result<()> {
        self.count += 1;
        if self.count <= TOLD_MAX {
            return writeln!(self.output, "{}:{line}: {reason}", self.name);
        }
        let first = || (0, format!("line {line}: {reason}"));
        self.others.entry(reason.code.name()).or_insert_with(first).0 += 1;
        Ok(())
    }

    /// Reports the rows that were not reported one by one.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.others.is_empty() {
            return Ok(());
        }
        writeln!(self.output, "{}: {} more rows were rejected:", self.name, self.count - TOLD_MAX)?;
        for (code, (count, first)) in &self.others {
            writeln!(self.output, "  {count} {code}, first {first}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use api::ingest::RejectionCode;

    use super::*;

    #[test]
    fn the_first_are_reported_one_by_one_and_the_rest_by_reason() {
        let mut output = Vec::new();
        let mut rejected = Rejected::new("a.csv", &mut output);
        for line in 2..=30 {
            let code = if line % 2 == 0 { RejectionCode::BadSeq } else { RejectionCode::BadTimestamp };
            rejected.add(line, &Rejection::new(code, format!("reason {line}"))).unwrap();
        }
        rejected.finish().unwrap();
        let text = String::from_utf8(output).unwrap();
        assert_eq!(text.lines().count(), 20 + 3);
        assert!(text.starts_with("a.csv:2: reason 2\na.csv:3: reason 3\n"), "{text}");
        assert!(
            text.ends_with(
                "a.csv:21: reason 21\na.csv: 9 more rows were rejected:\n  5 BAD_SEQ, first line 22: reason 22\n  \
                 4 BAD_TIMESTAMP, first line 23: reason 23\n"
            ),
            "{text}"
        );
    }
}
