//! Where a spawner is asked, and by which key it knows who asks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use subtle::ConstantTimeEq;

/// The credential of a spawner's unit that holds its key (systemd's `LoadCredential=`).
pub const CREDENTIAL: &str = "steps-key";

/// Length of a key: 32 bytes in hexadecimal digits.
pub(super) const KEY_BYTES: usize = 64;

/// Where a spawner ([`crate::spawner_main`]) is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Spawner {
    /// The socket that it serves.
    pub socket: PathBuf,
    /// What is shown to it: 64 hexadecimal digits. Anything else stands for a key that is not known here, and nothing is asked.
    pub key: String,
}

/// Without the key: this ends up in messages of tests and in logs.
impl fmt::Debug for Spawner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Spawner").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// The key if it looks like one. systemd gives a line break in place of a credential that is not there.
pub(super) fn checked(text: &str) -> Option<&str> {
    let key = text.trim_end();
    (key.len() == KEY_BYTES && key.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(key)
}

/// The key of this spawner; empty where its unit has none, and then nobody is heard.
#[expect(
    clippy::disallowed_methods,
    reason = "a spawner has no configuration: systemd says where credentials lie"
)]
pub(super) fn own_key() -> Arc<str> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
    let path = directory.map(|directory| Path::new(&directory).join(CREDENTIAL));
    let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    checked(&text).unwrap_or_default().into()
}

/// In a time that does not depend on where they differ.
pub(super) fn is_right(shown: &[u8], key: &str) -> bool {
    !key.is_empty() && bool::from(shown.ct_eq(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_is_right() {
        let key = "0123456789abcdef".repeat(4);
        assert!(is_right(key.as_bytes(), &key));
        for other in ["", &key[1..], &key.replace('f', "e"), &format!("{key}0")] {
            assert!(!is_right(other.as_bytes(), &key), "{other}");
        }
        // A spawner without a key hears nobody, also not who shows none.
        assert!(!is_right(b"", ""));
    }

    #[test]
    fn what_stands_in_the_place_of_a_missing_key_is_none() {
        let key = "0123456789abcdef".repeat(4);
        assert_eq!(checked(&format!("{key}\n")), Some(key.as_str()));
        for text in ["\n", "", &key[1..], &key.replace('0', "x")] {
            assert_eq!(checked(text), None, "{text:?}");
        }
    }
}
