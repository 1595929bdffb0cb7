//! A view of this machine in which a test may change `/etc` and `/var`, and what `nginx`, `systemctl` and `certbot` are: a mount namespace,
//! which is gone with the test. Its network is its own, too: the machine's nginx may answer on port 80, where the helper asks. The helper's paths are constants, so they are there, and not elsewhere. Needs root.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

/// Copied into the house: where it was built, its users may not enter.
const BUILT: &str = env!("CARGO_BIN_EXE_durhack-deployer-privileged");

/// Who may ask, in the house.
pub const USER: u32 = 61_234;

/// The system's user without any rights.
pub const NOBODY: u32 = 65_534;

pub const LIST: &str = "etc/durhack-deployer/privileged.toml";

/// The worker's, and root's copy of it.
pub const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Where systemd puts the worker's.
pub const WORKERS_KEY: &str = "run/credentials/durhack-deployer-worker.service/helper-key";

/// Where root's copy lies.
pub const KEY_FILE: &str = "etc/durhack-deployer/credentials/helper-key";

/// The units of root's own, as systemd serves them: their sockets, and how the program is called for each connection.
const UNITS: [(&str, &str); 2] = [("nginx-test", "serve-nginx-test"), ("certbot", "serve-certbot")];

const ALLOWED: &str =
    "user = \"durhack-deployer\"\nunits = [\"website.service\"]\ndomains = [\"a.test\", \"www.a.test\"]\n";

/// Stands in for a program: notes what it was called with, and ends as the test wants.
const PROGRAM: &str = "#!/bin/sh\necho \"$0 $*\" >> DIR/calls\necho \"said by $(basename $0)\"\necho complained >&2\nif [ -e DIR/fails ]; then exit 3; fi\n";

/// Sends each of the requests that it reads, a line of hexadecimal digits each, after the key that is its second argument, and prints each
/// answer as a line.
const SENDER: &str = r#"
import socket, sys
for line in sys.stdin:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    try:
        connection.sendall((sys.argv[2] + "\n").encode() + bytes.fromhex(line.strip()))
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except OSError as error:
        answer += str(error).encode()
    print(answer.decode().strip(), flush=True)
"#;

/// $1: the test's directory; the rest: programs that are stood in for. It stays until its standard input is closed.
const SET_UP: &str = r#"
set -e
directory=$1; shift
ip link set lo up
for tree in etc var; do
    mount -t overlay overlay -o "lowerdir=/$tree,upperdir=$directory/$tree,workdir=$directory/work-$tree" /$tree
done
mount -t tmpfs tmpfs /run
for program in "$@"; do mount --bind "$directory/program" "$program"; done
echo ready
exec cat
"#;

pub struct House {
    directory: tempfile::TempDir,
    view: Child,
    helper: Mutex<Option<Child>>,
}

impl House {
    /// In which none of the programs is real.
    pub fn new() -> Self {
        Self::with(&["/usr/sbin/nginx", "/usr/bin/systemctl", "/usr/bin/certbot"])
    }

    /// In which these are stood in for.
    pub fn with(programs: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        mode(at, 0o755);
        for tree in ["etc/durhack-deployer", "var", "work-etc", "work-var"] {
            std::fs::create_dir_all(at.join(tree)).unwrap();
        }
        let user = format!("durhack-deployer:x:{USER}:{USER}::/nonexistent:/bin/false\n");
        let users = std::fs::read_to_string("/etc/passwd").unwrap() + &user;
        std::fs::write(at.join("etc/passwd"), users).unwrap();
        std::fs::write(at.join(LIST), ALLOWED).unwrap();
        std::fs::write(at.join("program"), PROGRAM.replace("DIR", at.to_str().unwrap())).unwrap();
        std::fs::copy(BUILT, at.join("helper")).unwrap();
        for program in ["program", "helper"] {
            mode(&at.join(program), 0o755);
        }
        let mut view = command("unshare");
        view.args(["--mount", "--net", "--propagation", "private", "sh", "-c", SET_UP, "house"])
            .arg(at)
            .args(programs);
        let mut view = view.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(view.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "these tests need root, and overlayfs");
        let house = Self { directory, view, helper: Mutex::new(None) };
        for (path, mode_of) in [(KEY_FILE, 0o600), (WORKERS_KEY, 0o644)] {
            let path = house.inside(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!("{KEY}\n")).unwrap();
            mode(&path, mode_of);
        }
        house.listen();
        UNITS.iter().for_each(|(name, service)| house.serve_unit(name, service));
        house
    }

