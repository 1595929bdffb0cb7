//! What the privileged helper may be asked for: what root has written already, and what the deployments need. Pure.
//!
//! It only grows here. What nothing needs any more is root's to take out: setup cannot know who else relies on it.

use crate::admin::host::paths;
use crate::admin::setup::configured::Configuration;
use crate::admin::setup::host_state::NGINX_LOGS;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

const HEADING: &str = "\
# What the privileged helper may be asked for, and by whom. Only root may write it.
# `durhack-deployer setup` adds what the deployments need, and takes nothing away. Comments are not kept.
# domains: names that may be in certificates. [certbot]: email, server, webroot.
# sites_allow: what site files may say beside the closed list (docs/reference/recipes/nginx-sites.md says what each gives away).
# log_directory: where site files may have nginx write logs. nginx_foreign: files that nginx reads although others can change them.
";

/// The list as it should be, and what is new in it.
pub fn complete(before: Option<&str>, known: Option<&Configuration>) -> Result<(String, Vec<String>)> {
    let mut table: Table =
        before.unwrap_or_default().parse().with_context(|| format!("{} is not TOML", paths::ALLOW_LIST))?;
    let mut new = Vec::new();
    if !table.contains_key("user") {
        table.insert("user".into(), paths::user().into());
    }
    let nothing = BTreeSet::new();
    let needed = [
        ("units", known.map_or(&nothing, |known| &known.units)),
        ("domains", known.map_or(&nothing, |known| &known.domains)),
        ("sites_allow", known.map_or(&nothing, |known| &known.sites_allow)),
    ];
    for (key, needed) in needed {
        let list = table.entry(key).or_insert_with(|| Value::Array(Vec::new()));
        let list =
            list.as_array_mut().with_context(|| format!("`{key}` in {} is not a list", paths::ALLOW_LIST))?;
        for name in needed {
            if !list.iter().any(|known| known.as_str() == Some(name)) {
                list.push(name.as_str().into());
                new.push(name.clone());
            }
        }
    }
    let logs = known.map(|known| known.log_directory.as_path()).filter(|logs| *logs != Path::new(NGINX_LOGS));
    if let Some(logs) = logs.and_then(Path::to_str)
        && table.get("log_directory").and_then(Value::as_str) != Some(logs)
    {
        table.insert("log_directory".into(), logs.into());
        new.push(format!("site files that log in {logs}"));
    }
    let text = toml::to_string_pretty(&table).context("the list cannot be written as TOML")?;
    Ok((format!("{HEADING}\n{text}"), new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::setup::plan::tests::configuration;

    #[test]
    fn what_root_wrote_stays_and_what_is_needed_is_added_once() {
        let (first, new) = complete(None, Some(&configuration())).unwrap();
        assert_eq!(new, ["site.service", "example.org"]);
        assert!(
            first.contains("user = \"durhack-deployer\"") && first.contains("\"site.service\""),
            "{first}"
        );
        let (again, new) = complete(Some(&first), Some(&configuration())).unwrap();
        assert_eq!((again.as_str(), new.as_slice()), (first.as_str(), &[][..]));
        let by_hand = "user = \"other\"\nunits = [\"mine.service\"]\n[certbot]\nemail = \"a@b.org\"\n";
        let (merged, _) = complete(Some(by_hand), Some(&configuration())).unwrap();
        for kept in ["user = \"other\"", "\"mine.service\"", "\"site.service\"", "[certbot]", "a@b.org"] {
            assert!(merged.contains(kept), "{kept} in {merged}");
        }
        assert!(complete(Some("units = 1"), Some(&configuration())).is_err());
        assert!(complete(Some("nonsense"), None).is_err());
    }
}
