//! Which files are read, what wins, and what `config show` says of it.

use super::{GOOD_SECRET, TestHost, brief};
use crate::config::{Environment, Proxies, Purpose, SourceNetworks, load};
use crate::plan::recipes::REFERENCE;
use std::path::Path;
use std::time::Duration;

#[test]
fn nothing_but_a_secret_is_needed_and_everything_has_a_default() {
    let host = TestHost::signed("");
    let config = host.loaded().config;
    assert_eq!(config.environment, "development");
    assert_eq!(config.origin, "http://localhost:3400");
    assert_eq!(config.state_directory, host.path("var"));
    assert_eq!(config.database_url.expose(), format!("sqlite:{}", host.path("var/record.sqlite").display()));
    assert_eq!((config.intake.host.as_str(), config.intake.port), ("localhost", 3400));
    assert_eq!(config.intake.proxies, Proxies::Hops(0));
    assert_eq!(config.intake.source_networks, SourceNetworks::Any);
    assert_eq!(config.intake.body_bytes_max, 25 << 20);
    assert_eq!(config.runs.parallel_max, 2);
    assert_eq!(config.runs.keep, Duration::from_secs(90 * 24 * 3600));
    assert!(config.github.token.is_none());
}

#[test]
fn later_layers_win_and_the_names_of_the_original_are_read_where_ours_are_unset() {
    let layers = ["default", "E", "I", "E-I", "local", "local-E", "local-I", "local-E-I"];
    let ours = [
        ("DEPLOYER_ENV", "E"),
        ("DEPLOYER_INSTANCE", "I"),
        ("PYTHON_ENV", "x"),
        ("PYTHON_APP_INSTANCE", "y"),
    ];
    let of_original = [("DEPLOYER_ENV", ""), ("PYTHON_ENV", "E"), ("PYTHON_APP_INSTANCE", "I")];
    for variables in [&ours[..], &of_original] {
        for last in 0..layers.len() {
            let mut host = TestHost::signed("");
            for (name, value) in variables {
                host = host.variable(name, value);
            }
            // Written from the last to the first: the order on disk must not matter.
            for (port, layer) in layers.iter().enumerate().take(last + 1).rev() {
                host = host.file(&format!("config/{layer}.toml"), &format!("listen.port = {port}"));
            }
            let loaded = host.file("config/other.toml", "listen.port = 99").loaded();
            assert_eq!(usize::from(loaded.config.intake.port), last);
            assert_eq!(loaded.layers.len(), last + 1);
            assert_eq!(loaded.config.instance.as_deref(), Some("I"));
        }
    }
}

#[test]
fn what_becomes_a_file_name_must_be_safe() {
    for (variable, value) in
        [("DEPLOYER_ENV", "../x"), ("PYTHON_APP_INSTANCE", "a/b"), ("DEPLOYER_INSTANCE", ".x")]
    {
        let problems = host_refuses(&TestHost::signed("").variable(variable, value));
        assert!(problems.contains(variable) && problems.contains("part of a file name"), "{problems}");
    }
}

fn host_refuses(host: &TestHost) -> String {
    let problems = brief(host.load());
    assert!(problems.starts_with("refused"), "{problems}");
    problems
}

#[test]
fn a_directory_that_is_not_there_is_said_and_so_is_an_empty_one() {
    let empty = tempfile::tempdir().unwrap();
    let environment = Environment::new([("A", "")], empty.path());
    let problems =
        load(&REFERENCE, Some(Path::new("nowhere")), &environment, Purpose::Serve).unwrap_err().to_string();
    assert!(problems.contains("no configuration directory nowhere"), "{problems}");
    fs_err::create_dir(empty.path().join("config")).unwrap();
    let problems = load(&REFERENCE, None, &environment, Purpose::Serve).unwrap_err().to_string();
    assert!(problems.contains("config holds no configuration"), "{problems}");
    assert!(problems.contains("local-development.toml"), "{problems}");
}

