//! What `doctor` says of the machine: rules of sudo, versions of programs with known holes, names, memory, inodes, the kernel, its clock.
//!
//! Files of the machine are others here, in a namespace of the test's own: the machine's stay as they are. A booted machine, with a real sudo
//! and a real systemd, is looked at in `setup`.

use super::{Report, as_root, configure, host, set_mode};
use crate::support::nginx::Nginx;
use crate::support::process::{command, output};
use crate::support::world::World;
use std::path::PathBuf;
use std::process::Command;

/// In a namespace of its own, so that the machine's rules stay as they are.
#[test]
fn rules_of_sudo_that_are_root_for_whoever_can_push_are_named() {
    World::run(|world| {
        host(world, |world, deployment| {
            world.settings.set("privileges", "\"sudo\"");
            world.settings.set("executable_search_paths", "[\"/etc/of-a-test\"]");
            deployment
        });
        world.start();
        let rules = world.root().join("etc");
        fs_err::create_dir_all(rules.join("sudoers.d")).expect("writable");
        let included = rules.join("sudoers.d");
        fs_err::write(
            rules.join("sudoers"),
            format!("root ALL=(ALL:ALL) ALL\n@includedir {}\n", included.display()),
        )
        .expect("writable");
        let original = "nobody ALL=(ALL) NOPASSWD: /usr/bin/certbot\nnobody ALL=(ALL) NOPASSWD: /usr/bin/systemctl reload nginx\n";
        fs_err::write(included.join("deployer"), original).expect("writable");
        // A sudo of a test: what it says of its version is all that it does. Root calls none that is not root's, and the machine's own before
        // those of `executable_search_paths`: where there is one, this stands in its place.
        let shims = rules.join("of-a-test");
        fs_err::create_dir(&shims).expect("writable");
        fs_err::write(shims.join("sudo"), "#!/bin/sh\necho 'Sudo version 1.9.16p2'\n").expect("writable");
        set_mode(&shims.join("sudo"), 0o755);

        let doctor = as_root(world);
        let mut inside = command("unshare", world.root());
        inside.envs(doctor.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let script = r#"touch "$1/target" && mount -t tmpfs tmpfs /mnt && cp -a /etc/. /mnt/ && cp "$1/sudoers" /mnt/sudoers && cp -r "$1/of-a-test" /mnt; found=$(command -v sudo) && mount --bind /mnt/of-a-test/sudo "$found"; mount --bind /mnt /etc && shift && exec "$@""#;
        inside.args(["--mount", "sh", "-ec", script, "sh"]).arg(&rules);
        inside.arg(doctor.get_program()).args(doctor.get_args());
        inside.current_dir(world.root());
        let report = Report::of(&output(&mut inside));
        report.assert("sudo's rules", "error", "nobody may run `/usr/bin/certbot` as root", "visudo -f");
        assert_eq!(report.of_check("sudo's rules").len(), 1, "an exact rule is none: {report:#?}");
        report.assert("sudo's version", "error", "CVE-2025-32463", "install a newer sudo");
    });
}

/// A machine of which this is true.
struct Machine {
    git: &'static str,
    sudo: &'static str,
    rules: &'static str,
    synchronised: &'static str,
    memory: &'static str,
    modules: &'static str,
    hosts: &'static str,
}

const ILL: Machine = Machine {
    git: "git version 2.43.6",
    sudo: "Sudo version 1.9.5p1",
    rules: "    (ALL) NOPASSWD: /usr/bin/systemctl status *\n    (root) NOPASSWD: /usr/local/bin/mine *",
    synchronised: "no",
    memory: "MemTotal: 1000000 kB\nMemAvailable: 300000 kB\nSwapFree: 0 kB\n",
    modules: "capability,yama",
    hosts: "127.0.0.1 localhost\n192.0.2.7 deploy.example.org www.example.org\n",
};

const WELL: Machine = Machine {
    git: "git version 2.50.1",
    sudo: "Sudo version 1.9.17p1",
    rules: "    (root) NOPASSWD: /usr/sbin/nginx -t, /usr/bin/systemctl reload nginx",
    synchronised: "yes",
    memory: "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\nSwapFree: 0 kB\n",
    modules: "capability,landlock,yama",
    hosts: "127.0.0.1 localhost deploy.example.org www.example.org\n",
};

impl Machine {
    /// Programs that say what is true, and files of the kernel's and of `/etc` with what belongs in their places.
    fn write(&self, world: &World) -> Vec<(PathBuf, &'static str)> {
        let directory = world.root().join("machine");
        fs_err::create_dir_all(directory.join("lsm")).expect("writable");
        let program = |name: &str, script: String| {
            let path = world.shims.as_ref().expect("they were set").join(name);
            fs_err::write(&path, format!("#!/bin/sh\n{script}")).expect("writable");
            set_mode(&path, 0o755);
        };
        program("git", format!("echo '{}'\n", self.git));
        let listing = format!("User nobody may run the following commands on machine:\n{}", self.rules);
        program("sudo", format!("case $1 in -V) echo '{}' ;; *) echo '{listing}' ;; esac\n", self.sudo));
        program("timedatectl", format!("echo {}\n", self.synchronised));
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            fs_err::write(&path, text).expect("writable");
            set_mode(&path, 0o644);
            path
        };
        // Whether it exists decides who is asked; whose user is not root's may not read it.
        let sudoers = file("sudoers", "");
        set_mode(&sudoers, 0o600);
        file("lsm/lsm", self.modules);
        vec![
            (file("meminfo", self.memory), "/proc/meminfo"),
            (file("hosts", self.hosts), "/etc/hosts"),
            (directory.join("lsm"), "/sys/kernel/security"),
            (sudoers, "/etc/sudoers"),
        ]
    }

    /// What a doctor says there.
    #[track_caller]
    fn examined(&self, world: &World) -> Report {
        let doctor = world.product(&["doctor", "--json"]);
        Report::of(&output(&mut with_places(world, &self.write(world), &doctor)))
    }
}

