//! The layers of a configuration of the Python tool, as they are installed for the services. Pure.
//!
//! Each file stays what it is, with its comments and its order. Changed is what must not stay there (the secret), what has no effect any more,
//! and what would have two deployers of one host: the deployment of the Python tool by itself.

use anyhow::{Result, anyhow};
use std::path::PathBuf;
use toml_edit::{DocumentMut, Item, value};

/// The repository of the Python tool itself.
const OWN_REPOSITORY: &str = "ducompsoc/durhack-deployer";

/// Keys of the Python tool's that have no effect here, by the table that they stand in.
const WITHOUT_EFFECT: [(&str, &str); 1] = [("proxy_fix", "x_proto")];

/// What comes of the layers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// Name and text of each, in their order.
    pub files: Vec<(String, String)>,
    /// What GitHub signs with: that of the last layer that names one.
    pub secret: Option<String>,
    /// What was changed, for people.
    pub changes: Vec<String>,
}

/// The names of the layers, in the order in which they are read.
pub fn names(environment: &str, instance: Option<&str>) -> Vec<String> {
    let both = instance.map(|instance| format!("{environment}-{instance}"));
    let parts = [Some(environment), instance, both.as_deref()];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    let local = parts.iter().map(|part| format!("local-{part}"));
    let named = parts.iter().map(|part| (*part).to_owned());
    let all = ["default".to_owned()].into_iter().chain(named).chain(["local".to_owned()]).chain(local);
    all.map(|name| format!("{name}.toml")).collect()
}

/// Converts layers, which are given in their order.
pub fn convert(layers: &[(String, String)]) -> Result<Converted> {
    let mut converted = Converted::default();
    let documents: Result<Vec<DocumentMut>> = layers
        .iter()
        .map(|(name, text)| {
            // Without the line, which may be anything, and a secret too.
            text.parse().map_err(|error: toml_edit::TomlError| {
                let line = text[..error.span().map_or(0, |span| span.start)].lines().count().max(1);
                anyhow!("{name} is not TOML: line {line}: {}", error.message())
            })
        })
        .collect();
    let mut documents = documents?;
    let own = own_deployments(&documents);
    for (slug, is_enabled) in &own {
        if *is_enabled {
            converted.changes.push(format!(
                "the deployment {slug} is the Python tool itself: it is off, because two deployers must not work here (remove it when you stay)"
            ));
        }
    }
    let mut without_effect = Vec::new();
    for ((name, _), document) in layers.iter().zip(&mut documents) {
        if let Some(secret) = document.remove("webhook_secret_token") {
            converted.secret = secret.as_str().map(str::to_owned).or(converted.secret.take());
            converted
                .changes
                .push(format!("webhook_secret_token of {name} goes to a file that only root can read"));
        }
        for (table, key) in WITHOUT_EFFECT {
            let table = document.get_mut(table).and_then(Item::as_table_like_mut);
            if table.is_some_and(|table| table.remove(key).is_some()) && !without_effect.contains(&key) {
                without_effect.push(key);
            }
        }
        let deployments = document.get_mut("deployments").and_then(Item::as_table_like_mut);
        if let Some(deployments) = deployments {
            for (slug, _) in &own {
                let Some(own) = deployments.get_mut(slug).and_then(Item::as_table_like_mut) else { continue };
                if own.contains_key("enabled") || own.contains_key("repository") {
                    own.insert("enabled", value(false));
                }
            }
        }
        if name == "default.toml" && !document.contains_key("privileges") {
            document.insert("privileges", value("helper"));
        }
        converted.files.push((name.clone(), document.to_string()));
    }
    if !without_effect.is_empty() {
        converted
            .changes
            .push(format!("{} has no effect any more, and is left out", without_effect.join(", ")));
    }
    Ok(converted)
}

