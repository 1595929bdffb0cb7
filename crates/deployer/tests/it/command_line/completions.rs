//! Completions, as a real bash, zsh and fish ask for them.

use crate::support::process::{command, succeed};
use crate::support::world::{World, files_under};
use std::path::PathBuf;
use std::process::Command;

/// The script that `completions SHELL` prints, in a file.
fn script(world: &World, shell: &str) -> PathBuf {
    let script = world.root().join(format!("completions.{shell}"));
    fs_err::write(&script, succeed(&mut world.product(&["completions", shell])))
        .expect("the world is writable");
    script
}

/// A shell that finds the product in `PATH`, and this world's configuration.
fn shell(world: &World, program: &str) -> Command {
    let programs = world.binary.parent().expect("it is in a directory").display();
    let mut shell = command(program, world.root());
    let inherited = shell.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
    let inherited = inherited.expect("set by `command`").to_string_lossy().into_owned();
    shell.env("PATH", format!("{programs}:{inherited}")).env("DEPLOYER_CONFIG", &world.configuration);
    shell.current_dir(world.root());
    shell
}

/// What bash would offer behind these words, with the script that `completions bash` prints.
#[track_caller]
fn offered(world: &World, words: &[&str]) -> Vec<String> {
    let script = script(world, "bash");
    let line = r#"
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
        function=$(complete -p durhack-deployer | sed 's/.* -F \([^ ]*\).*/\1/')
        "$function" durhack-deployer "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = shell(world, "bash");
    bash.args(["--norc", "-c", line, "bash"]).arg(&script).arg("durhack-deployer").args(words);
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

/// What fish would offer behind this line, each with its description.
#[track_caller]
fn offered_by_fish(world: &World, line: &str) -> Vec<String> {
    let mut fish = shell(world, "fish");
    fish.args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"])
        .arg(script(world, "fish"))
        .arg(line);
    succeed(&mut fish).lines().map(str::to_owned).collect()
}

/// What a zsh on a terminal makes of this line at one Tab and at the next, where each Tab puts in one of what it would list.
#[track_caller]
fn put_in_by_zsh(world: &World, line: &str) -> [String; 2] {
    let settings = r#"
        autoload -U compinit && compinit -u -D
        source ./completions.zsh
        setopt menu_complete
        tell() { print -r -- "$BUFFER" >> answers }
        zle -N tell; bindkey '^O' tell
        PROMPT='READY> '
    "#;
    // The keys are read one after the other: what was put in is told before the next Tab.
    let typist = r#"
        zmodload zsh/zpty
        zpty terminal zsh -i
        zpty -r -m terminal shown '*READY*'
        zpty -w -n terminal "$1"$'\t\x0f\t\x0f'
        zpty -w -n terminal $'\x15exit\r'
        while zpty -r terminal more; do shown+=$more; done
    "#;
    script(world, "zsh");
    let write = |name: &str, text: &str| fs_err::write(world.root().join(name), text).expect("writable");
    write(".zshrc", settings);
    // What the machine has for everybody's zsh is not what is looked at.
    write(".zshenv", "unsetopt global_rcs\n");
    write("answers", "");
    let mut zsh = shell(world, "zsh");
    zsh.args(["-f", "-c", typist, "zsh", line]).env("ZDOTDIR", world.root()).env("TERM", "dumb");
    succeed(&mut zsh);
    let answers = fs_err::read_to_string(world.root().join("answers")).expect("it was written");
    let answers: Vec<&str> = answers.lines().collect();
    let [first, second] = answers[..] else { panic!("two Tabs were typed: {answers:?}") };
    [first, second].map(str::to_owned)
}

#[test]
fn zsh_and_fish_complete_what_bash_does() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository), world.deployment("shop", &repository)]);
        repository.commit(&[("index.html", "one")], "first");
        succeed(&mut world.product(&["deploy", "site"]));
        let release = world.runs("site").pop().and_then(|run| run.release).expect("it made one");

        assert_eq!(offered_by_fish(world, "durhack-deployer deploy s"), ["site", "shop"]);
        assert_eq!(offered_by_fish(world, "durhack-deployer rollback site --to 2"), [release.as_str()]);
        let [rollback] = &offered_by_fish(world, "durhack-deployer roll")[..] else { panic!("one is meant") };
        assert!(rollback.starts_with("rollback\tGo back to the release before"), "{rollback}");

        let slugs = ["site", "shop"].map(|slug| format!("durhack-deployer deploy {slug}"));
        assert_eq!(put_in_by_zsh(world, "durhack-deployer deploy s"), slugs);
        let [to_release, _] = put_in_by_zsh(world, "durhack-deployer rollback site --to 2");
        assert_eq!(to_release.trim_end(), format!("durhack-deployer rollback site --to {release}"));
        let [to_command, _] = put_in_by_zsh(world, "durhack-deployer roll");
        assert_eq!(to_command, "durhack-deployer rollback ");
    });
}
