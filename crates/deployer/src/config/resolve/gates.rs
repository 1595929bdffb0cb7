//! `require_checks`, `require_signature`, `approval` and `freeze`: what a deployment's commits must pass.

use crate::config::gates::{Freeze, Gates, Window};
use crate::config::reading::diagnostics::Severity;
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{absolute_path, boolean, checked_text, filled_text, list};
use crate::config::{Config, Deployment};
use jiff::tz::TimeZone;

/// The gates of one deployment.
pub fn gates(table: &TableReader<'_>) -> Gates {
    let zone = table.value("freeze_timezone", |node| {
        checked_text(node, |name| {
            TimeZone::get(name).map_err(|_| format!("this machine knows no time zone {name:?}"))
        })
    });
    Gates {
        checks: table.value("require_checks", list(filled_text)).unwrap_or_default(),
        allowed_signers: table.value("require_signature", absolute_path),
        approval: table.value("approval", boolean).unwrap_or_default(),
        freeze: Freeze {
            windows: table
                .value("freeze", list(|node| checked_text(node, Window::parse)))
                .unwrap_or_default(),
            zone: zone.unwrap_or(TimeZone::UTC),
        },
    }
}

/// Checks can only be asked for by somebody.
pub fn warn_of_checks_without_credential(root: &TableReader<'_>, config: &Config) {
    let github = &config.github;
    if github.token.is_some() || github.app.is_some() {
        return;
    }
    let asks_in_vain =
        |deployment: &Deployment| !deployment.gates.checks.is_empty() && deployment.github_token.is_none();
    for (slug, table) in root.named("deployments") {
        let known = config.deployments.values().find(|deployment| deployment.slug.as_str() == slug);
        let (Ok(table), Some(true)) = (table, known.map(asks_in_vain)) else { continue };
        let (severity, message) = match github.use_gh {
            true => {
                (Severity::Note, "GitHub is asked for these checks with the login of `gh`, if there is one")
            }
            false => (
                Severity::Warning,
                "there is no credential with which GitHub could be asked for these checks: nothing will be deployed",
            ),
        };
        let help = "set `[github] token_file`, a GitHub App, or `github_token_file` of the deployment";
        table.for_deployment(slug).report_at_key("require_checks", severity, message, help);
    }
}