#[test]
fn dot_env_adds_to_the_environment_and_does_not_win() {
    let host = TestHost::new("")
        .file(".env", "DATABASE_URL=postgresql+psycopg://me:pw@db/x\nDEPLOYER_WEBHOOK_SECRET=of-a-file-that-does-not-win")
        .variable("DEPLOYER_WEBHOOK_SECRET", GOOD_SECRET);
    let loaded = host.loaded();
    assert_eq!(loaded.config.database_url.expose(), "postgres://me:pw@db/x");
    assert_eq!(loaded.config.intake.secrets[0].expose(), GOOD_SECRET);
    assert_eq!(loaded.environment.get("DATABASE_URL"), Some("postgresql+psycopg://me:pw@db/x"));

    let beside = TestHost::new("")
        .file("etc/config/default.toml", "")
        .file("etc/.env", "DEPLOYER_WEBHOOK_SECRET=beside-the-configuration");
    let environment = Environment::new([("A", "")], beside.directory.path());
    let loaded = load(&REFERENCE, Some(Path::new("etc/config")), &environment, Purpose::Serve).unwrap();
    assert_eq!(loaded.config.intake.secrets[0].expose(), "beside-the-configuration");

    let problems = host_refuses(&TestHost::signed("").file(".env", "A=1\nB='hunter2"));
    assert!(problems.contains(".env: line 2") && !problems.contains("hunter2"), "{problems}");
}

#[test]
fn the_state_directory_is_the_written_one_or_that_of_systemd() {
    let of_systemd = TestHost::signed("").variable("STATE_DIRECTORY", "/var/lib/a:/var/lib/b").loaded();
    assert_eq!(of_systemd.config.state_directory, Path::new("/var/lib/a"));
    let written = TestHost::signed("state_directory = \"./x\"").variable("STATE_DIRECTORY", "/var/lib/a");
    assert_eq!(written.loaded().config.state_directory, written.path("x"));
}

#[test]
fn the_origin_follows_what_is_listened_on() {
    for (host, origin) in
        [("::", "localhost"), ("0.0.0.0", "localhost"), ("::1", "[::1]"), ("10.0.0.1", "10.0.0.1")]
    {
        let config =
            TestHost::signed(&format!("listen = {{ host = \"{host}\", port = 80 }}")).loaded().config;
        assert_eq!(config.origin, format!("http://{origin}:80"));
    }
}

#[test]
fn shown_is_what_holds_with_its_origin_and_without_its_secrets() {
    let host = TestHost::new("webhook_secret_token = \"canary-canary-canary\"\ndatabase_url = \"postgres://me:canary@db/x\"\n[listen]\nport = 1\n")
        .file("config/local.toml", "[listen]\nport = 2\n[github]\ntoken = \"canary\"\n[deployments.x]\nrepository = \"ducompsoc/durhack-nginx\"\nbranch = \"main\"\npath = \"/srv/x\"\nsites = [{ rule = \"include\", select = [\"*\"] }]\nenvironment = { API_TOKEN = \"canary\", A = \"shown\" }\n")
        .variable("DATABASE_URL", "postgres://me:canary@db/y");
    let loaded = host.loaded();
    let text = loaded.merged.to_text();
    for line in [
        "listen.port = 2  # config/local.toml:2",
        "listen.host = \"localhost\"  # default",
        "webhook_secret_token = \"(hidden)\"  # config/default.toml:1",
        "github.token = \"(hidden)\"  # config/local.toml:4",
        "database_url = \"postgres://me@db/y\"  # environment DATABASE_URL",
        "deployments.x.recipe = \"nginx-sites\"  # preset of ducompsoc/durhack-nginx",
        "deployments.x.shared_dirs = [\"local-live\"]  # preset of ducompsoc/durhack-nginx",
        "deployments.x.sites[0].select = [\"*\"]  # config/local.toml:9",
        "deployments.x.environment.API_TOKEN = \"(hidden)\"  # config/local.toml:10",
        "deployments.x.environment.A = \"shown\"  # config/local.toml:10",
        "deployments.x.clone_url = \"https://github.com/ducompsoc/durhack-nginx.git\"  # default",
        "deployments.x.keep_releases = 5  # default",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\nis not in\n{text}");
    }
    let everything = format!("{text}{}{}", loaded.merged.to_json(), loaded.problems);
    assert!(!everything.contains("canary"), "{everything}");
    let keys: Vec<&str> = loaded.merged.show().iter().map(|shown| shown.key.as_str()).collect();
    let distinct: std::collections::BTreeSet<&str> = keys.iter().copied().collect();
    assert_eq!(keys.len(), distinct.len(), "no key is shown twice");
}
