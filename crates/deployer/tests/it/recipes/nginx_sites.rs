//! `nginx-sites` with a real nginx: what is deployed is asked over HTTP, and after a failure nothing is different.
//!
//! Tests that are named after a fault of the Python deployer say so.

mod certificates;
mod hostile;
mod load;

use crate::plan::deploy_as_planned;
use crate::support::configuration::Deployment;
use crate::support::nginx::Nginx;
use crate::support::process::{command, succeed};
use crate::support::push::Delivery;
use crate::support::record::Run;
use crate::support::repository::Repository;
use crate::support::servers::free_port;
use crate::support::wait;
use crate::support::world::World;
use std::os::unix::fs::symlink;

const ALL: &str = "[{ rule = \"include\", select = [\"*\"] }]";

/// A world with a repository, an nginx that runs, and a daemon that deploys the one to the other.
fn with_nginx(test: impl FnOnce(&mut World, &mut Nginx, &Repository, Deployment)) {
    World::run(|world| {
        let mut nginx = Nginx::prepare(world);
        let repository = world.repository("acme/nginx");
        let deployment = sites(world, &repository, "nginx");
        world.configure(std::slice::from_ref(&deployment));
        world.start();
        nginx.start();
        test(world, &mut nginx, &repository, deployment);
        // What the host's own things look like is no business of ours.
        assert!(nginx.path("nginx.conf").exists());
    });
}

fn sites(world: &World, repository: &Repository, slug: &str) -> Deployment {
    world.deployment(slug, repository).with("recipe", "\"nginx-sites\"").with("sites", ALL)
}

/// Pushes what must fail, and gives the run.
#[track_caller]
fn fails(world: &World, repository: &Repository, commit: &str) -> Run {
    world.push(repository, commit);
    let run = world.ended_run("nginx", commit);
    assert_eq!(run.state, "failed", "{run:?}");
    run
}

#[track_caller]
fn cause(run: &Run) -> &str {
    run.cause.as_deref().expect("a failed run has a cause")
}

fn remove(repository: &Repository, path: &str) {
    fs_err::remove_file(repository.work_tree().join(path)).expect("it is there");
}

/// Changes the configuration, as an operator does: the file, and a restart.
fn reconfigure(world: &mut World, deployment: &Deployment) {
    world.configure(std::slice::from_ref(deployment));
    assert!(world.stop().success());
    world.start();
}

#[test]
fn a_changed_configuration_passes_the_gates_and_what_waits_goes_on_waiting() {
    with_nginx(|world, nginx, repository, deployment| {
        let page = |nginx: &Nginx, says: &str| nginx.site("a.test", says);
        let first = repository.commit(&[("production/[a.test].nginxconf", &page(nginx, "one"))], "first");
        world.deploy("nginx", repository, &first);
        let runs_of = |world: &World, commit: &str| {
            world.runs("nginx").into_iter().filter(|run| run.commit == commit).collect::<Vec<_>>()
        };

        // Gates are no part of what is live: that there are some now deploys nothing.
        let gated = deployment.with("require_checks", "[\"ci\"]");
        reconfigure(world, &gated);
        let second = repository.commit(&[("production/[a.test].nginxconf", &page(nginx, "two"))], "second");
        let push = world.push(repository, &second);
        world.wait_for_verdict(&push, "waiting");
        assert_eq!(runs_of(world, &first).len(), 1);

        // The live commit has not passed them: it is not deployed again.
        let changed = gated.with("environment", "{ CHANGED = \"yes\" }");
        reconfigure(world, &changed);
        wait::until("the live commit to be held back", || {
            world.log().contains("the live commit is not deployed again yet").then_some(())
        });
        assert_eq!(runs_of(world, &first).len(), 1);
        world.github.set_check(&first, "ci", "success");
        reconfigure(world, &changed);
        let again = wait::until_told("the live commit to be deployed again", || {
            runs_of(world, &first).into_iter().nth(1).filter(|run| run.state == "succeeded")
        });
        assert_eq!((again.commit.as_str(), nginx.page("a.test", "/").as_str()), (first.as_str(), "one"));

        // The newer one waits all the while.
        world.wait_for_verdict(&push, "waiting");
        world.github.set_check(&second, "ci", "success");
        world.accept(&Delivery::checked("check_run", "acme/nginx", &second));
        wait::until("the newer one to be live", || (nginx.page("a.test", "/") == "two").then_some(()));
        world.wait_for_verdict(&push, "deployed");
    });
}

