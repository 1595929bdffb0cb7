//! One child process on a supervisor: whatever it starts ends with it, in time; what it writes is kept within
//! limits and without secrets.
//!
//! # Theory of operation
//!
//! ```text
//!   daemon ------- control socket -------> supervisor process -------> command -----> its children, and theirs
//!     |   <----- started, exited N ------    |   process group of its own   (double-forked, setsid, ...)
//!     |                                      |
//!     |        the supervisor process's session; subreaper of everything to its right
//!     |
//!     |  <---- standard output, standard error ----  (inherited from the supervisor process by all to its right)
//!     |
//!   redact -> limit -> split into lines -> the caller's sink
//! ```
//!
//! [`run`] does not start the command. It starts the program that it is part of a second time, as a *supervisor process*
//! ([`supervisor_main`]), and the supervisor process starts the command. Why a process in between:
//!
//! - **A daemon that is killed cannot kill.** The supervisor process hears the control socket close and does it. A service
//!   manager would, too, but there is none in a container, in a test, or in somebody's terminal.
//! - **A process group is left by one `setsid`.** The supervisor process is a *subreaper*: whoever is orphaned below it
//!   becomes its child. Nobody leaves that way, and when the supervisor process has no child any more, nothing is left.
//!   (The daemon as the subreaper of all steps could not tell whose orphan it has been given.)
//! - **The numbers of processes are given again.** Only a parent knows for sure that a number is still its
//!   child's. Others are signalled through a pidfd, after a second look at their start time.
//!
//! The command is brought down because it ended and left something behind, because of its deadline, because
//! the caller cancelled, or because the daemon is gone. It goes always the same way: TERM to all, once; the
//! grace; then STOP to all until no new ones appear, because who is stopped cannot fork; then KILL; again
//! until none is left. A zombie counts as gone. What no KILL ends (it hangs in the kernel, or belongs to root)
//! is given up after ten seconds and counted in [`Outcome::survivors`].
//!
//! If the supervisor process itself is killed, the daemon does its work as well as it can be done from outside, and says
//! [`End::SupervisorLost`]: by the command's control group, where it has one; by its session; by the variable in its environment; and by
//! its parent, which the daemon is from then on ([`become_subreaper`]). If both are killed, there is [`kill_marked`] when the daemon
//! comes back, and a service manager that ends the whole service.
//!
//! A restricted command ([`Confinement`], [`ResourceLimits`]) starts as a third process of this program, which gives up what the command is
//! not to have (paths and signals by Landlock, system calls by seccomp, limits, capabilities), reports how far the kernel enforces that,
//! and becomes the command. The supervisor process stays outside, so that the command cannot signal it. While the command runs the supervisor process looks at
//! what that uses up, and brings it down for that as well.
//!
//! The command's environment goes through both as data. They have none of their own but the mark: an `LD_PRELOAD` of the command's would be
//! obeyed before anything is restricted.
//!
//! Output is redacted first, so that neither the limits nor the ends of lines can go through a secret; then
//! cut to its limits, then split. What is too much is read and dropped: a command is never blocked by us, and
//! a flood takes no memory. Both streams go through one loop, so lines come in the order in which they were
//! read. Between the two streams that is nearly, but not exactly, the order in which they were written.
//!
//! # What it expects
//!
//! Linux 5.3 with `/proc`; for confinement 5.13 with Landlock, for all of it 6.12. The calling program hands over in the first lines of its `main`, before it starts
//! any thread:
//!
//! ```no_run
//! # use std::process::ExitCode;
//! fn main() -> ExitCode {
//!     let mut arguments = std::env::args_os().skip(1);
//!     if arguments.next().is_some_and(|first| first == supervise::SUPERVISOR_ARGUMENT) {
//!         return supervise::supervisor_main(arguments);
//!     }
//!     // ... everything else
//!     # ExitCode::SUCCESS
//! }
//! ```
//!
//! A command of another user is started by a process of that user's, the spawner: see [`spawner_main`].
//!
//! One process is started without a supervisor, because it is to outlive the caller: see [`Replacement`].
//!
//! # What is deliberately absent
//!
//! No shell: a command is a program and its arguments. No retries: who calls knows whether a step may be
//! repeated. No limit on the processor: there is a deadline. No change of user: the supervisor process and the command run as the caller does, or as
//! the spawner that the caller names. No terminal: a pipe keeps the two streams
//! apart, and a program that finds no terminal does not ask questions. No judgement of a path by system call: a filter cannot look
//! behind a pointer, so `chmod` of a file of the same user is beyond all this.

mod adopted;
mod command;
mod confinement;
mod control_group;
mod environment;
mod memory_kills;
mod orphan_killer;
mod output;
mod process_table;
mod protocol;
mod redactor;
mod replacement;
mod run;
mod spawner;
mod start_error;
mod supervisor;

pub use adopted::{become_subreaper, reap_adopted};
pub use command::{Command, End, Leftovers, Line, Mark, Outcome, OutputLimits, Stream};
pub use confinement::{Confinement, Enforcement, Landlock, ResourceLimits};
pub use control_group::{is_available as has_control_groups, settle as settle_in_control_group};
pub use environment::Environment;
pub use orphan_killer::kill_marked;
pub use protocol::SUPERVISOR_ARGUMENT;
pub use redactor::{REDACTED, Redactor, SECRET_BYTES_MIN};
pub use replacement::{PID_PROXY_ARGUMENT, Replacement, become_pid_proxy, name_replacement, pid_proxy_main};
pub use run::run;
pub use spawner::{
    CREDENTIAL as SPAWNER_CREDENTIAL, SPAWNER_ARGUMENT, Spawner, kill_marked_by, spawner_main,
};
pub use start_error::StartError;
pub use supervisor::supervisor_main;
