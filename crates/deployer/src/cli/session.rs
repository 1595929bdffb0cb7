//! What every command but `serve` begins with: the configuration, and the database.

use crate::admin::owner;
use crate::base::clock::readable_utc;
use crate::base::names::Slug;
use crate::base::names::nearest;
use crate::base::words::counted;
use crate::config::resolve::overlap;
use crate::config::{
    self, Config, Deployment, Diagnostics, Environment, Loaded, Purpose, Rendering, Severity,
};
use crate::daemon::last_good::{self, LastGood};
use crate::daemon::{self, Role};
use crate::pipeline::context::{Host, HostedDeployment};
use crate::plan::recipes::REFERENCE;
use crate::process::{claim, step_user};
use crate::store::Store;
use crate::terminal::failed::Failed;
use crate::terminal::printing;
use crate::terminal::style::YELLOW;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// The configuration, the database, and what runs are made of.
pub struct Session {
    /// Everything that deployments stand on.
    pub host: Host,
    /// Where what is written has errors.
    pub broken: Option<Broken>,
    /// When the worker read another configuration than this one last, by which it goes. None where it goes by this one, or none runs.
    pub unread_since_ms: Option<i64>,
    user: String,
}

/// A configuration that has errors, and what is gone by instead.
pub struct Broken {
    /// How many errors what is written has.
    pub errors: usize,
    /// When what is gone by was good; None: nothing was kept of it.
    pub last_good_ms: Option<i64>,
    /// The deployments that are as they were then. The worker does not have them.
    pub deployments: Vec<Slug>,
    /// Whether nothing of what is written can be used.
    pub is_all: bool,
}

impl Broken {
    /// What there is to say.
    pub fn what(&self) -> String {
        let errors = format!("the configuration has {}", counted(self.errors, "error", "errors"));
        match (self.last_good_ms, self.is_all) {
            (Some(at_ms), true) => {
                format!(
                    "{errors}, and nothing is deployed by it; this goes by the last good one, of {} UTC",
                    readable_utc(at_ms)
                )
            }
            (Some(at_ms), false) if !self.deployments.is_empty() => {
                let left_out: Vec<&str> = self.deployments.iter().map(Slug::as_str).collect();
                format!(
                    "{errors}; {} as the last good configuration has it, of {} UTC: nothing new is deployed there",
                    left_out.join(", "),
                    readable_utc(at_ms)
                )
            }
            _ => format!("{errors}; the deployments that have them are left out"),
        }
    }

    /// What to do.
    pub fn mend(&self) -> &'static str {
        if self.is_all {
            "`durhack-deployer config check` shows them; once they are mended, `sudo durhack-deployer setup` has the services go by it"
        } else {
            "`durhack-deployer config check` shows them; once they are mended, `systemctl reload durhack-deployer-worker` deploys by it"
        }
    }
}

/// Reads the configuration. What is wrong with single deployments is said, and they are left out.
pub fn load(directory: Option<&Path>, environment: &Environment, purpose: Purpose) -> Result<Loaded, Failed> {
    let loaded = read(directory, environment, purpose)?;
    print(&loaded.problems);
    Ok(loaded)
}

/// The same, without a word about single deployments.
pub fn read(directory: Option<&Path>, environment: &Environment, purpose: Purpose) -> Result<Loaded, Failed> {
    config::load(&REFERENCE, directory, environment, purpose).map_err(|problems| {
        print(&problems);
        let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
        // What cannot be read is not made readable by another layer.
        let is_read = problems.problems().iter().any(|problem| problem.position.is_some());
        let unset = if is_set("DEPLOYER_ENV") || is_set("PYTHON_ENV") || !is_read {
            ""
        } else {
            ". Neither DEPLOYER_ENV nor PYTHON_ENV is set: the layers of `development` were read, and no production.toml"
        };
        Failed::because(anyhow::anyhow!("the configuration cannot be used")).hint(format!(
            "`durhack-deployer config check` says the same; `config reference` lists every key{unset}"
        ))
    })
}