#[test]
fn a_site_is_served_changed_disabled_enabled_and_taken_down() {
    with_nginx(|world, nginx, repository, _| {
        let first = repository.commit(
            &[
                ("production/[a.test].nginxconf", &nginx.site("a.test", "a one")),
                ("production/[b.test].conf", &nginx.site("b.test", "b one")),
                ("production/[c.test].nginxconf.disabled", "this is no configuration {{{"),
                ("production/.gitkeep", ""),
                ("production/README.md", "Sites; see `snippets/`.\n"),
                (
                    "production/status-codes.nginxconf",
                    "map $status $status_text { 404 \"gone\"; default \"\"; }\n",
                ),
            ],
            "first",
        );
        world.deploy("nginx", repository, &first);
        assert_eq!((nginx.page("a.test", "/"), nginx.page("b.test", "/")), ("a one".into(), "b one".into()));
        assert_eq!((nginx.page("www.a.test", "/"), nginx.page("c.test", "/")), ("301".into(), "404".into()));
        let live: Vec<String> = nginx.files().into_keys().collect();
        assert_eq!(
            live,
            ["conf.d/[a.test].nginxconf", "conf.d/[b.test].conf", "conf.d/status-codes.nginxconf"]
        );

        let second = repository
            .commit(&[("production/[a.test].nginxconf", &nginx.site("a.test", "a two"))], "changed");
        deploy_as_planned(world, "nginx", repository, &second);
        assert_eq!(nginx.page("a.test", "/"), "a two");

        repository.git(&["mv", "production/[a.test].nginxconf", "production/[a.test].nginxconf.disabled"]);
        repository.git(&["mv", "production/[c.test].nginxconf.disabled", "production/[c.test].nginxconf"]);
        let third = repository
            .commit(&[("production/[c.test].nginxconf", &nginx.site("c.test", "c one"))], "renamed");
        world.deploy("nginx", repository, &third);
        assert_eq!((nginx.page("a.test", "/"), nginx.page("c.test", "/")), ("404".into(), "c one".into()));

        remove(repository, "production/[b.test].conf");
        let fourth = repository.commit(&[], "removed");
        world.deploy("nginx", repository, &fourth);
        assert_eq!(nginx.page("b.test", "/"), "404");
        let live: Vec<String> = nginx.files().into_keys().collect();
        assert_eq!(live, ["conf.d/[c.test].nginxconf", "conf.d/status-codes.nginxconf"]);

        // And back again: to the release before.
        let rolled_back = world.cli(&["rollback", "nginx"]);
        assert!(rolled_back.status.success(), "{}", crate::support::process::describe(&rolled_back));
        assert_eq!((nginx.page("b.test", "/"), nginx.page("c.test", "/")), ("b one".into(), "c one".into()));
    });
}

// B.24: no test before the reload, nothing restored, success all the same. B.1: the retry was a green no-op.
#[test]
fn b24_what_nginx_refuses_changes_nothing_and_the_next_good_push_is_deployed() {
    with_nginx(|world, nginx, repository, _| {
        let good = repository.commit(&[("production/[a.test].conf", &nginx.site("a.test", "one"))], "good");
        world.deploy("nginx", repository, &good);
        let (files, workers) = (nginx.files(), nginx.workers());
        let bad = repository.commit(
            &[
                ("production/[b.test].conf", &nginx.site("b.test", "b")),
                ("production/[a.test].conf", &format!("{}\n\nnonsense on;\n", nginx.site("a.test", "two"))),
            ],
            "bad",
        );
        let delivery = repository.push_of(&bad);
        world.accept(&delivery);
        let run = world.ended_run("nginx", &bad);
        assert_eq!(run.state, "failed");
        assert!(
            cause(&run).contains("nonsense") && cause(&run).contains("production/[a.test].conf:13"),
            "{run:?}"
        );
        assert_eq!((nginx.files(), nginx.workers()), (files.clone(), workers.clone()));
        // Delivered again, it fails again: it is not live.
        world.accept(&delivery);
        let runs = world.settled("nginx", 3);
        assert_eq!((runs.len(), runs[2].state.as_str()), (3, "failed"));
        assert_eq!((nginx.files(), nginx.workers()), (files, workers));
        let mended =
            repository.commit(&[("production/[a.test].conf", &nginx.site("a.test", "two"))], "mended");
        world.deploy("nginx", repository, &mended);
        assert_eq!((nginx.page("a.test", "/"), nginx.page("b.test", "/")), ("two".into(), "b".into()));
    });
}

