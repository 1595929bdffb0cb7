//! What a deployment of one of DurHack's own repositories gets when it names no recipe.
//!
//! The original knew these six by their names; its configurations name nothing else. The files are those that
//! must outlive a deploy of each package because they are not in its repository. Each recipe has those that it deploys
//! ([`super::recipe::Descriptor::presets`]).

#[derive(Debug)]
pub struct Preset {
    /// The repository on GitHub, as `owner/name`.
    pub repository: &'static str,
    /// As an operator would write it.
    pub recipe: &'static str,
    /// Files that outlive releases.
    pub shared_files: &'static [&'static str],
    /// Directories that do.
    pub shared_dirs: &'static [&'static str],
    /// Packages of the workspace that are deployed; empty: all.
    pub packages: &'static [&'static str],
    /// Whether the build asks the migrated database.
    pub migrates_before_build: bool,
    /// Whether the original required `instance_name`.
    pub requires_instance_name: bool,
    /// Where its programs listen, as the README of durhack-nginx gives ports out.
    pub ports: &'static [u16],
}

impl Preset {
    /// What `config show` names as the origin of a value.
    pub fn origin(&self) -> String {
        format!("preset of {}", self.repository)
    }
}