/// The configuration that a daemon starts with, and of when it is if it is not what is written: pushes are received also where that has errors.
/// The worker waits for it to be mended; it is started again until then.
pub fn load_for_daemon(
    directory: Option<&Path>,
    environment: &Environment,
    role: Role,
    take_over: bool,
) -> Result<(Loaded, Option<i64>), Failed> {
    let problems = match config::load(&REFERENCE, directory, environment, role.purpose()) {
        Ok(_) => return Ok((load(directory, environment, role.purpose())?, None)),
        Err(problems) => problems,
    };
    if role != Role::Work && !take_over {
        match last_good::find(directory, environment, role.purpose(), role) {
            Ok(Some(LastGood { loaded, at_ms })) => {
                daemon::say(&problems);
                tracing::error!(
                    "the configuration has {}: pushes are received by the last good one, of {} UTC, and nothing is deployed until that is mended (`durhack-deployer config check` shows what is wrong)",
                    counted(errors_in(&problems), "error", "errors"),
                    readable_utc(at_ms)
                );
                return Ok((loaded, Some(at_ms)));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
    read(directory, environment, role.purpose()).map(|loaded| (loaded, None))
}

fn errors_in(problems: &Diagnostics) -> usize {
    problems.problems().iter().filter(|problem| problem.severity == Severity::Error).count()
}

fn has_errors(problems: &Diagnostics) -> bool {
    errors_in(problems) > 0
}

/// What is written, with the deployments that have errors as they were when they had none.
fn in_part(mut loaded: Loaded, kept: Option<LastGood>) -> (Loaded, Broken) {
    let mut deployments = Vec::new();
    let last_good_ms = kept.as_ref().map(|kept| kept.at_ms);
    for (slug, deployment) in kept.into_iter().flat_map(|kept| kept.loaded.config.deployments) {
        // What has a path that is another deployment's now is not restored there.
        let is_anothers =
            loaded.config.deployments.values().any(|other| overlap(&other.path, &deployment.path));
        if loaded.problems.leaves_out(slug.as_str()) && !is_anothers {
            loaded.config.deployments.insert(slug.clone(), deployment);
            deployments.push(slug);
        }
    }
    let errors = errors_in(&loaded.problems);
    (loaded, Broken { errors, last_good_ms, deployments, is_all: false })
}

/// What can be asked without the database, for the one command that says what is wrong with it. `None`: the configuration cannot be used.
pub fn host_without_record(directory: Option<&Path>, environment: &Environment) -> Option<Host> {
    let loaded = config::load(&REFERENCE, directory, environment, Purpose::Ask).ok()?;
    // Even to look at it is not root's.
    if step_user::is_anothers(&loaded.config.state_directory) {
        return None;
    }
    daemon::host(Arc::new(loaded.config), environment).ok()
}

/// Says what is wrong with a configuration.
pub fn print(problems: &Diagnostics) {
    if crate::terminal::failed::is_json() {
        return problems
            .problems()
            .iter()
            .for_each(|problem| crate::terminal::failed::json_error_line(&json!({ "problem": problem })));
    }
    let colours = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    printing::error_text(format_args!(
        "{}",
        problems.render(if colours { Rendering::Terminal } else { Rendering::Plain })
    ));
}

/// Says what is wrong first: this command goes on by something else, and what it says itself is not to drown in it.
fn print_first(problems: &Diagnostics) {
    let errors = problems.problems().iter().filter(|problem| problem.severity == Severity::Error);
    print(&errors.take(1).cloned().collect());
    let more = errors_in(problems).saturating_sub(1);
    if more > 0 && !crate::terminal::failed::is_json() {
        print_error_line!("and {more} more: `durhack-deployer config check` shows them");
    }
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
                let like = nearest(slug, known.iter().copied());
                let like = like.map_or(String::new(), |nearest| format!("did you mean {nearest}? "));
                failed.hint(format!("{like}there are: {}", known.join(", ")))
            }
        }
    })
}

impl Session {
    /// A deployment on this host.
    pub fn hosted<'a>(&'a self, deployment: &'a Deployment) -> HostedDeployment<'a> {
        HostedDeployment::new(&self.host, deployment)
    }

