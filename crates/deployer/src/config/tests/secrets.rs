//! Where secrets come from, which are refused, and that none is ever shown.

use super::{GOOD_SECRET, TestHost, brief, brief_of, slugs};
use crate::config::{Purpose, Rendering, load};
use crate::plan::recipes::REFERENCE;

fn production(default: &str) -> TestHost {
    TestHost::new(default).variable("DEPLOYER_ENV", "production")
}

fn secrets(host: &TestHost) -> Vec<String> {
    host.loaded().config.intake.secrets.iter().map(|secret| secret.expose().to_owned()).collect()
}

#[test]
fn the_environment_then_the_file_then_the_credential_then_the_key() {
    let by_key = "webhook_secret_token = \"the-key-the-key-the-key\"\n";
    let by_file = format!("{by_key}webhook_secret_token_file = \"secret\"\n");
    let with_all = |default: &str| {
        let host = production(default)
            .file("secret", "the-file-the-file-the-file\n")
            .file("credentials/webhook-secret", "the-credential-the-credential\r\n");
        let credentials = host.path("credentials").display().to_string();
        (host, credentials)
    };
    let (host, credentials) = with_all(&by_file);
    assert_eq!(secrets(&host), ["the-file-the-file-the-file"]);
    let host = host.variable("CREDENTIALS_DIRECTORY", &credentials);
    assert_eq!(secrets(&host), ["the-file-the-file-the-file"]);
    assert_eq!(secrets(&host.variable("DEPLOYER_WEBHOOK_SECRET", GOOD_SECRET)), [GOOD_SECRET]);
    let (host, credentials) = with_all(by_key);
    assert_eq!(secrets(&host), ["the-key-the-key-the-key"]);
    assert_eq!(
        secrets(&host.variable("CREDENTIALS_DIRECTORY", &credentials)),
        ["the-credential-the-credential"]
    );
}

#[test]
fn further_ones_are_accepted_while_one_is_replaced() {
    let host = production("webhook_secret_token = \"newest-newest-newest\"\nwebhook_secrets = [\"older-older-older-older\"]\nwebhook_secret_files = [\"old\"]")
        .file("old", "oldest-oldest-oldest");
    assert_eq!(secrets(&host), ["newest-newest-newest", "older-older-older-older", "oldest-oldest-oldest"]);
}

#[test]
fn the_known_default_below_a_real_one_counts_as_unset() {
    let host = production("webhook_secret_token = \"not-a-real-secret-token\"")
        .file(
            "config/local.toml",
            &format!("webhook_secret_files = [\"real\"]\nwebhook_secrets = [\"{GOOD_SECRET}\"]"),
        )
        .file("real", "real-real-real-real");
    assert_eq!(secrets(&host), [GOOD_SECRET, "real-real-real-real"]);
}

#[test]
fn what_will_not_do_is_refused() {
    for (host, expected) in [
        (
            production("webhook_secret_token_file = \"f\"").file("f", "two-two-two-two-two\nlines"),
            "a secret must be one line",
        ),
        (production(""), "there is no webhook secret"),
        (production("webhook_secret_token = \"\""), "default.toml:1:24 a secret must not be empty"),
        (TestHost::new("webhook_secret_token = \" \""), "default.toml:1:24 a secret must not be empty"),
        (
            TestHost::new("").variable("DEPLOYER_WEBHOOK_SECRET", ""),
            "- environment DEPLOYER_WEBHOOK_SECRET: a secret must not be empty",
        ),
        (
            production("webhook_secret_token = \"too-short\""),
            "too short: at least 16 bytes -> make one with `openssl rand -hex 32`, and keep it out of files that a repository has",
        ),
        (production("webhook_secret_token = \"Not-A-Real-Secret-Token\""), "known to everybody"),
        (
            production("webhook_secrets = [\"It's a Secret to Everybody\"]"),
            "default.toml:1:20 this secret is known",
        ),
        (production("webhook_secret_token = 5"), "must be a text in quotes, not an integer"),
        (production("webhook_secret_token_file = \"nowhere\""), "default.toml:1:29 there is no file"),
        (
            production("webhook_secret_token_file = \"f\"").file("f", GOOD_SECRET).mode("f", 0o640),
            "others than its owner have access to this file (mode 640) -> run `chmod 600",
        ),
        (production("webhook_secret_token_file = \"f\"").file("f", "\n"), "a secret must not be empty"),
        (
            production("[repositories.\"a/b\"]\n").variable("DEPLOYER_WEBHOOK_SECRET", GOOD_SECRET),
            "default.toml:1:1 this repository's table has no usable secret",
        ),
        (
            production("[github]\ntoken = \"with space\"").variable("DEPLOYER_WEBHOOK_SECRET", GOOD_SECRET),
            "visible ASCII",
        ),
        (
            production("").variable("DEPLOYER_WEBHOOK_SECRET", GOOD_SECRET).variable("GH_TOKEN", ""),
            "environment GH_TOKEN: a token must not be empty",
        ),
        (
            production("[github]\napi_url = \"http://github.example.com\"")
                .variable("DEPLOYER_WEBHOOK_SECRET", GOOD_SECRET),
            "may not be sent unencrypted",
        ),
        (
            production("runs.environment_passed = [\"GITHUB_TOKEN\"]")
                .variable("DEPLOYER_WEBHOOK_SECRET", GOOD_SECRET),
            "never passed to a step",
        ),
    ] {
        let problems = brief(host.load());
        assert!(problems.starts_with("refused\n") && problems.contains(expected), "{expected}\n{problems}");
        assert_eq!(problems.lines().count(), 2, "one mistake, one error: {problems}");
    }
}

