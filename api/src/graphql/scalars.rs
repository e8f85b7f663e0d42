//! Scalars and enumerations of the schema.

use async_graphql::{Enum, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use entity::{Instant, ParseInstantError};

use super::error::{Fault, Result};

/// An instant. A text that is none is kept until a resolver asks for it, which can then refuse the
/// one field, or the one event, instead of the whole request.
#[derive(Clone, Debug)]
pub(super) struct DateTime(std::result::Result<Instant, ParseInstantError>);

impl DateTime {
    /// The instant, or why there is none.
    pub(super) fn parsed(self) -> std::result::Result<Instant, ParseInstantError> {
        self.0
    }

    /// The instant, or a fault that names the argument.
    pub(super) fn argument(self, name: &str) -> Result<Instant> {
        self.0.map_err(|error| Fault::BadInput(format!("{name}: {error}")))
    }
}

impl From<Instant> for DateTime {
    fn from(instant: Instant) -> Self {
        Self(Ok(instant))
    }
}

/// An instant, to the millisecond. Written in UTC with `Z`, without a fraction when it is zero and with three digits
/// otherwise. Read as ISO-8601: a date, or a date and a time, with `Z`, with an offset, or with neither (then it is UTC).
#[Scalar(name = "DateTime")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text.parse())),
            other => Err(InputValueError::custom(format!("a timestamp is a string, not {other}"))),
        }
    }

    fn to_value(&self) -> Value {
        match &self.0 {
            Ok(instant) => Value::String(instant.to_string()),
            Err(_) => Value::Null,
        }
    }
}

/// Which way a person walked under a DPU.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::event::Direction")]
pub(super) enum Direction {
    /// Towards the side the DPU looks from: +1.
    Toward,
    /// Away from the side the DPU looks from: -1.
    Away,
}

/// Which side of a doorway a DPU hangs on, as seen from the space it counts for.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::assignment::Placement")]
pub(super) enum Placement {
    /// On the space's own side: walking towards the DPU enters the space.
    Inside,
    /// On the other side: walking towards the DPU leaves the space.
    Outside,
}

/// What a space answers when its count is below zero, as it is when people were inside before counting began.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::space::NegativeCounts")]
pub(super) enum NegativeCounts {
    /// The signed figure: a difference since counting began.
    Report,
    /// Zero. Only the answer is clamped, never the sum behind it.
    Clamp,
}
