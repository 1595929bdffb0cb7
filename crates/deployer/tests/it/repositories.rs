//! Repositories as people have them: old histories, renamed branches, files elsewhere, names in other encodings.

use crate::support::configuration::text;
use crate::support::process::{command, succeed};
use crate::support::repository::Repository;
use crate::support::world::World;

/// Writes an object as it stands here, however wrong, and gives its id.
fn object(repository: &Repository, kind: &str, content: &[u8]) -> String {
    let file = repository.work_tree().join(".git/object-to-write");
    fs_err::write(&file, content).expect("writable");
    let id = repository.git(&["hash-object", "-t", kind, "-w", "--literally", ".git/object-to-write"]);
    id.trim().to_owned()
}

/// A commit with this tree, author line and parent, pushed to `main`.
fn push_commit(world: &World, repository: &Repository, tree: &str, author: &str, parent: &str) -> String {
    let committer = "committer x <x@x> 1700000000 +0000";
    let text = format!("tree {tree}\nparent {parent}\nauthor {author}\n{committer}\n\nold\n");
    let commit = object(repository, "commit", text.as_bytes());
    // Straight into the repository upstream: whoever wrote these objects had a git that did not look.
    let mut push = command("git", world.root());
    push.current_dir(repository.work_tree())
        .args(["-c", "safe.directory=*", "push", "-q"])
        .arg(repository.bare())
        .arg(format!("+{commit}:refs/heads/main"));
    succeed(&mut push);
    world.github.add_commit(&repository.name, &commit);
    commit
}

fn tree_of(repository: &Repository, commit: &str) -> String {
    repository.git(&["rev-parse", &format!("{commit}^{{tree}}")]).trim().to_owned()
}

fn entry(mode: &str, name: &str, id: &str) -> Vec<u8> {
    let mut entry = format!("{mode} {name}\0").into_bytes();
    entry.extend(hex::decode(id).expect("an id"));
    entry
}

#[test]
fn oddities_of_old_histories_are_deployed_as_everybody_clones_them() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let mut head = repository.commit(&[("index.html", "one"), ("etc/a", "a")], "first");
        world.deploy("site", &repository, &head);
        let tree = tree_of(&repository, &head);
        for author in [
            "x <x@x> 1300000000 +051800",
            "x <x@x> 01300000000 +0000",
            "x 1300000000 +0000",
            "x <x@x>1300000000 +0000",
            "<x@x> 1300000000 +0000",
            "x <x@x <y> 1300000000 +0000",
            "x <x@x> 99999999999999999999 +0000",
        ] {
            head = push_commit(world, &repository, &tree, author, &head);
            let run = world.deploy("site", &repository, &head);
            assert_eq!(run.state, "succeeded", "{author}: {run:?}");
        }
        // A mode with a zero in front, as old programs wrote it.
        let inner = repository.git(&["rev-parse", &format!("{head}:etc")]);
        let file = repository.git(&["rev-parse", &format!("{head}:index.html")]);
        let padded =
            [entry("040000", "etc", inner.trim()), entry("100644", "index.html", file.trim())].concat();
        let padded = object(&repository, "tree", &padded);
        head = push_commit(world, &repository, &padded, "x <x@x> 1300000000 +0000", &head);
        assert_eq!(world.deploy("site", &repository, &head).state, "succeeded");
        assert_eq!(world.live("site", "etc/a").as_deref(), Some("a"));
    });
}

#[test]
fn a_defect_that_is_refused_is_named_with_its_object_and_what_allows_it() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let head = repository.commit(&[("index.html", "one"), ("b", "b")], "first");
        world.deploy("site", &repository, &head);
        let file = repository.git(&["rev-parse", &format!("{head}:b")]);
        let author = "x <x@x> 1300000000 +0000";
        let cause_of = |world: &World, tree: &[u8]| {
            let tree = object(&repository, "tree", tree);
            let commit = push_commit(world, &repository, &tree, author, &head);
            world.push(&repository, &commit);
            let run = world.ended_run("site", &commit);
            (tree, commit, run)
        };
        let unsorted = [entry("100644", "b", file.trim()), entry("100644", "a", file.trim())].concat();
        let (tree, commit, run) = cause_of(world, &unsorted);
        let cause = run.cause.unwrap_or_default();
        assert!(cause.contains(&format!("object {tree}: treeNotSorted")), "{cause}");
        assert!(cause.contains("`fsck_ignored = [\"treeNotSorted\"]` in `[git]`"), "{cause}");
        let outside = entry("100644", ".git", file.trim());
        let (tree, _, run) = cause_of(world, &outside);
        let cause = run.cause.unwrap_or_default();
        assert!(
            cause.contains(&format!("object {tree}: hasDotgit")) && cause.contains("so do we"),
            "{cause}"
        );

        // The hint, followed.
        repository.force(&commit);
        world.settings.set("git.fsck_ignored", r#"["treeNotSorted"]"#);
        world.configure(&[world.deployment("site", &repository)]);
        world.stop();
        world.start();
        let deployed = world.cli(&["deploy", "site"]);
        assert!(deployed.status.success(), "{deployed:?}");
        assert_eq!(world.live("site", "a").as_deref(), Some("b"));
    });
}

