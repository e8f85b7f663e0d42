//! The secret text of a token, and its hash.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// Prefix of every token, so that secret scanners find leaked ones: `hc_` and 64 hexadecimal digits.
const PREFIX: &str = "hc_";
/// Number of random bytes of a token: 256 bits.
const RANDOM_BYTES: usize = 32;

/// The secret text of a token. It is shown once, when it is created, and stored nowhere.
pub struct Secret(String);

/// The SHA-256 of a token. With 256 random bits behind it, it needs neither salt nor a slow hash.
#[derive(Clone, Copy)]
pub(super) struct Digest([u8; 32]);

impl Secret {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", HEXLOWER.encode(&bytes))))
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Digest(…)")
    }
}

impl Digest {
    pub(super) fn of(shown: &[u8]) -> Self {
        Self(Sha256::digest(shown).into())
    }

    /// `None` if its length is wrong, which the database rules out.
    pub(super) fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the sort key of digests: their first eight bytes.
    pub(super) fn order(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// Returns whether they are equal, in constant time.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_unique_and_have_the_documented_form() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        for secret in [&one, &other] {
            let random = secret.reveal().strip_prefix("hc_").unwrap();
            assert!(random.len() == 64 && random.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(!format!("{secret:?}").contains(random));
        }
        assert!(one.digest().is(&Digest::of(one.reveal().as_bytes())));
        assert!(!one.digest().is(&other.digest()));
    }
}
