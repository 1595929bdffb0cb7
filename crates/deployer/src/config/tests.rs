//! The configuration as an operator meets it: files in a directory, an environment, and what comes out.

mod applications;
mod deployments;
mod errors;
mod layers;
mod opened;
mod original;
mod privileges;
mod secrets;
mod users;

use super::{Config, Deployment, Diagnostics, Environment, Loaded, Problem, Purpose, Severity};
use crate::base::names::Slug;
use crate::config::load;
use crate::plan::recipes::REFERENCE;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A secret that is fit for production, and easy to find where it must not be.
const GOOD_SECRET: &str = "canary-c5fa1a5a6d3b4d0b";

/// A working directory of its own, with a `config` in it.
struct TestHost {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl TestHost {
    /// With this default.toml, in development.
    fn new(default: &str) -> Self {
        let host = Self { directory: tempfile::tempdir().unwrap(), variables: Vec::new() };
        host.file("config/default.toml", default)
    }

    /// With a webhook secret, so that only the rest of the text can be wrong.
    fn signed(default: &str) -> Self {
        Self::new(default).variable("DEPLOYER_WEBHOOK_SECRET", GOOD_SECRET)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        self.mode(&path, 0o600)
    }

    fn mode(self, path: impl AsRef<Path>, mode: u32) -> Self {
        let path = self.directory.path().join(path);
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn load(&self) -> Result<Loaded, Diagnostics> {
        self.load_for(Purpose::Serve)
    }

    fn load_for(&self, purpose: Purpose) -> Result<Loaded, Diagnostics> {
        load(&REFERENCE, None, &Environment::new(self.variables.clone(), self.directory.path()), purpose)
    }

    /// What is said about a configuration that can be used.
    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }
}

/// A deployment of these further keys, called `x`.
pub fn deployment_of(more: &str) -> Deployment {
    let head = "[deployments.x]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/x\"\n";
    deployment(&TestHost::signed(&format!("{head}{more}")).loaded().config, "x").clone()
}

/// The deployment of that name.
fn deployment<'a>(config: &'a Config, slug: &str) -> &'a Deployment {
    &config.deployments[&Slug::parse(slug).unwrap()]
}

/// The names of those that are served.
fn slugs(config: &Config) -> Vec<&str> {
    config.deployments.keys().map(Slug::as_str).collect()
}

/// What is wrong, a problem a line, in the form `severity file:line:column [deployment] message -> help`.
fn brief(result: Result<Loaded, Diagnostics>) -> String {
    match result {
        Ok(loaded) => brief_of(&loaded.problems),
        Err(problems) => format!("refused\n{}", brief_of(&problems)),
    }
}

fn brief_of(problems: &Diagnostics) -> String {
    problems.problems().iter().map(brief_problem).collect::<Vec<_>>().join("\n")
}

fn brief_problem(problem: &Problem) -> String {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let place = problem.position.as_ref().map_or("-".to_owned(), |position| {
        let (line, column) = position.line_and_column();
        format!("{}:{line}:{column}", position.file().file_name().unwrap().to_string_lossy())
    });
    let deployment = problem.deployment.as_ref().map(|slug| format!(" [{slug}]")).unwrap_or_default();
    let help = problem.help.as_ref().map(|help| format!(" -> {help}")).unwrap_or_default();
    format!("{severity} {place}{deployment} {}{help}", problem.message)
}
