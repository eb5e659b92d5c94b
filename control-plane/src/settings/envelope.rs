//! Encrypts secrets before they are stored: AES-256-GCM with a random key for each record, which
//! is itself encrypted with a key from a file.

use std::{fmt, path::PathBuf};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest,
};

use super::random;

/// The field name under which the data key itself is bound to its record.
const DATA_KEY: &str = "data_key";

/// The keys that encrypt data keys: the first one encrypts, all of them decrypt. With none,
/// secrets are stored in clear.
#[derive(Default)]
pub(super) struct Keyring(Vec<Key>);

struct Key {
    /// Names the key in what it encrypted, so that keys can be exchanged.
    id: String,
    key: LessSafeKey,
}

/// Encrypts the fields of one record.
pub(super) struct Sealer<'a> {
    app_id: &'a str,
    key: LessSafeKey,
    /// The data key, encrypted: `<key id>.<base64>`.
    pub(super) data_key: String,
}

/// Decrypts the fields of one record.
pub(super) struct Opener<'a> {
    app_id: &'a str,
    key: LessSafeKey,
}

/// Why something encrypted could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unopened {
    /// It was encrypted with a key that is not configured.
    UnknownKey(String),
    /// It was changed, is of another app, or was never what it should be.
    Damaged,
    /// There are encrypted fields and no data key.
    NoDataKey,
}

impl Keyring {
    /// Reads one key per file: 32 bytes, as they are, in hex or in base64.
    pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Self> {
        let read = |path: &PathBuf| {
            let content = std::fs::read(path)
                .with_context(|| format!("encryption key {} cannot be read", path.display()))?;
            let key = key_bytes(&content).with_context(|| {
                format!("{} holds no key: it needs 32 bytes, raw, hex or base64", path.display())
            })?;
            Ok(Key::new(&key))
        };
        files.iter().map(read).collect::<anyhow::Result<_>>().map(Self)
    }

    /// What encrypts a record of `app_id`; none without a key.
    pub(super) fn sealer<'a>(&self, app_id: &'a str) -> Option<Sealer<'a>> {
        let first = self.0.first()?;
        let data_key = random::bytes::<32>();
        let sealed = seal(&first.key, &bound_to(app_id, DATA_KEY), &data_key);
        let data_key_text = format!("{}.{sealed}", first.id);
        Some(Sealer { app_id, key: aes(&data_key), data_key: data_key_text })
    }

    /// What decrypts a record of `app_id` that has this `data_key`.
    pub(super) fn opener<'a>(
        &self,
        app_id: &'a str,
        data_key: Option<&str>,
    ) -> Result<Opener<'a>, Unopened> {
        let (id, sealed) =
            data_key.ok_or(Unopened::NoDataKey)?.split_once('.').ok_or(Unopened::Damaged)?;
        let key = self.0.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| Unopened::UnknownKey(id.to_owned()))?;
        let opened = open(&key.key, &bound_to(app_id, DATA_KEY), sealed)?;
        let opened: [u8; 32] = opened.try_into().map_err(|_| Unopened::Damaged)?;
        Ok(Opener { app_id, key: aes(&opened) })
    }
}

impl Sealer<'_> {
    pub(super) fn seal(&self, field: &str, secret: &str) -> String {
        seal(&self.key, &bound_to(self.app_id, field), secret.as_bytes())
    }
}

impl Opener<'_> {
    pub(super) fn open(&self, field: &str, sealed: &str) -> Result<String, Unopened> {
        let opened = open(&self.key, &bound_to(self.app_id, field), sealed)?;
        String::from_utf8(opened).map_err(|_| Unopened::Damaged)
    }
}

impl Key {
    fn new(bytes: &[u8; 32]) -> Self {
        let fingerprint =
            digest::digest(&digest::SHA256, &[b"carillon key id", &bytes[..]].concat());
        Self { id: hex::encode(&fingerprint.as_ref()[..4]), key: aes(bytes) }
    }
}

