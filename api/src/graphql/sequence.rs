//! Long lists of small entries.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerResult, Value};

/// A list whose entries are resolved one after the other.
///
/// async-graphql resolves the entries of a `Vec` concurrently, so that they can wait for loads together. An entry then
/// takes some kilobytes until all are resolved, which has no benefit for entries that wait for nothing.
pub(super) struct Sequence<T>(Vec<T>);

impl<T> FromIterator<T> for Sequence<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<T: OutputType> OutputType for Sequence<T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        context: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let mut values = Vec::with_capacity(self.0.len());
        for (index, entry) in self.0.iter().enumerate() {
            let context = context.with_index(index);
            let value = entry.resolve(&context, field).await;
            values.push(value.map_err(|error| context.set_error_path(error))?);
        }
        Ok(Value::List(values))
    }
}
