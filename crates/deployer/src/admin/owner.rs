//! Root asks as the user whose state it is: `sudo durhack-deployer status` does what that user's own would.
//!
//! Not as root itself: what it would make beside the spools and the database would be root's, and in the service's way; and whoever owns a
//! directory decides what a path in it leads to, and what SQLite, git or `gh` do with what they find there. Nor as whoever owns a directory
//! that root was made to look at: only root can have put one where all above it is root's.
//!
//! A process of another user is that user's: it can be looked into, and what it has open can be taken out of it. So it gets nothing of
//! root's: no terminal, a session of its own, an environment of a few variables, pipes. Root stays, and copies what it says, without
//! anything that a terminal would obey. In two steps, because the session has to be left before the user changes: [`stage_main`] is still
//! root's, leaves it, and becomes the user by exec.

use crate::admin::host::accounts::Account;
use crate::admin::host::paths;
use crate::config::Environment;
use crate::config::users::DEPLOYER;
use crate::process::step_user;
use crate::run_log::rendering::{for_terminal, plain};
use crate::terminal::failed::Failed;
use crate::terminal::question::{QUESTION, QUESTIONS_VARIABLE};
use crate::terminal::{printing, progress};
use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process, setsid};
use std::ffi::OsString;
use std::io::{IsTerminal, PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Listened, SignalKind, signal};

/// The first argument of [`stage_main`]. User, group, and the arguments of the command follow.
pub const STAGE_ARGUMENT: &str = "__as";

/// Of root's environment, what the other one gets: how to talk to whoever types, and which installation is meant.
const PASSED: [&str; 11] = [
    "PATH",
    "TERM",
    "LANG",
    "LC_ALL",
    "TZ",
    "COLUMNS",
    "NO_COLOR",
    "DEPLOYER_ENV",
    "DEPLOYER_INSTANCE",
    "DEPLOYER_CONFIG",
    "DEPLOYER_LOG",
];

/// Programs colour what they say although it goes into a pipe.
const COLOURED: &str = "CLICOLOR_FORCE";

/// A longer line is shown in parts.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What an answer that is read as a whole may have.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long the last words of a command are waited for that was told to end.
const LAST_WORDS_TIME_MAX: Duration = Duration::from_secs(2);

/// The user whose state it is, if that is somebody else than we; or why it cannot be done as that one.
fn other_owner(state_directory: &Path) -> Result<Option<Account>, Failed> {
    // Nothing is there yet, or it is said later what is wrong with it.
    let Ok(found) = std::fs::symlink_metadata(state_directory) else { return Ok(None) };
    let us = geteuid();
    if found.uid() == us.as_raw() {
        return Ok(None);
    }
    let (owner, shown) = (Account::of(found.uid()), state_directory.display());
    let by_hand = format!("sudo -u {} durhack-deployer ...", owner.name);
    if !us.is_root() {
        let what = format!("{shown} is {}'s, and this runs as {}", owner.name, Account::ours().name);
        // Root's command asks as the owner.
        let as_root = "`sudo durhack-deployer ...`".to_owned();
        return Err(Failed::unavailable(anyhow!(what)).hint(if is_roots_way(state_directory) {
            as_root
        } else {
            by_hand
        }));
    }
    if !is_roots_way(state_directory) {
        let what = format!("{shown} is {}'s, and others than root could have put it there", owner.name);
        return Err(Failed::unavailable(anyhow!(what)).hint(by_hand));
    }
    Ok(Some(owner))
}

/// Before root makes a state directory: refuses where the services are installed and have another user, in whose way it would be; else says
/// whose it is going to be.
pub fn expect_no_state_of_roots(state_directory: &Path) -> Result<(), Failed> {
    let shown = state_directory.display();
    if state_directory.symlink_metadata().is_ok() || !geteuid().is_root() {
        return Ok(());
    }
    let has_services = paths::has_services();
    if has_services && state_directory == Path::new(paths::STATE) {
        let what = format!(
            "there is no {shown} yet, and root would make it as its own: the services could not use it"
        );
        return Err(Failed::unavailable(anyhow!(what))
            .hint("`sudo durhack-deployer setup` makes it for their user, and starts them"));
    }
    print_error_line!(
        "note: {shown} is made now, as root's; a service that runs as another user needs `chown -R USER: {shown}`, which `durhack-deployer setup` makes unnecessary"
    );
    Ok(())
}