    /// Opens both, whether what is written has errors or not: where it has, what was good last takes its place.
    pub async fn open_by_last_good(
        directory: Option<&Path>,
        environment: &Environment,
        purpose: Purpose,
    ) -> Result<Self, Failed> {
        let state = match config::load(&REFERENCE, directory, environment, purpose) {
            Ok(loaded) if !has_errors(&loaded.problems) => {
                return Self::open_loaded(loaded, None, environment, purpose).await;
            }
            Ok(loaded) => loaded.config.state_directory,
            Err(_) => config::state_directory_of_broken(directory, environment),
        };
        // The copy is its owner's: root does not read it.
        owner::leave_to_owner_of(&state, environment).await?;
        let kept = last_good::find(directory, environment, purpose, Role::Work);
        let kept = kept.unwrap_or_else(|error| {
            print_error_line!("{YELLOW}warning{YELLOW:#}: {error:#}");
            None
        });
        let (loaded, broken) = match (config::load(&REFERENCE, directory, environment, purpose), kept) {
            (Ok(loaded), kept) => in_part(loaded, kept),
            (Err(problems), Some(LastGood { loaded, at_ms })) => {
                print_first(&problems);
                let deployments = loaded.config.deployments.keys().cloned().collect();
                let broken = Broken {
                    errors: errors_in(&problems),
                    last_good_ms: Some(at_ms),
                    deployments,
                    is_all: true,
                };
                (loaded, broken)
            }
            (Err(_), None) => {
                read(directory, environment, purpose)?;
                return Self::open(directory, environment, purpose).await;
            }
        };
        print_error_line!("{YELLOW}warning{YELLOW:#}: {}", broken.what());
        print_error_line!("  -> {}", broken.mend());
        Self::open_loaded(loaded, Some(broken), environment, purpose).await
    }

    /// Opens both; the database's schema is brought up where it is behind.
    pub async fn open(
        directory: Option<&Path>,
        environment: &Environment,
        purpose: Purpose,
    ) -> Result<Self, Failed> {
        let loaded = read(directory, environment, purpose)?;
        Self::open_loaded(loaded, None, environment, purpose).await
    }

    /// The same for a command that is about one deployment: what there is to be said of others is not said.
    pub async fn open_for(
        directory: Option<&Path>,
        environment: &Environment,
        purpose: Purpose,
        slug: &str,
    ) -> Result<Self, Failed> {
        let mut loaded = read(directory, environment, purpose)?;
        loaded.problems = loaded.problems.about(slug);
        Self::open_loaded(loaded, None, environment, purpose).await
    }

    async fn open_loaded(
        loaded: Loaded,
        broken: Option<Broken>,
        environment: &Environment,
        purpose: Purpose,
    ) -> Result<Self, Failed> {
        // What signs webhooks may be for root alone to read.
        if purpose != Purpose::Serve {
            owner::leave_to_owner_of(&loaded.config.state_directory, environment).await?;
        }
        let kept = match broken {
            None => last_good::find(Some(&loaded.directory), environment, purpose, Role::Work).ok().flatten(),
            Some(_) => None,
        };
        let unread =
            kept.filter(|kept| !kept.loaded.written.says_the_same_as(&loaded.written)).map(|kept| kept.at_ms);
        // Advice is for whoever writes the configuration, and not before the output of every command.
        print(&loaded.problems.without_notes());
        let host = daemon::host(Arc::new(loaded.config), environment)?;
        // First: a directory that is made anew must not pass for the one that was there.
        claim::expect_no_database(&host.config, &host.store)?;
        owner::expect_no_state_of_roots(&host.config.state_directory)?;
        daemon::prepare_state_directory(&host.config.state_directory).map_err(Failed::unavailable)?;
        host.store.migrate(crate::base::clock::now_ms()).await?;
        let unread_since_ms =
            unread.filter(|_| daemon::is_working(&host.config.state_directory).unwrap_or(false));
        let user = environment.get("SUDO_USER").or(environment.get("USER")).unwrap_or("somebody").to_owned();
        Ok(Self { host, broken, unread_since_ms, user })
    }

    /// What is to be said, and done, where the worker has not read what is written.
    pub fn unread(&self) -> Option<(String, &'static str)> {
        let what = format!(
            "this configuration is not the one that the worker goes by, which it read at {} UTC",
            readable_utc(self.unread_since_ms?)
        );
        Some((
            what,
            "`sudo durhack-deployer setup` has the services read it; a daemon without a service reads it on SIGHUP",
        ))
    }

    /// Says that on standard error.
    pub fn warn_of_unread(&self) {
        if let Some((what, mend)) = self.unread() {
            print_error_line!("{YELLOW}warning{YELLOW:#}: {what}");
            print_error_line!("  -> {mend}");
        }
    }

    /// Whether the worker goes by another configuration, in which this deployment is left out.
    pub fn is_left_out(&self, slug: &Slug) -> bool {
        self.broken.as_ref().is_some_and(|broken| broken.deployments.contains(slug))
    }

    pub fn config(&self) -> &Config {
        &self.host.config
    }

    /// Who asks, for the database.
    pub fn operator(&self) -> String {
        format!("{} at the command line", self.user)
    }

    pub fn store(&self) -> &Store {
        &self.host.store
    }

    /// A deployment by its name.
    pub fn deployment(&self, slug: &str) -> Result<&Deployment, Failed> {
        deployment(self.config(), slug)
    }
}