/// The command in a namespace of its own, in which something else lies in these places. What is not there is made, in a copy of `/etc`.
fn with_places(world: &World, places: &[(PathBuf, &str)], inner: &Command) -> Command {
    const SCRIPT: &str = r#"mount -t tmpfs tmpfs /mnt; cp -a /etc/. /mnt/; touch /mnt/sudoers; mount --bind /mnt /etc
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
shift; exec "$@""#;
    let mut inside = command("unshare", world.root());
    inside.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    inside.args(["--mount", "sh", "-ec", SCRIPT, "sh"]);
    for (file, place) in places {
        inside.arg(file).arg(place);
    }
    inside.arg("--").arg(inner.get_program()).args(inner.get_args()).current_dir(world.root());
    inside
}

#[test]
fn a_machine_that_is_ill_is_told_from_one_that_is_well() {
    World::run(|world| {
        let repository = world.repository("acme/nginx");
        world.settings.set("origin", "\"https://deploy.example.org\"");
        let nginx = Nginx::prepare(world);
        nginx.write("conf.d/www.example.org.conf", "server { listen 80; server_name www.example.org; }\n");
        configure(
            world,
            &[world.deployment("nginx", &repository).with("recipe", "\"nginx-sites\"").with("sites", "[]")],
        );
        let shims = world.root().join("shims");
        fs_err::create_dir(&shims).expect("writable");
        world.shims = Some(shims);
        world.start();
        world.stop();

        let report = ILL.examined(world);
        report.assert("git's version", "error", "git version 2.43.6 has CVE-", "install a newer git");
        report.assert("sudo's version", "error", "CVE-2021-3156", "install a newer sudo");
        report.assert(
            "sudo's rules",
            "error",
            "`/usr/bin/systemctl status *` as root",
            "visudo -f /etc/sudoers",
        );
        report.assert("sudo's rules", "warning", "`/usr/local/bin/mine *`", "write the exact arguments");
        report.assert("time service", "warning", "nothing keeps the clock right", "timedatectl set-ntp true");
        report.assert("memory", "warning", "292 MiB available", "swapon");
        report.assert(
            "landlock",
            "error",
            "it is switched off: nothing keeps builds from",
            "`landlock` to `lsm=`",
        );
        report.assert("origin", "warning", "deploy.example.org leads to 192.0.2.7", "A and AAAA records");
        report.assert("site names", "warning", "www.example.org leads to 192.0.2.7", "A and AAAA records");

        let report = WELL.examined(world);
        for (check, what) in [
            ("git's version", "git version 2.50.1"),
            ("sudo's version", "1.9.17p1"),
            ("sudo's rules", "rules for nobody in `sudo -n -l`: 2, none too wide"),
            ("time service", "the clock is synchronised"),
            ("memory", "2929 MiB available"),
            ("landlock", "Landlock is on"),
            ("origin", "deploy.example.org leads here"),
            ("site names", "1 names lead here"),
        ] {
            report.assert_well(check, what);
        }
    });
}

