//! What a deployment of one of DurHack's own repositories gets when it names no recipe.
//!
//! The original knew these six by their names; its configurations name nothing else. The files are those that
//! must outlive a deploy of each package because they are not in its repository.

use crate::base::names::RepositoryName;
use crate::config::keys::{DEPLOYER, GO_STATIC, NGINX_SITES, PNPM_PM2};

#[derive(Debug)]
pub struct Preset {
    /// The repository on GitHub, as `owner/name`.
    pub repository: &'static str,
    /// As an operator would write it.
    pub recipe: &'static str,
    /// Files that outlive releases.
    pub shared_files: &'static [&'static str],
    /// Directories that do.
    pub shared_dirs: &'static [&'static str],
    /// Packages of the workspace that are deployed; empty: all.
    pub packages: &'static [&'static str],
    /// Whether the build asks the migrated database.
    pub migrates_before_build: bool,
    /// Whether the original required `instance_name`.
    pub requires_instance_name: bool,
    /// Where its programs listen, as the README of durhack-nginx gives ports out.
    pub ports: &'static [u16],
}

/// The repository's preset, if it has one. GitHub does not distinguish case in names.
pub fn of(repository: &RepositoryName) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.repository.eq_ignore_ascii_case(repository.as_str()))
}

static PRESETS: [Preset; 6] = [
    Preset {
        repository: "ducompsoc/durhack-nginx",
        recipe: NGINX_SITES,
        shared_files: &[],
        shared_dirs: &["local-live"],
        packages: &[],
        migrates_before_build: false,
        requires_instance_name: false,
        ports: &[],
    },
    Preset {
        repository: "ducompsoc/durhack",
        recipe: PNPM_PM2,
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
        recipe: PNPM_PM2,
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
        recipe: PNPM_PM2,
        shared_files: &[".env", "server/.env", "server/config/local.ts", "server/config/local-production.ts"],
        // The whole directory: the server replaces `cache.json`, and would replace a link in its place.
        shared_dirs: &["server/keys", "server/state"],
        packages: &["server", "client"],
        migrates_before_build: false,
        requires_instance_name: true,
        ports: &[3200, 3201],
    },
    Preset {
        repository: "ducompsoc/durhack-jury",
        recipe: GO_STATIC,
        shared_files: &["server/.env", "client/.env"],
        shared_dirs: &[],
        packages: &[],
        migrates_before_build: false,
        requires_instance_name: true,
        ports: &[3301],
    },
    Preset {
        repository: "ducompsoc/durhack-deployer",
        recipe: DEPLOYER,
        shared_files: &[".env", "config/local.toml"],
        shared_dirs: &["queues", "var"],
        packages: &[],
        migrates_before_build: false,
        requires_instance_name: false,
        ports: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_whatever_the_case() {
        let recipe = |name: &str| of(&RepositoryName::parse(name).unwrap()).map(|preset| preset.recipe);
        assert_eq!(recipe("ducompsoc/durhack"), Some(PNPM_PM2));
        assert_eq!(recipe("DUCompSoc/DurHack-Nginx"), Some(NGINX_SITES));
        assert_eq!(recipe("somebody/durhack"), None);
    }
}
