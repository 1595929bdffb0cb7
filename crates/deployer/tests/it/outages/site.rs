//! One repository with its deployments, following its schedule; it keeps what the branches were, and when.

use super::schedule::{Fate, Schedule, Step};
use crate::support::configuration::{Deployment, text};
use crate::support::process::{command, succeed};
use crate::support::push::{Delivery, NO_COMMIT};
use crate::support::record::Comparison;
use crate::support::repository::Repository;
use crate::support::world::World;
use durhack_deployer::base::clock::now_ms;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

/// Branches by their numbers in a schedule.
const BRANCHES: [&str; 2] = ["main", "next"];

/// What a branch was from some moment on.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// None: it was not there.
    pub commit: Option<usize>,
    /// Not before (Unix milliseconds).
    pub begins_ms: i64,
    /// It was when this had come.
    pub begun_ms: i64,
}

pub struct Site {
    pub schedule: Schedule,
    repository: Repository,
    /// The commits' ids by their numbers.
    pub commits: Vec<String>,
    /// By branch, oldest first.
    pub heads: Vec<Vec<Head>>,
    /// To arrive after the next one.
    next_but_one: Vec<Delivery>,
    /// To arrive when everything is over.
    late: Vec<Delivery>,
    deliveries: u64,
}

impl Site {
    pub fn new(world: &World, schedule: Schedule) -> Self {
        let repository = world.repository(&format!("acme/site-{}", schedule.seed));
        let commits = import(world, &repository, &schedule);
        for commit in &commits {
            world.github.add_commit(&repository.name, commit);
        }
        let heads = vec![Vec::new(); schedule.branches];
        Self {
            schedule,
            repository,
            commits,
            heads,
            next_but_one: Vec::new(),
            late: Vec::new(),
            deliveries: 0,
        }
    }

    /// The name of a branch's deployment.
    pub fn slug(&self, branch: usize) -> String {
        format!("site-{}-{}", self.schedule.seed, BRANCHES[branch])
    }

    /// Its deployments. What goes live is written down outside of the releases.
    pub fn deployments(&self, world: &World) -> Vec<Deployment> {
        let clone_url = format!("file://{}/{}.git", reachable(world).display(), self.repository.name);
        // GitHub lets each token write 500 times an hour only, which all of a batch together would.
        let token = format!("github_pat_of_{}", self.schedule.seed);
        world.github.add_token(&token);
        let token_file = world.root().join(&token);
        let file = fs_err::OpenOptions::new().write(true).create(true).mode(0o600).open(&token_file);
        file.and_then(|mut file| file.write_all(token.as_bytes())).expect("the world is writable");
        let deployment = |branch: usize| {
            let slug = self.slug(branch);
            let line = format!("echo $DEPLOYER_COMMIT >> {}", went_live_file(world, &slug).display());
            world
                .deployment(&slug, &self.repository)
                .with("branch", text(BRANCHES[branch]))
                .with("clone_url", text(&clone_url))
                .with("github_token_file", text(&token_file.to_string_lossy()))
                .step("build", "build", "test ! -e broken")
                .step("verify", "write down", &line)
        };
        (0..self.schedule.branches).map(deployment).collect()
    }

    /// The numbers of the commits that went live, oldest first.
    pub fn went_live(&self, world: &World, branch: usize) -> Vec<usize> {
        let written = fs_err::read_to_string(went_live_file(world, &self.slug(branch))).unwrap_or_default();
        written.lines().map(|line| self.number_of(line).expect("only its commits were deployed")).collect()
    }

    /// The number of a commit.
    pub fn number_of(&self, id: &str) -> Option<usize> {
        self.commits.iter().position(|commit| commit == id)
    }

    /// The number of the commit that is live.
    pub fn live(&self, world: &World, branch: usize) -> Option<usize> {
        world.live(&self.slug(branch), "number")?.parse().ok()
    }

    /// The head of a branch; None where it is not there.
    pub fn head(&self, branch: usize) -> Option<usize> {
        self.heads[branch].last().and_then(|head| head.commit)
    }

    /// The head of a branch, if it can be live.
    pub fn good_head(&self, branch: usize) -> Option<usize> {
        self.head(branch).filter(|head| !self.schedule.commits[*head].broken)
    }

    /// Whether its branches were compared after a moment (Unix milliseconds), and nothing was found to do.
    pub fn was_compared(&self, world: &World, since_ms: i64) -> bool {
        let compared = |branch| {
            let file = world.state().join("compared").join(format!("{}.json", self.slug(branch)));
            let found: Option<Comparison> = serde_json::from_slice(&fs_err::read(file).ok()?).ok();
            found.filter(|found| found.at_ms > since_ms && !found.finding.contains("queued"))
        };
        (0..self.schedule.branches).all(|branch| compared(branch).is_some())
    }