#[test]
fn a_repository_without_anybody_who_can_sign_is_left_out() {
    let deployment = |slug: &str, repository: &str, more: &str| {
        format!(
            "[deployments.{slug}]\nrepository = \"{repository}\"\nbranch = \"main\"\npath = \"/srv/{slug}\"\n{more}\n"
        )
    };
    let text = format!(
        "[repositories.\"a/b\"]\nwebhook_secret_file = \"s\"\n{}{}{}",
        deployment("one", "a/b", ""),
        deployment("two", "a/c", ""),
        deployment("off", "a/d", "enabled = false")
    );
    let loaded = production(&text).file("s", GOOD_SECRET).loaded();
    assert_eq!(
        brief_of(&loaded.problems),
        "error default.toml:9:14 [two] nobody could sign for a/c: there is no webhook secret -> write `webhook_secret_file` into [repositories.\"a/c\"]"
    );
    assert_eq!(slugs(&loaded.config), ["one", "off"]);
    assert!(loaded.config.intake.secrets.is_empty() && loaded.config.intake.repository_secrets.len() == 1);
}

#[test]
fn a_repository_that_nothing_deploys_is_probably_misspelt() {
    let host = TestHost::signed(&format!("[repositories.\"a/B\"]\nwebhook_secret_token = \"{GOOD_SECRET}\""));
    assert!(brief(host.load()).starts_with("warning default.toml:1:1 no deployment has the repository a/B"));
}

#[test]
fn a_credential_that_cannot_be_read_is_no_credential_that_is_not_there() {
    let host = production("").file("credentials/webhook-secret/x", "");
    let credentials = host.path("credentials").display().to_string();
    let problems = brief(host.variable("CREDENTIALS_DIRECTORY", &credentials).load());
    assert!(problems.contains("credential webhook-secret: the file"), "{problems}");
}

#[test]
fn a_secret_that_everybody_can_read_is_worth_a_warning() {
    let host =
        production(&format!("webhook_secret_token = \"{GOOD_SECRET}\"")).mode("config/default.toml", 0o644);
    let problems = brief(host.load());
    assert!(
        problems.starts_with("warning default.toml:1:1 every user of this machine can read this secret"),
        "{problems}"
    );
    assert_eq!(brief(host.mode("config/default.toml", 0o640).load()), "");
}

#[test]
fn no_secret_is_ever_shown() {
    let text = format!(
        "webhook_secret_token = \"{GOOD_SECRET}1\"\nwebhook_secrets = [\"{GOOD_SECRET}2\"]\nwebhook_secret_tokn = \"{GOOD_SECRET}3\"\n\
         database_url = \"mysql://me:{GOOD_SECRET}@db/x\"\n[github]\ntoken = [\"{GOOD_SECRET}4\"]\ntokens = \"{GOOD_SECRET}\"\n\
         [repositories.\"a/b\"]\nwebhook_secret_token = \"{GOOD_SECRET}5\"\nprot = 1\n"
    );
    for broken in ["", "x = ", "webhook_secret_token = \"hello"] {
        let host = production(&format!("{text}{broken}"));
        let problems = host.load().unwrap_err();
        let json = serde_json::to_string(&problems).unwrap();
        let all = format!("{problems}{}{json}{problems:?}", problems.render(Rendering::Terminal));
        assert!(!all.contains("c5fa1a5a6d3b4d0b"), "{all}");
    }
    let loaded =
        production(&format!("webhook_secret_token = \"{GOOD_SECRET}\"\n[github]\ntoken = \"{GOOD_SECRET}\""))
            .loaded();
    assert!(!format!("{loaded:?}").contains(GOOD_SECRET));
}

#[test]
fn the_database_may_be_named_in_many_ways() {
    for (url, expected) in [
        ("postgresql+psycopg://a@b/c", Some("postgres://a@b/c")),
        ("postgresql://a@b/c", Some("postgres://a@b/c")),
        ("postgres:///c?host=/run/postgresql", Some("postgres:///c?host=/run/postgresql")),
        ("sqlite:x.sqlite", Some("sqlite:x.sqlite")),
        ("sqlite:", None),
        ("mysql://a", None),
        ("", None),
    ] {
        let by_key = TestHost::signed(&format!("database_url = \"{url}\"")).load();
        let by_variable =
            TestHost::signed("database_url = \"sqlite:other\"").variable("DATABASE_URL", url).load();
        for result in [by_key, by_variable] {
            assert_eq!(
                result.ok().map(|loaded| loaded.config.database_url.expose().to_owned()).as_deref(),
                expected
            );
        }
    }
}

