//! `nginx-sites`: sites out of a repository for the host's nginx, with certificates.
//!
//! The configuration is tested aside, and certificates are obtained, before anything that is live changes. What is installed is undone
//! from a backup, byte for byte, and not by installing the old release again: what was there may not have been ours. What a
//! site serves out of the repository (`html/`) follows the link `current`.

mod proposal;

use crate::config::Phase;
use crate::config::keys::Default::{Required, Value};
use crate::config::keys::KeyKind::{Choice, Tables};
use crate::config::keys::{Key, Section, TEXTS};
use crate::config::preset::Preset;
use crate::config::reading::diagnostics::Severity;
use crate::config::reading::raw::Node;
use crate::config::reading::reader::TableReader;
use crate::config::reading::values::{checked_text, choice, filled_text, list};
use crate::config::recipe::{Descriptor, Recipe, Sample, Sites, Source};
use crate::plan::Action;
use crate::plan::builder::{Part, UndoneBy};
use crate::plan::facts::{Facts, Target};
use crate::plan::proposal::{Line, Proposal, Subject};
use crate::plan::recipe::Planner;
use crate::steps::nginx::selection::{SiteRule, SitesSettings};
use crate::steps::nginx::{NginxWork, SitesStep, own_site, selection};

/// Sites out of a repository become files of the host's nginx.
#[derive(Debug)]
pub struct NginxSites;

/// The keys of `[[deployments.SLUG.sites]]`, in the order in which the reference has them.
static SITE: Section = Section {
    meaning: "One rule.",
    keys: &[
        Key::new(
            "rule",
            Choice(&["include", "exclude"]),
            Required,
            r#""include""#,
            "What happens to the selected sites.",
        ),
        Key::new(
            "select",
            TEXTS,
            Required,
            r#"["durhack.com"]"#,
            "Names of sites, or `*` for all. Nothing else is a pattern.",
        ),
    ],
};

