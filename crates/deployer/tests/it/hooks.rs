//! The hooks at GitHub, from their making to their end, through the command line and a GitHub that delivers.

use crate::support::configuration::text;
use crate::support::github::{Hook, Weather};
use crate::support::push::{Delivery, guid};
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

/// Where the hooks of a world deliver to.
const URL: &str = "https://deploy.test/github-webhook";

/// What is shown to an operator, and whether the command succeeded.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    fn json(&self) -> Vec<Value> {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

#[track_caller]
fn webhook(world: &World, arguments: &[&str]) -> Said {
    Said::of(&world.cli(&[&["webhook"], arguments].concat()))
}

#[track_caller]
fn succeed(world: &World, arguments: &[&str]) -> Said {
    let said = webhook(world, arguments);
    assert_eq!(said.code, Some(0), "{arguments:?}: {}\n{}", said.out, said.err);
    said
}

/// The world's secret in a file, which may not be there yet.
fn secret_file(world: &mut World) -> PathBuf {
    let file = world.root().join("webhook-secret");
    world.settings.remove("webhook_secret_token");
    world.settings.set("webhook_secret_token_file", text(&file.to_string_lossy()));
    file
}

fn read(file: &Path) -> String {
    fs_err::read_to_string(file).expect("it was written").trim_end().to_owned()
}

fn mode(file: &Path) -> u32 {
    fs_err::metadata(file).expect("it was written").permissions().mode() & 0o777
}

/// The repository's one hook.
#[track_caller]
fn hook_of(world: &World, repository: &Repository) -> Hook {
    let mut hooks = world.github.hooks(&repository.name);
    assert_eq!(hooks.len(), 1, "{hooks:?}");
    hooks.remove(0)
}

/// Waits until GitHub's newest attempt of this event was answered so, and gives its GUID.
#[track_caller]
fn answered(world: &World, repository: &Repository, event: &str, attempts_min: usize, status: u16) -> String {
    wait::until(&format!("a {event} to be answered {status}"), || {
        let hook = hook_of(world, repository);
        let mut attempts = hook.deliveries.iter().filter(|attempt| attempt["event"] == event);
        let enough = attempts.clone().count() >= attempts_min;
        let newest = attempts.next_back().filter(|newest| enough && newest["status_code"] == status)?;
        newest["guid"].as_str().map(str::to_owned)
    })
}

/// GitHub delivers a push of this commit to its hooks.
fn push(world: &World, repository: &Repository, commit: &str) -> String {
    let delivery = repository.push_of(commit);
    world.github.push(&repository.name, &delivery);
    delivery.guid
}

