//! What a deployment under PM2 says, where it says it, what its preset says otherwise, and what that asks of the host.

use crate::base::names::{PackageDirectory, ScriptName};
use crate::config::keys::Default::{Derived, Value};
use crate::config::keys::KeyKind::{Choice, Text};
use crate::config::keys::{INSTANCE_NAME, Key, KeyKind, TEXTS};
use crate::config::preset::Preset;
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{checked_text, choice, filled_text, inner_path, list, name};
use crate::config::recipe::{Descriptor, ProcessKeeper, Recipe, Sample, Source, Starts};
use crate::plan::recipes::uv_uwsgi::MIGRATE;
use serde::Serialize;
use std::path::PathBuf;

const PACKAGES: Key = Key::new(
    "packages",
    TEXTS,
    Derived("the preset's, else all of the workspace"),
    r#"["server"]"#,
    "Directories of the workspace's packages that are deployed, each with the packages that it depends on. The others are neither installed nor built, and a change of them alone deploys nothing.",
);

const MIGRATE_BEFORE: Key = Key::new(
    "migrate_before",
    Choice(&["build", "switch"]),
    Derived("the preset's, else `\"switch\"`"),
    r#""build""#,
    "Whether the database is migrated before the scripts run, because they ask it, or after they have succeeded.",
);

const SCRIPTS: Key = Key::new(
    "scripts",
    TEXTS,
    Value(r#"["generate", "build"]"#),
    r#"["build"]"#,
    "Scripts of the packages that make the release, in this order; a package without one is skipped.",
);

const ECOSYSTEM: Key = Key::new(
    "ecosystem",
    KeyKind::Path,
    Derived(
        "`ecosystem.config.js`, `.cjs`, `.mjs`, `.json` or `.yml`, `process.json`, `pm2.json`, or another such name: the first there is",
    ),
    r#""ecosystem.config.cjs""#,
    "The file that names the applications, relative to the release.",
);

const PM2_ENV: Key = Key::new(
    "pm2_env",
    Text,
    Derived(
        "`\"production\"` where `environment` has `NODE_ENV = \"production\"` and the file has `env_production`; else none",
    ),
    r#""production""#,
    "Which block `env_NAME` of the ecosystem file is laid over `env`, as by `pm2 start --env NAME`.",
);

/// Node applications that PM2 runs, whatever installs them.
pub static PM2: Descriptor = Descriptor {
    name: "pm2",
    meaning: "Node packages under PM2, installed by npm, yarn, bun or pnpm.",
    keys: &[
        INSTANCE_NAME,
        MIGRATE,
        PACKAGES,
        MIGRATE_BEFORE,
        SCRIPTS,
        Key::new(
            "installer",
            Choice(&["npm", "pnpm", "yarn", "bun", "none"]),
            Derived(
                "whose lock file there is; of several the one that `packageManager` in `package.json` names, else the one that was changed last",
            ),
            r#""npm""#,
            "What installs the packages and runs their scripts. `none`: nothing is installed or built.",
        ),
        ECOSYSTEM,
        PM2_ENV,
    ],
    read: read_pm2,
    sample: Sample { slug: "shop", repository: "example/shop", path: "/var/www/shop", required: &[] },
    presets: &[],
    needs_releases: None,
    runs_as_deployer_because: None,
    // For long pnpm was the only one that installed.
    digest_name: "pnpm-pm2",
};

/// Node applications that pnpm installs and PM2 runs.
pub static PNPM_PM2: Descriptor = Descriptor {
    name: "pnpm-pm2",
    meaning: "A pnpm workspace under PM2.",
    keys: &[INSTANCE_NAME, MIGRATE, PACKAGES, MIGRATE_BEFORE, SCRIPTS, ECOSYSTEM, PM2_ENV],
    read: read_pnpm_pm2,
    sample: Sample {
        slug: "durhack-api",
        repository: "ducompsoc/durhack",
        path: "/var/www/api.durhack.com",
        required: &[],
    },
    presets: &PRESETS,
    needs_releases: None,
    runs_as_deployer_because: None,
    digest_name: "pnpm-pm2",
};

static PRESETS: [Preset; 3] = [
    Preset {
        repository: "ducompsoc/durhack",
        recipe: "pnpm-pm2",
        shared_files: &["server/.env", "server/config/local.ts", "server/config/local-production.ts"],
        shared_dirs: &[],
        packages: &["server"],
        // `prisma generate --sql` asks the database, and `prebuild` calls it.
        migrates_before_build: true,
        requires_instance_name: true,
        ports: &[3001],
    },
    Preset {
        repository: "ducompsoc/durhack-guilds",
        recipe: "pnpm-pm2",
        shared_files: &["server/.env", "server/config/local.ts", "server/config/local-production.ts"],
        shared_dirs: &["server/keys"],
        packages: &["server", "client"],
        // As in durhack.
        migrates_before_build: true,
        requires_instance_name: true,
        ports: &[3100, 3101],
    },
    Preset {
        repository: "ducompsoc/durhack-live",
        recipe: "pnpm-pm2",
        shared_files: &[".env", "server/.env", "server/config/local.ts", "server/config/local-production.ts"],
        // The whole directory: the server replaces `cache.json`, and would replace a link in its place.
        shared_dirs: &["server/keys", "server/state"],
        packages: &["server", "client"],
        migrates_before_build: false,
        requires_instance_name: true,
        ports: &[3200, 3201],
    },
];

/// Node packages under PM2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pm2Settings {
    /// Who installs them. Of pnpm, digests say nothing: for long it was the only one.
    #[serde(skip_serializing_if = "InstalledBy::is_pnpm")]
    pub installer: InstalledBy,
    /// The packages that are deployed, with what they depend on; empty: all of the workspace.
    pub packages: Vec<PackageDirectory>,
    /// What brings the database to the release's schema, program and arguments, called by the installer; empty: nothing does. None: what the
    /// packages hold tells.
    pub migrate: Option<Vec<String>>,
    /// Scripts that make the release, in order; a package without one is skipped.
    pub scripts: Vec<ScriptName>,
    /// Whether the database is migrated before the scripts run, because they ask it.
    pub migrates_before_build: bool,
    /// The file that names the applications, relative to the release. None: the first there is of those that PM2 knows.
    pub ecosystem: Option<PathBuf>,
    /// Which of the file's blocks `env_*` the operator has named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<String>,
}

