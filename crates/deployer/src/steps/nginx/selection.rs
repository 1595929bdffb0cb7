//! Which files of a repository this host gets, and where each goes. Pure: from the commit's files and the configured rules.
//!
//! `production/` goes to `conf.d/`, `snippets/` to `snippets/`, whatever directories are below. A file `[site].nginxconf` or
//! `[site].conf` belongs to a site, and the rules decide; with `.disabled` behind it, the site is off: the file stays away. Files without
//! brackets are for every host, unless `unbracketed` names those that are for this one.

use crate::base::names::SiteName;
use crate::git::commit_tree::{File, Tree};
use serde::{Deserialize, Serialize};

/// Files that one repository may give to a host: more than any host can serve, and few enough to be read at once.
const FILES_MAX: usize = 2_000;

/// Stands for all names, as in the original.
const ALL: &str = "*";

/// Include or exclude rules over site names, the last match wins (`facts`: the original's `sites`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SitesSettings {
    pub rules: Vec<SiteRule>,
    /// Files without brackets that this host gets: paths below `production/`, or `*` for all.
    pub unbracketed: Vec<String>,
    /// What sites may say beside nginx_policy's list: names of directives, and directories that may be served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

/// One rule of `sites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SiteRule {
    /// `rule = "include"`, else exclude.
    pub include: bool,
    /// Site names, or `*` for all; no globbing.
    pub select: Vec<String>,
}

/// A file that this host gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedFile {
    /// In the repository: `production/[durhack.com].nginxconf`.
    pub source: String,
    /// In nginx's directory: `conf.d/[durhack.com].nginxconf`.
    pub target: String,
    /// Whose it is; None: everybody's.
    pub site: Option<SiteName>,
}

/// What was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// In the order of their names.
    pub files: Vec<WantedFile>,
    /// What cannot be deployed, and must not be passed over in silence.
    pub refused: Vec<String>,
    /// What is passed over.
    pub notes: Vec<String>,
}

/// Chooses among a commit's files.
pub fn select(tree: &Tree, settings: &SitesSettings) -> Selection {
    let mut selection = Selection::default();
    for (path, file) in tree.files() {
        let Some((directory, rest)) = place_of(path) else { continue };
        match judge(path, rest, file, directory == "conf.d", settings) {
            Judgement::Wanted(site) => {
                let (source, target) = (path.to_owned(), format!("{directory}/{rest}"));
                selection.files.push(WantedFile { source, target, site });
            }
            Judgement::Refused(why) => selection.refused.push(format!("{path}: {why}")),
            Judgement::Passed(why) => selection.notes.push(format!("{path}: {why}")),
            Judgement::NotOurs => {}
        }
    }
    if selection.files.len() > FILES_MAX {
        selection.refused.push(format!("{} files are too many: at most {FILES_MAX}", selection.files.len()));
    }
    selection
}

