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
