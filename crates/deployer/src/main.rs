//! Arguments -> subcommand -> exit code.

use durhack_deployer::admin::owner;
use durhack_deployer::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A supervisor process is started for every step: it must be cheap, so it is looked for before anything else.
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == supervise::SUPERVISOR_ARGUMENT) {
        return supervise::supervisor_main(arguments);
    }
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == supervise::SPAWNER_ARGUMENT) {
        return supervise::spawner_main();
    }
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == supervise::PID_PROXY_ARGUMENT) {
        return supervise::pid_proxy_main(arguments);
    }
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == owner::STAGE_ARGUMENT) {
        return owner::stage_main(arguments);
    }
    // Root's commands are done by the user whose state it is: no other process of that user may look into this one.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    cli::main()
}