/// Where the deployment of the Python tool by itself has its file for uWSGI. Those of other deployments are other people's applications.
pub fn own_vassals(layers: &[(String, String)]) -> Vec<PathBuf> {
    let documents: Vec<DocumentMut> = layers.iter().filter_map(|(_, text)| text.parse().ok()).collect();
    let own = own_deployments(&documents);
    let path = |document: &DocumentMut, slug: &str| {
        let path = document.get("deployments")?.as_table_like()?.get(slug)?.as_table_like()?;
        Some(PathBuf::from(path.get("uwsgi_config_path")?.as_str()?))
    };
    documents.iter().flat_map(|document| own.iter().filter_map(|(slug, _)| path(document, slug))).collect()
}

/// The slugs of deployments of the Python tool by itself, and whether they are enabled.
fn own_deployments(documents: &[DocumentMut]) -> Vec<(String, bool)> {
    let mut found: Vec<(String, bool)> = Vec::new();
    let tables = |key: &'static str| {
        documents.iter().filter_map(|document| document.get("deployments")?.as_table_like()).flat_map(
            move |table| {
                table.iter().filter_map(move |(slug, one)| {
                    Some((slug.to_owned(), one.as_table_like()?.get(key)?.clone()))
                })
            },
        )
    };
    for (slug, repository) in tables("repository") {
        found.retain(|(other, _)| *other != slug);
        if repository.as_str() == Some(OWN_REPOSITORY) {
            found.push((slug, true));
        }
    }
    for (slug, enabled) in tables("enabled") {
        if let Some(one) = found.iter_mut().find(|(other, _)| *other == slug) {
            one.1 = enabled.as_bool().unwrap_or(true);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn the_layers_stay_what_they_are_but_for_what_must_not_stay() {
        let layers = [
            layer(
                "default.toml",
                "# ours\norigin = \"http://dev\"\nwebhook_secret_token = \"not-a-real-secret-token\"\n[proxy_fix]\nx_for = 2\nx_proto = 2\n",
            ),
            layer(
                "production.toml",
                "proxy_fix = { x_for = 1, x_proto = 1 }\n[deployments.deployer]\nrepository = \"ducompsoc/durhack-deployer\"\nenabled = true # always\npath = \"/srv\"\n[deployments.nginx]\nrepository = \"ducompsoc/durhack-nginx\"\nenabled = true\n",
            ),
            layer("local.toml", "webhook_secret_token = \"secret of ours\"\n"),
        ];
        let converted = convert(&layers).unwrap();
        assert_eq!(converted.secret.as_deref(), Some("secret of ours"));
        let texts: Vec<&str> = converted.files.iter().map(|(_, text)| text.as_str()).collect();
        assert!(
            texts[0].starts_with("# ours\norigin = \"http://dev\"\nprivileges = \"helper\"\n"),
            "{}",
            texts[0]
        );
        let tables: Vec<toml::Table> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(tables[0].keys().collect::<Vec<_>>(), ["origin", "privileges", "proxy_fix"]);
        for table in &tables[..2] {
            assert_eq!(table["proxy_fix"].as_table().unwrap().keys().collect::<Vec<_>>(), ["x_for"]);
        }
        let deployments = &tables[1]["deployments"];
        assert_eq!(deployments["deployer"]["enabled"].as_bool(), Some(false));
        assert_eq!(deployments["nginx"]["enabled"].as_bool(), Some(true));
        assert!(tables[2].is_empty(), "{}", texts[2]);
        assert_eq!(converted.changes.len(), 4, "{:?}", converted.changes);
        assert!(convert(&[layer("local.toml", "= 1")]).is_err());
    }

    #[test]
    fn the_layers_are_read_in_their_order() {
        assert_eq!(
            names("production", None),
            ["default.toml", "production.toml", "local.toml", "local-production.toml"]
        );
        assert_eq!(
            names("production", Some("a.org")).join(" "),
            "default.toml production.toml a.org.toml production-a.org.toml local.toml local-production.toml local-a.org.toml local-production-a.org.toml"
        );
    }
}
