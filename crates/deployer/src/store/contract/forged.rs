//! Somebody else writes to the database: what they put there is shown, and never acted on. What is forged here is what an attacker has
//! who may connect: rows of their own, changed rows of ours, and rows of ours as they once were.

use super::*;
use crate::base::names::CommitId;
use sqlx::AssertSqlSafe;

/// The number of the first migration that 0.1.0 does not know.
const AFTER_0_1_0: i64 = 3;

#[tokio::test]
async fn on_sqlite() {
    let (_directory, store) = sqlite_store().await;
    tell(&store).await;
}

#[tokio::test]
async fn on_postgresql() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("forged")).unwrap();
    store.migrate(0).await.unwrap();
    tell(&store).await;
}

/// The SQL of somebody else.
pub(super) async fn execute(store: &Store, statement: &str) {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement));
    match &store.pools {
        Pools::Sqlite { writer, .. } => drop(statement.execute(writer).await.unwrap()),
        Pools::Postgres(pool) => drop(statement.execute(pool).await.unwrap()),
    }
}

/// All rows of a table whose column has this value are kept, to be restored later.
async fn keep(store: &Store, table: &str, condition: &str) {
    execute(store, &format!("CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE {condition}")).await;
}

async fn put_back(store: &Store, table: &str, condition: &str) {
    execute(store, &format!("DELETE FROM {table} WHERE {condition}")).await;
    execute(store, &format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
    execute(store, &format!("DROP TABLE kept_{table}")).await;
}

async fn tell(store: &Store) {
    plans(store).await;
    a_run_that_was_changed_while_it_was_in_progress(store).await;
    steps(store).await;
    approvals(store).await;
    releases(store).await;
    what_github_is_told(store).await;
    releases_put_back(store).await;
    reports_put_back(store).await;
    what_waits(store).await;
}

async fn run(store: &Store, id: &str) -> Run {
    store.run(id).await.unwrap().unwrap()
}

async fn a_run_in_progress(store: &Store, id: &'static str, deployment: &str) {
    store.create_run(&a_run(id, deployment, id)).await.unwrap();
    store.start_run(id, 1, 1, "boot").await.unwrap();
    store.update_run_commit(id, "c1", None).await.unwrap();
    store.save_plan(id, r#"{"steps":["genuine"]}"#).await.unwrap();
    store.set_run_release(id, "one").await.unwrap();
}

fn succeeds(id: &str) -> RunEnd<'_> {
    RunEnd {
        run_id: id,
        state: RunState::Succeeded,
        fault: FaultClass::None,
        cause: None,
        summary: None,
        ended_at_ms: 9_000,
        blocked: &[],
        verdicts: &[],
        notifications: &[],
    }
}

async fn plans(store: &Store) {
    let is_believed = async |id: &str| {
        let run = run(store, id).await;
        (store.is_open_and_ours(&run).unwrap(), store.own_plan(&run).unwrap().is_some())
    };
    a_run_in_progress(store, "genuine", "api").await;
    assert_eq!(is_believed("genuine").await, (true, true));

    // A run of their own, with and without something that looks like proof; and a genuine plan under another run's id.
    let columns = "id, deployment, repository, branch, attempt, trigger_kind, requested_by, entry, state, plan, created_at_ms, pid, boot_id, mac";
    let nothing = format!("'{}'", "0".repeat(64));
    for (id, plan, mac) in [
        ("their-own", "'{\"steps\":[]}'", "NULL"),
        ("their-own-2", "'{\"steps\":[]}'", nothing.as_str()),
        (
            "a-copy",
            "(SELECT plan FROM runs WHERE id = 'genuine')",
            "(SELECT mac FROM runs WHERE id = 'genuine')",
        ),
    ] {
        execute(
            store,
            &format!(
                "INSERT INTO runs ({columns}) VALUES ('{id}', 'api', 'ducompsoc/durhack', 'main', 1, 'delivery', 'x', 'x', 'running', {plan}, 1, 1, 'boot', {mac})"
            ),
        )
        .await;
        assert_eq!(is_believed(id).await, (false, false), "{id}");
        execute(store, &format!("DELETE FROM runs WHERE id = '{id}'")).await;
    }

    // Every column that means something.
    for change in [
        "plan = '{}'",
        "release = '../../x'",
        "deployment = 'web'",
        "trigger_kind = 'rollback'",
        "commit_id = 'c2'",
        "repository = 'evil/one'",
        "delivery_id = 'd9'",
        "fault = 'host'",
        "fault = NULL, fault_mac = NULL",
        "mac = NULL",
        "mac = ''",
    ] {
        keep(store, "runs", "id = 'genuine'").await;
        execute(store, &format!("UPDATE runs SET {change} WHERE id = 'genuine'")).await;
        assert_eq!(is_believed("genuine").await, (false, false), "{change}");
        put_back(store, "runs", "id = 'genuine'").await;
        assert_eq!(is_believed("genuine").await, (true, true), "{change}");
    }

    // As it was before it had ended: the proof is genuine, the moment is not.
    keep(store, "runs", "id = 'genuine'").await;
    store.end_run(&succeeds("genuine")).await.unwrap();
    put_back(store, "runs", "id = 'genuine'").await;
    let replayed = run(store, "genuine").await;
    assert_eq!(replayed.state, RunState::Running);
    assert!(!store.is_open_and_ours(&replayed).unwrap(), "it has ended");
    store.end_run(&succeeds("genuine")).await.unwrap();
}

async fn a_run_that_was_changed_while_it_was_in_progress(store: &Store) {
    a_run_in_progress(store, "changed", "api").await;
    execute(store, "UPDATE runs SET plan = '{\"steps\":[\"evil\"]}' WHERE id = 'changed'").await;
    // Nothing that is written to it later makes it genuine.
    for result in [
        store.start_run("changed", 2, 2, "boot").await,
        store.set_run_release("changed", "two").await,
        store.update_run_commit("changed", "c2", None).await,
        store.save_plan("changed", "{}").await,
    ] {
        assert!(matches!(result, Err(StoreError::Foreign { kind: "run", .. })), "{result:?}");
    }
    let found = store.last_tried("api").await.unwrap().unwrap();
    store.end_run(&RunEnd { ended_at_ms: 10_000, ..succeeds("changed") }).await.unwrap();
    let ended = run(store, "changed").await;
    assert_eq!((ended.state, store.own_plan(&ended).unwrap()), (RunState::Succeeded, None));
    assert_eq!(store.last_tried("api").await.unwrap().unwrap().id, found.id, "it says nothing of the branch");
    assert_eq!(store.foreign().await.unwrap(), Foreign { runs: 1, ..Foreign::default() });
    execute(store, "DELETE FROM runs WHERE id = 'changed'").await;
}

async fn steps(store: &Store) {
    a_run_in_progress(store, "stepped", "api").await;
    let start = StepStart {
        run_id: "stepped",
        number: 1,
        plan_index: Some(0),
        direction: Direction::Do,
        phase: "build",
        name: "build",
        command: None,
        started_at_ms: 1,
    };
    let end = StepEnd {
        run_id: "stepped",
        number: 1,
        direction: Direction::Do,
        state: StepState::Succeeded,
        detail: None,
        cause: None,
        ended_at_ms: 2,
    };
    store.step_started(&start).await.unwrap();
    store.step_ended(&end).await.unwrap();
    store.step_started(&StepStart { number: 2, ..start }).await.unwrap();
    let are_ours = async || store.are_our_steps(&store.steps("stepped").await.unwrap()).unwrap();
    assert!(are_ours().await);
    for change in [
        "UPDATE steps SET state = 'succeeded' WHERE run_id = 'stepped' AND number = 2",
        "UPDATE steps SET number = 3 WHERE run_id = 'stepped' AND number = 2",
        "UPDATE steps SET plan_index = 1 WHERE run_id = 'stepped' AND number = 2",
        "UPDATE steps SET plan_index = NULL WHERE run_id = 'stepped' AND number = 2",
        "UPDATE steps SET plan_index = NULL, plan_index_mac = NULL WHERE run_id = 'stepped' AND number = 2",
        "UPDATE steps SET direction = 'undo' WHERE run_id = 'stepped' AND number = 2",
        "UPDATE steps SET name = 'hand-over' WHERE run_id = 'stepped' AND number = 2",
        "INSERT INTO steps (run_id, number, direction, phase, name, state, started_at_ms) VALUES ('stepped', 3, 'do', 'switch', 'x', 'started', 1)",
        "INSERT INTO steps SELECT run_id, 3, direction, phase, name, command, state, detail, started_at_ms, ended_at_ms, cause, mac, plan_index, plan_index_mac FROM steps WHERE run_id = 'stepped' AND number = 1",
    ] {
        keep(store, "steps", "run_id = 'stepped'").await;
        execute(store, change).await;
        assert!(!are_ours().await, "{change}");
        put_back(store, "steps", "run_id = 'stepped'").await;
    }
    execute(store, "UPDATE steps SET state = 'failed' WHERE run_id = 'stepped' AND number = 2").await;
    let error = store.step_ended(&StepEnd { number: 2, ..end }).await.unwrap_err();
    assert!(error.is_tampering(), "{error:?}");
    // What is begun is written whole, whatever was there.
    store.step_started(&StepStart { number: 2, ..start }).await.unwrap();
    assert!(are_ours().await);
    store.end_run(&succeeds("stepped")).await.unwrap();
}

async fn approvals(store: &Store) {
    let commit = |digit: &str| CommitId::parse(&digit.repeat(40)).unwrap();
    let answers = async |deployment: &str| store.answers(deployment).await.unwrap();
    for (key, value) in [
        ("approved/forged", "a".repeat(40)),
        ("released/forged", "a".repeat(40)),
        ("freeze-lifted-until/forged", "99999999999999".to_owned()),
    ] {
        execute(store, &format!("INSERT INTO meta (key, value) VALUES ('{key}', '{value}')")).await;
    }
    assert_eq!(answers("forged").await, Answers::default());
    assert_eq!(store.foreign().await.unwrap(), Foreign { answers: 3, ..Foreign::default() });
    execute(store, "DELETE FROM meta WHERE key LIKE '%/forged'").await;

    // A genuine one for another commit, another deployment, or another question.
    store.set_answer("site", &OperatorAnswer::Approved(commit("a"))).await.unwrap();
    assert_eq!(answers("site").await.approved, Some(commit("a")));
    for key in ["approved/other", "released/site"] {
        execute(
            store,
            &format!("INSERT INTO meta SELECT '{key}', value, mac FROM meta WHERE key = 'approved/site'"),
        )
        .await;
    }
    assert_eq!(answers("other").await, Answers::default());
    assert_eq!(answers("site").await.released, None);
    execute(store, "DELETE FROM meta WHERE key IN ('approved/other', 'released/site')").await;
    execute(store, &format!("UPDATE meta SET value = '{}' WHERE key = 'approved/site'", "b".repeat(40)))
        .await;
    assert_eq!(answers("site").await.approved, None);

    // One that an operator has replaced, or undone.
    store.set_answer("site", &OperatorAnswer::FreezeLiftedUntil(99_999_999_999_999)).await.unwrap();
    store.set_answer("site", &OperatorAnswer::Approved(commit("a"))).await.unwrap();
    keep(store, "meta", "key LIKE '%/site'").await;
    store.set_answer("site", &OperatorAnswer::FreezeLiftedUntil(1)).await.unwrap();
    store.set_answer("site", &OperatorAnswer::Approved(commit("c"))).await.unwrap();
    put_back(store, "meta", "key LIKE '%/site'").await;
    assert_eq!(answers("site").await, Answers::default());
    store.set_answer("site", &OperatorAnswer::Approved(commit("c"))).await.unwrap();
    assert_eq!(answers("site").await.approved, Some(commit("c")));
    execute(store, "DELETE FROM meta WHERE key LIKE '%/site'").await;
}

async fn releases(store: &Store) {
    a_run_in_progress(store, "maker", "shop").await;
    let new = |name| NewRelease {
        deployment: "shop",
        name,
        path: "/srv/shop/releases/x",
        commit_id: "c1",
        run_id: "maker",
        created_at_ms: 1,
    };
    let names = async || {
        let mut names: Vec<_> = store.releases("shop").await.unwrap().into_iter().map(|r| r.name).collect();
        names.sort();
        names
    };
    let live = async || store.live_release("shop").await.unwrap().map(|release| release.name);
    store.create_release(&new("one")).await.unwrap();
    store.set_live("shop", "one", 5).await.unwrap();
    store.create_release(&new("two")).await.unwrap();
    store.set_release_state("shop", "two", ReleaseState::Failed, None).await.unwrap();

    // Of their own, outside of the deployment, or another deployment's.
    for (name, path) in [("../../x", "/srv/shop/x"), ("three", "/etc"), ("four", "/srv/web/releases/four")] {
        execute(
            store,
            &format!(
                "INSERT INTO releases (deployment, name, path, commit_id, run_id, state, created_at_ms, live_at_ms)
                 VALUES ('shop', '{name}', '{path}', 'c9', 'maker', 'good', 1, 999)"
            ),
        )
        .await;
    }
    execute(store, "INSERT INTO releases SELECT 'web', name, path, commit_id, run_id, state, created_at_ms, live_at_ms, bytes, mac FROM releases WHERE name = 'one'").await;
    assert_eq!(names().await, ["one", "two"]);
    assert!(store.live_release("web").await.unwrap().is_none());
    for result in [
        store.set_live("shop", "../../x", 1).await,
        store.set_release_state("shop", "three", ReleaseState::Good, None).await,
    ] {
        assert!(matches!(result, Err(StoreError::Foreign { kind: "release", .. })), "{result:?}");
    }

    // What failed is not made good, and what is live is not moved.
    execute(
        store,
        "UPDATE releases SET state = 'good', live_at_ms = 999 WHERE deployment = 'shop' AND name = 'two'",
    )
    .await;
    assert_eq!(names().await, ["one"]);
    execute(store, "UPDATE releases SET state = 'good' WHERE deployment = 'shop' AND name = 'one'").await;
    execute(store, "UPDATE releases SET state = 'live' WHERE deployment = 'shop' AND name = 'three'").await;
    assert_eq!(live().await, None);

    // The next release goes live all the same, also under a name that they had taken; and theirs stays theirs.
    store.create_release(&new("four")).await.unwrap();
    store.set_live("shop", "four", 6).await.unwrap();
    assert_eq!((live().await.as_deref(), names().await), (Some("four"), vec!["four".to_owned()]));
    execute(store, "DELETE FROM releases").await;
    assert_not_ours(&store.set_live("shop", "four", 7).await);
    store.end_run(&succeeds("maker")).await.unwrap();
}

fn assert_not_ours(result: &Result<(), StoreError>) {
    assert!(result.as_ref().is_err_and(StoreError::is_tampering), "{result:?}");
}

async fn what_github_is_told(store: &Store) {
    store.enqueue_telling(&a_status("deploy/api", r#"{"state":"failure"}"#, 1)).await.unwrap();
    execute(store, "INSERT INTO outbox (kind, repository, commit_id, context, deployment, body, created_at_ms, next_at_ms) VALUES ('status', 'ducompsoc/durhack', 'c2', 'deploy/api', 'api', '{\"state\":\"success\"}', 1, 1)").await;
    let ours = async || {
        let due = store.due_outbox(i64::MAX, 10).await.unwrap();
        due.iter().map(|row| store.is_our_telling(row).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ours().await, [true, false]);
    assert_eq!(store.foreign().await.unwrap(), Foreign { notifications: 1, ..Foreign::default() });
    execute(store, "UPDATE outbox SET body = '{\"state\":\"success\"}'").await;
    assert_eq!(ours().await, [false, false]);

    let made = NewReportedDeployment {
        run_id: "r1",
        deployment: "api",
        repository: "ducompsoc/durhack",
        commit_id: "c1",
        github_id: 11,
        told_at_ms: 1,
    };
    store.create_told_deployment(&made).await.unwrap();
    assert!(store.told_deployment("r1").await.unwrap().is_some());
    for change in ["github_id = 12", "state = 'success'", "told_at_ms = 9"] {
        keep(store, "told_deployments", "run_id = 'r1'").await;
        execute(store, &format!("UPDATE told_deployments SET {change}")).await;
        assert!(store.told_deployment("r1").await.unwrap().is_none(), "{change}");
        put_back(store, "told_deployments", "run_id = 'r1'").await;
    }
    execute(store, "UPDATE told_deployments SET github_id = 12").await;
    store.create_told_deployment(&made).await.unwrap();
    assert_eq!(store.told_deployment("r1").await.unwrap().unwrap().github_id, 11);
}

/// Rows of releases as we wrote them, at another time: the proof is genuine, the moment is not.
async fn releases_put_back(store: &Store) {
    execute(store, "DELETE FROM releases").await;
    a_run_in_progress(store, "again", "tea").await;
    let new = |name| NewRelease {
        deployment: "tea",
        name,
        path: "/srv/tea/releases/x",
        commit_id: "c1",
        run_id: "again",
        created_at_ms: 1,
    };
    let names = async || {
        let mut names: Vec<_> = store.releases("tea").await.unwrap().into_iter().map(|r| r.name).collect();
        names.sort();
        names
    };
    let live = async || store.live_release("tea").await.unwrap().map(|release| release.name);
    for name in ["one", "two"] {
        store.create_release(&new(name)).await.unwrap();
        store.set_live("tea", name, 5).await.unwrap();
    }
    keep(store, "releases", "deployment = 'tea'").await;
    store.create_release(&new("three")).await.unwrap();
    store.set_live("tea", "three", 4).await.unwrap();
    let times: Vec<_> =
        store.releases("tea").await.unwrap().into_iter().map(|r| (r.name, r.live_at_ms)).collect();
    let at = |name: &str| times.iter().find(|(found, _)| found == name).unwrap().1;
    assert!(
        at("one") < at("two") && at("two") < at("three"),
        "later is later whatever the clock says: {times:?}"
    );

    // Two was live once, and three had never been.
    put_back(store, "releases", "deployment = 'tea'").await;
    assert_eq!((live().await, names().await), (None, vec!["one".to_owned()]));
    assert_eq!(store.foreign().await.unwrap().releases, 1);
    assert_not_ours(&store.set_live("tea", "two", 6).await);
    assert_not_ours(&store.set_release_state("tea", "two", ReleaseState::Good, None).await);

    // What was removed does not come back.
    keep(store, "releases", "name = 'one'").await;
    store.set_release_state("tea", "one", ReleaseState::Removed, None).await.unwrap();
    store.set_release_state("tea", "one", ReleaseState::Removed, None).await.unwrap();
    put_back(store, "releases", "name = 'one'").await;
    assert_eq!(names().await, Vec::<String>::new());
    // The next deploy goes on all the same.
    store.create_release(&new("four")).await.unwrap();
    store.set_live("tea", "four", 7).await.unwrap();
    assert_eq!((live().await.as_deref(), names().await), (Some("four"), vec!["four".to_owned()]));
    store.end_run(&succeeds("again")).await.unwrap();
    execute(store, "DELETE FROM releases").await;
}

async fn reports_put_back(store: &Store) {
    execute(store, "DELETE FROM outbox").await;
    let due = async || store.due_outbox(i64::MAX, 10).await.unwrap();
    let ours = async || {
        due()
            .await
            .iter()
            .map(|row| (row.body.clone(), store.is_our_telling(row).unwrap()))
            .collect::<Vec<_>>()
    };
    store.enqueue_telling(&a_status("deploy/tea", "1", 1)).await.unwrap();
    store.outbox_sent(&due().await[0], 2).await.unwrap();
    store.enqueue_telling(&a_status("deploy/tea", "2", 3)).await.unwrap();
    assert_eq!(ours().await, [("2".to_owned(), true)]);
    store.outbox_refused(&due().await[0], "never", 4).await.unwrap();
    execute(store, "UPDATE outbox SET done_at_ms = NULL, refused_at_ms = NULL, next_at_ms = 1").await;
    assert_eq!(ours().await, [("1".to_owned(), false), ("2".to_owned(), false)]);
    assert_eq!(store.foreign().await.unwrap().notifications, 2);

    // While a newer one waits, it is told last whatever is restored.
    store.enqueue_telling(&a_status("deploy/tea", "3", 5)).await.unwrap();
    assert_eq!(ours().await, [("3".to_owned(), true)]);
    store.outbox_sent(&due().await[0], 6).await.unwrap();
    execute(store, "UPDATE outbox SET done_at_ms = NULL, superseded_at_ms = NULL, refused_at_ms = NULL")
        .await;
    assert!(ours().await.iter().all(|(_, is_ours)| !is_ours));
    execute(store, "DELETE FROM outbox").await;
}

/// Rows of others make no delivery wait, and so nothing is told of their commits; nor do they keep one from waiting.
async fn what_waits(store: &Store) {
    let waiting = async || store.waiting_deliveries("cafe").await.unwrap();
    let ends = |run_id, state| RunEnd { state, cause: Some("because"), ..succeeds(run_id) };
    let verdict = |delivery: &str, run: &str| Verdict {
        run_id: Some(run.to_owned()),
        ..a_verdict(delivery, "cafe", VerdictCode::Waiting)
    };
    execute(
        store,
        "INSERT INTO runs (id, deployment, repository, branch, commit_id, attempt, trigger_kind, requested_by, entry, state, created_at_ms, ended_at_ms, pid, boot_id)
         VALUES ('w0', 'cafe', 'ducompsoc/durhack', 'main', 'c9', 1, 'delivery', 'x', 'x', 'waiting', 1, 1, 1, 'boot')",
    )
    .await;
    store.set_verdict(&verdict("w0", "w0")).await.unwrap();
    assert_eq!(waiting().await, []);

    a_run_in_progress(store, "w1", "cafe").await;
    store.set_verdict(&verdict("w1", "w1")).await.unwrap();
    assert_eq!(waiting().await, [], "it is in progress");
    store.end_run(&ends("w1", RunState::Waiting)).await.unwrap();
    let expected = WaitingDelivery { delivery_id: "w1".into(), commit_id: "c1".into() };
    assert_eq!(waiting().await, [expected]);
    assert_eq!(store.held_run("cafe").await.unwrap().map(|run| run.id).as_deref(), Some("w1"));
    // Their rollback takes nobody's place.
    execute(
        store,
        "INSERT INTO runs (id, deployment, repository, branch, commit_id, attempt, trigger_kind, requested_by, entry, state, plan, created_at_ms, ended_at_ms, pid, boot_id)
         VALUES ('w8', 'cafe', 'ducompsoc/durhack', 'main', 'c1', 1, 'rollback', 'x', 'x', 'succeeded', '{}', 99999, 99999, 1, 'boot')",
    )
    .await;
    assert_eq!(store.held_run("cafe").await.unwrap().map(|run| run.id).as_deref(), Some("w1"));
    assert_eq!(waiting().await.len(), 1);

    // Deployed since: whoever says that it waits tells an old story.
    a_run_in_progress(store, "w2", "cafe").await;
    store.end_run(&ends("w2", RunState::Succeeded)).await.unwrap();
    store.set_verdict(&verdict("w1", "w1")).await.unwrap();
    store.set_verdict(&verdict("w2", "w2")).await.unwrap();
    assert_eq!(waiting().await, []);

    let failed = "INSERT INTO runs (id, deployment, repository, branch, commit_id, attempt, trigger_kind, requested_by, entry, state, created_at_ms, fault, ended_at_ms, pid, boot_id)
         VALUES ('w9', 'cafe', 'ducompsoc/durhack', 'main', 'c1', 1, 'delivery', 'x', 'x', 'failed', 99999, 'host', 99999, 1, 'boot')";
    execute(store, failed).await;
    assert_eq!(store.host_failures("cafe", "c1").await.unwrap(), HostFailures { all: 0, with_plan: 0 });
    execute(store, "DELETE FROM runs WHERE deployment = 'cafe'").await;
    execute(store, "DELETE FROM verdicts WHERE deployment = 'cafe'").await;
}

#[tokio::test]
async fn what_0_1_0_left_in_sqlite_is_signed_once() {
    let (directory, store) = sqlite_store().await;
    from_an_older_version(&store).await;
    store.migrate(0).await.unwrap();
    assert!(store.foreign().await.unwrap().is_none());
    let run = run(&store, "old").await;
    assert!(store.is_open_and_ours(&run).unwrap() && store.own_plan(&run).unwrap().is_some());
    assert!(store.are_our_steps(&store.steps("old").await.unwrap()).unwrap());
    assert_eq!(store.live_release("api").await.unwrap().unwrap().name, "one");
    assert!(store.answers("api").await.unwrap().approved.is_some());

    // Never again: what is put there now is not taken for something older.
    execute(&store, "UPDATE runs SET mac = NULL, plan = '{}'").await;
    store.migrate(0).await.unwrap();
    assert_eq!(store.foreign().await.unwrap(), Foreign { runs: 1, ..Foreign::default() });

    // Nor where others could have written to the file.
    use std::os::unix::fs::PermissionsExt as _;
    back_to_0_1_0(&store).await;
    let file = directory.path().join("state/record.sqlite");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666)).unwrap();
    store.migrate(0).await.unwrap();
    assert_eq!(store.foreign().await.unwrap().runs, 1);
}

#[tokio::test]
async fn what_0_1_0_left_in_postgresql_is_signed_when_an_operator_says_so() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("older")).unwrap();
    store.migrate(0).await.unwrap();
    from_an_older_version(&store).await;
    store.migrate(0).await.unwrap();
    let expected = Foreign { runs: 1, releases: 1, answers: 1, notifications: 0 };
    assert_eq!(store.foreign().await.unwrap(), expected);
    assert_eq!(expected.shown(), "1 run, 1 release, 1 answer to a gate");
    assert!(store.live_release("api").await.unwrap().is_none());
    assert!(!store.is_open_and_ours(&run(&store, "old").await).unwrap());
    store.sign_everything().await.unwrap();
    assert!(store.foreign().await.unwrap().is_none());
    assert_eq!(store.live_release("api").await.unwrap().unwrap().name, "one");
}

