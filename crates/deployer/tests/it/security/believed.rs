//! From where a configuration is read, and what steps inherit: whoever types a command, or starts the daemon, may stand somewhere else
//! than they think.

use crate::support::configuration::text;
use crate::support::process::{command, describe, output};
use crate::support::world::World;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Output;

/// A configuration as a push writes it: with a shell line of its own.
fn plant(directory: &Path, canary: &Path, world: &World, repository: &str) {
    fs_err::create_dir_all(directory.join("config")).expect("the world is writable");
    let mut settings = world.settings.clone();
    settings.set("state_directory", text(&directory.join("state").to_string_lossy()));
    let step = format!("touch {}", canary.display());
    let file = format!(
        "{}\n[deployments.site]\nrepository = \"acme/site\"\nbranch = \"main\"\npath = {}\nclone_url = {}\nenabled = true\nrecipe = \"steps\"\nsteps = [{{ phase = \"switch\", name = \"x\", shell = {} }}]\n",
        settings.file(&[]),
        text(&directory.join("srv").to_string_lossy()),
        text(repository),
        text(&step)
    );
    fs_err::write(directory.join("config/default.toml"), file).expect("the world is writable");
    fs_err::write(directory.join(".env"), "DEPLOYER_ENV=development\n").expect("the world is writable");
}

/// `deploy site` by this user, in this directory, without naming a configuration.
fn deploy_in(world: &World, directory: &Path, user: u32, variables: &[(&str, &str)]) -> Output {
    let binary = world.root().join("durhack-deployer");
    if !binary.exists() {
        fs_err::copy(&world.binary, &binary).expect("the world is writable");
    }
    let mut deploy = command("setpriv", directory);
    deploy.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".into()]);
    deploy.arg(binary).args(["deploy", "site"]).current_dir(directory).envs(variables.iter().copied());
    output(&mut deploy)
}

fn give(path: &Path, user: u32) {
    for entry in walk(path) {
        chown(entry, Some(user), Some(user)).expect("tests run as root");
    }
}

fn walk(path: &Path) -> Vec<std::path::PathBuf> {
    let mut all = crate::support::world::files_under(path);
    all.push(path.to_owned());
    all
}

const USER: u32 = 4711;

