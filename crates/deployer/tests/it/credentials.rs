//! Who the deployer is to GitHub: for the API, for https, for ssh. No credential is ever seen where it does not belong.

use crate::support::configuration::text;
use crate::support::github::TOKEN;
use crate::support::process::{command, describe, succeed};
use crate::support::ssh::SshServer;
use crate::support::wait;
use crate::support::world::{World, files_under, files_without_secrets};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Writes a file that only its owner can read.
pub fn private_file(path: &Path, content: &str) {
    fs_err::write(path, content).expect("writable");
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// The secret is in nothing that the daemon wrote, and was in no argument list of its programs.
#[track_caller]
fn assert_hidden(world: &World, secret: &str, processes: &[String]) {
    assert!(!processes.is_empty() && processes.iter().any(|line| line.contains("git")), "{processes:?}");
    assert!(processes.iter().all(|line| !line.contains(secret)), "{processes:?}");
    assert!(!world.log().contains(secret), "in the log");
    let files = files_without_secrets(&world.state());
    for file in files.into_iter().chain(files_under(&world.root().join("srv"))) {
        let bytes = if file.is_file() { fs_err::read(&file).unwrap_or_default() } else { Vec::new() };
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "in {}", file.display());
    }
    for arguments in [&["runs", "--json"][..], &["status", "--json"], &["config", "show"]] {
        assert!(!describe(&world.cli(arguments)).contains(secret), "{arguments:?}");
    }
}

#[test]
fn a_token_fetches_a_private_repository_and_is_seen_nowhere() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let server = world.github.serve_git(world.root());
        let url = text(&server.clone_url("acme/site"));
        world.configure(&[world.deployment("site", &repository).with("clone_url", url.clone())]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        assert_hidden(world, TOKEN, &server.processes());
        world.stop();

        // A token that is not accepted: the run says what to do, and not what the token is.
        let token = world.root().join("token");
        private_file(&token, "github_pat_another-one");
        let own = world.deployment("site", &repository).with("clone_url", url);
        let own = own.with("github_token_file", text(&token.to_string_lossy()));
        world.configure(&[own]);
        let second = repository.commit(&[("index.html", "two")], "second");
        world.start();
        world.push(&repository, &second);
        let run = world.ended_run("site", &second);
        let cause = run.cause.unwrap_or_default();
        assert!(run.state == "failed" && cause.contains("github_token_file"), "{cause}");
        assert_hidden(world, "github_pat_another-one", &server.processes());

        // The deployment's own token is also the one by which its statuses are told.
        assert!(world.github.statuses("acme/site", &second).is_empty());
        world.github.add_token("github_pat_another-one");
        let third = repository.commit(&[("index.html", "three")], "third");
        world.deploy("site", &repository, &third);
        assert_eq!(world.reported(&repository, &third).state, "success");
        world.github.remove_token(TOKEN);
        let fourth = repository.commit(&[("index.html", "four")], "fourth");
        world.deploy("site", &repository, &fourth);
        assert_eq!(world.reported(&repository, &fourth).state, "success");
    });
}

