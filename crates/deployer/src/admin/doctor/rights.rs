//! Whether a credential may too little or too much. Pure.
//!
//! A deploy needs to read the repository and to write commit statuses (and deployments, where they are told). Only the commands
//! of `webhook` need to manage hooks, and they can be given a token of their own. Whatever else a credential may is what is lost
//! with it.

use super::finding::Finding;
use crate::github::rights::{Installation, RepositoryPermissions, TokenRights};

/// A token that ends within this is worth replacing at leisure.
const END_NEAR_MS: i64 = 14 * 24 * 3600 * 1000;

/// Requests left of the hour's, in percent, below which somebody uses them up.
const QUOTA_PERCENT_MIN: u64 = 10;

/// What the deployments that use a credential need of it.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    pub deployments: bool,
    /// Some deployment waits for checks.
    pub checks: bool,
}

const NEW_TOKEN: &str = "make a fine-grained token for these repositories alone (Contents: read, Commit statuses: write) at https://github.com/settings/personal-access-tokens/new, or a GitHub App";

/// A classic token's scopes: https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps.
pub fn of_scopes(scopes: &[String], needs: Needs) -> Vec<Finding> {
    let has = |wanted: &str| scopes.iter().any(|scope| scope == wanted);
    let whole = has("repo") || has("public_repo");
    let mut findings = Vec::new();
    if !whole && !has("repo:status") {
        findings.push(Finding::error(
            "it may not write commit statuses: it has neither `repo` nor `repo:status`",
            NEW_TOKEN,
        ));
    }
    if needs.deployments && !whole && !has("repo_deployment") {
        findings.push(Finding::error(
            "it may not write deployments: it has neither `repo` nor `repo_deployment`",
            NEW_TOKEN,
        ));
    }
    let admin: Vec<&str> = scopes.iter().map(String::as_str).filter(|scope| is_too_much(scope)).collect();
    if has("repo") || has("public_repo") {
        let which = if has("repo") { "repo" } else { "public_repo" };
        findings.push(Finding::warning(
            format!("a classic token with `{which}` may write the code of every repository of its account"),
            NEW_TOKEN,
        ));
    }
    if !admin.is_empty() {
        findings.push(Finding::warning(
            format!("it may more than a deploy needs: {}", admin.join(", ")),
            NEW_TOKEN,
        ));
    }
    findings
}

/// Scopes that no deploy needs.
fn is_too_much(scope: &str) -> bool {
    const HARMLESS: [&str; 9] = [
        "repo",
        "public_repo",
        "repo:status",
        "repo_deployment",
        "read:repo_hook",
        "read:org",
        "read:user",
        "user:email",
        "read:project",
    ];
    !HARMLESS.contains(&scope)
}

/// What an App may in one installation.
pub fn of_installation(installation: &Installation, needs: Needs) -> Vec<Finding> {
    const SETTINGS: &str =
        "change it at the App's settings, Permissions, and accept the change in the installation";
    let level = |name: &str| installation.permissions.get(name).map_or("none", String::as_str);
    let writes = |name: &str| level(name) == "write";
    let mut findings = Vec::new();
    if installation.suspended_at.is_some() {
        findings.push(Finding::error(
            "the App's installation is suspended",
            "unsuspend it in the account's settings, Applications",
        ));
    }
    let mut lacks = Vec::new();
    if level("contents") == "none" {
        lacks.push("Contents: read");
    }
    if !writes("statuses") {
        lacks.push("Commit statuses: write");
    }
    if needs.deployments && !writes("deployments") {
        lacks.push("Deployments: write");
    }
    if needs.checks && level("checks") == "none" {
        lacks.push("Checks: read");
    }
    if !lacks.is_empty() {
        findings.push(Finding::error(format!("the App lacks {}", lacks.join(", ")), SETTINGS));
    }
    const TOO_MUCH: [&str; 9] = [
        "contents",
        "administration",
        "actions",
        "workflows",
        "secrets",
        "members",
        "organization_administration",
        "environments",
        "packages",
    ];
    let more: Vec<&str> =
        TOO_MUCH.into_iter().filter(|name| matches!(level(name), "write" | "admin")).collect();
    if !more.is_empty() {
        findings.push(Finding::warning(
            format!("the App may write {}, which no deploy needs", more.join(", ")),
            SETTINGS,
        ));
    }
    findings
}

