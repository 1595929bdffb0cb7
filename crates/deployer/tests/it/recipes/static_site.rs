//! `static`: a real git repository, real commands and a real nginx that reads the live release.

use crate::plan::deploy_as_planned;
use crate::support::configuration::{Deployment, text};
use crate::support::http::Request;
use crate::support::process::describe;
use crate::support::repository::Repository;
use crate::support::servers::{Nginx, cache};
use crate::support::visitors::Visitors;
use crate::support::wait;
use crate::support::world::World;

/// Makes `public/`, unless the page says that it cannot be made.
const BUILD: &str =
    "! grep -q broken page.txt && mkdir public && sed 's/^/built: /' page.txt > public/index.html";

/// A package without dependencies: npm installs it from its lock file, and needs no registry for it.
const PACKAGE: &str = r#"{"name": "site", "version": "1.0.0", "scripts": {"build": "mkdir dist && cp page.txt dist/index.html"}}"#;
const LOCK: &str = r#"{"name": "site", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "site", "version": "1.0.0"}}}"#;

/// Redeploys under constant requests.
const REDEPLOYS: usize = 5;

/// A repository, and an nginx that has this directory below the deployment's path as its root.
fn with_site(root: &str, test: impl FnOnce(&mut World, &Repository, &Nginx)) {
    World::run(|world| {
        world.confine();
        let repository = world.repository("acme/site");
        let nginx = Nginx::start(world.root(), &format!("root {}/{root};", world.path_of("site").display()));
        test(world, &repository, &nginx);
    });
}

fn deployment(world: &World, repository: &Repository, nginx: &Nginx) -> Deployment {
    let health = format!("[{{ http = \"http://{}/\", attempts = 3, interval = \"100ms\" }}]", nginx.address);
    world.deployment("site", repository).with("recipe", "\"static\"").with("health", health)
}

/// What a visitor sees.
fn page(nginx: &Nginx) -> String {
    let answer = Request::new("GET", "/").send(&nginx.address);
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body).trim_end())
}

/// Pushes what must fail for this cause, and leave what is served alone.
#[track_caller]
fn fails(world: &World, repository: &Repository, commit: &str, cause: &str) {
    world.push(repository, commit);
    let run = world.ended_run("site", commit);
    assert_eq!(run.state, "failed", "{run:?}");
    let said = world.reported(repository, commit).description;
    assert!(said.contains(cause), "{said:?}");
}

#[track_caller]
fn roll_back(world: &World, to: &str, nginx: &Nginx, expected: &str) {
    let output = world.cli(&["rollback", "site", "--to", to]);
    assert!(output.status.success(), "{}", describe(&output));
    wait::until_told("the release before to be live", || {
        let is_over = world.runs("site").iter().all(|run| run.is_final());
        (is_over && page(nginx) == expected).then_some(())
    });
}

#[test]
fn what_a_command_builds_is_served_and_what_fails_is_not() {
    with_site("current/public", |world, repository, nginx| {
        let deployment =
            deployment(world, repository, nginx).with("build", text(BUILD)).with("output", "\"public\"");
        world.configure(&[deployment]);
        world.start();
        // A first release that cannot be built leaves nothing behind.
        let broken = repository.commit(&[("page.txt", "broken\n")], "broken at first");
        fails(world, repository, &broken, "build");
        assert!(world.path_of("site").join("current").symlink_metadata().is_err());

        let one = repository.commit(&[("page.txt", "one\n")], "one");
        deploy_as_planned(world, "site", repository, &one);
        assert_eq!(page(nginx), "200 built: one");
        let broken = repository.commit(&[("page.txt", "broken\n")], "broken");
        fails(world, repository, &broken, "build");
        assert_eq!(page(nginx), "200 built: one");
        let two = repository.commit(&[("page.txt", "two\n")], "two");
        deploy_as_planned(world, "site", repository, &two);
        assert_eq!(page(nginx), "200 built: two");

        roll_back(world, &one, nginx, "200 built: one");
    });
}

#[test]
fn a_build_that_writes_elsewhere_and_a_site_that_does_not_answer_are_undone() {
    with_site("current/dist", |world, repository, nginx| {
        let build = "mkdir dist && cp page.txt dist/index.html; test ! -e elsewhere || mv dist build";
        world.configure(&[deployment(world, repository, nginx).with("build", text(build))]);
        world.start();
        let one = repository.commit(&[("page.txt", "one\n")], "one");
        world.deploy("site", repository, &one);
        assert_eq!(page(nginx), "200 one");
        let elsewhere = repository.commit(&[("page.txt", "two\n"), ("elsewhere", "")], "elsewhere");
        fails(world, repository, &elsewhere, "there is nothing at");
        assert_eq!(page(nginx), "200 one");
        // It is there, and no page is in it: the check sees that, and the release before is live again.
        repository.git(&["rm", "-q", "elsewhere"]);
        let build = "mkdir dist && cp page.txt dist/page.txt";
        world.configure(&[deployment(world, repository, nginx).with("build", text(build))]);
        assert!(world.stop().success());
        world.start();
        let empty = repository.commit(&[("page.txt", "three\n")], "empty");
        fails(world, repository, &empty, "health");
        assert_eq!(page(nginx), "200 one");
    });
}

