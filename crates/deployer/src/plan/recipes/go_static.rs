//! `go-static`: a client that is built to files, a Go server, or both.
//!
//! In a layout of releases both are built in the release and go live with the link `current`; what is served at a path that does
//! not follow `current` is made to (`publish`). In place, both are built beside what is live and exchanged with it.
//!
//! Deliberately absent: the files of the release before. A browser that holds an old page and asks for one of its hashed files after
//! the switch gets what the web server answers for a file that is not there (`docs/reference/recipes/go-static.md`).

mod settings;

use crate::config::recipe::Descriptor;
use crate::config::{CommandLine, Layout, Phase};
use crate::plan::Action;
use crate::plan::builder::{INSTALL_RETRIES, Part, UndoneBy};
use crate::plan::facts::{Facts, Target};
use crate::plan::proposal::{Evidence, Proposal, Subject, toml_list};
use crate::plan::recipe::Planner;
use crate::plan::recipes::systemd;
use crate::process::tools::go;
use crate::process::tools::node_packages::Installer;
use crate::steps::published_path::{self, Placement};
pub use settings::{GoStaticSettings, PUBLISH};
use std::path::{Path, PathBuf};

/// Files and a Go server, out of one repository.
#[derive(Debug)]
pub struct GoStatic;

impl Planner for GoStatic {
    fn descriptor(&self) -> &'static Descriptor {
        &settings::DESCRIPTOR
    }

    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        parts(facts, facts.settings(), release)
    }

    /// Where Python is installed beside them, the server may be another one.
    fn propose(&self, subject: &Subject<'_>) -> Option<Proposal> {
        let tree = subject.tree;
        let has_server = tree.has("go.mod") || tree.has("server/go.mod");
        let has_client = tree.text("client/package.json").is_some_and(|text| text.contains("\"vite\""));
        (has_server && has_client && !tree.has("uv.lock")).then(|| {
            let why = "It has a Go server and a client built by Vite.";
            Proposal::new(self.descriptor().name, Evidence::Stack, why)
                .comment("TODO: what keeps the server running.")
                .key("# units", toml_list(&[format!("{}.service", subject.slug)]))
        })
    }
}

/// Where a build is to write, in the operator's `client_build`.
const OUTPUT: &str = "{output}";

fn parts(facts: &Facts<'_>, recipe: &GoStaticSettings, release: &Target) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(client) = client(facts, recipe) {
        parts.extend(client_parts(facts, recipe, &client, release));
    }
    if let Some(server) = server(facts, recipe) {
        parts.extend(server_parts(facts, recipe, &server, release));
    }
    if facts.layout == Layout::Releases {
        parts.extend(recipe.publish.iter().map(|path| published(facts, path)));
    }
    parts.extend(processes(facts, recipe, release));
    parts
}

/// The client's directory, if there is a client.
fn client(facts: &Facts<'_>, recipe: &GoStaticSettings) -> Option<PathBuf> {
    let found = || {
        facts
            .tree
            .has(&format!("{}/package.json", GoStaticSettings::CLIENT))
            .then(|| GoStaticSettings::CLIENT.into())
    };
    recipe.client.clone().or_else(found)
}

/// The server's directory, if there is a server.
fn server(facts: &Facts<'_>, recipe: &GoStaticSettings) -> Option<PathBuf> {
    let is_go = |path: &str| Path::new(path).starts_with(GoStaticSettings::SERVER) && path.ends_with(".go");
    let found = || facts.tree.files().any(|(path, _)| is_go(path)).then(|| GoStaticSettings::SERVER.into());
    recipe.server.clone().or_else(found)
}

fn client_parts(facts: &Facts<'_>, recipe: &GoStaticSettings, client: &Path, release: &Target) -> Vec<Part> {
    let installer = installer(facts, client);
    let directory = release.directory.join(client);
    let output = Output::new(facts, &recipe.client_output, release);
    let program = |phase, name, line| {
        let cache = (installer.cache_variable(), facts.cache(installer.program()));
        let environment = [cache, ("npm_config_update_notifier", "false".into())];
        // What is served is not what was installed: nothing has to be installed or built again to go back.
        Part::of_program(facts, phase, name, line, &directory, environment).undone_by(UndoneBy::Nothing)
    };
    let mut parts = vec![program(Phase::Install, "client", installer.install()).retried(INSTALL_RETRIES)];
    parts.extend(output.clear());
    parts.push(program(Phase::Build, "client", client_build(facts, recipe, installer, &output)));
    parts.push(output.require());
    parts.extend(output.exchange());
    parts
}

