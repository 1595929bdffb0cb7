//! The one definition of what may stand in a configuration file.
//!
//! A static table says of each key its kind, default, meaning, an example and the recipes it belongs to. From it
//! come the known keys and "did you mean" of the reader, the defaults, which values are secrets and must not be
//! shown, `docs/reference/configuration.md`, the JSON Schema and `config/example.toml`; a test fails where one of those
//! files is stale. What a value must look like beyond its kind is said by [`super::values`], once.

pub mod example;
pub mod markdown;
pub mod schema;

pub use example::example_toml;
pub use markdown::{reference_file, reference_markdown};
pub use schema::json_schema;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{Default, KeyKind, each_key, looks_secret};
    use crate::config::reading::environment::Environment;
    use crate::plan::recipes::REFERENCE;

    /// `UPDATE_GENERATED=1 cargo test -p durhack-deployer generated` writes the files instead of comparing them.
    #[test]
    fn generated_files_are_fresh() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let schema = format!("{:#}\n", json_schema(&REFERENCE));
        for (file, fresh) in [
            ("docs/reference/configuration.md", reference_file(&REFERENCE)),
            ("docs/reference/configuration.schema.json", schema),
            ("config/example.toml", example_toml(&REFERENCE)),
        ] {
            let path = format!("{root}/{file}");
            if Environment::of_process().get("UPDATE_GENERATED").is_some() {
                fs_err::write(&path, &fresh).unwrap();
            }
            let committed = fs_err::read_to_string(&path).unwrap();
            assert!(committed == fresh, "{file} is stale: run the command above this test");
        }
    }

    #[test]
    fn every_key_is_explained_and_every_value_is_toml() {
        let mut keys = 0;
        each_key(REFERENCE.root, &mut |path, key| {
            keys += 1;
            assert!(key.meaning.ends_with('.'), "{path}: the meaning is a sentence");
            if let Default::Value(text) = key.default {
                assert!(toml::from_str::<toml::Table>(&format!("x = {text}")).is_ok(), "{path}: {text}");
            }
            let has_own_page =
                matches!(key.kind, KeyKind::Table(_) | KeyKind::Named(..) | KeyKind::Tables(_));
            assert_eq!(key.example.is_empty(), has_own_page, "{path}");
            assert!(
                has_own_page || toml::from_str::<toml::Table>(&format!("x = {}", key.example)).is_ok(),
                "{path}: {}",
                key.example
            );
        });
        assert!(keys > 70);
    }

    #[test]
    fn what_looks_like_a_secret() {
        for name in ["webhook_secret_tokn", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "Password", "API_KEY"] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["branch", "keep_releases", "NODE_ENV"] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
