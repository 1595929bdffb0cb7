//! nginx sites out of a repository: select, stage, certify, install, reload, or restore.
//!
//! Theory of operation: what a commit wants of this host is chosen when the plan is made ([`selection`]). [`NginxWork::Stage`] reads those files,
//! judges what they say ([`nginx_policy`]), and has nginx test a copy of its whole configuration with them
//! in it ([`stage`]). [`NginxWork::Certify`] obtains what certificates they need ([`certificates`]). [`NginxWork::Install`] does the first
//! again (the host may have changed), makes a durable backup ([`backup`]), writes plain files ([`install`]), has nginx
//! test what is then live, and only then reloads, and proves it ([`reload`]). [`NginxWork::Restore`] restores what the backup
//! has, as often as it is asked to. Who writes, root or this process, is the [`writer`]'s. What is ours is in the [`manifest`]; nothing else is touched. One at a time does any
//! of this on a host.

pub mod backup;
pub mod certificates;
pub mod dry_run;
pub mod error_mapping;
pub mod files;
pub mod install;
pub mod manifest;
pub mod own_site;
mod ownership;
pub mod reload;
pub mod selection;
mod site_file;
pub mod writer;

use crate::base::words::counted;
use crate::config::{Certificates, Nginx, Privileges};
use crate::process::lock::{self, Lock};
use crate::process::step_context::StepContext;
use crate::process::tools::{certbot, nginx};
use anyhow::{Result, bail};
use nginx_policy::Bounds;
use selection::Selection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What is done about a host's sites. Data of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitesStep {
    /// Which part of it.
    pub work: NginxWork,
    /// What the commit has for this host.
    pub selection: Selection,
    /// The release's directory.
    pub release: PathBuf,
    /// The deployment's path. Links into it that are found among nginx's files are those of the Python deployer, and so ours.
    pub checkout: PathBuf,
    /// Where the deployment's manifest, backups and stage lie.
    pub state: PathBuf,
    /// Where the lock lies that all deployments share.
    pub locks: PathBuf,
    /// The host's nginx.
    pub nginx: Nginx,
    /// How certificates are obtained.
    pub certificates: Certificates,
    /// How what needs root is done.
    pub privileges: Privileges,
    /// The run: its backup has this name.
    pub run: String,
    /// Whether an operator wants the CA asked, however often it has refused.
    pub forced: bool,
    /// What sites may say beside the list (`sites_allow`).
    #[serde(default)]
    pub allowed: Vec<String>,
    /// The paths of all deployments: what is served out of them, whoever is pushed there has put there.
    #[serde(default)]
    pub deployments: Vec<PathBuf>,
    /// The name by which the deployer itself is reached, or nothing.
    #[serde(default)]
    pub own_host: String,
}

/// The parts of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NginxWork {
    /// Judge the files and have nginx test them, aside.
    Stage,
    /// Obtain the certificates that are missing.
    Certify,
    /// Put the files in their places, and have nginx serve them.
    Install,
    /// Put back what the run's `Install` replaced.
    Restore,
}

impl SitesStep {
    pub async fn carry_out(&self, step_context: &StepContext<'_>) -> Result<()> {
        let _lock = self.lock(step_context).await?;
        match self.work {
            NginxWork::Stage => {
                self.selection
                    .notes
                    .iter()
                    .for_each(|note| step_context.note(format!("not for nginx: {note}")));
                let files = files::read(self, step_context).await?;
                files::remarks(self, &files).into_iter().for_each(|remark| step_context.note(remark));
                certificates::check_references(self, &files)?;
                dry_run::test(self, &files, step_context).await
            }
            NginxWork::Certify => {
                let files = files::read(self, step_context).await?;
                certificates::obtain_all(self, &files, step_context).await
            }
            NginxWork::Install => install::install(self, step_context).await,
            NginxWork::Restore => install::restore(self, step_context).await,
        }
    }

    /// One line for people: what is done, and each program that is called for it.
    pub fn shown(&self) -> String {
        let files = counted(self.selection.files.len(), "file", "files");
        let directory = self.nginx.directory.display();
        let aside = nginx::staged_in_short(&self.nginx);
        let live = nginx::test(&self.nginx, self.privileges).shown();
        let reload = nginx::reload(&self.nginx, self.privileges).shown();
        match self.work {
            NginxWork::Stage => format!("test {files} of production/ and snippets/ aside: {aside}"),
            NginxWork::Certify => {
                let sites: BTreeSet<_> =
                    self.selection.files.iter().filter_map(|file| file.site.as_ref()).collect();
                let certbot = certbot::in_short(self.privileges);
                format!(
                    "{certbot} where one of {} needs a certificate",
                    counted(sites.len(), "site", "sites")
                )
            }
            NginxWork::Install => {
                format!("install what differs of {files} in {directory}: {aside}, {live}, {reload}")
            }
            NginxWork::Restore => format!("put back what was replaced in {directory}: {live}, {reload}"),
        }
    }

    /// Where a repository's files may lead nginx. What the deployment has itself, and the CA's questions, may be served.
    pub fn bounds(&self) -> Bounds {
        let own = [Some(&self.checkout), self.certificates.webroot.as_ref()];
        let own = own.into_iter().flatten().map(|path| path.to_string_lossy().into_owned());
        Bounds {
            directory: self.nginx.directory.clone(),
            certificates: self.certificates.directory.clone(),
            logs: self.nginx.log_directory.clone(),
            allowed: self.allowed.iter().cloned().chain(own).collect(),
        }
    }

    /// All deployments of sites, and certbot, change the same nginx.
    async fn lock(&self, step_context: &StepContext<'_>) -> Result<Lock> {
        tokio::select! {
            () = step_context.cancel.cancelled() => bail!("cancelled"),
            () = tokio::time::sleep_until(step_context.ends_at) => bail!("another deployment was busy with nginx all the time"),
            lock = lock::acquire(&self.locks, "nginx") => lock,
        }
    }
}