#[test]
fn a_configuration_that_a_push_has_written_is_not_read() {
    assert!(!Path::new("/etc/durhack-deployer").exists(), "this machine has an installation of its own");
    World::run(|world| {
        let repository = world.repository("acme/site");
        repository.commit(&[("index.html", "one")], "first");
        fs_err::set_permissions(world.root(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("ours");
        let url = repository.clone_url();
        let canary = |name: &str| {
            let directory = world.root().join(name);
            fs_err::create_dir_all(&directory).expect("the world is writable");
            give(&directory, USER);
            directory.join("canary")
        };

        // In a release, as the deployer's user, who owns it.
        let release = world.root().join("www/site/releases/20261123T125730Z-016c10c");
        let by_release = canary("by-release");
        plant(&release, &by_release, world, &url);
        give(&release, USER);
        let current = world.root().join("www/site/current");
        std::os::unix::fs::symlink("releases/20261123T125730Z-016c10c", &current)
            .expect("the world is writable");
        for place in [&release, &current] {
            for variables in [&[][..], &[("DEPLOYER_ENV", "development")], &[("PYTHON_ENV", "production")]] {
                let said = deploy_in(world, place, USER, variables);
                assert!(!said.status.success() && describe(&said).contains("release"), "{}", describe(&said));
            }
        }
        assert!(!by_release.exists(), "the repository's shell line ran");

        // In place, by way of sudo.
        let tree = world.root().join("tree");
        let by_sudo = canary("by-sudo");
        plant(&tree, &by_sudo, world, &url);
        give(&tree, USER);
        let said = deploy_in(world, &tree, USER, &[("SUDO_UID", "1000")]);
        assert!(!said.status.success() && describe(&said).contains("sudo"), "{}", describe(&said));
        // A directory that others can write.
        fs_err::set_permissions(&tree, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("ours");
        let said = deploy_in(world, &tree, USER, &[]);
        assert!(!said.status.success() && describe(&said).contains("others than you"), "{}", describe(&said));
        assert!(!by_sudo.exists(), "the repository's shell line ran");

        // As root in a clone of root's, whose own .env says what root did not.
        let clone = world.root().join("clone");
        let by_root = canary("by-root");
        plant(&clone, &by_root, world, &url);
        let said = deploy_in(world, &clone, 0, &[]);
        assert!(
            !said.status.success() && describe(&said).contains("DEPLOYER_ENV=development"),
            "{}",
            describe(&said)
        );
        assert!(!by_root.exists(), "the repository's shell line ran");

        // And a newcomer in a directory of their own.
        let own = world.root().join("own");
        let by_newcomer = canary("by-newcomer");
        plant(&own, &by_newcomer, world, &url);
        give(&own, USER);
        give(repository.bare(), USER);
        let said = deploy_in(world, &own, USER, &[]);
        assert!(said.status.success() && by_newcomer.exists(), "{}", describe(&said));
    });
}

#[test]
fn dot_env_is_read_beside_the_configuration_only() {
    World::run(|world| {
        world.configure(&[]);
        let elsewhere = world.root().join("elsewhere");
        fs_err::create_dir(&elsewhere).expect("the world is writable");
        fs_err::write(elsewhere.join(".env"), "DATABASE_URL=postgres://evil@127.0.0.1:1/x\n")
            .expect("writable");
        let shown = |world: &World| {
            let mut show = world.product(&["config", "show"]);
            describe(&output(show.current_dir(&elsewhere)))
        };
        assert!(!shown(world).contains("evil"), "{}", shown(world));
        fs_err::write(world.root().join(".env"), "DATABASE_URL=postgres://mine@127.0.0.1:1/x\n")
            .expect("writable");
        assert!(shown(world).contains("mine"), "{}", shown(world));
    });
}

#[test]
fn steps_inherit_nothing_that_the_daemon_was_started_with() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let [build, switch] = ["build", "switch"].map(|phase| world.root().join(phase));
        let list = |file: &Path| format!("ls -l /proc/self/fd /proc/$$/fd > {}", file.display());
        let deployment = world.deployment("site", &repository).step("build", "b", &list(&build));
        world.configure(&[deployment.step("switch", "s", &list(&switch))]);
        let first = repository.commit(&[("index.html", "one")], "first");
        let canary = world.root().join("open-in-the-shell");
        fs_err::write(&canary, "").expect("the world is writable");
        let serve = world.product(&["serve"]);
        let mut shell = command("bash", world.root());
        shell.args(["-c", "exec 9<\"$1\" 14<\"$1\"; shift; exec \"$@\"", "bash"]).arg(&canary);
        shell.arg(serve.get_program()).args(serve.get_args());
        shell.current_dir(world.root());
        shell.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        assert!(world.launch(shell).is_none(), "{}", world.log());
        world.deploy("site", &repository, &first);
        for file in [&build, &switch] {
            let listed = fs_err::read_to_string(file).expect("the step ran");
            assert!(listed.contains("->") && !listed.contains("open-in-the-shell"), "{listed}");
        }
    });
}

#[test]
fn what_a_build_takes_from_another_release_or_opens_of_the_state_is_mended() {
    World::run(|world| {
        let [site, other] = ["acme/site", "acme/other"].map(|name| world.repository(name));
        let mode = |path: &Path| {
            let permissions = fs_err::metadata(path).expect("it is there").permissions();
            std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777
        };
        let live = world.path_of("other").join("current");
        let state = world.state();
        // H4: modes are not Landlock's affair.
        let line = format!(
            "chmod 000 \"$(readlink -f {0})\" && chmod 000 {1}/releases && chmod 777 {2} {2}/spool {2}/trust && chmod 666 {2}/record.sqlite {2}/trust/record.key",
            live.display(),
            world.path_of("other").display(),
            state.display()
        );
        let attack = world.deployment("site", &site).step("build", "b", &line);
        world.configure(&[attack, world.deployment("other", &other)]);
        let [first, one] =
            [&other, &site].map(|repository| repository.commit(&[("index.html", "one")], "first"));
        world.start();
        world.deploy("other", &other, &first);
        let releases = world.path_of("other").join("releases");
        let release = fs_err::canonicalize(&live).expect("it is live");
        let modes = [mode(&release), mode(&releases)];
        world.deploy("site", &site, &one);
        assert_eq!([mode(&release), mode(&releases)], [0, 0], "the build did what it could");
        // The next look at it.
        let second = other.commit(&[("index.html", "two")], "second");
        world.deploy("other", &other, &second);
        assert_eq!([mode(&release), mode(&releases)], modes);
        for (path, expected) in [
            ("", 0o700),
            ("spool", 0o700),
            ("trust", 0o700),
            ("record.sqlite", 0o600),
            ("trust/record.key", 0o600),
        ] {
            assert_eq!(mode(&state.join(path)), expected, "{path}");
        }
        let log = world.log();
        assert!(log.contains("rights on the way to the live release had been taken away"), "it is said");
    });
}