// A push writes the URLs of its submodules. It reads no private repository by that, neither with the deployment's token nor out of what
// was fetched for another deployment.
#[test]
fn a_submodule_is_fetched_with_a_token_only_where_the_operator_has_named_it() {
    World::run(|world| {
        let private = world.repository("acme/private");
        let inside = private.commit(&[("inside.txt", "private")], "private");
        let server = world.github.serve_git(world.root());
        let with_submodule = |name: &str| {
            let repository = world.repository(name);
            let modules = "[submodule \"lib\"]\n\tpath = lib\n\turl = ../private.git\n";
            repository.commit(&[(".gitmodules", modules), ("index.html", "page")], "modules");
            repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{inside},lib")]);
            let commit = repository.commit_index("a submodule");
            (repository, commit)
        };
        let (app, of_app) = with_submodule("acme/app");
        let (site, of_site) = with_submodule("acme/site");
        let named = text("acme/private");
        let configure = |world: &mut World, site_may: bool| {
            let deployment = |slug: &str, repository, may: bool| {
                let url = text(&server.clone_url(&format!("acme/{slug}")));
                let all =
                    world.deployment(slug, repository).with("clone_url", url).with("submodules", "true");
                if may { all.with("submodule_repositories", format!("[{named}]")) } else { all }
            };
            let deployments = [deployment("app", &app, true), deployment("site", &site, site_may)];
            world.configure(&deployments);
            world.start();
        };
        configure(world, false);
        world.deploy("app", &app, &of_app);
        assert_eq!(world.live("app", "lib/inside.txt").as_deref(), Some("private"));

        world.push(&site, &of_site);
        let run = world.ended_run("site", &of_site);
        let cause = run.cause.unwrap_or_default();
        assert!(run.state == "failed" && cause.contains("submodule lib"), "{cause}");
        let said = world.cli(&["run", &run.id]);
        let said = format!("{cause}{}", describe(&said));
        assert!(said.contains("submodule_repositories = [\"acme/private\"]"), "{said}");
        let leaked = files_under(&world.path_of("site")).into_iter().any(|file| file.ends_with("inside.txt"));
        assert!(!leaked);

        // As the hint says.
        world.stop();
        configure(world, true);
        let output = world.cli(&["deploy", "site"]);
        assert!(output.status.success(), "{}", describe(&output));
        assert_eq!(world.live("site", "lib/inside.txt").as_deref(), Some("private"));
    });
}

#[test]
fn a_token_that_github_has_had_enough_of_keeps_no_other_waiting() {
    World::run(|world| {
        let (limited, free) = (world.repository("acme/site"), world.repository("acme/wiki"));
        let token = world.root().join("token");
        private_file(&token, "github_pat_another-one");
        world.github.add_token("github_pat_another-one");
        let own = world.deployment("wiki", &free).with("github_token_file", text(&token.to_string_lossy()));
        world.configure(&[world.deployment("site", &limited), own]);
        world.github.set_quota(0, 3600);
        world.start();
        let untold = limited.commit(&[("index.html", "one")], "first");
        world.deploy("site", &limited, &untold);
        wait::until("the limit to be met", || (world.github.asked_while_limited() > 0).then_some(()));
        for content in ["one", "two"] {
            let commit = free.commit(&[("index.html", content)], content);
            world.deploy("wiki", &free, &commit);
            assert_eq!(world.reported(&free, &commit).state, "success");
        }
        assert!(world.github.statuses("acme/site", &untold).is_empty());
        assert_eq!(world.github.asked_while_limited(), 1);
    });
}

#[test]
fn hooks_are_made_by_the_app_by_whoever_asks_or_by_a_deployments_token_where_there_is_no_other() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let (key, public) = app_key(world);
        world.github.install_app(4711, &public, "acme/site");
        world.github.remove_token(TOKEN);
        world.settings.remove("github.token");
        world.settings.set("github.app_id", "4711");
        world.settings.set("github.app_key_file", text(&key.to_string_lossy()));
        world.configure(&[world.deployment("site", &repository)]);
        let hook = |world: &World| {
            let output = world.cli(&["webhook", "create"]);
            assert!(output.status.success(), "{}", describe(&output));
            assert_eq!(world.github.hooks("acme/site").len(), 1);
            let output = world.cli(&["webhook", "delete", "site", "--force"]);
            assert!(output.status.success(), "{}", describe(&output));
        };
        hook(world);
        assert_eq!(world.github.app_tokens().len(), 2, "one for each command");

        world.github.add_token("github_pat_of-the-operator");
        world.environment.push(("GITHUB_TOKEN".into(), "github_pat_of-the-operator".into()));
        hook(world);
        assert_eq!(world.github.app_tokens().len(), 2, "the App was not asked");
        world.environment.pop();

        let token = world.root().join("token");
        private_file(&token, "github_pat_of-the-deployment");
        world.settings.remove("github.app_id");
        world.settings.remove("github.app_key_file");
        world.github.add_token("github_pat_of-the-deployment");
        let own = world.deployment("site", &repository);
        world.configure(&[own.with("github_token_file", text(&token.to_string_lossy()))]);
        hook(world);
    });
}

