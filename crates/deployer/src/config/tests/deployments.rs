//! Deployments: what each key becomes, what is left out, and that the others are still served.

use super::{TestHost, brief, brief_of, deployment, slugs};
use crate::config::{CommandLine, Deployment, Hooks, Layout, Moment, Phase, Probe, Queue};
use crate::plan::recipes::REFERENCE;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HEAD: &str = "[deployments.x]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/x\"\n";

fn one(more: &str) -> Deployment {
    let loaded = TestHost::signed(&format!("{HEAD}{more}")).loaded();
    assert!(loaded.problems.is_empty(), "{}", loaded.problems);
    deployment(&loaded.config, "x").clone()
}

/// What is wrong with it; another deployment beside it must be served all the same.
fn wrong(more: &str) -> String {
    let other = "[deployments.other]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/other\"\n";
    let loaded = TestHost::signed(&format!("{HEAD}{more}\n{other}")).loaded();
    let left = slugs(&loaded.config);
    assert_eq!(left, ["other"], "{}", brief_of(&loaded.problems));
    brief_of(&loaded.problems)
}

#[test]
fn what_is_not_written_has_its_default() {
    let deployment = one("");
    assert!(deployment.enabled && !deployment.submodules);
    assert_eq!(deployment.clone_url, "https://github.com/a/b.git");
    assert_eq!((deployment.layout, deployment.queue), (None, Queue::Latest));
    assert_eq!(deployment.keep_releases, 5);
    assert_eq!(deployment.timeout, Duration::from_secs(30 * 60));
    assert_eq!(deployment.step_timeout, Duration::from_secs(10 * 60));
    assert!(deployment.health.is_empty() && deployment.shared_files.is_empty());
    assert!(deployment.recipe.steps.is_empty() && deployment.hooks == Hooks::default());
}

#[test]
fn what_is_written_holds() {
    let deployment = one(
        "enabled = false\nclone_url = \"git@github.com:a/b.git\"\nlayout = \"in-place\"\nqueue = \"all\"\npaths = [\"server/**\"]\n\
         paths_ignore = [\"**.md\"]\nshared_files = [\".env\"]\nshared_dirs = [\"./keys\"]\nkeep_releases = 1\nsubmodules = true\n\
         timeout = 90\nstep_timeout = \"5s\"\nenv_file = \"shared/.env\"\nenv_files = [\"/etc/x.env\"]\nenvironment = { A = \"1\" }\ninstance_name = \"i\"",
    );
    assert!(!deployment.enabled && deployment.submodules);
    assert_eq!((deployment.layout, deployment.queue), (Some(Layout::InPlace), Queue::All));
    assert_eq!((deployment.paths, deployment.paths_ignore), (vec!["server/**".into()], vec!["**.md".into()]));
    assert_eq!((deployment.shared_files, deployment.shared_dirs), (vec![".env".into()], vec!["keys".into()]));
    assert_eq!(
        (deployment.timeout, deployment.step_timeout),
        (Duration::from_secs(90), Duration::from_secs(5))
    );
    assert_eq!(deployment.env_files, [PathBuf::from("/srv/x/shared/.env"), PathBuf::from("/etc/x.env")]);
    assert_eq!(deployment.environment["A"], "1");
    assert_eq!(deployment.instance_name.as_deref(), Some("i"));
}

#[test]
fn what_commits_must_pass() {
    let gates = one("").gates;
    assert!(gates.are_none() && gates.freeze.zone == jiff::tz::TimeZone::UTC);
    let gates =
        one("require_signature = \"/etc/signers\"\napproval = true\nfreeze_timezone = \"Europe/London\"\n\
         freeze = [\"Fri 16:00-Mon 08:00\", \"2026-12-20 00:00-2027-01-04 09:00\"]")
        .gates;
    assert_eq!(gates.allowed_signers, Some(PathBuf::from("/etc/signers")));
    assert!(gates.approval && gates.freeze.windows.len() == 2);
    assert_eq!(gates.freeze.zone.iana_name(), Some("Europe/London"));
    for (more, expected) in [
        ("freeze = [\"Friday\"]", "a window is written"),
        ("freeze_timezone = \"Durham\"", "knows no time zone"),
        ("require_signature = \"signers\"", "must be absolute"),
        ("require_checks = [\"\"]", "must not be empty"),
        ("approval = \"yes\"", "true or false"),
    ] {
        let said = wrong(more);
        assert!(said.contains(expected), "{more}: {said}");
    }
}

