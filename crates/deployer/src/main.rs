//! Arguments -> subcommand -> exit code.

use durhack_deployer::admin::owner;
use durhack_deployer::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A leash is started for every step: it must be cheap, so it is looked for before anything else.
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == supervise::LEASH_ARGUMENT) {
        return supervise::leash_main(arguments);
    }
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == supervise::KEEPER_ARGUMENT) {
        return supervise::keeper_main();
    }
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == supervise::STAND_IN_ARGUMENT) {
        return supervise::stand_in_main(arguments);
    }
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == owner::STAGE_ARGUMENT) {
        return owner::stage_main(arguments);
    }
    // Root's commands are done by the user whose state it is: no other process of that user may look into this one.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    cli::main()
}
