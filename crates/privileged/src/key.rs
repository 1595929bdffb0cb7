//! The key by which the helper knows the worker. `durhack-deployer setup` makes it, systemd hands it to the worker's unit alone, and a sandboxed
//! build cannot read it there, also where it runs as the deployer's own user.

use crate::allow_list::{check_directories, read};
use crate::request::Refusal;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where root keeps it.
pub const FILE: &str = "/etc/durhack-deployer/credentials/helper-key";

/// Where systemd puts it for the worker (`LoadCredential=helper-key`).
const WORKERS: &str = "/run/credentials/durhack-deployer-worker.service/helper-key";

/// Its length: 32 random bytes in hexadecimal digits.
pub const LENGTH: usize = 64;

/// What to do where there is none.
const HINT: &str = "`durhack-deployer setup` makes one and restarts the worker";

/// Whether this is the key. An error where the host has none, or one that is not root's alone.
pub fn is_right(shown: &[u8]) -> Result<bool, Refusal> {
    let path = Path::new(FILE);
    check_directories(path.parent().unwrap_or(path))?;
    let key = read(path).map_err(|refusal| Refusal(format!("{}; {HINT}", refusal.0)))?;
    let mode = path.symlink_metadata().map_or(0o777, |found| found.mode());
    if mode & 0o077 != 0 {
        return Err(Refusal(format!("{FILE} can be read by others than root: chmod 600 {FILE}")));
    }
    let key = checked(&key).ok_or_else(|| Refusal(format!("{FILE} holds no key; {HINT}")))?;
    Ok(equal(key.as_bytes(), shown))
}

/// The key as the worker has it, for a caller. A unit of the operator's own, with the same credential, says where that lies.
pub fn of_worker() -> Result<String, String> {
    let own =
        std::env::var_os("CREDENTIALS_DIRECTORY").map(|directory| Path::new(&directory).join("helper-key"));
    let path = own.filter(|path| path.exists()).unwrap_or_else(|| WORKERS.into());
    let shown = path.display();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        format!("{shown}: {error}; only durhack-deployer-worker.service has the key: is it running?")
    })?;
    checked(&text).map(str::to_owned).ok_or_else(|| format!("{shown} holds no key; {HINT}"))
}

fn checked(text: &str) -> Option<&str> {
    let key = text.trim_end();
    (key.len() == LENGTH && key.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(key)
}

/// In a time that does not depend on where they differ.
fn equal(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_as_a_whole() {
        let key = "0123456789abcdef".repeat(4);
        assert!(equal(key.as_bytes(), key.as_bytes()));
        for other in ["", &key[1..], &key.replace('f', "e"), &format!("{key}0")] {
            assert!(!equal(key.as_bytes(), other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn what_systemd_puts_in_the_place_of_a_missing_key_is_none() {
        let key = "0123456789abcdef".repeat(4);
        assert_eq!(checked(&format!("{key}\n")), Some(key.as_str()));
        for text in ["\n", "", &key[1..], &key.replace('0', "x")] {
            assert_eq!(checked(text), None, "{text:?}");
        }
    }
}