#[test]
fn from_its_making_to_its_end() {
    World::run(|world| {
        let file = secret_file(world);
        let [site, api] = ["acme/site", "acme/api"].map(|name| world.repository(name));
        let deployments = [
            world.deployment("site", &site),
            world.deployment("staging", &site),
            world.deployment("api", &api),
        ];
        world.configure(&deployments[..1]);
        let refused = world.start_refused();
        assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no file"), "{refused:?}");
        world.configure(&deployments);

        let mut said = vec![succeed(world, &["create", "--json"])];
        let made = said[0].json();
        assert_eq!(made.len(), 2, "a repository of two deployments has one hook: {made:?}");
        assert!(made.iter().all(|entry| entry["made"] == true && entry["faults"] == serde_json::json!([])));
        let secret = read(&file);
        assert!(secret.len() == 64 && mode(&file) == 0o600, "{} bytes, mode {:o}", secret.len(), mode(&file));
        for repository in [&site, &api] {
            let hook = hook_of(world, repository);
            assert_eq!((hook.url.as_str(), hook.secret == secret), (URL, true));
            assert_eq!((hook.content_type.as_str(), hook.events), ("json", vec!["push".to_owned()]));
        }
        // Made before anybody asked for checks.
        world.configure(&[
            deployments[0].clone().with("require_checks", "[\"ci\"]"),
            deployments[1].clone(),
            deployments[2].clone(),
        ]);
        for command in ["create", "list", "show"] {
            let out = succeed(world, &[command, "acme/site"]).out;
            assert!(
                out.contains("does not deliver check_run, check_suite, status, workflow_run events"),
                "{command}: {out}"
            );
            let other = succeed(world, &[command, "acme/api"]).out;
            assert!(!other.contains("does not deliver"), "{command}: {other}");
        }
        succeed(world, &["delete", "acme/site", "--force"]);
        let anew = succeed(world, &["create", "acme/site"]).out;
        assert!(!anew.contains("does not deliver"), "{anew}");
        let events = hook_of(world, &site).events;
        assert_eq!(events, ["push", "check_run", "check_suite", "status", "workflow_run"]);
        world.configure(&deployments);
        let again = succeed(world, &["create"]);
        assert!(again.out.contains("is there already"), "{}", again.out);
        said.push(again);

        world.start();
        world.github.reach("https://deploy.test", Some(world.address()));
        said.push(succeed(world, &["ping"]));
        let ping = answered(world, &site, "ping", 2, 202);
        assert_eq!(world.wait_for_verdict(&ping, "ping").deployment, None);

        let commit = site.commit(&[("index.html", "one")], "first");
        push(world, &site, &commit);
        assert_eq!(world.ended_run("site", &commit).state, "succeeded");
        said.push(succeed(world, &["test", "site"]));
        answered(world, &site, "push", 2, 202);

        said.push(succeed(world, &["list"]));
        assert!(said[4].out.contains(URL) && said[4].out.contains("acme/api"), "{}", said[4].out);
        said.push(succeed(world, &["show", "acme/site"]));
        assert!(said[5].out.contains("answered 202"), "{}", said[5].out);

        for (arguments, code) in [
            (&["delete", "acme/site"][..], 1),
            (&["delete", "acme/site", "--hook", "1"], 3),
            (&["delete", "acme/nothing"], 3),
        ] {
            let refused = webhook(world, arguments);
            assert_eq!(refused.code, Some(code), "{arguments:?}: {}", refused.err);
            said.push(refused);
        }
        hook_of(world, &site);
        let elsewhere = "https://old.example/github-webhook";
        said.push(succeed(world, &["create", "acme/site", "--url", elsewhere]));
        said.push(succeed(world, &["delete", "acme/site", "--url", elsewhere]));
        assert_eq!(hook_of(world, &site).url, URL);
        said.push(succeed(world, &["delete", "acme/site", "--force"]));
        assert!(world.github.hooks("acme/site").is_empty());

        let shown: Vec<String> = said.iter().map(|said| format!("{}{}", said.out, said.err)).collect();
        let anywhere = [shown.concat(), world.log(), world.github.requests().concat()].concat();
        assert!(!anywhere.contains(&secret), "the secret is in an output, the log, or an address");
        let asked_for = succeed(world, &["create", "api", "--show-secret"]);
        assert!(asked_for.out.contains(&secret), "{}", asked_for.out);
    });
}

#[test]
fn what_was_not_delivered_is_delivered_again() {
    World::run(|world| {
        let file = secret_file(world);
        let site = world.repository("acme/site");
        world.configure(&[world.deployment("site", &site)]);
        succeed(world, &["create"]);
        world.start();
        // More than GitHub gives in a page, before what we look for.
        let lost = site.commit(&[("index.html", "lost")], "nobody was there");
        let lost_guid = push(world, &site, &lost);
        world.github.reach("https://deploy.test", Some(world.address()));
        let ping = Delivery::ping("acme/site");
        for _ in 0..120 {
            world.github.push("acme/site", &Delivery { guid: guid(), ..ping.clone() });
        }
        let all = succeed(world, &["deliveries", "-n", "500", "--json"]).json();
        assert_eq!(all.len(), 122, "the first ping, the push, and 120 more");

        let undelivered = succeed(world, &["deliveries", "--failed", "--json"]).json();
        let guids: Vec<&Value> = undelivered.iter().map(|entry| &entry["delivery"]["guid"]).collect();
        assert!(guids.contains(&&Value::from(lost_guid.as_str())), "{guids:?}");
        assert!(guids.len() <= 2, "only the first ping was lost beside it: {guids:?}");
        succeed(world, &["redeliver", "--failed"]);
        assert_eq!(world.ended_run("site", &lost).state, "succeeded");
        assert_eq!(world.wait_for_verdict(&lost_guid, "deployed").deployment.as_deref(), Some("site"));
        let left = wait::until_told("everything to be delivered", || {
            Some(succeed(world, &["deliveries", "--failed", "--json"]).json()).filter(Vec::is_empty)
        });
        assert!(left.is_empty());

        succeed(world, &["redeliver", &lost_guid.to_uppercase()]);
        answered(world, &site, "push", 3, 202);
        assert_eq!(world.runs("site").len(), 1, "it is known, and live");
        let unknown = webhook(world, &["redeliver", &guid()]);
        assert_eq!(unknown.code, Some(3), "{}", unknown.err);
        assert_eq!(webhook(world, &["redeliver", "no-guid"]).code, Some(1));
        assert!(!world.log().contains(&read(&file)));
    });
}

