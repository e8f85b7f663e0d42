//! Authentication: turns the credentials of a request into an [`Access`].

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use entity::{Instant, token};
use moka::sync::Cache;
use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::access::{Access, Refusal};
use super::config::Settings;
use super::origin::{is_foreign, is_this_machine, proxy_header};
use super::pace::Pace;
use super::tokens::Snapshot;
use crate::app::App;
use crate::database::Database;
use crate::tasks::Tasks;

/// Maximum number of client addresses whose rates are tracked.
const ADDRESSES_MAX: u64 = 100_000;

const BEARER: &[u8] = b"Bearer ";
const BASIC: &[u8] = b"Basic ";

/// Authenticates requests by token, or admits clients without one while the server is open.
#[derive(Debug)]
pub struct Door {
    settings: Settings,
    /// Receives the tokens that are used for the first time on a day.
    used: UnboundedSender<(i64, Instant)>,
    /// Rate limiters of client addresses, while no token is required.
    addresses: Option<Cache<IpAddr, Arc<Pace>>>,
}

impl Door {
    /// Creates an authenticator with these settings, and its background task.
    pub fn new(settings: Settings, database: &Database, tasks: &Tasks) -> Self {
        let (used, days) = unbounded_channel();
        tasks.spawn("uses of tokens", note_uses(database.clone(), days));
        let addresses = settings.address_rate.map(|_| Cache::new(ADDRESSES_MAX));
        Self { settings, used, addresses }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns whether any client may read and change everything: no token was ever created, and the settings allow it.
    pub(super) fn is_open(&self, tokens: &Snapshot) -> bool {
        self.settings.open_without_tokens && tokens.is_empty()
    }

    /// Returns the access of the client that sent this request.
    pub(super) fn admit(
        &self,
        app: &App,
        tokens: &Snapshot,
        request: (&HeaderMap, &Extensions),
    ) -> Result<Access, Refusal> {
        let (headers, extensions) = request;
        if !self.is_open(tokens) {
            let shown = headers.get(header::AUTHORIZATION).ok_or(Refusal::Missing)?.as_bytes();
            // Browsers send stored passwords with requests of pages of any origin.
            if is_basic(shown) && is_foreign(headers, &self.settings.origins) {
                return Err(Refusal::Origin);
            }
            return self.show(app, tokens, shown);
        }
        if self.settings.this_machine_only {
            if !is_this_machine(headers) {
                return Err(Refusal::Elsewhere);
            }
            if let Some(header) = proxy_header(headers) {
                return Err(Refusal::Proxied(header.clone()));
            }
        }
        if is_foreign(headers, &self.settings.origins) {
            return Err(Refusal::Foreign);
        }
        let address = || extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.ip());
        let pace = self
            .settings
            .address_rate
            .zip(self.addresses.as_ref())
            .and_then(|(rate, addresses)| Some(addresses.get_with(address()?, || Pace::new(rate))));
        let access = Access::open(pace);
        access.step()?;
        Ok(access)
    }

    /// Returns the access that these credentials, the value of a header `Authorization`, give.
    fn show(&self, app: &App, tokens: &Snapshot, shown: &[u8]) -> Result<Access, Refusal> {
        let now = app.clock.now();
        let secret = secret(shown).ok_or(Refusal::Invalid)?;
        let token = tokens.find(&secret, now).ok_or(Refusal::Invalid)?;
        if let Some(day) = token.used(now) {
            // The receiver is gone only when the server is stopping.
            self.used.send((token.id, day)).ok();
        }
        let access = Access::by(token);
        access.step()?;
        Ok(access)
    }

    /// Returns the access of a client that opens a WebSocket: by its headers or, if they have no token, by the payload
    /// of the first message, `{"authorization": "Bearer …"}`.
    pub(crate) async fn session(
        app: &App,
        by_headers: Result<Access, Refusal>,
        payload: &serde_json::Value,
    ) -> Result<Access, Refusal> {
        let shown = payload.get("authorization").or_else(|| payload.get("Authorization"));
        match (shown.and_then(serde_json::Value::as_str), by_headers) {
            (Some(shown), Err(Refusal::Missing)) => {
                let tokens = app.tokens().await.map_err(|error| unavailable(&error))?;
                app.door.show(app, &tokens, shown.as_bytes())
            }
            (_, by_headers) => by_headers,
        }
    }
}

