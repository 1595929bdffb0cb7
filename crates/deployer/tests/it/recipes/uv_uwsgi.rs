//! `uv-uwsgi`: real uv, alembic on a real PostgreSQL, uWSGI's emperor, and nginx in front of it.

use crate::plan::deploy_as_planned;
use crate::support::configuration::{Deployment, text};
use crate::support::http::Request;
use crate::support::postgres::Postgres;
use crate::support::process::command;
use crate::support::repository::Repository;
use crate::support::servers::{AUTHORITIES, Nginx, Server, cache, testbed, way_out};
use crate::support::visitors::Visitors;
use crate::support::wait;
use crate::support::world::World;
use rustix::process::Signal;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const PROJECT: &str = include_str!("../../fixtures/uv-uwsgi/pyproject.toml");
const LOCK: &str = include_str!("../../fixtures/uv-uwsgi/uv.lock");
const PROJECT_WITH_DEPENDENCY: &str = include_str!("../../fixtures/uv-uwsgi/with-iniconfig/pyproject.toml");
const LOCK_WITH_DEPENDENCY: &str = include_str!("../../fixtures/uv-uwsgi/with-iniconfig/uv.lock");

const ALEMBIC: &str = "[alembic]\nscript_location = migrations\n";
const ENVIRONMENT: &str = r#"
import os
from alembic import context
from sqlalchemy import create_engine

url = os.environ["DATABASE_URL"].replace("postgres://", "postgresql+psycopg://")
with create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"#;

/// Redeploys under constant requests.
const REDEPLOYS: usize = 20;

/// Which vassals an emperor watches, and how its file lies there.
#[derive(Debug, Clone, Copy)]
enum Emperor {
    /// A directory, following links.
    Directory,
    /// A directory, looking at links themselves.
    Nofollow,
    Pattern,
}

/// A host that has everything but a release.
struct Stage {
    repository: Repository,
    vassals: PathBuf,
    path: PathBuf,
    socket: PathBuf,
    nginx: Nginx,
    _emperor: Server,
}

impl Stage {
    fn set(world: &mut World, emperor: Emperor) -> Self {
        world.confine();
        let repository = world.repository("acme/tickets");
        let root = world.root().to_owned();
        let (vassals, socket) = (root.join("vassals"), root.join("tickets.sock"));
        fs_err::create_dir_all(&vassals).expect("the world is writable");
        let mut uwsgi = command("uwsgi", &root);
        uwsgi.args(["--emperor-freq", "1", "--emperor"]).current_dir(&root);
        match emperor {
            Emperor::Directory => uwsgi.arg(&vassals),
            Emperor::Nofollow => uwsgi.arg(&vassals).arg("--emperor-nofollow"),
            Emperor::Pattern => uwsgi.arg(vassals.join("*.ini")),
        };
        let emperor = Server::start(uwsgi, Signal::INT, &root.join("uwsgi.log"));
        let pass = format!(
            "location / {{ include /etc/nginx/uwsgi_params; uwsgi_pass unix:{}; }}",
            socket.display()
        );
        let nginx = Nginx::start(&root, &pass);
        world
            .settings
            .set("executable_search_paths", format!("[{}]", text(&testbed("pip/bin").to_string_lossy())));
        let path = world.path_of("tickets");
        Self { repository, vassals, path, socket, nginx, _emperor: emperor }
    }

    fn vassal(&self) -> PathBuf {
        self.vassals.join("tickets.ini")
    }

    /// What the vassal's file says for an application in this directory.
    fn ini(&self, directory: &Path) -> String {
        let (directory, socket) = (directory.display(), self.socket.display());
        format!(
            "[uwsgi]\nplugin = python3\nmaster = true\nprocesses = 2\nneed-app = true\nlisten = 1024\n\
             chdir = {directory}\nvirtualenv = .venv\nmodule = app\nsocket = {socket}\n"
        )
    }

