//! What a recipe says of itself, and what a deployment's recipe asks of its host.
//!
//! The configuration defines what a recipe can say, and is handed the recipes by whoever loads it: they are written in
//! `plan/recipes/`, above everything that they use. So a recipe lies in one place, and nothing in here knows one by its name. What
//! other parts of the program want to know of a deployment's recipe (its units, its programs, whether PM2 keeps it) is a field of
//! [`Recipe`], which the recipe fills when its keys are read; they never ask which recipe it is.

use crate::base::names::{RepositoryName, UnitName};
use crate::config::StepCommand;
use crate::config::keys::{DEPLOYMENT, Key, KeyKind, ROOT, Section};
use crate::config::preset::Preset;
use crate::config::reading::reader::TableReader;
use serde::Serialize;
use std::any::Any;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is the same of a recipe for every deployment.
#[derive(Debug)]
pub struct Descriptor {
    /// As an operator writes it.
    pub name: &'static str,
    /// In one line, for whoever chooses.
    pub meaning: &'static str,
    /// Its own keys of a deployment, beside those that every deployment may have.
    pub keys: &'static [Key],
    /// Reads these keys.
    pub read: fn(&TableReader<'_>, &Source<'_>) -> Recipe,
    /// The deployment in `config/example.toml`.
    pub sample: Sample,
    /// Repositories of which everything is known, so that their deployments need not name the recipe.
    pub presets: &'static [Preset],
    /// Why it cannot be deployed in place. `None`: it can.
    pub needs_releases: Option<&'static str>,
    /// Why it is built and run as the deployer itself, and what to do where another user is written. `None`: a deployment has a user of its
    /// own.
    pub runs_as_deployer_because: Option<(&'static str, &'static str)>,
    /// What its settings are called in the digests of releases that are stored.
    pub digest_name: &'static str,
}

/// A deployment as the example shows it.
#[derive(Debug)]
pub struct Sample {
    /// The deployment's name.
    pub slug: &'static str,
    /// The repository of the example, as `owner/name`.
    pub repository: &'static str,
    /// Where it is deployed to.
    pub path: &'static str,
    /// Keys that must be written although the reference does not require them, and their values.
    pub required: &'static [(&'static str, &'static str)],
}

/// Where a recipe's keys come from, beside the table itself.
#[derive(Debug)]
pub struct Source<'a> {
    /// What is known of the repository, where the deployment names no recipe.
    pub preset: Option<&'static Preset>,
    /// The deployment's `path`, to which its files are relative.
    pub path: &'a Path,
}

impl Source<'_> {
    /// What `config show` names as the origin of a value of the preset's.
    pub fn origin(&self) -> String {
        self.preset.map(Preset::origin).unwrap_or_default()
    }
}

/// The settings of one recipe, which only its own plan reads.
pub trait Settings: Any + Debug + Send + Sync {
    /// For digests of releases: every setting of which a release depends.
    fn json(&self) -> String;
}

impl<T: Any + Debug + Send + Sync + Serialize> Settings for T {
    fn json(&self) -> String {
        serde_json::to_string(self).expect("settings serialise")
    }
}

/// The recipe of a deployment, resolved: its settings, and what they ask of the host.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Which one it is.
    pub descriptor: &'static Descriptor,
    /// Its settings: [`Recipe::settings()`].
    pub settings: Arc<dyn Settings>,
    /// Commands of the operator's, in the order written inside each phase.
    pub steps: Vec<StepCommand>,
    /// Programs that a run calls, by name or absolute path, as far as the configuration tells.
    pub programs: Vec<String>,
    /// The units that a run restarts.
    pub units: Vec<UnitName>,
    /// Whether these are units of the deployer's own user.
    pub has_user_units: bool,
    /// What keeps its processes running, if a program of its own does.
    pub kept_by: Option<ProcessKeeper>,
    /// Sites for the host's nginx. `None`: the recipe installs none.
    pub sites: Option<Sites>,
    /// Paths of a release that are reached at the same place below the deployment's path, too.
    pub published: Vec<PathBuf>,
    /// What a run starts that goes on running.
    pub starts: Starts,
}

/// What keeps processes running, beside systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessKeeper {
    /// PM2 of the deployment's user.
    Pm2,
    /// The emperor of uWSGI.
    UwsgiEmperor,
}

/// What a deployment's sites ask of the host's nginx.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sites {
    /// The names under which they are reached, as far as the configuration tells.
    pub domains: Vec<String>,
    /// What site files may say beside the closed list.
    pub allowed: Vec<String>,
}