#[test]
fn what_needs_root_and_a_way_that_is_not_there_are_named() {
    World::run(|world| {
        let repository = host(world, |_, deployment| deployment);
        let systemd = |world: &World, way: &str| {
            let mut settings = world.settings.clone();
            settings.set("privileges", format!("\"{way}\""));
            let unit = world
                .deployment("site", &repository)
                .with("recipe", "\"systemd\"")
                .with("units", "[\"site.service\"]");
            let layer = world.configuration.join("default.toml");
            fs_err::write(&layer, settings.file(&[unit])).expect("writable");
        };
        world.start();
        world.stop();
        super::doctor(world).assert_well("privileges", "no deployment needs root");
        systemd(world, "direct");
        super::doctor(world).assert(
            "privileges",
            "warning",
            "may not be able to restart units",
            "privileges = \"helper\"",
        );
        systemd(world, "helper");
        let report = super::doctor(world);
        report.assert(
            "privileges",
            "error",
            "nobody listens on /run/durhack-deployer-privileged.sock",
            "systemctl enable --now",
        );
        // A PATH without sudo, whatever the machine has; with one, there is a way.
        systemd(world, "sudo");
        let shims = world.root().join("shims");
        fs_err::create_dir(&shims).expect("writable");
        std::os::unix::fs::symlink("/usr/bin/setpriv", shims.join("setpriv")).expect("writable");
        let with = |world: &World| {
            let mut doctor = world.product(&["doctor", "--json"]);
            doctor.env("PATH", &shims);
            Report::of(&output(&mut doctor))
        };
        with(world).assert("privileges", "error", "there is no program sudo", "apt-get install sudo");
        fs_err::write(shims.join("sudo"), "#!/bin/sh\n").expect("writable");
        set_mode(&shims.join("sudo"), 0o755);
        with(world).assert_well("privileges", "nobody has a way to restart units");
        // The state is root's, so the service is.
        fs_err::remove_dir_all(world.state()).expect("writable");
        fs_err::create_dir(world.state()).expect("writable");
        set_mode(&world.state(), 0o700);
        let report = Report::of(&output(&mut as_root(world)));
        report.assert("privileges", "warning", "the service runs as root", "make a user for it");
    });
}

#[test]
fn a_file_system_without_inodes_is_named() {
    World::run(|world| {
        host(world, |_, deployment| deployment);
        world.start();
        world.stop();
        let path = world.path_of("site");
        fs_err::create_dir(&path).expect("writable");
        let few = "mount -t tmpfs -o size=2G,nr_inodes=5000,mode=777 tmpfs \"$1\"; shift; exec \"$@\"";
        let doctor = world.product(&["doctor", "--json"]);
        let mut inside = command("unshare", world.root());
        inside.envs(doctor.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inside
            .args(["--mount", "sh", "-ec", few, "sh"])
            .arg(&path)
            .arg(doctor.get_program())
            .args(doctor.get_args());
        let report = Report::of(&output(inside.current_dir(world.root())));
        report.assert("disks", "error", "inodes free at", "du -x --inodes");
    });
}
