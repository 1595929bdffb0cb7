use super::proposal;
use crate::admin::init::kind::{self, RepositoryKind};
use crate::config::Layout;
use crate::git::commit_tree::{File, Tree};
use crate::plan::facts::{Facts, PlanPurpose};
use crate::plan::proposal::{Evidence, Line, Subject};
use crate::plan::recipes::{plan, sample};

const RECIPE: &str = "recipe = \"static\"\n";

/// The steps between the export and the clean-up, without how they are undone.
fn made(keys: &str, files: &[&str], package: Option<&str>) -> Vec<String> {
    sample::with_facts(&format!("{RECIPE}{keys}"), Layout::Releases, files, |facts| {
        let file = || File { mode: "100644".into(), content: "a".into(), bytes: Some(1) };
        let paths = files.iter().copied().chain(package.map(|_| "package.json"));
        let texts = package.map(|text| ("package.json".to_owned(), text.to_owned()));
        let tree = Tree::new(paths.map(|path| (path.to_owned(), file()))).with_texts(texts);
        let steps = plan(&Facts { tree: &tree, ..facts.clone() }).steps;
        let steps =
            steps.into_iter().filter(|step| !["export", "activate", "prune"].contains(&step.name.as_str()));
        steps.map(|step| format!("{}: {}", step.name, step.action.shown())).collect()
    })
}

#[test]
fn what_is_built_and_required_for_each_configuration() {
    const BUILDS: &str = r#"{"scripts": {"build": "vite build"}}"#;
    const DIST: &str = "output: require /srv/app/releases/2/dist";
    let npm = ["install: npm ci --include=dev --no-audit --no-fund", "build: npm run build", DIST];
    let pnpm = "install: pnpm install --frozen-lockfile --prod=false --config.confirmModulesPurge=false";
    for (keys, files, package, expected) in [
        // As it lies there.
        ("", &["index.html"][..], None, &[][..]),
        ("", &["index.html"], Some("{}"), &[]),
        ("output = \"site\"", &["site/index.html"], None, &["output: require /srv/app/releases/2/site"]),
        ("build = []", &["package-lock.json"], Some(BUILDS), &[]),
        // As its package says.
        ("", &["package-lock.json"], Some(BUILDS), &npm),
        ("", &["pnpm-lock.yaml"], Some(BUILDS), &[pnpm, "build: pnpm run build", DIST]),
        (
            "output = \"out\"",
            &["package-lock.json"],
            Some(BUILDS),
            &[npm[0], npm[1], "output: require /srv/app/releases/2/out"],
        ),
        // As the operator says.
        ("build = [\"hugo\", \"--minify\"]", &["hugo.toml"], Some(BUILDS), &["hugo: hugo --minify", DIST]),
        (
            "build = [[\"npm\", \"ci\"], { shell = \"npm run site\", name = \"site\" }]\noutput = \"public\"",
            &[],
            None,
            &["npm: npm ci", "site: npm run site", "output: require /srv/app/releases/2/public"],
        ),
        ("publish = [\"site\"]", &["site/index.html"], None, &["publish: link site -> current/site"]),
    ] {
        assert_eq!(made(keys, files, package), expected, "{keys} {files:?} {package:?}");
    }
}

#[test]
fn a_rollback_builds_nothing_and_serves_the_old_files() {
    let keys = format!("{RECIPE}build = \"make\"\npublish = [\"dist\"]");
    let names = |purpose| {
        sample::with_facts(&keys, Layout::Releases, &[], |facts| {
            let steps = plan(&Facts { purpose, ..facts.clone() }).steps;
            steps.into_iter().map(|step| step.name).collect::<Vec<_>>()
        })
    };
    assert_eq!(names(PlanPurpose::Deploy), ["export", "make", "output", "activate", "publish", "prune"]);
    assert_eq!(names(PlanPurpose::Rollback), ["activate", "publish"]);
}

/// What an operator's command reads, nobody knows: it runs at each push. Of what the repository says, the same files make the same site.
#[test]
fn only_what_the_repository_says_has_a_digest() {
    for (keys, is_known) in [("", true), ("build = []", true), ("build = \"date > index.html\"", false)] {
        let inputs = sample::with_facts(&format!("{RECIPE}{keys}"), Layout::Releases, &["a"], |facts| {
            plan(facts).inputs
        });
        assert_eq!(inputs.is_some(), is_known, "{keys}");
    }
}