/// Leaves the tables as the version without signatures does that died during a run.
async fn from_an_older_version(store: &Store) {
    a_run_in_progress(store, "old", "api").await;
    let new = NewRelease {
        deployment: "api",
        name: "one",
        path: "/srv/api/releases/one",
        commit_id: "c1",
        run_id: "old",
        created_at_ms: 1,
    };
    store.create_release(&new).await.unwrap();
    store.set_live("api", "one", 2).await.unwrap();
    store
        .set_answer("api", &OperatorAnswer::Approved(CommitId::parse(&"a".repeat(40)).unwrap()))
        .await
        .unwrap();
    let start = StepStart {
        run_id: "old",
        number: 1,
        plan_index: None,
        direction: Direction::Do,
        phase: "build",
        name: "build",
        command: None,
        started_at_ms: 1,
    };
    store.step_started(&start).await.unwrap();
    back_to_0_1_0(store).await;
    store.authenticator.end("old").unwrap();
}

/// Undoes all migrations that came after 0.1.0.
async fn back_to_0_1_0(store: &Store) {
    let status = store.migration_status().await.unwrap();
    let since = status.iter().filter(|migration| migration.version >= AFTER_0_1_0).count();
    assert_eq!(store.migrate_down(since).await.unwrap(), since);
}