#[test]
fn what_was_not_delivered_and_is_no_push_is_asked_for_by_the_daemon() {
    World::run(|world| {
        secret_file(world);
        let site = world.repository("acme/site");
        let deployment = world.deployment("site", &site).with("require_checks", "[\"ci\"]");
        world.settings.set("reconcile.deliveries", "true");
        world.settings.set("reconcile.interval", "\"200ms\"");
        world.configure(&[deployment]);
        succeed(world, &["create"]);
        let commit = site.commit(&[("index.html", "one")], "one");
        world.github.add_commit("acme/site", &commit);
        let (push, checked) =
            (push(world, &site, &commit), Delivery::checked("check_suite", "acme/site", &commit));
        world.github.push("acme/site", &checked);
        world.start();
        world.github.reach("https://deploy.test", Some(world.address()));
        let verdicts = wait::until_told("the event to come", || {
            Some(world.verdicts(&checked.guid)).filter(|verdicts| !verdicts.is_empty())
        });
        assert_ne!(verdicts[0].code, "malformed");
        let failed = succeed(world, &["deliveries", "--failed", "--json"]).json();
        let guids: Vec<&Value> = failed.iter().map(|entry| &entry["delivery"]["guid"]).collect();
        assert!(guids.contains(&&Value::from(push.as_str())), "the push is not asked for: {guids:?}");
        assert!(!guids.contains(&&Value::from(checked.guid.as_str())), "{guids:?}");
    });
}

#[test]
fn without_any_secret_one_is_made_and_nothing_else() {
    World::run(|world| {
        let site = world.repository("acme/site");
        world.settings.remove("webhook_secret_token");
        world.configure(&[world.deployment("site", &site)]);
        let file = world.root().join("config/webhook-secret");
        for _ in 0..2 {
            let said = webhook(world, &["create"]);
            assert_eq!(said.code, Some(1));
            let line = format!("webhook_secret_token_file = \"{}\"", file.display());
            assert!(said.err.contains(&line), "{}", said.err);
            assert!(!said.err.contains(&read(&file)) && !said.out.contains(&read(&file)));
        }
        assert_eq!(mode(&file), 0o600);
        assert!(world.github.hooks("acme/site").is_empty(), "GitHub would sign with what nobody accepts");

        world.settings.set("webhook_secret_token_file", text(&file.to_string_lossy()));
        world.configure(&[world.deployment("site", &site)]);
        succeed(world, &["create"]);
        assert_eq!(hook_of(world, &site).secret, read(&file));
    });
}

#[test]
fn a_secret_that_everybody_knows_is_not_given_to_github() {
    World::run(|world| {
        let site = world.repository("acme/site");
        world.settings.set("webhook_secret_token", "\"not-a-real-secret-token\"");
        world.configure(&[world.deployment("site", &site)]);
        assert_eq!(webhook(world, &["create"]).code, Some(1));
        world.settings.set("origin", "\"http://localhost:3400\"");
        world.settings.set("webhook_secret_token", text(crate::support::world::SECRET));
        world.configure(&[world.deployment("site", &site)]);
        let unreachable = webhook(world, &["create"]);
        assert!(unreachable.code == Some(1) && unreachable.err.contains("--url"), "{}", unreachable.err);
        assert!(world.github.hooks("acme/site").is_empty());
    });
}