#[test]
fn checks_need_somebody_who_asks_for_them() {
    let said = |top: &str| {
        let loaded = TestHost::signed(&format!("{top}{HEAD}require_checks = [\"test\"]")).loaded();
        assert_eq!(deployment(&loaded.config, "x").gates.checks, ["test"]);
        brief_of(&loaded.problems)
    };
    assert!(said("").contains("the login of `gh`"));
    assert!(said("[github]\nuse_gh = false\n").contains("there is no credential"));
    assert_eq!(said("[github]\ntoken = \"github_pat_x\"\n"), "");
}

#[test]
fn steps_and_hooks_in_all_their_forms() {
    let deployment = one(r#"
steps = [
  { phase = "install", run = ["/usr/bin/npm", "ci"], directory = "web", environment = { CI = "1" }, env_files = ["e"], timeout = "1m", retries = 2, undo_shell = "rm -r node_modules" },
  { phase = "switch", name = "restart", shell = "sudo systemctl restart web" },
]
[deployments.x.hooks]
before_build = ["make", "notes"]
after_build = "make notes"
after_fetch = [["git", "log"], { run = ["date"], undo = ["true"] }]
on_failure = [{ shell = "mail -s failed root", timeout = "5s" }]
"#);
    let steps = &deployment.recipe;
    let install = &steps.steps[0];
    assert_eq!((install.name.as_str(), install.phase, install.retries), ("npm", Phase::Install, 2));
    assert_eq!(install.run, CommandLine::Argv(vec!["/usr/bin/npm".into(), "ci".into()]));
    assert_eq!(install.directory.as_deref(), Some(Path::new("web")));
    assert_eq!(install.env_files, [PathBuf::from("/srv/x/e")]);
    assert_eq!(install.timeout, Some(Duration::from_secs(60)));
    assert_eq!(install.undo, Some(CommandLine::Shell("rm -r node_modules".into())));
    assert_eq!((steps.steps[1].name.as_str(), steps.steps[1].undo.as_ref()), ("restart", None));
    let hooks: Vec<_> = deployment
        .hooks
        .around
        .iter()
        .map(|hook| (hook.phase, hook.moment, hook.command.run.clone()))
        .collect();
    let argv = |words: &[&str]| CommandLine::Argv(words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(
        hooks,
        [
            (Phase::Fetch, Moment::After, argv(&["git", "log"])),
            (Phase::Fetch, Moment::After, argv(&["date"])),
            (Phase::Build, Moment::Before, argv(&["make", "notes"])),
            (Phase::Build, Moment::After, CommandLine::Shell("make notes".into())),
        ]
    );
    assert_eq!(deployment.hooks.around[1].command.undo, Some(argv(&["true"])));
    assert_eq!(deployment.hooks.on_failure[0].name, "mail");
}

#[test]
fn health_checks() {
    let health = one(
        r#"health = [{ http = "http://localhost:1/", status = [200, 401], body = "ok", attempts = 3, interval = "2s", timeout = "1s" }, { tcp = "localhost:1" }, { command = ["x"] }, { shell = "y" }]"#,
    )
    .health;
    assert_eq!(
        health[0].probe,
        Probe::Http {
            url: "http://localhost:1/".into(),
            status: vec![200, 401],
            body: Some("ok".into()),
            headers: std::collections::BTreeMap::new()
        }
    );
    assert_eq!(
        (health[0].attempts, health[0].interval, health[0].timeout),
        (3, Duration::from_secs(2), Duration::from_secs(1))
    );
    assert_eq!(health[1].probe, Probe::Tcp("localhost:1".into()));
    assert_eq!(
        (health[1].attempts, health[1].interval, health[1].timeout),
        (10, Duration::from_secs(1), Duration::from_secs(5))
    );
    assert_eq!(health[2].probe, Probe::Command(CommandLine::Argv(vec!["x".into()])));
    assert_eq!(health[3].probe, Probe::Command(CommandLine::Shell("y".into())));
}

#[test]
fn a_written_recipe_or_list_wins_over_the_preset() {
    let text = "[deployments.x]\nrepository = \"ducompsoc/durhack\"\nbranch = \"main\"\npath = \"/srv/x\"\n";
    let by_preset = TestHost::signed(&format!("{text}instance_name = \"i\"\nshared_files = []")).loaded();
    let found = deployment(&by_preset.config, "x");
    assert!(found.recipe.is_under_pm2() && found.shared_files.is_empty());
    let written = TestHost::signed(&format!("{text}recipe = \"steps\"")).loaded();
    let found = deployment(&written.config, "x");
    assert!(found.recipe.name() == "steps" && found.shared_files.is_empty());
}

#[test]
fn a_preset_is_checked_by_its_ports_where_nobody_else_can_have_them() {
    let of = |slug: &str, repository: &str, keys: &str| {
        format!(
            "[deployments.{slug}]\nrepository = \"{repository}\"\nbranch = \"main\"\npath = \"/srv/{slug}\"\ninstance_name = \"i\"\n{keys}\n"
        )
    };
    let guilds = |keys: &str| of("guilds", "ducompsoc/durhack-guilds", keys);
    let jury = |keys: &str| of("jury", "ducompsoc/durhack-jury", keys);
    let another = || of("staging", "DUCompSoc/durhack-guilds", "");
    let none = "no health check: a release counts as live";
    for (text, slug, ports, is_noted) in [
        (guilds(""), "guilds", &[3100, 3101][..], false),
        (guilds("health = []"), "guilds", &[], false),
        (guilds("environment = { PORT = \"1\" }"), "guilds", &[], true),
        (guilds("") + &another(), "guilds", &[], true),
        (guilds("recipe = \"pnpm-pm2\""), "guilds", &[], false),
        (jury("units = [\"jury.service\"]"), "jury", &[3301], false),
        (jury(""), "jury", &[], false),
    ] {
        let loaded = TestHost::signed(&text).loaded();
        let found = deployment(&loaded.config, slug).health.iter().map(|check| check.probe.clone());
        let expected = ports.iter().map(|port| Probe::Tcp(format!("localhost:{port}")));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{text}");
        assert_eq!(brief_of(&loaded.problems).contains(none), is_noted, "{text}");
    }
}

#[test]
fn mistakes_in_a_deployment_leave_it_out_and_no_other() {
    let recipes = REFERENCE.recipes.iter().map(|recipe| format!("{:?}", recipe.name));
    let recipes = recipes.collect::<Vec<_>>().join(" or ");
    insta::assert_snapshot!(wrong(r#"recipe = "docker"
clone_url = "ext::sh -c id"
layout = "flat"
queue = "newest"
enabled = "yes"
paths = ["a[", "!b"]
shared_files = ["/etc/passwd", "../x"]
keep_releases = 0
timeout = "0s"
env_files = ["~/x"]
environment = { "A-B" = "1", C = 2 }
"#).replace(&recipes, "(recipes)"), @r#"
    error default.toml:5:10 [x] "docker" is not possible here -> write (recipes)
    error default.toml:6:13 [x] this is not a URL that git can fetch from safely -> write https://HOST/OWNER/NAME.git, ssh://USER@HOST/PATH, USER@HOST:PATH, file:///PATH or an absolute path
    error default.toml:7:10 [x] "flat" is not possible here -> write "releases" or "in-place"
    error default.toml:8:9 [x] "newest" is not possible here -> write "latest" or "all"
    error default.toml:9:11 [x] this must be true or false, without quotes, not a text -> write for example `enabled = false`
    error default.toml:10:10 [x] this is not a pattern: unclosed character class; missing ']' -> write for example `paths = ["server/**", "common/**"]`
    error default.toml:10:16 [x] a pattern cannot be negated: use `paths_ignore` -> write for example `paths = ["server/**", "common/**"]`
    error default.toml:11:17 [x] this path must be relative -> write for example `shared_files = ["server/.env"]`
    error default.toml:11:32 [x] a path may not contain `..` -> write where it really leads
    error default.toml:12:17 [x] 0 is not possible here: it must be 1 to 1000 -> write for example `keep_releases = 5`
    error default.toml:13:11 [x] a duration must be more than 0 and at most 520w -> write for example "30s", "5m", "1h 30m", "250ms", or seconds as an integer
    error default.toml:14:14 [x] `~` has no meaning here -> write the home directory out
    error default.toml:15:25 [x] "A-B" is not a name of an environment variable -> write for example `environment = { NODE_ENV = "production" }`
    error default.toml:15:34 [x] this must be a text in quotes, not an integer -> write for example `environment = { NODE_ENV = "production" }`
    "#);
}

#[test]
fn some_recipes_are_never_deployed_in_place() {
    for written in ["recipe = \"nginx-sites\"\nsites = []", "recipe = \"deployer\""] {
        assert_eq!(one(written).layout, Some(Layout::Releases), "whatever is found at its path");
        let problems = wrong(&format!("layout = \"in-place\"\n{written}\n"));
        assert!(problems.contains("default.toml:5:10 [x]") && problems.contains("in place"), "{problems}");
    }
}

#[test]
fn what_sites_are_allowed_beside_the_list_is_said_with_what_it_gives_away() {
    let head = format!("{HEAD}recipe = \"nginx-sites\"\nsites = []\n");
    let loaded =
        TestHost::signed(&format!("{head}sites_allow = [\"xslt_stylesheet\", \"/data2/www\"]")).loaded();
    let problems = brief_of(&loaded.problems);
    assert!(problems.contains("warning") && problems.contains("becomes root"), "{problems}");
    assert!(problems.contains("\"/data2/www\": sites may serve"), "{problems}");
    assert_eq!(slugs(&loaded.config), ["x"]);
    for entry in ["load_module", "/etc", "gzip", "no such"] {
        let problems = wrong(&format!("recipe = \"nginx-sites\"\nsites = []\nsites_allow = [\"{entry}\"]"));
        assert!(problems.contains("error default.toml:7:16 [x]"), "{entry}: {problems}");
    }
}

#[test]
fn a_user_of_its_own_has_releases_and_is_neither_root_nor_the_deployer() {
    let deployment = one("user = \"web\"");
    assert_eq!(deployment.user.as_ref().map(|user| user.as_str()), Some("web"));
    assert_eq!(deployment.layout, Some(Layout::Releases), "whatever is found at its path");
    assert_eq!(one("").user, None);
    insta::assert_snapshot!(wrong("layout = \"in-place\"\nuser = \"web\"\n"), @r#"error default.toml:5:10 [x] what is deployed in place is the deployer's: a user of its own has releases -> write "releases", or leave `layout` out"#);
    insta::assert_snapshot!(wrong("user = \"root\"\n"), @r#"error default.toml:5:8 [x] "root" is not a user's name: no push is worth root -> write for example `user = "web"`"#);
    insta::assert_snapshot!(wrong("user = \"web;id\"\n"), @r#"error default.toml:5:8 [x] "web;id" is not a user's name: only lower-case letters, digits, _ and - are allowed -> write for example `user = "web"`"#);
}

#[test]
fn mistakes_in_steps() {
    insta::assert_snapshot!(wrong(r#"
steps = [
  { run = ["x"] },
  { phase = "biuld", run = [] },
  { phase = "build" },
  { phase = "build", run = ["x"], shell = "y", undo = ["x"], undo_shell = "y" },
  { phase = "build", run = ["x"], directory = "../y", tiemout = 3 },
  "make",
]
[deployments.x.hooks]
before_fetch = "x"
after_fetch = 3
before_build = [["make"], "make notes", { phase = "build", run = ["x"] }]
"#), @r###"
error default.toml:7:3 [x] `phase` is missing in `deployments.x.steps[0]` -> write for example `phase = "build"`: When it is run.
error default.toml:8:13 [x] "biuld" is not possible here -> write "fetch" or "install" or "build" or "migrate" or "switch" or "verify" or "clean"
error default.toml:8:28 [x] a command needs a program -> write for example `run = ["make", "-j2"]`
error default.toml:9:3 [x] a step needs `run` or `shell` -> write for example `run = ["make", "-j2"]` or `shell = "make"`
error default.toml:10:35 [x] `run` and `shell` exclude each other -> leave one of them out
error default.toml:10:62 [x] `undo` and `undo_shell` exclude each other -> leave one of them out
error default.toml:11:47 [x] a path may not contain `..` -> write where it really leads
error default.toml:11:55 [x] `tiemout` is not a key of `deployments.x.steps[4]` -> did you mean `timeout`?
error default.toml:12:3 [x] this must be a table, not a text -> steps is a list of tables; see docs/reference/configuration.md
error default.toml:15:1 [x] `before_fetch` is not a key of `deployments.x.hooks` -> did you mean `before_switch`?
error default.toml:16:15 [x] this must be a shell line in quotes or a list, not an integer -> write for example `after_fetch = [["make", "notes"], { shell = "date > built", timeout = "10s" }]`
error default.toml:17:27 [x] a bare text in a list with tables or lists could be a program or a shell line: write { shell = "..." } or ["..."] -> write for example `before_build = [["make", "notes"], { shell = "date > built", timeout = "10s" }]`
error default.toml:17:43 [x] `phase` is not a key of `deployments.x.hooks.before_build[2]` -> known here are: name, run, shell, directory, environment, env_files, timeout, retries, undo, undo_shell
"###);
}

#[test]
fn mistakes_in_health_checks() {
    insta::assert_snapshot!(wrong(r#"health = [
  {},
  { http = "localhost:1", tcp = "localhost" },
  { tcp = "localhost:1", status = [200], attempts = 0 },
  { http = "http://localhost:1", status = [99] },
]
"#), @r###"
error default.toml:6:3 [x] a health check needs exactly one of `http`, `tcp`, `command` and `shell`, not 0 -> write for example `http = "http://127.0.0.1:3001/health"`
error default.toml:7:3 [x] a health check needs exactly one of `http`, `tcp`, `command` and `shell`, not 2 -> write for example `http = "http://127.0.0.1:3001/health"`
error default.toml:7:12 [x] this URL must begin with http:// or https:// and a host -> write for example `http = "http://127.0.0.1:3001/health"`
error default.toml:7:33 [x] "localhost" is not host:port -> write for example `tcp = "127.0.0.1:3001"`
error default.toml:8:26 [x] `status` has a meaning only beside `http` -> leave `status` out
error default.toml:8:53 [x] 0 is not possible here: it must be 1 to 1000 -> write for example `attempts = 10`
error default.toml:9:44 [x] 99 is not possible here: it must be 100 to 599 -> write for example `status = [200, 204]`
"###);
}

#[test]
fn keys_of_other_recipes_and_missing_ones() {
    insta::assert_snapshot!(wrong("recipe = \"nginx-sites\"\ninstance_name = \"x\"\nsteps = []\n"), @r#"
    error default.toml:1:1 [x] `sites` is missing in `deployments.x` -> Which sites of the repository this host serves: rules, of which the last that matches wins; none matches: not served. `sites = []` serves none; see docs/reference/configuration.md
    error default.toml:6:1 [x] `instance_name` belongs to recipe "steps" and "pm2" and "pnpm-pm2" and "go-static", and this deployment has recipe "nginx-sites" -> leave `instance_name` out, or write another `recipe`
    error default.toml:7:1 [x] `steps` belongs to recipe "steps" and "systemd", and this deployment has recipe "nginx-sites" -> leave `steps` out, or write another `recipe`
    "#);
    insta::assert_snapshot!(wrong("recipe = \"deployer\"\nsystemd_unit_name = \"--force\"\nsites = []\n"), @r#"
    error default.toml:6:21 [x] "--force" is not the name of a systemd unit: it may not begin with - or . -> write for example `systemd_unit_name = "durhack-deployer.service"`
    error default.toml:7:1 [x] `sites` belongs to recipe "nginx-sites", and this deployment has recipe "deployer" -> leave `sites` out, or write another `recipe`
    "#);
}

#[test]
fn what_must_be_written_is_missed_at_the_header() {
    let text = "\n[deployments.x]\n\n[deployments.y]\nrepository = \"ducompsoc/durhack\"\nbranch = \"--upload-pack=x\"\npath = \"srv\"\n[deployments]\nz = 3\n[deployments.main]\nrepository = \"a\"\nbranch = \"b\"\npath = \"/srv/main\"\n";
    insta::assert_snapshot!(brief(TestHost::signed(text).load()), @r###"
error default.toml:2:1 [x] `repository` is missing in `deployments.x` -> write for example `repository = "ducompsoc/durhack"`: `owner/name` on GitHub; what a push must name.
error default.toml:2:1 [x] `branch` is missing in `deployments.x` -> write for example `branch = "main"`: The branch whose head is deployed.
error default.toml:2:1 [x] `path` is missing in `deployments.x` -> write for example `path = "/var/www/api.durhack.com"`: Where releases, or the work tree, lie. Absolute; no other deployment's path may contain it or lie inside.
error default.toml:4:1 [y] `instance_name` is missing in `deployments.y` -> write for example `instance_name = "durhack-staging"`: `INSTANCE_NAME` of every step: how an ecosystem file names its applications.
error default.toml:6:10 [y] "--upload-pack=x" is not a branch name: it may not begin with - -> write for example `branch = "main"`
error default.toml:7:8 [y] this path must be absolute -> write it from / on
error default.toml:9:5 [z] this must be a table, not an integer -> write [deployments.z] and its keys below
error default.toml:10:1 [main] "main" is not a deployment name: `main` is the name of the deployer's own spool -> write for example [deployments.durhack-api]
error default.toml:11:14 [main] "a" is not a repository name: it must have the form owner/name -> write for example `repository = "ducompsoc/durhack"`
"###);
}

#[test]
fn deployments_keep_out_of_each_others_directories() {
    let deployment = |slug: &str, path: &str| {
        format!("[deployments.{slug}]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"{path}\"\n")
    };
    let text = [
        "state_directory = \"/srv/state\"\n".to_owned(),
        deployment("one", "/srv/one/"),
        deployment("same", "/srv/./one"),
        deployment("inside", "/srv/one/inside"),
        deployment("outside", "/srv"),
        deployment("neighbour", "/srv/one-more"),
        deployment("root", "/"),
        deployment("state", "/srv/state/x"),
    ]
    .concat();
    let loaded = TestHost::signed(&text).loaded();
    let left = slugs(&loaded.config);
    assert_eq!(left, ["one", "neighbour"], "the same repository and branch twice is fine");
    insta::assert_snapshot!(brief_of(&loaded.problems), @r###"
error default.toml:9:8 [same] this path is also the path of deployment one -> each deployment needs a directory of its own
error default.toml:13:8 [inside] this path overlaps the path of deployment one -> each deployment needs a directory of its own
warning default.toml:17:1 [outside] the state directory /srv/state lies in this path -> name a directory that does not hold it: whoever writes in this one could change it
error default.toml:17:8 [outside] this path overlaps the path of deployment one -> each deployment needs a directory of its own
error default.toml:25:8 [root] the root of the file system cannot be deployed to -> name a directory below it
error default.toml:29:8 [state] this path lies in the state directory /srv/state -> name a directory outside it
"###);
}

#[test]
fn shared_paths_do_not_overlap() {
    insta::assert_snapshot!(wrong("shared_files = [\"keys/a\", \".env\", \".env\"]\nshared_dirs = [\"keys\"]"), @r###"
error default.toml:5:16 [x] `.env` and `.env` overlap: a link cannot lie in a link -> name only the outer one, once
error default.toml:6:15 [x] `keys/a` and `keys` overlap: a link cannot lie in a link -> name only the outer one, once
"###);
}

#[test]
fn a_secret_among_the_environment_is_worth_a_warning() {
    let loaded = TestHost::signed(&format!("{HEAD}environment = {{ API_TOKEN = \"x\" }}")).loaded();
    assert!(
        brief_of(&loaded.problems)
            .starts_with("warning default.toml:5:1 [x] `API_TOKEN` looks like a secret")
    );
    assert_eq!(loaded.config.deployments.len(), 1);
}
