//! A secret: a value that cannot be printed, logged, serialised or put into an argument list.
//!
//! There is deliberately no `Debug` that shows it, no `Display`, no `Serialize`; whoever needs the bytes
//! says so with [`Secret::expose`], which is easy to search for.

pub mod signing_key;

use secrecy::{ExposeSecret, SecretString};

/// Of a new secret: what cannot be guessed, as many as the hash that signs has.
const NEW_SECRET_BYTES: usize = 32;

#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text as it is; surrounding white space is the caller's to remove.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// A new one, of the system's random numbers, in hexadecimal digits.
    pub fn generate() -> Self {
        let mut bytes = [0; NEW_SECRET_BYTES];
        getrandom::fill(&mut bytes).expect("Linux gives random numbers to every process");
        Self::new(hex::encode(bytes))
    }

    /// The value itself. Every caller is a place to review.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(hidden)")
    }
}

/// A database URL without its password, for people.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{scheme}://{user}@{host}{tail}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ones_are_long_and_never_the_same() {
        let [one, other] = [Secret::generate(), Secret::generate()];
        assert_eq!(one.expose().len(), 64);
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn is_not_printed() {
        let secret = Secret::new("hunter2".into());
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn database_urls_lose_only_their_password() {
        for (url, shown) in [
            ("postgres://me:pw@db:5432/x", "postgres://me@db:5432/x"),
            ("postgres://me:p@w@db/x?a=b", "postgres://me@db/x?a=b"),
            ("postgres:///x", "postgres:///x"),
            ("sqlite:var/record.sqlite", "sqlite:var/record.sqlite"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
