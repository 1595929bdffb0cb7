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