#[test]
fn a_site_that_is_not_healthy_is_taken_back_with_everything_else() {
    with_nginx(|world, nginx, repository, deployment| {
        let port = free_port();
        let site = |answer: &str| {
            format!(
                "server {{ listen 127.0.0.1:{port}; location / {{ return 200 {answer}; }} }}\n{}",
                nginx.site("a.test", answer)
            )
        };
        let good = repository.commit(&[("production/[a.test].conf", &site("one"))], "good");
        world.deploy("nginx", repository, &good);
        let files = nginx.files();
        let check = format!(
            "[{{ http = \"http://127.0.0.1:{port}/\", body = \"one\", attempts = 2, interval = \"100ms\" }}]"
        );
        reconfigure(world, &deployment.with("health", check));
        world.settled("nginx", 2);
        let bad = repository.commit(
            &[
                ("production/[a.test].conf", &site("two")),
                ("production/[new.test].conf", &nginx.site("new.test", "new")),
                ("snippets/deep/er/x", "expires 1h;"),
                ("html/index.html", "two"),
            ],
            "unhealthy",
        );
        let run = fails(world, repository, &bad);
        assert!(cause(&run).contains("health"), "{run:?}");
        assert_eq!(nginx.files(), files);
        assert_eq!((nginx.page("a.test", "/"), nginx.page("new.test", "/")), ("one".into(), "404".into()));
        assert_eq!(world.live("nginx", "html/index.html"), None, "the link went back too");
    });
}

// B.25: a reload for pushes in which there is nothing for nginx.
#[test]
fn b25_a_push_without_anything_for_nginx_does_not_reload_it() {
    with_nginx(|world, nginx, repository, _| {
        let html = world.path_of("nginx").join("current/html");
        let site = format!(
            "server {{ listen 127.0.0.1:{}; server_name a.test; root {}; }}",
            nginx.port,
            html.display()
        );
        let first = repository.commit(
            &[("production/[a.test].conf", &site), ("html/index.html", "one"), ("README.md", "one")],
            "first",
        );
        world.deploy("nginx", repository, &first);
        let workers = nginx.workers();
        let readme =
            repository.commit(&[("README.md", "two"), ("development/x.conf", "nonsense")], "for people");
        let guid = world.push(repository, &readme);
        assert_eq!(world.wait_for_verdict(&guid, "skipped").code, "skipped");
        assert_eq!((nginx.page("a.test", "/"), nginx.workers()), ("one".into(), workers.clone()));
        let page = repository.commit(&[("html/index.html", "two")], "a page");
        world.deploy("nginx", repository, &page);
        assert_eq!((nginx.page("a.test", "/"), nginx.workers()), ("two".into(), workers));
    });
}

// B.22: of three new snippets, of which one was linked already, some were left out. B.26: links into the checkout are live before any check.
#[test]
fn b22_b26_snippets_are_files_all_of_them_and_links_of_the_python_deployer_become_files() {
    with_nginx(|world, nginx, repository, deployment| {
        let (old, healthy) = (world.path_of("nginx"), world.root().join("healthy"));
        let check = format!("[{{ command = [\"test\", \"-e\", {healthy:?}], attempts = 1 }}]");
        reconfigure(world, &deployment.with("health", check));
        for (name, target) in [
            ("snippets/one", "snippets/one"),
            ("snippets/gone", "snippets/gone"),
            ("conf.d/[a.test].nginxconf", "local-live/[a.test].nginxconf"),
            ("conf.d/[left.test].nginxconf", "local-live/[left.test].nginxconf"),
        ] {
            let target = old.join(target);
            fs_err::create_dir_all(target.parent().unwrap()).unwrap();
            // What the checkout lost leads nowhere.
            if name != "snippets/gone" {
                fs_err::write(&target, "# of the checkout\n").unwrap();
            }
            symlink(target, nginx.path(name)).unwrap();
        }
        // As the original left it: a work tree, whose files of the repository are what is linked.
        fs_err::create_dir(old.join(".git")).unwrap();
        let before = nginx.files();
        succeed(command("chown", &old).args(["-R", "65534:65534"]).arg(&old));
        let site = format!(
            "{}server {{ include snippets/one; include snippets/two; include snippets/sub/three; listen 127.0.0.1:{}; server_name s.test; location / {{ return 200 \"s\"; }} }}",
            nginx.site("a.test", "one"),
            nginx.port
        );
        let first = repository.commit(
            &[
                ("production/[a.test].nginxconf", &site),
                ("snippets/one", "add_header X-One 1;\n"),
                ("snippets/two", "add_header X-Two 2;\n"),
                ("snippets/sub/three", "add_header X-Three 3;\n"),
            ],
            "first",
        );
        // One that fails after everything has been installed leaves the links, and what they lead to.
        let run = fails(world, repository, &first);
        assert!(cause(&run).contains("health"), "{run:?}");
        assert_eq!(nginx.files(), before);
        for name in ["snippets/one", "conf.d/[a.test].nginxconf"] {
            assert_eq!(fs_err::read_to_string(nginx.path(name)).unwrap(), "# of the checkout\n", "{name}");
        }
        fs_err::write(&healthy, "").unwrap();
        assert!(world.cli(&["deploy", "nginx"]).status.success());
        let files = nginx.files();
        assert_eq!(
            files.keys().collect::<Vec<_>>(),
            [
                "conf.d/[a.test].nginxconf",
                "snippets/one",
                "snippets/sub",
                "snippets/sub/three",
                "snippets/two"
            ]
        );
        assert!(files.values().all(|content| !content.starts_with("->")), "{files:?}");
        assert_eq!((nginx.page("a.test", "/"), nginx.page("s.test", "/")), ("one".into(), "s".into()));
        // Taken down again, with the directory that was made for one of them.
        for path in ["snippets/two", "snippets/sub/three"] {
            remove(repository, path);
        }
        let second =
            repository.commit(&[("production/[a.test].nginxconf", &nginx.site("a.test", "two"))], "fewer");
        world.deploy("nginx", repository, &second);
        assert_eq!(
            nginx.files().into_keys().collect::<Vec<_>>(),
            ["conf.d/[a.test].nginxconf", "snippets/one"]
        );
    });
}