    /// What GitHub was told of a commit's deployment from a branch, oldest first: state and description.
    pub fn states(&self, world: &World, branch: usize, commit: usize) -> Vec<(String, String)> {
        let statuses = world.github.statuses(&self.repository.name, &self.commits[commit]);
        let ours = statuses
            .into_iter()
            .filter(|status| status.context.ends_with(&format!("/{}", self.slug(branch))));
        ours.map(|status| (status.state, status.description)).collect()
    }

    /// A branch moves, and what GitHub sends meets its fate.
    pub fn move_branch(&mut self, world: &World, branch: usize, head: Option<usize>, fate: Fate) {
        let before = self.head(branch).map_or(NO_COMMIT, |commit| &self.commits[commit]).to_owned();
        let after = head.map_or(NO_COMMIT, |commit| &self.commits[commit]).to_owned();
        let reference = format!("refs/heads/{}", BRANCHES[branch]);
        let begins_ms = now_ms();
        self.repository.set_reference(&reference, &after);
        self.heads[branch].push(Head { commit: head, begins_ms, begun_ms: now_ms() });
        let delivery = self.delivery(&reference, &before, &after, fate == Fate::DaysLate);
        match fate {
            Fate::Dropped => return,
            Fate::AfterTheNext => return self.next_but_one.push(delivery),
            Fate::Late | Fate::DaysLate => return self.late.push(delivery),
            Fate::Arrives => send(world, &delivery),
            Fate::Doubled => [&delivery, &delivery].into_iter().for_each(|delivery| send(world, delivery)),
            Fate::Replayed => {
                [&delivery, &delivery.replayed()].into_iter().for_each(|delivery| send(world, delivery));
            }
        }
        self.next_but_one.drain(..).for_each(|delivery| send(world, &delivery));
    }

    /// What has still to arrive.
    pub fn take_late(&mut self) -> Vec<Delivery> {
        self.next_but_one.drain(..).chain(self.late.drain(..)).collect()
    }

    /// Each says when it was pushed: no two are the same, as at GitHub.
    fn delivery(&mut self, reference: &str, before: &str, after: &str, is_old: bool) -> Delivery {
        let delivery = Delivery::push(&self.repository.name, reference, before, after);
        let mut payload: Value = serde_json::from_slice(&delivery.body).expect("a payload is JSON");
        self.deliveries += 1;
        let age_seconds = if is_old { 4 * 24 * 3600 } else { 0 };
        let pushed_at = now_ms() / 1000 - age_seconds;
        payload["repository"]["pushed_at"] = json!(pushed_at.unsigned_abs() + self.deliveries);
        Delivery::of("push", &payload)
    }

    /// What its step of a round says, less the waiting.
    pub fn step(&self, round: usize) -> Step {
        self.schedule.steps[round]
    }
}

/// Sends it as GitHub does: to a server that may not be there. Then it is lost.
pub fn send(world: &World, delivery: &Delivery) {
    let answer = delivery.signed(crate::support::world::SECRET).send_to_mortal(world.address());
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 202), "{answer:?}");
}

/// Where the daemon finds the repositories: a link, which can be taken away.
pub fn reachable(world: &World) -> PathBuf {
    world.root().join("reachable")
}

fn went_live_file(world: &World, slug: &str) -> PathBuf {
    world.root().join(format!("{slug}.went-live"))
}

/// Makes all commits of a schedule at once, and no branch.
fn import(world: &World, repository: &Repository, schedule: &Schedule) -> Vec<String> {
    let mut stream = String::new();
    let marks = world.root().join("marks");
    for (number, commit) in schedule.commits.iter().enumerate() {
        let mut line = |line: String| writeln!(stream, "{line}").expect("a String takes everything");
        line(format!("commit refs/import/{number}\nmark :{}", number + 1));
        line(format!("committer Ada <ada@example.org> {} +0000\ndata 0", 1_700_000_000 + number));
        for (place, parent) in commit.parents.iter().enumerate() {
            line(format!("{} :{}", if place == 0 { "from" } else { "merge" }, parent + 1));
        }
        let content = number.to_string();
        line(format!("deleteall\nM 100644 inline number\ndata {}\n{content}", content.len()));
        if commit.broken {
            line("M 100644 inline broken\ndata 0".to_owned());
        }
    }
    let file = world.root().join("import");
    fs_err::write(&file, stream).expect("the world is writable");
    let mut import = command("git", &world.root().join("home"));
    import.current_dir(repository.bare()).args(["fast-import", "--quiet"]);
    import.arg(format!("--export-marks={}", marks.display()));
    succeed(import.stdin(fs_err::File::open(file).expect("just written").into_parts().0));
    let marks = fs_err::read_to_string(marks).expect("git has written it");
    let mut commits: Vec<(usize, String)> = marks
        .lines()
        .filter_map(|line| line.strip_prefix(':')?.split_once(' '))
        .map(|(mark, id)| (mark.parse().expect("a number"), id.to_owned()))
        .collect();
    commits.sort();
    commits.into_iter().map(|(_, id)| id).collect()
}
