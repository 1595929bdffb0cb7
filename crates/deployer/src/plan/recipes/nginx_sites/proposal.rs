//! Sites of nginx that a repository holds, as `init` proposes them.

use crate::git::commit_tree::Tree;
use crate::plan::proposal::{Evidence, Line, Proposal, Subject, toml_list};

/// Sites of a repository, at most.
const SITES_MAX: usize = 200;

/// Where a file of production is named after a site.
pub fn of(subject: &Subject<'_>) -> Option<Proposal> {
    if site_names(subject.tree).is_empty() {
        return None;
    }
    let why = "It has production/[...].nginxconf: sites of nginx, with certificates.";
    let proposal = Proposal::new("nginx-sites", Evidence::OwnFile, why);
    Some(Proposal { lines: lines(subject), is_whole: true, health: None, ..proposal })
}

/// Which of its sites and of its other files this host gets.
pub fn lines(subject: &Subject<'_>) -> Vec<Line> {
    let names = toml_list(&site_names(subject.tree));
    let mut lines = vec![
        Line::Comment("Which of its sites this host serves: take out the others. `*` stands for all.".into()),
        Line::Key("sites", format!("[{{ rule = \"include\", select = {names} }}]")),
    ];
    let unbracketed = unbracketed_names(subject.tree);
    if !unbracketed.is_empty() {
        let what = "Files for every host, as they have no [site] in their names: take out what is not for this one, such as a catch-all whose certificate it does not have.";
        lines.extend([Line::Comment(what.into()), Line::Key("unbracketed", toml_list(&unbracketed))]);
    }
    lines
}

/// The names of the sites: `production/[example.org].nginxconf`.
fn site_names(tree: &Tree) -> Vec<String> {
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let names = tree.files().filter_map(|(path, _)| {
        let file = path.strip_prefix("production/")?.strip_prefix('[')?;
        let (name, rest) = file.split_once(']')?;
        (matches!(rest, ".conf" | ".nginxconf") && plain(name)).then(|| name.to_owned())
    });
    names.take(SITES_MAX).collect()
}

/// Files of sites without a site in their names, which are for every host where nobody says otherwise; none where there are more, or others,
/// than can be named one by one.
fn unbracketed_names(tree: &Tree) -> Vec<String> {
    let is_plain =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_/".contains(&byte));
    let is_of_sites = |name: &str| name.ends_with(".conf") || name.ends_with(".nginxconf");
    let names = tree.files().filter_map(|(path, _)| path.strip_prefix("production/"));
    let names = names.filter(|name| !name.contains('[') && !name.ends_with(".md") && !name.contains("/."));
    let names: Vec<String> = names.filter(|name| !name.starts_with('.')).map(str::to_owned).collect();
    let all_can_be_named =
        names.len() <= SITES_MAX && names.iter().all(|name| is_plain(name) && is_of_sites(name));
    if all_can_be_named { names } else { Vec::new() }
}
