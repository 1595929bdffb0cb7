//! What a deployment of a pnpm workspace says, where it says it, and what its preset says otherwise.

use super::preset::Preset;
use crate::config::PnpmPm2;
use crate::config::reader::TableReader;
use crate::config::values::{choice, filled_text, inner_path, list, name};
use crate::names::{PackageDirectory, ScriptName};

/// Of one deployment.
pub fn pnpm_pm2(table: &TableReader<'_>, preset: Option<&Preset>, origin: &str) -> PnpmPm2 {
    PnpmPm2 {
        packages: packages(table, preset, origin),
        migrate: table
            .is_written("migrate")
            .then(|| table.value("migrate", list(filled_text)).unwrap_or_default()),
        scripts: scripts(table),
        migrates_before_build: migrates_before_build(table, preset, origin),
        ecosystem: table.value("ecosystem", inner_path),
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
