//! Takes requests and WebSockets, runs their operations, and gives the answers their shape.

mod body;
mod documents;
mod endpoint;
mod executor;
mod http;
mod literals;
mod parameters;
mod roots;
mod shape;
mod socket;
mod sockets;

pub(super) use self::endpoint::Endpoint;
pub(super) use self::executor::Executor;
pub(super) use self::http::{get, post};