impl App {
    /// Returns the current tokens.
    pub(super) async fn tokens(&self) -> Result<Arc<Snapshot>, DbErr> {
        if !self.coherence.is_listening() {
            self.tokens.forget();
        }
        self.tokens.newest(&self.database).await
    }

    /// Runs `work` with the tokens, if they are in memory and known to be current.
    pub(super) fn with_tokens<T>(&self, work: impl FnOnce(&Snapshot) -> T) -> Option<T> {
        if !self.coherence.is_listening() {
            return None;
        }
        self.tokens.in_memory().as_deref().map(work)
    }
}

/// Returns the access of a client, after reading the tokens if necessary.
pub(super) async fn admit(app: &App, parts: &Parts) -> Result<Access, Refusal> {
    let tokens = app.tokens().await.map_err(|error| unavailable(&error))?;
    app.door.admit(app, &tokens, (&parts.headers, &parts.extensions))
}

/// Logs that the tokens cannot be read, and returns the refusal.
pub(super) fn unavailable(error: &DbErr) -> Refusal {
    tracing::error!(%error, "cannot read the tokens");
    Refusal::Unavailable
}

/// Returns the token in `Bearer TOKEN`, or the password in `Basic CREDENTIALS`, which is all that many devices can
/// send.
fn secret(shown: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_basic(shown) {
        let credentials = data_encoding::BASE64.decode(shown[BASIC.len()..].trim_ascii()).ok()?;
        let colon = credentials.iter().position(|byte| *byte == b':')?;
        return Some(credentials[colon + 1..].to_vec().into());
    }
    let token = shown.get(BEARER.len()..).filter(|_| has_scheme(shown, BEARER))?;
    Some(token.trim_ascii().into())
}

/// Returns whether the credentials are those of HTTP Basic.
fn is_basic(shown: &[u8]) -> bool {
    has_scheme(shown, BASIC)
}

fn has_scheme(shown: &[u8], scheme: &[u8]) -> bool {
    shown.get(..scheme.len()).is_some_and(|found| found.eq_ignore_ascii_case(scheme))
}

/// Records the days on which tokens were used, outside of requests.
async fn note_uses(database: Database, mut days: UnboundedReceiver<(i64, Instant)>) {
    while let Some((id, day)) = days.recv().await {
        let earlier = Condition::any()
            .add(token::Column::LastUsedDay.is_null())
            .add(token::Column::LastUsedDay.lt(day));
        let noted = async {
            let transaction = database.begin().await?;
            token::Entity::update_many()
                .col_expr(token::Column::LastUsedDay, day.into())
                .filter(token::Column::Id.eq(id))
                .filter(earlier)
                .exec(&transaction)
                .await?;
            transaction.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, token = id, "cannot record the day on which a token was used");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_by_itself_or_as_a_password() {
        let text = |shown: &str| {
            let secret = secret(shown.as_bytes())?;
            Some(String::from_utf8(secret.into_owned()).unwrap())
        };
        let basic = |pair: &str| format!("basic  {}", data_encoding::BASE64.encode(pair.as_bytes()));
        let token = Some("hc_1".to_owned());
        assert_eq!([text("Bearer hc_1"), text("bearer   hc_1 ")], [token.clone(), token.clone()]);
        assert_eq!([text(&basic("sensor:hc_1")), text(&basic(":hc_1"))], [token.clone(), token]);
        assert_eq!(text(&basic("a:b:c")).as_deref(), Some("b:c"));
        for shown in ["", "hc_1", "Bearer", "Basic", "Digest hc_1", "Basic hc_1", &basic("hc_1")] {
            assert_eq!(text(shown), None, "{shown}");
        }
    }
}
