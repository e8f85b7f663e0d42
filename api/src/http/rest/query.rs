//! Parameters of query strings.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use entity::{Instant, Timestamp};

use crate::http::error::RestError;

#[derive(Debug)]
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Refuses unknown parameters: ignoring them would give an answer that the client did not ask for.
    pub(super) fn only(&self, accepted: &'static [&'static str]) -> Result<(), RestError> {
        let mut names = form_urlencoded::parse(self.0.as_bytes()).map(|(name, _)| name);
        match names.find(|name| !accepted.contains(&&**name)) {
            Some(unknown) => Err(RestError::UnknownParameter { given: unknown.into_owned(), accepted }),
            None => Ok(()),
        }
    }

    /// Returns the value of a parameter, the last one if it is repeated.
    pub(super) fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let values = form_urlencoded::parse(self.0.as_bytes()).filter(|(found, _)| found == name);
        values.last().map(|(_, value)| value)
    }

    pub(super) fn instant(&self, name: &'static str) -> Result<Option<Instant>, RestError> {
        let parsed = self.get(name).map(|text| text.parse()).transpose();
        parsed.map_err(|error| RestError::Timestamp { name, error })
    }

    pub(super) fn required_timestamp(&self, name: &'static str) -> Result<Timestamp, RestError> {
        let text = self.get(name).ok_or(RestError::Missing { name })?;
        text.parse().map_err(|error| RestError::Timestamp { name, error })
    }
}

/// Extractor that refuses all parameters.
pub(super) struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, RestError> {
        Query::new(parts.uri.query().unwrap_or_default()).only(&[])?;
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_query_string_is_read_or_refused(text in "\\PC*|([a-z]{0,2}[=&%+;0-9a-fA-FtsTZ:.-]{0,9}){0,9}") {
            let query = Query::new(&text);
            query.get("ts");
            let _ = query.only(&["ts"]);
            if let Err(error) = query.instant("ts") {
                prop_assert!(error.to_string().starts_with("ts: "));
            }
        }

        #[test]
        fn a_value_comes_back_as_it_was_written(value in any::<String>(), before in any::<String>()) {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("ts", &before).append_pair("other", &before).append_pair("ts", &value);
            let text = query.finish();
            let query = Query::new(&text);
            prop_assert_eq!(query.get("ts").map(Cow::into_owned), Some(value));
        }
    }
}
