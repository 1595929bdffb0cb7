//! A machine with a real systemd, for one test: a container on a throw-away copy of a root file system, with a network of its own.
//!
//! `cargo xtask test` makes the root file system (`xtask/src/prepare.rs` says of which packages); what a test changes lies in memory and
//! is gone with the machine. Needs root, systemd-nspawn and `ip`; without one of them the test fails. The machine ends with the test, also
//! where that panics or is killed. At most two run at once (`.config/nextest.toml`): each costs its boot, and a service manager.
//!
//! In it: units, timers, users, sudo, journald. Not enforced in it: memory and task limits, `IPAddressDeny=`.

use super::process::{command, output, succeed};
use super::wait;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the program of `crates/privileged` is looked for.
pub const PRIVILEGED: &str = "/usr/libexec/durhack-deployer/durhack-deployer-privileged";

/// Where `cargo xtask test` puts the root file systems.
const ROOTS: &str = "../../target/testbed";

/// The worker's key, as systemd would show it to the worker, and root's copy.
const KEYS: [(&str, &str, &str); 2] = [
    ("/etc/durhack-deployer/credentials/helper-key", "root", "0600"),
    ("/run/credentials/durhack-deployer-worker.service/helper-key", "durhack-deployer", "0400"),
];

/// What the worker shows the helper in these machines.
pub const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Of `nginx-core`: the modules that it has beside what every nginx of Debian's has.
const CORE: [&str; 6] = [
    "mod-http-geoip",
    "mod-http-image-filter",
    "mod-http-xslt-filter",
    "mod-mail",
    "mod-stream",
    "mod-stream-geoip",
];

/// What a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debian {
    /// 12: systemd 252, nginx 1.22.
    Bookworm,
    /// 13: systemd 257, nginx 1.26.
    Trixie,
}

/// Which of Debian's modules its nginx loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modules {
    /// Those of `nginx-core`.
    Core,
    /// All, with Perl and Lua.
    Extras,
}

/// Hierarchies in which a container needs a place of its own, or two of them collide. On a host with only the unified one,
/// there is none of these.
const HIERARCHIES: &str = "/sys/fs/cgroup/systemd /sys/fs/cgroup/unified";

/// Makes the place, goes there, and becomes the container. $1 is the machine's name, $2 the hierarchies, $3 the root, and the rest options.
const BOOT: &str = r#"
for hierarchy in $2; do
    [ -d "$hierarchy" ] || continue
    mkdir "$hierarchy/$1" && echo $$ > "$hierarchy/$1/cgroup.procs" || exit 1
done
ip netns add "$1" && ip netns exec "$1" ip link set lo up || exit 1
name=$1 root=$3
shift 3
exec systemd-nspawn --quiet --directory="$root" "$@" --machine="$name" \
    --register=no --keep-unit --network-namespace-path="/run/netns/$name" --console=pipe --notify-ready=yes --boot
"#;

/// Waits until the test closes its end of the pipe, which it does however it ends; then ends the container, and removes its place. $1 is
/// the machine's name, $2 the hierarchies, $3 the container's supervisor, which outlives the first process in it long enough to tidy up, $4 its
/// disk, if it has one of its own: that stays where it says so, for a reboot. There
/// is nothing to be shut down in order: what the machine holds is thrown away.
const END: &str = r#"
cat > /dev/null
while pkill -KILL --parent "$3"; do sleep 0.02; done
timeout 10 tail --sleep-interval=0.02 --pid="$3" --follow /dev/null || kill -KILL "$3"
for hierarchy in $2; do
    [ ! -d "$hierarchy/$1" ] || find "$hierarchy/$1" -depth -type d -exec rmdir {} ";"
done
ip netns delete "$1"
[ -z "$4" ] || [ -e "$4/keep" ] || umount --lazy "$4/root" "$4"
"#;

pub struct Machine {
    /// What the container prints while it boots.
    console: tempfile::NamedTempFile,
    supervisor: Child,
    /// Who ends it when its standard input is closed.
    end: Child,
    /// Its first process, as the host numbers it.
    leader: u32,
    /// What it has written, where that outlives a reboot; None: nothing does.
    disk: Option<Disk>,
}

