//! A deployment, as TOML with a comment on each choice and what is left to do. Pure.
//!
//! What comes from the repository is either of a checked type, or of plain letters, or stands in a comment from which control
//! characters are gone: nothing in it can end a text, a comment or a line.

use super::kind::RepositoryKind;
use crate::base::names::{BranchName, RepositoryName, Slug};
use crate::plan::proposal::{DetectedStep, Evidence, Line, Proposal, Subject, quoted, toml_text, visible};
use crate::plan::recipe::Planner;
use crate::plan::recipes;
use std::fmt::Write as _;
use std::path::Path;

/// What is known of a deployment to be.
#[derive(Debug)]
pub struct Page<'a> {
    pub slug: &'a Slug,
    /// `owner/name`.
    pub repository: &'a RepositoryName,
    /// Whether that is its real name.
    pub is_named: bool,
    /// Where git fetches from, if not where the name says.
    pub clone_url: Option<&'a str>,
    /// Whose head is deployed.
    pub branch: &'a BranchName,
    /// Where it is deployed to.
    pub path: &'a Path,
    /// What recipes are asked about.
    pub subject: Subject<'a>,
    /// Whether what is deployed now lies at the path, as a work tree.
    pub is_checked_out: bool,
    /// Files and directories that are probably a server's own.
    pub kept: &'a (Vec<String>, Vec<String>),
    /// Files that tell of more than what was understood.
    pub unknown: &'a [String],
    /// Whether it has submodules, and the hosts that they come from beside the repository's own.
    pub submodules: Option<Vec<String>>,
    /// Whether Git LFS keeps files of it.
    pub uses_lfs: bool,
}

impl Page<'_> {
    /// The whole table.
    pub fn text(&self, kind: &RepositoryKind) -> String {
        let mut text = format!("[deployments.{}]\n", self.slug);
        if !self.is_named {
            comment(&mut text, "TODO: its name on GitHub; a push must name it.");
        }
        key(&mut text, "repository", &toml_text(self.repository.as_str()));
        if let Some(url) = self.clone_url {
            key(&mut text, "clone_url", &toml_text(url));
        }
        key(&mut text, "branch", &toml_text(self.branch.as_str()));
        comment(
            &mut text,
            match self.is_checked_out {
                true => {
                    "The work tree that lies there is deployed in place; `durhack-deployer adopt` makes releases of it, with the link `current`."
                }
                false => "Releases come to lie below it, and the link `current` to the live one.",
            },
        );
        key(&mut text, "path", &toml_text(&self.path.to_string_lossy()));
        comment(
            &mut text,
            &format!(
                "`durhack-deployer setup` makes {}, a user of its own, as whom it is built and run.",
                self.subject.user
            ),
        );
        self.fetched(&mut text);
        self.recipe(&mut text, kind);
        self.kept(&mut text, kind);
        self.remains(&mut text, kind);
        text
    }

    fn fetched(&self, text: &mut String) {
        if let Some(hosts) = &self.submodules {
            comment(text, "It has .gitmodules.");
            key(text, "submodules", "true");
            if !hosts.is_empty() {
                comment(
                    text,
                    "Submodules come from the repository's own host, and from these, if you trust them:",
                );
                let hosts: Vec<String> = hosts.iter().map(|host| toml_text(host)).collect();
                key(text, "submodule_hosts", &format!("[{}]", hosts.join(", ")));
            }
        }
        if self.uses_lfs {
            comment(
                text,
                "TODO: Git LFS keeps files of it, and a release has only pointers to them: keep them outside, or fetch them in a step.",
            );
        }
    }

    fn recipe(&self, text: &mut String, kind: &RepositoryKind) {
        text.push('\n');
        if !self.unknown.is_empty() && !matches!(kind, RepositoryKind::Static) {
            comment(
                text,
                &format!("Seen as well, and not understood: {}.", quoted(&self.unknown.join(", "))),
            );
        }
        match kind {
            RepositoryKind::Preset(preset) => {
                comment(
                    text,
                    &format!(
                        "No `recipe`: {} is known, and deployed by its preset ({}). `config show` says all of it.",
                        preset.repository, preset.recipe
                    ),
                );
                if preset.requires_instance_name {
                    comment(text, "How its processes are called.");
                    key(text, "instance_name", &toml_text(self.slug.as_str()));
                }
                let of_preset = |planner: &&&dyn Planner| planner.descriptor().name == preset.recipe;
                let planner = recipes::ALL.iter().find(of_preset);
                let lines = planner.map(|planner| planner.lines_of_preset(&self.subject)).unwrap_or_default();
                self::lines(text, &lines);
            }
            RepositoryKind::Proposed(proposal) => proposed(text, proposal),
            RepositoryKind::Static if self.unknown.is_empty() => {
                comment(
                    text,
                    "Nothing was found that would have to be installed or built: the release is the repository's content.",
                );
                key(text, "recipe", &toml_text(recipes::REFERENCE.default_recipe().name));
            }
            RepositoryKind::Static => {
                comment(text, &format!("Seen, and not understood: {}.", quoted(&self.unknown.join(", "))));
                comment(
                    text,
                    "TODO: write the commands that make a release (`steps`), then take `enabled` out. As it is, the sources would be live.",
                );
                key(text, "enabled", "false");
                key(text, "recipe", &toml_text(recipes::REFERENCE.default_recipe().name));
            }
        }
    }

    fn kept(&self, text: &mut String, kind: &RepositoryKind) {
        let shared = quoted(&self.path.join("shared").to_string_lossy());
        if let RepositoryKind::Preset(preset) = kind {
            let paths = preset.shared_files.iter().chain(preset.shared_dirs).copied();
            let paths: Vec<&str> = paths.filter(|path| *path != "local-live").collect();
            if !paths.is_empty() {
                text.push('\n');
                comment(
                    text,
                    &format!(
                        "TODO: not in the repository, and linked into each release from {shared}/: put there"
                    ),
                );
                paths.iter().for_each(|path| comment(text, &format!("  {path}")));
            }
            return;
        }
        let (files, directories) = self.kept;
        if files.is_empty() && directories.is_empty() {
            return;
        }
        text.push('\n');
        comment(
            text,
            "Not in the repository, and a release seems to need them (by .env.example and .gitignore). They lie in",
        );
        comment(text, &format!("{shared}/ and are linked into each release: put them there."));
        for (name, paths) in [("shared_files", files), ("shared_dirs", directories)] {
            if !paths.is_empty() {
                let paths: Vec<String> = paths.iter().map(|path| toml_text(path)).collect();
                key(text, name, &format!("[{}]", paths.join(", ")));
            }
        }
    }

    fn remains(&self, text: &mut String, kind: &RepositoryKind) {
        text.push('\n');
        let (preset, health) = match kind {
            RepositoryKind::Preset(preset) => (Some(*preset), None),
            RepositoryKind::Proposed(proposal) => (None, proposal.health),
            RepositoryKind::Static => (None, Proposal::new("", Evidence::Content, "").health),
        };
        if let Some(preset) = preset.filter(|preset| !preset.ports.is_empty()) {
            let ports: Vec<String> = preset.ports.iter().map(|port| format!("localhost:{port}")).collect();
            comment(
                text,
                &format!(
                    "A release is alive when {} accepts connections: so the preset has it. Does it listen elsewhere here?",
                    ports.join(" and ")
                ),
            );
            key(text, "# health", &format!("[{{ http = \"http://{}/\" }}]", ports[0]));
        } else if let Some(health) = health {
            comment(
                text,
                "TODO: how to see that a release is alive. Without a check only a failing command fails a run.",
            );
            key(text, "# health", health);
        }
        comment(
            text,
            "Then `durhack-deployer setup`, as root, where the package is installed: it allows what this needs. And a webhook at GitHub:",
        );
        comment(
            text,
            "`durhack-deployer webhook create` makes it; docs/how-to/connect-github.md says how by hand.",
        );
    }
}