/// How the service is started on this host: with an installation, root who called `serve` would deploy as root.
pub fn how_to_start() -> &'static str {
    match Path::new(paths::CONFIGURATION).is_dir() {
        true => "`systemctl start durhack-deployer-intake.socket durhack-deployer-worker`",
        false => "`durhack-deployer serve`",
    }
}

/// Why root does not serve a state that is another user's: whatever is pushed would run as root.
pub fn require_own(state_directory: &Path) -> Result<(), Failed> {
    if !step_user::is_anothers(state_directory) {
        return Ok(());
    }
    let owner = state_directory.symlink_metadata().ok().map(|found| Account::of(found.uid()).name);
    let owner = owner.unwrap_or_else(|| DEPLOYER.to_owned());
    let hint = match Path::new(paths::CONFIGURATION).is_dir() {
        true => how_to_start().to_owned(),
        false => format!("`sudo -u {owner} durhack-deployer ...`"),
    };
    let what = anyhow!(
        "{} is {owner}'s: started by root, it would run whatever is pushed as root",
        state_directory.display()
    );
    Err(Failed::because(what).hint(hint))
}

/// Has the owner of the state directory do what this command was called for, if that is somebody else, and ends with its exit code. Returns
/// where there is nothing to be done; what it gives else is why it cannot be.
pub async fn leave_to_owner_of(state_directory: &Path, environment: &Environment) -> Result<(), Failed> {
    let Some(owner) = other_owner(state_directory)? else { return Ok(()) };
    let said = || format!("cannot go on as {}, whose {} is", owner.name, state_directory.display());
    let code = carry_out(&owner, environment).await.with_context(said).map_err(Failed::unavailable)?;
    let code = u8::try_from(code).map_or(code, |code| i32::from(crate::terminal::failed::end(code)));
    std::process::exit(code)
}

/// What the owner of the state directory answers to a command; nothing where that is us.
pub async fn ask_owner_of(
    state_directory: &Path,
    environment: &Environment,
    words: &[&str],
    time_max: Duration,
) -> Result<Option<String>, Failed> {
    let Some(owner) = other_owner(state_directory)? else { return Ok(None) };
    let said = || format!("cannot ask {}, whose {} is", owner.name, state_directory.display());
    let asked = tokio::time::timeout(time_max, answer(&owner, environment, words)).await;
    let asked = asked.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", time_max.as_secs())));
    asked.map(Some).with_context(said).map_err(Failed::unavailable)
}

/// Starts this program as somebody else, who gets nothing of ours but what is given here.
#[expect(
    clippy::disallowed_methods,
    reason = "this program goes on as somebody else, and no command of a step is started"
)]
fn command(
    owner: &Account,
    environment: &Environment,
    arguments: impl IntoIterator<Item = OsString>,
) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(STAGE_ARGUMENT).args([owner.uid.to_string(), owner.gid.to_string()]).args(arguments);
    command.env_clear().envs(PASSED.iter().filter_map(|name| Some((name, environment.get(name)?))));
    command.env("USER", &owner.name).env("LOGNAME", &owner.name);
    command.envs(owner.home.as_ref().map(|home| ("HOME", home)));
    command.stdin(Stdio::null());
    command
}

/// Root's part of becoming somebody else: leaves the session of whoever typed, so that no terminal is left to be opened as `/dev/tty`.
pub fn stage_main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    close_fds::set_fds_cloexec(crate::admin::owner::FIRST_INHERITED, &[]);
    let mut number = || arguments.next()?.to_str()?.parse::<u32>().ok();
    let (Some(user), Some(group)) = (number(), number()) else {
        return ExitCode::from(crate::terminal::exit::USAGE);
    };
    if let Err(error) = setsid() {
        print_error_line!("cannot leave the session: {error}");
        return ExitCode::from(crate::terminal::exit::UNAVAILABLE);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is started: this program goes on as somebody else"
    )]
    let mut again = std::process::Command::new("/proc/self/exe");
    let error = again.args(arguments).uid(user).gid(group).exec();
    // What is started again is this program, by its file's permissions: where that lies does not matter.
    let hint = std::env::current_exe().ok().filter(|_| error.kind() == std::io::ErrorKind::PermissionDenied);
    let hint = hint.map(|file| format!("; `chmod 755 {}`: it must be able to start this", file.display()));
    print_error_line!("cannot become the user {user}: {error}{}", hint.unwrap_or_default());
    ExitCode::from(crate::terminal::exit::UNAVAILABLE)
}

