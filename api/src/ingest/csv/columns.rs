//! What the rows of a CSV can report, and in which columns.

use std::io;

use super::parser::COLUMNS_MAX;
use crate::ingest::event::{parse_direction, parse_seq};
use crate::ingest::report::{IntervalReport, Report, TotalsReport, parse_flag, parse_people, parse_total};
use crate::ingest::{Crossing, Rejection};

/// What a file can report; crossings first, since a header that could be several is taken for theirs.
pub(super) const FORMS: [Form; 3] = [
    Form { kind: Kind::Crossings, needed: &["timestamp", "direction", "dpu_id"], optional: "seq" },
    Form { kind: Kind::Intervals, needed: &["from", "to", "toward", "away", "dpu_id"], optional: "revise" },
    Form {
        kind: Kind::Totals,
        needed: &["timestamp", "total_toward", "total_away", "dpu_id"],
        optional: "force",
    },
];
/// Maximum number of columns that a form has.
pub(super) const FORM_COLUMNS_MAX: usize = 6;

/// What a file can report, and the columns that tell it.
#[derive(Debug)]
pub(super) struct Form {
    kind: Kind,
    pub(super) needed: &'static [&'static str],
    pub(super) optional: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Crossings,
    Intervals,
    Totals,
}

#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("the file is empty: its first line must be a header such as timestamp,direction,dpu_id")]
    Empty,
    #[error(
        "the file has no header: its first line must name the columns timestamp, direction and dpu_id, but is {0:?}"
    )]
    NoHeader(String),
    #[error(
        "cannot split the header {0:?} into columns: separate them by commas, semicolons or tabs, and by nothing else"
    )]
    Delimiter(String),
    #[error("the header lacks the column {name}: {required} are required, {optional} is optional")]
    Missing { name: &'static str, required: String, optional: &'static str },
    #[error("the header names the column {0} twice")]
    Twice(&'static str),
    #[error("the file is UTF-16 text: save it as UTF-8")]
    Utf16,
    #[error("the header cannot be read: {0}")]
    Malformed(Rejection),
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Positions of the values in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    pub(super) kind: Kind,
    pub(super) count: usize,
    /// Those of the needed columns in their order, then that of the optional one.
    pub(super) places: [Option<usize>; FORM_COLUMNS_MAX],
}

impl Form {
    pub(super) fn has(&self, name: &str) -> bool {
        self.optional == name || self.needed.contains(&name)
    }

    fn missing(&self, name: &'static str) -> HeaderError {
        let (last, others) = self.needed.split_last().unwrap_or((&"", &[]));
        let required = format!("{} and {last}", others.join(", "));
        HeaderError::Missing { name, required, optional: self.optional }
    }
}

impl Columns {
    /// Finds the columns by their names, which are in lower case.
    pub(super) fn find(form: &Form, names: &[String]) -> Result<Self, HeaderError> {
        let find = |name| {
            let mut places = (0..names.len()).filter(|place| names[*place] == name);
            match (places.next(), places.next()) {
                (_, Some(_)) => Err(HeaderError::Twice(name)),
                (place, None) => Ok(place),
            }
        };
        let mut places = [None; FORM_COLUMNS_MAX];
        for (place, name) in places.iter_mut().zip(form.needed) {
            *place = Some(find(name)?.ok_or_else(|| form.missing(name))?);
        }
        places[form.needed.len()] = find(form.optional)?;
        Ok(Self { kind: form.kind, count: names.len(), places })
    }

    pub(super) fn report(self, fields: &[&str; COLUMNS_MAX]) -> Result<Report, Rejection> {
        let [first, second, third, fourth, fifth, sixth] =
            self.places.map(|place| place.map_or("", |place| fields[place]));
        Ok(match self.kind {
            Kind::Crossings => Report::Crossing(Crossing {
                ts: first.parse()?,
                direction: parse_direction(second)?,
                serial: third.to_owned(),
                seq: if fourth.is_empty() { 0 } else { parse_seq(fourth)? },
            }),
            Kind::Intervals => Report::Interval(IntervalReport {
                from: first.parse()?,
                to: second.parse()?,
                toward: parse_people("toward", third)?,
                away: parse_people("away", fourth)?,
                serial: fifth.to_owned(),
                revise: parse_flag("revise", sixth)?,
            }),
            Kind::Totals => Report::Totals(TotalsReport {
                ts: first.parse()?,
                toward: parse_total("total_toward", second)?,
                away: parse_total("total_away", third)?,
                serial: fourth.to_owned(),
                force: parse_flag("force", fifth)?,
            }),
        })
    }
}