/// A layer in memory above a root file system: what a machine writes there is there after a reboot.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    #[track_caller]
    fn above(root: &Path) -> Self {
        let directory =
            tempfile::Builder::new().prefix("deployer-disk-").tempdir().expect("a directory in /tmp");
        let disk = Self { directory };
        succeed(command("mount", Path::new("/")).args(["-t", "tmpfs", "tmpfs"]).arg(disk.directory.path()));
        let [upper, work] = ["upper", "work"].map(|name| disk.directory.path().join(name));
        for directory in [&upper, &work, &disk.root()] {
            fs_err::create_dir(directory).expect("it is ours");
        }
        let layers =
            format!("lowerdir={},upperdir={},workdir={}", root.display(), upper.display(), work.display());
        succeed(
            command("mount", Path::new("/"))
                .args(["-t", "overlay", "overlay", "-o", &layers])
                .arg(disk.root()),
        );
        disk
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }
}

impl Machine {
    /// Boots one, with the product's binary in `/usr/local/bin`.
    #[track_caller]
    pub fn boot() -> Self {
        Self::boot_with(Debian::Bookworm)
    }

    /// The same, of a certain release.
    #[track_caller]
    pub fn boot_with(debian: Debian) -> Self {
        Self::boot_at(&root_of(debian), &["--volatile=overlay"], None)
    }

    /// The same, which can be rebooted.
    #[track_caller]
    pub fn boot_lasting() -> Self {
        let disk = Disk::above(&root_of(Debian::Bookworm));
        Self::boot_at(&disk.root(), &[], Some(disk))
    }

    /// Cuts its power, and boots it again with what it has written.
    #[track_caller]
    pub fn reboot(&mut self) {
        let disk = self.disk.take().expect("`boot_lasting` keeps what it writes");
        let keep = disk.directory.path().join("keep");
        fs_err::write(&keep, "").expect("it is ours");
        self.end();
        fs_err::remove_file(&keep).expect("it is ours");
        *self = Self::boot_at(&disk.root(), &[], Some(disk));
    }

    #[track_caller]
    fn boot_at(root: &Path, options: &[&str], disk: Option<Disk>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("deployer-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let console = tempfile::NamedTempFile::new().expect("a file in /tmp");
        let [out, error] = [(), ()].map(|()| console.reopen().expect("it is ours"));
        let mut boot = command("setsid", Path::new("/"));
        boot.args(["sh", "-c", BOOT, "boot", &name, HIERARCHIES]).arg(root).args(options);
        let supervisor = boot.stdout(out).stderr(error).spawn().expect("setsid is installed");
        // In a session of its own too: whoever ends a test that hangs ends its process group.
        let mut end = command("setsid", Path::new("/"));
        end.args(["sh", "-c", END, "end", &name, HIERARCHIES, &supervisor.id().to_string()]);
        end.args(disk.iter().map(|disk| disk.directory.path()));
        let end = end.stdin(Stdio::piped()).spawn().expect("setsid is installed");
        let mut machine = Self { console, supervisor, end, leader: 0, disk };
        machine.leader = wait::until("the machine to have a first process", || {
            machine.is_alive();
            let children = format!("/proc/{0}/task/{0}/children", machine.supervisor.id());
            let children = fs_err::read_to_string(children).unwrap_or_default();
            // The container's own preparations are done by children too, which end.
            let is_first = |pid: &&str| {
                fs_err::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "systemd")
            };
            children.split_whitespace().find(is_first).and_then(|pid| pid.parse().ok())
        });
        wait::until_told("the machine to have booted", || {
            machine.is_alive();
            // `degraded`: a unit of the test's own has failed, which is for the test to say.
            let state = machine.try_run(&["systemctl", "is-system-running"]).stdout;
            matches!(String::from_utf8_lossy(&state).trim(), "running" | "degraded").then_some(())
        });
        let product = "/usr/local/bin/durhack-deployer";
        machine.install(Path::new(env!("CARGO_BIN_EXE_durhack-deployer")), product);
        if !machine.try_run(&[product, "--version"]).status.success() {
            machine.install_host_library();
            machine.run(&[product, "--version"]);
        }
        machine
    }

    /// Gives it the host's C library, which what was built on a newer Debian needs. Programs of an older one run with it, too.
    #[track_caller]
    fn install_host_library(&self) {
        let files = succeed(command("dpkg", Path::new("/")).args(["-L", "libc6"]));
        let is_library = |file: &&str| file.contains("/x86_64-linux-gnu/lib") || file.contains("/ld-linux");
        let libraries: Vec<&str> = files.lines().filter(is_library).collect();
        // Beside them first, and then in their places: what runs goes on with the old ones.
        for file in &libraries {
            self.install(Path::new(file), &format!("{file}.new"));
        }
        for file in &libraries {
            let inside = self.path(file);
            fs_err::rename(self.path(&format!("{file}.new")), inside).expect("the machine is ours");
        }
    }