/// Who installs Node packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstalledBy {
    /// Whose lock file there is, in each directory.
    LockFile,
    /// pnpm, all of them by the lock file in the root.
    Pnpm,
    /// npm: `npm ci`, or `npm install` without a lock file.
    Npm,
    /// yarn, of whichever version.
    Yarn,
    /// bun, by either of its lock files.
    Bun,
    /// Nobody: there is nothing to install or to build.
    Nothing,
}

impl InstalledBy {
    fn is_pnpm(&self) -> bool {
        *self == Self::Pnpm
    }

    /// The program that is known to be called. The repository may say, and npm comes with node.
    fn program(self) -> Option<&'static str> {
        match self {
            Self::LockFile | Self::Nothing => None,
            Self::Pnpm => Some("pnpm"),
            Self::Npm => Some("npm"),
            Self::Yarn => Some("yarn"),
            Self::Bun => Some("bun"),
        }
    }
}

fn read_pm2(table: &TableReader<'_>, source: &Source<'_>) -> Recipe {
    recipe(&PM2, settings(table, installer(table), source))
}

fn read_pnpm_pm2(table: &TableReader<'_>, source: &Source<'_>) -> Recipe {
    recipe(&PNPM_PM2, settings(table, InstalledBy::Pnpm, source))
}

fn recipe(descriptor: &'static Descriptor, settings: Pm2Settings) -> Recipe {
    let programs = ["node", "pm2"].into_iter().chain(settings.installer.program());
    Recipe {
        programs: programs.map(str::to_owned).collect(),
        kept_by: Some(ProcessKeeper::Pm2),
        starts: Starts::Program,
        ..Recipe::new(descriptor, settings)
    }
}

fn settings(table: &TableReader<'_>, installer: InstalledBy, source: &Source<'_>) -> Pm2Settings {
    let origin = source.origin();
    Pm2Settings {
        installer,
        packages: packages(table, source.preset, &origin),
        migrate: table
            .is_written("migrate")
            .then(|| table.value("migrate", list(filled_text)).unwrap_or_default()),
        scripts: scripts(table),
        migrates_before_build: migrates_before_build(table, source.preset, &origin),
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
