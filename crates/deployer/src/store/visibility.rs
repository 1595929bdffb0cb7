//! Whether everybody may see a repository, as its last push said: what is shown of it to strangers depends on that. Unknown counts as no.

use crate::store::{Store, StoreError};

pub const PUBLIC: &str = "public";

/// Only some may.
pub const PRIVATE: &str = "private";

/// Remembers what a push says that was made at this time (GitHub's, in seconds). Writes only what has changed.
///
/// An older push than the one that spoke last says nothing, and without its time none makes a private repository public: pushes are
/// late, repeated, and captured.
pub async fn note(
    store: &Store,
    repository: &str,
    visibility: &str,
    pushed_at: Option<i64>,
) -> Result<(), StoreError> {
    let key = key(repository);
    let known = store.meta(&key).await?;
    let (known, known_at) = known.as_deref().map_or((None, None), |text| {
        let (word, at) = text.split_once(' ').unwrap_or((text, ""));
        (Some(word), at.parse::<i64>().ok())
    });
    let is_newer = match (known_at, pushed_at) {
        (Some(known_at), Some(at)) => at > known_at,
        (None, Some(_)) => true,
        (_, None) => visibility == PRIVATE || known.is_none(),
    };
    if !is_newer || (known == Some(visibility) && pushed_at.is_none()) {
        return Ok(());
    }
    let at = pushed_at.or(known_at).map_or_else(String::new, |at| format!(" {at}"));
    store.set_meta(&key, &format!("{visibility}{at}")).await
}

/// Whether everybody may see it.
pub async fn is_public(store: &Store, repository: &str) -> Result<bool, StoreError> {
    let known = store.meta(&key(repository)).await?;
    Ok(known.is_some_and(|text| text.split(' ').next() == Some(PUBLIC)))
}

fn key(repository: &str) -> String {
    format!("visibility {}", repository.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Authenticator;

    #[tokio::test]
    async fn an_older_push_does_not_show_what_is_private_now() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("record.sqlite").display());
        let store = Store::open(&url, Authenticator::new(directory.path())).unwrap();
        store.migrate(0).await.unwrap();
        for (said, at, expected) in [
            (PUBLIC, None, true),
            (PUBLIC, Some(10), true),
            (PRIVATE, Some(20), false),
            (PUBLIC, Some(15), false),
            (PUBLIC, Some(20), false),
            (PUBLIC, None, false),
            (PUBLIC, Some(21), true),
            (PRIVATE, Some(20), true),
            (PRIVATE, None, false),
            (PUBLIC, Some(21), false),
            (PUBLIC, Some(22), true),
        ] {
            note(&store, "Acme/site", said, at).await.unwrap();
            assert_eq!(is_public(&store, "acme/Site").await.unwrap(), expected, "{said} {at:?}");
        }
    }
}