#[test]
fn a_token_is_not_sent_to_another_host() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let server = world.github.serve_git(world.root());
        // By the name of the API it is sent, and accepted.
        world.configure(&[world
            .deployment("site", &repository)
            .with("clone_url", text(&server.clone_url("acme/site")))]);
        let known = repository.commit(&[("index.html", "none")], "by the name of the API");
        let succeeded = world.cli(&["deploy", "site"]);
        assert!(succeeded.status.success(), "{}", describe(&succeeded));
        assert_eq!(world.ended_run("site", &known).state, "succeeded");
        let before = server.requests().len();
        assert!(server.requests().iter().any(|(_, status)| *status == 200), "{:?}", server.requests());

        // The same server by another name, which is not that of the API.
        let url = server.clone_url("acme/site").replace("127.0.0.1", "localhost");
        world.configure(&[world.deployment("site", &repository).with("clone_url", text(&url))]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        let run = world.ended_run("site", &commit);
        assert_eq!(run.state, "failed");
        let asked = server.requests().split_off(before);
        assert!(!asked.is_empty() && asked.iter().all(|(_, status)| *status == 401), "{asked:?}");
    });
}

/// A new App's private key in PEM as GitHub gives it, and its public half.
pub fn app_key(world: &World) -> (PathBuf, Vec<u8>) {
    let path = world.root().join("app.pem");
    succeed(command("openssl", world.root()).args(["genrsa", "-traditional", "-out"]).arg(&path).arg("2048"));
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    let der = succeed_bytes(
        command("openssl", world.root()).args(["rsa", "-traditional", "-outform", "DER", "-in"]).arg(&path),
    );
    let pair = KeyPair::from_der(&der).expect("an RSA key");
    (path, pair.public_key().as_ref().to_vec())
}

fn succeed_bytes(command: &mut std::process::Command) -> Vec<u8> {
    let output = crate::support::process::output(command);
    assert!(output.status.success(), "{}", describe(&output));
    output.stdout
}

#[test]
fn a_github_app_has_one_token_an_hour_for_each_repository() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let server = world.github.serve_git(world.root());
        let (key, public) = app_key(world);
        world.github.install_app(4711, &public, "acme/site");
        world.github.remove_token(TOKEN);
        world.settings.remove("github.token");
        world.settings.set("github.app_id", "4711");
        world.settings.set("github.app_key_file", text(&key.to_string_lossy()));
        let url = text(&server.clone_url("acme/site"));
        world.configure(&[world.deployment("site", &repository).with("clone_url", url)]);
        world.start();
        for content in ["one", "two", "three"] {
            let commit = repository.commit(&[("index.html", content)], content);
            world.deploy("site", &repository, &commit);
            assert_eq!(world.reported(&repository, &commit).state, "success");
        }
        let tokens = world.github.app_tokens();
        assert_eq!(tokens.len(), 1, "one for git, the statuses and all pushes: {tokens:?}");
        assert_eq!(tokens[0].1, "acme/site", "and for this repository alone");
        assert_hidden(world, &tokens[0].0, &server.processes());
        assert_hidden(world, "BEGIN RSA PRIVATE KEY", &server.processes());

        // GitHub takes it back: another one is got without anybody's doing.
        world.github.revoke_app_tokens();
        // These last for less than the reserve: each use asks for another.
        world.github.set_app_token_lifetime(60);
        let commit = repository.commit(&[("index.html", "four")], "four");
        world.deploy("site", &repository, &commit);
        assert_eq!(world.reported(&repository, &commit).state, "success");
        assert!(world.github.app_tokens().len() > 2);
    });
}

