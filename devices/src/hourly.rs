//! Tables of people in time buckets, as CSV or JSON: exports of Eco-Counter, Axis, Xovis, and open data.
//!
//! A table is a CSV with a header, a JSON array of objects, a JSON object with one array, or a single JSON object. The
//! settings name its columns, in any case. The line is `DEVICE`, or `DEVICE/LINE` if `line` names a column. Row 1 of a CSV is
//! its header; row 1 of a JSON table is its first object.
//!
//! A bucket without numbers was not measured, which is not the same as nobody. It is not reported.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta};
use csv::StringRecord;
use serde_json::{Map, Value};
use values::{Instant, Timestamp, shown};

use crate::json::Name;
use crate::report::{Content, Message, Report, Unreadable};
use crate::settings::Settings;

const ROWS_MAX: usize = 100_000;

/// How many columns an error lists.
const LISTED_MAX: usize = 20;

/// The name of a column that the table does not have: nobody goes that way.
const NONE: &str = "-";

const NO_ROWS: &str = "the table has no rows";

/// How tables write that there is no value.
const EMPTY: [&str; 5] = ["", "na", "n/a", "nan", "null"];

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let text = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
    let text = str::from_utf8(text).map_err(Unreadable::whole)?;
    let mut decoded = match text.trim_start().as_bytes() {
        [] => return Err(Unreadable::whole("the message is empty")),
        [b'[' | b'{', ..] => json(text, settings)?,
        _ => csv(text, settings)?,
    };
    if decoded.reports.is_empty() && decoded.unreadable.is_empty() && decoded.nothing.is_none() {
        decoded.nothing = Some("no row has people");
    }
    Ok(decoded)
}

fn json(text: &str, settings: &Settings) -> Result<Message, Unreadable> {
    let table: Value = serde_json::from_str(text).map_err(Unreadable::whole)?;
    let rows = match &table {
        Value::Array(rows) => rows.as_slice(),
        Value::Object(members) => {
            let mut arrays = members.values().filter_map(Value::as_array);
            match (arrays.next(), arrays.next()) {
                (Some(rows), None) => rows,
                (None, _) => std::slice::from_ref(&table),
                (Some(_), Some(_)) => {
                    return Err(Unreadable::whole(
                        "it has several arrays: send an array of objects, or an object with one array",
                    ));
                }
            }
        }
        _ => &[],
    };
    if rows.is_empty() {
        return Ok(Message::nothing(NO_ROWS));
    }
    if rows.len() > ROWS_MAX {
        return Err(too_long());
    }
    let names: BTreeSet<&String> = rows.iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    let table = Table::new(&names, settings)?;
    let mut decoded = Message::default();
    for (index, row) in rows.iter().enumerate() {
        let read = match row {
            Value::Object(members) => table.report(&Row::Members(members, &names)),
            _ => Err("it is not an object".to_owned()),
        };
        add(&mut decoded, index + 1, read);
    }
    Ok(decoded)
}

fn csv(text: &str, settings: &Settings) -> Result<Message, Unreadable> {
    let mut records = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(text))
        .from_reader(text.as_bytes())
        .into_records();
    let header = match records.next() {
        Some(header) => header.map_err(Unreadable::whole)?,
        None => return Err(Unreadable::whole("the message is empty")),
    };
    let names: Vec<&str> = header.iter().collect();
    let table = Table::new(&names, settings)?;
    let mut decoded = Message::default();
    let mut number = 1;
    for record in records {
        let record = record.map_err(Unreadable::whole)?;
        number += 1;
        if number - 1 > ROWS_MAX {
            return Err(too_long());
        }
        if record.iter().all(|value| value.trim().is_empty()) {
            continue;
        }
        let is_surplus_empty = record.iter().skip(names.len()).all(|value| value.trim().is_empty());
        let read = if record.len() >= names.len() && is_surplus_empty {
            table.report(&Row::Values(&record))
        } else {
            Err(format!("it has {} values, but the header names {} columns", record.len(), names.len()))
        };
        add(&mut decoded, number, read);
    }
    if number == 1 {
        return Ok(Message::nothing(NO_ROWS));
    }
    Ok(decoded)
}

