//! What every command but `serve` begins with: the configuration, and the record.

use super::output::{self, Failed};
use super::{ids, owner, printing};
use crate::config::{self, Config, Deployment, Diagnostics, Environment, Loaded, Purpose, Rendering};
use crate::daemon;
use crate::deploy::{Host, claim};
use crate::names::Slug;
use crate::record::store::{self, Store};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// The configuration, the record, and what runs are made of.
pub struct Session {
    /// Everything that deployments stand on.
    pub host: Host,
    user: String,
}

/// Reads the configuration. What is wrong with single deployments is said, and they are left out.
pub fn load(directory: Option<&Path>, environment: &Environment, purpose: Purpose) -> Result<Loaded, Failed> {
    let loaded = read(directory, environment, purpose)?;
    print(&loaded.problems);
    Ok(loaded)
}

/// The same, without a word about single deployments.
pub fn read(directory: Option<&Path>, environment: &Environment, purpose: Purpose) -> Result<Loaded, Failed> {
    config::load(directory, environment, purpose).map_err(|problems| {
        print(&problems);
        let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
        let unset = if is_set("DEPLOYER_ENV") || is_set("PYTHON_ENV") {
            ""
        } else {
            ". Neither DEPLOYER_ENV nor PYTHON_ENV is set: the layers of `development` were read, and no production.toml"
        };
        Failed::because(anyhow::anyhow!("the configuration cannot be used")).hint(format!(
            "`durhack-deployer config check` says the same; `config reference` lists every key{unset}"
        ))
    })
}

/// What can be asked without the database, for the one command that says what is wrong with it. `None`: the configuration cannot be used.
pub fn host_without_record(directory: Option<&Path>, environment: &Environment) -> Option<Host> {
    let loaded = config::load(directory, environment, Purpose::Ask).ok()?;
    // Even to look at it is not root's.
    if daemon::is_anothers(&loaded.config.state_directory) {
        return None;
    }
    daemon::host(Arc::new(loaded.config), environment).ok()
}

/// Says what is wrong with a configuration.
pub fn print(problems: &Diagnostics) {
    if output::is_json() {
        return problems
            .problems()
            .iter()
            .for_each(|problem| output::json_error_line(&json!({ "problem": problem })));
    }
    let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    printing::error_text(format_args!(
        "{}",
        problems.render(if colours { Rendering::Terminal } else { Rendering::Plain })
    ));
}

/// A deployment by its name.
pub fn deployment<'a>(config: &'a Config, slug: &str) -> Result<&'a Deployment, Failed> {
    let found = Slug::parse(slug).ok().and_then(|slug| config.deployments.get(&slug));
    found.ok_or_else(|| {
        let known: Vec<&str> = config.deployments.keys().map(Slug::as_str).collect();
        let failed = Failed::not_found(format!("there is no deployment {slug:?}"));
        match known.as_slice() {
            [] => failed.hint("none is configured: `durhack-deployer init OWNER/NAME` writes one"),
            known => {
                let like = ids::nearest(slug, known.iter().copied());
                let like = like.map_or(String::new(), |nearest| format!("did you mean {nearest}? "));
                failed.hint(format!("{like}there are: {}", known.join(", ")))
            }
        }
    })
}

impl Session {
    /// Opens both; the record's schema is brought up where it is behind.
    pub async fn open(
        directory: Option<&Path>,
        environment: &Environment,
        purpose: Purpose,
    ) -> Result<Self, Failed> {
        let loaded = read(directory, environment, purpose)?;
        // What signs webhooks may be for root alone to read.
        if purpose != Purpose::Serve {
            owner::leave_to_owner_of(&loaded.config.state_directory, environment).await?;
        }
        // Advice is for whoever writes the configuration, and not before the output of every command.
        print(&loaded.problems.without_notes());
        let host = daemon::host(Arc::new(loaded.config), environment)?;
        // First: a directory that is made anew must not pass for the one that was there.
        claim::expect_no_database(&host.config, &host.store)?;
        daemon::prepare_state_directory(&host.config.state_directory).map_err(Failed::unavailable)?;
        host.store.migrate(crate::clock::now_ms()).await?;
        let user = environment.get("SUDO_USER").or(environment.get("USER")).unwrap_or("somebody").to_owned();
        Ok(Self { host, user })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.host.config
    }

    /// Who asks, for the record.
    pub fn operator(&self) -> String {
        format!("{} at the command line", self.user)
    }

    /// The record.
    pub fn store(&self) -> &Store {
        &self.host.store
    }

    /// A deployment by its name.
    pub fn deployment(&self, slug: &str) -> Result<&Deployment, Failed> {
        deployment(self.config(), slug)
    }

    /// A run by its id, the beginning of it, or its short form.
    pub async fn run(&self, id: &str) -> Result<store::Run, Failed> {
        ids::run(self, id).await
    }

    /// The newest run of a deployment, or a run by its id.
    pub async fn run_of(&self, what: &str) -> Result<store::Run, Failed> {
        let slug = Slug::parse(what).ok().filter(|slug| self.config().deployments.contains_key(slug));
        let Some(slug) = slug else { return self.run(what).await };
        let found = self.store().last_run(slug.as_str()).await?;
        found.ok_or_else(|| {
            Failed::not_found(format!("{slug} has had no run yet"))
                .hint(format!("`durhack-deployer deploy {slug}` makes one"))
        })
    }
}
