//! A clean environment for a command: what it needs to find programs, its home and its language. Nothing
//! else that the daemon happens to have, its own secrets least of all. Pure: who reads the environment is the
//! caller.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What may pass, besides `LC_*`. A list of what is allowed, because one of what is forbidden is never whole.
const ALLOWED: &[&str] = &["PATH", "HOME", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The allowed part of `variables`.
    pub fn allowed_of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(variables.into_iter().filter(|(name, _)| is_allowed(name)).collect())
    }

    /// Sets one, allowed or not: what is set here by name is meant.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    pub fn into_map(self) -> BTreeMap<OsString, OsString> {
        self.0
    }
}

fn is_allowed(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"LC_") || ALLOWED.iter().any(|allowed| name == *allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_the_list_passes() {
        let daemon =
            ["PATH", "LC_TIME", "HOME", "LD_PRELOAD", "GITHUB_TOKEN", "path", "XLC_ALL", "NOTIFY_SOCKET", ""];
        let map = Environment::allowed_of(daemon.map(|name| (name.into(), "x".into()))).into_map();
        assert_eq!(map.into_keys().collect::<Vec<_>>(), ["HOME", "LC_TIME", "PATH"]);
    }

    #[test]
    fn what_is_set_by_name_wins() {
        let inherited = [("PATH".into(), "/usr/bin".into())];
        let map = Environment::allowed_of(inherited)
            .with("PATH", "/opt/bin")
            .with("NODE_ENV", "production")
            .into_map();
        assert_eq!(map["PATH".as_ref() as &OsStr], "/opt/bin");
        assert_eq!(map["NODE_ENV".as_ref() as &OsStr], "production");
        assert_eq!(map.len(), 2);
    }
}
