//! What a client sends: the document, its variables, and the name of the operation.

use async_graphql::{Request, Value, Variables};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The parameters of a request: from a JSON body, a query string, or a WebSocket.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::graphql) struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Variables>,
    extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::graphql) enum NoDocument {
    /// It names one by its hash, as clients with automatic persisted queries do first. Once they learn that this is not
    /// supported, they send documents.
    Persisted,
    Missing,
}

impl Parameters {
    pub(in crate::http::graphql) fn from_query_string(query: &str) -> Result<Self, String> {
        let (mut document, mut operation_name, mut variables, mut extensions) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "query" => document = Some(value.into_owned()),
                "operationName" => operation_name = Some(value.into_owned()).filter(|name| !name.is_empty()),
                "variables" => variables = object(&name, &value)?,
                "extensions" => extensions = object(&name, &value)?,
                _ => {}
            }
        }
        Ok(Self { query: document, operation_name, variables, extensions })
    }

    pub(in crate::http::graphql) fn into_request(self) -> Result<Request, NoDocument> {
        let Some(query) = self.query else {
            let is_persisted = self.extensions.is_some_and(|given| given.contains_key("persistedQuery"));
            return Err(if is_persisted { NoDocument::Persisted } else { NoDocument::Missing });
        };
        let mut variables = self.variables.unwrap_or_default();
        variables.values_mut().for_each(without_zero_fractions);
        let request = Request::new(query).variables(variables);
        Ok(match self.operation_name {
            Some(name) => request.operation_name(name),
            None => request,
        })
    }
}

/// Converts whole floats to integers: clients that store all numbers as floats write `1.0` for `1`. GraphQL accepts an
/// integer for a float.
fn without_zero_fractions(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if number.is_f64()
                && let Ok(whole) = number.to_string().trim_end_matches(".0").parse::<i64>()
            {
                *number = whole.into();
            }
        }
        Value::List(values) => values.iter_mut().for_each(without_zero_fractions),
        Value::Object(values) => values.values_mut().for_each(without_zero_fractions),
        _ => {}
    }
}

fn object<T: DeserializeOwned>(name: &str, value: &str) -> Result<T, String> {
    serde_json::from_str(value).map_err(|error| format!("{name}: invalid JSON object: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_query_string_is_read_or_refused(
            text in "\\PC*|((query|variables|extensions|operationName)=[{}\":0-9a-z%,\\[\\]&+]{0,20}&?){0,4}"
        ) {
            if let Err(message) = Parameters::from_query_string(&text) {
                prop_assert!(["variables", "extensions"].iter().any(|name| message.starts_with(name)));
            }
        }
    }
}