fn too_long() -> Unreadable {
    Unreadable::whole(format_args!("it has more than {ROWS_MAX} rows: send it in parts"))
}

fn add(decoded: &mut Message, number: usize, read: Result<Option<Report>, String>) {
    match read {
        Ok(report) => decoded.reports.extend(report),
        Err(reason) => decoded.unreadable.push(Unreadable::at(format!("row {number}"), reason)),
    }
}

/// Returns what separates the values of a CSV: what is in its header most often, outside quotes.
fn delimiter(text: &str) -> u8 {
    let mut is_quoted = false;
    let mut counts = [(0_usize, b','), (0, b';'), (0, b'\t')];
    for byte in text.trim_start_matches(['\r', '\n']).bytes() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\r' | b'\n' if !is_quoted => break,
            _ if !is_quoted => {
                counts.iter_mut().filter(|(_, one)| *one == byte).for_each(|(count, _)| *count += 1);
            }
            _ => {}
        }
    }
    counts
        .into_iter()
        .max_by_key(|(count, _)| *count)
        .filter(|(count, _)| *count > 0)
        .map_or(b',', |(_, one)| one)
}

/// A column of a table.
struct Column {
    index: usize,
    name: String,
}

/// A row of a table.
enum Row<'a> {
    Values(&'a StringRecord),
    /// Members of an object, and the names of all columns.
    Members(&'a Map<String, Value>, &'a [&'a str]),
}

impl Row<'_> {
    /// Returns the value of a column. `None`: it has none.
    fn value(&self, column: &Column) -> Result<Option<Cow<'_, str>>, String> {
        let value: Cow<'_, str> = match self {
            Self::Values(record) => record.get(column.index).unwrap_or_default().into(),
            Self::Members(members, names) => {
                match names.get(column.index).and_then(|name| members.get(*name)) {
                    None | Some(Value::Null) => return Ok(None),
                    Some(Value::String(text)) => text.as_str().into(),
                    Some(Value::Number(number)) => number.to_string().into(),
                    Some(_) => return Err(format!("{}: it is not a number or a string", column.name)),
                }
            }
        };
        let value = match value {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            owned @ Cow::Owned(_) => owned,
        };
        let is_empty = EMPTY.iter().any(|empty| value.eq_ignore_ascii_case(empty));
        Ok((!is_empty).then_some(value))
    }

    fn needed(&self, column: &Column) -> Result<Cow<'_, str>, String> {
        self.value(column)?.ok_or_else(|| format!("{}: it is empty", column.name))
    }

    /// Returns the people of a column. `None`: it has no value.
    fn people(&self, column: &Column) -> Result<Option<i64>, String> {
        let Some(value) = self.value(column)? else { return Ok(None) };
        let whole = value.strip_suffix(".0").unwrap_or(&value);
        let people = whole.parse().ok().filter(|people| *people >= 0);
        people.map(Some).ok_or_else(|| {
            format!("{}: invalid number {}: use a whole number of 0 or more", column.name, shown(&value))
        })
    }
}

/// What the columns of a table are.
struct Table<'a> {
    settings: &'a Settings,
    device: Option<Column>,
    line: Option<Column>,
    start: Column,
    end: Option<Column>,
    toward: Option<Column>,
    away: Option<Column>,
    /// How times are written. `None`: ISO 8601.
    time_format: Option<Vec<Item<'a>>>,
}

