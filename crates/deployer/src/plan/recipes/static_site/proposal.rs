//! When `init` proposes a static site: where a generator of sites builds it, or where there is nothing to build at all.

use crate::git::commit_tree::Tree;
use crate::plan::installer;
use crate::plan::proposal::{Evidence, Proposal, Subject, toml_text};
use serde_json::Value;

/// Packages that build a site, and where each leaves it.
const GENERATORS: [(&str, &str); 8] = [
    ("astro", "dist"),
    ("@11ty/eleventy", "_site"),
    ("@docusaurus/core", "build"),
    ("react-scripts", "build"),
    ("@vue/cli-service", "dist"),
    ("gatsby", "public"),
    ("parcel", "dist"),
    // The last, as others bring it with them.
    ("vite", "dist"),
];

/// Packages that are, or bring, a server: what is built is not all of it.
const SERVERS: [&str; 14] = [
    "@astrojs/node",
    "@hapi/hapi",
    "@nestjs/core",
    "@remix-run/node",
    "@sveltejs/kit",
    "express",
    "fastify",
    "hono",
    "koa",
    "next",
    "nuxt",
    "restify",
    "socket.io",
    "ws",
];

/// Manifests of other languages: what they install or build is not known to be files alone.
const OTHERS: [&str; 8] = [
    "Cargo.toml",
    "Gemfile",
    "composer.json",
    "manage.py",
    "pyproject.toml",
    "requirements.txt",
    "setup.py",
    "uv.lock",
];

/// `None` where the repository could be more than files.
pub fn of(subject: &Subject<'_>) -> Option<Proposal> {
    let tree = subject.tree;
    if OTHERS.iter().any(|name| tree.has(name)) {
        return None;
    }
    match tree.text("package.json") {
        Some(package) => built(tree, package),
        None => tree.has("index.html").then(|| proposal(Evidence::Content, "It has index.html", "current")),
    }
}

fn built(tree: &Tree, package: &str) -> Option<Proposal> {
    let package: Value = serde_json::from_str(package).ok()?;
    let needs =
        |name: &str| ["dependencies", "devDependencies"].iter().any(|kind| package[kind].get(name).is_some());
    package["scripts"]["build"].as_str()?;
    let (generator, output) = GENERATORS.iter().find(|(name, _)| needs(name))?;
    let starts_itself = package["scripts"]["start"].as_str().is_some_and(|line| line.starts_with("node "));
    if starts_itself || SERVERS.iter().any(|name| needs(name)) {
        return None;
    }
    let by = installer::found(tree, "")?;
    let how = match by.by {
        Some(lock) => format!("Its packages are installed as {lock} says, and its script `build` is run."),
        None => "Its packages are installed, and its script `build` is run. Commit a lock file.".to_owned(),
    };
    let why = format!("Its package.json builds it with {generator}, and names no server");
    let proposal = proposal(Evidence::Product, &why, &format!("current/{output}"));
    let proposal = proposal.comment(how).comment("Where the build leaves the files.");
    Some(proposal.key("output", toml_text(output)))
}

fn proposal(evidence: Evidence, why: &str, root: &str) -> Proposal {
    let why = format!("{why}: files that a web server reads.");
    let served = format!("The web server's root is {root} below `path`.");
    let health = Some("[{ http = \"http://127.0.0.1/\", headers = { Host = \"www.example.org\" } }]");
    Proposal { health, ..Proposal::new("static", evidence, why) }.comment(served)
}
