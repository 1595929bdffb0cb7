//! The recipes. Each lies in one place: what it says of itself, its keys, and how it turns facts into a plan. Nobody else knows one by its
//! name. To add one: its directory, and its line in [`ALL`] (ARCHITECTURE.md, "How to add a recipe").

pub mod deployer;
pub mod go_static;
#[cfg(test)]
mod how_to;
pub mod nginx_sites;
pub mod pm2;
#[cfg(test)]
pub mod sample;
pub mod static_site;
pub mod steps;
pub mod systemd;
pub mod uv_uwsgi;

use crate::config::recipe::{Recipe, Reference};
use crate::plan::builder;
use crate::plan::facts::Facts;
use crate::plan::recipe::Planner;
use crate::plan::{Plan, input_digest};
pub use deployer::SELF_UPDATE;
use std::sync::LazyLock;

/// All of them, in the order in which they are shown. The first is what a deployment has that names none.
pub static ALL: &[&dyn Planner] = &[
    &steps::Steps,
    &systemd::Systemd,
    &nginx_sites::NginxSites,
    &pm2::Pm2,
    &pm2::PnpmPm2,
    &uv_uwsgi::UvUwsgi,
    &go_static::GoStatic,
    &static_site::StaticSite,
    &deployer::Deployer,
];

/// What may be written in a configuration, the recipes' keys among it.
pub static REFERENCE: LazyLock<Reference> =
    LazyLock::new(|| Reference::new(ALL.iter().map(|planner| planner.descriptor()).collect()));

/// What a deployment's recipe does.
pub fn planner(recipe: &Recipe) -> &'static dyn Planner {
    let is_it = |planner: &&&'static dyn Planner| planner.descriptor().name == recipe.name();
    *ALL.iter().find(is_it).expect("a configuration is read by the descriptors of these")
}

/// The plan of a deployment's recipe.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let planner = planner(&facts.deployment.recipe);
    let parts = |release: &_| planner.parts(facts, release);
    let plan = builder::plan(facts, planner.order(facts), planner.switch(facts), &parts);
    Plan { inputs: input_digest::digest(facts, planner), ..plan }
}

#[cfg(test)]
mod tests {
    use super::sample::with_facts;
    use super::*;
    use crate::config::Layout;
    use std::collections::BTreeSet;

    /// What doctor, setup and the checks before a run are told, for each recipe and what its keys change of it.
    #[test]
    fn what_each_recipe_asks_of_the_host() {
        let asked = |keys: &str| {
            with_facts(&format!("recipe = {keys}"), Layout::Releases, &[], |facts| {
                let recipe = &facts.deployment.recipe;
                let units: Vec<&str> = recipe.units.iter().map(|unit| unit.as_str()).collect();
                let mut said = format!("{} {:?}", recipe.programs.join(" "), recipe.starts);
                if !units.is_empty() {
                    said +=
                        &format!(" {}{}", if recipe.has_user_units { "user:" } else { "" }, units.join(" "));
                }
                said += &recipe.kept_by.map(|keeper| format!(" {keeper:?}")).unwrap_or_default();
                if let Some(sites) = &recipe.sites {
                    said += &format!(" sites:{} {}", sites.domains.join(" "), sites.allowed.join(" "));
                }
                said + &recipe.published.iter().map(|path| format!(" {}", path.display())).collect::<String>()
            })
        };
        const RUN: &str =
            "steps = [{ phase = \"build\", run = [\"make\"] }, { phase = \"build\", shell = \"x\" }]";
        for (keys, expected) in [
            (format!("\"steps\"\n{RUN}"), "make WhatCommandsStart"),
            (format!("\"systemd\"\nunits = [\"a.service\"]\n{RUN}"), "make systemctl Program a.service"),
            ("\"systemd\"\nunits = [\"a.service\"]\nuser_units = true".into(), "systemctl Program user:a.service"),
            (
                "\"nginx-sites\"\nsites = [{ rule = \"include\", select = [\"a.org\", \"*\"] }, { rule = \"exclude\", select = [\"b.org\"] }]\nsites_allow = [\"/data/www\"]".into(),
                " Nothing sites:a.org /data/www",
            ),
            ("\"pm2\"".into(), "node pm2 Program Pm2"),
            ("\"pm2\"\ninstaller = \"yarn\"".into(), "node pm2 yarn Program Pm2"),
            ("\"pnpm-pm2\"".into(), "node pm2 pnpm Program Pm2"),
            ("\"uv-uwsgi\"\nuwsgi_config_path = \"/etc/a.ini\"".into(), "uv uwsgi Program UwsgiEmperor"),
            ("\"go-static\"\npublish = [\"client/build\"]".into(), " Unstarted client/build"),
            ("\"go-static\"\nrestart = [\"x\"]".into(), " Program"),
            (
                "\"go-static\"\nclient = \"c\"\nserver = \"s\"\nunits = [\"a.service\"]".into(),
                "node go systemctl Program a.service",
            ),
            ("\"deployer\"".into(), "cargo Nothing"),
        ] {
            assert_eq!(asked(&keys), expected, "{keys}");
        }
    }

