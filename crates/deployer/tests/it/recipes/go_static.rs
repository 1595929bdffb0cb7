//! `go-static`: real npm, vite and go; nginx serves the client, and a small supervisor runs the server.

use crate::plan::deploy_as_planned;
use crate::support::configuration::{Deployment, text};
use crate::support::http::{Answer, Request};
use crate::support::process::command;
use crate::support::repository::Repository;
use crate::support::servers::{AUTHORITIES, Nginx, Server, cache, free_port, way_out};
use crate::support::visitors::Visitors;
use crate::support::wait;
use crate::support::world::World;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const PACKAGE: &str = include_str!("../../fixtures/go-static/client/package.json");
const LOCK: &str = include_str!("../../fixtures/go-static/client/package-lock.json");
const PACKAGE_WITH_DEPENDENCY: &str =
    include_str!("../../fixtures/go-static/client/with-regexp/package.json");
const LOCK_WITH_DEPENDENCY: &str =
    include_str!("../../fixtures/go-static/client/with-regexp/package-lock.json");

const PAGE: &str = "<!doctype html><title>jury</title><script type=\"module\" src=\"/main.js\"></script>\n";
const VITE: &str = "export default { build: { outDir: \"build\" } };\n";
const MODULE: &str = "module example.org/jury/server\n\ngo 1.19\n";

/// Redeploys under constant requests.
const REDEPLOYS: usize = 20;

/// Runs whatever server lies at the path, in its directory, and starts it again when it ends; notes its process. Argument: the
/// directory that holds `server/`.
const SUPERVISOR: &str = r#"
trap 'kill "$child" 2>/dev/null; exit 0' TERM
while :; do
    child=
    if [ -x "$1/server/bin/server" ]; then
        (cd "$1/server" && exec bin/server) & child=$!
        echo "$child" > "$2"
        wait "$child"
    fi
    sleep 0.02
done
"#;

/// Ends the supervised server, if there is one, and waits until it has ended.
const RESTART: &str = r#"#!/bin/sh
[ -e "$1" ] || exit 0
read -r old < "$1"
kill "$old" 2>/dev/null
while kill -0 "$old" 2>/dev/null; do sleep 0.01; done
exit 0
"#;

/// A host that has everything but a release.
struct Stage {
    repository: Repository,
    path: PathBuf,
    server: String,
    nginx: Nginx,
    restart: String,
    _supervisor: Server,
}

impl Stage {
    /// `live` is what `server/` lies in, below the deployment's path; `kept` is what the two `.env` lie in.
    fn set(world: &mut World, live: &str, kept: &str) -> Self {
        world.confine();
        let repository = world.repository("acme/jury");
        let root = world.root().to_owned();
        let path = world.path_of("jury");
        let server = format!("127.0.0.1:{}", free_port());
        for (file, content) in
            [("client/.env", "VITE_TITLE=Kept\n".to_owned()), ("server/.env", format!("ADDRESS={server}\n"))]
        {
            let file = path.join(kept).join(file);
            fs_err::create_dir_all(file.parent().expect("it lies in a directory"))
                .expect("the world is writable");
            fs_err::write(file, content).expect("the world is writable");
        }
        let (pid, script) = (root.join("server.pid"), root.join("restart"));
        fs_err::write(&script, RESTART).expect("the world is writable");
        fs_err::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
            .expect("the world is writable");
        let restart = format!("[{}, {}]", text(&script.to_string_lossy()), text(&pid.to_string_lossy()));
        let mut supervisor = command("/bin/sh", &root);
        supervisor.args(["-c", SUPERVISOR, "supervisor"]).arg(path.join(live)).arg(&pid).current_dir(&root);
        let supervisor = Server::start(supervisor, Signal::TERM, &root.join("supervisor.log"));
        // As the site file of jury has it: a root that does not name `current`.
        let nginx = Nginx::start(&root, &format!("root {}/client/build;", path.display()));
        Self { repository, path, server, nginx, restart, _supervisor: supervisor }
    }