    fn deployment(&self, world: &World) -> Deployment {
        let cache = text(&cache("uv-cache").to_string_lossy());
        world
            .deployment("tickets", &self.repository)
            .with("recipe", "\"uv-uwsgi\"")
            .with("uwsgi_config_path", text(&self.vassal().to_string_lossy()))
            .with("python", "\"/usr/bin/python3\"")
            .with("writable", format!("[{cache}]"))
            .with(
                "environment",
                format!("{{ UV_CACHE_DIR = {cache}, SSL_CERT_FILE = \"{AUTHORITIES}\"{} }}", way_out()),
            )
            .with(
                "health",
                format!(
                    "[{{ http = \"http://{}/\", attempts = 3, interval = \"500ms\" }}]",
                    self.nginx.address
                ),
            )
    }

    /// The application, saying this.
    fn commit(&self, says: &str, more: &[(&str, &str)]) -> String {
        let application = application(says);
        let mut files =
            vec![("app.py", application.as_str()), ("pyproject.toml", PROJECT), ("uv.lock", LOCK)];
        files.extend(more);
        self.repository.commit(&files, says)
    }

    /// What a visitor reads.
    #[track_caller]
    fn page(&self) -> String {
        let answer = Request::new("GET", "/").send(&self.nginx.address);
        assert_eq!(answer.status, 200, "{answer:?}");
        String::from_utf8_lossy(&answer.body).into_owned()
    }

    /// Pushes what must fail, for this cause, and leave what is live alone.
    #[track_caller]
    fn fails(&self, world: &World, commit: &str, cause: &str, still: &str) {
        world.push(&self.repository, commit);
        let run = world.ended_run("tickets", commit);
        assert_eq!(run.state, "failed", "{run:?}");
        let said = world.reported(&self.repository, commit).description;
        assert!(said.contains(cause), "{said:?}");
        assert!(!said.contains("undoing it"), "{said:?}");
        assert_eq!(self.page(), still, "the old release answers");
    }
}

