//! Whole numbers, as GraphQL's `Int`.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{
    ContextSelectionSet, Error, ErrorExtensions, OutputType, Positioned, ServerResult, Value,
};

/// A number of people or events. GraphQL's `Int` has 32 bits: a larger number is an error of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Int(pub(super) i64);

impl From<i64> for Int {
    fn from(number: i64) -> Self {
        Self(number)
    }
}

impl OutputType for Int {
    fn type_name() -> Cow<'static, str> {
        <i32 as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <i32 as OutputType>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        context: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        i32::try_from(self.0).map(Value::from).map_err(|_| {
            let message = format!("{} does not fit into an Int, which has 32 bits", self.0);
            let error =
                Error::new(message).extend_with(|_, extensions| extensions.set("code", "OUT_OF_RANGE"));
            context.set_error_path(error.into_server_error(field.pos))
        })
    }
}