    fn deployment(&self, world: &World) -> Deployment {
        let cache = |name: &str| text(&cache(name).to_string_lossy());
        let environment = format!(
            "{{ npm_config_cache = {}, GOCACHE = {}, NODE_EXTRA_CA_CERTS = \"{AUTHORITIES}\"{} }}",
            cache("npm-cache"),
            cache("go-build-cache"),
            way_out()
        );
        let health = [format!("http://{}/", self.nginx.address), format!("http://{}/", self.server)]
            .map(|url| format!("{{ http = \"{url}\", attempts = 20, interval = \"100ms\" }}"));
        world
            .deployment("jury", &self.repository)
            .with("recipe", "\"go-static\"")
            .with("restart", self.restart.clone())
            .with("environment", environment)
            .with("writable", format!("[{}, {}]", cache("npm-cache"), cache("go-build-cache")))
            .with("health", format!("[{}]", health.join(", ")))
    }

    /// Client and server, saying this.
    fn commit(&self, says: &str, more: &[(&str, &str)]) -> String {
        let (script, server) = (script(says), server(says));
        let mut files = vec![
            ("client/index.html", PAGE),
            ("client/main.js", script.as_str()),
            ("client/vite.config.js", VITE),
            ("client/package.json", PACKAGE),
            ("client/package-lock.json", LOCK),
            ("server/go.mod", MODULE),
            ("server/main.go", server.as_str()),
            (".gitignore", "node_modules\nclient/build\n.env\n"),
        ];
        files.extend(more);
        self.repository.commit(&files, says)
    }

    /// What the client's script says, as a browser would load it: the page, and what it names.
    #[track_caller]
    fn client(&self) -> String {
        let page = body(&Request::new("GET", "/").send(&self.nginx.address));
        let asset =
            page.split('"').find(|word| word.starts_with("/assets/")).expect("the page names a script");
        let script = body(&Request::new("GET", asset).send(&self.nginx.address));
        let (_, title) = script.rsplit_once("document.title=").expect("the script sets a title");
        title.trim().trim_matches([';', '"', '`']).to_owned()
    }

    #[track_caller]
    fn server(&self) -> String {
        body(&Request::new("GET", "/").send(&self.server))
    }

    #[track_caller]
    fn assert_live(&self, says: &str) {
        assert_eq!(self.client(), format!("Kept {says}"), "VITE_TITLE is of the kept client/.env");
        assert_eq!(self.server(), says);
    }

    /// Pushes what must fail, for this cause, and leave what is live alone.
    #[track_caller]
    fn fails(&self, world: &World, commit: &str, cause: &str, still: &str) {
        world.push(&self.repository, commit);
        let run = world.ended_run("jury", commit);
        assert_eq!(run.state, "failed", "{run:?}");
        let said = world.reported(&self.repository, commit).description;
        assert!(said.contains(cause) && !said.contains("undoing it"), "{said:?}");
        wait::until("the old server to answer again", || {
            Request::new("GET", "/").send_to_mortal(&self.server)
        });
        self.assert_live(still);
    }
}

#[track_caller]
fn body(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn script(says: &str) -> String {
    format!("document.title = import.meta.env.VITE_TITLE + \" {says}\";\n")
}

fn server(says: &str) -> String {
    let status = if says.starts_with("ill") { 500 } else { 200 };
    format!(
        r#"package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
)

func main() {{
	kept, err := os.ReadFile(".env")
	if err != nil {{
		panic(err)
	}}
	address := strings.TrimSpace(strings.TrimPrefix(string(kept), "ADDRESS="))
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {{
		answer.WriteHeader({status})
		fmt.Fprint(answer, "{says}")
	}})
	panic(http.ListenAndServe(address, nil))
}}
"#
    )
}

/// Releases, with the client also at the fixed path, and the two `.env` under `shared/`.
fn with_releases(test: impl FnOnce(&mut World, &Stage)) {
    World::run(|world| {
        let stage = Stage::set(world, "current", "shared");
        let deployment = stage
            .deployment(world)
            .with("shared_files", "[\"client/.env\", \"server/.env\"]")
            .with("publish", "[\"client/build\"]");
        world.configure(&[deployment]);
        world.start();
        test(world, &stage);
    });
}

