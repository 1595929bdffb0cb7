//! Configurations that exist are accepted as they are: the original's, the checkout's own, and the example.

use super::{TestHost, brief, brief_of, deployment, slugs};
use crate::config::keys::{KeyKind, each_key};
use crate::config::reference::example_toml;
use crate::config::{Environment, Loaded, Proxies, Purpose, SourceNetworks, load};
use crate::plan::recipes::REFERENCE;
use crate::plan::recipes::deployer::DeployerSettings;
use crate::plan::recipes::go_static::GoStaticSettings;
use crate::steps::nginx::selection::SitesSettings;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn original(host: &str, instance: &str) -> Loaded {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/original-config");
    let variables = [
        ("PYTHON_ENV", "production"),
        ("PYTHON_APP_INSTANCE", instance),
        ("DEPLOYER_WEBHOOK_SECRET", super::GOOD_SECRET),
        ("DATABASE_URL", "postgresql+psycopg://durhack@localhost/deployer"),
    ];
    let loaded = load(
        &REFERENCE,
        Some(&root.join(host)),
        &Environment::new(variables, "/srv/deployer"),
        Purpose::Serve,
    );
    loaded.unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_persistent_host_of_the_original() {
    let loaded = original("persistent", "deploy.durhack.com");
    let problems = brief_of(&loaded.problems);
    let first = "note production.toml:3:1 `x_proto` has no effect -> `origin` says how people reach this instance; the line may go";
    assert!(problems.contains(first), "{problems}");
    // The same repository twice: who of them listens where, only the host's files say.
    assert_eq!(problems.matches("no health check").count(), 2, "{problems}");
    assert_eq!(problems.lines().count(), 3, "{problems}");
    let config = loaded.config;
    assert_eq!(config.origin, "https://deploy.durhack.com");
    assert_eq!((config.intake.host.as_str(), config.intake.port), ("::", 3400));
    assert_eq!(config.intake.proxies, Proxies::Hops(1));
    assert_eq!(config.intake.source_networks, SourceNetworks::GitHub);
    assert_eq!(config.intake.secrets.len(), 1, "the default of the original is not among them");
    assert_eq!(config.executable_search_paths.len(), 2);
    assert_eq!(config.database_url.expose(), "postgres://durhack@localhost/deployer");
    let slugs = slugs(&config);
    assert_eq!(slugs, ["durhack-api", "durhack-staging-api", "deployer", "nginx"]);
    let staging = deployment(&config, "durhack-staging-api");
    assert_eq!(staging.instance_name.as_deref(), Some("durhack-staging"));
    assert_eq!(staging.branch.as_str(), "staging");
    assert!(staging.shared_files.contains(&PathBuf::from("server/.env")));
    assert!(staging.recipe.is_under_pm2());
    let deployer: &DeployerSettings = deployment(&config, "deployer").recipe.settings().unwrap();
    assert_eq!(deployer.systemd_unit_name.as_str(), "durhack-deployer-queue-workers.service");
    let nginx: &SitesSettings = deployment(&config, "nginx").recipe.settings().unwrap();
    assert_eq!(nginx.rules[0].select.len(), 5);
}

#[test]
fn the_event_host_of_the_original() {
    let loaded = original("event", "deploy-event.durhack.com");
    let config = &loaded.config;
    let slugs = slugs(config);
    assert_eq!(slugs, ["deployer", "nginx", "guilds", "live", "jury"]);
    assert!(deployment(config, "jury").enabled, "local.toml wins");
    let jury: &GoStaticSettings = deployment(config, "jury").recipe.settings().unwrap();
    assert_eq!(jury.publish, [PathBuf::from("client/build")], "where its site file looks");
    let nginx: &SitesSettings = deployment(config, "nginx").recipe.settings().unwrap();
    assert_eq!(nginx.rules.iter().map(|rule| rule.include).collect::<Vec<_>>(), [true, false, true, true]);
    assert!(deployment(config, "live").shared_dirs.contains(&PathBuf::from("server/state")));
    let problems = brief_of(&loaded.problems);
    assert!(
        !problems.contains("error")
            && problems
                .contains("[jury] the server of ducompsoc/durhack-jury is built, but nothing restarts it"),
        "{problems}"
    );
}

#[test]
fn a_fresh_checkout_starts_in_development_and_nowhere_else() {
    let default = include_str!("../../../../../config/default.toml");
    assert_eq!(brief(TestHost::new(default).load()), "");
    let problems = brief(TestHost::new(default).variable("DEPLOYER_ENV", "production").load());
    assert!(problems.contains("error default.toml:5:24 this secret is known to everybody"), "{problems}");
}

#[test]
fn the_example_is_a_configuration_and_all_its_values_are_defaults() {
    let host = TestHost::signed(&example_toml(&REFERENCE)).variable("DEPLOYER_ENV", "production");
    let loaded = host.loaded();
    assert_eq!(brief_of(&loaded.problems), "");
    assert_eq!(loaded.config.deployments.len(), REFERENCE.recipes.len());
    let bare = TestHost::signed("").variable("DEPLOYER_ENV", "production").loaded();
    for shown in bare.merged.show().iter().filter(|shown| !shown.value.to_string().contains("/tmp")) {
        let of_example = loaded.merged.show().iter().find(|other| other.key == shown.key).unwrap();
        assert_eq!(of_example.value, shown.value, "{}", shown.key);
    }
}

#[test]
fn the_example_has_every_key_and_no_other() {
    let mut known = BTreeSet::new();
    each_key(REFERENCE.root, &mut |path, key| {
        if !matches!(key.kind, KeyKind::Table(_) | KeyKind::Named(..) | KeyKind::Tables(_)) {
            known.insert(path.replace("[]", "").replace("\"OWNER/NAME\"", "NAME"));
        }
    });
    let mut written = BTreeSet::new();
    let mut prefix = String::new();
    for line in example_toml(&REFERENCE).lines().map(|line| line.strip_prefix('#').unwrap_or(line)) {
        if line.starts_with(' ') || line.is_empty() {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_matches(['[', ']']).replace("\"example/website\"", "NAME");
            let parts: Vec<&str> = header.split('.').collect();
            let parts: Vec<&str> = parts
                .iter()
                .enumerate()
                .map(|(at, part)| if parts[0] == "deployments" && at == 1 { "SLUG" } else { part })
                .collect();
            prefix = format!("{}.", parts.join("."));
        } else {
            written.insert(format!("{prefix}{}", line.split_once(" = ").unwrap().0));
        }
    }
    assert_eq!(written, known);
}
