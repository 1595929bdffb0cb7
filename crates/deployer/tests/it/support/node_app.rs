//! The applications of `tests/fixtures` in a world: a repository, a deployment, and what a visitor is answered.

use super::configuration::{Deployment, text};
use super::http::Request;
use super::repository::Repository;
use super::servers::free_port;
use super::world::World;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One of them.
#[derive(Debug)]
pub struct NodeApp {
    pub repository: Repository,
    pub slug: &'static str,
    pub port: u16,
    /// What its steps tell, its database, and the like.
    pub aside: PathBuf,
}

impl NodeApp {
    /// A fixture, committed as the first commit of a repository of its own.
    pub fn of(world: &World, fixture: &str, slug: &'static str) -> Self {
        let repository = world.repository(&format!("acme/{slug}"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
        copy(&source, repository.work_tree());
        repository.commit(&[], "the fixture");
        let aside = world.root().join("aside").join(slug);
        fs_err::create_dir_all(&aside).expect("the world is writable");
        let app = Self { repository, slug, port: free_port(), aside };
        app.keep(world, "server/.env", "kept");
        app
    }

    /// `recipe = "pnpm-pm2"` for its `server`, with a health check.
    pub fn deployment(&self, world: &World) -> Deployment {
        let [told, database, jobs, gate] = ["told", "database", "jobs", "gate"].map(|name| self.aside(name));
        let environment = format!(
            "{{ PORT = \"{}\", TOLD = {told:?}, DATABASE = {database:?}, JOBS = {jobs:?}, GATE = {gate:?}, NODE_ENV = \"production\" }}",
            self.port
        );
        let health =
            format!("[{{ http = \"http://{}/\", attempts = 3, interval = \"200ms\" }}]", self.address());
        world
            .deployment(self.slug, &self.repository)
            .with("recipe", text("pnpm-pm2"))
            .with("packages", r#"["server"]"#)
            .with("migrate", r#"["migrate"]"#)
            .with("migrate_before", r#""build""#)
            .with("instance_name", text(self.slug))
            .with("shared_files", r#"["server/.env"]"#)
            .with("environment", environment)
            // Where its steps tell what they did.
            .with("writable", format!("[{}]", text(&self.aside.to_string_lossy())))
            .with("health", health)
    }

    /// Commits files, and gives the commit.
    #[track_caller]
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        self.repository.commit(files, "change")
    }

    /// Commits another version of the server, and gives the commit.
    #[track_caller]
    pub fn version(&self, version: &str) -> String {
        self.commit(&[("server/src/version.txt", version)])
    }

    /// What a visitor is answered.
    #[track_caller]
    pub fn answer(&self) -> Value {
        let answer = Request::new("GET", "/").send(&self.address());
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// The version that answers.
    #[track_caller]
    pub fn live_version(&self) -> String {
        self.answer()["version"].as_str().expect("a version").to_owned()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A file beside the deployment.
    pub fn aside(&self, name: &str) -> String {
        self.aside.join(name).to_string_lossy().into_owned()
    }

    /// What its steps have told, since the last time.
    pub fn told(&self) -> Vec<String> {
        let told = fs_err::read_to_string(self.aside("told")).unwrap_or_default();
        let _ = fs_err::remove_file(self.aside("told"));
        told.lines().map(str::to_owned).collect()
    }

    /// Writes what outlives releases.
    pub fn keep(&self, world: &World, name: &str, content: &str) {
        let path = world.path_of(self.slug).join("shared").join(name);
        fs_err::create_dir_all(path.parent().expect("below shared")).expect("the world is writable");
        fs_err::write(path, content).expect("the world is writable");
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs_err::read_dir(from).expect("the fixture is there") {
        let entry = entry.expect("it can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it has one").is_dir() {
            fs_err::create_dir_all(&target).expect("the world is writable");
            copy(&entry.path(), &target);
        } else {
            fs_err::copy(entry.path(), target).expect("the world is writable");
        }
    }
}
