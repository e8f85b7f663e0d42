//! Bounds the number of values in the body of a request.

use crate::http::graphql::limits::{DocumentError, Measure};
use crate::limits::Limits;

/// Shorter bodies are not checked for the number of their values: they cannot have too many.
const SHORT_BYTES: usize = 64 << 10;

/// Refuses a JSON text with too many values, or with a list that is too long, before it is parsed: a value takes some
/// seventy bytes once it is parsed, whereas its text may take two.
pub(in crate::http::graphql) fn check_extent(json: &[u8], limits: &Limits) -> Result<(), DocumentError> {
    let (values, longest) = extent(json, limits.json_values);
    Measure::Values.check(values, limits.json_values)?;
    // Events are the longest list that is accepted.
    Measure::List.check(longest, limits.ingest_events)
}

/// Returns upper bounds of the number of values in a JSON text, and of the length of its longest list. Stops at one
/// value more than is accepted. Returns zeros for a short text.
fn extent(json: &[u8], accepted: u32) -> (u64, u64) {
    if json.len() < SHORT_BYTES {
        return (0, 0);
    }
    let (mut values, mut longest) = (1, 0);
    // The number of entries in each open bracket.
    let mut open: Vec<u64> = Vec::new();
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if values > accepted.into() => break,
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                values += 1;
                open.push(1);
            }
            b',' => {
                values += 1;
                if let Some(entries) = open.last_mut() {
                    *entries += 1;
                }
            }
            b']' | b'}' => {
                let entries = open.pop().unwrap_or_default();
                if *byte == b']' {
                    longest = longest.max(entries);
                }
            }
            _ => {}
        }
    }
    (values, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(json: &str) -> (u64, u64) {
        super::extent(json.as_bytes(), u32::MAX)
    }

    #[test]
    fn values_and_lists_of_long_bodies_are_counted() {
        let zeros = "0,".repeat(SHORT_BYTES);
        let many = SHORT_BYTES as u64 + 1;
        assert_eq!(extent(&format!("[{zeros}0]")), (1 + many, many));
        assert_eq!(
            extent(&format!("{{\"a\": [[], [{zeros}0], {{\"b\": [0, 0]}}], \"c\": 0}}")),
            (10 + many, many)
        );
        let object = "\"a\": [0, 0],".repeat(SHORT_BYTES);
        assert_eq!(extent(&format!("{{{object} \"b\": 0}}")).1, 2);
        assert_eq!(extent(&format!("{{\"a\": \"{}\"}}", ",[{\\\"".repeat(SHORT_BYTES))), (2, 0));
        assert_eq!(extent("[0, 0]"), (0, 0));
        assert_eq!(extent(&format!("]}},{}", "[".repeat(SHORT_BYTES))).1, 0);
    }

    #[test]
    fn counting_stops_at_one_value_more_than_is_accepted() {
        let zeros = format!("[{}0]", "0,".repeat(SHORT_BYTES));
        assert_eq!(super::extent(zeros.as_bytes(), 10), (11, 0));
    }
}