#[test]
fn a_site_is_proposed_where_nothing_else_is_meant() {
    let vite = r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "5"}}"#;
    for (files, expected) in [
        (&[("index.html", "")][..], Some((Evidence::Content, None))),
        (&[("README.md", "")], None),
        (&[("package.json", vite), ("index.html", "")], Some((Evidence::Product, Some("\"dist\"")))),
        (
            &[(
                "package.json",
                r#"{"scripts": {"build": "x"}, "dependencies": {"@11ty/eleventy": "3", "vite": "5"}}"#,
            )],
            Some((Evidence::Product, Some("\"_site\""))),
        ),
        // A build of what is no site, and one that is not built.
        (&[("package.json", r#"{"scripts": {"build": "tsc"}}"#), ("index.html", "")], None),
        (&[("package.json", r#"{"devDependencies": {"vite": "5"}}"#)], None),
        (&[("package.json", "not json"), ("index.html", "")], None),
        // Servers.
        (
            &[(
                "package.json",
                r#"{"scripts": {"build": "x"}, "dependencies": {"vite": "5", "express": "4"}}"#,
            )],
            None,
        ),
        (
            &[(
                "package.json",
                r#"{"scripts": {"build": "x", "start": "node x.js"}, "dependencies": {"vite": "5"}}"#,
            )],
            None,
        ),
        (&[("package.json", vite), ("composer.json", "{}")], None),
        (&[("index.html", ""), ("requirements.txt", "")], None),
    ] {
        let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
        let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        let tree = Tree::new(files.iter().map(|(path, _)| ((*path).to_owned(), file()))).with_texts(texts);
        let subject = Subject { tree: &tree, slug: "app", path: "/srv/app".as_ref(), user: "app-app" };
        let found = proposal::of(&subject).map(|proposal| {
            let output = proposal.lines.iter().find_map(|line| match line {
                Line::Key("output", value) => Some(value.clone()),
                _ => None,
            });
            (proposal.evidence, output)
        });
        let expected = expected.map(|(evidence, output)| (evidence, output.map(str::to_owned)));
        assert_eq!(found, expected, "{files:?}");
    }
}

/// What a repository has beside a site decides: whatever an older recipe was proposed for, it still is.
#[test]
fn a_recipe_for_which_more_speaks_is_proposed() {
    const VITE: &str = r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "5"}}"#;
    let index = ("index.html", "");
    for (files, expected) in [
        (&[index][..], "static"),
        (&[("package.json", VITE), index], "static"),
        (&[index, ("Procfile", "web: x\n"), ("package.json", VITE)], "systemd"),
        (&[index, ("ecosystem.config.js", ""), ("package.json", VITE)], "pm2"),
        (&[index, ("production/[a.org].conf", "")], "nginx-sites"),
        (&[index, ("server/go.mod", ""), ("client/package.json", VITE)], "go-static"),
        (&[index, ("go.mod", ""), ("package.json", VITE)], "systemd"),
        (&[index, ("uv.lock", ""), ("uwsgi.ini", "")], "uv-uwsgi"),
        (&[index, ("package.json", r#"{"scripts": {"build": "tsc"}}"#)], "steps"),
        (&[index, ("hugo.toml", "")], "steps"),
        // A build that nobody understands: the sources would be live.
        (&[index, ("Dockerfile", "")], "nothing"),
    ] {
        let file = || File { mode: "100644".into(), content: String::new(), bytes: Some(1) };
        let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        let tree = Tree::new(files.iter().map(|(path, _)| ((*path).to_owned(), file()))).with_texts(texts);
        let subject = Subject { tree: &tree, slug: "app", path: "/srv/app".as_ref(), user: "app-app" };
        let found = match kind::of(&subject, None) {
            RepositoryKind::Proposed(proposal) => proposal.recipe,
            _ => "nothing",
        };
        assert_eq!(found, expected, "{files:?}");
    }
}
