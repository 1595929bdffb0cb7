//! As whom a deployment runs: what is written, what `setup` has recorded, and what is said of it.

use super::{TestHost, brief, brief_of, deployment};
use crate::base::names::UserName;
use crate::config::users::has_changed;
use crate::config::{Environment, Layout, UserSource};

const TWO: &str = r#"
[deployments.api]
repository = "a/b"
branch = "main"
path = "/srv/api"
[deployments.web]
repository = "a/b"
branch = "main"
path = "/srv/web"
"#;

/// The file is believed as root's only.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not tried: this needs root");
        assert!(Environment::of_process().get("CI").is_none(), "CI runs tests as root");
    }
    is_root
}

fn recorded(entries: &str, more: &str) -> TestHost {
    TestHost::signed(&format!("{TWO}{more}")).file("config/users.toml", &format!("[users]\n{entries}"))
}

/// As whom, who says so, and how it is laid out.
fn found(host: &TestHost, slug: &str) -> (Option<String>, UserSource, Option<Layout>) {
    let loaded = host.loaded();
    let found = deployment(&loaded.config, slug);
    (found.user.as_ref().map(UserName::to_string), found.user_source, found.layout)
}

#[test]
fn without_a_record_everything_is_as_it_was() {
    let host = TestHost::signed(TWO);
    assert_eq!(found(&host, "api"), (None, UserSource::NotSetUp, None));
    assert!(host.loaded().problems.is_empty());
}

#[test]
fn what_is_recorded_holds_and_what_is_not_runs_nothing() {
    if !is_root() {
        return;
    }
    let host = recorded("api = \"app-api\"\n", "");
    assert_eq!(
        found(&host, "api"),
        (Some("app-api".into()), UserSource::Recorded, Some(Layout::Releases)),
        "a user of its own has releases, whatever is found at its path"
    );
    assert_eq!(found(&host, "web"), (None, UserSource::Missing, None));
    insta::assert_snapshot!(brief_of(&host.loaded().problems), @"warning default.toml:6:1 [web] web has no user yet, as whom it could be built and run: `sudo durhack-deployer setup` makes one -> nothing of it runs before that: a deployment that was added since the last `setup` does not run as the deployer");
    let shown = host.loaded().merged.to_text();
    assert!(shown.contains("deployments.api.user") && shown.contains("users.toml"), "{shown}");
}

#[test]
fn who_shares_a_user_is_told_what_that_means() {
    if !is_root() {
        return;
    }
    let by_record = recorded("api = \"durhack-deployer\"\nweb = \"app-web\"\n", "");
    assert_eq!(found(&by_record, "api"), (None, UserSource::Recorded, None));
    insta::assert_snapshot!(brief_of(&by_record.loaded().problems), @"warning default.toml:2:1 [api] this deployment is built and run as the deployer itself: whatever is pushed to it can do what the deployer can: reach every deployment, also those that have a user of their own -> `sudo durhack-deployer move-user api` gives it a user of its own");
    // `web` comes last: what is appended is its.
    let written = recorded(
        "api = \"app-api\"\nweb = \"app-web\"\n",
        "user = \"durhack-deployer\"\nlayout = \"in-place\"\n",
    );
    assert_eq!(found(&written, "web"), (None, UserSource::Written, Some(Layout::InPlace)));
    insta::assert_snapshot!(brief_of(&written.loaded().problems), @"warning default.toml:10:1 [web] this deployment is built and run as the deployer itself: whatever is pushed to it can do what the deployer can: reach every deployment, also those that have a user of their own -> leave `user` out, and run `sudo durhack-deployer move-user web`: it then has a user of its own");
    let same = recorded("api = \"app-api\"\n", "user = \"app-api\"\n");
    assert_eq!(found(&same, "web"), (Some("app-api".into()), UserSource::Written, Some(Layout::Releases)));
    insta::assert_snapshot!(brief_of(&same.loaded().problems), @"warning default.toml:10:1 [web] app-api is also the user of deployment api: whatever is pushed to one of them can change and end the other -> leave `user` out, and each has a user of its own: `sudo durhack-deployer setup` makes it");
}

#[test]
fn what_has_a_user_of_its_own_is_not_deployed_in_place() {
    if !is_root() {
        return;
    }
    let host = recorded("api = \"app-api\"\nweb = \"app-web\"\n", "layout = \"in-place\"\n");
    insta::assert_snapshot!(brief(host.load()), @r#"error default.toml:10:10 [web] what is deployed in place is the deployer's: a user of its own has releases -> write "releases", or leave `layout` out"#);
}

#[test]
fn a_record_that_cannot_be_believed_refuses_everything() {
    if !is_root() {
        return;
    }
    let host = recorded("api = \"root\"\n", "");
    assert!(brief(host.load()).contains("no push is worth root"), "{}", brief(host.load()));
    let host = recorded("api = \"app-api\"\n", "").mode("config/users.toml", 0o666);
    assert!(brief(host.load()).starts_with("refused\nerror"), "{}", brief(host.load()));
    // Its layer would be the same file.
    let host = TestHost::signed(TWO).variable("DEPLOYER_INSTANCE", "users");
    assert!(brief(host.load()).contains("DEPLOYER_INSTANCE"), "{}", brief(host.load()));
}

#[test]
fn a_worker_notices_that_somebody_has_changed_as_whom_it_runs() {
    if !is_root() {
        return;
    }
    let changed = |before: &TestHost, slug: &str, after: Option<&str>| {
        let loaded = before.loaded();
        let scratch = tempfile::tempdir().unwrap();
        if let Some(entries) = after {
            fs_err::write(scratch.path().join("users.toml"), format!("[users]\n{entries}")).unwrap();
        }
        has_changed(scratch.path(), deployment(&loaded.config, slug)).unwrap()
    };
    let (bare, own) = (TestHost::signed(TWO), recorded("api = \"app-api\"\n", "user = \"web\"\n"));
    for (before, slug, after, expected) in [
        (&bare, "api", None, false),
        (&bare, "api", Some("api = \"durhack-deployer\"\n"), false),
        (&bare, "api", Some("api = \"app-api\"\n"), true),
        (&bare, "api", Some(""), true),
        (&own, "api", Some("api = \"app-api\"\n"), false),
        (&own, "api", Some("api = \"app-b\"\n"), true),
        (&own, "api", Some("api = \"durhack-deployer\"\n"), true),
        (&own, "api", None, true),
        // What is written is changed by writing.
        (&own, "web", Some("web = \"app-web\"\n"), false),
    ] {
        assert_eq!(changed(before, slug, after), expected, "{slug} {after:?}");
    }
}
