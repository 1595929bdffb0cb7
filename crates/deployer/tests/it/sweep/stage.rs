//! A world in which a scenario is played again and again, each time with other deaths, and judged each time.

use super::kill::{self, Kill};
use super::scenario::{SLUG, Scenario, Version, restarted};
use crate::support::process::living_in;
use crate::support::push::Delivery;
use crate::support::record::Run;
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::{SECRET, World, files_under};
use durhack_deployer::store::{Authenticator, Release, ReleaseState, Store};
use std::path::{Path, PathBuf};

/// See the module. The daemon runs between two plays.
pub struct Stage<'a> {
    world: &'a mut World,
    scenario: Scenario,
    repository: Repository,
    /// What is live, and what was before it.
    live: Option<Version>,
    before: Option<Version>,
    versions: u32,
}

/// What the daemon is asked for in a play.
struct Wish {
    kind: Kind,
    /// What is live in the end.
    outcome: Option<Version>,
    /// The delivery's id, once it is known.
    id: Option<String>,
    acknowledged: bool,
}

enum Kind {
    /// A push of this version.
    Push(Box<Delivery>, Version),
    Rollback,
}

/// What the last daemon of a play writes down for the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    Nothing,
    Points,
    Calls,
}

impl<'a> Stage<'a> {
    /// Sets the scenario up; the daemon runs, and what has to be live is.
    pub fn set(world: &'a mut World, scenario: Scenario) -> Self {
        let repository = world.repository("acme/site");
        world.configure(&[scenario.deployment(world, &repository)]);
        let mut stage = Self { world, scenario, repository, live: None, before: None, versions: 0 };
        stage.world.start();
        for _ in 0..scenario.deploys_before() {
            stage.deploy_further();
        }
        stage
    }

    /// A push without any death, as after every play.
    pub fn deploy_further(&mut self) {
        let version = self.version(None);
        self.world.deploy(SLUG, &self.repository, &version.commit);
        self.now_live(Some(version));
        self.require_live();
    }

    /// Plays the scenario: the first daemons die like this, one after the other, and the last one lives. Then everything must be as
    /// if nobody had died. Gives what the last daemon was to write down, and how many of the kills came to pass.
    pub fn play(&mut self, kills: &[Kill], log: Log) -> (Vec<Kill>, usize) {
        let mut wish = self.wish();
        self.world.stop();
        let mut deaths = 0;
        for kill in kills {
            let daemon = kill.daemon(self.world);
            if self.world.launch(daemon).is_none() {
                self.ask(&mut wish);
            }
            deaths += usize::from(self.dies(kill, &wish));
        }
        self.live_on(log);
        if !wish.acknowledged && !self.is_stored(&wish) {
            self.ask(&mut wish);
            assert!(wish.acknowledged, "a daemon that lives accepts");
        }
        self.judge(&wish);
        (self.read_log(log), deaths)
    }

    fn version(&mut self, poison: Option<&str>) -> Version {
        self.versions += 1;
        Version::commit(&self.repository, &format!("version-{}", self.versions), poison)
    }

    fn now_live(&mut self, version: Option<Version>) {
        if version != self.live {
            self.before = std::mem::replace(&mut self.live, version);
        }
    }

    fn wish(&mut self) -> Wish {
        if self.scenario == Scenario::Rollback {
            return Wish {
                kind: Kind::Rollback,
                outcome: self.before.clone(),
                id: None,
                acknowledged: false,
            };
        }
        let version = self.version(self.scenario.poison());
        let delivery = self.repository.push_of(&version.commit);
        let id = Some(delivery.guid.clone());
        let outcome = if self.scenario.succeeds() { Some(version.clone()) } else { self.live.clone() };
        Wish { kind: Kind::Push(Box::new(delivery), version), outcome, id, acknowledged: false }
    }

