//! From 0.1.0 to this version and back, with a run in progress.
//!
//! `upgrade/0.1.0.sql` and `upgrade/0.1.0.entry` are what the real 0.1.0 (the last commit without the migration `0003_signed_rows`) left when
//! it was killed with SIGKILL in a build: its whole database (`.dump` of sqlite3), and the name and contents of the entry in
//! `spool/site/claimed`. Before that it had deployed one commit, failed with the build of a second, failed to fetch, and had been killed in
//! an earlier try of the third. What differs from world to world stands there as `@...@`: see [`Place`].

use crate::support::gate::Gate;
use crate::support::process::{self, describe};
use crate::support::record::Run;
use crate::support::repository::Repository;
use crate::support::sqlite;
use crate::support::wait;
use crate::support::world::{World, files_under};
use regex::{Captures, Regex};
use sha2::{Digest as _, Sha256};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const DATABASE: &str = include_str!("upgrade/0.1.0.sql");

const ENTRY: &str = include_str!("upgrade/0.1.0.entry");

/// The migrations that 0.1.0 has.
const OF_0_1_0: usize = 2;

/// When the story of the files began, in the milliseconds that they count.
const STORY_BEGAN_MS: i64 = 75_356_000;

/// How long ago it began for the test.
const BEGAN_AGO_MS: i64 = 3_600_000;

/// The tables of 0.1.0, each with the columns that it reads. Text: NULL is one as well.
const ROWS: [(&str, &str); 5] = [
    (
        "runs",
        "id, deployment, repository, branch, commit_id, previous_commit, attempt, trigger_kind, requested_by, entry, delivery_id, state, cause, summary, plan, release, created_at_ms, started_at_ms, ended_at_ms, pid, boot_id",
    ),
    (
        "steps",
        "run_id, number, direction, phase, name, command, state, detail, started_at_ms, ended_at_ms, cause",
    ),
    ("releases", "deployment, name, path, commit_id, run_id, state, created_at_ms, live_at_ms, bytes"),
    (
        "deliveries",
        "id, entry, event, source, remote_address, received_at_ms, payload_sha256, repository, git_ref, commit_id, sender, redeliveries, last_redelivery_entry, dispatched_at_ms",
    ),
    ("verdicts", "delivery_id, deployment, code, sentence, run_id, decided_at_ms"),
];

/// A world in which 0.1.0 has died.
struct Place<'w> {
    world: &'w mut World,
    repository: Repository,
    /// Left behind by whoever undoes the build.
    undone: PathBuf,
    commits: [String; 3],
    database: PathBuf,
    /// By how much all of it happened later in this world.
    later_ms: i64,
}

