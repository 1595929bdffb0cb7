//! `pm2`: the same for npm, yarn and bun, with ecosystem files in every form that PM2 reads.

use super::fails;
use crate::support::configuration::{Deployment, text};
use crate::support::http::Request;
use crate::support::node_app::NodeApp;
use crate::support::pm2::{Pm2, programs};
use crate::support::process::{command, describe};
use crate::support::world::World;
use std::path::Path;

/// Runs a test with `npm-app`, and with yarn and bun among the programs.
fn with_shop(test: impl FnOnce(&mut World, &Pm2, &NodeApp)) {
    World::run(|world| {
        world.confine();
        let pm2 = Pm2::of(world);
        // Not bun's own PID proxy, which its installation replaces: npm runs no scripts here.
        let bun = fs_err::read_dir(programs().join("../@oven")).expect("cargo xtask test --prepare-only");
        let bun = bun.map(|entry| entry.expect("it can be read").path().join("bin"));
        let bun = bun.filter(|bun| succeeds(bun)).last().expect("one for this machine");
        world.shims = Some(format!("{}:{}", bun.display(), programs().display()).into());
        let app = NodeApp::of(world, "npm-app", "shop");
        test(world, &pm2, &app);
    });
}

/// npm installs some for processors that this one may not be.
fn succeeds(bun: &Path) -> bool {
    // An npm that does not know libraries of C brings the one for musl, too: it has no loader here, and does not start.
    command(bun.join("bun"), bun).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn deployment(world: &World, app: &NodeApp) -> Deployment {
    let environment =
        format!("{{ PORT = \"{}\", TOLD = {:?}, NODE_ENV = \"production\" }}", app.port, app.aside("told"));
    world
        .deployment(app.slug, &app.repository)
        .with("recipe", text("pm2"))
        .with("environment", environment)
        .with("writable", format!("[{}]", text(&app.aside.to_string_lossy())))
        .with("health", format!("[{{ http = \"http://{}/\", interval = \"200ms\" }}]", app.address()))
}

/// What `plan` says, also where there is nothing to do.
fn planned(world: &World) -> String {
    let plan = world.cli(&["plan", "shop", "--json"]);
    assert!(plan.status.success(), "{}", describe(&plan));
    String::from_utf8_lossy(&plan.stdout).into_owned()
}

#[test]
fn the_story_of_a_package_that_npm_yarn_or_bun_installs() {
    with_shop(|world, pm2, app| {
        world.configure(&[deployment(world, app).with("migrate", r#"["tool", "migrate", "deploy"]"#)]);
        world.start();
        let version = |version: &str| app.commit(&[("version.txt", version)]);
        let locks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/npm-app-locks");
        let lock = |name: &str| fs_err::read_to_string(locks.join(name)).expect("the fixture has it");
        for (installer, before) in [("npm", None), ("yarn", Some("yarn.lock")), ("bun", Some("bun.lock"))] {
            if let Some(name) = before {
                if name == "bun.lock" {
                    app.repository.git(&["rm", "--quiet", "yarn.lock"]);
                }
                // npm's, which was there before, is stale from now on.
                app.commit(&[(name, &lock(name))]);
            }
            let first = version(&format!("first of {installer}"));
            world.deploy("shop", &app.repository, &first);
            let second = version(&format!("second of {installer}"));
            let run = world.deploy("shop", &app.repository, &second);
            assert_eq!(app.live_version(), format!("second of {installer}"));
            assert_eq!(app.told(), ["migrate deploy", "migrate deploy"], "{run:?}");
            let answer = app.answer();
            assert_eq!((&answer["greeting"], &answer["NODE_ENV"]), (&"hello".into(), &"production".into()));
            let live = fs_err::canonicalize(world.path_of("shop").join("current")).expect("a link");
            assert_eq!(answer["place"], live.to_string_lossy().as_ref());
            let plan = planned(world);
            assert!(plan.contains(&format!("{installer} run build")), "{plan}");
            let said = "package-lock.json is not";
            assert_eq!(plan.contains(said), installer != "npm", "{plan}");

            fails(world, app, &version("does not compile"), "TS2322: it does not compile");
            let output = world.cli(&["rollback", "shop"]);
            assert!(output.status.success(), "{}", describe(&output));
            assert_eq!(app.live_version(), format!("first of {installer}"));
            app.told();
        }
        assert_eq!(pm2.names(), ["shop"]);
    });
}

#[test]
fn an_ecosystem_file_may_have_every_form_that_pm2_reads() {
    with_shop(|world, pm2, app| {
        app.commit(&[("index.html", "a page")]);
        let page = format!("module.exports = {{ static: [{{ port: {}, path: '.' }}] }};", app.port);
        let served = format!("static-page-server-{}", app.port);
        for (file, form, name) in [
            ("ecosystem.config.js", "module.exports = { name: 'one', script: 'main.js' };", "one"),
            ("ecosystem.config.cjs", "module.exports = [{ name: 'list', script: 'main.js' }];", "list"),
            ("digit.config.js", "module.exports = { name: '2fa (blue)', script: 'main.js' };", "2fa (blue)"),
            ("letters.config.js", "module.exports = { name: 'größe', script: 'main.js' };", "größe"),
            ("apps.config.mjs", "export default { apps: [{ name: 'esm', script: 'main.js' }] };", "esm"),
            (
                "process.json",
                "{ \"apps\": [{ \"name\": \"json\", \"script\": \"main.js\" },], /* JavaScript */ }",
                "json",
            ),
            ("ecosystem.config.yml", "apps:\n  - name: yaml\n    script: main.js\n", "yaml"),
            ("config/pm2.config.js", "module.exports = { pm2: { name: 'under', cmd: 'main.js' } };", "under"),
            ("static.config.js", &page, &served),
        ] {
            world.configure(&[nothing_installed(world, app).with("ecosystem", text(file))]);
            app.commit(&[(file, form)]);
            let output = world.cli(&["deploy", "shop"]);
            assert!(output.status.success(), "{file}: {}", describe(&output));
            assert_eq!(pm2.names(), [name], "{file}");
        }
        let answer = Request::new("GET", "/").send(&app.address());
        assert!(String::from_utf8_lossy(&answer.body).contains("a page"), "{answer:?}");
        for (file, form, complaint) in [
            (
                "function.js",
                "module.exports = () => ({ apps: [] });",
                "it exports a function, which PM2 does not call",
            ),
            (
                "promise.js",
                "module.exports = Promise.resolve({});",
                "it exports a promise, for which PM2 does not wait",
            ),
            ("empty.json", "{ \"name\": ", "empty.json: Unexpected token"),
            ("nothing.yml", "apps:\n", "it exports no list `apps`"),
            ("apps.ts", "export const apps = [];", "PM2 reads applications from files that end with .js"),
        ] {
            world.configure(&[nothing_installed(world, app).with("ecosystem", text(file))]);
            app.commit(&[(file, form)]);
            let output = world.cli(&["deploy", "shop"]);
            let said = describe(&output);
            assert!(!output.status.success() && said.contains(complaint), "{file}: {said}");
            assert_eq!(pm2.names(), [served.as_str()], "the old ones go on");
        }
    });
}

/// Without an installation and a build.
fn nothing_installed(world: &World, app: &NodeApp) -> Deployment {
    deployment(world, app).with("installer", text("none"))
}

#[test]
fn a_block_for_an_environment_is_used_as_by_pm2_start_env() {
    with_shop(|world, pm2, app| {
        // What `pm2 start --env production` of PM2 7.0.4 gives: production's block, then that of `deploy`, then `env`.
        let file = "module.exports = {
            apps: [{ name: 'e', script: 'main.js', append_env_to_name: true, env: { A: 'env', B: 'env', C: 'env' },
                env_production: { A: 'block' }, env_staging: { A: 'staging' } }],
            deploy: { production: { env: { A: 'deploy', B: 'deploy', D: 'deploy' } } },
        };";
        app.commit(&[("ecosystem.config.js", file)]);
        let deploy = |deployment: Deployment| {
            world.configure(&[deployment]);
            app.commit(&[]);
            let output = world.cli(&["deploy", "shop", "--force"]);
            (output.status.success(), describe(&output))
        };
        let said = |key: &str| app.answer()[key].as_str().unwrap_or_default().to_owned();
        let ours = || nothing_installed(world, app);
        let run = deploy(ours());
        assert!(run.0 && !run.1.contains("nothing is used"), "{}", run.1);
        assert_eq!(pm2.names(), ["e-production"]);
        assert_eq!(["A", "B", "C", "D"].map(said), ["block", "deploy", "env", "deploy"]);

        let run = deploy(ours().with("pm2_env", text("staging")));
        assert!(run.0, "{}", run.1);
        assert_eq!((said("A"), pm2.names()), ("staging".into(), vec!["e-staging".to_owned()]));

        let (is_live, complaint) = deploy(ours().with("pm2_env", text("qa")));
        assert!(!is_live && complaint.contains("no application has `env_qa`"), "{complaint}");

        let told = "has `env_production` and `env_staging`, of which nothing is used";
        let environment = format!("{{ PORT = \"{}\" }}", app.port);
        let run = deploy(ours().with("environment", environment));
        assert!(run.0, "{}", run.1);
        assert_eq!((said("A"), pm2.names()), ("env".into(), vec!["e".to_owned()]));
        let log = world.cli(&["logs", "shop"]);
        let log = String::from_utf8_lossy(&log.stdout);
        assert!(log.contains(told), "{log}");
        assert!(planned(world).contains(told));
    });
}
