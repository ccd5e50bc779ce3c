//! Tokens as a libSQL server takes them: JWTs signed with an Ed25519 key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const HOUR: Duration = Duration::from_hours(1);

/// A pair of keys: the server gets the public one, tokens are signed with the private one.
#[derive(Debug)]
pub struct Keys(Ed25519KeyPair);

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    ReadOnly,
}

impl Keys {
    pub fn generate() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("no randomness");
        Keys(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a fresh key is a key"))
    }

    /// For [`Settings::jwt_public_key`](crate::sqld::Settings::jwt_public_key).
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    /// A token that is valid for an hour.
    pub fn token(&self, access: Access) -> String {
        self.sign(access, now() + HOUR)
    }

    /// A token that was valid until an hour ago.
    pub fn expired_token(&self) -> String {
        self.sign(Access::ReadWrite, now().saturating_sub(HOUR))
    }

    /// `expires`: since 1970.
    fn sign(&self, access: Access, expires: Duration) -> String {
        let access = match access {
            Access::ReadWrite => "rw",
            Access::ReadOnly => "ro",
        };
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT"}"#);
        let claims = format!(r#"{{"a":"{access}","exp":{}}}"#, expires.as_secs());
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is before 1970")
}