#[test]
fn a_branch_may_take_the_place_of_a_directory_of_branches_and_back() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let commits = ["one", "two", "three"].map(|text| repository.commit(&[("index.html", text)], text));
        let branches = [("release", "one"), ("release/v2", "two"), ("release", "three")];
        for ((branch, content), commit) in branches.into_iter().zip(&commits) {
            repository.set_reference(&format!("refs/heads/{branch}"), commit);
            world.configure(&[world.deployment("site", &repository).with("branch", text(branch))]);
            world.start();
            let deployed = world.cli(&["deploy", "site"]);
            assert!(deployed.status.success(), "{branch}: {deployed:?}");
            assert_eq!(world.live("site", "index.html").as_deref(), Some(content));
            world.stop();
            repository.delete_branch(branch);
        }
    });
}

/// What the run of this commit noted in its log.
fn log_of(world: &World, commit: &str) -> String {
    let run = world.ended_run("site", commit);
    fs_err::read_to_string(world.state().join("logs").join(format!("{}.log", run.id)))
        .expect("a run has a log")
}

#[test]
fn what_was_changed_by_hand_in_place_is_kept_and_named_and_back_when_a_run_fails() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let site = world.path_of("site");
        let fails = "test ! -e fails";
        let deployment = world.deployment("site", &repository).with("layout", "\"in-place\"");
        world.configure(&[deployment.step("build", "check", fails)]);
        world.start();
        let files = [("index.html", "one"), ("config.json", "{}"), ("same.txt", "same"), ("a/b", "b")];
        let first = repository.commit(&files, "first");
        world.deploy("site", &repository, &first);
        let by_hand = |name: &str, text: &str| fs_err::write(site.join(name), text).expect("writable");
        by_hand("config.json", "by hand");
        by_hand("users.db", "users");
        by_hand("untouched.db", "stays");
        by_hand("a/b", "by hand too");

        // It overwrites a changed file, one that git never knew, and removes one; and fails.
        repository.git(&["rm", "-q", "a/b"]);
        let files = [("index.html", "two"), ("config.json", "{2}"), ("users.db", "empty"), ("fails", "")];
        let broken = repository.commit(&files, "broken");
        world.push(&repository, &broken);
        assert_eq!(world.ended_run("site", &broken).state, "failed");
        let there = |name: &str| {
            world.live("site", &format!("../{name}")).or(fs_err::read_to_string(site.join(name)).ok())
        };
        assert_eq!(there("index.html").as_deref(), Some("one"));
        assert_eq!(there("config.json").as_deref(), Some("by hand"), "what served is what serves");
        assert_eq!(there("users.db").as_deref(), Some("users"));
        assert_eq!(there("a/b").as_deref(), Some("by hand too"));

        repository.git(&["rm", "-q", "fails"]);
        let good = repository.commit(&[("index.html", "three")], "good");
        let plan = String::from_utf8_lossy(&world.cli(&["plan", "site"]).stdout).into_owned();
        let said = "changed on this host, and overwritten or removed by the commit: ";
        let named = plan.lines().find_map(|line| line.split_once(said)).expect("the plan says it").1;
        assert!(["config.json", "users.db", "a/b"].iter().all(|file| named.contains(file)), "{plan}");
        assert!(!named.contains("same.txt") && !named.contains("untouched.db"), "{plan}");
        assert_eq!(there("config.json").as_deref(), Some("by hand"), "a plan changes nothing");
        world.deploy("site", &repository, &good);
        assert_eq!(there("config.json").as_deref(), Some("{2}"));
        assert_eq!(there("users.db").as_deref(), Some("empty"));
        assert_eq!(there("untouched.db").as_deref(), Some("stays"));
        assert_eq!(there("a/b"), None);
        let run = world.ended_run("site", &good);
        let kept = world.state().join("kept/site").join(&run.id);
        let copy = |name: &str| fs_err::read_to_string(kept.join(name)).ok();
        assert_eq!(copy("config.json").as_deref(), Some("by hand"));
        assert_eq!(copy("users.db").as_deref(), Some("users"));
        assert_eq!(copy("a/b").as_deref(), Some("by hand too"));
        assert_eq!(copy("same.txt"), None, "what nobody has changed is in the repository");
        let log = log_of(world, &good);
        let said =
            log.contains("changed on this host") && log.contains("users.db") && log.contains("kept/site");
        assert!(said, "{log}");
        assert!(world.log().contains("changed on this host"), "the daemon's log says it, too");
    });
}

