//! How much a repository may bring: trees that stand for more files than any disk has, and files that were small on the way.

use crate::support::process::{command, succeed};
use crate::support::repository::Repository;
use crate::support::world::World;

/// A tree that holds ten times the same tree, $1 levels deep, with ten files at the end; prints its commit, a child of `main`.
const BOMB: &str = r#"
ten() { for i in 0 1 2 3 4 5 6 7 8 9; do printf '%s %s\t%s\n' "$1" "$2" "$i"; done | git mktree; }
tree=$(ten '100644 blob' "$(echo x | git hash-object -w --stdin)")
for level in $(seq 2 "$1"); do tree=$(ten '040000 tree' "$tree"); done
git commit-tree -p main -m bomb "$tree"
"#;

/// A repository with ten to the power of `levels` files.
fn push_bomb(world: &World, repository: &Repository, levels: u32) -> String {
    let mut make = command("sh", world.root());
    make.current_dir(repository.work_tree()).args(["-c", BOMB, "sh", &levels.to_string()]);
    for (name, value) in [("GIT_AUTHOR_NAME", "x"), ("GIT_AUTHOR_EMAIL", "x@x"), ("GIT_COMMITTER_NAME", "x")]
    {
        make.env(name, value);
    }
    let commit = succeed(make.env("GIT_COMMITTER_EMAIL", "x@x"));
    repository.git(&[
        "push",
        "-q",
        &repository.bare().to_string_lossy(),
        &format!("+{commit}:refs/heads/main"),
    ]);
    world.github.add_commit(&repository.name, &commit);
    commit
}

fn refused(world: &World, repository: &Repository, commit: &str) -> String {
    world.push(repository, commit);
    let run = world.ended_run("site", commit);
    assert_eq!(run.state, "failed", "{run:?}");
    assert_eq!(world.live("site", "index.html").as_deref(), Some("one"), "the old release serves on");
    let releases = fs_err::read_dir(world.path_of("site").join("releases")).expect("it is there").count();
    assert_eq!(releases, 1, "something of it was written");
    run.cause.expect("a failed run has a cause")
}

fn first_release(world: &mut World) -> Repository {
    let repository = world.repository("acme/site");
    world.configure(&[world.deployment("site", &repository)]);
    world.start();
    let commit = repository.commit(&[("index.html", "one")], "first");
    world.deploy("site", &repository, &commit);
    repository
}

#[test]
fn a_commit_of_a_million_or_a_hundred_million_files_is_refused_before_any_is_written() {
    World::run(|world| {
        // Git must not need memory for files that it only lists.
        world.settings.set("git.memory_max", "\"64MiB\"");
        let repository = first_release(world);
        for levels in [6, 8] {
            let commit = push_bomb(world, &repository, levels);
            let cause = refused(world, &repository, &commit);
            assert!(cause.contains("more than 200000 files. `git.files_max` is the limit"), "{cause}");
        }
        repository.force("HEAD");
        let good = repository.commit(&[("index.html", "two")], "good");
        world.deploy("site", &repository, &good);
    });
}

#[test]
fn each_limit_of_a_commit_is_told_with_its_key() {
    World::run(|world| {
        world.settings.set("git.files_max", "20");
        world.settings.set("git.size_max", "\"1MiB\"");
        world.settings.set("git.depth_max", "5");
        world.settings.set("git.path_max", "64");
        let repository = first_release(world);
        let zeros = "0".repeat(2 << 20);
        let many: Vec<String> = (0..25).map(|number| format!("many/{number}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
        for (files, expected) in [
            (&[("large", zeros.as_str())][..], "`git.size_max`"),
            (&[("a/b/c/d/e/f/g", "x")], "lies 6 directories deep (a/b/c/d/e/f/g...). `git.depth_max` is 5"),
            (&[(&*"n".repeat(80), "x")], "has a path of 80 bytes"),
            (&many, "more than 20 files. `git.files_max`"),
        ] {
            let commit = repository.commit(files, "too much");
            let cause = refused(world, &repository, &commit);
            assert!(cause.contains(expected), "{expected}: {cause}");
            // The next one is too much in its own way only.
            repository.git(&["rm", "-rq", "--ignore-unmatch", "large", "a", "many", &"n".repeat(80)]);
        }
    });
}

/// What cannot be compressed is too large on the way already: the fetch itself ends at the limit.
#[test]
fn a_pack_that_is_too_large_is_not_fetched_to_its_end() {
    World::run(|world| {
        world.settings.set("git.size_max", "\"1MiB\"");
        let repository = first_release(world);
        succeed(
            command("sh", world.root())
                .current_dir(repository.work_tree())
                .args(["-c", "head -c 8000000 /dev/urandom > noise"]),
        );
        let commit = repository.commit(&[], "noise");
        let cause = refused(world, &repository, &commit);
        assert!(cause.contains("brings a file of more than 1 MiB. `git.size_max`"), "{cause}");
        let packs = fs_err::read_dir(world.state().join("mirrors/acme/site.git/objects/pack"));
        let bytes: u64 = packs
            .expect("it is there")
            .map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |found| found.len()))
            .sum();
        assert!(bytes < 2 << 20, "{bytes} bytes are left of it");
    });
}

#[test]
fn a_git_that_needs_too_much_memory_is_told_with_its_key() {
    World::run(|world| {
        world.settings.set("git.memory_max", "\"24MiB\"");
        world.settings.set("git.files_max", "10000000");
        let repository = first_release(world);
        let commit = push_bomb(world, &repository, 6);
        world.push(&repository, &commit);
        let run = world.ended_run("site", &commit);
        let cause = run.cause.expect("a failed run has a cause");
        assert!(cause.contains("`git.memory_max`"), "{cause}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"), "the old release serves on");
    });
}
