//! HTTP: the server and its connections, what stands before every route, and the routes.

mod answer;
pub mod authorization;
mod body;
pub mod budget;
mod encoding;
mod error;
mod front;
pub mod graphql;
mod origin;
pub mod pages;
mod path_token;
mod request;
mod request_id;
pub mod rest;
pub mod route;
pub mod server;
pub mod unpack;