#[test]
fn files_of_the_repository_are_served_at_a_path_beside_the_link() {
    with_site("site", |world, repository, nginx| {
        let deployment = deployment(world, repository, nginx)
            .with("output", "\"site\"")
            .with("publish", "[\"site\"]")
            .with("keep_releases", "10");
        world.configure(&[deployment]);
        world.start();
        let one = repository.commit(&[("site/index.html", "0\n")], "0");
        deploy_as_planned(world, "site", repository, &one);
        let prose = repository.commit(&[("README.md", "Read me.")], "prose");
        world.push(repository, &prose);
        assert_eq!(world.ended_run("site", &prose).state, "skipped", "no file of the site has changed");

        let visitors = Visitors::come(&nginx.address, &["/"]);
        for number in 1..=REDEPLOYS {
            let says = number.to_string();
            let commit = repository.commit(&[("site/index.html", &format!("{says}\n"))], &says);
            world.deploy("site", repository, &commit);
            assert_eq!(page(nginx), format!("200 {says}"));
        }
        let seen = visitors.leave();
        assert_eq!(seen.failures, 0, "{:?}", seen.described);
        roll_back(world, &one, nginx, "200 0");

        repository.git(&["rm", "-q", "-r", "site"]);
        let gone = repository.commit(&[("other.txt", "")], "gone");
        fails(world, repository, &gone, "there is nothing at");
        assert_eq!(page(nginx), "200 0");
    });
}

#[test]
fn a_package_is_installed_and_built_as_it_says() {
    with_site("current/dist", |world, repository, nginx| {
        let npm_cache = text(&cache("npm-cache").to_string_lossy());
        let deployment = deployment(world, repository, nginx)
            .with("environment", format!("{{ npm_config_cache = {npm_cache} }}"))
            .with("writable", format!("[{npm_cache}]"));
        world.configure(&[deployment]);
        world.start();
        let files = [("package.json", PACKAGE), ("package-lock.json", LOCK), ("page.txt", "one\n")];
        let one = repository.commit(&files, "one");
        deploy_as_planned(world, "site", repository, &one);
        assert_eq!(page(nginx), "200 one");
        let prose = repository.commit(&[("README.md", "Read me.")], "prose");
        world.push(repository, &prose);
        assert_eq!(world.ended_run("site", &prose).state, "skipped", "the same files make the same site");
        let two = repository.commit(&[("page.txt", "two\n")], "two");
        world.deploy("site", repository, &two);
        roll_back(world, &one, nginx, "200 one");
    });
}

/// What `init` proposes is a configuration that deploys, and `doctor` and `config check` know what it needs.
#[test]
fn what_init_proposes_is_deployed() {
    with_site("current", |world, repository, nginx| {
        world.configure(&[]);
        repository.commit(&[("index.html", "hello\n"), ("style.css", "")], "first");
        let path = world.path_of("site").to_string_lossy().into_owned();
        let printed = world.cli(&["init", &repository.clone_url(), "--path", &path]);
        let printed = String::from_utf8(printed.stdout).expect("it is UTF-8");
        assert!(printed.contains("recipe = \"static\"\n"), "{printed}");
        fs_err::write(world.root().join("config/local.toml"), &printed).expect("the world is writable");
        let checked = world.cli(&["config", "check"]);
        assert!(checked.status.success(), "{}", describe(&checked));
        let examined = world.cli(&["doctor"]);
        let said = String::from_utf8_lossy(&examined.stdout).into_owned();
        assert!(said.contains("git") && !said.contains("and site needs it"), "{said}");
        world.start();
        let second = repository.commit(&[("index.html", "two\n")], "second");
        deploy_as_planned(world, "site", repository, &second);
        assert_eq!(page(nginx), "200 two");
    });
}

/// A program that is not there is found before anything is built, by `doctor` as by `plan`.
#[test]
fn a_builder_that_is_missing_is_said() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        repository.commit(&[("index.html", "hello\n")], "first");
        let deployment = world.deployment("site", &repository).with("recipe", "\"static\"");
        world.configure(&[deployment.with("build", "[\"no-such-generator\"]")]);
        let examined = world.cli(&["doctor"]);
        let said = String::from_utf8_lossy(&examined.stdout).into_owned();
        assert!(said.contains("no-such-generator is not found"), "{said}");
        let planned = world.cli(&["plan", "site"]);
        let said =
            String::from_utf8_lossy(&planned.stdout).into_owned() + &String::from_utf8_lossy(&planned.stderr);
        assert!(said.contains("no-such-generator"), "{said}");
    });
}

#[test]
fn a_site_is_never_built_where_it_is_served() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment =
            world.deployment("site", &repository).with("recipe", "\"static\"").with("layout", "\"in-place\"");
        world.configure(&[deployment]);
        let checked = world.cli(&["config", "check"]);
        let said =
            String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
        assert!(said.contains("it would be served while it is being built"), "{said}");
    });
}
