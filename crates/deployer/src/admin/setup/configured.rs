//! What the configuration asks of the host.

use crate::admin::setup::users::Assignment;
use crate::base::names::{Slug, UserName};
use crate::config::{Privileges, Recipe};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What the configuration says of the host.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// How what needs root is done.
    pub privileges: Privileges,
    /// How people reach this instance.
    pub origin: String,
    /// When its layers were changed last, in microseconds since 1970.
    pub changed_at_us: i64,
    /// The same, of the secrets beside it.
    pub secrets_changed_at_us: i64,
    /// The deployments that the configuration names.
    pub slugs: BTreeSet<Slug>,
    /// Those of them that the worker deploys by itself as soon as it knows them: nothing of them is there yet.
    pub undeployed: BTreeSet<Slug>,
    /// The `path` of each deployment.
    pub paths: BTreeSet<PathBuf>,
    /// Those of them that hold sites for nginx.
    pub sites_paths: BTreeSet<PathBuf>,
    /// Those of them where a user of the deployment's own makes the releases.
    pub users_paths: BTreeSet<PathBuf>,
    /// The users that make those releases.
    pub users: BTreeSet<UserName>,
    /// Who of them is assigned now, and what there is to be said of that.
    pub assignment: Assignment,
    /// Those of them whose PM2 keeps applications.
    pub pm2_users: BTreeSet<UserName>,
    /// Where programs are looked for, beside the usual places.
    pub search_paths: Vec<PathBuf>,
    /// Whether a deployment asks the service manager of the deployer's own user for something.
    pub needs_user_manager: bool,
    /// The units that deployments restart.
    pub units: BTreeSet<String>,
    /// Names of their sites.
    pub domains: BTreeSet<String>,
    /// Whether one of them has sites for nginx.
    pub has_sites: bool,
    /// What site files may say beside the closed list.
    pub sites_allow: BTreeSet<String>,
    /// Where site files may have nginx write logs.
    pub log_directory: PathBuf,
    /// Where the state is to lie, if that is not where the units have it.
    pub state_elsewhere: Option<PathBuf>,
}

impl Configuration {
    /// What of a recipe needs root.
    pub(super) fn note(&mut self, recipe: &Recipe) {
        if let Some(sites) = &recipe.sites {
            self.has_sites = true;
            self.sites_allow.extend(sites.allowed.iter().cloned());
            self.domains.extend(sites.domains.iter().cloned());
        }
        self.units.extend(recipe.system_units().iter().map(ToString::to_string));
    }
}