#[test]
fn a_secret_is_replaced_without_a_gap() {
    World::run(|world| {
        let file = secret_file(world);
        let [site, api] = ["acme/site", "acme/api"].map(|name| world.repository(name));
        let deployments = [world.deployment("site", &site), world.deployment("api", &api)];
        world.configure(&deployments);
        succeed(world, &["create"]);
        let old = read(&file);
        world.start();
        world.github.reach("https://deploy.test", Some(world.address()));
        let mut pushes = 0;
        let mut is_accepted = |world: &World| {
            pushes += 1;
            let commit = site.commit(&[("index.html", &pushes.to_string())], "next");
            push(world, &site, &commit);
            answered(world, &site, "push", pushes, 202);
        };
        let secrets = |world: &World| [&site, &api].map(|repository| hook_of(world, repository).secret);

        // The configuration has to name the file of the old one first.
        let first = webhook(world, &["rotate-secret"]);
        assert_eq!((first.code, read(&file)), (Some(4), old.clone()));
        let old_file = world.root().join("webhook-secret.old");
        assert!(
            first.err.contains(&format!("webhook_secret_files = [\"{}\"]", old_file.display())),
            "{}",
            first.err
        );
        assert_eq!((read(&old_file), mode(&old_file)), (old.clone(), 0o600));
        world.settings.set("webhook_secret_files", format!("[{}]", text(&old_file.to_string_lossy())));
        world.configure(&deployments);
        world.stop();
        world.start();
        world.github.reach("https://deploy.test", Some(world.address()));

        // The daemon that runs does not know the new one yet.
        let second = webhook(world, &["rotate-secret"]);
        assert!(second.code == Some(4) && second.err.contains("restart the daemon"), "{}", second.err);
        let new = read(&file);
        assert!(new != old && mode(&file) == 0o600 && read(&old_file) == old);
        assert_eq!(secrets(world), [old.clone(), old.clone()], "GitHub is not told yet");
        is_accepted(world);
        world.stop();
        world.start();
        world.github.reach("https://deploy.test", Some(world.address()));
        is_accepted(world);

        // GitHub is away: nothing is lost, and the same secret is told later.
        world.github.set_weather(Weather::Fails);
        let third = webhook(world, &["rotate-secret"]);
        assert_eq!((third.code, read(&file)), (Some(4), new.clone()), "{}", third.err);
        is_accepted(world);
        world.github.set_weather(Weather::Fine);
        let fourth = succeed(world, &["rotate-secret", "acme/site"]);
        assert_eq!(
            secrets(world),
            [new.clone(), new.clone()],
            "also the other repository that signs with it"
        );
        is_accepted(world);
        let late = site.push_of(&site.git(&["rev-parse", "HEAD"]));
        assert_eq!(late.signed(&old).send(world.address()).status, 202, "sent before, arriving now");

        for said in [&first, &second, &third, &fourth] {
            let shown = format!("{}{}", said.out, said.err);
            assert!(!shown.contains(&old) && !shown.contains(&new), "{shown}");
        }
        // The next one is a new one.
        let next = webhook(world, &["rotate-secret", "--show-secret"]);
        assert!(next.code == Some(4) && next.out.contains(&read(&file)), "{}", next.out);
        assert!(read(&file) != new && read(&old_file) == new);
    });
}

#[test]
fn a_repository_s_own_secret_is_replaced_alone() {
    World::run(|world| {
        let [site, api] = ["acme/site", "acme/api"].map(|name| world.repository(name));
        let file = world.root().join("site-secret");
        let old_file = world.root().join("site-secret.old");
        for (file, secret) in [(&file, "the-secret-of-the-site-alone"), (&old_file, "the-one-before-it")] {
            fs_err::write(file, secret).expect("the world is writable");
            fs_err::set_permissions(file, PermissionsExt::from_mode(0o600)).expect("it is ours");
        }
        let table = "repositories.\"acme/site\"";
        world.settings.set(&format!("{table}.webhook_secret_file"), text(&file.to_string_lossy()));
        world.settings.set(
            &format!("{table}.webhook_secret_files"),
            format!("[{}]", text(&old_file.to_string_lossy())),
        );
        world.configure(&[world.deployment("site", &site), world.deployment("api", &api)]);
        succeed(world, &["create"]);
        assert_eq!(hook_of(world, &site).secret, "the-secret-of-the-site-alone");
        let shared = hook_of(world, &api).secret;

        // Somebody, killed in between: the note was written, and nothing else.
        let note = world.root().join("site-secret.rotation");
        let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("the-secret-of-the-site-alone"));
        fs_err::write(&note, hash).expect("the world is writable");
        let said = succeed(world, &["rotate-secret", "acme/site"]);
        assert!(said.out.contains("no daemon is running here"), "{}", said.out);
        assert_eq!(hook_of(world, &site).secret, read(&file));
        assert_eq!(read(&old_file), "the-secret-of-the-site-alone");
        assert_eq!(hook_of(world, &api).secret, shared, "not its");
        assert!(!note.exists());
    });
}

#[test]
fn a_secret_that_is_in_no_file_is_left_alone() {
    World::run(|world| {
        let site = world.repository("acme/site");
        world.configure(&[world.deployment("site", &site)]);
        succeed(world, &["create"]);
        let before = hook_of(world, &site).secret;
        let said = webhook(world, &["rotate-secret"]);
        assert!(said.code == Some(4) && said.err.contains("webhook_secret_token_file"), "{}", said.err);
        assert_eq!(hook_of(world, &site).secret, before);
    });
}

