//! What an operator says of a `go-static` deployment, and what that asks of the host.

use crate::base::names::UnitName;
use crate::config::CommandLine;
use crate::config::keys::Default::Derived;
use crate::config::keys::{INSTANCE_NAME, Key, KeyKind, PATHS, TEXTS};
use crate::config::preset::Preset;
use crate::config::reading::diagnostics::Severity;
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{argv, boolean, inner_path, list};
use crate::config::recipe::{Descriptor, Recipe, Sample, Source, Starts};
use crate::config::resolve::units::units;
use crate::plan::recipes::systemd::{UNITS, USER_UNITS};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// For every recipe whose files somebody else serves.
pub const PUBLISH: Key = Key::new(
    "publish",
    PATHS,
    Derived("the preset's, else none"),
    r#"["client/build"]"#,
    "Paths of the release that are reached at the same place below `path` too, by a link into `current`: for an nginx whose `root` does not name `current`.",
);

pub static DESCRIPTOR: Descriptor = Descriptor {
    name: "go-static",
    meaning: "A client that is built to files, a Go server, or both.",
    keys: &[
        INSTANCE_NAME,
        Key::new(
            "client",
            KeyKind::Path,
            Derived("`client`, where it has a `package.json`"),
            r#""web""#,
            "The directory of the client. Relative to the repository.",
        ),
        Key::new(
            "client_build",
            TEXTS,
            Derived("the script `build`, by pnpm or npm as the lock file says"),
            r#"["npm", "run", "build", "--", "--outDir", "{output}"]"#,
            "What builds the client: program and arguments, run in its directory. `{output}` is replaced by where it is to write; in place that is beside what is being served.",
        ),
        Key::new(
            "client_output",
            KeyKind::Path,
            Derived("`build` in the client's directory"),
            r#""client/dist""#,
            "Where the build leaves what is served. Relative to the repository.",
        ),
        Key::new(
            "server",
            KeyKind::Path,
            Derived("`server`, where there is Go code in it"),
            r#""cmd/server""#,
            "The directory of the server's main package. Relative to the repository.",
        ),
        Key::new(
            "server_binary",
            KeyKind::Path,
            Derived("`bin/server` in the server's directory"),
            r#""server/jury""#,
            "Where the server's binary comes to lie. Relative to the repository.",
        ),
        Key::new(
            "restart",
            TEXTS,
            Derived("none"),
            r#"["supervisorctl", "restart", "jury"]"#,
            "Restarts the server if no unit does: program and arguments, run in the release after the switch, and again when the run is rolled back.",
        ),
        PUBLISH,
        UNITS,
        USER_UNITS,
    ],
    read,
    sample: Sample {
        slug: "jury",
        repository: "ducompsoc/durhack-jury",
        path: "/var/www/jury.durhack.com",
        required: &[],
    },
    presets: &[Preset {
        repository: "ducompsoc/durhack-jury",
        recipe: "go-static",
        shared_files: &["server/.env", "client/.env"],
        shared_dirs: &[],
        packages: &[],
        migrates_before_build: false,
        requires_instance_name: true,
        ports: &[3301],
    }],
    needs_releases: None,
    runs_as_deployer_because: None,
    digest_name: "go-static",
};

/// A client that is built to files, a Go server, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoStaticSettings {
    /// The client's directory; None: `client`, where there is one.
    pub client: Option<PathBuf>,
    /// What builds the client, run in its directory; None: its `build` script.
    pub client_build: Option<Vec<String>>,
    /// Where the build leaves what is served. Relative to the repository.
    pub client_output: PathBuf,
    /// The server's directory; None: `server`, where there is one.
    pub server: Option<PathBuf>,
    /// Where the server's binary comes to lie. Relative to the repository.
    pub server_binary: PathBuf,
    /// systemd units that run the server.
    pub units: Vec<UnitName>,
    /// The units are those of the deployer's own user.
    pub user: bool,
    /// What else makes the new server run.
    pub restart: Option<CommandLine>,
    /// Paths of the release that are reached at the same place below the deployment's path.
    pub publish: Vec<PathBuf>,
}

impl GoStaticSettings {
    /// Where the client is, where nothing is said.
    pub const CLIENT: &str = "client";

    /// Where the server is, likewise.
    pub const SERVER: &str = "server";
}

fn read(table: &TableReader<'_>, source: &Source<'_>) -> Recipe {
    let settings = settings(table, source.preset);
    let needed = [
        ("node", settings.client.is_some()),
        ("go", settings.server.is_some()),
        ("systemctl", !settings.units.is_empty()),
    ];
    let is_started = !settings.units.is_empty() || settings.restart.is_some();
    Recipe {
        programs: needed.iter().filter(|(_, is)| *is).map(|(program, _)| (*program).to_owned()).collect(),
        units: settings.units.clone(),
        has_user_units: settings.user,
        published: settings.publish.clone(),
        starts: if is_started { Starts::Program } else { Starts::Unstarted },
        ..Recipe::new(&DESCRIPTOR, settings)
    }
}

fn settings(table: &TableReader<'_>, preset: Option<&Preset>) -> GoStaticSettings {
    let client = table.value("client", inner_path);
    let server = table.value("server", inner_path);
    let below = |directory: &Option<PathBuf>, default: &str, path: &str| {
        directory.clone().unwrap_or_else(|| default.into()).join(path)
    };
    let client_output = table
        .value("client_output", inner_path)
        .unwrap_or_else(|| below(&client, GoStaticSettings::CLIENT, "build"));
    let server_binary = table
        .value("server_binary", inner_path)
        .unwrap_or_else(|| below(&server, GoStaticSettings::SERVER, "bin/server"));
    let restart = table.value("restart", argv);
    // Asked for here it would be missing: it is required where units are all that runs the release.
    let units = if table.is_written("units") { units(table) } else { Vec::new() };
    if let Some(preset) = preset.filter(|_| units.is_empty() && restart.is_none()) {
        let message = format!("the server of {} is built, but nothing restarts it", preset.repository);
        let help = "name what runs it: `units = [\"jury.service\"]`, or a `restart` command";
        table.report_at_header(Severity::Note, message, help);
    }
    GoStaticSettings {
        client_build: table.value("client_build", argv).map(|line: CommandLine| line.argv()),
        user: table.value("user_units", boolean).unwrap_or_default(),
        publish: publish(table, preset, &client_output),
        client,
        client_output,
        server,
        server_binary,
        units,
        restart,
    }
}

/// The site file of the one preset names the client's output below the deployment's path, not below `current`.
fn publish(table: &TableReader<'_>, preset: Option<&Preset>, client_output: &Path) -> Vec<PathBuf> {
    match preset {
        Some(preset) if !table.is_written("publish") => {
            let shown = vec![client_output.to_string_lossy().into_owned()];
            table.show_derived("publish", shown, &preset.origin());
            vec![client_output.to_owned()]
        }
        _ => table.value("publish", list(inner_path)).unwrap_or_default(),
    }
}