impl<'w> Place<'w> {
    fn of_0_1_0(world: &'w mut World) -> Self {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        gate.open();
        let undone = world.root().join("undone");
        world.configure(&[world.deployment("site", &repository).step_of(&gate.step_undone_by(&undone))]);
        let commits = [("one", "first"), ("broken", "second"), ("three", "third")]
            .map(|(text, message)| repository.commit(&[("index.html", text)], message));
        let later_ms = durhack_deployer::base::clock::now_ms() - BEGAN_AGO_MS - STORY_BEGAN_MS;
        let database = world.state().join("record.sqlite");
        let place = Self { world, repository, undone, commits, database, later_ms };
        let releases = place.world.path_of("site").join("releases");
        let live = format!("20261130T214917Z-{}", &place.commits[0][..7]);
        let dead = format!("20261130T214925Z-{}", &place.commits[2][..7]);
        for (name, text) in [(&live, "one"), (&dead, "three")] {
            fs_err::create_dir_all(releases.join(name)).expect("the world is writable");
            fs_err::write(releases.join(name).join("index.html"), text).expect("the world is writable");
        }
        symlink(format!("releases/{live}"), place.world.path_of("site").join("current"))
            .expect("there is none");
        fs_err::set_permissions(place.world.state(), PermissionsExt::from_mode(0o700)).expect("it is ours");
        fs_err::write(&place.database, "").expect("the world is writable");
        fs_err::set_permissions(&place.database, PermissionsExt::from_mode(0o600)).expect("it is ours");
        sqlite::execute(&place.database, &place.filled(DATABASE));
        let (name, contents) = ENTRY.split_once('\n').expect("a name, and contents");
        let claimed = place.world.state().join("spool/site/claimed");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&claimed)
            .expect("the world is writable");
        fs_err::write(claimed.join(place.filled(name)), place.filled(contents))
            .expect("the world is writable");
        place
    }

    /// A text of 0.1.0 with the commits, the directory and the times of this world.
    fn filled(&self, text: &str) -> String {
        let at = |digits: &str| digits.parse::<i64>().expect("milliseconds") + self.later_ms;
        let root = self.world.root().to_string_lossy();
        let [first, second, third] = &self.commits;
        Regex::new("@([^@]*)@")
            .expect("it is a pattern")
            .replace_all(text, |found: &Captures<'_>| match found[1].split(' ').collect::<Vec<_>>()[..] {
                ["ROOT"] => root.to_string(),
                ["FIRST"] => first.clone(),
                ["FIRST_7"] => first[..7].to_owned(),
                ["BROKEN"] => second.clone(),
                ["BROKEN_7"] => second[..7].to_owned(),
                ["SECOND"] => third.clone(),
                ["SECOND_7"] => third[..7].to_owned(),
                ["SHA"] => self.sha_of_payload(),
                ["AT"] => "2026-11-30T21:49:23Z".to_owned(),
                ["MS", ms] => at(ms).to_string(),
                ["NS", ms, rest] => format!("0{}{rest}", at(ms)),
                ["ID", ms, rest] => {
                    let ms = format!("{:012x}", at(ms));
                    format!("{}-{}-{rest}", &ms[..8], &ms[8..])
                }
                _ => panic!("{:?} is nothing that differs", &found[0]),
            })
            .into_owned()
    }

    /// That of the entry's payload, which names the commits of this world.
    fn sha_of_payload(&self) -> String {
        let (_, payload) = ENTRY.split_once("\"payload\":").expect("an entry has a payload");
        let payload = payload.trim_end().strip_suffix('}').expect("it is the last of the entry");
        hex::encode(Sha256::digest(self.filled(payload)))
    }

    /// All that 0.1.0 reads, but of what happened since.
    fn rows(&self) -> Vec<Vec<String>> {
        let of_table = |(table, columns): &(&str, &str)| {
            let texts: Vec<String> = columns
                .split(", ")
                .map(|column| format!("COALESCE(CAST({column} AS TEXT), 'nothing')"))
                .collect();
            sqlite::rows(&self.database, &format!("SELECT '{table}', {} FROM {table}", texts.join(", ")))
        };
        ROWS.iter().flat_map(of_table).collect()
    }

    /// The tables, as SQLite has them.
    fn schema(&self) -> Vec<Vec<String>> {
        let columns = "SELECT tables.name, columns.name, columns.type FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
            WHERE tables.type = 'table' ORDER BY 1, 2";
        let indices = "SELECT name, COALESCE(sql, '') FROM sqlite_schema WHERE type = 'index' ORDER BY 1";
        [sqlite::rows(&self.database, columns), sqlite::rows(&self.database, indices)].concat()
    }

    fn goes_back(&self) {
        let applied =
            sqlite::rows(&self.database, "SELECT CAST(version AS TEXT) FROM _sqlx_migrations").len();
        let steps = (applied - OF_0_1_0).to_string();
        let back = self.world.cli(&["migrate", "down", "--steps", &steps, "--yes"]);
        assert!(back.status.success(), "{}", describe(&back));
        // Named by the second, and never written over.
        let backups = files_under(&self.world.state()).into_iter();
        for backup in backups.filter(|file| file.to_string_lossy().contains(".before-down-")) {
            fs_err::remove_file(backup).expect("it is ours");
        }
    }

    fn comes_forth(&self) {
        process::succeed(&mut self.world.product(&["migrate", "up"]));
    }
}

