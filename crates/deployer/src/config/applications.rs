//! What the recipes for whole applications need: [`UvUwsgi`] and [`GoStatic`].

use super::CommandLine;
use crate::base::names::UnitName;
use serde::Serialize;
use std::path::PathBuf;

/// A Python project of uv's, run by a vassal of uWSGI's emperor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UvUwsgi {
    /// The vassal's file, as the emperor sees it. Absolute.
    pub uwsgi_config_path: PathBuf,
    /// The file of the repository that a vassal's file that does not exist yet becomes a link to.
    pub uwsgi_config: Option<PathBuf>,
    /// What migrates; None: what the repository has; empty: nothing.
    pub migrate: Option<Vec<String>>,
    /// The Python that the virtual environment is made of; None: what the project asks for.
    pub python: Option<String>,
}

/// A client that is built to files, a Go server, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoStatic {
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

impl GoStatic {
    /// Where the client is, where nothing is said.
    pub const CLIENT: &str = "client";

    /// Where the server is, likewise.
    pub const SERVER: &str = "server";
}
