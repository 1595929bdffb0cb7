//! `nginx-sites`: sites out of a repository for the host's nginx, with certificates.
//!
//! The configuration is tested aside, and certificates are obtained, before anything that is live changes. What is installed is undone
//! from a backup, byte for byte, and not by installing the old release again: what was there may not have been ours. What a
//! site serves out of the repository (`html/`) follows the link `current`.

use crate::config::{NginxSites, Phase};
use crate::plan::Action;
use crate::plan::builder::{Back, Part};
use crate::plan::facts::{Facts, Target};
use crate::steps::nginx::{NginxWork, SitesStep, own_site, selection};

/// The parts for a release.
pub fn parts(facts: &Facts<'_>, recipe: &NginxSites, release: &Target) -> Vec<Part> {
    let deployment = facts.deployment;
    let selection = selection::select(facts.tree, recipe);
    let step = |work: NginxWork| {
        // Taking back needs the backup, and nothing of the release.
        let selection =
            if work == NginxWork::Restore { selection::Selection::default() } else { selection.clone() };
        Action::Sites(Box::new(SitesStep {
            work,
            selection,
            release: release.directory.clone(),
            checkout: deployment.path.clone(),
            state: facts.host.state_directory.join("nginx").join(deployment.slug.as_str()),
            locks: facts.host.state_directory.join("locks/host"),
            nginx: facts.host.nginx.clone(),
            certificates: facts.host.certificates.clone(),
            privileges: facts.privileges,
            run: facts.run.to_owned(),
            forced: facts.forced,
            allowed: recipe.allowed.clone(),
            deployments: facts.host.deployments.values().map(|other| other.path.clone()).collect(),
            own_host: own_site::host_of(&facts.host.origin).to_owned(),
        }))
    };
    vec![
        Part::beforehand(facts, "stage", step(NginxWork::Stage)),
        Part::beforehand(facts, "certificates", step(NginxWork::Certify)),
        Part::new(Phase::Switch, "install", step(NginxWork::Install))
            .taken_back(Back::By(step(NginxWork::Restore))),
    ]
}

#[cfg(test)]
mod tests {
    use crate::config::Layout;
    use crate::plan::facts::{Facts, PlanPurpose};
    use crate::plan::recipes::{plan, sample};

    const KEYS: &str = "recipe = \"nginx-sites\"\nsites = [{ rule = \"include\", select = [\"*\"] }]";

    #[test]
    fn a_plan_names_every_program_that_is_called() {
        let files = ["production/[a.org].conf", "snippets/x"];
        insta::assert_snapshot!(sample::steps(KEYS, Layout::Releases, &files), @r"
        fetch export: export 2222222 to releases/2
        build stage: test 2 files of production/ and snippets/ aside: /usr/sbin/nginx -T
        build certificates: certbot certonly where one of 1 site needs a certificate
        switch activate: link current -> releases/2
          back: link current -> releases/1
        switch install: install what differs of 2 files in /etc/nginx: /usr/sbin/nginx -T, /usr/sbin/nginx -t, systemctl reload nginx
          back: put back what was replaced in /etc/nginx: /usr/sbin/nginx -t, systemctl reload nginx
        clean prune: remove releases that are no longer kept
        ");
    }

    #[test]
    fn nothing_that_is_live_changes_before_the_stage_and_the_certificates() {
        let names = |purpose| {
            sample::with_facts(KEYS, Layout::Releases, &["production/[a.org].conf"], |facts| {
                let steps = plan(&Facts { purpose, ..facts.clone() }).steps;
                steps.into_iter().map(|step| step.name).collect::<Vec<_>>()
            })
        };
        let deployed = ["export", "stage", "certificates", "activate", "install", "prune"];
        assert_eq!(names(PlanPurpose::Deploy), deployed);
        assert_eq!(names(PlanPurpose::Rollback), deployed[1..5]);
    }
}
