//! Completions, as a real bash asks for them.

use crate::support::process::{command, succeed};
use crate::support::world::{World, files_under};

/// What bash would offer behind these words, with the script that `completions bash` prints.
#[track_caller]
fn offered(world: &World, words: &[&str]) -> Vec<String> {
    let script = world.root().join("completions.bash");
    fs_err::write(&script, succeed(&mut world.product(&["completions", "bash"])))
        .expect("the world is writable");
    let line = r#"
        PATH="$PROGRAMS:$PATH"
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
        function=$(complete -p durhack-deployer | sed 's/.* -F \([^ ]*\).*/\1/')
        "$function" durhack-deployer "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let programs = world.binary.parent().expect("it is in a directory").display().to_string();
    let mut bash = command("bash", world.root());
    bash.args(["--norc", "-c", line, "bash"]).arg(&script).arg("durhack-deployer").args(words);
    bash.env("PROGRAMS", programs).env("DEPLOYER_CONFIG", &world.configuration);
    bash.current_dir(world.root());
    let output = crate::support::process::output(&mut bash);
    assert!(
        output.stderr.is_empty(),
        "a shell would show this: {}",
        crate::support::process::describe(&output)
    );
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn bash_completes_slugs_runs_releases_and_entries() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository), world.deployment("shop", &repository)]);
        let before = files_under(&world.state());
        assert_eq!(offered(world, &["deploy", "s"]), ["site", "shop"]);
        assert!(offered(world, &["run", "0"]).is_empty());
        assert_eq!(files_under(&world.state()), before, "nothing is made for it");

        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        for slug in ["site", "shop"] {
            assert_eq!(world.ended_run(slug, &commit).state, "succeeded");
        }
        world.stop();
        let run = world.runs("site").pop().expect("there is one");
        assert!(offered(world, &["logs", &run.id[..8]]).contains(&run.id));
        // As tables print it.
        let digits = run.id.replace('-', "");
        let short = &digits[13..20];
        assert_eq!(offered(world, &["run", &short[..3]]), [short]);
        let all = offered(world, &["logs", ""]);
        assert!(all.contains(&short.to_owned()) && !all.contains(&run.id), "{all:?}");
        assert_eq!(offered(world, &["status", "sh"]), ["shop"]);
        assert!(offered(world, &["run", "si"]).contains(&"site".to_owned()));
        let release = run.release.expect("it made one");
        assert_eq!(offered(world, &["rollback", "site", "--to", "2"]), [release]);
        assert!(offered(world, &["roll"]).contains(&"rollback".to_owned()));
        assert!(offered(world, &["deploy", "site", "--f"]).contains(&"--force".to_owned()));

        // What is wrong is not said in the middle of what somebody types.
        fs_err::write(world.configuration.join("default.toml"), "no = [toml").expect("the world is writable");
        assert!(offered(world, &["deploy", "s"]).is_empty());
    });
}
