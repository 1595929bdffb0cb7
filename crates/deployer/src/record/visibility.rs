//! Whether everybody may see a repository, as its last push said: what is shown of it to strangers depends on that. Unknown counts as no.

use super::store::{Store, StoreError};

/// Everybody may.
pub const PUBLIC: &str = "public";

/// Only some may.
pub const PRIVATE: &str = "private";

/// Remembers it. Writes only what has changed.
pub async fn note(store: &Store, repository: &str, visibility: &str) -> Result<(), StoreError> {
    let key = key(repository);
    if store.meta(&key).await?.as_deref() == Some(visibility) {
        return Ok(());
    }
    store.set_meta(&key, visibility).await
}

/// Whether everybody may see it.
pub async fn is_public(store: &Store, repository: &str) -> Result<bool, StoreError> {
    Ok(store.meta(&key(repository)).await?.as_deref() == Some(PUBLIC))
}

fn key(repository: &str) -> String {
    format!("visibility {}", repository.to_ascii_lowercase())
}