    /// As systemd does with `Accept=no`: the program's standard input is the listening socket. It ends with the house.
    fn listen(&self) {
        let listener = UnixListener::bind(self.path("socket")).unwrap();
        // Anybody may connect, for it is the helper that must refuse them.
        mode(&self.path("socket"), 0o666);
        let mut helper = inside(self.view.id());
        // What kills a gate that its test forgets: its parent's end.
        helper.args(["setpriv", "--pdeathsig=KILL"]).arg(self.path("helper")).arg("serve");
        let helper = helper.stdin(OwnedFd::from(listener)).stderr(self.journal_file()).spawn().unwrap();
        *self.helper.lock().unwrap() = Some(helper);
    }

    /// As systemd does with `Accept=yes`: a process for each connection, which is its standard input.
    fn serve_unit(&self, name: &str, service: &'static str) {
        let socket = self.inside(&format!("run/durhack-deployer-{name}.sock"));
        let listener = UnixListener::bind(&socket).unwrap();
        mode(&socket, 0o600);
        let (view, helper) = (self.view.id(), self.path("helper"));
        std::thread::spawn(move || {
            while let Ok((connection, _)) = listener.accept() {
                let mut unit = inside(view);
                unit.arg(&helper).arg(service).stdin(OwnedFd::from(connection)).stderr(Stdio::null());
                let mut unit = unit.spawn().unwrap();
                std::thread::spawn(move || unit.wait());
            }
        });
    }

    fn journal_file(&self) -> std::fs::File {
        std::fs::File::options().create(true).append(true).open(self.path("journal")).unwrap()
    }

    /// Of the test itself.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of the house.
    pub fn inside(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.view.id().to_string()).join("root").join(path)
    }

    /// A program in the house, as root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = inside(self.view.id());
        command.arg(program);
        command
    }

    /// The client, run by this user.
    pub fn ask_as(&self, uid: u32, words: &[&str]) -> Output {
        let socket = self.path("socket");
        self.as_user(uid)
            .arg(self.path("helper"))
            .args(["ask", "--socket"])
            .arg(socket)
            .args(words)
            .output()
            .unwrap()
    }

    pub fn ask(&self, words: &[&str]) -> Output {
        self.ask_as(USER, words)
    }

    /// The client, with this on its standard input.
    pub fn ask_with(&self, words: &[&str], content: &str) -> Output {
        let socket = self.path("socket");
        let mut client = self.as_user(USER);
        client.arg(self.path("helper")).args(["ask", "--socket"]).arg(socket).args(words);
        let mut client =
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        client.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        client.wait_with_output().unwrap()
    }

    /// Without a socket, as sudo would run it.
    pub fn at_once_as(&self, uid: u32, words: &[&str]) -> Output {
        self.as_user(uid).arg(self.path("helper")).args(words).output().unwrap()
    }

    fn as_user(&self, uid: u32) -> Command {
        let mut command = inside(self.view.id());
        let identity = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into()];
        command.arg("setpriv").args(identity);
        command
    }

    /// Writes these to the socket, as this user, and gives the answers.
    pub fn send_as(&self, uid: u32, requests: &[Vec<u8>]) -> Vec<String> {
        let mut sender = self.as_user(uid);
        sender.args(["/usr/bin/python3", "-c", SENDER]).arg(self.path("socket")).arg(KEY);
        let mut sender = sender.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = sender.stdin.take().unwrap();
        let lines = requests.iter().map(|request| hexadecimal(request) + "\n").collect::<String>();
        let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
        let answers = BufReader::new(sender.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        writer.join().unwrap().unwrap();
        assert!(sender.wait().unwrap().success());
        answers
    }

    /// What the programs that are stood in for were called with.
    pub fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// What the helper has written.
    pub fn journal(&self) -> String {
        std::fs::read_to_string(self.path("journal")).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut helper) = self.helper.lock().unwrap().take() {
            let _ = helper.kill();
            let _ = helper.wait();
        }
        drop(self.view.stdin.take());
        let _ = self.view.wait();
    }
}

pub fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The answer of a refusal.
#[track_caller]
pub fn refused(output: &Output, because: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert!(said.starts_with("refused: ") && said.contains(because), "{said}");
}

fn inside(view: u32) -> Command {
    let mut command = command("nsenter");
    command.args(["--mount", "--net", "--target", &view.to_string(), "--wd=/", "--"]);
    command
}

#[expect(clippy::disallowed_methods, reason = "a test starts the helper itself, as systemd does")]
pub fn command(program: &str) -> Command {
    Command::new(program)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