#[test]
fn this_machine_may_be_asked_unencrypted() {
    let host = TestHost::signed("github.api_url = \"http://127.0.0.1:8080/\"")
        .variable("DEPLOYER_ENV", "production");
    assert_eq!(host.loaded().config.github.api_url, "http://127.0.0.1:8080");
}

#[test]
fn a_password_in_a_url_is_refused_and_hidden() {
    let loaded = TestHost::signed(
        "[deployments.x]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/x\"\nclone_url = \"https://me:canary@github.com/a/b\"",
    )
    .loaded();
    assert!(brief_of(&loaded.problems).contains("5:13 [x] a password or token may not stand in `clone_url`"));
    assert!(!format!("{}{}", loaded.merged.to_text(), loaded.problems).contains("canary"));
}

#[test]
fn a_directory_may_be_given() {
    let host = TestHost::new("")
        .file("elsewhere/default.toml", &format!("webhook_secret_token = \"{GOOD_SECRET}\""));
    let environment = crate::config::Environment::new([("DEPLOYER_ENV", "production")], "/");
    assert!(load(&REFERENCE, Some(&host.path("elsewhere")), &environment, Purpose::Serve).is_ok());
}

#[test]
fn what_a_purpose_does_not_need_may_be_missing_unreadable_or_nonsense() {
    let text = "webhook_secret_token_file = \"hook-1\"\nwebhook_secret_files = [\"hook-2\"]\n\
                [github]\ntoken_file = \"key-1\"\n[repositories.\"a/b\"]\nwebhook_secret_file = \"hook-3\"\n\
                [deployments.x]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/x\"\nenabled = true\n\
                clone_url = \"git@github.com:a/b\"\nrecipe = \"steps\"\nssh_key_file = \"key-2\"\ngithub_token_file = \"key-3\"\n";
    let host = production(text).file("key-1", "two words").file("hook-2", GOOD_SECRET).mode("hook-2", 0o644);
    let said = |purpose| brief(host.load_for(purpose));
    assert_eq!(said(Purpose::Ask), "");
    let named = |purpose| {
        let said = said(purpose);
        ["hook-1", "hook-2", "hook-3", "key-1", "key-2", "key-3"].map(|name| said.contains(name))
    };
    assert_eq!(named(Purpose::Listen), [true, true, true, false, false, false], "{}", said(Purpose::Listen));
    assert_eq!(named(Purpose::Deploy), [false, false, false, true, true, true], "{}", said(Purpose::Deploy));
    for purpose in [Purpose::Serve, Purpose::Check] {
        assert_eq!(named(purpose), [true; 6], "{}", said(purpose));
    }
}

#[test]
fn a_deployer_that_only_deploys_needs_no_webhook_secret() {
    let text = "[deployments.x]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/x\"\nenabled = true\nrecipe = \"steps\"\n";
    let host = production(text);
    assert!(host.load_for(Purpose::Listen).unwrap_err().to_string().contains("there is no webhook secret"));
    let loaded = host.load_for(Purpose::Deploy).unwrap();
    assert_eq!((loaded.config.deployments.len(), brief_of(&loaded.problems).as_str()), (1, ""));
}

#[test]
fn roots_commands_find_what_the_services_are_given_and_a_blank_credential_is_none() {
    let host = production("[github]\n")
        .file("config/credentials/webhook-secret", &format!("{GOOD_SECRET}\n"))
        .file("config/credentials/github-token", "a-token\n");
    let token = |host: &TestHost| host.loaded().config.github.token.map(|token| token.expose().to_owned());
    assert_eq!(secrets(&host), [GOOD_SECRET]);
    assert_eq!(token(&host).as_deref(), Some("a-token"));
    let given = host.file("given/webhook-secret", "given-given-given-given").file("given/github-token", "\n");
    let directory = given.path("given").display().to_string();
    let given = given.variable("CREDENTIALS_DIRECTORY", &directory);
    assert_eq!(secrets(&given), ["given-given-given-given"]);
    fs_err::remove_dir_all(given.path("config/credentials")).unwrap();
    assert_eq!(token(&given), None);
}

#[test]
fn a_database_without_a_password_is_a_door_for_builds() {
    let deployment = "[deployments.site]\nrepository = \"acme/site\"\nbranch = \"main\"\npath = \"/srv/site\"\nrecipe = \"steps\"\nsteps = []\nenabled = true\n";
    let said = |url: &str, further: &str| {
        let text = format!("database_url = \"{url}\"\n{deployment}{further}");
        let host = TestHost::signed(&text).variable("DEPLOYER_ENV", "production");
        let problem = crate::config::resolve::open_database(&host.loaded().config);
        problem.is_some_and(|problem| problem.message.contains("asks the deployer for no password"))
    };
    assert!(said("postgres:///x?host=/run/postgresql", "") && said("postgres://me@localhost/x", ""));
    assert!(
        !said("postgres://me:of-mine@localhost/x", "") && !said("postgres://me@h/x?password=of-mine", "")
    );
    assert!(!said("postgres:///x?host=/run/postgresql", "user = \"app-site\"\n"));
    assert!(!said("sqlite:/x/y", ""));
}
