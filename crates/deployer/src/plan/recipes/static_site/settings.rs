//! What an operator says of a `static` deployment.

use crate::config::keys::Default::Derived;
use crate::config::keys::{HOOK_STEP, Key, KeyKind};
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{inner_path, list};
use crate::config::recipe::{Descriptor, Recipe, Sample, Source};
use crate::config::resolve::steps::commands;
use crate::config::{Phase, StepCommand};
use crate::plan::recipes::go_static::PUBLISH;
use crate::plan::recipes::steps::programs;
use serde::Serialize;
use std::path::PathBuf;

/// In the recipe's own words.
pub static DESCRIPTOR: Descriptor = Descriptor {
    name: "static",
    meaning: "Files that a web server reads, built by a command or as they lie in the repository.",
    keys: &[
        Key::new(
            "build",
            KeyKind::Commands(&HOOK_STEP),
            Derived(
                "what `package.json` at the root says: its packages are installed and its script `build` is run; nothing where it has none",
            ),
            r#"["hugo", "--minify"]"#,
            "What makes the files, run in the release: a shell line, a program and its arguments, or a list of both. `[]`: nothing is built.",
        ),
        Key::new(
            "output",
            KeyKind::Path,
            Derived("`dist` where something is built, else the repository"),
            r#""public""#,
            "The directory of the files that are served; the web server's root is this below `<path>/current`. Relative to the repository. A run fails where it is not there after the build.",
        ),
        PUBLISH,
    ],
    read,
    sample: Sample {
        slug: "docs",
        repository: "example/docs",
        path: "/var/www/docs.example.org",
        required: &[],
    },
    presets: &[],
    needs_releases: Some(
        "a static site cannot be deployed in place: it would be served while it is being built",
    ),
    runs_as_deployer_because: None,
    digest_name: "static",
};

/// Files that a web server reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StaticSettings {
    /// What makes the files; empty: nothing. None: what the repository has.
    pub build: Option<Vec<StepCommand>>,
    /// The directory of the files. Relative to the repository. None: see [`StaticSettings::BUILT`].
    pub output: Option<PathBuf>,
    /// Paths of the release that are reached at the same place below the deployment's path.
    pub publish: Vec<PathBuf>,
}

impl StaticSettings {
    /// Where what is built comes to lie, where nothing is said.
    pub const BUILT: &str = "dist";
}

fn read(table: &TableReader<'_>, source: &Source<'_>) -> Recipe {
    let settings = StaticSettings {
        build: table.is_written("build").then(|| commands(table, "build", Phase::Build, source.path)),
        output: table.value("output", inner_path),
        publish: table.value("publish", list(inner_path)).unwrap_or_default(),
    };
    let steps = settings.build.clone().unwrap_or_default();
    Recipe {
        programs: programs(&steps),
        steps,
        published: settings.publish.clone(),
        ..Recipe::new(&DESCRIPTOR, settings)
    }
}
