//! HMAC-SHA256, the one signature of the Pusher world, and comparison in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::AppSecret;

/// Lower-case hex of an HMAC-SHA256.
#[derive(Clone, Copy)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Signs `message` with an app's secret.
    #[must_use]
    pub fn sign(secret: &AppSecret, message: &[u8]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(message);
        let digest = mac.finalize().into_bytes();
        let mut text = [0; 64];
        hex::encode_to_slice(digest, &mut text).expect("32 bytes are 64 hex digits");
        Self(text)
    }

    /// Whether `given` is this signature: case-sensitive, in constant time for every length.
    #[must_use]
    pub fn matches(&self, given: &[u8]) -> bool {
        constant_time_eq(&self.0, given)
    }

    /// The 64 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Compares without telling by its time where two texts differ. `given` may have any length; the
/// work done depends on the length of `expected` alone.
#[must_use]
pub fn constant_time_eq(expected: &[u8], given: &[u8]) -> bool {
    let mut differences = expected.len() ^ given.len();
    for (place, byte) in expected.iter().enumerate() {
        let other = given.get(place).copied().unwrap_or(!byte);
        differences |= usize::from(byte ^ other);
    }
    differences.ct_eq(&0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_channel_vector() {
        let secret = AppSecret::new("7ad3773142a6692b25b8");
        let signature = Signature::sign(&secret, b"1234.1234:private-foobar");
        let expected = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
        assert_eq!(signature.as_str(), expected);
        assert!(signature.matches(expected.as_bytes()));
        assert!(!signature.matches(expected.to_uppercase().as_bytes()));
        assert!(!signature.matches(&expected.as_bytes()[..63]));
        assert!(!signature.matches(b""));
        assert!(!signature.matches(format!("{expected}0").as_bytes()));
    }
}