/// State, and fault class, of each run.
fn ends(runs: &[Run], database: &Path) -> Vec<(String, String)> {
    let faults = sqlite::rows(database, "SELECT id, COALESCE(fault, '-') FROM runs");
    let fault = |run: &Run| faults.iter().find(|row| row[0] == run.id).expect("it has a row")[1].clone();
    runs.iter().map(|run| (run.state.clone(), fault(run))).collect()
}

#[test]
fn a_run_of_0_1_0_is_recovered_and_nothing_is_lost() {
    World::run(|world| {
        let place = Place::of_0_1_0(world);
        let before = place.rows();
        place.world.start();
        let runs = place.world.settled("site", 6);
        assert!(place.undone.exists(), "what 0.1.0 had begun was undone by its plan");
        let expected = [
            ("succeeded", "none"),
            ("failed", "commit"),
            ("failed", "host"),
            ("undone", "none"),
            ("undone", "none"),
            ("succeeded", "none"),
        ];
        let expected = expected.map(|(state, fault)| (state.to_owned(), fault.to_owned()));
        assert_eq!(ends(&runs, &place.database), expected);
        assert_eq!(place.world.live("site", "index.html").as_deref(), Some("three"));
        let third = &place.commits[2];
        assert_eq!(place.world.reported(&place.repository, third).state, "success");
        // The reports that 0.1.0 could not send any more.
        assert_eq!(place.world.reported(&place.repository, &place.commits[0]).state, "success");
        assert_eq!(place.world.reported(&place.repository, &place.commits[1]).state, "failure");
        assert!(place.world.status()["deployments"][0]["unknown"].is_null());
        // What had ended is as it was.
        let after = place.rows();
        let lost: Vec<_> = before
            .iter()
            // The new release has changed what the old ones are.
            .filter(|row| row[0] != "releases" && !after.contains(row))
            .filter(|row| {
                !row.iter().any(|text| ["running", "started", "building", "queued"].contains(&text.as_str()))
            })
            .collect();
        assert!(lost.is_empty(), "{lost:#?}");
    });
}

#[test]
fn a_database_of_0_1_0_comes_back_as_it_was() {
    World::run(|world| {
        let place = Place::of_0_1_0(world);
        let (schema, rows) = (place.schema(), place.rows());
        for _ in 0..2 {
            place.comes_forth();
            assert_ne!(place.schema(), schema);
            assert_eq!(place.rows(), rows);
            // The run in progress: its first step of three belongs to no plan.
            let indices =
                "SELECT COALESCE(CAST(plan_index AS TEXT), '-') FROM steps JOIN runs ON runs.id = run_id
                WHERE runs.state = 'running' ORDER BY number";
            let indices = sqlite::rows(&place.database, indices);
            assert_eq!(indices.concat(), ["-", "0", "1"]);
            place.goes_back();
            assert_eq!(place.schema(), schema);
            assert_eq!(place.rows(), rows);
        }
    });
}

#[test]
fn a_plan_of_0_1_0_that_cannot_be_read_is_refused() {
    World::run(|world| {
        let place = Place::of_0_1_0(world);
        sqlite::execute(
            &place.database,
            "UPDATE runs SET plan = substr(plan, 1, length(plan) - 1) WHERE state = 'running'",
        );
        place.world.start();
        let what = wait::until_told("what is live to be unknown", || {
            place.world.status()["deployments"][0]["unknown"]["what"].as_str().map(str::to_owned)
        });
        for known in [
            "its plan cannot be read (it cannot be parsed: ",
            "fetch export succeeded",
            "build b may have happened",
            "(live before)",
        ] {
            assert!(what.contains(known), "{known:?} in {what}");
        }
        assert!(!place.undone.exists(), "something was undone by guess");
        assert_eq!(place.world.runs("site").len(), 5, "something was tried by guess");
        assert_eq!(place.world.live("site", "index.html").as_deref(), Some("one"));
        let cancelled = place.world.cli(&["cancel", "site"]);
        assert!(cancelled.status.success(), "{}", describe(&cancelled));
        let deployed = place.world.cli(&["deploy", "site"]);
        assert!(deployed.status.success(), "{}", describe(&deployed));
        assert_eq!(place.world.live("site", "index.html").as_deref(), Some("three"));
    });
}