// B.23: an assertion in the middle of the work, after certificates had been obtained.
#[test]
fn b23_files_and_links_of_others_are_never_touched() {
    with_nginx(|world, nginx, repository, _| {
        nginx.write("conf.d/[a.test].conf", "# somebody's\n");
        nginx.write("conf.d/theirs.conf", "# theirs\n");
        symlink("/nowhere/at/all", nginx.path("snippets/linked")).unwrap();
        let files = nginx.files();
        let first = repository.commit(
            &[
                ("production/[a.test].conf", &nginx.site("a.test", "one")),
                ("production/[b.test].conf", &nginx.site("b.test", "one")),
                ("snippets/linked", "expires 1h;"),
            ],
            "first",
        );
        let run = fails(world, repository, &first);
        let names = ["conf.d/[a.test].conf", "snippets/linked", "not the deployer's"];
        assert!(names.iter().all(|name| cause(&run).contains(name)), "{run:?}");
        assert_eq!(nginx.files(), files);
        fs_err::remove_file(nginx.path("conf.d/[a.test].conf")).unwrap();
        fs_err::remove_file(nginx.path("snippets/linked")).unwrap();
        assert!(world.cli(&["deploy", "nginx"]).status.success());
        assert_eq!(nginx.page("a.test", "/"), "one");
        assert_eq!(nginx.files()["conf.d/theirs.conf"], "# theirs\n");
    });
}

// B.27: files without brackets went to every host. B.28: a change of the rules had no effect, and a site that left stayed.
#[test]
fn b27_b28_a_change_of_the_rules_alone_has_effect() {
    with_nginx(|world, nginx, repository, deployment| {
        let first = repository.commit(
            &[
                ("production/[a.test].conf", &nginx.site("a.test", "a")),
                ("production/[b.test].conf", &nginx.site("b.test", "b")),
                ("production/catch-all.conf", &nginx.site("everybody.test", "all")),
                ("production/other-hosts.conf", &nginx.site("other.test", "other")),
            ],
            "first",
        );
        world.deploy("nginx", repository, &first);
        assert_eq!(nginx.page("other.test", "/"), "other");
        let rules =
            "[{ rule = \"include\", select = [\"*\"] }, { rule = \"exclude\", select = [\"b.test\"] }]";
        let chosen = deployment.with("sites", rules).with("unbracketed", "[\"catch-all.conf\"]");
        reconfigure(world, &chosen);
        let runs = world.settled("nginx", 2);
        assert_eq!(
            (runs[1].trigger.as_str(), runs[1].state.as_str()),
            ("reconcile", "succeeded"),
            "{runs:?}"
        );
        let pages = ["a.test", "b.test", "everybody.test", "other.test"].map(|site| nginx.page(site, "/"));
        assert_eq!(pages, ["a", "404", "all", "404"]);
        let workers = nginx.workers();
        reconfigure(world, &chosen);
        assert_eq!(
            (world.settled("nginx", 2).len(), nginx.workers()),
            (2, workers),
            "the same rules do nothing"
        );
    });
}