#[test]
fn from_nothing_through_all_that_can_happen() {
    with_releases(|world, stage| {
        let path = &stage.path;
        // A first release that is ill leaves nothing behind.
        let ill = stage.commit("ill at first", &[]);
        world.push(&stage.repository, &ill);
        assert_eq!(world.ended_run("jury", &ill).state, "failed");
        assert!(path.join("client/build").symlink_metadata().is_err());
        assert!(path.join("current").symlink_metadata().is_err());

        let one = stage.commit("one", &[]);
        world.deploy("jury", &stage.repository, &one);
        stage.assert_live("one");
        assert_eq!(
            fs_err::read_link(path.join("client/build")).unwrap(),
            Path::new("../current/client/build")
        );

        let prose = stage
            .repository
            .commit(&[("README.md", "Read me."), (".github/workflows/ci.yml", "more")], "prose");
        world.push(&stage.repository, &prose);
        assert_eq!(world.ended_run("jury", &prose).state, "skipped", "neither directory has changed");

        // A change, and one of dependencies.
        let two = stage.commit("two", &[]);
        deploy_as_planned(world, "jury", &stage.repository, &two);
        stage.assert_live("two");
        let with = [
            ("client/package.json", PACKAGE_WITH_DEPENDENCY),
            ("client/package-lock.json", LOCK_WITH_DEPENDENCY),
        ];
        let needs = (
            "client/main.js",
            "import escape from \"escape-string-regexp\";\ndocument.title = escape(import.meta.env.VITE_TITLE) + \" three\";\n",
        );
        let three = stage.commit("three", &[with[0], with[1], needs]);
        world.deploy("jury", &stage.repository, &three);
        assert_eq!(stage.server(), "three");
        let four = stage.commit("four", &with);
        world.deploy("jury", &stage.repository, &four);
        stage.assert_live("four");

        // The kept file is read when the client is built, and a change of it is a reason to build.
        fs_err::write(path.join("shared/client/.env"), "VITE_TITLE=New\n").unwrap();
        let prose = stage.repository.commit(&[("README.md", "Read me again.")], "prose again");
        world.deploy("jury", &stage.repository, &prose);
        assert_eq!(stage.client(), "New four");
        fs_err::write(path.join("shared/client/.env"), "VITE_TITLE=Kept\n").unwrap();
        let prose = stage.repository.commit(&[("README.md", "Read me once more.")], "prose once more");
        world.deploy("jury", &stage.repository, &prose);

        // What fails, fails before anything is switched, or is undone.
        let broken = stage
            .commit("client", &[("client/index.html", "<script type=\"module\" src=\"/gone.js\"></script>")]);
        stage.fails(world, &broken, "client", "four");
        let broken =
            stage.commit("server", &[("server/main.go", "package main\n\nfunc main() { nothing() }\n")]);
        stage.fails(world, &broken, "server", "four");
        let elsewhere = stage.commit("elsewhere", &[("client/vite.config.js", "export default {};\n")]);
        stage.fails(world, &elsewhere, "there is nothing at", "four");
        let unlocked = stage.commit(
            "unlocked",
            &[("server/main.go", "package main\n\nimport _ \"example.org/other\"\n\nfunc main() {}\n")],
        );
        stage.fails(world, &unlocked, "server", "four");
        let ill = stage.commit("ill", &[]);
        stage.fails(world, &ill, "500", "four");

        // And back.
        let output = world.cli(&["rollback", "jury", "--to", &two]);
        assert!(output.status.success(), "{output:?}");
        wait::until_told("the release before to be live", || {
            let runs = world.runs("jury");
            (runs.iter().all(|run| run.is_final()) && stage.client() == "Kept two").then_some(())
        });
        stage.assert_live("two");
        let five = stage.commit("five", &[]);
        world.deploy("jury", &stage.repository, &five);
        stage.assert_live("five");
    });
}

/// Redeploys while visitors ask for client and server, and tells what they saw.
fn redeploy(world: &World, stage: &Stage, times: usize, layout: &str) {
    let client = Visitors::come(&stage.nginx.address, &["/"]);
    let server = Visitors::come(&stage.server, &["/"]);
    for number in 0..times {
        let says = format!("redeploy {number}");
        let commit = stage.commit(&says, &[]);
        world.deploy("jury", &stage.repository, &commit);
        stage.assert_live(&says);
    }
    let (client, server) = (client.leave(), server.leave());
    eprintln!("go-static {layout}, {times} redeploys, client: {client}");
    eprintln!("go-static {layout}, {times} redeploys, server: {server}");
    assert_eq!(client.failures, 0, "{:?}", client.described);
    assert_eq!(client.pages.len(), times + 1, "each release, and once gone none again: {:?}", client.pages);
    assert_eq!(server.pages.len(), times + 1, "likewise: {:?}", server.pages);
}

#[test]
fn twenty_redeploys_lose_no_request_of_the_client() {
    with_releases(|world, stage| {
        let one = stage.commit("one", &[]);
        world.deploy("jury", &stage.repository, &one);
        redeploy(world, stage, REDEPLOYS, "releases");
    });
}

