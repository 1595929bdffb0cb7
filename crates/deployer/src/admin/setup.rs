//! `setup`: a host on which the package lies becomes one that receives pushes and deploys them, and back.
//!
//! It looks ([`found`]), makes a plan of it ([`plan`], [`removal`]: pure), shows it, asks, and carries it out ([`action`]), one thing after
//! the other. There is no state of its own: what was interrupted is found half done, and completed, by the next one. What an operator
//! has written is never changed; where it stands against what was asked for, that is said.
//!
//! Deliberately absent: installing programs (the package does), obtaining certificates for the deployer's own site (certbot does), and
//! anything over the network.

pub mod access_lists;
pub mod action;
pub mod allow_list;
pub mod aside;
pub mod configuration;
mod configured;
pub mod drop_in;
pub mod events;
pub mod going_back;
pub mod host_state;
pub mod journal;
pub mod layers;
pub mod moving;
pub mod old_links;
pub mod options;
pub mod original;
pub mod plan;
pub mod reached;
pub mod removal;
pub mod site;
pub mod sudoers;
pub mod users;
pub mod uwsgi_pass;

use crate::admin::arguments::SetupArguments;
use crate::admin::setup::host_state::HostState;
use crate::config::Environment;
use crate::process::executor::Executor;
use crate::run_log::rendering::plain;
use crate::terminal::failed::Failed;
use crate::terminal::question::agreed;
use crate::terminal::style::{BOLD, DIM, GREEN, YELLOW};
use anyhow::anyhow;
use options::SetupOptions;
use plan::Plan;
use std::path::{Path, PathBuf};

/// Where an administrator's tools lie, should `PATH` not say so.
pub const SEARCH_PATHS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Runs `setup`: looks at the host, shows what is missing, and does it once somebody agrees.
pub async fn run(
    directory: Option<&Path>,
    environment: &Environment,
    arguments: &SetupArguments,
) -> Result<(), Failed> {
    let options = SetupOptions::of(arguments, directory).map_err(Failed::because)?;
    if !environment.is_root() {
        return Err(
            Failed::because(anyhow!("only root can set up a host")).hint("sudo durhack-deployer setup")
        );
    }
    let missing = crate::admin::host::paths::missing_parts();
    if let (Some(first), false) = (missing.first(), arguments.uninstall) {
        return Err(Failed::because(anyhow!("there is no {}", first.display()))
            .hint("setup needs what the package brings: `dpkg -i durhack-deployer_*.deb`"));
    }
    let executor =
        Executor::unconfigured("/proc/self/exe".into(), environment, &SEARCH_PATHS.map(PathBuf::from));
    match &arguments.from {
        Some(directory) => return moving::from(directory, environment, &executor, arguments).await,
        None if arguments.back => return going_back::back(environment, &executor, arguments).await,
        None => refuse_another_directory(&options)?,
    }
    let found = crate::admin::setup::host_state::look(&options, environment, &executor).await?;
    let plan = match arguments.uninstall {
        true => removal::plan(&found, arguments.purge),
        false => plan::plan(&found, &options)?,
    };
    show(&plan);
    if arguments.dry_run {
        print_line!("\nnothing was done (--dry-run)");
        return Ok(());
    }
    if !plan.actions.is_empty() {
        agreed(arguments.yes, "Do it?")?;
        carry_out(&plan, &executor).await?;
    }
    if !arguments.uninstall {
        say_what_is_next(&options, environment, &executor).await?;
    }
    Ok(())
}

/// What is in another directory would be planned for, and not be what the services read.
fn refuse_another_directory(options: &SetupOptions) -> Result<(), Failed> {
    let (asked, read) =
        (options.configuration.as_path(), Path::new(crate::admin::host::paths::CONFIGURATION));
    let is_same =
        asked == read || asked.canonicalize().is_ok_and(|asked| Some(asked) == read.canonicalize().ok());
    if is_same || options.uninstall {
        return Ok(());
    }
    let hint = match asked.file_name().is_some_and(|name| name == "config") {
        true => {
            let checkout = asked.parent().unwrap_or(asked).display();
            format!(
                "of the Python tool? `durhack-deployer setup --from {checkout}`. Otherwise copy its layers to {}, and leave --config out",
                read.display()
            )
        }
        false => format!("copy its layers to {}, and leave --config out", read.display()),
    };
    Err(Failed::because(anyhow!("the services read {}, not {}", read.display(), asked.display())).hint(hint))
}

fn show(plan: &Plan) {
    match plan.actions.as_slice() {
        [] => print_line!("{GREEN}nothing to do{GREEN:#}: everything is as it should be"),
        actions => {
            print_line!("{BOLD}To be done:{BOLD:#}");
            for (number, action) in actions.iter().enumerate() {
                print_line!("{:>3}. {}", number + 1, plain(&action.what));
            }
        }
    }
    for remark in &plan.remarks {
        print_line!("{YELLOW}  -{YELLOW:#} {}", plain(remark));
    }
}

async fn carry_out(plan: &Plan, executor: &Executor) -> Result<(), Failed> {
    print_line!();
    for (number, action) in plan.actions.iter().enumerate() {
        print_line!("[{}/{}] {}", number + 1, plan.actions.len(), plain(&action.what));
        action.carry_out(executor).await.map_err(|error| {
            Failed::because(error.context(format!("cannot {}", action.what)))
                .hint("what was done before it stays; mend the cause, and run the same command again: it does the rest")
        })?;
    }
    print_line!("{GREEN}done{GREEN:#}");
    Ok(())
}

/// Asked again: what is true now, not what was planned.
async fn say_what_is_next(
    options: &SetupOptions,
    environment: &Environment,
    executor: &Executor,
) -> Result<(), Failed> {
    let found: HostState = crate::admin::setup::host_state::look(options, environment, executor).await?;
    let Some(known) = found.configuration else { return Ok(()) };
    print_line!("\nwebhook  {}/github-webhook", known.origin);
    print_line!("secret   {} (root can read it)", crate::admin::host::paths::WEBHOOK_SECRET);
    print_line!("\n{BOLD}Next{BOLD:#}");
    let layer = options.configuration.join("default.toml");
    if known.paths.is_empty() {
        print_line!("  durhack-deployer init OWNER/NAME --write {}", layer.display());
        print_line!(
            "  durhack-deployer setup              allows what the deployment needs, and makes it known"
        );
    }
    print_line!("  durhack-deployer webhook create     lets GitHub send pushes here");
    print_line!("  durhack-deployer doctor             is everything well?");
    print_line!("{DIM}  durhack-deployer simulate push SLUG tries it without a push{DIM:#}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setup_refuses_a_directory_that_the_services_do_not_read() {
        let of = |configuration: &str, uninstall| SetupOptions {
            configuration: configuration.into(),
            origin: None,
            privileges: None,
            uninstall,
        };
        for (directory, hint) in [
            (
                "/var/www/deploy.example.org/config",
                "`durhack-deployer setup --from /var/www/deploy.example.org`",
            ),
            ("/root/layers", "copy its layers to /etc/durhack-deployer"),
        ] {
            let refused = format!("{:?}", refuse_another_directory(&of(directory, false)).unwrap_err());
            assert!(refused.contains("the services read /etc/durhack-deployer, not"), "{refused}");
            assert!(refused.contains(hint), "{refused}");
            assert!(refuse_another_directory(&of(directory, true)).is_ok(), "nothing of it is read");
        }
        assert!(refuse_another_directory(&of(crate::admin::host::paths::CONFIGURATION, false)).is_ok());
    }
}
