//! `nginx-sites`: sites out of a repository for the host's nginx, with certificates.
//!
//! The configuration is tested aside, and certificates are obtained, before anything that is live changes. What is installed is taken back
//! from a backup, byte for byte, and not by installing the old release again: what was there may not have been ours. What a
//! site serves out of the repository (`html/`) follows the link `current`.

use super::parts::{Back, Part};
use super::{Facts, Purpose, Target};
use crate::config::{NginxSites, Phase};
use crate::deploy::plan::Action;
use crate::deploy::sites::{SitesStep, Work, selection};

/// The parts for a release.
pub fn parts(facts: &Facts<'_>, recipe: &NginxSites, release: &Target) -> Vec<Part> {
    let deployment = facts.deployment;
    let selection = selection::select(facts.tree, recipe);
    let step = |work: Work| {
        // Taking back needs the backup, and nothing of the release.
        let selection =
            if work == Work::Restore { selection::Selection::default() } else { selection.clone() };
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
        }))
    };
    // A rollback to a release that lies there builds nothing; it needs these all the same.
    let early = if facts.purpose == Purpose::Rollback { Phase::Switch } else { Phase::Build };
    let part = |phase, name: &str, work, back| Part::new(phase, name, step(work)).taken_back(back);
    vec![
        part(early, "stage", Work::Stage, Back::Nothing),
        part(early, "certificates", Work::Certify, Back::Nothing),
        part(Phase::Switch, "install", Work::Install, Back::By(step(Work::Restore))),
    ]
}