enum Judgement {
    Wanted(Option<SiteName>),
    Refused(&'static str),
    Passed(&'static str),
    NotOurs,
}

fn place_of(path: &str) -> Option<(&'static str, &str)> {
    let below = |from: &str| path.strip_prefix(from)?.strip_prefix('/');
    below("production")
        .map(|rest| ("conf.d", rest))
        .or_else(|| below("snippets").map(|rest| ("snippets", rest)))
}

fn judge(path: &str, rest: &str, file: &File, is_site: bool, settings: &SitesSettings) -> Judgement {
    let parts: Vec<&str> = rest.split('/').collect();
    let name = parts.last().copied().unwrap_or_default();
    if parts.iter().any(|part| part.starts_with('.') && !matches!(*part, "." | "..")) {
        return Judgement::NotOurs;
    }
    let bracketed = if is_site { site_of(name) } else { None };
    if let Some((site, enabled)) = &bracketed {
        match () {
            () if !is_included(&settings.rules, site) => return Judgement::NotOurs,
            () if !enabled => return Judgement::Passed("disabled"),
            () => {}
        }
    } else if is_prose(name) {
        return Judgement::Passed("text for people");
    } else if is_site && !is_chosen(rest, &settings.unbracketed) {
        return Judgement::NotOurs;
    }
    if path.contains('\u{fffd}') {
        return Judgement::Refused("its name is not UTF-8; rename it");
    }
    let plain = |part: &&str| !matches!(*part, "" | "." | "..") && !part.chars().any(char::is_control);
    if !parts.iter().all(plain) {
        return Judgement::Refused("its name has control characters or leads elsewhere; rename it");
    }
    match file.mode.as_str() {
        "120000" => return Judgement::Refused("it is a link; put the file itself there"),
        "160000" => return Judgement::Refused("it is a submodule; put the files themselves there"),
        _ => {}
    }
    match bracketed {
        None => Judgement::Wanted(None),
        Some((site, _)) => SiteName::parse(site)
            .map_or_else(|error| Judgement::Refused(error.reason), |site| Judgement::Wanted(Some(site))),
    }
}

/// `[site].conf`, `[site].nginxconf`, both also with `.disabled` behind: the site, and whether it is enabled.
fn site_of(name: &str) -> Option<(&str, bool)> {
    let (site, ending) = name.strip_prefix('[')?.rsplit_once("].")?;
    let enabled = match ending {
        "conf" | "nginxconf" => true,
        "conf.disabled" | "nginxconf.disabled" => false,
        _ => return None,
    };
    (!site.is_empty()).then_some((site, enabled))
}

/// The last rule that matches decides; where none does, the site is not this host's.
fn is_included(rules: &[SiteRule], site: &str) -> bool {
    let matches = |rule: &&SiteRule| rule.select.iter().any(|name| name == ALL || name == site);
    rules.iter().rev().find(matches).is_some_and(|rule| rule.include)
}

fn is_chosen(name: &str, unbracketed: &[String]) -> bool {
    unbracketed.iter().any(|chosen| chosen == ALL || chosen == name)
}

fn is_prose(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.ends_with(".md")
        || lower.ends_with(".txt")
        || lower.starts_with("readme")
        || lower.starts_with("license")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(include: bool, select: &[&str]) -> SiteRule {
        SiteRule { include, select: select.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn selected(paths: &[(&str, &str)], rules: Vec<SiteRule>, unbracketed: &[&str]) -> Selection {
        let file = |mode: &str| File { mode: mode.into(), content: "c".into(), bytes: Some(1) };
        let tree = Tree::new(paths.iter().map(|(mode, path)| ((*path).to_owned(), file(mode))));
        let unbracketed = unbracketed.iter().map(|name| (*name).to_owned()).collect();
        select(&tree, &SitesSettings { rules, unbracketed, allowed: Vec::new() })
    }

    fn targets(selection: &Selection) -> Vec<&str> {
        selection.files.iter().map(|file| file.target.as_str()).collect()
    }

    #[test]
    fn the_last_matching_rule_decides() {
        for (rules, expected) in [
            (vec![], &[][..]),
            (vec![rule(true, &["*"])], &["a.com", "b.com"]),
            (vec![rule(true, &["a.com"])], &["a.com"]),
            (vec![rule(true, &["*"]), rule(false, &["a.com"])], &["b.com"]),
            (vec![rule(false, &["a.com"]), rule(true, &["*"])], &["a.com", "b.com"]),
            (vec![rule(true, &["a.com"]), rule(false, &["*"]), rule(true, &["b.com"])], &["b.com"]),
            (vec![rule(true, &["*.com"])], &[]),
        ] {
            let found: Vec<&str> =
                ["a.com", "b.com"].into_iter().filter(|site| is_included(&rules, site)).collect();
            assert_eq!(found, expected, "{rules:?}");
        }
    }

    #[test]
    fn files_go_where_nginx_looks_for_them() {
        let repository = [
            ("100644", "production/[a.com].nginxconf"),
            ("100644", "production/[b.com].conf"),
            ("100644", "production/[c.com].nginxconf.disabled"),
            ("100644", "production/[other].nginxconf"),
            ("100644", "production/sub/[caf\u{e9}.org].nginxconf"),
            ("100644", "production/catch-all.nginxconf"),
            ("100644", "production/.gitkeep"),
            ("100644", "production/README.md"),
            ("100644", "snippets/tls/strong"),
            ("100644", "snippets/README.md"),
            ("100644", "html/index.html"),
            ("100644", "README.md"),
            ("120000", "production/[other].link"),
        ];
        let rules = || vec![rule(true, &["a.com", "b.com", "c.com", "caf\u{e9}.org"])];
        let chosen = selected(&repository, rules(), &["catch-all.nginxconf"]);
        assert_eq!(
            targets(&chosen),
            [
                "conf.d/[a.com].nginxconf",
                "conf.d/[b.com].conf",
                "conf.d/catch-all.nginxconf",
                "conf.d/sub/[caf\u{e9}.org].nginxconf",
                "snippets/tls/strong"
            ]
        );
        assert_eq!(chosen.refused, [""; 0]);
        assert_eq!(chosen.notes.len(), 3, "{:?}", chosen.notes);
        let none = selected(&repository, rules(), &[]);
        assert!(!targets(&none).contains(&"conf.d/catch-all.nginxconf"));
    }

    #[test]
    fn what_cannot_be_deployed_is_refused_aloud() {
        let all = || vec![rule(true, &["*"])];
        for (mode, path, why) in [
            ("120000", "production/[a].conf", "link"),
            ("160000", "snippets/module", "submodule"),
            ("100644", "production/[a\u{fffd}].conf", "UTF-8"),
            ("100644", "production/../../etc/x", "elsewhere"),
            ("100644", "snippets/a\nb", "control"),
            ("100644", "production/[-x].conf", "begin with -"),
            ("100644", "production/[..].conf", "begin with"),
        ] {
            let refused = selected(&[(mode, path)], all(), &["*"]);
            assert!(refused.files.is_empty() && refused.refused[0].contains(why), "{path}: {refused:?}");
        }
    }
}