#[test]
fn in_place_what_was_built_beside_is_exchanged() {
    World::run(|world| {
        let stage = Stage::set(world, "", "");
        world.configure(&[stage.deployment(world).with("layout", "\"in-place\"")]);
        world.start();
        let one = stage.commit("one", &[]);
        world.deploy("jury", &stage.repository, &one);
        stage.assert_live("one");
        redeploy(world, &stage, 3, "in place");
        let ill = stage.commit("ill", &[]);
        stage.fails(world, &ill, "500", "redeploy 2");
        let broken = stage.commit("broken", &[("server/main.go", "package main\n")]);
        stage.fails(world, &broken, "server", "redeploy 2");

        // Killed when the client had been exchanged, and the server not yet: the next start exchanges it back.
        #[cfg(feature = "failpoints")]
        {
            const EXCHANGED: &str = "after-step:8";
            assert!(world.stop().success());
            world.environment.push(("DEPLOYER_CRASH_AT".into(), EXCHANGED.into()));
            world.start();
            let half = stage.commit("half", &[]);
            world.push(&stage.repository, &half);
            wait::until("the daemon to die", || world.has_died().then_some(()));
            world.environment.pop();
            assert_eq!((stage.client().as_str(), stage.server().as_str()), ("Kept half", "redeploy 2"));
            let whole = stage.commit("whole", &[("server/main.go", "package main\n")]);
            world.start();
            world.push(&stage.repository, &whole);
            assert_eq!(world.ended_run("jury", &whole).state, "failed");
            stage.assert_live("redeploy 2");
        }

        let two = stage.commit("two", &[]);
        world.deploy("jury", &stage.repository, &two);
        stage.assert_live("two");
    });
}

#[test]
fn a_client_alone_or_a_server_alone() {
    with_releases(|world, stage| {
        let client: Vec<(&str, String)> = vec![
            ("client/index.html", PAGE.into()),
            ("client/main.js", script("alone")),
            ("client/vite.config.js", VITE.into()),
            ("client/package.json", PACKAGE.into()),
            ("client/package-lock.json", LOCK.into()),
        ];
        let files: Vec<(&str, &str)> =
            client.iter().map(|(path, content)| (*path, content.as_str())).collect();
        let commit = stage.repository.commit(&files, "client");
        let only_the_client = stage
            .deployment(world)
            .with("publish", "[\"client/build\"]")
            .with("shared_files", "[\"client/.env\"]")
            .with("health", format!("[{{ http = \"http://{}/\" }}]", stage.nginx.address));
        world.configure(std::slice::from_ref(&only_the_client));
        assert!(world.stop().success());
        world.start();
        world.deploy("jury", &stage.repository, &commit);
        assert_eq!(stage.client(), "Kept alone");

        stage.repository.git(&["rm", "-q", "-r", "client"]);
        let server = server("alone");
        let commit =
            stage.repository.commit(&[("server/go.mod", MODULE), ("server/main.go", &server)], "server");
        let only_the_server = only_the_client
            .with("publish", "[]")
            .with("shared_files", "[\"server/.env\"]")
            .with("health", format!("[{{ http = \"http://{}/\" }}]", stage.server));
        world.configure(&[only_the_server]);
        assert!(world.stop().success());
        world.start();
        world.deploy("jury", &stage.repository, &commit);
        assert_eq!(stage.server(), "alone");
    });
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_in_the_middle_of_the_switch() {
    with_releases(|world, stage| {
        let one = stage.commit("one", &[]);
        world.deploy("jury", &stage.repository, &one);
        assert!(world.stop().success());
        world.environment.push(("DEPLOYER_CRASH_AT".into(), "link-moved:1".into()));
        world.start();
        let visitors = Visitors::come(&stage.nginx.address, &["/"]);
        let two = stage.commit("two", &[]);
        world.push(&stage.repository, &two);
        wait::until("the daemon to die", || world.has_died().then_some(()));
        world.environment.pop();
        world.start();
        world.settled("jury", 3);
        stage.assert_live("two");
        let three = stage.commit("three", &[]);
        world.deploy("jury", &stage.repository, &three);
        stage.assert_live("three");
        let seen = visitors.leave();
        assert_eq!(seen.failures, 0, "{:?}", seen.described);
    });
}
