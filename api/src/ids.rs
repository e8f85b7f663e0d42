//! Public ids of rows. Without a key they are the rows' own ids, from which a client can estimate how many rows there
//! are and how fast they are created. With a key each is encrypted to another integer. Only REST, GraphQL and the
//! output of the seed binary and of `headcount token` convert ids: all other code has the rows' own.

use std::fmt;
use std::sync::Arc;

use aes::Aes256;
use ahash::RandomState;
use data_encoding::HEXLOWER_PERMISSIVE;
use fpe::ff1::{BinaryNumeralString, FF1};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};

/// Number of bits of an encrypted id. All readers of JSON keep integers of 53 bits.
const BITS: u32 = 48;
const BYTES: usize = BITS as usize / 8;
/// Maximum number of cached ids per direction: encrypting one takes longer than answering a count.
const REMEMBERED_MAX: u64 = 65_536;

/// The key of the public ids.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct IdsConfig {
    /// Encrypt rows' ids with this secret key of 64 hexadecimal digits. A new key changes every id; without a key, the
    /// ids are the rows' own
    #[arg(long, env = "ID_KEY", value_name = "KEY", hide_env_values = true)]
    pub id_key: Option<SecretString>,
}

#[derive(Debug, thiserror::Error)]
#[error("invalid ID_KEY: use 64 hexadecimal digits, as printed by `openssl rand -hex 32`")]
pub struct BadKey;

/// Rows of different kinds with the same id have different public ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Space,
    Dpu,
    Assignment,
    Reset,
    ResetRule,
    /// A position in a list, in a cursor.
    Cursor,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Space => "space",
            Self::Dpu => "DPU",
            Self::Assignment => "assignment",
            Self::Reset => "reset",
            Self::ResetRule => "reset rule",
            Self::Cursor => "cursor",
        }
    }
}

/// A row, by its own id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub kind: Kind,
    pub id: i64,
}

/// Converts rows' ids to public ones, and back.
#[derive(Clone, Default)]
pub struct PublicIds(Option<Arc<Cipher>>);

struct Cipher {
    ff1: FF1<Aes256>,
    public: Cache<(Kind, i64), i64, RandomState>,
    rows: Cache<(Kind, i64), i64, RandomState>,
}

/// Parses a public id: digits, and nothing else.
pub fn public_id(text: &str) -> Option<i64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

impl PublicIds {
    /// Returns public ids by the key, or the rows' own without one.
    pub fn new(config: &IdsConfig) -> Result<Self, BadKey> {
        let Some(key) = &config.id_key else { return Ok(Self::plain()) };
        let key = HEXLOWER_PERMISSIVE.decode(key.expose_secret().trim().as_bytes()).map_err(|_| BadKey)?;
        if key.len() != 32 {
            return Err(BadKey);
        }
        let remembered =
            || Cache::builder().max_capacity(REMEMBERED_MAX).build_with_hasher(RandomState::new());
        let ff1 = FF1::new(&key, 2).map_err(|_| BadKey)?;
        Ok(Self(Some(Arc::new(Cipher { ff1, public: remembered(), rows: remembered() }))))
    }

    /// Returns public ids that are the rows' own.
    pub fn plain() -> Self {
        Self(None)
    }

    pub fn public(&self, kind: Kind, id: i64) -> i64 {
        let Some(cipher) = &self.0 else { return id };
        remembered(&cipher.public, (kind, id), || {
            Cipher::turn(id, |number| cipher.ff1.encrypt(kind.name().as_bytes(), number).ok())
        })
    }

    /// The row need not exist.
    pub fn row(&self, kind: Kind, public: i64) -> i64 {
        let Some(cipher) = &self.0 else { return public };
        remembered(&cipher.rows, (kind, public), || {
            Cipher::turn(public, |number| cipher.ff1.decrypt(kind.name().as_bytes(), number).ok())
        })
    }
}

impl Cipher {
    /// Encrypts or decrypts an id. Ids with more than [`BITS`] bits, which no database assigns by itself, are left as
    /// they are, so that no two ids become one.
    fn turn(id: i64, turn: impl FnOnce(&BinaryNumeralString) -> Option<BinaryNumeralString>) -> i64 {
        if !(0..1 << BITS).contains(&id) {
            return id;
        }
        let turned = turn(&BinaryNumeralString::from_bytes_le(&id.to_le_bytes()[..BYTES]));
        let mut bytes = [0; size_of::<i64>()];
        // It fails only for a number of another length.
        if let Some(turned) = turned.map(|turned| turned.to_bytes_le()) {
            bytes[..BYTES].copy_from_slice(&turned[..BYTES]);
        }
        i64::from_le_bytes(bytes)
    }
}

fn remembered(
    known: &Cache<(Kind, i64), i64, RandomState>,
    key: (Kind, i64),
    turn: impl FnOnce() -> i64,
) -> i64 {
    known.get(&key).unwrap_or_else(|| {
        let turned = turn();
        known.insert(key, turned);
        turned
    })
}

impl fmt::Debug for PublicIds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "PublicIds(by a key)" } else { "PublicIds(plain)" })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn ids(key: &str) -> Result<PublicIds, BadKey> {
        PublicIds::new(&IdsConfig { id_key: Some(key.into()) })
    }

    fn keyed() -> PublicIds {
        ids(&"0123456789abcdef".repeat(4)).unwrap()
    }

    #[test]
    fn ids_do_not_change_from_one_version_to_the_next() {
        let public = [Kind::Space, Kind::Dpu].map(|kind| keyed().public(kind, 1));
        assert_eq!(public, [15_032_557_579_260, 268_377_984_867_459]);
    }

    #[test]
    fn no_two_rows_share_a_public_id() {
        let ids = keyed();
        let public: HashSet<_> = (0..2_000).map(|id| ids.public(Kind::Reset, id)).collect();
        assert_eq!(public.len(), 2_000);
    }

    #[test]
    fn an_invalid_key_is_refused_and_not_repeated() {
        for key in ["", "secret", &"0".repeat(63), &"0".repeat(66), &"g".repeat(64)] {
            let refused = ids(key).unwrap_err().to_string();
            assert!(refused.starts_with("invalid ID_KEY: ") && !refused.contains("secret"), "{refused}");
        }
        let config = IdsConfig { id_key: Some("secret".into()) };
        assert!(!format!("{config:?} {:?}", keyed()).contains("secret"));
    }

    proptest! {
        #[test]
        fn every_id_comes_back(id: i64, small in 0_i64..1 << BITS) {
            let ids = keyed();
            for kind in [Kind::Space, Kind::Cursor] {
                for id in [id, small] {
                    let public = ids.public(kind, id);
                    prop_assert_eq!(ids.row(kind, public), id);
                    prop_assert_eq!((0..1 << BITS).contains(&public), (0..1 << BITS).contains(&id));
                    prop_assert_eq!(PublicIds::plain().public(kind, id), id);
                }
            }
        }
    }
}
