//! Each mistake, with its line and column and what to write instead.

use super::{GOOD_SECRET, TestHost, brief};
use crate::config::{Environment, Purpose, Rendering, load};
use crate::plan::recipes::REFERENCE;
use proptest::prelude::*;

fn problems(default: &str) -> String {
    brief(TestHost::signed(default).load())
}

#[test]
fn unknown_keys_name_what_was_probably_meant() {
    insta::assert_snapshot!(problems("[listen]\nprot = 3\n\n[zebra]\n[runs]\nconcurrency = 1\n[deployments.x]\nrepo = 'a/b'\nbranches = ['main']\n"), @r#"
    refused
    error default.toml:2:1 `prot` is not a key of `listen` -> did you mean `port`?
    error default.toml:4:2 `zebra` is not a key of the configuration -> known here are: origin, state_directory, executable_search_paths, privileges, webhook_secret_token, webhook_secret_token_file, webhook_secrets, webhook_secret_files, source_networks, page_networks, database_url, listen, proxy_fix, limits, github, reconcile, runs, nginx, certificates, git, confinement, repositories, deployments
    error default.toml:6:1 `concurrency` is not a key of `runs` -> known here are: parallel, disk_free_min, record_wait, keep, drain_timeout, environment_passed
    error default.toml:7:1 [x] `repository` is missing in `deployments.x` -> write for example `repository = "ducompsoc/durhack"`: `owner/name` on GitHub; what a push must name.
    error default.toml:7:1 [x] `branch` is missing in `deployments.x` -> write for example `branch = "main"`: The branch whose head is deployed.
    error default.toml:7:1 [x] `path` is missing in `deployments.x` -> write for example `path = "/var/www/api.durhack.com"`: Where releases, or the work tree, lie. Absolute; no other deployment's path may contain it or lie inside.
    error default.toml:8:1 [x] `repo` is not a key of `deployments.x` -> did you mean `repository`?
    error default.toml:9:1 [x] `branches` is not a key of `deployments.x` -> a deployment has one `branch`; write one deployment for each branch
    "#);
}

#[test]
fn a_key_of_the_root_below_a_header_is_sent_to_the_top() {
    insta::assert_snapshot!(problems("[listen]\nport = 1\norigin = 'https://a.org'\ngithub = {}\n"), @r"
    refused
    error default.toml:3:1 `origin` is not a key of `listen` -> `origin` belongs above the first line with [...]: what stands below one is a part of that
    error default.toml:4:1 `github` is not a key of `listen` -> known here are: host, port
    ");
}

#[test]
fn wrong_types_and_impossible_values_say_what_to_write() {
    insta::assert_snapshot!(problems(
        r#"origin = "deploy.durhack.com"
executable_search_paths = ["bin", "~/bin", "/ok", 3]
source_networks = ["192.0.2.0/33"]
database_url = "mysql://x"
github = 3
[listen]
host = "[::1]"
port = 70000
[limits]
body_max = "25 MegaBytes"
header_timeout = "soon"
connections_max = 0
[proxy_fix]
x_for = 1
trusted_proxies = ["127.0.0.1"]
[runs]
parallel = "2"
keep = 0
environment_passed = ["A-B"]
[repositories.durhack]
webhook_secret_token = "0123456789abcdef"
"#), @r###"
refused
error default.toml:1:10 this URL must begin with http:// or https:// and a host -> write for example `origin = "https://deploy.durhack.com"`
error default.toml:2:28 this path must be absolute -> write it from / on
error default.toml:2:35 `~` has no meaning here -> write the home directory out
error default.toml:2:51 this must be a text in quotes, not an integer -> write for example `executable_search_paths = ["/opt/node/bin"]`
error default.toml:3:20 "192.0.2.0/33" is not a network such as 192.0.2.0/24 or 2001:db8::/32 -> write for example `source_networks = ["192.0.2.0/24", "2001:db8::/32"]`
error default.toml:4:16 this must begin with sqlite: or postgres:// -> write for example `database_url = "postgres://deployer@localhost/deployer"`
error default.toml:5:10 this must be a table, not an integer -> github is a table; see docs/reference/configuration.md
error default.toml:7:8 "[::1]" is neither a host name nor an address (without brackets and port) -> write for example `host = "::"`
error default.toml:8:8 70000 is not possible here: it must be 0 to 65535 -> write for example `port = 3400`
error default.toml:10:12 this is not a size -> write for example "256MiB", "1GB", or bytes as an integer; KiB, MiB, GiB, TiB count by 1024, kB, MB, GB, TB by 1000
error default.toml:11:18 this is not a duration -> write for example "30s", "5m", "1h 30m", "250ms", or seconds as an integer
error default.toml:12:19 0 is not possible here: it must be 1 to 65536 -> write for example `connections_max = 256`
error default.toml:15:1 `trusted_proxies` and `x_for` exclude each other -> write `x_for = 0` beside `trusted_proxies`, or leave `trusted_proxies` out
error default.toml:17:12 this must be an integer, without quotes, not a text -> write for example `parallel = 2`
error default.toml:18:8 a duration must be more than 0 and at most 520w -> write for example "30s", "5m", "1h 30m", "250ms", or seconds as an integer
error default.toml:19:23 "A-B" is not a name of an environment variable -> write for example `environment_passed = ["HTTPS_PROXY"]`
error default.toml:20:1 "durhack" is not a repository name: it must have the form owner/name -> write for example [repositories."ducompsoc/durhack"]
"###);
}

#[test]
fn what_is_not_toml_is_shown_where_it_is() {
    insta::assert_snapshot!(problems("a = \nb = \"x\n[listen]\nport = 1\nport = 2\n"), @r###"
refused
error default.toml:1:5 this is not TOML: string values must be quoted, expected literal string -> see https://toml.io; texts stand in quotes, each key on a line of its own
error default.toml:2:7 this is not TOML: invalid basic string, expected `"` -> see https://toml.io; texts stand in quotes, each key on a line of its own
error default.toml:5:1 this is not TOML: duplicate key -> see https://toml.io; texts stand in quotes, each key on a line of its own
"###);
}

#[test]
fn people_see_the_lines_of_the_file() {
    let host = TestHost::signed(
        "[deployments.api]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/api\"\ntimeout = \"soon\"\n\n[listen]\nprot = 3\n",
    );
    let problems = host.load().unwrap_err();
    insta::assert_snapshot!(problems.render(Rendering::Plain), @r###"
 x deployment api: this is not a duration
  ,-[config/default.toml:5:11]
4 | path = "/srv/api"
5 | timeout = "soon"
  :           ^^^^^^
6 | 
  `----
 help: write for example "30s", "5m", "1h 30m", "250ms", or seconds as an integer
 x `prot` is not a key of `listen`
  ,-[config/default.toml:8:1]
7 | [listen]
8 | prot = 3
  : ^^^^
  `----
 help: did you mean `port`?
"###);
    assert!(
        !problems.to_string().contains('\u{1b}') && problems.render(Rendering::Terminal).contains('\u{1b}')
    );
}

#[test]
fn programs_get_json() {
    let host = TestHost::signed(
        "[deployments.api]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/api\"\ntimeout = \"soon\"\n",
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(&host.loaded().problems).unwrap(), @r###"
[
  {
    "severity": "error",
    "file": "config/default.toml",
    "line": 5,
    "column": 11,
    "key": "deployments.api.timeout",
    "deployment": "api",
    "message": "this is not a duration",
    "help": "write for example \"30s\", \"5m\", \"1h 30m\", \"250ms\", or seconds as an integer"
  }
]
"###);
}

#[test]
fn a_later_layer_is_blamed_for_what_it_says() {
    let host = TestHost::signed("[listen]\nport = 1").file("config/local.toml", "\n\nlisten.port = \"x\"");
    insta::assert_snapshot!(brief(host.load()), @r###"
refused
error local.toml:3:15 this must be an integer, without quotes, not a text -> write for example `port = 3400`
"###);
}

#[test]
fn what_is_missing_is_missed_in_the_last_file_that_has_the_table() {
    let host = TestHost::signed("[deployments.x]\nrepository = \"a/b\"\nbranch = \"main\"\n")
        .file("config/local.toml", "\n[deployments.x]\nenabled = false");
    assert!(brief(host.load()).starts_with("error local.toml:2:1 [x] `path` is missing"));
}

#[test]
fn files_that_are_no_text_or_too_large_are_refused() {
    let host = TestHost::signed("");
    fs_err::write(host.path("config/local.toml"), [0xff, 0xfe]).unwrap();
    assert!(brief(host.load()).contains("local.toml cannot be read"));
    let host = TestHost::signed(&"# comment\n".repeat(110_000));
    assert!(brief(host.load()).contains("has more than 1048576 bytes"));
}

/// Configurations of pieces that make sense alone: they get further into the resolution than random text.
fn configuration_like() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "listen",
        "port",
        "deployments",
        "x",
        "steps",
        "hooks",
        "before_build",
        "run",
        "sites",
        "health",
        "http",
        "path",
        "repository",
        "recipe",
        "webhook_secret_token",
        "webhook_secrets",
        "repositories",
        "environment",
        "shared_files",
        "github",
        "token",
        "origin",
        "\"a/b\"",
        "\"é\"",
        "paths",
        "clone_url",
        "timeout",
        "proxy_fix",
        "limits",
        "body_max",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "0",
        "true",
        "\"\"",
        "\"a/b\"",
        "\"/srv/x\"",
        "[]",
        "[[]]",
        "[1, \"x\"]",
        "{}",
        "{ run = [\"x\"] }",
        "[{ run = [] }, \"x\", [\"y\"]]",
        "1979-05-27",
        "1.5",
        "99999999999999999999",
        "\"30s\"",
        "\"nginx-sites\"",
        "\"\\u0000\"",
        "'''\nlong\n'''",
        "\"ducompsoc/durhack\"",
        "\"ünï\"",
        "[\"ünï\", \"../x\", \"~\"]",
        "\"::\"",
        "\"",
    ]);
    let header =
        (prop::collection::vec(key.clone(), 1..4), any::<bool>()).prop_map(|(keys, list)| match list {
            true => format!("[[{}]]\n", keys.join(".")),
            false => format!("[{}]\n", keys.join(".")),
        });
    let line = (prop::collection::vec(key, 1..4), value)
        .prop_map(|(keys, value)| format!("{} = {value}\n", keys.join(".")));
    prop::collection::vec(prop_oneof![1 => header, 3 => line], 0..8).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![configuration_like(), "\\PC{0,80}", "[\\[\\]a-c\"'=.\n#{},0-9]{0,60}"]) {
        let host = TestHost::signed(&text);
        match host.load() {
            Ok(loaded) => drop((loaded.merged.to_text(), loaded.merged.to_json(), loaded.problems.to_string())),
            Err(problems) => {
                prop_assert!(problems.refuses(), "what refuses says why");
                drop((problems.render(Rendering::Terminal), serde_json::to_string(&problems).unwrap()));
            }
        }
    }

    #[test]
    fn a_secret_in_the_configuration_is_never_in_a_report(text in configuration_like()) {
        let text = text.replace("ünï", GOOD_SECRET).replace("\"30s\"", &format!("\"{GOOD_SECRET}\""));
        let text = text.replace("webhook_secret_token = 1\n", &format!("webhook_secret_token = [\"{GOOD_SECRET}-hidden\", 1\n"));
        let host = TestHost::signed(&text);
        let report = host.load().map_or_else(|problems| problems.to_string(), |loaded| loaded.problems.to_string());
        prop_assert!(!report.contains("-hidden"), "{}", report);
    }
}

#[test]
fn a_directory_in_place_of_a_file_is_an_error() {
    let host = TestHost::signed("");
    fs_err::create_dir(host.path("config/local.toml")).unwrap();
    let result =
        load(&REFERENCE, None, &Environment::new([("A", "")], host.directory.path()), Purpose::Serve);
    assert!(brief(result).contains("local.toml cannot be read"));
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
    for text in [
        format!("{}x = 1", "a.".repeat(100_000)),
        format!("[{}x]", "a.".repeat(100_000)),
        format!("x = {}", "[".repeat(100_000)),
        format!("x = {}", "{a=".repeat(100_000)),
    ] {
        assert!(TestHost::signed(&text).load().is_err());
    }
}