/// In place the default has to say where to write, which it can only say to vite, in its script's last command.
fn client_build(
    facts: &Facts<'_>,
    recipe: &GoStaticSettings,
    installer: Installer,
    output: &Output,
) -> CommandLine {
    let place = output.built.to_string_lossy();
    match &recipe.client_build {
        Some(words) => CommandLine::Argv(words.iter().map(|word| word.replace(OUTPUT, &place)).collect()),
        None if facts.layout == Layout::InPlace => {
            installer.run("build", &["--outDir", &place, "--emptyOutDir"])
        }
        None => installer.run("build", &[]),
    }
}

fn installer(facts: &Facts<'_>, client: &Path) -> Installer {
    let has = |name: &str| facts.tree.has(&client.join(name).to_string_lossy());
    match (has("pnpm-lock.yaml"), has("package-lock.json")) {
        (true, _) => Installer::Pnpm,
        (_, true) => Installer::Npm,
        _ => Installer::NpmUnlocked,
    }
}

fn server_parts(facts: &Facts<'_>, recipe: &GoStaticSettings, server: &Path, release: &Target) -> Vec<Part> {
    let output = Output::new(facts, &recipe.server_binary, release);
    let is_vendored =
        |directory: &Path| facts.tree.has(&directory.join("vendor/modules.txt").to_string_lossy());
    let mode = if server.ancestors().any(is_vendored) { "vendor" } else { "readonly" };
    let environment = [
        ("GOFLAGS", format!("-mod={mode}")),
        ("GOCACHE", facts.cache("go-build")),
        ("GOMODCACHE", facts.cache("go-mod")),
    ];
    let directory = release.directory.join(server);
    let build =
        Part::of_program(facts, Phase::Build, "server", go::build(&output.built), &directory, environment);
    let mut parts: Vec<Part> = output.clear().into_iter().collect();
    parts.push(build.undone_by(UndoneBy::Nothing));
    parts.extend(output.exchange());
    parts
}

/// What a build makes: where it has to write it, and where it is served.
struct Output<'a> {
    facts: &'a Facts<'a>,
    /// Relative to the repository.
    path: &'a Path,
    built: PathBuf,
}

impl<'a> Output<'a> {
    fn new(facts: &'a Facts<'a>, path: &'a Path, release: &Target) -> Self {
        let built = match facts.layout {
            Layout::Releases => release.directory.join(path),
            Layout::InPlace => release.directory.join(published_path::beside(path)),
        };
        Self { facts, path, built }
    }

    /// A build adds to what it finds.
    fn clear(&self) -> Option<Part> {
        let clear = Placement::Clear { path: self.path.to_owned() };
        self.in_place(Part::new(Phase::Build, "clear", Action::Place(clear)).undone_by(UndoneBy::Nothing))
    }

    /// A build may succeed and have written somewhere else.
    fn require(&self) -> Part {
        let hint =
            "say in `client_output` where the build writes, or in `client_build` where it is to: `{output}`";
        let require = Placement::Require { path: self.built.clone(), hint: hint.to_owned() };
        Part::new(Phase::Build, "output", Action::Place(require)).undone_by(UndoneBy::Nothing)
    }

    fn exchange(&self) -> Option<Part> {
        let (path, run) = (self.path.to_owned(), self.facts.run.to_owned());
        let back = Placement::ExchangeBack { path: path.clone(), run: run.clone() };
        let exchange = Action::Place(Placement::Exchange { path, run });
        let part = Part::new(Phase::Switch, "exchange", exchange);
        self.in_place(part.undone_by(UndoneBy::By(Action::Place(back))))
    }

    fn in_place(&self, part: Part) -> Option<Part> {
        (self.facts.layout == Layout::InPlace).then_some(part)
    }
}

/// Makes a path of the live release be reached at the same place below the deployment's path. Where a work tree is adopted, it serves what it
/// has built at this very path.
pub fn published(facts: &Facts<'_>, path: &Path) -> Part {
    let path = || path.to_owned();
    let adopts = facts.live.as_ref().is_some_and(|live| live.directory == facts.deployment.path);
    let (placement, back) = match adopts {
        true => (
            Placement::Replace { path: path() },
            UndoneBy::By(Action::Place(Placement::Restore { path: path() })),
        ),
        false => (
            Placement::Publish { path: path() },
            UndoneBy::Again(Some(Action::Place(Placement::Unpublish { path: path() }))),
        ),
    };
    Part::new(Phase::Switch, "publish", Action::Place(placement)).undone_by(back)
}

