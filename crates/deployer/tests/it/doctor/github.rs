//! What `doctor` says of GitHub: of each kind of credential, of hooks, and of what is known of GitHub itself.

use super::{Report, as_root, configure, doctor, host};
use crate::credentials::{app_key, gh, private_file};
use crate::support::configuration::text;
use crate::support::github::{TOKEN, Weather};
use crate::support::http::Request;
use crate::support::process::output;
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::{SECRET, World};
use serde_json::json;

/// A hook, and its ping, which reaches the daemon.
#[track_caller]
pub fn create_hook(world: &World) {
    world.github.reach("https://localhost", Some(world.address()));
    // `webhook create` would not: a name that leads to this machine is one that GitHub cannot reach.
    let hook = json!({ "name": "web", "active": true, "events": ["push"], "config": {
        "url": "https://localhost/github-webhook", "content_type": "json", "insecure_ssl": "0", "secret": SECRET } });
    let answer = Request::new("POST", "/repos/acme/site/hooks")
        .header("Authorization", format!("Bearer {TOKEN}"))
        .body(hook.to_string().as_bytes())
        .send(world.github.url().trim_start_matches("http://"));
    assert_eq!(answer.status, 201, "{answer:?}");
    wait::until("the ping to be answered", || {
        world.github.hooks("acme/site").iter().any(|hook| !hook.deliveries.is_empty()).then_some(())
    });
}