    /// Asks, if that has not been acknowledged yet. The daemon may die meanwhile.
    fn ask(&mut self, wish: &mut Wish) {
        if wish.acknowledged {
            return;
        }
        match &wish.kind {
            Kind::Push(delivery, _) => {
                let answer = delivery.signed(SECRET).send_to_mortal(self.world.address());
                wish.acknowledged = answer.is_some_and(|answer| answer.status == 202);
            }
            Kind::Rollback => {
                let output = self.world.cli(&["rollback", SLUG, "--no-wait"]);
                let said = String::from_utf8_lossy(&output.stdout);
                wish.id = said
                    .strip_prefix("queued as ")
                    .and_then(|rest| rest.split(';').next())
                    .map(str::to_owned);
                wish.acknowledged = output.status.success();
            }
        }
    }

    /// Waits for the death. A point that was reached once is reached again; a call may be another thread's this time, and what
    /// was asked for may be done before it comes.
    fn dies(&mut self, kill: &Kill, wish: &Wish) -> bool {
        if matches!(kill, Kill::Point { .. }) {
            wait::until(&format!("the daemon to die at {kill}"), || self.world.has_died().then_some(()));
            return true;
        }
        let died = wait::until(&format!("the daemon to die at {kill}, or to be done"), || {
            if self.world.has_died() {
                return Some(true);
            }
            let done = wish.acknowledged && self.verdict(wish).is_some() && self.spooled().is_empty();
            (done && !self.world.has_died()).then_some(false)
        });
        if !died {
            self.world.kill();
        }
        died
    }

    fn live_on(&mut self, log: Log) {
        let file = self.log_file();
        let daemon = match log {
            Log::Nothing => return self.world.start(),
            Log::Points => kill::daemon_with_log_of_points(self.world, &file),
            Log::Calls => kill::daemon_with_log_of_calls(self.world, &file),
        };
        let ended = self.world.launch(daemon);
        assert!(ended.is_none(), "the daemon ended at start: {ended:?}");
    }

    fn log_file(&self) -> PathBuf {
        self.world.root().join("reached")
    }

    fn read_log(&mut self, log: Log) -> Vec<Kill> {
        if log == Log::Nothing {
            return Vec::new();
        }
        self.world.stop();
        let file = self.log_file();
        wait::until("strace to be gone", || living_in(self.world.root()).is_empty().then_some(()));
        let text = fs_err::read_to_string(&file).expect("it was written");
        fs_err::remove_file(&file).expect("it is ours");
        self.world.start();
        match log {
            Log::Calls => kill::calls_in(&text),
            _ => kill::points_in(&text),
        }
    }

    /// Whether a daemon that died before it answered had written the delivery down.
    fn is_stored(&self, wish: &Wish) -> bool {
        let Some(id) = &wish.id else { return false };
        let entries = self.spooled();
        !self.world.verdicts(id).is_empty()
            || entries.iter().any(|path| path.to_string_lossy().contains(id.as_str()))
    }

    /// What waits or is being worked on, in any spool.
    fn spooled(&self) -> Vec<PathBuf> {
        let mut files = files_under(&self.world.state().join("spool"));
        files.retain(|path| {
            let is_entry = path.extension().is_some_and(|extension| extension == "json");
            is_entry
                && !path
                    .components()
                    .any(|part| ["tmp", "attempts"].iter().any(|name| part.as_os_str() == *name))
        });
        files
    }

    /// The final verdict; there must never be two.
    fn verdict(&self, wish: &Wish) -> Option<String> {
        let verdicts = self.world.verdicts(wish.id.as_ref()?);
        assert!(verdicts.len() <= 1, "one verdict for the one deployment: {verdicts:#?}");
        verdicts.into_iter().map(|verdict| verdict.code).find(|code| code != "queued")
    }