#[test]
fn what_github_says_no_to_is_explained() {
    World::run(|world| {
        let site = world.repository("acme/site");
        world.configure(&[world.deployment("site", &site)]);
        let expect = |world: &World, arguments: &[&str], code: i32, word: &str| {
            let said = webhook(world, arguments);
            assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
            assert!(said.err.contains(word), "{arguments:?}: {word:?} is not in: {}", said.err);
        };
        expect(world, &["ping"], 3, "webhook create");
        expect(world, &["show", "nobody/nothing"], 3, "acme/site");
        world.github.let_token_manage_hooks(false);
        for command in ["create", "list", "show", "ping", "test", "deliveries"] {
            expect(world, &[command], 1, "admin:repo_hook");
        }
        world.github.let_token_manage_hooks(true);
        world.github.set_quota(0, 3600);
        expect(world, &["list"], 4, "try again in");
        world.github.set_quota(0, 0);
        for (weather, word) in
            [(Weather::Fails, "500"), (Weather::Cuts, "later"), (Weather::SecondaryLimit, "try again in 1 s")]
        {
            world.github.set_weather(weather);
            expect(world, &["list"], 4, word);
        }
        // The answer is lost, and the hook is made all the same: once.
        world.github.set_weather(Weather::CutsAfterwards);
        let lost = succeed(world, &["create"]);
        assert!(lost.out.contains("is there already"), "{}", lost.out);
        hook_of(world, &site);
        world.github.set_weather(Weather::Fine);
        world.settings.set("github.token", "\"ghp_another_token\"");
        world.configure(&[world.deployment("site", &site)]);
        expect(world, &["list"], 1, "expired");
        world.settings.remove("github.token");
        world.configure(&[world.deployment("site", &site)]);
        expect(world, &["list"], 1, "token_file");
    });
}

#[test]
fn deliveries_are_relayed_to_a_daemon_that_github_cannot_reach() {
    World::run(|world| {
        const NOWHERE: &str = "https://relay.invalid/github-webhook";
        let site = world.repository("acme/site");
        world.configure(&[world.deployment("site", &site)]);
        succeed(world, &["create", "--url", NOWHERE]);
        let early = site.commit(&[("index.html", "early")], "before the relay");
        let early_guid = push(world, &site, &early);
        let relay = ["relay", "site", "--url", NOWHERE];
        let once = [&relay[..], &["--once"]].concat();

        // Nobody takes it: it is not passed over.
        let away = webhook(world, &[&once[..], &["--all"]].concat());
        assert_eq!(away.code, Some(4), "{}", away.err);
        world.start();
        let first = succeed(world, &[&once[..], &["--all"]].concat());
        assert!(first.out.contains(&format!("push {early_guid} handed over")), "{}", first.out);
        assert_eq!(world.wait_for_verdict(&early_guid, "deployed").deployment.as_deref(), Some("site"));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("early"));
        assert!(!succeed(world, &once).out.contains("handed over"), "it remembers where it was");

        // The one that stays hands over what comes, and what came while it was away.
        let between = site.commit(&[("index.html", "between")], "while no relay ran");
        let between_guid = push(world, &site, &between);
        let mut command = world.product(&[&["webhook"], &relay[..]].concat());
        let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it was built");
        world.wait_for_verdict(&between_guid, "deployed");
        let last = site.commit(&[("index.html", "last")], "while the relay runs");
        let last_guid = push(world, &site, &last);
        world.wait_for_verdict(&last_guid, "deployed");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("last"));
        rustix::process::kill_process(Pid::from_child(&running), Signal::INT).expect("it is our child");
        assert!(running.wait().expect("it is our child").success());
        assert_eq!(world.runs("site").len(), 3, "each once");
    });
}

#[test]
fn the_first_relay_begins_with_what_comes_from_then_on() {
    World::run(|world| {
        let site = world.repository("acme/site");
        world.configure(&[world.deployment("site", &site)]);
        world.start();
        succeed(world, &["create"]);
        let commit = site.commit(&[("index.html", "old")], "before");
        push(world, &site, &commit);
        let relay = ["relay", "site", "--once"];
        assert!(!succeed(world, &relay).out.contains("handed over"));
        let commit = site.commit(&[("index.html", "new")], "after");
        let guid = push(world, &site, &commit);
        assert!(succeed(world, &relay).out.contains(&guid));
        world.wait_for_verdict(&guid, "deployed");
        assert_eq!(world.runs("site").len(), 1);
    });
}
