//! What a deployment under PM2 says, where it says it, and what its preset says otherwise.

use super::preset::Preset;
use crate::base::names::{PackageDirectory, ScriptName};
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{checked_text, choice, filled_text, inner_path, list, name};
use crate::config::reference::keys::PNPM_PM2;
use crate::config::{InstalledBy, Pm2};

/// Of one deployment with one of the two recipes.
pub fn pm2(table: &TableReader<'_>, recipe: &str, preset: Option<&Preset>, origin: &str) -> Pm2 {
    Pm2 {
        installer: if recipe == PNPM_PM2 { InstalledBy::Pnpm } else { installer(table) },
        packages: packages(table, preset, origin),
        migrate: table
            .is_written("migrate")
            .then(|| table.value("migrate", list(filled_text)).unwrap_or_default()),
        scripts: scripts(table),
        migrates_before_build: migrates_before_build(table, preset, origin),
        ecosystem: table.value("ecosystem", inner_path),
        block: table.value("pm2_env", |node| checked_text(node, block)),
    }
}

fn installer(table: &TableReader<'_>) -> InstalledBy {
    const INSTALLERS: [(&str, InstalledBy); 5] = [
        ("npm", InstalledBy::Npm),
        ("pnpm", InstalledBy::Pnpm),
        ("yarn", InstalledBy::Yarn),
        ("bun", InstalledBy::Bun),
        ("none", InstalledBy::Nothing),
    ];
    table.value("installer", choice(&INSTALLERS)).unwrap_or(InstalledBy::LockFile)
}

/// The name of a block, as it stands behind `env_`.
fn block(text: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    match text.strip_prefix("env_") {
        Some(name) => Err(format!("the name is what stands behind `env_`: write {name:?}")),
        None if text.chars().all(plain) => Ok(text.to_owned()),
        None => Err("only letters, digits, _ and - are allowed".into()),
    }
}

fn packages(table: &TableReader<'_>, preset: Option<&Preset>, origin: &str) -> Vec<PackageDirectory> {
    if table.is_written("packages") {
        return table.value("packages", list(name)).unwrap_or_default();
    }
    let packages = preset.map(|preset| preset.packages).unwrap_or_default();
    table.show_derived("packages", packages.to_vec(), if packages.is_empty() { "default" } else { origin });
    let parse = |text: &&str| PackageDirectory::parse(text).expect("a preset names directories");
    packages.iter().map(parse).collect()
}

fn scripts(table: &TableReader<'_>) -> Vec<ScriptName> {
    table.value("scripts", list(name)).unwrap_or_default()
}

fn migrates_before_build(table: &TableReader<'_>, preset: Option<&Preset>, origin: &str) -> bool {
    if table.is_written("migrate_before") {
        return table
            .value("migrate_before", choice(&[("build", true), ("switch", false)]))
            .unwrap_or_default();
    }
    let before_build = preset.is_some_and(|preset| preset.migrates_before_build);
    let word = if before_build { "build" } else { "switch" };
    table.show_derived("migrate_before", word, if before_build { origin } else { "default" });
    before_build
}