static DESCRIPTOR: Descriptor = Descriptor {
    name: "nginx-sites",
    meaning: "nginx sites out of a repository, with certificates.",
    keys: &[
        Key::new(
            "sites",
            Tables(&SITE),
            Required,
            "",
            "Which sites of the repository this host serves: rules, of which the last that matches wins; none matches: not served. `sites = []` serves none.",
        ),
        Key::new(
            "unbracketed",
            TEXTS,
            Value(r#"["*"]"#),
            r#"["catch-all.nginxconf", "status-codes.nginxconf"]"#,
            "Which of the files without `[site]` in their names this host gets: paths below `production/`, or `*` for all.",
        ),
        Key::new(
            "sites_allow",
            TEXTS,
            Value("[]"),
            r#"["/data2/www"]"#,
            "What sites may say beside the list in docs/reference/recipes/nginx-sites.md: names of nginx's directives, then allowed with any arguments, and directories from which sites may serve. Many directives make whoever can push to the repository root: `config check` says what each entry gives away. With `privileges = \"helper\"`, `privileged.toml` must hold the same entries.",
        ),
    ],
    read,
    sample: Sample {
        slug: "nginx",
        repository: "ducompsoc/durhack-nginx",
        path: "/srv/durhack-nginx",
        required: &[],
    },
    presets: &[Preset {
        repository: "ducompsoc/durhack-nginx",
        recipe: "nginx-sites",
        shared_files: &[],
        shared_dirs: &["local-live"],
        packages: &[],
        migrates_before_build: false,
        requires_instance_name: false,
        ports: &[],
    }],
    // Of nginx's files the Python deployer's are links into the work tree: changed in place, it would be live before any nginx has
    // tested it.
    needs_releases: Some(
        "sites cannot be deployed in place: what is linked into the work tree would be live untested",
    ),
    runs_as_deployer_because: None,
    digest_name: "nginx-sites",
};

fn read(table: &TableReader<'_>, _source: &Source<'_>) -> Recipe {
    let unbracketed = table.value("unbracketed", list(filled_text)).unwrap_or_default();
    let settings = SitesSettings {
        rules: table.tables("sites").iter().map(site_rule).collect(),
        unbracketed,
        allowed: sites_allow(table),
    };
    let included = settings.rules.iter().filter(|rule| rule.include);
    let domains = included.flat_map(|rule| &rule.select).filter(|name| name.contains('.'));
    let sites = Sites { domains: domains.cloned().collect(), allowed: settings.allowed.clone() };
    Recipe { sites: Some(sites), ..Recipe::new(&DESCRIPTOR, settings) }
}

fn site_rule(table: &TableReader<'_>) -> SiteRule {
    SiteRule {
        include: table.value("rule", choice(&[("include", true), ("exclude", false)])).unwrap_or_default(),
        select: table.value("select", list(filled_text)).unwrap_or_default(),
    }
}

/// What each entry gives away is said as a warning, wherever the configuration is checked.
fn sites_allow(table: &TableReader<'_>) -> Vec<String> {
    let entry = |node: &Node| {
        checked_text(node, |text| {
            nginx_policy::judge_allowance(text).map(|given_away| (text.to_owned(), given_away))
        })
    };
    let entries = table.value("sites_allow", list(entry)).unwrap_or_default();
    for (_, given_away) in &entries {
        table.report_at_key(
            "sites_allow",
            Severity::Warning,
            given_away,
            "leave it out unless you trust everybody who can push to this repository with that",
        );
    }
    entries.into_iter().map(|(entry, _)| entry).collect()
}

impl Planner for NginxSites {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn parts(&self, facts: &Facts<'_>, release: &Target) -> Vec<Part> {
        parts(facts, facts.settings(), release)
    }

    fn concerns<'a>(&self, _facts: &'a Facts<'_>) -> Box<dyn Fn(&str) -> bool + 'a> {
        Box::new(|path| !path.starts_with("development/"))
    }

    fn host_settings(&self, facts: &Facts<'_>) -> Option<Vec<u8>> {
        let settings = (&facts.host.nginx, &facts.host.certificates);
        Some(serde_json::to_vec(&settings).expect("settings serialise"))
    }

    fn propose(&self, subject: &Subject<'_>) -> Option<Proposal> {
        proposal::of(subject)
    }

    fn lines_of_preset(&self, subject: &Subject<'_>) -> Vec<Line> {
        proposal::lines(subject)
    }
}

fn parts(facts: &Facts<'_>, recipe: &SitesSettings, release: &Target) -> Vec<Part> {
    let deployment = facts.deployment;
    let selection = selection::select(facts.tree, recipe);
    let step = |work: NginxWork| {
        // Taking back needs the backup, and nothing of the release.
        let selection =
            if work == NginxWork::Restore { selection::Selection::default() } else { selection.clone() };
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
            allowed: recipe.allowed.clone(),
            deployments: facts.host.deployments.values().map(|other| other.path.clone()).collect(),
            own_host: own_site::host_of(&facts.host.origin).to_owned(),
        }))
    };
    vec![
        Part::beforehand(facts, "stage", step(NginxWork::Stage)),
        Part::beforehand(facts, "certificates", step(NginxWork::Certify)),
        Part::new(Phase::Switch, "install", step(NginxWork::Install))
            .undone_by(UndoneBy::By(step(NginxWork::Restore))),
    ]
}

#[cfg(test)]
mod tests {
    use crate::config::Layout;
    use crate::plan::facts::{Facts, PlanPurpose};
    use crate::plan::recipes::{plan, sample};

    const KEYS: &str = "recipe = \"nginx-sites\"\nsites = [{ rule = \"include\", select = [\"*\"] }]";

    #[test]
    fn a_plan_names_every_program_that_is_called() {
        let files = ["production/[a.org].conf", "snippets/x"];
        insta::assert_snapshot!(sample::steps(KEYS, Layout::Releases, &files), @r"
        fetch export: export 2222222 to releases/2
        build stage: test 2 files of production/ and snippets/ aside: /usr/sbin/nginx -T
        build certificates: certbot certonly where one of 1 site needs a certificate
        switch activate: link current -> releases/2
          back: link current -> releases/1
        switch install: install what differs of 2 files in /etc/nginx: /usr/sbin/nginx -T, /usr/sbin/nginx -t, systemctl reload nginx
          back: put back what was replaced in /etc/nginx: /usr/sbin/nginx -t, systemctl reload nginx
        clean prune: remove releases that are no longer kept
        ");
    }

    #[test]
    fn nothing_that_is_live_changes_before_the_stage_and_the_certificates() {
        let names = |purpose| {
            sample::with_facts(KEYS, Layout::Releases, &["production/[a.org].conf"], |facts| {
                let steps = plan(&Facts { purpose, ..facts.clone() }).steps;
                steps.into_iter().map(|step| step.name).collect::<Vec<_>>()
            })
        };
        let deployed = ["export", "stage", "certificates", "activate", "install", "prune"];
        assert_eq!(names(PlanPurpose::Deploy), deployed);
        assert_eq!(names(PlanPurpose::Rollback), deployed[1..5]);
    }
}