    /// What must be so after every play, whoever died in it.
    fn judge(&mut self, wish: &Wish) {
        let succeeds = self.scenario.succeeds();
        let code = wait::until_told("the final verdict", || self.verdict(wish));
        assert_eq!(code, if succeeds { "deployed" } else { "failed" });
        let runs = self.world.settled(SLUG, 1);
        let ours: Vec<&Run> = runs.iter().filter(|run| run.delivery == wish.id).collect();
        let ends: Vec<&str> =
            ours.iter().map(|run| run.state.as_str()).filter(|state| *state != "undone").collect();
        assert_eq!(ends, [if succeeds { "succeeded" } else { "failed" }], "one end: {ours:#?}");
        wait::until("the spools to be empty", || {
            let left = files_under(&self.world.state().join("spool"));
            left.iter().all(|path| path.extension().is_none_or(|extension| extension != "json")).then_some(())
        });
        self.now_live(wish.outcome.clone());
        self.require_live();
        if let Kind::Push(_, version) = &wish.kind {
            let status = self.world.reported(&self.repository, &version.commit);
            assert_eq!(status.state, if succeeds { "success" } else { "failure" }, "{status:?}");
        }
        self.require_nothing_left(&runs);
    }

    /// What should be live is: on the disk, in the database, and restarted last.
    fn require_live(&self) {
        let Some(version) = &self.live else { return };
        assert_eq!(contents(&self.scenario.live_directory(self.world)), version.release(), "a whole release");
        let recorded = self.world.status_of(SLUG).live.expect("something is live");
        assert_eq!(recorded.commit, version.commit, "the record knows what is live");
        let live: Vec<Release> =
            self.releases().into_iter().filter(|release| release.state == ReleaseState::Live).collect();
        assert_eq!(live.len(), 1, "one release is live: {live:#?}");
        if !self.scenario.is_in_place() {
            let link =
                fs_err::read_link(self.scenario.live_directory(self.world)).expect("current is a link");
            assert_eq!(link.file_name().and_then(|name| name.to_str()), Some(live[0].name.as_str()));
        }
        let restarts = fs_err::read_to_string(restarted(self.world)).expect("something was restarted");
        assert_eq!(
            restarts.lines().last(),
            Some(version.commit.as_str()),
            "what runs is what is live:\n{restarts}"
        );
    }

    fn releases(&self) -> Vec<Release> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async {
            let record = self.world.state().join("record.sqlite");
            let store =
                Store::open(&format!("sqlite:{}", record.display()), Authenticator::new(&self.world.state()))
                    .expect("a path");
            let releases = store.releases(SLUG).await.expect("the record can be read");
            store.close().await;
            releases
        })
    }

    /// No process but the daemon's has anything of this world, nor the mark of one of its runs.
    fn require_nothing_left(&self, runs: &[Run]) {
        let daemon = format!("{}:", self.world.daemon_id());
        wait::until("nothing of the runs to be left", || {
            let others = living_in(self.world.root()).into_iter().filter(|line| !line.starts_with(&daemon));
            (others.filter(|line| !line.contains("strace ")).count() == 0).then_some(())
        });
        for run in runs {
            let marked = marked(&format!("DEPLOYER_RUN_MARK={}", run.id));
            assert!(marked.is_empty(), "processes of run {} are left: {marked:?}", run.id);
        }
    }
}

/// The files of a directory with their contents, sorted; without a `.git`.
fn contents(directory: &Path) -> Vec<(String, String)> {
    let directory = fs_err::canonicalize(directory).expect("something is live");
    let files = files_under(&directory).into_iter().filter(|path| path.is_file());
    let named = files.map(|path| {
        let name = path.strip_prefix(&directory).expect("it lies below").to_string_lossy().into_owned();
        let content = fs_err::read_to_string(&path).expect("it can be read");
        (name, content)
    });
    named.collect()
}

/// The processes that have this in their environment.
fn marked(assignment: &str) -> Vec<String> {
    let processes = fs_err::read_dir("/proc").expect("/proc is mounted").flatten();
    let environments = processes.map(|process| process.path().join("environ"));
    let is_marked = |path: &PathBuf| {
        let environment = fs_err::read(path).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == assignment.as_bytes())
    };
    environments.filter(is_marked).map(|path| path.display().to_string()).collect()
}
