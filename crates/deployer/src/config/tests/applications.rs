//! The recipes for whole applications: what their keys become.

use super::{TestHost, brief, brief_of, deployment};
use crate::config::{CommandLine, Deployment};
use crate::plan::recipes::go_static::GoStaticSettings;
use crate::plan::recipes::uv_uwsgi::UvUwsgiSettings;
use std::path::PathBuf;

fn one(keys: &str) -> Deployment {
    let (deployment, problems) = one_with_problems(keys);
    assert_eq!(problems, "");
    deployment
}

fn one_with_problems(keys: &str) -> (Deployment, String) {
    let head = "[deployments.x]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/x\"\n";
    let loaded = TestHost::signed(&format!("{head}{keys}")).loaded();
    (deployment(&loaded.config, "x").clone(), brief_of(&loaded.problems))
}

#[test]
fn uv_uwsgi() {
    let settings = |keys: &str| -> UvUwsgiSettings {
        one(&format!("recipe = \"uv-uwsgi\"\n{keys}")).recipe.settings::<UvUwsgiSettings>().unwrap().clone()
    };
    let bare = UvUwsgiSettings {
        uwsgi_config_path: "/etc/vassals/x.ini".into(),
        uwsgi_config: None,
        migrate: None,
        python: None,
    };
    let path = "uwsgi_config_path = \"/etc/vassals/x.ini\"\n";
    assert_eq!(settings(path), bare);
    assert_eq!(
        settings(&format!("{path}uwsgi_config = \"uwsgi.ini\"\nmigrate = []\npython = \"3.11\"")),
        UvUwsgiSettings {
            uwsgi_config: Some("uwsgi.ini".into()),
            migrate: Some(Vec::new()),
            python: Some("3.11".into()),
            ..bare
        }
    );
}

#[test]
fn uv_uwsgi_needs_to_know_its_vassal() {
    let head = "[deployments.x]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/x\"\nrecipe = \"uv-uwsgi\"\n";
    let problems = brief(TestHost::signed(head).load());
    assert!(problems.contains("uwsgi_config_path") && problems.starts_with("error"), "{problems}");
    let problems = brief(TestHost::signed(&format!("{head}uwsgi_config_path = \"x.ini\"")).load());
    assert!(problems.contains("this path must be absolute"), "{problems}");
    let problems =
        brief(TestHost::signed(&format!("{head}uwsgi_config_path = \"/x.ini\"\nclient = \"c\"")).load());
    assert!(problems.contains("`client` belongs to recipe \"go-static\""), "{problems}");
}

#[test]
fn go_static() {
    let settings = |keys: &str| -> GoStaticSettings {
        one(&format!("recipe = \"go-static\"\n{keys}")).recipe.settings::<GoStaticSettings>().unwrap().clone()
    };
    let bare = GoStaticSettings {
        client: None,
        client_build: None,
        client_output: "client/build".into(),
        server: None,
        server_binary: "server/bin/server".into(),
        units: Vec::new(),
        user: false,
        restart: None,
        publish: Vec::new(),
    };
    assert_eq!(settings(""), bare);
    let moved = settings("client = \"web\"\nserver = \"cmd/api\"");
    assert_eq!(moved.client_output, PathBuf::from("web/build"));
    assert_eq!(moved.server_binary, PathBuf::from("cmd/api/bin/server"));
    let (with_units, problems) =
        one_with_problems("recipe = \"go-static\"\nunits = [\"a.service\"]\nuser_units = true");
    // The deployer's own units make it the deployer's own user.
    assert!(problems.starts_with("warning") && problems.contains("leave `user_units` out"), "{problems}");
    let with_units: &GoStaticSettings = with_units.recipe.settings().unwrap();
    assert_eq!((with_units.units[0].as_str(), with_units.user), ("a.service", true));
    let more = settings("restart = [\"x\", \"y\"]\npublish = [\"p\"]");
    assert_eq!(more.restart, Some(CommandLine::Argv(vec!["x".into(), "y".into()])));
    assert_eq!(more.publish, [PathBuf::from("p")]);
}
