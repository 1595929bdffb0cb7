//! The configuration, as `config check` judges it.

use super::context::{DoctorContext, Instead};
use super::finding::{CheckResult, Finding, or_ok};
use crate::admin::host::paths;
use crate::base::clock::readable_utc;
use crate::config::{Problem, Severity};

/// Everything that is wrong with it.
pub fn problems(context: &DoctorContext) -> CheckResult {
    let found = context.problems.problems().iter().filter(|problem| problem.severity != Severity::Note);
    let mut findings: Vec<Finding> = found.map(of_problem).collect();
    if (context.instead.is_some() || context.loaded().is_err()) && !context.us.is_root() {
        findings.push(Finding::not_checked(format!(
            "secrets that only root can read, and systemd hands over, are not seen by {}: run it as root, too",
            context.us.name
        )));
    }
    if let Some(instead) = context.instead {
        findings.push(Finding::not_checked(match instead {
            Instead::WithoutWebhookSecrets => {
                "the other checks go by what is written, without what signs webhooks".to_owned()
            }
            Instead::WithoutSecrets => "the other checks go by what is written, without secrets".to_owned(),
            Instead::LastGood(at_ms) => {
                format!("the other checks go by the last good configuration, of {} UTC", readable_utc(at_ms))
            }
        }));
    }
    if let Some(state) = context.config().ok().and_then(paths::state_elsewhere) {
        let (what, mend) = paths::said_of_state_elsewhere(state);
        findings.push(Finding::error(what, mend));
    }
    let what = match context.loaded() {
        Ok(loaded) => {
            let (deployments, layers) = (loaded.config.deployments.len(), loaded.layers.len());
            format!("deployments: {deployments}; layers: {layers}, in {}", loaded.directory.display())
        }
        Err(_) => String::new(),
    };
    Ok(or_ok(findings, what))
}

fn of_problem(problem: &Problem) -> Finding {
    let place = problem.position.as_ref().map(|position| format!("{}: ", position.file_and_line()));
    let what = format!("{}{}", place.unwrap_or_default(), problem.message);
    let mend = problem.help.clone();
    let mend = mend.unwrap_or_else(|| "`durhack-deployer config check` shows the place".to_owned());
    match problem.severity {
        Severity::Error => Finding::error(what, mend),
        Severity::Warning | Severity::Note => Finding::warning(what, mend),
    }
}
