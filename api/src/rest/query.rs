//! What a query string says.

use entity::Instant;

use super::error::RestError;

/// The parameters of a query string. Those that nobody asks for are ignored.
#[derive(Debug)]
pub(super) struct Query(String);

impl Query {
    pub(super) fn new(text: Option<String>) -> Self {
        Self(text.unwrap_or_default())
    }

    /// The value of a parameter, the last where it is given several times.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let values = form_urlencoded::parse(self.0.as_bytes()).filter(|(found, _)| found == name);
        values.last().map(|(_, value)| value.into_owned())
    }

    /// The instant that a parameter names, if it is given.
    pub(super) fn instant(&self, name: &'static str) -> Result<Option<Instant>, RestError> {
        let parsed = self.get(name).map(|text| text.parse()).transpose();
        parsed.map_err(|error| RestError::Timestamp { name, error })
    }

    /// The instant that a parameter names, which must be given.
    pub(super) fn required_instant(&self, name: &'static str) -> Result<Instant, RestError> {
        self.instant(name)?.ok_or(RestError::Missing { name })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_query_string_is_read_or_refused(text in "\\PC*|([a-z]{0,2}[=&%+;0-9a-fA-FtsTZ:.-]{0,9}){0,9}") {
            let query = Query::new(Some(text));
            query.get("ts");
            if let Err(error) = query.instant("ts") {
                prop_assert!(error.to_string().starts_with("ts: "));
            }
        }

        #[test]
        fn a_value_comes_back_as_it_was_written(value in any::<String>(), before in any::<String>()) {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("ts", &before).append_pair("other", &before).append_pair("ts", &value);
            prop_assert_eq!(Query::new(Some(query.finish())).get("ts"), Some(value));
        }
    }
}
