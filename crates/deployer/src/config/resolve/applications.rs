//! The keys of `uv-uwsgi` and `go-static`.

use super::deployment::units;
use super::preset::Preset;
use crate::config::reading::diagnostics::Severity;
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{absolute_path, argv, boolean, filled_text, inner_path, list, text};
use crate::config::{CommandLine, GoStatic, UvUwsgi};
use std::path::{Path, PathBuf};

/// Reads what the recipe `uv-uwsgi` needs of a deployment's table.
pub fn uv_uwsgi(table: &TableReader<'_>) -> UvUwsgi {
    if !table.is_written("uwsgi_config_path") {
        table.missing("uwsgi_config_path");
    }
    UvUwsgi {
        uwsgi_config_path: table.value("uwsgi_config_path", absolute_path).unwrap_or_default(),
        uwsgi_config: table.value("uwsgi_config", inner_path),
        // An empty list is an answer here: there is nothing to migrate.
        migrate: table.value("migrate", list(text)),
        python: table.value("python", filled_text),
    }
}

/// Reads what the recipe `go-static` needs of a deployment's table.
pub fn go_static(table: &TableReader<'_>, preset: Option<&Preset>) -> GoStatic {
    let client = table.value("client", inner_path);
    let server = table.value("server", inner_path);
    let below = |directory: &Option<PathBuf>, default: &str, path: &str| {
        directory.clone().unwrap_or_else(|| default.into()).join(path)
    };
    let client_output =
        table.value("client_output", inner_path).unwrap_or_else(|| below(&client, GoStatic::CLIENT, "build"));
    let server_binary = table
        .value("server_binary", inner_path)
        .unwrap_or_else(|| below(&server, GoStatic::SERVER, "bin/server"));
    let restart = table.value("restart", argv);
    // Asked for here it would be missing: it is required where units are all that runs the release.
    let units = if table.is_written("units") { units(table) } else { Vec::new() };
    if let Some(preset) = preset.filter(|_| units.is_empty() && restart.is_none()) {
        let message = format!("the server of {} is built, but nothing restarts it", preset.repository);
        let help = "name what runs it: `units = [\"jury.service\"]`, or a `restart` command";
        table.report_at_header(Severity::Note, message, help);
    }
    GoStatic {
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
            table.show_derived("publish", shown, &format!("preset of {}", preset.repository));
            vec![client_output.to_owned()]
        }
        _ => table.value("publish", list(inner_path)).unwrap_or_default(),
    }
}
