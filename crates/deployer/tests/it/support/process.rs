//! Starting programs from a test, in an environment that owes nothing to the machine's user.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A command that sees the machine's `PATH` and nothing else of its environment: an own home, no user or
/// system git configuration, a fixed author.
#[expect(clippy::disallowed_methods, reason = "a test starts the product and the tools around it itself")]
pub fn command(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").expect("a test needs a PATH to find git"));
    command.env("HOME", home).env("LC_ALL", "C").env("TZ", "UTC");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.org");
    }
    command
}

/// The product's binary. Root's commands go on as other users, so everybody may start it, also where it was built under a strict umask.
pub fn product() -> PathBuf {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_durhack-deployer"));
    fs_err::set_permissions(&binary, Permissions::from_mode(0o755)).expect("it was just built");
    binary
}

/// Runs it to its end, whatever that is.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}; run `cargo xtask test`"))
}

/// Runs it, requires exit code 0, and gives its standard output without the last line end.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, describe(&output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Both outputs, for a message.
pub fn describe(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("--- standard output\n{out}\n--- standard error\n{error}")
}

/// Every living process that has something of `root` in its environment, arguments or working directory,
/// as `PID: arguments`. A zombie has ended and does not count.
pub fn living_in(root: &Path) -> Vec<String> {
    let needle = root.as_os_str().as_encoded_bytes();
    let entries = fs_err::read_dir("/proc").expect("/proc is mounted");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| pid != std::process::id()).filter_map(|pid| belongs(pid, root, needle)).collect()
}

/// The process's line for [`living_in`] if it belongs there. None also where it has just ended.
fn belongs(pid: u32, root: &Path, needle: &[u8]) -> Option<String> {
    let directory = Path::new("/proc").join(pid.to_string());
    let arguments = fs_err::read(directory.join("cmdline")).ok()?;
    let contains = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let inside = contains(&arguments)
        || fs_err::read(directory.join("environ")).is_ok_and(|environment| contains(&environment))
        || fs_err::read_link(directory.join("cwd")).is_ok_and(|path| path.starts_with(root));
    let status = fs_err::read_to_string(directory.join("status")).ok()?;
    let zombie = status.lines().any(|line| line.starts_with("State:\tZ"));
    (inside && !zombie).then(|| format!("{pid}: {}", String::from_utf8_lossy(&arguments).replace('\0', " ")))
}