#[test]
fn an_app_that_is_not_installed_says_so() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let server = world.github.serve_git(world.root());
        let (key, public) = app_key(world);
        world.github.install_app(4711, &public, "acme/another");
        world.settings.remove("github.token");
        world.settings.set("github.app_id", "4711");
        world.settings.set("github.app_key_file", text(&key.to_string_lossy()));
        let url = text(&server.clone_url("acme/site"));
        world.configure(&[world.deployment("site", &repository).with("clone_url", url)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        let cause = world.ended_run("site", &commit).cause.unwrap_or_default();
        assert!(cause.contains("the GitHub App has no installation for acme/site"), "{cause}");
    });
}

/// A program that answers `gh auth token --hostname 127.0.0.1` with what is in a file, as the real one answers with what is in
/// its settings, and counts how often it was asked.
pub fn gh(world: &mut World, logged_in_as: Option<&str>) -> PathBuf {
    let directory = world.root().join("shims");
    fs_err::create_dir_all(&directory).expect("writable");
    let token = world.root().join("gh-token");
    if let Some(account) = logged_in_as {
        private_file(&token, account);
    }
    let script = format!(
        "#!/bin/sh\necho asked >> '{0}/gh-asked'\n\
         if [ \"$*\" != 'auth token --hostname 127.0.0.1' ]; then echo \"unknown command $*\" >&2; exit 1; fi\n\
         if [ ! -e '{0}/gh-token' ]; then echo 'no oauth token found for 127.0.0.1' >&2; exit 1; fi\n\
         cat '{0}/gh-token'\n",
        world.root().display()
    );
    let program = directory.join("gh");
    fs_err::write(&program, script).expect("writable");
    fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    world.shims = Some(directory);
    world.settings.remove("github.token");
    token
}

fn times_asked(world: &World) -> usize {
    fs_err::read_to_string(world.root().join("gh-asked")).unwrap_or_default().lines().count()
}

#[test]
fn an_account_that_gh_is_logged_in_with_works_without_further_ado() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let server = world.github.serve_git(world.root());
        let token_file = gh(world, Some("gho_the-token-of-ada\n"));
        world.github.add_token("gho_the-token-of-ada");
        let url = text(&server.clone_url("acme/site"));
        world.configure(&[world.deployment("site", &repository).with("clone_url", url)]);
        world.start();
        for content in ["one", "two"] {
            let commit = repository.commit(&[("index.html", content)], content);
            world.deploy("site", &repository, &commit);
            assert_eq!(world.reported(&repository, &commit).state, "success");
        }
        assert_eq!(times_asked(world), 1, "it is remembered");
        assert_hidden(world, "gho_the-token-of-ada", &server.processes());

        // Ada logs in again: the old token is refused, and gh is asked for the new one.
        private_file(&token_file, "gho_another-token-of-adas\n");
        world.github.remove_token("gho_the-token-of-ada");
        world.github.add_token("gho_another-token-of-adas");
        let commit = repository.commit(&[("index.html", "three")], "three");
        world.deploy("site", &repository, &commit);
        assert_eq!(world.reported(&repository, &commit).state, "success");
        assert_eq!(times_asked(world), 2);
    });
}

#[test]
fn a_gh_that_nobody_is_logged_in_with_is_as_good_as_none() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        gh(world, None);
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &commit);
        wait::until("it to be said", || world.log().contains("gh auth login").then_some(()));
        assert!(world.github.statuses("acme/site", &commit).is_empty());
        world.stop();

        // And where it is not wanted it is not asked.
        world.settings.set("github.use_gh", "false");
        world.configure(&[world.deployment("site", &repository)]);
        let asked = times_asked(world);
        let second = repository.commit(&[("index.html", "two")], "second");
        world.start();
        world.deploy("site", &repository, &second);
        assert_eq!(times_asked(world), asked);
    });
}