    /// Ends it at once, and waits until it has gone.
    fn end(&mut self) {
        drop(self.end.stdin.take());
        let _ = self.supervisor.wait();
        let _ = self.end.wait();
    }

    #[track_caller]
    fn is_alive(&mut self) {
        if let Some(status) = self.supervisor.try_wait().expect("it is our child") {
            let console = fs_err::read_to_string(self.console.path()).unwrap_or_default();
            panic!("the machine ended: {status}\n{console}");
        }
    }

    /// A file of the machine, as the host sees it.
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.leader.to_string()).join("root").join(path.trim_start_matches('/'))
    }

    /// Copies a program into it.
    #[track_caller]
    pub fn install(&self, file: &Path, path: &str) {
        succeed(command("install", Path::new("/")).arg("-D").arg(file).arg(self.path(path)));
    }

    /// Copies a directory with all that is in it, links as links.
    #[track_caller]
    pub fn install_directory(&self, directory: &Path, path: &str) {
        let target = self.path(path);
        fs_err::create_dir_all(target.parent().expect("a directory lies in one")).expect("it is writable");
        succeed(
            command("cp", Path::new("/")).args(["-a", "--no-preserve=ownership"]).args([directory, &target]),
        );
    }

    /// Installs what does for the deployer what needs root, as packages do: its program, its units, and a list of what is allowed. Makes
    /// the user `durhack-deployer`, and starts the socket.
    #[track_caller]
    pub fn install_privileged(&self, list: &str) {
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
        if !self.try_run(&["id", "durhack-deployer"]).status.success() {
            let home = ["--create-home", "--home-dir", "/var/lib/durhack-deployer"];
            self.run(&[&["useradd", "--system"], &home[..], &["durhack-deployer"]].concat());
        }
        self.install(&privileged(), PRIVILEGED);
        for name in [
            "privileged.socket",
            "nginx-test.socket",
            "certbot.socket",
            "privileged.service",
            "nginx-test@.service",
            "certbot@.service",
        ] {
            let unit = format!("durhack-deployer-{name}");
            let text = fs_err::read_to_string(packaging.join(&unit)).expect("it is in the repository");
            self.write(&format!("/etc/systemd/system/{unit}"), &text);
        }
        self.write("/etc/durhack-deployer/privileged.toml", list);
        for (path, owner, mode) in KEYS {
            self.write(path, &format!("{KEY}\n"));
            self.run(&["chown", owner, path]);
            self.run(&["chmod", mode, path]);
        }
        self.run(&["systemctl", "daemon-reload"]);
        self.run(&["systemctl", "start", "durhack-deployer-privileged.socket"]);
    }

    /// Gives nginx's unit the walls that the package has for it.
    #[track_caller]
    pub fn confine_nginx(&self) {
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
        let name = "nginx.service.d/durhack-deployer.conf";
        self.unit(name, &fs_err::read_to_string(packaging.join(name)).expect("it is in the repository"));
    }

    /// Has nginx load modules, from its next start.
    #[track_caller]
    pub fn enable_modules(&self, modules: Modules) {
        for name in self.modules(modules) {
            // What others are built on comes first, as the packages have it.
            let order = match name.as_str() {
                "mod-http-ndk" => 10,
                _ if name.starts_with("mod-stream-") => 70,
                _ => 50,
            };
            let link = format!("/etc/nginx/modules-enabled/{order}-{name}.conf");
            self.run(&["ln", "-sf", &format!("/usr/share/nginx/modules-available/{name}.conf"), &link]);
        }
    }

    /// The modules that its nginx has of these, such as `mod-http-geoip`.
    #[track_caller]
    pub fn modules(&self, modules: Modules) -> Vec<String> {
        let all =
            fs_err::read_dir(self.path("/usr/share/nginx/modules-available")).expect("nginx has modules");
        let name = |module: std::io::Result<fs_err::DirEntry>| {
            let file = module.expect("readable").file_name().into_string().expect("it is text");
            file.trim_end_matches(".conf").to_owned()
        };
        all.map(name).filter(|name| modules == Modules::Extras || CORE.contains(&name.as_str())).collect()
    }

    /// Writes a file in it, and makes its directory.
    #[track_caller]
    pub fn write(&self, path: &str, content: &str) {
        let file = self.path(path);
        fs_err::create_dir_all(file.parent().expect("a file lies in a directory")).expect("it is writable");
        fs_err::write(&file, content).expect("it is writable");
        let mode = if content.starts_with("#!") { 0o755 } else { 0o644 };
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    /// Writes a unit, and tells systemd.
    #[track_caller]
    pub fn unit(&self, name: &str, content: &str) {
        self.write(&format!("/etc/systemd/system/{name}"), content);
        self.run(&["systemctl", "daemon-reload"]);
    }

    /// Runs a command in it, as root, to its end, whatever that is.
    pub fn try_run(&self, words: &[&str]) -> Output {
        let mut nsenter = command("nsenter", Path::new("/root"));
        output(nsenter.args(["-t", &self.leader.to_string(), "-a", "--"]).args(words))
    }

    /// Runs a command in it, which must succeed, and gives what it printed.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.try_run(words);
        let [out, error] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success(), "{words:?}: {}\n{out}\n{error}\n{}", output.status, self.picture());
        out.trim_end().to_owned()
    }

    /// A property of a unit.
    #[track_caller]
    pub fn property(&self, unit: &str, property: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", property, unit])
    }

    /// What a GET in the machine answers; None where nobody does.
    pub fn get(&self, url: &str) -> Option<String> {
        let script = "fetch(process.argv[1]).then(async a => process.stdout.write(await a.text())).catch(() => process.exit(1))";
        let output = self.try_run(&["node", "--eval", script, url]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a person would look at first.
    pub fn picture(&self) -> String {
        let mut picture = String::new();
        for words in [&["journalctl", "--no-pager", "-n", "120"][..], &["ps", "-ef"]] {
            let printed = self.try_run(words).stdout;
            writeln!(picture, "=== {words:?}\n{}", String::from_utf8_lossy(&printed))
                .expect("a String takes everything");
        }
        picture
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() && self.leader != 0 {
            eprintln!("{}", self.picture());
        }
        self.end();
    }
}

/// A root file system that `cargo xtask test` has made.
#[track_caller]
fn root_of(debian: Debian) -> PathBuf {
    let machine = if debian == Debian::Trixie { "machine-trixie" } else { "machine" };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(ROOTS).join(machine).join("root");
    assert!(root.join("sbin/init").exists(), "no {}: run `cargo xtask test --prepare-only`", root.display());
    root.canonicalize().expect("it is there")
}

/// The program of `crates/privileged`. It belongs to another package, so cargo has not built it for these tests.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "cargo needs the developer's own environment")]
fn privileged() -> PathBuf {
    let product = Path::new(env!("CARGO_BIN_EXE_durhack-deployer"));
    let target = product.ancestors().nth(2).expect("it lies in target/debug");
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--locked", "--package", "durhack-privileged", "--target-dir"])
        .arg(target);
    succeed(cargo.current_dir(env!("CARGO_MANIFEST_DIR")));
    target.join("debug/durhack-deployer-privileged")
}

/// A repository in the machine: `/srv/git/NAME`, which is both where commits are made and where they are fetched from.
pub struct Sources<'m> {
    machine: &'m Machine,
    directory: String,
    /// Whose it is: git reads no repository that another user owns.
    user: &'static str,
}

impl<'m> Sources<'m> {
    #[track_caller]
    pub fn new(machine: &'m Machine, name: &str) -> Self {
        Self::of_user(machine, name, "root")
    }

    #[track_caller]
    pub fn of_user(machine: &'m Machine, name: &str, user: &'static str) -> Self {
        let directory = format!("/srv/git/{name}");
        machine.run(&["install", "-d", "-o", user, &directory]);
        let sources = Self { machine, directory, user };
        sources.git(&["init", "-q", "-b", "main"]);
        sources
    }

    #[track_caller]
    fn git(&self, words: &[&str]) -> String {
        let git = ["runuser", "-u", self.user, "--", "git", "-C", self.directory.as_str()];
        self.machine.run(&[&git, words].concat())
    }

    /// What to configure as `clone_url`.
    pub fn url(&self) -> String {
        format!("file://{}", self.directory)
    }

    /// Writes the files, commits, and gives the commit's id.
    #[track_caller]
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            self.machine.write(&format!("{}/{name}", self.directory), content);
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "a commit"]);
        self.git(&["rev-parse", "HEAD"])
    }
}
