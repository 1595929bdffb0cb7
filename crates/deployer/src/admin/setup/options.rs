//! What the operator asked for, checked.

use crate::admin::arguments::{PrivilegesArgument, SetupArguments};
use crate::admin::host::paths;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupOptions {
    /// Where the layers of the configuration lie.
    pub configuration: PathBuf,
    /// How people, and GitHub, reach this instance.
    pub origin: Option<Origin>,
    /// How what needs root is to be done. None: as the configuration says, or else by the helper.
    pub privileges: Option<PrivilegesArgument>,
    /// Whether to remove what earlier setups made (`--uninstall`).
    pub uninstall: bool,
}

/// The scheme and host under which the intake is reached, such as `https://deploy.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// The name alone.
    pub host: String,
}

impl SetupOptions {
    /// Checks what was typed.
    pub fn of(arguments: &SetupArguments, configuration: Option<&Path>) -> Result<Self> {
        Ok(Self {
            configuration: configuration.unwrap_or(Path::new(paths::CONFIGURATION)).to_owned(),
            origin: arguments.origin.as_deref().map(Origin::parse).transpose()?,
            privileges: arguments.privileges,
            uninstall: arguments.uninstall,
        })
    }
}

impl Origin {
    /// The host becomes a part of nginx's configuration and of a path: it may hold nothing but what a name holds.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, host) = match text.split_once("://") {
            Some(("https", host)) => ("https", host),
            Some(("http", host)) => ("http", host),
            _ => bail!("--origin {text:?} does not begin with https://"),
        };
        let host = host.trim_end_matches('/').to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if host.len() > 253 || !host.split('.').all(is_label) {
            bail!("--origin {text:?} must be a scheme and a host name, as in https://deploy.example.org");
        }
        Ok(Self { scheme, host })
    }

    /// As it was written.
    pub fn text(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_host_name_and_nothing_else() {
        assert_eq!(
            Origin::parse("https://Deploy.example.org/").unwrap().text(),
            "https://deploy.example.org"
        );
        for bad in [
            "deploy.example.org",
            "ftp://a",
            "https://",
            "https://a..b",
            "https://a;b",
            "https://a b",
            "https://../etc",
            "https://a:3400",
            "https://a/b",
            "https://-a.org",
            "https://a\n.org",
            "https://$host",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad:?}");
        }
    }
}