/// What makes the new server run.
fn processes(facts: &Facts<'_>, recipe: &GoStaticSettings, release: &Target) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(restart) = &recipe.restart {
        let line = restart.clone();
        parts.push(Part::of_program(facts, Phase::Switch, "restart", line, &release.directory, []));
    }
    if recipe.units.is_empty() {
        return parts;
    }
    parts.extend(systemd::of_units(facts, recipe.units.clone(), false));
    parts
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    const KEYS: &str = "recipe = \"go-static\"\nunits = [\"jury.service\"]\n";
    const BOTH: [&str; 4] =
        ["client/package.json", "client/package-lock.json", "server/go.mod", "server/main.go"];

    #[test]
    fn a_release_is_built_and_goes_live_with_the_link() {
        let keys = format!("{KEYS}publish = [\"client/build\"]");
        insta::assert_snapshot!(sample::steps(&keys, Layout::Releases, &BOTH), @r"
        fetch export: export 2222222 to releases/2
        install client: [/srv/app/releases/2/client] npm ci --include=dev --no-audit --no-fund
        build client: [/srv/app/releases/2/client] npm run build
        build output: require /srv/app/releases/2/client/build
        build server: [/srv/app/releases/2/server] go build -trimpath -buildvcs=false -o /srv/app/releases/2/server/bin/server .
        switch activate: link current -> releases/2
          back: link current -> releases/1
          back: link client/build -> ../current/client/build
          back: systemctl --no-ask-password restart -- jury.service
        switch publish: link client/build -> ../current/client/build
        switch units: systemctl --no-ask-password restart -- jury.service
        verify running: look whether jury.service runs, and goes on running
        clean prune: remove releases that are no longer kept
        ");
    }

    #[test]
    fn in_place_both_are_built_beside_and_exchanged() {
        insta::assert_snapshot!(sample::steps(KEYS, Layout::InPlace, &BOTH), @r"
        fetch update-tree: bring the work tree to 2222222
          back: bring the work tree to 1111111
          back: systemctl --no-ask-password restart -- jury.service
        install client: [/srv/app/client] npm ci --include=dev --no-audit --no-fund
        build clear: remove client/.build.next
        build client: [/srv/app/client] npm run build -- --outDir /srv/app/client/.build.next --emptyOutDir
        build output: require /srv/app/client/.build.next
        build clear: remove server/bin/.server.next
        build server: [/srv/app/server] go build -trimpath -buildvcs=false -o /srv/app/server/bin/.server.next .
        switch exchange: exchange client/.build.next with client/build
          back: exchange client/.build.next with client/build back
        switch exchange: exchange server/bin/.server.next with server/bin/server
          back: exchange server/bin/.server.next with server/bin/server back
        switch units: systemctl --no-ask-password restart -- jury.service
        verify running: look whether jury.service runs, and goes on running
        ");
    }

    #[test]
    fn what_is_not_there_is_not_built() {
        let steps = |files: &[&str]| sample::steps("recipe = \"go-static\"", Layout::Releases, files);
        let built = |files: &[&str]| {
            let steps = steps(files);
            let lines = steps.lines().filter(|line| line.starts_with("build"));
            lines.map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(built(&["client/package.json"]), ["build client", "build output"]);
        assert_eq!(built(&["server/main.go", "client/readme"]), ["build server"]);
        assert_eq!(built(&["serverless/main.go"]), [""; 0]);
    }

    #[test]
    fn the_build_of_the_operators_is_told_where_to_write() {
        let keys = "recipe = \"go-static\"\nclient = \"web\"\nclient_output = \"web/dist\"\nclient_build = [\"make\", \"OUT={output}\"]";
        for (layout, expected) in [
            (
                Layout::Releases,
                "build client: [/srv/app/releases/2/web] make OUT=/srv/app/releases/2/web/dist",
            ),
            (Layout::InPlace, "build client: [/srv/app/web] make OUT=/srv/app/web/.dist.next"),
        ] {
            let steps = sample::steps(keys, layout, &["web/pnpm-lock.yaml"]);
            assert!(steps.contains(expected), "{steps}");
            assert!(steps.contains("pnpm install --frozen-lockfile"), "{steps}");
        }
    }

    #[test]
    fn vendored_modules_are_used() {
        let flags = |files: &[&str]| {
            sample::with_facts("recipe = \"go-static\"", Layout::Releases, files, |facts| {
                let plan = super::super::plan(facts);
                let build = plan.steps.iter().find(|step| step.phase == Phase::Build).unwrap();
                let Action::Command(command) = &build.action else { panic!("{build:?}") };
                command.environment["GOFLAGS"].clone()
            })
        };
        assert_eq!(flags(&["server/main.go"]), "-mod=readonly");
        assert_eq!(flags(&["server/main.go", "server/vendor/modules.txt"]), "-mod=vendor");
        assert_eq!(flags(&["server/main.go", "vendor/modules.txt"]), "-mod=vendor");
    }
}