    /// Digests of releases are stored: other words for the same settings would build every release again.
    #[test]
    fn settings_are_written_into_digests_as_they_always_were() {
        for (keys, expected) in [
            (
                "\"uv-uwsgi\"\nuwsgi_config_path = \"/etc/a.ini\"",
                r#"{"uv-uwsgi":{"uwsgi_config_path":"/etc/a.ini","uwsgi_config":null,"migrate":null,"python":null}}"#,
            ),
            (
                "\"go-static\"\nrestart = [\"x\"]",
                r#"{"go-static":{"client":null,"client_build":null,"client_output":"client/build","server":null,"server_binary":"server/bin/server","units":[],"user":false,"restart":{"argv":["x"]},"publish":[]}}"#,
            ),
            (
                "\"nginx-sites\"\nsites = [{ rule = \"include\", select = [\"*\"] }]",
                r#"{"nginx-sites":{"rules":[{"include":true,"select":["*"]}],"unbracketed":["*"]}}"#,
            ),
        ] {
            let written = with_facts(&format!("recipe = {keys}"), Layout::Releases, &[], |facts| {
                facts.deployment.recipe.written()
            });
            assert_eq!(written, expected, "{keys}");
        }
    }

    #[test]
    fn recipes_do_not_get_into_each_others_way() {
        let all: Vec<_> = ALL.iter().map(|planner| planner.descriptor()).collect();
        let differ = |values: Vec<&str>| values.len() == values.iter().collect::<BTreeSet<_>>().len();
        assert!(differ(all.iter().map(|recipe| recipe.name).collect()));
        assert!(differ(all.iter().map(|recipe| recipe.sample.slug).collect()));
        assert!(differ(
            all.iter().flat_map(|recipe| recipe.presets).map(|preset| preset.repository).collect()
        ));
        for recipe in all {
            assert!(recipe.presets.iter().all(|preset| preset.recipe == recipe.name), "{}", recipe.name);
            assert!(differ(recipe.keys.iter().map(|key| key.name).collect()), "{}", recipe.name);
            assert!(recipe.meaning.ends_with('.'), "{}", recipe.name);
        }
    }

    #[test]
    fn presets_are_found_whatever_the_case() {
        let recipe = |name: &str| {
            let name = crate::base::names::RepositoryName::parse(name).unwrap();
            REFERENCE.preset(&name).map(|preset| preset.recipe)
        };
        assert_eq!(recipe("ducompsoc/durhack"), Some("pnpm-pm2"));
        assert_eq!(recipe("DUCompSoc/DurHack-Nginx"), Some("nginx-sites"));
        assert_eq!(recipe("somebody/durhack"), None);
    }
}