// B.30: nested directories had nowhere to go, and names that are not ASCII were passed over in silence.
#[test]
fn b30_nested_directories_and_names_that_are_not_ascii() {
    with_nginx(|world, nginx, repository, _| {
        nginx.write("conf.d/nested.conf", "include conf.d/team/*.conf;\n");
        let first = repository.commit(
            &[
                ("production/[caf\u{e9}.test].conf", &nginx.site("caf\u{e9}.test", "coffee")),
                ("production/team/[t.test].conf", &nginx.site("t.test", "team")),
                ("production/caf\u{e9} \"x\".conf", "map $uri $x { a 1; }\n"),
            ],
            "first",
        );
        world.deploy("nginx", repository, &first);
        assert_eq!(
            (nginx.page("caf\u{e9}.test", "/"), nginx.page("t.test", "/")),
            ("coffee".into(), "team".into())
        );
        assert!(nginx.files().contains_key("conf.d/caf\u{e9} \"x\".conf"));
        // Where nginx would not look, a site would never be served: that is no success.
        let second =
            repository.commit(&[("production/else/[e.test].conf", &nginx.site("e.test", "e"))], "elsewhere");
        let run = fails(world, repository, &second);
        assert!(cause(&run).contains("nginx would not read conf.d/else/[e.test].conf"), "{run:?}");
    });
}

// B.31: where the live configuration is broken, nothing could be had any more.
#[test]
fn b31_a_configuration_that_somebody_else_has_broken_is_blamed_on_them() {
    with_nginx(|world, nginx, repository, _| {
        let first = repository.commit(&[("production/[a.test].conf", &nginx.site("a.test", "one"))], "first");
        world.deploy("nginx", repository, &first);
        nginx.write("conf.d/theirs.conf", "\n\nbroken on;\n");
        let files = nginx.files();
        let second =
            repository.commit(&[("production/[a.test].conf", &nginx.site("a.test", "two"))], "second");
        let run = fails(world, repository, &second);
        assert!(cause(&run).contains("nginx/conf.d/theirs.conf:3"), "{run:?}");
        assert_eq!((nginx.files(), nginx.page("a.test", "/")), (files, "one".into()));
    });
}

#[test]
fn a_daemon_killed_between_install_and_reload_puts_back_what_was_there() {
    World::run(|world| {
        let mut nginx = Nginx::prepare(world);
        // Waits in the test of what is live, which comes after the files and before the reload.
        let (gate, arrived) = (world.root().join("gate"), world.root().join("arrived"));
        let program = world.root().join("nginx-with-gate");
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *-t*) if [ -e '{0}' ]; then touch '{1}'; while [ -e '{0}' ]; do sleep 0.05; done; fi;; esac\nexec nginx \"$@\"\n",
            gate.display(),
            arrived.display()
        );
        fs_err::write(&program, script).unwrap();
        succeed(command("chmod", world.root()).arg("755").arg(&program));
        world.settings.set("nginx.program", format!("{:?}", program.to_string_lossy()));
        let repository = world.repository("acme/nginx");
        let deployment = sites(world, &repository, "nginx");
        world.configure(&[deployment]);
        world.start();
        nginx.start();
        let first = repository.commit(&[("production/[a.test].conf", &nginx.site("a.test", "one"))], "first");
        world.deploy("nginx", &repository, &first);
        let (files, workers) = (nginx.files(), nginx.workers());
        fs_err::write(&gate, "").unwrap();
        let second = repository.commit(
            &[("production/[a.test].conf", "nonsense on;"), ("snippets/new/x", "expires 1h;")],
            "not even a configuration",
        );
        // The stage would refuse it: only what it accepts comes this far.
        let third =
            repository.commit(&[("production/[a.test].conf", &nginx.site("a.test", "three"))], "third");
        assert_ne!(second, third);
        world.push(&repository, &third);
        wait::until("the test of what is live", || arrived.exists().then_some(()));
        assert_ne!(nginx.files(), files, "the files are in their places");
        world.kill();
        // Nothing waits any more when it comes back; and the branch has gone back, so that only undoing can restore.
        fs_err::remove_file(&gate).unwrap();
        repository.force(&first);
        world.start();
        world.settled("nginx", 2);
        assert_eq!((nginx.files(), nginx.page("a.test", "/")), (files, "one".into()));
        assert_eq!(nginx.workers(), workers, "nginx never heard of it");
        repository.force(&third);
        world.push(&repository, &third);
        wait::until("the next push to be live", || (nginx.page("a.test", "/") == "three").then_some(()));
    });
}