/// What a run starts that goes on running, and may find its port taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starts {
    /// Nothing: whoever serves its files listens already.
    Nothing,
    /// What the operator's commands of the switch start, if there are any.
    WhatCommandsStart,
    /// A program that the recipe has started.
    Program,
    /// A program that the recipe makes, and somebody else may start.
    Unstarted,
}

impl Recipe {
    /// A recipe with these settings that asks nothing of the host.
    pub fn new(descriptor: &'static Descriptor, settings: impl Settings) -> Self {
        Self {
            descriptor,
            settings: Arc::new(settings),
            steps: Vec::new(),
            programs: Vec::new(),
            units: Vec::new(),
            has_user_units: false,
            kept_by: None,
            sites: None,
            published: Vec::new(),
            starts: Starts::Nothing,
        }
    }

    /// As an operator writes it.
    pub fn name(&self) -> &'static str {
        self.descriptor.name
    }

    /// Its settings, if they are of this type.
    pub fn settings<T: Settings>(&self) -> Option<&T> {
        let settings: &dyn Any = &*self.settings;
        settings.downcast_ref()
    }

    /// Its name and settings, for digests of releases.
    pub fn written(&self) -> String {
        format!("{{{:?}:{}}}", self.descriptor.digest_name, self.settings.json())
    }

    /// The units of the whole host that a run restarts: those for which it needs root.
    pub fn system_units(&self) -> &[UnitName] {
        if self.has_user_units { &[] } else { &self.units }
    }

    /// Whether PM2 keeps its processes.
    pub fn is_under_pm2(&self) -> bool {
        self.kept_by == Some(ProcessKeeper::Pm2)
    }
}

/// Everything that may be written in a configuration: what every deployment knows, and the recipes with their keys.
#[derive(Debug)]
pub struct Reference {
    /// The top of the configuration.
    pub root: &'static Section,
    /// In the order in which they are shown. The first is what a deployment has that names none.
    pub recipes: Vec<&'static Descriptor>,
}

impl Reference {
    /// Of these recipes. It lives as long as the program, and so does what it is made of: it is made once.
    pub fn new(recipes: Vec<&'static Descriptor>) -> Self {
        let deployment: &'static Section = Box::leak(Box::new(deployment_with(&recipes)));
        let with_recipes = |key: &Key| match key.kind {
            KeyKind::Named(placeholder, _) if key.name == "deployments" => {
                Key { kind: KeyKind::Named(placeholder, deployment), ..*key }
            }
            _ => *key,
        };
        let keys: Vec<Key> = ROOT.keys.iter().map(with_recipes).collect();
        let root = Box::leak(Box::new(Section { meaning: ROOT.meaning, keys: keys.leak() }));
        Self { root, recipes }
    }

    /// The recipe of that name.
    pub fn recipe(&self, name: &str) -> Option<&'static Descriptor> {
        self.recipes.iter().copied().find(|recipe| recipe.name == name)
    }

    /// What a deployment has that names none.
    pub fn default_recipe(&self) -> &'static Descriptor {
        self.recipes.first().copied().expect("there are recipes")
    }

    /// What is known of a repository, and the recipe that knows it. GitHub does not distinguish case in names.
    pub fn preset(&self, repository: &RepositoryName) -> Option<&'static Preset> {
        let presets = self.recipes.iter().flat_map(|recipe| recipe.presets);
        let mut presets =
            presets.filter(|preset| preset.repository.eq_ignore_ascii_case(repository.as_str()));
        presets.next()
    }
}

/// The keys of a deployment. Those that several recipes have in the same words are one key of theirs.
fn deployment_with(recipes: &[&'static Descriptor]) -> Section {
    let mut own: Vec<(Key, Vec<&'static str>)> = Vec::new();
    for recipe in recipes {
        for key in recipe.keys {
            match own.iter_mut().find(|(other, _)| other.is_same(key)) {
                Some((_, names)) => names.push(recipe.name),
                None => own.push((*key, vec![recipe.name])),
            }
        }
    }
    let names = |recipes: &[&'static Descriptor]| -> &'static [&'static str] {
        recipes.iter().map(|recipe| recipe.name).collect::<Vec<_>>().leak()
    };
    let common = DEPLOYMENT.keys.iter().map(|key| match key.name {
        "recipe" => Key { kind: KeyKind::Choice(names(recipes)), ..*key },
        _ => *key,
    });
    let own = own.into_iter().map(|(key, names)| Key { recipes: names.leak(), ..key });
    Section { meaning: DEPLOYMENT.meaning, keys: common.chain(own).collect::<Vec<_>>().leak() }
}
