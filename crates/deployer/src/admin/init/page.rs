//! A deployment, as TOML with a comment on each choice and what is left to do. Pure.
//!
//! What comes from the repository is either of a checked type, or of plain letters, or stands in a comment from which control
//! characters are gone: nothing in it can end a text, a comment or a line.

use super::kind::{Kind, Step, UnderPm2, Unit};
use crate::admin::setup::users::names;
use crate::base::names::{BranchName, RepositoryName, Slug};
use crate::plan::proposal::{Line, Proposal, toml_text};
use crate::plan::recipes::REFERENCE;
use std::fmt::Write as _;
use std::path::Path;

/// As much of a repository's own text as a comment quotes.
const QUOTED_CHARS_MAX: usize = 100;

/// What is known of a deployment to be.
#[derive(Debug)]
pub struct Page<'a> {
    /// Its name.
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
    /// nginx sites in it.
    pub sites: &'a [String],
    /// Files for nginx that are for every host.
    pub unbracketed: &'a [String],
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
    pub fn text(&self, kind: &Kind) -> String {
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
                self.user()
            ),
        );
        self.fetched(&mut text);
        self.recipe(&mut text, kind);
        self.kept(&mut text, kind);
        self.remains(&mut text, kind);
        text
    }

    /// The name that `setup` prefers.
    fn user(&self) -> String {
        names(self.slug).first().map(ToString::to_string).unwrap_or_default()
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

    fn recipe(&self, text: &mut String, kind: &Kind) {
        text.push('\n');
        if !self.unknown.is_empty() && !matches!(kind, Kind::Static) {
            comment(
                text,
                &format!("Seen as well, and not understood: {}.", quoted(&self.unknown.join(", "))),
            );
        }
        match kind {
            Kind::Preset(preset) => {
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
                let recipe = REFERENCE.recipe(preset.recipe);
                if recipe.is_some_and(|recipe| recipe.keys.iter().any(|key| key.name == "sites")) {
                    self.sites(text);
                }
            }
            Kind::NginxSites(_) => {
                comment(text, "It has production/[...].nginxconf: sites of nginx, with certificates.");
                key(text, "recipe", "\"nginx-sites\"");
                self.sites(text);
            }
            Kind::Pm2(of) => self.pm2(text, of),
            Kind::UvUwsgi => {
                comment(text, "It has uv.lock and speaks of uWSGI: a Python project under uWSGI's emperor.");
                key(text, "recipe", "\"uv-uwsgi\"");
                comment(text, "TODO: the vassal's file; the emperor reloads it when it is touched.");
                key(text, "uwsgi_config_path", &toml_text(&format!("/etc/uwsgi/vassals/{}.ini", self.slug)));
            }
            Kind::GoStatic => {
                comment(text, "It has a Go server and a client built by Vite.");
                key(text, "recipe", "\"go-static\"");
                comment(text, "TODO: what keeps the server running.");
                key(text, "# units", &format!("[\"{}.service\"]", self.slug));
            }
            Kind::Systemd { by, steps, units } => self.systemd(text, by, steps, units),
            Kind::Steps { by, steps } => {
                comment(text, &format!("By {by}: these commands make a release, in its own directory."));
                comment(
                    text,
                    "Does a program run in it? Then write `recipe = \"systemd\"` and `units = [...]`.",
                );
                key(text, "recipe", "\"steps\"");
                self::steps(text, steps);
            }
            Kind::Proposed { recipe, proposal } => proposed(text, recipe, proposal),
            Kind::Static if self.unknown.is_empty() => {
                comment(
                    text,
                    "Nothing was found that would have to be installed or built: the release is the repository's content.",
                );
                key(text, "recipe", "\"steps\"");
            }
            Kind::Static => {
                comment(text, &format!("Seen, and not understood: {}.", quoted(&self.unknown.join(", "))));
                comment(
                    text,
                    "TODO: write the commands that make a release (`steps`), then take `enabled` out. As it is, the sources would be live.",
                );
                key(text, "enabled", "false");
                key(text, "recipe", "\"steps\"");
            }
        }
    }

    fn pm2(&self, text: &mut String, of: &UnderPm2) {
        let installer = of.found.as_ref().map(|found| (found.by, found.installer.program()));
        let what = match installer {
            Some((Some(lock), "pnpm")) => format!("{lock} and {}: a pnpm workspace under PM2.", of.ecosystem),
            Some((Some(lock), program)) => {
                format!("{lock} and {}: Node packages under PM2, installed by {program}.", of.ecosystem)
            }
            Some((None, _)) => format!("{}: Node packages under PM2. Commit a lock file.", of.ecosystem),
            None => format!("{}: applications under PM2.", of.ecosystem),
        };
        comment(text, &format!("It has {what}"));
        for name in of.found.iter().flat_map(|found| &found.passed_over) {
            comment(
                text,
                &format!("{name} is there too, and is probably stale: `installer` says otherwise."),
            );
        }
        let is_pnpm = matches!(installer, Some((_, "pnpm")));
        key(text, "recipe", if is_pnpm { "\"pnpm-pm2\"" } else { "\"pm2\"" });
        if !of.packages.is_empty() {
            comment(text, "Each is installed and built by itself.");
            let packages: Vec<String> = of.packages.iter().map(|package| toml_text(package)).collect();
            key(text, "packages", &format!("[{}]", packages.join(", ")));
        }
        if of.for_production {
            comment(text, "The ecosystem file's env_production is used because of this.");
            key(text, "environment", "{ NODE_ENV = \"production\" }");
        }
        if of.named {
            comment(text, "The ecosystem file asks for INSTANCE_NAME: how its processes are called.");
            key(text, "instance_name", &toml_text(self.slug.as_str()));
        }
    }

    fn sites(&self, text: &mut String) {
        comment(text, "Which of its sites this host serves: take out the others. `*` stands for all.");
        let names: Vec<String> = self.sites.iter().map(|name| toml_text(name)).collect();
        key(text, "sites", &format!("[{{ rule = \"include\", select = [{}] }}]", names.join(", ")));
        if !self.unbracketed.is_empty() {
            comment(
                text,
                "Files for every host, as they have no [site] in their names: take out what is not for this one, such as a catch-all whose certificate it does not have.",
            );
            let names: Vec<String> = self.unbracketed.iter().map(|name| toml_text(name)).collect();
            key(text, "unbracketed", &format!("[{}]", names.join(", ")));
        }
    }

    fn systemd(&self, text: &mut String, by: &str, steps: &[Step], units: &[Unit]) {
        comment(text, &format!("By {by}: these commands make a release, and these units run it."));
        key(text, "recipe", "\"systemd\"");
        comment(
            text,
            &format!(
                "TODO: write these units, with User={} and WorkingDirectory={}/current",
                self.user(),
                quoted(&self.path.to_string_lossy())
            ),
        );
        for unit in units {
            comment(text, &format!("  {}: {}", unit.name, quoted(&unit.command)));
        }
        let names: Vec<String> = units.iter().map(|unit| toml_text(unit.name.as_str())).collect();
        key(text, "units", &format!("[{}]", names.join(", ")));
        self::steps(text, steps);
    }

    fn kept(&self, text: &mut String, kind: &Kind) {
        let shared = quoted(&self.path.join("shared").to_string_lossy());
        if let Kind::Preset(preset) = kind {
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

    fn remains(&self, text: &mut String, kind: &Kind) {
        text.push('\n');
        let preset = match kind {
            Kind::Preset(preset) => Some(*preset),
            _ => None,
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
        } else if !matches!(kind, Kind::NginxSites(_)) && preset.is_none() {
            let of_recipe = match kind {
                Kind::Proposed { proposal, .. } => proposal.health.as_deref(),
                _ => None,
            };
            comment(
                text,
                "TODO: how to see that a release is alive. Without a check only a failing command fails a run.",
            );
            key(text, "# health", of_recipe.unwrap_or("[{ http = \"http://127.0.0.1:3000/\" }]"));
        }
        comment(
            text,
            "Then `durhack-deployer setup`, as root, where the package is installed: it allows what this needs. And a webhook at GitHub:",
        );
        comment(text, "`durhack-deployer webhook create` makes it; docs/webhooks.md says how by hand.");
    }
}

fn proposed(text: &mut String, recipe: &str, proposal: &Proposal) {
    comment(text, &quoted(&proposal.why));
    key(text, "recipe", &toml_text(recipe));
    for line in &proposal.lines {
        match line {
            Line::Comment(line) => comment(text, &quoted(line)),
            Line::Key(name, value) => key(text, name, value),
        }
    }
}

fn steps(text: &mut String, steps: &[Step]) {
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
    let _ = writeln!(text, "# {line}");
}

/// A text of others', for a comment.
fn quoted(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') { ' ' } else { c }
    };
    text.chars().map(visible).take(QUOTED_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::UnitName;

    #[test]
    fn what_a_repository_says_stays_in_its_comment() {
        let unit = Unit {
            name: UnitName::parse("app-web.service").unwrap(),
            command: "x\n[deployments.evil]\u{85}\u{2028}\u{1b}[2J".into(),
        };
        let kind = Kind::Systemd { by: "Procfile".into(), steps: Vec::new(), units: vec![unit] };
        let (slug, repository) = (Slug::parse("app").unwrap(), RepositoryName::parse("a/b").unwrap());
        let page = Page {
            slug: &slug,
            repository: &repository,
            is_named: true,
            clone_url: None,
            branch: &BranchName::parse("a\"b").unwrap(),
            path: Path::new("/srv/a\nb\u{7f}\"c"),
            sites: &[],
            unbracketed: &["catch-all.nginxconf".to_owned()],
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