#[test]
fn what_is_wrong_at_github_is_named() {
    World::run(|world| {
        host(world, |world, deployment| {
            world.settings.set("github.deployments", "true");
            deployment
        });
        world.start();
        doctor(world).assert("hooks", "error", "no hook delivers", "webhook create");
        create_hook(world);
        doctor(world).assert_well("hooks", "delivers here");

        // The hook exists, and its delivery reaches nobody; then the next one does.
        let ping = |address: Option<&str>| {
            let before = world.github.hooks("acme/site")[0].deliveries.len();
            world.github.reach("https://localhost", address);
            assert!(world.cli(&["webhook", "ping"]).status.success());
            wait::until("a delivery", || {
                (world.github.hooks("acme/site")[0].deliveries.len() > before).then_some(())
            });
        };
        ping(None);
        ping(Some(world.address()));
        doctor(world).assert(
            "hooks",
            "warning",
            "1 of the last 3 deliveries never arrived",
            "webhook redeliver --failed",
        );
        ping(None);
        world.github.switch_hooks(false);
        world.github.set_repositories(true, None);
        let report = doctor(world);
        report.assert("hooks", "error", "it is switched off", "https://github.com/acme/site/settings/hooks/");
        report.assert("credentials", "warning", "acme/site is archived", "enabled = false");
        world.github.switch_hooks(true);
        world.github.set_repositories(false, Some("acme/renamed"));
        doctor(world).assert("credentials", "warning", "is called acme/renamed now", "write its new name");
        world.github.set_repositories(false, None);
        world.github.set_scopes("repo:status, admin:org");
        world.github.set_account(true, true);
        let soon = durhack_deployer::base::clock::now() + jiff::SignedDuration::from_hours(24);
        world.github.set_expiration(&soon.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
        world.github.set_date("Mon, 23 Nov 2020 18:50:00 GMT");
        world.github.set_quota(100, 3600);
        let report = doctor(world);
        report.assert("hooks", "error", "the last delivery failed", "webhook redeliver");
        report.assert("credentials", "error", "may not write deployments", "fine-grained");
        report.assert("credentials", "warning", "admin:org", "fine-grained");
        report.assert("credentials", "warning", "administers acme/site", "GITHUB_TOKEN");
        report.assert("credentials", "warning", "it ends at", "settings/tokens");
        report.assert("credentials", "warning", "requests of this hour", "GitHub App");
        report.assert("clock", "error", "ahead of GitHub's", "timedatectl set-ntp true");

        world.github.set_account(false, false);
        world.github.let_token_manage_hooks(false);
        let report = doctor(world);
        report.assert("credentials", "error", "may not write to acme/site", "role Write");
        report.assert("hooks", "not-checked", "may not see hooks", "");

        world.github.set_quota(0, 3600);
        doctor(world).assert("credentials", "error", "takes no more requests", "wait");
        world.github.set_quota(100, 3600);

        world.github.remove_token(TOKEN);
        let report = doctor(world);
        report.assert("credentials", "error", "has ended, or was revoked", "settings/tokens");

        world.github.set_weather(Weather::Fails);
        doctor(world).assert("credentials", "error", "GitHub does not answer", "githubstatus");
    });
}

/// The world's settings have no token; each test says what else there is.
fn without_token(world: &mut World) -> Repository {
    world.settings.remove("github.token");
    host(world, |_, deployment| deployment)
}

#[test]
fn what_a_github_app_may_is_named() {
    World::run(|world| {
        let (_, public_of_another) = app_key(world);
        let (key, public) = app_key(world);
        world.github.install_app(4711, &public, "acme/site");
        world.settings.set("github.app_id", "4711");
        world.settings.set("github.app_key_file", text(&key.to_string_lossy()));
        without_token(world);
        world.start();
        for report in [doctor(world), Report::of(&output(&mut as_root(world)))] {
            report.assert_well("credentials", "the GitHub App: GitHub knows it, and it reads 1 repositories");
            report.assert_well("clock", "the clock is GitHub's");
        }
        let much = json!({ "contents": "write", "metadata": "read", "administration": "write" });
        world.github.set_app_permissions(much);
        let report = doctor(world);
        report.assert(
            "credentials",
            "error",
            "the App lacks Commit statuses: write",
            "the App's settings, Permissions",
        );
        report.assert(
            "credentials",
            "warning",
            "the App may write contents, administration",
            "the App's settings",
        );
        world.github.suspend_app();
        doctor(world).assert("credentials", "error", "installation is suspended", "unsuspend it");

        world.github.install_app(4711, &public, "acme/another");
        doctor(world).assert("credentials", "error", "no installation for acme/site", "install the App");
        world.github.install_app(4711, &public_of_another, "acme/site");
        doctor(world).assert("credentials", "error", "does not accept its key", "`app_key_file`");
    });
}

#[test]
fn the_account_of_gh_and_a_deployments_own_token_are_looked_at_and_none_is_told() {
    World::run(|world| {
        let login = gh(world, Some("gho_the-token-of-ada\n"));
        world.github.add_token("gho_the-token-of-ada");
        let repository = without_token(world);
        world.start();
        doctor(world).assert_well("credentials", "the account of `gh`: GitHub knows it");
        let mut root = as_root(world);
        let shims = world.shims.as_ref().expect("gh lies there").display();
        root.env("PATH", format!("{shims}:/usr/bin:/bin"));
        Report::of(&output(&mut root)).assert(
            "credentials",
            "not-checked",
            "`sudo -u nobody durhack-deployer doctor` looks",
            "",
        );
        world.github.remove_token("gho_the-token-of-ada");
        doctor(world).assert("credentials", "error", "has ended, or was revoked", "gh auth login");
        fs_err::remove_file(login).expect("it is there");
        let report = doctor(world);
        report.assert("credentials", "error", "the account of `gh`", "gh auth login");
        world.stop();

        let token = world.root().join("token");
        private_file(&token, "github_pat_of-the-deployment");
        world.settings.set("github.use_gh", "false");
        let own =
            world.deployment("site", &repository).with("github_token_file", text(&token.to_string_lossy()));
        world.github.add_token("github_pat_of-the-deployment");
        configure(world, &[own]);
        world.start();
        doctor(world).assert_well("credentials", "the token of site: GitHub knows it");
        configure(world, &[world.deployment("site", &repository)]);
        doctor(world).assert("credentials", "warning", "there is no credential", "token_file");
    });
}

#[test]
fn what_is_known_of_github_and_what_is_not_is_named() {
    World::run(|world| {
        host(world, |world, deployment| {
            world.settings.set("source_networks", "\"github\"");
            deployment.with("clone_url", "\"git@127.0.0.1:acme/site.git\"")
        });
        let meta = world.state().join("github-meta.json");
        world.start();
        wait::until("GitHub's networks to be known", || meta.exists().then_some(()));
        world.stop();
        // GitHub has said no host keys.
        doctor(world).assert(
            "networks",
            "warning",
            "host keys of 127.0.0.1 are not pinned",
            "start the daemon",
        );
        let known = fs_err::read(&meta).expect("it is there");
        world.github.set_hooks(&["192.0.2.0/24"]);
        world.github.set_ssh_keys(&[
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKoLZ3IVBYDVZp0sOzjXGsVyRfyYwnbUAbJGzIiJbTFH",
        ]);
        doctor(world).assert("networks", "warning", "has other networks", "start the daemon");
        fs_err::write(&meta, "{").expect("writable");
        let remove = format!("rm {}", meta.display());
        doctor(world).assert("networks", "error", "cannot be used", &remove);
        fs_err::remove_file(&meta).expect("it is there");
        world.start();
        wait::until("GitHub's networks to be known", || meta.exists().then_some(()));
        wait::until("GitHub's host keys to be known", || {
            world.state().join("github-known-hosts").exists().then_some(())
        });
        assert_ne!(fs_err::read(&meta).expect("it is there"), known);
        doctor(world).assert_well("networks", "GitHub's networks and host keys are known");
    });
}