/// Reads the answer as a whole; what is longer than an answer can be is none.
async fn answer(owner: &Account, environment: &Environment, words: &[&str]) -> Result<String> {
    let mut command = command(owner, environment, words.iter().map(Into::into));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let (Some(out), Some(error)) = (child.stdout.take(), child.stderr.take()) else {
        bail!("there is no pipe");
    };
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let (mut out, mut error) = (out.take(ANSWER_BYTES_MAX), error.take(ANSWER_BYTES_MAX));
    let (read, complained) = tokio::join!(out.read_to_end(&mut said), error.read_to_end(&mut complaint));
    read?;
    complained?;
    anyhow::ensure!(out.limit() > 0, "the answer is too long");
    let status = child.wait().await?;
    match String::from_utf8(said) {
        Ok(said) if !said.trim().is_empty() => Ok(said),
        _ => bail!("{} ({status})", plain(String::from_utf8_lossy(&complaint).trim())),
    }
}

/// Has somebody else carry out what we were called for.
async fn carry_out(owner: &Account, environment: &Environment) -> Result<i32> {
    let mut command = command(owner, environment, std::env::args_os().skip(1));
    let coloured = [
        anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never,
        anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never,
    ];
    if coloured.contains(&true) {
        command.env(COLOURED, "1");
    }
    // It cannot see that its output goes to a terminal, nor how wide that is.
    if let Some(width) = crate::terminal::style::terminal_width() {
        command.env("COLUMNS", width.to_string());
    }
    if std::io::stderr().is_terminal() {
        command.env(progress::PASSED_ON_VARIABLE, "1");
    }
    let (out, its_out) = std::io::pipe()?;
    let (error, its_error) = std::io::pipe()?;
    command.stdout(its_out).stderr(its_error);
    let mut answers = None;
    if std::io::stdin().is_terminal() {
        let (its_in, input) = std::io::pipe()?;
        command.stdin(its_in).env(QUESTIONS_VARIABLE, "1");
        answers = Some(input);
    }
    let mut signals = Signals::new()?;
    let mut child = command.spawn()?;
    // Our ends of its pipes: a copy ends when nobody has them any more.
    drop(command);
    let (done, mut copied) = tokio::sync::mpsc::channel(2);
    let of_error = done.clone();
    let [colours_out, colours_error] = coloured;
    std::thread::Builder::new().name("output".into()).spawn(move || {
        let _ended = done;
        if let Err(error) = copy(out, std::io::stdout(), colours_out, answers) {
            printing::lose(error);
        }
    })?;
    std::thread::Builder::new().name("errors".into()).spawn(move || {
        let _ended = of_error;
        let _ = copy(error, std::io::stderr(), colours_error, None);
    })?;
    let (status, was_told) = signals.pass_on_until_it_ends(&mut child).await?;
    let all_copied = async { while copied.recv().await == Some(()) {} };
    match was_told {
        // Whoever has pressed Ctrl-C at a question is not asked on.
        true => drop(tokio::time::timeout(LAST_WORDS_TIME_MAX, all_copied).await),
        false => tokio::select! {
            () = all_copied => {}
            _ = signals.next() => {}
        },
    }
    Ok(code(status))
}

