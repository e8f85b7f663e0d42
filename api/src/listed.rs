//! Lists of numbers as tables of a statement.

use sea_orm::{DatabaseBackend, Value};

/// Returns a select of the rows, which takes the parameters from `$first` on, and their values.
///
/// All rows are in few values, so that a statement of any number of rows is prepared once.
pub(crate) fn listed<const N: usize>(
    backend: DatabaseBackend,
    first: usize,
    rows: impl IntoIterator<Item = [i64; N]>,
) -> (String, Vec<Value>) {
    let rows: Vec<[i64; N]> = rows.into_iter().collect();
    if backend == DatabaseBackend::Postgres {
        let places: Vec<_> = (first..first + N).map(|place| format!("${place}::bigint[]")).collect();
        let columns = (0..N).map(|column| rows.iter().map(|row| row[column]).collect::<Vec<_>>().into());
        return (format!("SELECT * FROM UNNEST({})", places.join(", ")), columns.collect());
    }
    let columns: Vec<_> = (0..N).map(|column| format!("value ->> {column}")).collect();
    let rows: Vec<&[i64]> = rows.iter().map(<[i64; N]>::as_slice).collect();
    let select = format!("SELECT {} FROM json_each(${first})", columns.join(", "));
    (select, vec![serde_json::json!(rows).to_string().into()])
}
