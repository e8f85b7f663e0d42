//! OpenDataCam: counter data as JSON or CSV.
//!
//! A line is a counter area, `AREA`, or `DEVICE/AREA` if the setting `device` names the installation. Only objects of the
//! class `person` count. People who go from left to right, or from top to bottom, go in; the settings `in` and `out` name
//! other directions.

use serde::Deserialize;
use serde_json::Value;
use values::Direction;

use crate::json::{self, Name, Number, Time};
use crate::report::{Content, Message, Report, Unreadable};
use crate::settings::Settings;

/// What crossed a counter area.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    timestamp: Time,
    area: Name,
    id: Number,
    counting_direction: Option<Name>,
}

/// The columns of a table in the order of [`COLUMNS`].
type Row = [usize; 5];

/// The members of an item, and the header of its column as older versions write it.
const COLUMNS: [(&str, &str); 5] = [
    ("timestamp", "timestamp"),
    ("area", "counter area"),
    ("name", "objectclass"),
    ("id", "uniqueid"),
    ("countingDirection", "countingdirection"),
];

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let text = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message).trim_ascii();
    let mut decoded = match text.first() {
        None => return Err(Unreadable::whole("the message is empty")),
        Some(b'{' | b'[') => decode_json(text, settings)?,
        Some(_) => decode_csv(text, settings)?,
    };
    if decoded.reports.is_empty() && decoded.unreadable.is_empty() {
        decoded.nothing = Some("no person crossed a counter area");
    }
    Ok(decoded)
}

fn decode_json(text: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let mut decoded = Message::default();
    let documents = json::documents::<Value>(text)?;
    let is_one = documents.len() == 1;
    for (index, document) in documents.iter().enumerate() {
        let place = if is_one { String::new() } else { format!("[{index}]") };
        // A recording as a whole holds its counter data.
        if let Some(Value::Array(history)) = document.get("counterHistory") {
            let dot = if is_one { "" } else { "." };
            for (index, item) in history.iter().enumerate() {
                add(&mut decoded, read(&format!("{place}{dot}counterHistory[{index}]"), item, settings));
            }
        } else if is_one && document.get("name").is_none() {
            return Err(Unreadable::at("name", "it is missing: accepted are counter data of OpenDataCam"));
        } else {
            add(&mut decoded, read(&place, document, settings));
        }
    }
    Ok(decoded)
}

fn decode_csv(text: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let mut table = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text);
    let columns = columns(table.headers().map_err(|error| Unreadable::at("row 1", error))?)?;
    let mut decoded = Message::default();
    for (index, row) in table.records().enumerate() {
        // As in a spreadsheet, where the header is the first row.
        let place = format!("row {}", index + 2);
        let read = match row {
            Ok(row) => read(&place, &item_of(&row, columns), settings),
            Err(error) => Err(Unreadable::at(place, error)),
        };
        add(&mut decoded, read);
    }
    Ok(decoded)
}

fn columns(header: &csv::StringRecord) -> Result<Row, Unreadable> {
    let mut columns = Row::default();
    for (column, (member, older)) in columns.iter_mut().zip(COLUMNS) {
        let is = |name: &str| name.eq_ignore_ascii_case(member) || name.eq_ignore_ascii_case(older);
        *column = header.iter().position(is).ok_or_else(|| {
            let reason =
                format!("the column {member:?} is missing: the header of the table names the columns");
            Unreadable::at("row 1", reason)
        })?;
    }
    Ok(columns)
}

/// Returns a row as an item of counter data. A cell that is not there, or is empty, is a member that is not there.
fn item_of(row: &csv::StringRecord, columns: Row) -> Value {
    let members = COLUMNS.iter().zip(columns).filter_map(|((member, _), column)| {
        let cell = row.get(column).filter(|cell| !cell.is_empty())?;
        Some(((*member).to_owned(), Value::from(cell)))
    });
    Value::Object(members.collect())
}

/// Returns the crossing of a person, or nothing if it is not a person.
fn read(place: &str, item: &Value, settings: &Settings) -> Result<Option<Report>, Unreadable> {
    let member = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    match item.get("name") {
        Some(class) if class == "person" => {}
        Some(_) => return Ok(None),
        None => return Err(Unreadable::at(member("name"), "it is missing")),
    }
    let Item { timestamp: Time(ts), area: Name(area), id, counting_direction } = json::part(place, item)?;
    let (into, out) = settings.directions().unwrap_or(("leftright_topbottom", "rightleft_bottomtop"));
    let named = counting_direction.as_ref().map_or("", |Name(direction)| direction);
    let direction = if named == into {
        Direction::Toward
    } else if named == out {
        Direction::Away
    } else {
        let reason = format!("{} is not a direction: accepted are {into} and {out}", values::shown(named));
        return Err(Unreadable::at(member("countingDirection"), reason));
    };
    let line = match &settings.device {
        Some(device) => format!("{device}/{area}"),
        None => area,
    };
    let seq = id.seq();
    Ok(Some(Report::new(line, Content::Crossing { ts: Some(ts), direction, seq })))
}