fn key_bytes(content: &[u8]) -> Option<[u8; 32]> {
    if let Ok(raw) = content.try_into() {
        return Some(raw);
    }
    let text = std::str::from_utf8(content).ok()?.trim();
    let decoded = hex::decode(text).ok().or_else(|| BASE64.decode(text).ok())?;
    decoded.try_into().ok()
}

fn aes(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("the key has 32 bytes"))
}

/// What is authenticated besides the content, so that nothing encrypted can be moved elsewhere.
fn bound_to(app_id: &str, field: &str) -> String {
    format!("{app_id}|{field}|1")
}

/// Base64 of nonce, ciphertext and tag.
fn seal(key: &LessSafeKey, bound_to: &str, content: &[u8]) -> String {
    let nonce = random::bytes::<NONCE_LEN>();
    let mut sealed = content.to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(bound_to.as_bytes()),
        &mut sealed,
    )
    .expect("the content is far below the cipher's limit");
    BASE64.encode([&nonce[..], &sealed].concat())
}

fn open(key: &LessSafeKey, bound_to: &str, sealed: &str) -> Result<Vec<u8>, Unopened> {
    let mut sealed = BASE64.decode(sealed).map_err(|_| Unopened::Damaged)?;
    let (nonce, content) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(Unopened::Damaged)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopened::Damaged)?;
    let opened = key.open_in_place(nonce, Aad::from(bound_to.as_bytes()), content);
    opened.map(|opened| opened.to_vec()).map_err(|_| Unopened::Damaged)
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(id) => write!(f, "encrypted with key {id}, which is not configured"),
            Self::Damaged => f.write_str("what is encrypted is damaged or of another app"),
            Self::NoDataKey => f.write_str("secrets are encrypted, but data_key is missing"),
        }
    }
}

impl std::error::Error for Unopened {}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(seeds: &[u8]) -> Keyring {
        Keyring(seeds.iter().map(|seed| Key::new(&[*seed; 32])).collect())
    }

    fn sealed(keyring: &Keyring, app_id: &str) -> (String, String) {
        let sealer = keyring.sealer(app_id).unwrap();
        (sealer.data_key.clone(), sealer.seal("secret", "hush"))
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_only() {
        let (data_key, secret) = sealed(&keyring(&[1]), "a");
        assert!(!secret.contains("hush"));
        let rotated = keyring(&[2, 1]);
        let opener = rotated.opener("a", Some(&data_key)).unwrap();
        assert_eq!(opener.open("secret", &secret).unwrap(), "hush");
        let unknown = keyring(&[2]).opener("a", Some(&data_key)).map(|_| ()).unwrap_err();
        assert!(matches!(unknown, Unopened::UnknownKey(_)));
        assert!(sealed(&rotated, "a").0.starts_with(&keyring(&[2]).0[0].id));
    }

    #[test]
    fn what_is_sealed_cannot_be_moved_or_changed() {
        let keyring = keyring(&[1]);
        let (data_key, secret) = sealed(&keyring, "a");
        assert!(keyring.opener("b", Some(&data_key)).is_err());
        let opener = keyring.opener("a", Some(&data_key)).unwrap();
        assert_eq!(opener.open("previous_secret", &secret), Err(Unopened::Damaged));
        let other = if secret.starts_with('A') { "B" } else { "A" };
        assert!(opener.open("secret", &format!("{other}{}", &secret[1..])).is_err());
        assert_eq!(opener.open("secret", "AAAA"), Err(Unopened::Damaged));
    }

    #[test]
    fn keys_come_raw_or_as_text() {
        let key = [0x41; 32];
        assert_eq!(key_bytes(&key), Some(key));
        assert_eq!(key_bytes(format!("{}\n", hex::encode(key)).as_bytes()), Some(key));
        assert_eq!(key_bytes(format!("{}\n", BASE64.encode(key)).as_bytes()), Some(key));
        assert_eq!(key_bytes(b"too short"), None);
    }
}
