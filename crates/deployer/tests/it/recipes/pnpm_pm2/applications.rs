//! Applications of other shapes: guilds' and live's two packages, Prisma's own migrations, and a legacy one with npm.

use crate::support::configuration::text;
use crate::support::http::Request;
use crate::support::node_app::NodeApp;
use crate::support::pm2::Pm2;
use crate::support::process::{command, succeed};
use crate::support::servers::{AUTHORITIES, cache, free_port, way_out};
use crate::support::wait;
use crate::support::world::World;

#[test]
fn two_packages_with_a_directory_each_and_state_that_outlives_releases() {
    World::run(|world| {
        let pm2 = Pm2::of(world);
        let app = NodeApp::of(world, "pnpm-full", "full");
        let client = free_port();
        app.keep(world, "server/keys/signing", "the key");
        let environment = format!("{{ PORT = \"{}\", CLIENT_PORT = \"{client}\" }}", app.port);
        let deployment = app
            .deployment(world)
            .with("packages", r#"["server", "client"]"#)
            .with("migrate", "[]")
            .with("environment", environment)
            .with("shared_files", "[]")
            .with("shared_dirs", r#"["server/keys", "server/state"]"#);
        world.configure(&[deployment]);
        let first = app.commit(&[]);
        world.start();
        world.deploy("full", &app.repository, &first);
        assert_eq!(pm2.names(), ["full-api", "full-client"]);
        assert_eq!(pm2.pids("full-api").len(), 2);
        Request::new("GET", "/visit").send(&app.address());

        let second = app.commit(&[("server/version.txt", "two")]);
        world.deploy("full", &app.repository, &second);
        let answer = app.answer();
        let said = (&answer["version"], &answer["key"], &answer["visits"]);
        assert_eq!(said, (&"two".into(), &"the key".into(), &1.into()));
        let live = fs_err::canonicalize(world.path_of("full").join("current")).expect("a link");
        assert_eq!(answer["place"], live.join("server").to_string_lossy().as_ref());
        // `pnpm start` in a directory of its own.
        let address = format!("127.0.0.1:{client}");
        let page = wait::until("the client to answer", || Request::new("GET", "/").send_to_mortal(&address));
        assert_eq!(String::from_utf8_lossy(&page.body), format!("page in {}", live.join("client").display()));
    });
}

#[test]
fn migrations_of_prisma_are_found_and_applied() {
    World::run(|world| {
        let pm2 = Pm2::of(world);
        let app = NodeApp::of(world, "pnpm-prisma", "prisma");
        let database = app.aside("database.sqlite");
        let store = cache("pnpm-store");
        // Prisma's engines cannot be downloaded everywhere; the adapter needs none, but Prisma wants to see them.
        let environment = format!(
            "{{ PORT = \"{}\", DATABASE_URL = \"file:{database}\", PRISMA_QUERY_ENGINE_LIBRARY = \"/bin/true\", PRISMA_SCHEMA_ENGINE_BINARY = \"/bin/true\", NODE_EXTRA_CA_CERTS = \"{AUTHORITIES}\", npm_config_store_dir = {}{} }}",
            app.port,
            text(&store.to_string_lossy()),
            way_out()
        );
        let deployment = world
            .deployment("prisma", &app.repository)
            .with("recipe", text("pnpm-pm2"))
            .with("environment", environment)
            .with("writable", format!("[{}]", text(&store.to_string_lossy())));
        world.configure(&[deployment]);
        let columns = || {
            let script = "import sqlite3, sys; print([row[1] for row in sqlite3.connect(sys.argv[1]).execute('pragma table_info(Visitor)')])";
            succeed(command("python3", world.root()).args(["-c", script, &database]))
        };
        let first = app.commit(&[]);
        let mut daemon = world.product(&["deploy", "prisma"]);
        succeed(&mut daemon);
        assert_eq!(
            (columns().as_str(), pm2.names()),
            ("['id', 'name']", vec!["prisma-app".to_owned()]),
            "{first}"
        );
        app.commit(&[(
            "prisma/migrations/2_second/migration.sql",
            "ALTER TABLE \"Visitor\" ADD COLUMN \"age\" INTEGER NOT NULL DEFAULT 0;",
        )]);
        succeed(&mut world.product(&["deploy", "prisma"]));
        assert_eq!(columns(), "['id', 'name', 'age']");
    });
}

#[test]
fn a_legacy_application_of_two_npm_packages_needs_no_recipe_of_its_own() {
    World::run(|world| {
        let app = NodeApp::of(world, "npm-plain", "plain");
        let deployment = world
            .deployment("plain", &app.repository)
            .step("install", "server", "npm ci --prefix server")
            .step("install", "client", "npm ci --prefix client")
            .step("build", "build", "(cd server && npm run build) && (cd client && npm run build)");
        world.configure(&[deployment]);
        world.start();
        for version in ["two", "three"] {
            let commit = app.commit(&[("server/page.txt", version), ("client/page.txt", version)]);
            world.deploy("plain", &app.repository, &commit);
            for package in ["server", "client"] {
                assert_eq!(world.live("plain", &format!("{package}/built.txt")).as_deref(), Some(version));
            }
        }
    });
}
