//! What each unit can really write: asked of the running units, in their own view of the host and as their own users, on Debian 12 and 13.
//!
//! `systemd-analyze security` reads what a unit says. systemd 252 does something else with it: `ProtectProc=` leaves /run writable under
//! `ProtectSystem=strict`, and `ExecPaths=` makes its paths writable.

use super::units::Host;
use crate::support::machine::{Debian, Machine};
use crate::support::wait;
use std::path::Path;

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/systemd");

/// Places that somebody would like to write to. Links are left out: they are followed in another view than the unit's.
const PLACES: &[&str] = &[
    "/",
    "/boot",
    "/dev",
    "/dev/mqueue",
    "/dev/shm",
    "/etc",
    "/etc/durhack-deployer",
    "/etc/letsencrypt",
    "/etc/nginx",
    "/etc/nginx/conf.d",
    "/etc/systemd/system",
    "/home",
    "/opt",
    "/proc/sys/kernel/core_pattern",
    "/proc/sysrq-trigger",
    "/root",
    "/run",
    "/run/lock",
    "/run/nginx.pid",
    "/run/systemd",
    "/run/systemd/system",
    "/run/user",
    "/srv",
    "/sys",
    "/sys/fs/cgroup",
    "/sys/kernel",
    "/tmp",
    "/usr",
    "/usr/bin/durhack-deployer",
    "/usr/lib",
    "/usr/lib/nginx",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/libexec/durhack-deployer",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/sbin/nginx",
    "/var",
    "/var/cache",
    "/var/cache/nginx",
    "/var/lib",
    "/var/lib/durhack-deployer",
    "/var/lib/durhack-deployer/intake",
    "/var/lib/durhack-deployer/spool/main",
    "/var/lib/durhack-deployer-privileged",
    "/var/lib/durhack-deployer-steps",
    "/var/lib/durhack-deployer-steps/app",
    "/var/lib/letsencrypt",
    "/var/lib/nginx",
    "/var/log",
    "/var/log/letsencrypt",
    "/var/log/nginx",
    "/var/spool",
    "/var/tmp",
    "/var/www",
];

/// Becomes what process $1 is (user, groups, capabilities), and prints which places it can write to in that process' view of the host, and which
/// lie on a mount that is not read-only.
const PROBE: &str = r#"
import ctypes, json, os, sys
pid, places = sys.argv[1], json.load(open("/srv/places"))
status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
ids = [int(status[name].split()[1]) for name in ("Uid", "Gid")]
capabilities = int(status["CapEff"].strip(), 16)
root = os.open(f"/proc/{pid}/root", os.O_PATH)
os.setgroups([int(group) for group in status["Groups"].split()])
os.setgid(ids[1])
os.setuid(ids[0])
if ids[0] == 0:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)) == 0
writable, mounts = [], []
for place in places:
    path = place[1:] or "."
    try:
        there = os.open(path, os.O_PATH, dir_fd=root)
    except OSError:
        continue
    if not os.fstatvfs(there).f_flag & os.ST_RDONLY:
        mounts.append(place)
    try:
        if os.path.isdir(f"/proc/self/fd/{there}"):
            os.close(os.open(".probe", os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=there))
            os.unlink(".probe", dir_fd=there)
        else:
            os.close(os.open(path, os.O_WRONLY, dir_fd=root))
        writable.append(place)
    except OSError:
        pass
    os.close(there)
print(json.dumps([writable, mounts]))
"#;

/// Connects as root and says nothing, so that the unit behind the socket runs.
const CALLER: &str =
    "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); time.sleep(600)";

/// What a unit may write to, and what else lies on mounts that are not read-only, where only modes keep it out.
struct Expected {
    unit: &'static str,
    writable: &'static [&'static str],
    by_modes: &'static [&'static str],
    /// `ProtectHome=tmpfs`, of which systemd 252 makes empty directories for everybody to write in: they are the unit's own, and gone with it.
    has_own_homes: bool,
}

/// In all of them /tmp, /var/tmp, /dev/shm and /dev/mqueue are the unit's own, but for `pm2@` and nginx, whose programs may share memory with others of
/// their user.
const EXPECTED: [Expected; 8] = [
    Expected {
        unit: "intake",
        writable: &[
            "/tmp",
            "/var/lib/durhack-deployer/intake",
            "/var/lib/durhack-deployer/spool/main",
            "/var/tmp",
        ],
        by_modes: &[],
        has_own_homes: false,
    },
    Expected {
        unit: "worker",
        writable: &[
            "/dev/mqueue",
            "/dev/shm",
            "/tmp",
            "/var/lib/durhack-deployer",
            "/var/lib/durhack-deployer/intake",
            "/var/lib/durhack-deployer/spool/main",
            "/var/tmp",
            "/var/www",
        ],
        by_modes: &[],
        has_own_homes: true,
    },
    Expected {
        unit: "steps@",
        writable: &["/dev/mqueue", "/dev/shm", "/tmp", "/var/lib/durhack-deployer-steps/app", "/var/tmp"],
        by_modes: &["/var/www"],
        has_own_homes: true,
    },
    Expected {
        unit: "pm2@",
        writable: &["/dev/mqueue", "/dev/shm", "/tmp", "/var/lib/durhack-deployer-steps/app", "/var/tmp"],
        by_modes: &["/var/www"],
        has_own_homes: true,
    },
    Expected {
        unit: "privileged",
        writable: &[
            "/dev/mqueue",
            "/dev/shm",
            "/etc/nginx/conf.d",
            "/tmp",
            "/var/lib/durhack-deployer-privileged",
            "/var/tmp",
        ],
        by_modes: &[],
        has_own_homes: false,
    },
    // /run, /var/log and /var/cache are empty ones of its own.
    Expected {
        unit: "nginx-test@",
        writable: &["/dev/mqueue", "/dev/shm", "/run", "/tmp", "/var/cache", "/var/log", "/var/tmp"],
        by_modes: &["/run/systemd"],
        has_own_homes: false,
    },
    // /run is an empty one of its own.
    Expected {
        unit: "certbot@",
        writable: &[
            "/dev/mqueue",
            "/dev/shm",
            "/etc/letsencrypt",
            "/run",
            "/run/systemd",
            "/tmp",
            "/var/lib/letsencrypt",
            "/var/log/letsencrypt",
            "/var/tmp",
        ],
        by_modes: &["/var/www"],
        has_own_homes: false,
    },
    Expected {
        unit: "nginx",
        writable: &["/dev/shm", "/run/nginx.pid", "/var/cache/nginx", "/var/lib/nginx", "/var/log/nginx"],
        by_modes: &[],
        has_own_homes: false,
    },
];