#[test]
fn a_release_that_lacks_submodules_or_files_of_lfs_says_so_in_plan_and_log() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("paths", r#"["server", "web/**"]"#)]);
        world.start();
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        let attributes = "*.png filter=lfs diff=lfs merge=lfs -text\n";
        let files = [("logo.png", pointer), (".gitattributes", attributes), ("server/a", "a")];
        let module = format!("160000,{},themes/theme", "a".repeat(40));
        repository.git(&["update-index", "--add", "--cacheinfo", &module]);
        for (name, content) in files {
            let path = repository.work_tree().join(name);
            fs_err::create_dir_all(path.parent().expect("below the tree")).expect("writable");
            fs_err::write(path, content).expect("writable");
            // No git of the host's may act on these attributes.
            repository.git(&["-c", "filter.lfs.clean=cat", "add", name]);
        }
        let commit = repository.commit_index("first");
        let plan = world.cli(&["plan", "site"]);
        let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
        world.deploy("site", &repository, &commit);
        for said in [&plan, &log_of(world, &commit)] {
            assert!(said.contains("1 submodule is not fetched: themes/theme. `submodules = true`"), "{said}");
            assert!(said.contains("1 file is a pointer of Git LFS") && said.contains("logo.png"), "{said}");
            assert!(said.contains("`paths`: \"web/**\" matches no file of this commit"), "{said}");
            assert!(!said.contains("\"server\""), "{said}");
        }
        // And a directory's name means what is below it.
        let next = repository.commit(&[("server/a", "changed")], "second");
        world.deploy("site", &repository, &next);
    });
}

#[test]
fn a_new_shared_directory_begins_with_the_repositorys_files_and_a_filled_one_says_what_it_hides() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("shared_dirs", r#"["server/state"]"#)]);
        world.start();
        let files =
            [("index.html", "1"), ("server/state/default.json", "{}"), ("server/state/views/.gitkeep", "")];
        let first = repository.commit(&files, "first");
        world.deploy("site", &repository, &first);
        assert_eq!(world.live("site", "server/state/default.json").as_deref(), Some("{}"));
        let shared = world.path_of("site").join("shared/server/state");
        assert!(shared.join("views").is_dir(), "a framework's skeleton");
        assert!(log_of(world, &first).contains("shared/server/state is new"), "{}", log_of(world, &first));
        fs_err::write(shared.join("default.json"), "of the application").expect("writable");

        let second = repository.commit(&[("server/state/more.json", "{}")], "second");
        let plan = String::from_utf8_lossy(&world.cli(&["plan", "site"]).stdout).into_owned();
        world.deploy("site", &repository, &second);
        assert_eq!(world.live("site", "server/state/default.json").as_deref(), Some("of the application"));
        let log = log_of(world, &second);
        let said = "shared/server/state hides 1 file of the repository that it does not have itself: server/state/more.json";
        assert!(log.contains(said), "{log}");
        assert!(plan.contains(said), "known before it is done: {plan}");
    });
}

#[test]
fn what_is_missing_on_the_host_is_told_by_plan_and_fails_a_run_before_it_fetches() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = world.deployment("site", &repository);
        world.configure(std::slice::from_ref(&deployment));
        world.start();
        let first = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &first);
        let env = world.path_of("site").join("shared/.env");
        for (key, value, content, expected) in [
            ("env_files", r#"["shared/.env"]"#, None, "there is no"),
            ("env_files", r#"["shared/.env"]"#, Some("A=\"never ended"), ".env"),
            ("shared_files", r#"[".env"]"#, None, "shared/.env does not exist, and `shared_files` names it"),
        ] {
            let _ = fs_err::remove_file(&env);
            if let Some(content) = content {
                fs_err::write(&env, content).expect("writable");
            }
            world.stop();
            world.configure(&[deployment.clone().with(key, value)]);
            world.start();
            let commit = repository.commit(&[("index.html", content.unwrap_or(key))], key);
            let plan = String::from_utf8_lossy(&world.cli(&["plan", "site"]).stdout).into_owned();
            assert!(plan.contains("would fail before anything is done") && plan.contains(expected), "{plan}");
            world.push(&repository, &commit);
            let run = world.ended_run("site", &commit);
            let cause = run.cause.unwrap_or_default();
            assert!(run.state == "failed" && cause.contains(expected), "{cause}");
            assert!(!log_of(world, &commit).contains("fetch the commit"), "nothing was fetched");
            assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        }
    });
}