fn proposed(text: &mut String, proposal: &Proposal) {
    proposal.why.iter().for_each(|why| comment(text, why));
    key(text, "recipe", &toml_text(proposal.recipe));
    lines(text, &proposal.lines);
}

fn lines(text: &mut String, lines: &[Line]) {
    for line in lines {
        match line {
            Line::Comment(line) => comment(text, line),
            Line::Key(name, value) => key(text, name, value),
            Line::Steps(steps) => self::steps(text, steps),
        }
    }
}

fn steps(text: &mut String, steps: &[DetectedStep]) {
    if steps.is_empty() {
        return;
    }
    text.push_str("steps = [\n");
    for step in steps {
        let run: Vec<String> = step.run.iter().map(|word| toml_text(word)).collect();
        let phase = step.phase.as_str();
        let directory = step.directory.as_ref().map(|path| format!(", directory = {}", toml_text(path)));
        let _ = writeln!(
            text,
            "  # {}\n  {{ phase = \"{phase}\", run = [{}]{} }},",
            step.why,
            run.join(", "),
            directory.unwrap_or_default()
        );
    }
    text.push_str("]\n");
}

fn key(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name} = {value}");
}

fn comment(text: &mut String, line: &str) {
    let _ = writeln!(text, "# {}", visible(line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::commit_tree::Tree;

    #[test]
    fn what_a_repository_says_stays_in_its_comment() {
        let evil = "x\n[deployments.evil]\u{85}\u{2028}\u{1b}[2J";
        let kind = RepositoryKind::Proposed(Proposal::new("steps", Evidence::Content, evil).comment(evil));
        let (slug, repository) = (Slug::parse("app").unwrap(), RepositoryName::parse("a/b").unwrap());
        let page = Page {
            slug: &slug,
            repository: &repository,
            is_named: true,
            clone_url: None,
            branch: &BranchName::parse("a\"b").unwrap(),
            path: Path::new("/srv/a\nb\u{7f}\"c"),
            subject: Subject {
                tree: &Tree::default(),
                slug: "app",
                path: "/srv/app".as_ref(),
                user: "app-app",
            },
            is_checked_out: false,
            kept: &(Vec::new(), Vec::new()),
            unknown: &[],
            submodules: None,
            uses_lfs: false,
        };
        let text = page.text(&kind);
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let deployments = table["deployments"].as_table().unwrap();
        assert_eq!(deployments.keys().collect::<Vec<_>>(), ["app"]);
        assert_eq!(deployments["app"]["path"].as_str(), Some("/srv/a\nb\u{7f}\"c"));
        assert_eq!(deployments["app"]["branch"].as_str(), Some("a\"b"));
        let odd = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(odd), "{text:?}");
    }
}