/// Adds what could be read, or that it could not.
fn add(decoded: &mut Message, read: Result<Option<Report>, Unreadable>) {
    match read {
        Ok(report) => decoded.reports.extend(report),
        Err(unreadable) => decoded.unreadable.push(unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    const JSON: &str = include_str!("../fixtures/opendatacam/counter.json");
    const CSV: &str = include_str!("../fixtures/opendatacam/counter.csv");
    const AREA: &str = "5d1c6f0e-0001-4a31-8c7e-3f2f6a7b9c10";

    fn decoded(message: &str, settings: &[(&str, &str)]) -> Message {
        let settings = Settings::parse(Format::Opendatacam, settings.iter().copied()).unwrap();
        decode(message.as_bytes(), &settings).unwrap()
    }

    fn crossing(line: &str, ts: &str, direction: Direction, seq: i32) -> Report {
        let ts = Some(ts.parse().unwrap());
        Report::new(line, Content::Crossing { ts, direction, seq })
    }

    /// The people of both fixtures; the cars are left out.
    fn people(line: &str) -> [Report; 3] {
        [
            crossing(line, "2019-04-26T17:29:38.811Z", Direction::Away, 1021),
            crossing(line, "2019-04-26T17:29:39.002Z", Direction::Toward, 1024),
            crossing(line, "2019-04-26T17:29:39.002Z", Direction::Toward, 3),
        ]
    }

    fn places(message: &Message) -> Vec<&str> {
        message.unreadable.iter().map(|unreadable| &*unreadable.place).collect()
    }

    #[test]
    fn json_and_csv_are_crossings_of_people() {
        assert_eq!(decoded(JSON, &[]), Message { reports: people(AREA).to_vec(), ..Message::default() });
        assert_eq!(decoded(CSV, &[]).reports, people(AREA));
        let line = format!("roof/{AREA}");
        assert_eq!(decoded(JSON, &[("device", "roof")]).reports, people(&line));
        for message in [JSON, CSV] {
            let marked = format!("\u{feff}{message}");
            assert_eq!(decoded(&marked, &[("device", "roof")]).reports, people(&line));
        }
    }

    #[test]
    fn a_recording_holds_its_counter_data() {
        let recording =
            format!(r#"{{"id": "5cc3400252340f451cd7397a", "areas": {{}}, "counterHistory": {JSON}}}"#);
        assert_eq!(decoded(&recording, &[]).reports, people(AREA));
        let broken = decoded(&recording.replace("1024", "-1"), &[]);
        assert_eq!((broken.reports.len(), places(&broken)), (2, vec!["counterHistory[2].id"]));
    }

    #[test]
    fn headers_are_read_in_any_case_and_as_newer_versions_write_them() {
        let (header, rows) = CSV.split_once('\n').unwrap();
        for header in [
            header.to_uppercase(),
            header.to_lowercase(),
            "timestamp,area,name,id,countingDirection".to_owned(),
        ] {
            assert_eq!(decoded(&format!("{header}\n{rows}"), &[]).reports, people(AREA), "{header}");
        }
        let newer = format!(
            "frameId,name,timestamp,area,id,bearing,countingDirection\n1,person,2019-04-26T17:29:38.811Z,{AREA},1021,182.6,rightleft_bottomtop"
        );
        assert_eq!(decoded(&newer, &[]).reports, people(AREA)[..1]);
    }

    #[test]
    fn settings_name_the_directions() {
        let swapped = [("in", "rightleft_bottomtop"), ("out", "leftright_topbottom")];
        let direction = |message: &Message| match message.reports[0].content {
            Content::Crossing { direction, .. } => direction,
            ref other => panic!("{other:?}"),
        };
        assert_eq!(direction(&decoded(JSON, &swapped)), Direction::Toward);
        assert_eq!(direction(&decoded(CSV, &swapped)), Direction::Toward);
    }

    #[test]
    fn rows_that_cannot_be_read_leave_the_others() {
        let message = decoded(&JSON.replace("rightleft_bottomtop", "entering"), &[]);
        assert_eq!(message.reports, people(AREA)[1..]);
        assert_eq!(places(&message), ["[0].countingDirection"]);
        assert!(
            message.unreadable[0]
                .reason
                .starts_with("\"entering\" is not a direction: accepted are leftright")
        );

        let (header, _) = CSV.split_once('\n').unwrap();
        let rows = "yesterday,a,person,1,leftright_topbottom\n2019-04-26T17:29:38Z,a,person,2,\n\
            2019-04-26T17:29:38Z,a,person\nyesterday,a,car,4,leftright_topbottom\n\
            2019-04-26T17:29:38Z,a,person,5,leftright_topbottom,";
        let message = decoded(&format!("{header}\n{rows}"), &[]);
        assert_eq!(message.reports, [crossing("a", "2019-04-26T17:29:38Z", Direction::Toward, 5)]);
        assert_eq!(places(&message), ["row 2.timestamp", "row 3.countingDirection", "row 4"]);
        assert!(message.unreadable[1].reason.starts_with("\"\" is not a direction"));

        let mut bytes = format!("{header}\n").into_bytes();
        bytes.extend(
            b"\xff,a,person,1,leftright_topbottom\n2019-04-26T17:29:38Z,a,person,5,leftright_topbottom",
        );
        let message = decode(&bytes, &Settings::default()).unwrap();
        assert_eq!((message.reports.len(), places(&message)), (1, vec!["row 2"]));
    }

    #[test]
    fn another_message_is_refused() {
        let error = |message: &str| decode(message.as_bytes(), &Settings::default()).unwrap_err();
        assert_eq!(error("{}").place, "name");
        assert_eq!(error("").reason, "the message is empty");
        assert_eq!(error("start,end,in,out\n1,2,3,4").place, "row 1");
        assert!(decoded("[]", &[]).nothing.is_some());
        let cars = JSON.replace("person", "car");
        assert!(decoded(&cars, &[]).nothing.is_some());
    }
}