/// The end of a token, and what is left of its hour.
pub fn of_token(token: &TokenRights, now_ms: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(end) = token.expires_at_ms.filter(|end| end.saturating_sub(now_ms) < END_NEAR_MS) {
        findings.push(Finding::warning(
            format!(
                "it ends at {} UTC: nothing is fetched or reported after that",
                crate::base::clock::readable_utc(end)
            ),
            "make another at https://github.com/settings/tokens, and put it in this one's place",
        ));
    }
    if let Some((left, whole)) = token.quota
        && left.saturating_mul(100) < whole.saturating_mul(QUOTA_PERCENT_MIN)
    {
        findings.push(Finding::warning(
            format!("{left} of {whole} requests of this hour are left"),
            "find out what else asks with this credential; a GitHub App has its own limit for each account",
        ));
    }
    findings
}

/// What a classic token's account may in one repository: statuses are refused where it may not write.
pub fn of_repository(name: &str, permissions: RepositoryPermissions, is_classic: bool) -> Vec<Finding> {
    if !permissions.push {
        let what = format!("its account may not write to {name}, so GitHub refuses its commit statuses");
        return vec![Finding::error(
            what,
            format!("give the account the role Write at https://github.com/{name}/settings/access"),
        )];
    }
    match is_classic && permissions.admin {
        true => vec![Finding::warning(
            format!("its account administers {name}, which only the commands of `webhook` need"),
            "give the service a token of an account with the role Write, and `webhook` one of its own in GITHUB_TOKEN",
        )],
        false => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::FindingLevel;
    use super::*;

    fn levels(findings: &[Finding]) -> String {
        let letter = |finding: &Finding| match finding.level {
            FindingLevel::Error => 'E',
            FindingLevel::Warning => 'W',
            FindingLevel::Ok | FindingLevel::NotChecked => '-',
        };
        findings.iter().map(letter).collect()
    }

    #[test]
    fn scopes_are_too_few_or_too_many() {
        for (scopes, deployments, expected) in [
            ("repo", false, "W"),
            ("repo", true, "W"),
            ("public_repo", true, "W"),
            ("repo:status", false, ""),
            ("repo:status", true, "E"),
            ("repo:status repo_deployment", true, ""),
            ("", false, "E"),
            ("", true, "EE"),
            ("gist", false, "EW"),
            ("repo admin:org", false, "WW"),
            ("repo:status admin:repo_hook", false, "W"),
            ("repo:status write:repo_hook", false, "W"),
            ("repo:status delete_repo workflow", false, "W"),
            ("repo:status read:org read:repo_hook", false, ""),
        ] {
            let scopes: Vec<String> = scopes.split_whitespace().map(str::to_owned).collect();
            assert_eq!(
                levels(&of_scopes(&scopes, Needs { deployments, checks: false })),
                expected,
                "{scopes:?}"
            );
        }
    }

    #[test]
    fn an_app_lacks_something_or_has_too_much() {
        for (permissions, suspended, needs, expected) in [
            ("contents:read statuses:write metadata:read", false, (false, false), ""),
            ("contents:read statuses:write", false, (true, false), "E"),
            ("contents:read statuses:write deployments:write checks:read", false, (true, true), ""),
            ("contents:read statuses:read", false, (false, false), "E"),
            ("statuses:write", false, (false, true), "E"),
            ("contents:write statuses:write", false, (false, false), "W"),
            ("contents:read statuses:write repository_hooks:write", false, (false, false), ""),
            ("contents:read statuses:write administration:write", true, (false, false), "EW"),
        ] {
            let pairs = permissions.split_whitespace().filter_map(|pair| pair.split_once(':'));
            let installation = Installation {
                id: 1,
                permissions: pairs.map(|(name, level)| (name.into(), level.into())).collect(),
                suspended_at: suspended.then(|| "2026-01-01T00:00:00Z".into()),
            };
            let needs = Needs { deployments: needs.0, checks: needs.1 };
            assert_eq!(levels(&of_installation(&installation, needs)), expected, "{permissions}");
        }
    }

    #[test]
    fn a_token_ends_or_is_used_up() {
        const DAY: i64 = 24 * 3600 * 1000;
        for (days, quota, expected) in [
            (None, None, ""),
            (Some(15), Some((5000, 5000)), ""),
            (Some(13), Some((500, 5000)), "W"),
            (Some(-1), Some((499, 5000)), "WW"),
            (None, Some((0, 60)), "W"),
        ] {
            let expires_at_ms = days.map(|days: i64| days * DAY);
            let token = TokenRights { scopes: None, expires_at_ms, quota, github_time_ms: None };
            assert_eq!(levels(&of_token(&token, 0)), expected, "{days:?} {quota:?}");
        }
    }

    #[test]
    fn an_account_writes_and_does_not_administer() {
        for (admin, push, is_classic, expected) in [
            (false, true, true, ""),
            (true, true, true, "W"),
            (true, true, false, ""),
            (false, false, true, "E"),
        ] {
            let permissions = RepositoryPermissions { admin, push };
            assert_eq!(levels(&of_repository("o/r", permissions, is_classic)), expected);
        }
    }
}