impl<'a> Table<'a> {
    fn new(names: &[&str], settings: &'a Settings) -> Result<Self, Unreadable> {
        let set = |setting: &Option<String>, name, accepted: &[&str]| match setting {
            Some(wanted) => column(names, name, &[wanted.as_str()]),
            None => column(names, name, accepted),
        };
        let optional = |name, accepted: &[&str]| -> Result<Option<Column>, Unreadable> {
            let is_there = names.iter().any(|name| accepted.iter().any(|one| clean(one) == clean(name)));
            is_there.then(|| column(names, name, accepted)).transpose()
        };
        let direction = |setting: &Option<String>, name| match setting.as_deref() {
            Some(NONE) => Ok(None),
            _ => set(setting, name, &[name]).map(Some),
        };
        let (toward, away) = (direction(&settings.r#in, "in")?, direction(&settings.out, "out")?);
        if toward.is_none() && away.is_none() {
            return Err(Unreadable::at("in", "in and out are both -: name the column of one of them"));
        }
        let device = optional("device", &["device", "serial"])?;
        if device.is_none() {
            settings.device("device", None)?;
        }
        let time_format = settings.time_format.as_deref().map(|format| {
            StrftimeItems::new(format).parse().map_err(|_| {
                let reason = "use the notation of strftime, such as %d/%m/%Y %H:%M";
                Unreadable::at("time_format", format_args!("invalid format {}: {reason}", shown(format)))
            })
        });
        Ok(Self {
            settings,
            device,
            line: settings.line.as_deref().map(|line| column(names, "line", &[line])).transpose()?,
            start: set(&settings.start, "start", &["start", "from", "time", "timestamp", "date"])?,
            end: match &settings.end {
                Some(end) => Some(column(names, "end", &[end])?),
                None => optional("end", &["end", "to"])?,
            },
            toward,
            away,
            time_format: time_format.transpose()?,
        })
    }

    /// Returns what a row reports. `None`: it was not measured.
    fn report(&self, row: &Row<'_>) -> Result<Option<Report>, String> {
        let people = |column: &Option<Column>| column.as_ref().map(|column| row.people(column)).transpose();
        let (toward, away) = match (people(&self.toward)?, people(&self.away)?) {
            (None | Some(None), None | Some(None)) => return Ok(None),
            (Some(None), Some(_)) => return Err(half(self.toward.as_ref())),
            (Some(_), Some(None)) => return Err(half(self.away.as_ref())),
            (toward, away) => (toward.flatten().unwrap_or(0), away.flatten().unwrap_or(0)),
        };
        let from = self.time(row, &self.start)?;
        let to = match &self.end {
            Some(end) => self.time(row, end)?,
            None => end(from, self.settings.minutes)
                .ok_or_else(|| format!("{}: its bucket ends after the year 9999", self.start.name))?,
        };
        let named = match &self.device {
            Some(column) => row.value(column)?.map(|device| Name(device.into_owned())),
            None => None,
        };
        let device = self.settings.device("device", named).map_err(|error| error.to_string())?;
        let serial = match &self.line {
            Some(line) => format!("{device}/{}", row.needed(line)?),
            None => device,
        };
        Ok(Some(Report::new(serial, Content::Interval { from, to, toward, away })))
    }

    fn time(&self, row: &Row<'_>, column: &Column) -> Result<Timestamp, String> {
        let text = row.needed(column)?;
        let read = match &self.time_format {
            None => text.parse::<Timestamp>().map_err(|error| error.to_string()),
            Some(items) => formatted(&text, items).ok_or_else(|| {
                let format = self.settings.time_format.as_deref().unwrap_or_default();
                format!("{} is not a time of the format {}", shown(&text), shown(format))
            }),
        };
        read.map_err(|reason| format!("{}: {reason}", column.name))
    }
}

/// Returns that people of one direction are known and those of the other are not.
fn half(empty: Option<&Column>) -> String {
    let name = empty.map_or("", |column| &column.name);
    format!("{name}: it is empty, but the other direction is not: leave both empty if nothing was measured")
}

/// Finds the column that has one of these names: the first name that there is counts.
fn column(names: &[&str], setting: &str, accepted: &[&str]) -> Result<Column, Unreadable> {
    for wanted in accepted.iter().map(|wanted| wanted.trim()) {
        let indices = |is_it: &dyn Fn(&str) -> bool| -> Vec<usize> {
            names.iter().enumerate().filter(|(_, name)| is_it(name)).map(|(index, _)| index).collect()
        };
        let mut found = indices(&|name| trimmed(name) == wanted);
        if found.is_empty() {
            found = indices(&|name| clean(name) == clean(wanted));
        }
        match found.as_slice() {
            [] => {}
            [index] => return Ok(Column { index: *index, name: short(trimmed(names[*index])) }),
            [..] => {
                let reason = format!("{} columns are named {}: name them apart", found.len(), shown(wanted));
                return Err(Unreadable::at(setting, reason));
            }
        }
    }
    let listed: Vec<String> = names.iter().take(LISTED_MAX).map(|name| shown(trimmed(name))).collect();
    let more = if names.len() > LISTED_MAX { ", …" } else { "" };
    let wanted: Vec<String> = accepted.iter().map(|name| shown(name)).collect();
    let (wanted, listed) = (wanted.join(" or "), listed.join(", "));
    let reason = format!(
        "no column is named {wanted}: add ?{setting}=COLUMN to the address, with one of {listed}{more}"
    );
    Err(Unreadable::at(setting, reason))
}

/// Returns the name of a column without spaces and quotes around it.
fn trimmed(name: &str) -> &str {
    name.trim().trim_matches('"').trim()
}

/// Returns the name of a column as it is compared.
fn clean(name: &str) -> String {
    trimmed(name).to_lowercase()
}

/// Returns a name, cut if it is long, as errors of rows repeat it.
fn short(name: &str) -> String {
    name.chars().take(40).collect()
}

/// Reads a time as a format says. Names of zones are skipped.
fn formatted(text: &str, items: &[Item<'_>]) -> Option<Timestamp> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, items.iter()).ok()?;
    if parsed.hour_div_12().is_some() && parsed.minute().is_none() {
        parsed.set_minute(0).ok()?;
    }
    if parsed.offset().is_some() || parsed.timestamp().is_some() {
        let instant = Instant::from_ms(parsed.to_datetime().ok()?.timestamp_millis());
        return (Instant::MIN..=Instant::MAX).contains(&instant).then_some(Timestamp::Instant(instant));
    }
    let ts = match parsed.hour_div_12() {
        Some(_) => {
            let local = parsed.to_naive_datetime_with_offset(0).ok()?;
            // To the millisecond, and a leap second is the second after it.
            let ms = local.and_utc().timestamp_millis();
            Timestamp::Local(DateTime::from_timestamp_millis(ms)?.naive_utc())
        }
        None => Timestamp::Day(parsed.to_naive_date().ok()?),
    };
    is_writable(ts.local()?).then_some(ts)
}

/// Returns the end of a bucket. A day alone lasts until the next, unless the settings say how long.
fn end(start: Timestamp, minutes: Option<u32>) -> Option<Timestamp> {
    if let (Timestamp::Day(day), None) = (start, minutes) {
        return day.succ_opt().map(Timestamp::Day).filter(|day| day.local().is_some_and(is_writable));
    }
    let length = TimeDelta::minutes(i64::from(minutes.unwrap_or(60)));
    if let Some(local) = start.local() {
        return local.checked_add_signed(length).filter(|end| is_writable(*end)).map(Timestamp::Local);
    }
    let end = start.in_utc().plus_ms(length.num_milliseconds());
    (end <= Instant::MAX).then_some(Timestamp::Instant(end))
}

/// Returns whether a timestamp can be written and read again.
fn is_writable(local: NaiveDateTime) -> bool {
    (1..=9999).contains(&local.year())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    const AXIS: &str = include_str!("../fixtures/hourly/axis.csv");
    const XOVIS: &str = include_str!("../fixtures/hourly/xovis.csv");
    const ECO_COUNTER: &str = include_str!("../fixtures/hourly/eco_counter.csv");
    const UNIVERSITY: &str = include_str!("../fixtures/hourly/university.json");

    /// The settings of the Xovis sensor's own CSV.
    const OF_XOVIS: [(&str, &str); 6] = [
        ("device", "X"),
        ("start", "from-time"),
        ("end", "to-time"),
        ("in", "forward counter"),
        ("out", "backward counter"),
        ("time_format", "%d/%m/%Y - %H:%M"),
    ];

    fn read(message: &str, settings: &[(&str, &str)]) -> Result<Message, Unreadable> {
        let settings = Settings::parse(Format::Hourly, settings.iter().copied()).unwrap();
        decode(message.as_bytes(), &settings)
    }

    fn told(message: &str, settings: &[(&str, &str)]) -> Message {
        read(message, settings).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(message: &str, settings: &[(&str, &str)]) -> String {
        read(message, settings).unwrap_err().to_string()
    }

    /// Writes a report as `SERIAL FROM TO IN OUT`.
    fn line(report: &Report) -> String {
        match &report.content {
            Content::Interval { from, to, toward, away } => {
                format!("{} {from} {to} {toward} {away}", report.serial)
            }
            other => panic!("{other:?}"),
        }
    }

    fn lines(message: &str, settings: &[(&str, &str)]) -> Vec<String> {
        let decoded = told(message, settings);
        assert_eq!(decoded.unreadable, []);
        decoded.reports.iter().map(line).collect()
    }

    fn unreadable(message: &str, settings: &[(&str, &str)]) -> Vec<String> {
        told(message, settings).unreadable.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_export_of_axis_is_read_and_a_row_that_cannot_be_read_leaves_the_others() {
        let decoded = told(AXIS, &[("device", "A")]);
        let told: Vec<_> = decoded.reports.iter().map(line).collect();
        assert_eq!(
            told,
            [
                "A 2026-03-02T08:00:00 2026-03-02T08:01:00 0 0",
                "A 2026-03-02T08:01:00 2026-03-02T08:02:00 7 2",
                "A 2026-03-02T08:04:00 2026-03-02T08:05:00 1 5",
            ]
        );
        let unreadable: Vec<_> = decoded.unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(unreadable, ["row 5: out: invalid number \"four\": use a whole number of 0 or more"]);
        for end in ["\r", "\r\n"] {
            assert_eq!(read(&AXIS.replace('\n', end), &[("device", "A")]), Ok(decoded.clone()));
        }
    }

    #[test]
    fn an_export_of_xovis_has_local_times_of_its_own_format() {
        assert_eq!(
            lines(XOVIS, &OF_XOVIS),
            [
                "X 2026-02-14T23:58:00 2026-02-14T23:59:00 4 1",
                "X 2026-02-14T23:59:00 2026-02-15T00:00:00 0 3",
            ]
        );
        let mut swapped = OF_XOVIS;
        (swapped[3].1, swapped[4].1) = (swapped[4].1, swapped[3].1);
        assert!(lines(XOVIS, &swapped)[0].ends_with(" 1 4"));
    }

    #[test]
    fn an_export_of_eco_counter_has_semicolons_quoted_names_and_a_mark_at_its_beginning() {
        let settings = [("device", "E"), ("in", "Bridge, in"), ("out", "bridge, OUT"), ("minutes", "15")];
        assert_eq!(
            lines(ECO_COUNTER, &settings),
            [
                "E 2026-03-29T01:00:00 2026-03-29T01:15:00 12 9",
                "E 2026-03-29T03:00:00 2026-03-29T03:15:00 15 8",
            ]
        );
    }

    #[test]
    fn a_data_set_as_json_names_its_devices_and_lines() {
        let settings = [("in", "entries"), ("out", "exits"), ("line", "gate")];
        let expected = [
            "LIB/1 2026-03-02T07:00:00Z 2026-03-02T08:00:00Z 42 17",
            "LIB/2 2026-03-02T07:00:00Z 2026-03-02T08:00:00Z 8 0",
            "LIB/2 2026-03-02T08:00:00Z 2026-03-02T09:00:00Z 11 5",
        ];
        assert_eq!(lines(UNIVERSITY, &settings), expected);
        let rows: Value = serde_json::from_str(UNIVERSITY).unwrap();
        assert_eq!(lines(&rows["values"].to_string(), &settings), expected);
        assert_eq!(lines(&format!("\u{feff}{UNIVERSITY}"), &settings), expected);
        assert_eq!(lines(&rows["values"][0].to_string(), &settings), expected[..1]);
        assert!(error(r#"{"a": [], "b": []}"#, &settings).starts_with("it has several arrays"));
    }

    #[test]
    fn a_bucket_that_was_not_measured_is_not_one_without_people() {
        for empty in ["", " ", "NA", "NaN", "n/a", "null"] {
            let decoded =
                told(&format!("start,in,out\n2026-01-01 10:00,{empty},{empty}"), &[("device", "A")]);
            assert_eq!((decoded.reports, decoded.unreadable), (vec![], vec![]), "{empty:?}");
            assert!(decoded.nothing.is_some());
        }
        let half = "start,in,out\n2026-01-01 10:00,,4";
        assert!(unreadable(half, &[("device", "A")])[0].starts_with("row 2: in: it is empty, but the other"));
        let json = r#"[{"start": "2026-01-01T10:00", "out": 4}, {"in": 1, "start": "2026-01-01T11:00"}]"#;
        assert_eq!(unreadable(json, &[("device", "A")]).len(), 2);
    }

    #[test]
    fn a_table_may_have_people_of_one_direction_only() {
        let table = "time,people\n2026-01-01 10:00,4\n2026-01-01 11:00,\n";
        let into = [("device", "A"), ("in", "people"), ("out", "-")];
        assert_eq!(lines(table, &into), ["A 2026-01-01T10:00:00 2026-01-01T11:00:00 4 0"]);
        let out = [("device", "A"), ("in", "-"), ("out", "people")];
        assert_eq!(lines(table, &out), ["A 2026-01-01T10:00:00 2026-01-01T11:00:00 0 4"]);
        let neither = [("device", "A"), ("in", "-"), ("out", "-")];
        assert_eq!(error(table, &neither), "in: in and out are both -: name the column of one of them");
    }

    #[test]
    fn people_are_whole_numbers_of_0_or_more() {
        let table =
            "start,in,out\n2026-01-01 10:00,-1,0\n2026-01-01 10:00,0,1.5\n2026-01-01 10:00,\"3.0\", 04 \n";
        let decoded = told(table, &[("device", "A")]);
        assert_eq!(line(&decoded.reports[0]), "A 2026-01-01T10:00:00 2026-01-01T11:00:00 3 4");
        let unreadable: Vec<_> = decoded.unreadable.iter().map(ToString::to_string).collect();
        assert!(unreadable[0].starts_with("row 2: in: invalid number \"-1\""), "{unreadable:?}");
        assert!(unreadable[1].starts_with("row 3: out: invalid number \"1.5\""), "{unreadable:?}");
    }

    #[test]
    fn the_delimiter_is_told_from_the_header() {
        for header in ["Start,IN,Out", "start;in;out", "start\tin\tout", "\"start\"; \"in\" ;\"out\""] {
            let delimiter = header.chars().find(|one| ",;\t".contains(*one)).unwrap().to_string();
            let row = ["\"2026-01-01 10:00\"", "3", "\"4\""].join(&delimiter);
            let told = lines(&format!("\n{header}\n\n{row}\n{delimiter}{delimiter}\n"), &[("device", "A")]);
            assert_eq!(told, ["A 2026-01-01T10:00:00 2026-01-01T11:00:00 3 4"], "{header}");
        }
        // An empty first name, and delimiters within quotes.
        let table = "\t\"a,b,c,d,e,f\"\tstart\tin\tout\nx\t,\t2026-01-01 10:00\t3\t4";
        assert_eq!(lines(table, &[("device", "A")]).len(), 1);
    }

    #[test]
    fn values_that_have_moved_to_other_columns_are_not_read() {
        let table = "site,start,in,out\nA, north,2026-01-01 10:00,3,4\nA,2026-01-01 10:00,3\nA,2026-01-01 10:00,3,4,\n";
        let decoded = told(table, &[("device", "A")]);
        assert_eq!(decoded.reports.len(), 1);
        let unreadable: Vec<_> = decoded.unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(
            unreadable,
            [
                "row 2: it has 5 values, but the header names 4 columns",
                "row 3: it has 3 values, but the header names 4 columns",
            ]
        );
    }

    #[test]
    fn a_missing_column_is_named_with_those_that_there_are() {
        let named = [("device", "A")];
        for (header, settings, expected) in [
            (
                "start,people,out",
                named.as_slice(),
                "in: no column is named \"in\": add ?in=COLUMN to the address, with one of \"start\", \"people\", \"out\"",
            ),
            (
                "begin,in,out",
                &named,
                "start: no column is named \"start\" or \"from\" or \"time\" or \"timestamp\"",
            ),
            ("start,in,out", &[("device", "A"), ("end", "until")], "end: no column is named \"until\""),
            ("start,in,out", &[("device", "A"), ("line", "gate")], "line: no column is named \"gate\""),
            ("start,in,out", &[], "device: it is missing"),
            ("start,in,In,out,OUT,out", &named, "out: 2 columns are named \"out\": name them apart"),
        ] {
            let error = error(&format!("{header}\n"), settings);
            assert!(error.starts_with(expected), "{header}: {error}");
        }
        let wide = (0..10_000).map(|number| format!("column {number}")).collect::<Vec<_>>().join(",");
        assert!(error(&wide, &named).len() < 1_000);
        assert_eq!(told("start,in,out\n", &named), Message::nothing(NO_ROWS));
        assert_eq!(told("[]", &named), Message::nothing(NO_ROWS));
    }

    #[test]
    fn times_are_read_as_the_format_says() {
        for (format, time, expected) in [
            ("%d.%m.%Y %H:%M:%S", "09.02.2026 07:05:01", "2026-02-09T07:05:01"),
            ("%Y%m%d%H%M %z", "202602090705 +0100", "2026-02-09T06:05:00Z"),
            ("%+", "2026-02-09T07:05:00.25-02:00", "2026-02-09T09:05:00.250Z"),
            ("%s", "1770620700", "2026-02-09T07:05:00Z"),
            ("%m/%d/%Y %I %p", "02/09/2026 07 PM", "2026-02-09T19:00:00"),
            ("%d/%m/%y", "09/02/26", "2026-02-09"),
            ("%Y-%m-%d %H:%M %Z", "2026-02-09 07:05 CET", "2026-02-09T07:05:00"),
            ("%Y-%m-%d %H:%M:%S%.f", "2026-02-09 07:05:01.123999999", "2026-02-09T07:05:01.123"),
            ("%Y-%m-%d %H:%M:%S", "2026-02-09 07:05:60", "2026-02-09T07:06:00"),
        ] {
            let settings = [("device", "A"), ("time_format", format)];
            let told = lines(&format!("start,in,out\n{time},1,2\n"), &settings);
            assert_eq!(told[0].split(' ').nth(1), Some(expected), "{format}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_or_written_is_named() {
        for (format, time, expected) in [
            (None, "31/01/2026", "start: \"31/01/2026\" is not a timestamp: a date is written YYYY-MM-DD"),
            (None, "9999-12-31T23:30:00", "start: its bucket ends after the year 9999"),
            (None, "9999-12-31T23:30:00Z", "start: its bucket ends after the year 9999"),
            (None, "9999-12-31", "start: its bucket ends after the year 9999"),
            (None, "", "start: it is empty"),
            (Some("%d/%m"), "31/01", "start: \"31/01\" is not a time of the format \"%d/%m\""),
            (Some("%Y-%m-%d %H:%M"), "10000-01-01 10:00", "start: \"10000-01-01 10:00\" is not a time"),
            (Some("%Y-%m-%d"), "+262142-12-31", "start: \"+262142-12-31\" is not a time"),
            (Some("%Y-%m-%d"), "-0004-12-31", "start: \"-0004-12-31\" is not a time"),
            (Some("%s"), "9223372036854775807", "start: \"9223372036854775807\" is not a time"),
            (Some("%s"), "253402300800", "start: \"253402300800\" is not a time"),
            (Some("%Y-%m-%d %H:%M %z"), "2026-01-01 10:00 +99:59", "start: \"2026-01-01 10:00 +99:59\" is"),
        ] {
            let format = format.map(|format| ("time_format", format));
            let settings: Vec<_> = [("device", "A")].into_iter().chain(format).collect();
            let unreadable = unreadable(&format!("start,in,out\n{time},1,2\n"), &settings);
            assert!(unreadable[0].starts_with(&format!("row 2: {expected}")), "{unreadable:?}");
        }
        for format in ["%", "%Q", "%-", "%:", "%d %"] {
            let error = error(AXIS, &[("device", "A"), ("time_format", format)]);
            assert!(error.starts_with(&format!("time_format: invalid format {format:?}: use")), "{error}");
        }
    }

    #[test]
    fn a_bucket_ends_where_its_column_its_minutes_or_its_day_says() {
        let table = "date,in,out\n2026-03-28,1,2\n";
        assert_eq!(lines(table, &[("device", "A")]), ["A 2026-03-28 2026-03-29 1 2"]);
        let minutes = [("device", "A"), ("minutes", "30")];
        assert_eq!(lines(table, &minutes), ["A 2026-03-28 2026-03-28T00:30:00 1 2"]);
        // Wall time that goes back is left to those who know the zone.
        let table = "from,to,in,out\n2026-10-25 02:45,2026-10-25 02:00,1,2\n";
        assert_eq!(lines(table, &minutes), ["A 2026-10-25T02:45:00 2026-10-25T02:00:00 1 2"]);
    }

    #[test]
    fn a_row_names_its_device_or_the_settings_do() {
        let table = "Serial,start,in,out\nA,2026-01-01 10:00,1,2\n,2026-01-01 10:00,3,4\n";
        let told = lines(table, &[("device", "B")]);
        assert!(told[0].starts_with("A ") && told[1].starts_with("B "), "{told:?}");
        assert!(unreadable(table, &[])[0].starts_with("row 3: device: it is missing"));
        let lineless = "line,start,in,out\n,2026-01-01 10:00,1,2";
        assert_eq!(unreadable(lineless, &[("device", "B"), ("line", "line")]), ["row 2: line: it is empty"]);
    }

    #[test]
    fn a_table_has_at_most_100_000_rows() {
        let settings = [("device", "A")];
        let csv = |rows: usize| format!("start,in,out\n{}", "2026-01-01T10:00,1,2\n".repeat(rows));
        assert_eq!(told(&csv(100_000), &settings).reports.len(), 100_000);
        assert_eq!(error(&csv(100_001), &settings), "it has more than 100000 rows: send it in parts");
        assert_eq!(error(&format!("[0{}]", ",0".repeat(100_000)), &settings), too_long().to_string());
    }

    #[test]
    fn what_is_not_a_table_is_refused() {
        for (message, expected) in [
            ("", "the message is empty"),
            (" \r\n ", "the message is empty"),
            ("[1", "EOF while parsing"),
            ("<a/>", "in: no column is named \"in\""),
            ("[[1, 2]]", "in: no column is named \"in\""),
        ] {
            let error = error(message, &[("device", "A")]);
            assert!(error.starts_with(expected), "{message}: {error}");
        }
        assert!(decode(b"start,in,out\n\xff", &Settings::default()).is_err());
    }
}