/// As a shell has it.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// What ends a command, or has it stop watching: the other one is in a session of its own, and hears nothing of it.
struct Signals([(Signal, Listened); 3]);

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self([
            (Signal::INT, signal(SignalKind::interrupt())?),
            (Signal::TERM, signal(SignalKind::terminate())?),
            (Signal::HUP, signal(SignalKind::hangup())?),
        ]))
    }

    async fn next(&mut self) -> Signal {
        let [(interrupt, on_interrupt), (terminate, on_terminate), (hang_up, on_hang_up)] = &mut self.0;
        tokio::select! {
            _ = on_interrupt.recv() => *interrupt,
            _ = on_terminate.recv() => *terminate,
            _ = on_hang_up.recv() => *hang_up,
        }
    }

    /// How it has ended, and whether it was told to.
    async fn pass_on_until_it_ends(&mut self, child: &mut Child) -> Result<(ExitStatus, bool)> {
        let mut was_told = false;
        loop {
            let signal = tokio::select! {
                status = child.wait() => return Ok((status?, was_told)),
                signal = self.next() => signal,
            };
            was_told = true;
            // It has not been waited for, so the number is its own.
            if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// Copies line by line; of what a terminal obeys, colours pass where there is one, and nothing else. Where nobody reads any more, the pipe
/// is closed, as it would be for the other one itself.
fn copy(
    mut from: PipeReader,
    mut to: impl Write,
    keeps_colour: bool,
    mut answers: Option<PipeWriter>,
) -> std::io::Result<()> {
    let (mut chunk, mut rest) = (vec![0; 64 * 1024], Vec::new());
    loop {
        let count = from.read(&mut chunk)?;
        rest.extend_from_slice(&chunk[..count]);
        while let Some(end) = end_of_part(&rest, count == 0) {
            let part: Vec<u8> = rest.drain(..end).collect();
            let text = String::from_utf8_lossy(&part);
            match (text.strip_prefix(QUESTION), &mut answers) {
                (Some(question), Some(answers)) => {
                    let agrees = crate::terminal::question::agrees(&plain(question)).unwrap_or(false);
                    answers.write_all(if agrees { b"y\n" } else { b"n\n" })?;
                }
                _ => match text.strip_prefix(progress::PASSED_ON) {
                    Some(text) => progress::draw(plain(text).trim()),
                    None => written(|| {
                        to.write_all(shown(&text, keeps_colour).as_bytes()).and_then(|()| to.flush())
                    })?,
                },
            }
        }
        to.flush()?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// Writes while the line that shows progress is not there.
fn written(write: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
    let mut result = Ok(());
    crate::terminal::printing::suspended(|| result = write());
    result
}

/// Where the first line ends, or what is shown of one that is too long; at the end, all that is left.
fn end_of_part(text: &[u8], is_end: bool) -> Option<usize> {
    if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
        return Some(end + 1);
    }
    if text.len() > LINE_BYTES_MAX {
        // Not in the middle of a character.
        let is_begin = |at: &usize| text[*at] & 0xc0 != 0x80;
        return Some((LINE_BYTES_MAX - 4..=LINE_BYTES_MAX).rev().find(is_begin).unwrap_or(LINE_BYTES_MAX));
    }
    (is_end && !text.is_empty()).then_some(text.len())
}

fn shown(text: &str, keeps_colour: bool) -> String {
    let mut shown = if keeps_colour { for_terminal(text) } else { plain(text) };
    if text.ends_with('\n') {
        shown.push('\n');
    }
    shown
}

/// Whether nobody but root can have put something there. In a directory such as `/tmp` everybody makes entries, and only their owners
/// exchange them.
pub fn is_roots_way(path: &Path) -> bool {
    let is_roots = |(number, directory): (usize, &Path)| {
        directory.symlink_metadata().is_ok_and(|found| {
            let (mode, is_next) = (found.mode(), number == 0);
            found.uid() == 0 && (mode & 0o022 == 0 || (!is_next && mode & 0o1000 != 0))
        })
    };
    path.ancestors().skip(1).enumerate().all(is_roots)
}

/// The first descriptor behind standard input, output and error.
pub(crate) const FIRST_INHERITED: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn what_another_user_says_cannot_command_roots_terminal() {
        let long = "a".repeat(LINE_BYTES_MAX + 3);
        for (said, coloured, plainly) in [
            ("one\ntwo", "one\ntwo", "one\ntwo"),
            ("\x1b[31mred\x1b[0m\n", "\x1b[31mred\x1b[0m\x1b[0m\n", "red\n"),
            ("\x1b]0;title\x07a\x1b[2J\x1b[6n\r\n", "a\n", "a\n"),
            ("\u{5}Password:\n", "Password:\n", "Password:\n"),
            (&long, &long, &long),
        ] {
            for (keeps_colour, expected) in [(true, coloured), (false, plainly)] {
                let (from, mut its) = std::io::pipe().unwrap();
                let mut to = Vec::new();
                std::thread::scope(|scope| {
                    scope.spawn(move || its.write_all(said.as_bytes()));
                    copy(from, &mut to, keeps_colour, None).unwrap();
                });
                assert_eq!(String::from_utf8(to).unwrap(), expected);
            }
        }
    }

    #[test]
    fn only_what_root_alone_can_have_put_somewhere_is_believed() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        std::fs::create_dir_all(at("roots/state")).unwrap();
        std::fs::create_dir_all(at("others/roots/state")).unwrap();
        chown(at("others"), Some(1000), None).unwrap();
        std::fs::create_dir_all(at("open/state")).unwrap();
        std::fs::set_permissions(at("open"), PermissionsExt::from_mode(0o1777)).unwrap();
        for (path, expected) in
            [("roots/state", true), ("others/roots/state", false), ("open/state", false), ("no/state", false)]
        {
            assert_eq!(is_roots_way(&at(path)), expected, "{path}");
        }
    }
}