fn application(says: &str) -> String {
    let status = if says.starts_with("ill") { "500 Ill" } else { "200 OK" };
    format!(
        r#"
try:
    import iniconfig
    more = b" with iniconfig"
except ImportError:
    more = b""

def application(environ, start_response):
    body = b"{says}" + more
    start_response("{status}", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"#
    )
}

fn migration(number: u32, statement: &str) -> String {
    let before = if number == 1 { "None".into() } else { format!("\"{}\"", number - 1) };
    format!(
        "from alembic import op\nrevision = \"{number}\"\ndown_revision = {before}\n\n\
         def upgrade():\n    op.execute(\"{statement}\")\n"
    )
}

#[test]
fn from_nothing_through_all_that_can_happen() {
    let postgres = Postgres::start().expect("the tests of recipes need PostgreSQL");
    let url = postgres.create_database("tickets");
    World::run(|world| {
        let stage = Stage::set(world, Emperor::Directory);
        let path = stage.path.clone();
        fs_err::create_dir_all(path.join("shared")).unwrap();
        fs_err::write(path.join("shared/.env"), format!("DATABASE_URL={url}\n")).unwrap();
        // The vassal's file is the repository's own, behind a link that the first switch makes. Workers that never come are not waited for
        // as long as in production.
        let deployment = stage
            .deployment(world)
            .with("uwsgi_config", "\"uwsgi.ini\"")
            .with("env_file", "\"shared/.env\"")
            .with("step_timeout", "\"45s\"");
        world.configure(&[deployment]);
        world.start();

        // A first release that is ill leaves nothing behind, not even the vassal.
        let ini = stage.ini(&path.join("current"));
        let first = migration(1, "CREATE TABLE tickets (name text)");
        let files = [
            ("uwsgi.ini", ini.as_str()),
            ("alembic.ini", ALEMBIC),
            ("migrations/env.py", ENVIRONMENT),
            ("migrations/versions/1.py", &first),
        ];
        let ill = stage.commit("ill at first", &files);
        world.push(&stage.repository, &ill);
        assert_eq!(world.ended_run("tickets", &ill).state, "failed");
        assert!(stage.vassal().symlink_metadata().is_err(), "what we made has gone");
        assert!(path.join("current").symlink_metadata().is_err());

        let one = stage.commit("one", &[]);
        world.deploy("tickets", &stage.repository, &one);
        assert_eq!(stage.page(), "one");
        assert_eq!(fs_err::read_link(stage.vassal()).unwrap(), path.join("current/uwsgi.ini"));
        postgres.execute("tickets", "INSERT INTO tickets (name) VALUES ('first')");

        let prose = stage
            .repository
            .commit(&[("README.md", "Read me."), (".github/workflows/ci.yml", "on: push")], "prose");
        world.push(&stage.repository, &prose);
        assert_eq!(world.ended_run("tickets", &prose).state, "skipped", "nobody runs prose");

        // A change, a migration, a change of dependencies.
        let second = migration(2, "ALTER TABLE tickets ADD COLUMN seat integer");
        let two = stage.commit("two", &[("migrations/versions/2.py", &second)]);
        deploy_as_planned(world, "tickets", &stage.repository, &two);
        assert_eq!(stage.page(), "two");
        postgres.execute("tickets", "INSERT INTO tickets (name, seat) VALUES ('second', 2)");
        let with = [("pyproject.toml", PROJECT_WITH_DEPENDENCY), ("uv.lock", LOCK_WITH_DEPENDENCY)];
        let three = stage.commit("three", &with);
        world.deploy("tickets", &stage.repository, &three);
        assert_eq!(stage.page(), "three with iniconfig");
        let release = fs_err::canonicalize(path.join("current")).unwrap();
        assert_eq!(fs_err::read_to_string(release.join("uv.lock")).unwrap(), LOCK_WITH_DEPENDENCY, "frozen");

        // What fails, fails before anything is switched, or is undone.
        let unlocked =
            stage.commit("unlocked", &[("pyproject.toml", PROJECT_WITH_DEPENDENCY), ("uv.lock", "nonsense")]);
        stage.fails(world, &unlocked, "uv-sync", "three with iniconfig");
        let broken = migration(3, "CREATE TABLE tickets (again text)");
        let broken = stage.commit("four", &[with[0], with[1], ("migrations/versions/3.py", &broken)]);
        stage.fails(world, &broken, "already exists", "three with iniconfig");
        stage.repository.git(&["rm", "-q", "migrations/versions/3.py"]);
        stage.repository.git(&["rm", "-q", "uwsgi.ini"]);
        let homeless = stage.commit("homeless", &with);
        stage.fails(world, &homeless, "install (vassal): there is nothing at", "three with iniconfig");
        fs_err::write(stage.repository.work_tree().join("uwsgi.ini"), &ini).unwrap();
        let ill = stage.commit("ill", &with);
        stage.fails(world, &ill, "500", "three with iniconfig");
        let raises = stage.repository.commit(&[("app.py", "raise RuntimeError(\"not today\")\n")], "raises");
        stage.fails(world, &raises, "uwsgi", "three with iniconfig");

        // And back.
        let output = world.cli(&["rollback", "tickets"]);
        assert!(output.status.success(), "{output:?}");
        wait::until("the release before to answer", || (stage.page() == "two").then_some(()));
        wait::until_told("the rollback to end", || {
            world.runs("tickets").iter().all(|run| run.is_final()).then_some(())
        });
        let four = stage.commit("four", &with);
        world.deploy("tickets", &stage.repository, &four);
        assert_eq!(stage.page(), "four with iniconfig");
    });
}

/// Without a database, and with a vassal's file that somebody else wrote.
fn with_file(emperor: Emperor, linked: bool, test: impl FnOnce(&mut World, &Stage)) {
    World::run(|world| {
        let stage = Stage::set(world, emperor);
        let ini = stage.ini(&stage.path.join("current"));
        world.configure(&[stage.deployment(world)]);
        let one = stage.commit("one", &[]);
        let file = if linked { world.root().join("tickets.ini") } else { stage.vassal() };
        world.start();
        world.push(&stage.repository, &one);
        let ended = world.ended_run("tickets", &one);
        assert_eq!(ended.state, "failed", "{ended:?}");
        let said = world.reported(&stage.repository, &one).description;
        assert!(said.contains("install (vassal): there is nothing at"), "{said:?}");
        fs_err::write(&file, ini).expect("the world is writable");
        if linked {
            symlink("../tickets.ini", stage.vassal()).expect("the world is writable");
        }
        let two = stage.commit("two", &[]);
        world.deploy("tickets", &stage.repository, &two);
        assert_eq!(stage.page(), "two");
        test(world, &stage);
    });
}

/// Whatever time the emperor saw last, and however short ago, the next release is seen to be younger.
#[track_caller]
fn reloads_however_young(world: &World, stage: &Stage) {
    for (says, ahead_seconds) in [("three", 0), ("four", 5_000)] {
        let age = |follow: bool| {
            let found = if follow {
                fs_err::metadata(stage.vassal())
            } else {
                fs_err::symlink_metadata(stage.vassal())
            };
            found.expect("the file is there").mtime()
        };
        let seen = age(true).max(age(false)) + ahead_seconds;
        for option in ["--no-dereference", "-c"] {
            let mut touch = command("touch", world.root());
            let at = format!("--date=@{seen}");
            crate::support::process::succeed(touch.args([option, at.as_str()]).arg(stage.vassal()));
        }
        let commit = stage.commit(says, &[]);
        world.deploy("tickets", &stage.repository, &commit);
        assert_eq!(stage.page(), says);
        assert!(age(true) > seen && age(false) > seen, "{seen} {} {}", age(true), age(false));
    }
}

#[test]
fn an_emperor_that_follows_links_sees_each_release() {
    with_file(Emperor::Directory, true, |world, stage| reloads_however_young(world, stage));
}

#[test]
fn an_emperor_that_does_not_follow_links_sees_each_release() {
    with_file(Emperor::Nofollow, true, |world, stage| reloads_however_young(world, stage));
}

#[test]
fn an_emperor_with_a_pattern_sees_each_release_by_a_plain_file() {
    with_file(Emperor::Pattern, false, |world, stage| reloads_however_young(world, stage));
}

/// It would be a master whose worker never goes: the reload would wait for it in vain.
#[test]
fn a_strangers_process_with_the_same_arguments_is_no_vassal() {
    with_file(Emperor::Directory, false, |world, stage| {
        let script = "sleep 600 & trap \"kill $!\" TERM; wait";
        let mut stranger = command("setpriv", world.root());
        stranger
            .args(["--reuid=65534", "--clear-groups", "--", "sh", "-c", script, "uwsgi", "--ini"])
            .arg(stage.vassal());
        let _stranger = Server::start(stranger, Signal::TERM, &world.root().join("stranger.log"));
        let three = stage.commit("three", &[]);
        world.deploy("tickets", &stage.repository, &three);
        assert_eq!(stage.page(), "three");
    });
}

#[test]
fn twenty_redeploys_lose_no_request() {
    with_file(Emperor::Directory, true, |world, stage| {
        let visitors = Visitors::come(&stage.nginx.address, &["/"]);
        for number in 0..REDEPLOYS {
            let says = format!("redeploy {number}");
            let commit = stage.commit(&says, &[]);
            world.deploy("tickets", &stage.repository, &commit);
            assert_eq!(stage.page(), says);
        }
        let seen = visitors.leave();
        eprintln!("uv-uwsgi, {REDEPLOYS} redeploys: {seen}");
        assert_eq!(seen.failures, 0, "{:?}", seen.described);
        assert_eq!(
            seen.pages.len(),
            REDEPLOYS + 1,
            "each release, and once gone none again: {:?}",
            seen.pages
        );
    });
}

#[test]
fn a_first_release_that_is_ill_does_not_go_on_running_under_somebody_elses_file() {
    World::run(|world| {
        let stage = Stage::set(world, Emperor::Directory);
        fs_err::write(stage.vassal(), stage.ini(&stage.path.join("current"))).unwrap();
        world.configure(&[stage.deployment(world)]);
        world.start();
        let ill = stage.commit("ill", &[]);
        world.push(&stage.repository, &ill);
        assert_eq!(world.ended_run("tickets", &ill).state, "failed");
        assert!(stage.vassal().exists(), "it is not ours to remove");
        wait::until("nobody to answer for it", || {
            let answer = Request::new("GET", "/").send(&stage.nginx.address);
            (answer.status == 502).then_some(())
        });
        let one = stage.commit("one", &[]);
        world.deploy("tickets", &stage.repository, &one);
        assert_eq!(stage.page(), "one");
    });
}

#[test]
fn a_file_that_is_somebody_elses_is_an_error_and_processes_that_are_are_not() {
    World::run(|world| {
        let stage = Stage::set(world, Emperor::Directory);
        // The checkout may lie where nobody may enter.
        let tools = world.root().join("tools");
        fs_err::create_dir(&tools).unwrap();
        fs_err::copy(testbed("pip/bin/uv"), tools.join("uv")).unwrap();
        world.settings.set("executable_search_paths", format!("[{}]", text(&tools.to_string_lossy())));
        // Nobody's own cache: the default, below the deployment's path.
        world.configure(&[stage
            .deployment(world)
            .with("environment", format!("{{ SSL_CERT_FILE = \"{AUTHORITIES}\"{} }}", way_out()))]);
        world.drop_privileges();
        let one = stage.commit("one", &[]);
        world.start();
        fs_err::write(stage.vassal(), stage.ini(&stage.path.join("current"))).unwrap();
        world.push(&stage.repository, &one);
        assert_eq!(world.ended_run("tickets", &one).state, "failed");
        let said = world.reported(&stage.repository, &one).description;
        assert!(said.contains("cannot be touched: it belongs to user 0"), "{said:?}");

        // Who may write a file may set its time to now, and to nothing else.
        fs_err::set_permissions(stage.vassal(), std::fs::Permissions::from_mode(0o666)).unwrap();
        let output = world.cli(&["deploy", "tickets"]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(stage.page(), "one");
        let run = world.ended_run("tickets", &one);
        let log = world.cli(&["logs", &run.id]);
        assert!(String::from_utf8_lossy(&log.stdout).contains("they are another user's"), "{log:?}");
        assert!(stage.path.join(".cache/uv").is_dir());
    });
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_between_link_and_reload() {
    with_file(Emperor::Directory, false, |world, stage| {
        assert!(world.stop().success());
        world.environment.push(("DEPLOYER_CRASH_AT".into(), "link-moved:1".into()));
        world.start();
        let visitors = Visitors::come(&stage.nginx.address, &["/"]);
        let three = stage.commit("three", &[]);
        world.push(&stage.repository, &three);
        wait::until("the daemon to die", || world.has_died().then_some(()));
        world.environment.pop();
        world.start();
        wait::until("the next run to make it live", || (stage.page() == "three").then_some(()));
        world.settled("tickets", 4);
        let four = stage.commit("four", &[]);
        world.deploy("tickets", &stage.repository, &four);
        assert_eq!(stage.page(), "four");
        let seen = visitors.leave();
        assert_eq!(seen.failures, 0, "{:?}", seen.described);
    });
}

#[test]
fn in_place_the_work_tree_is_what_runs() {
    World::run(|world| {
        let stage = Stage::set(world, Emperor::Directory);
        fs_err::write(stage.vassal(), stage.ini(&stage.path)).unwrap();
        let deployment = stage.deployment(world).with("layout", "\"in-place\"");
        world.configure(&[deployment]);
        world.start();
        let one = stage.commit("one", &[]);
        world.deploy("tickets", &stage.repository, &one);
        assert_eq!(stage.page(), "one");
        let visitors = Visitors::come(&stage.nginx.address, &["/"]);
        let with = [("pyproject.toml", PROJECT_WITH_DEPENDENCY), ("uv.lock", LOCK_WITH_DEPENDENCY)];
        let two = stage.commit("two", &with);
        world.deploy("tickets", &stage.repository, &two);
        assert_eq!(stage.page(), "two with iniconfig");
        let seen = visitors.leave();
        assert_eq!(seen.failures, 0, "{:?}", seen.described);
        let ill = stage.commit("ill", &[]);
        stage.fails(world, &ill, "500", "two with iniconfig");
    });
}