const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// The process of a unit that serves one connection, stopped before it gives up.
fn caught(machine: &Machine, socket: &str, unit: &str) -> String {
    let call = format!("[Service]\nExecStart=/usr/bin/python3 -c \"{CALLER}\" {socket}\n");
    let caller = format!("caller-{}.service", unit.replace(['@', '*', '.'], "-"));
    machine.unit(&caller, &call);
    machine.run(&["systemctl", "start", &caller]);
    wait::until_told("the unit to run", || {
        let listed = machine.run(&["systemctl", "show", "--value", "--property=MainPID", unit]);
        let pid = listed.lines().find(|pid| pid.parse::<u32>().is_ok_and(|pid| pid > 0))?.to_owned();
        // Before that, systemd prepares the view.
        let program = machine.try_run(&["readlink", &format!("/proc/{pid}/exe")]);
        let is_ours = String::from_utf8_lossy(&program.stdout).contains("durhack-deployer");
        (is_ours && machine.try_run(&["kill", "-STOP", &pid]).status.success()).then_some(pid)
    })
}

fn each_unit_writes_where_it_should_and_nowhere_else(debian: Debian) {
    let machine = Machine::boot_with(debian);
    let host = Host::set_up(&machine);
    machine.install_privileged("user = \"durhack-deployer\"\n");
    machine.confine_nginx();
    for unit in
        ["durhack-deployer-steps@.service", "durhack-deployer-steps@.socket", "durhack-deployer-pm2@.service"]
    {
        let text = fs_err::read_to_string(Path::new(UNITS).join(unit)).expect("it is packaged");
        machine.unit(unit, &text);
    }
    // PM2 is not here; what runs in its place sees what it would see.
    machine.unit(
        "durhack-deployer-pm2@.service.d/test.conf",
        "[Service]\nType=exec\nExecStart=\nExecStart=/bin/sleep infinity\nExecStop=\n",
    );
    machine.run(&[
        "useradd",
        "--system",
        "--user-group",
        "--home-dir",
        "/var/lib/durhack-deployer-steps/app",
        "app",
    ]);
    host.start();
    machine.run(&["systemctl", "restart", "nginx"]);
    machine.run(&[
        "systemctl",
        "start",
        "durhack-deployer-intake",
        "durhack-deployer-pm2@app",
        "durhack-deployer-steps@app.socket",
    ]);
    machine.write("/srv/places", &serde_json::to_string(PLACES).expect("texts"));

    let main = |unit: &str| machine.property(unit, "MainPID");
    let mut wrong = Vec::new();
    for (unit, pid) in [
        ("intake", main("durhack-deployer-intake")),
        ("worker", main("durhack-deployer-worker")),
        ("steps@", caught(&machine, "/run/durhack-deployer-steps/app.sock", "durhack-deployer-steps@app")),
        ("pm2@", main("durhack-deployer-pm2@app")),
        (
            "privileged",
            caught(&machine, "/run/durhack-deployer-privileged.sock", "durhack-deployer-privileged"),
        ),
        (
            "nginx-test@",
            caught(&machine, "/run/durhack-deployer-nginx-test.sock", "durhack-deployer-nginx-test@*"),
        ),
        ("certbot@", caught(&machine, "/run/durhack-deployer-certbot.sock", "durhack-deployer-certbot@*")),
        ("nginx", main("nginx")),
    ] {
        let output = machine.run(&["python3", "-c", PROBE, &pid]);
        let (writable, mounts): (Vec<String>, Vec<String>) =
            serde_json::from_str(&output).expect("the script prints JSON");
        let by_modes: Vec<String> = mounts.into_iter().filter(|place| !writable.contains(place)).collect();
        println!("{debian:?}: {unit} writes to {writable:?}, and modes alone keep it out of {by_modes:?}");
        let expected = EXPECTED.iter().find(|expected| expected.unit == unit).expect("each has its line");
        let is_own = |place: &String| {
            expected.has_own_homes && debian == Debian::Bookworm && HOMES.contains(&place.as_str())
        };
        let others: Vec<&String> = writable.iter().filter(|place| !is_own(place)).collect();
        if others != expected.writable || by_modes != expected.by_modes {
            wrong.push(unit);
        }
    }
    assert!(wrong.is_empty(), "other than expected: {wrong:?}");
}

#[test]
fn each_unit_writes_where_it_should_and_nowhere_else_under_systemd_252() {
    each_unit_writes_where_it_should_and_nowhere_else(Debian::Bookworm);
}

#[test]
fn each_unit_writes_where_it_should_and_nowhere_else_under_systemd_257() {
    each_unit_writes_where_it_should_and_nowhere_else(Debian::Trixie);
}