#[test]
fn a_deploy_key_fetches_from_the_server_that_has_githubs_host_key_and_from_no_other() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let ssh = SshServer::start(world.root());
        let upstream = world.root().join("upstream/acme/site.git");
        let deployment = |world: &World, host: &str, key: &Path| {
            let deployment = world.deployment("site", &repository);
            let deployment = deployment.with("clone_url", text(&ssh.url(host, &upstream)));
            deployment.with("ssh_key_file", text(&key.to_string_lossy()))
        };
        world.github.set_ssh_keys(&[&ssh.host_key()]);
        world.configure(&[deployment(world, "127.0.0.1", &ssh.client_key())]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let known_hosts = world.state().join("github-known-hosts");
        wait::until("GitHub's host keys to be known", || known_hosts.exists().then_some(()));
        assert_eq!(
            fs_err::read_to_string(&known_hosts).expect("written"),
            format!("127.0.0.1 {}\n", ssh.host_key())
        );
        world.deploy("site", &repository, &first);
        world.stop();

        let fails = |world: &mut World, host: &str, key: &Path, expected: &str| {
            world.configure(&[deployment(world, host, key)]);
            let commit = repository.commit(&[("index.html", expected)], expected);
            world.start();
            wait::until("the networks to be asked for", || {
                world.github.requests().contains(&"GET /meta".into()).then_some(())
            });
            world.push(&repository, &commit);
            let run = world.ended_run("site", &commit);
            let cause = run.cause.unwrap_or_default();
            assert!(run.state == "failed" && cause.contains(expected), "{cause}");
            world.stop();
        };
        // Another key than the repository's.
        fails(world, "127.0.0.1", &ssh.strangers_key(), "ssh_key_file");
        // A server that nothing is known of, and that is not GitHub.
        fails(world, "localhost", &ssh.client_key(), "ssh-keyscan localhost");
        // Somebody else answers for GitHub.
        world.github.set_ssh_keys(&[&ssh.other_host_key()]);
        fs_err::write(&known_hosts, format!("127.0.0.1 {}\n", ssh.other_host_key())).expect("writable");
        fails(world, "127.0.0.1", &ssh.client_key(), "does not have the key that is known of it");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}

#[test]
fn what_cannot_work_is_refused_before_it_is_tried() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let open = world.root().join("open");
        fs_err::write(&open, "-----BEGIN OPENSSH PRIVATE KEY-----").expect("writable");
        fs_err::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
        let not_a_key = world.root().join("not-a-key");
        private_file(&not_a_key, "hello");
        let shown = |path: &Path| text(&path.to_string_lossy());
        let check = |world: &World| describe(&world.cli(&["config", "check"]));

        let with = |key: &str, value: String| {
            let deployment =
                world.deployment("site", &repository).with("clone_url", "\"git@github.com:acme/site.git\"");
            world.configure(&[deployment.with(key, value)]);
            check(world)
        };
        assert!(with("ssh_key_file", shown(&open)).contains("chmod 600"));
        assert!(with("ssh_key_file", shown(&not_a_key)).contains("not a private key"));
        assert!(with("ssh_key_file", "\"/nowhere\"".into()).contains("there is no file /nowhere"));
        private_file(&open, "-----BEGIN OPENSSH PRIVATE KEY-----");
        world.configure(&[world.deployment("site", &repository).with("ssh_key_file", shown(&open))]);
        assert!(check(world).contains("of no use to a `clone_url` that is not ssh"));

        world.settings.set("github.app_key_file", shown(&not_a_key));
        world.configure(&[]);
        let said = check(world);
        assert!(said.contains("not an RSA private key") && !said.contains("hello"), "{said}");
        world.settings.remove("github.app_key_file");
        world.settings.set("github.app_id", "4711");
        world.configure(&[]);
        assert!(check(world).contains("`app_key_file` is missing"), "{}", check(world));
    });
}
