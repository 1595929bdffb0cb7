//! One story for both databases: everything the store can be asked, in the order of a push's life.

use super::*;

#[tokio::test]
async fn on_sqlite() {
    let (_directory, store) = sqlite_store().await;
    tell(&store).await;
}

#[tokio::test]
async fn on_postgresql() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("story")).unwrap();
    store.migrate(0).await.unwrap();
    tell(&store).await;
}

const FIRST: &str = "00000000-0000-7000-8000-000000000001";
const SECOND: &str = "00000000-0000-7000-8000-000000000002";
const ROLLBACK: &str = "00000000-0000-7000-9000-000000000003";

async fn tell(store: &Store) {
    a_push_arrives_and_arrives_again(store).await;
    two_runs_of_one_entry(store).await;
    the_steps_of_a_run(store).await;
    the_first_run_fails_and_the_second_goes_live(store).await;
    what_github_is_told(store).await;
    what_github_shows_as_deployed(store).await;
    a_rollback(store).await;
    at_a_glance(store).await;
    small_things(store).await;
    forgetting(store).await;
}

async fn a_push_arrives_and_arrives_again(store: &Store) {
    let delivery = a_delivery("d1", "001-d1");
    let queued = [a_verdict("d1", "api", VerdictCode::Queued), a_verdict("d1", "web", VerdictCode::Skipped)];
    assert_eq!(store.record_delivery(&delivery, &queued).await.unwrap(), Recorded::New);
    assert_eq!(store.verdicts("d1").await.unwrap(), queued);

    // Interrupted before it was dispatched: the same entry again. Not a redelivery.
    let known = |dispatched| Recorded::Known { entry: "001-d1".to_owned(), dispatched };
    let others = [a_verdict("d1", "api", VerdictCode::Malformed)];
    assert_eq!(store.record_delivery(&delivery, &others).await.unwrap(), known(false));
    assert_eq!(store.verdicts("d1").await.unwrap(), queued, "a known delivery keeps its verdicts");
    store.mark_dispatched("d1", 1_500).await.unwrap();
    store.mark_dispatched("d1", 9_999).await.unwrap();

    // A redelivery, which itself is interrupted once: one.
    for _ in 0..2 {
        assert_eq!(store.record_delivery(&a_delivery("d1", "002-d1"), &[]).await.unwrap(), known(true));
    }
    let recorded = store.delivery("d1").await.unwrap().unwrap();
    assert_eq!((recorded.redeliveries, recorded.dispatched_at_ms), (1, Some(1_500)));
    assert_eq!(recorded.sender.as_deref(), Some("nul\u{fffd}in a name"));
    assert_eq!(recorded.git_ref.as_deref(), Some("refs/heads/main"));
    store.record_delivery(&a_delivery("d1", "003-d1"), &[]).await.unwrap();
    assert_eq!(store.delivery("d1").await.unwrap().unwrap().redeliveries, 2);
    assert_eq!(store.delivery("nobody").await.unwrap(), None);

    // The same bytes under another id: the first that led to something is remembered.
    store.record_delivery(&a_delivery("d2", "0010-d2"), &[]).await.unwrap();
    assert_eq!(store.first_seen("aa").await.unwrap().as_deref(), Some("d1"));
    assert_eq!(store.first_seen("bb").await.unwrap(), None);
    store.note_guid("d2", "d1").await.unwrap();
    store.note_guid("d2", "d1").await.unwrap();
    let further: Vec<_> =
        store.further_deliveries("d1").await.unwrap().into_iter().map(|delivery| delivery.id).collect();
    assert_eq!(further, ["d2"]);

    let ids = |filter| async move {
        let deliveries = store.deliveries(10, filter).await.unwrap();
        deliveries.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(DeliveryFilter::default()).await, ["d2", "d1"]);
    assert_eq!(ids(DeliveryFilter { deployment: Some("web"), ..Default::default() }).await, ["d1"]);
    assert_eq!(ids(DeliveryFilter { code: Some(VerdictCode::Queued), ..Default::default() }).await, ["d1"]);
    let neither =
        DeliveryFilter { code: Some(VerdictCode::Queued), deployment: Some("web"), ..Default::default() };
    assert!(ids(neither).await.is_empty(), "both must hold of one verdict");
    let other = DeliveryFilter { repository: Some("other/one"), ..Default::default() };
    assert!(ids(other).await.is_empty());
    assert_eq!(store.deliveries(1, DeliveryFilter::default()).await.unwrap().len(), 1);

    let told = Verdict { run_id: Some("r".to_owned()), ..a_verdict("d1", "web", VerdictCode::Duplicate) };
    store.set_verdict(&told).await.unwrap();
    assert_eq!(store.verdicts("d1").await.unwrap()[1], told);
    store.set_verdict(&a_verdict("never recorded", "api", VerdictCode::Failed)).await.unwrap();
}

async fn two_runs_of_one_entry(store: &Store) {
    let new = NewRun { delivery_id: Some("d1"), ..a_run(FIRST, "api", "001-d1") };
    let run = store.create_run(&new).await.unwrap();
    assert_eq!((run.attempt, run.state, run.trigger), (1, RunState::Queued, RunTrigger::Delivery));
    assert_eq!(store.create_run(&new).await.unwrap(), run, "creating it again changes nothing");
    let second = store.create_run(&a_run(SECOND, "api", "001-d1")).await.unwrap();
    assert_eq!(second.attempt, 2);
    assert_eq!(store.create_run(&a_run("other", "web", "001-d1")).await.unwrap().attempt, 1);

    assert_eq!(store.runs_for_entry("api", "001-d1").await.unwrap(), [run.clone(), second]);
    assert_eq!(store.runs_of_delivery("d1", "api").await.unwrap(), [run]);
    assert!(store.runs_of_delivery("d1", "web").await.unwrap().is_empty());
    assert_eq!(store.unfinished_runs(None).await.unwrap().len(), 3);
    assert_eq!(store.unfinished_runs(Some("web")).await.unwrap().len(), 1);

    store.update_run_commit(FIRST, "c1", Some("c0")).await.unwrap();
    store.save_plan(FIRST, r#"{"steps":[]}"#).await.unwrap();
    store.start_run(FIRST, 2_100, 43, "boot").await.unwrap();
    store.start_run(FIRST, 2_200, 44, "next boot").await.unwrap();
    let run = store.run(FIRST).await.unwrap().unwrap();
    assert_eq!((run.commit_id.as_deref(), run.previous_commit.as_deref()), (Some("c1"), Some("c0")));
    assert_eq!((run.state, run.started_at_ms, run.pid), (RunState::Running, Some(2_100), 44));
    let json = serde_json::to_value(&run).unwrap();
    assert_eq!(json["plan"], serde_json::json!({"steps": []}), "JSON is shown as JSON");
    assert_eq!(json["trigger"], "delivery");

    assert_eq!(store.find_run(FIRST).await.unwrap(), RunMatch::One(Box::new(run)));
    let several = vec![SECOND.to_owned(), FIRST.to_owned()];
    assert_eq!(store.find_run("00000000-0000-7000-8").await.unwrap(), RunMatch::Several(several));
    for nothing in ["", "%", "_", "0\0", "00000000-0000-7000-a"] {
        assert_eq!(store.find_run(nothing).await.unwrap(), RunMatch::None, "{nothing:?}");
    }
    assert_eq!(store.last_tried("api").await.unwrap(), None, "it has not ended yet");
    assert_not_recorded(store.save_plan("nobody", "{}").await);
    assert_not_recorded(store.start_run("nobody", 1, 1, "boot").await);
    assert_not_recorded(store.update_run_commit("nobody", "c1", None).await);
}

async fn the_steps_of_a_run(store: &Store) {
    let start = |number, direction, started_at_ms| StepStart {
        run_id: FIRST,
        number,
        plan_index: Some(number as usize - 1),
        direction,
        phase: "build",
        name: "install",
        command: Some("pnpm install"),
        started_at_ms,
    };
    let end = |number, direction, state| StepEnd {
        run_id: FIRST,
        number,
        direction,
        state,
        detail: Some(r#"{"exit":0}"#),
        cause: None,
        ended_at_ms: 2_400,
    };
    for number in [1, 2, 10] {
        store.step_started(&start(number, Direction::Do, 2_300)).await.unwrap();
    }
    store.step_ended(&end(1, Direction::Do, StepState::Succeeded)).await.unwrap();
    store.step_ended(&end(2, Direction::Do, StepState::Unknown)).await.unwrap();
    // After a crash it is repeated.
    store.step_started(&start(2, Direction::Do, 2_500)).await.unwrap();
    for number in [2, 1] {
        store.step_started(&start(number, Direction::Undo, 2_600)).await.unwrap();
    }

    let steps = store.steps(FIRST).await.unwrap();
    let order: Vec<_> = steps.iter().map(|step| (step.direction, step.number)).collect();
    use Direction::{Do, Undo};
    assert_eq!(order, [(Do, 1), (Do, 2), (Do, 10), (Undo, 2), (Undo, 1)]);
    assert_eq!((steps[0].state, steps[0].ended_at_ms), (StepState::Succeeded, Some(2_400)));
    let indices: Vec<_> = steps.iter().map(|step| step.plan_index).collect();
    assert_eq!(indices, [0, 1, 9, 1, 0].map(Some), "what is undone has the index of what was done");
    assert_eq!(serde_json::to_value(&steps[0]).unwrap()["detail"]["exit"], 0);
    assert_eq!(
        (steps[1].state, steps[1].ended_at_ms, steps[1].started_at_ms),
        (StepState::Started, None, 2_500),
        "a repeated step begins anew"
    );
    assert_not_recorded(store.step_ended(&end(99, Direction::Do, StepState::Failed)).await);
    assert!(store.step_started(&StepStart { run_id: "nobody", ..start(1, Do, 1) }).await.is_err());
}

async fn the_first_run_fails_and_the_second_goes_live(store: &Store) {
    let release = |run_id, name| NewRelease {
        deployment: "api",
        name,
        path: "/srv/api/releases/x",
        commit_id: "c1",
        run_id,
        created_at_ms: 2_700,
    };
    store.create_release(&release(FIRST, "one")).await.unwrap();
    store.create_release(&release(FIRST, "one")).await.unwrap();
    assert_eq!(store.run(FIRST).await.unwrap().unwrap().release.as_deref(), Some("one"));
    store.set_release_state("api", "one", ReleaseState::Failed, Some(123)).await.unwrap();

    let failed = Verdict { run_id: Some(FIRST.to_owned()), ..a_verdict("d1", "api", VerdictCode::Failed) };
    let end = RunEnd {
        run_id: FIRST,
        state: RunState::Interrupted,
        fault: FaultClass::None,
        cause: Some("pnpm install: exit 1"),
        summary: None,
        ended_at_ms: 2_800,
        blocked: &[],
        verdicts: std::slice::from_ref(&failed),
        notifications: &[a_status("deploy/api", r#"{"state":"failure"}"#, 2_800)],
    };
    assert_eq!(store.end_run(&end).await.unwrap(), RunEnded::Now);
    let again = RunEnd { state: RunState::Succeeded, fault: FaultClass::Host, verdicts: &[], ..end };
    assert_eq!(store.end_run(&again).await.unwrap(), RunEnded::Before);
    assert_not_recorded(store.end_run(&RunEnd { run_id: "nobody", ..end }).await);
    assert_not_recorded(store.start_run(FIRST, 1, 1, "boot").await);
    let run = store.run(FIRST).await.unwrap().unwrap();
    assert_eq!((run.state, run.cause.as_deref()), (RunState::Interrupted, Some("pnpm install: exit 1")));
    assert_eq!(run.fault, Some(FaultClass::None), "what was written first stands");
    assert_eq!(store.verdicts("d1").await.unwrap()[0], failed);
    assert_eq!(store.outbox_trouble(0).await.unwrap().unsent, 1);
    assert_eq!(store.last_tried("api").await.unwrap().map(|run| run.id).as_deref(), Some(FIRST));
    assert_eq!(store.last_tried("web").await.unwrap(), None);
    assert_eq!(store.host_failures("api", "c1").await.unwrap().all, 0, "it did not fail");

    assert_eq!(store.live_release("api").await.unwrap(), None);
    store.create_release(&release(SECOND, "two")).await.unwrap();
    store.set_live("api", "two", 2_900).await.unwrap();
    let live = store.live_release("api").await.unwrap().unwrap();
    assert_eq!((live.name.as_str(), live.state, live.live_at_ms), ("two", ReleaseState::Live, Some(2_900)));
    store.set_release_state("api", "two", ReleaseState::Live, Some(5)).await.unwrap();
    let twice = store.set_release_state("api", "one", ReleaseState::Live, None).await;
    assert!(matches!(twice, Err(StoreError::Defect(_))), "two live releases: {twice:?}");
    assert_not_recorded(store.set_live("api", "nothing", 3_000).await);
    assert_eq!(store.live_release("api").await.unwrap().unwrap().name, "two", "it is still the live one");
    assert_not_recorded(store.set_release_state("api", "nothing", ReleaseState::Good, None).await);

    // No version makes such runs any more, and rows of them are read.
    let skipped = RunEnd { run_id: "other", state: RunState::Skipped, fault: FaultClass::None, ..again };
    store.update_run_commit("other", "c1", None).await.unwrap();
    store.end_run(&skipped).await.unwrap();
    super::forged::execute(store, "UPDATE runs SET state = 'superseded' WHERE id = 'other'").await;
    assert_eq!(store.run("other").await.unwrap().unwrap().state, RunState::Skipped);
    assert_eq!(store.last_tried("web").await.unwrap(), None, "a superseded run tried nothing");
}

async fn what_github_is_told(store: &Store) {
    let bodies = |now| async move {
        let due = store.due_outbox(now, 10).await.unwrap();
        due.into_iter().map(|status| status.body).collect::<Vec<_>>()
    };
    let settle = store.due_outbox(i64::MAX, 10).await.unwrap();
    store.outbox_sent(&settle[0], 2_900).await.unwrap();

    store.enqueue_telling(&a_status("a", "1", 3_000)).await.unwrap();
    store.enqueue_telling(&a_status("b", "2", 3_000)).await.unwrap();
    store.enqueue_telling(&a_status("a", "3", 3_001)).await.unwrap();
    assert_eq!(bodies(2_999).await, Vec::<String>::new());
    assert_eq!(bodies(3_001).await, ["2", "3"], "of each key the newest");
    store.enqueue_telling(&a_status("a", "3", 3_001)).await.unwrap();
    assert_eq!(bodies(3_001).await, ["2", "3"], "pushed twice it is there once");
    assert_eq!(store.due_outbox(3_001, 1).await.unwrap().len(), 1);

    let due = store.due_outbox(3_001, 10).await.unwrap();
    for _ in 0..2 {
        store.outbox_failed(&due[0], "502", 4_000).await.unwrap();
    }
    assert_eq!(bodies(3_999).await, ["3"]);
    let retried = &store.due_outbox(4_000, 10).await.unwrap()[1];
    assert_eq!(bodies(4_000).await, ["3", "2"], "the one that failed comes after the others");
    assert_eq!((retried.attempts, retried.last_error.as_deref()), (1, Some("502")));
    store.outbox_refused(&due[0], "no such commit", 4_001).await.unwrap();
    store.outbox_sent(&due[1], 4_001).await.unwrap();
    let trouble = store.outbox_trouble(0).await.unwrap();
    assert_eq!((trouble.unsent, &trouble.oldest_unsent, trouble.refused.len()), (0, &None, 1));
    assert_eq!(trouble.refused[0].last_error.as_deref(), Some("no such commit"));
    assert_eq!(store.outbox_trouble(4_002).await.unwrap().refused.len(), 0, "refused before that");
    let nowhere = PendingTelling { id: 999, ..due[0].clone() };
    assert_not_recorded(store.outbox_sent(&nowhere, 1).await);
    assert_not_recorded(store.outbox_refused(&nowhere, "", 1).await);
    assert_not_recorded(store.outbox_failed(&nowhere, "", 1).await);
}

async fn what_github_shows_as_deployed(store: &Store) {
    let row = async |run: &str, state: &str, at_ms: i64| {
        let body = format!(r#"{{"state":"{state}"}}"#);
        let notification = NewNotification {
            kind: TellingKind::Deployment,
            context: run,
            run_id: Some(run),
            deployment: "shown",
            ..a_status("", &body, at_ms)
        };
        store.enqueue_telling(&notification).await.unwrap();
        let due = store.due_outbox(i64::MAX, 10).await.unwrap();
        due.into_iter().find(|row| row.context == run).unwrap()
    };
    let tell = async |run: &str, state: &str, at_ms: i64| {
        let row = row(run, state, at_ms).await;
        store.deployment_told(&row, run, state, at_ms).await.unwrap();
    };
    let waiting = async || {
        let due = store.due_outbox(i64::MAX, 10).await.unwrap();
        due.into_iter().map(|row| (row.context, row.body)).collect::<Vec<_>>()
    };
    assert_eq!(store.told_deployment("r1").await.unwrap(), None);
    for (run, github_id) in [("r1", 11), ("r2", 12), ("r3", 13), ("r1", 99)] {
        let made = NewReportedDeployment {
            run_id: run,
            deployment: "shown",
            repository: "ducompsoc/durhack",
            commit_id: "c1",
            github_id,
            told_at_ms: 3_000,
        };
        store.create_told_deployment(&made).await.unwrap();
    }
    assert_eq!(store.told_deployment("r1").await.unwrap().unwrap().github_id, 11, "the first stays");

    tell("r1", "success", 3_001).await;
    assert_eq!(waiting().await, []);
    tell("r3", "success", 3_002).await;
    let inactive = r#"{"state":"inactive"}"#.to_owned();
    assert_eq!(waiting().await, [("r1".to_owned(), inactive.clone())]);
    // Told late: a newer one is live already.
    tell("r2", "success", 3_003).await;
    assert_eq!(waiting().await, [("r1".to_owned(), inactive.clone()), ("r2".to_owned(), inactive.clone())]);
    for run in ["r1", "r2"] {
        tell(run, "inactive", 3_004).await;
    }
    assert_eq!(waiting().await, []);
    // What was queued is so no longer once a newer run was told of.
    for (run, github_id) in [("r5", 15), ("r6", 16)] {
        let made = NewReportedDeployment {
            run_id: run,
            deployment: "shown",
            repository: "ducompsoc/durhack",
            commit_id: "c1",
            github_id,
            told_at_ms: 3_000,
        };
        store.create_told_deployment(&made).await.unwrap();
        tell(run, "queued", 3_004).await;
    }
    assert_eq!(waiting().await, [("r5".to_owned(), inactive.clone())]);
    tell("r5", "inactive", 3_004).await;
    let unknown = row("r4", "success", 3_005).await;
    assert_not_recorded(store.deployment_told(&unknown, "r4", "success", 3_005).await);
    store.outbox_sent(&unknown, 3_006).await.unwrap();
}

async fn a_rollback(store: &Store) {
    let end = |run_id| RunEnd {
        run_id,
        state: RunState::Succeeded,
        fault: FaultClass::None,
        cause: None,
        summary: Some("went live"),
        ended_at_ms: 3_000,
        blocked: &[],
        verdicts: &[],
        notifications: &[],
    };
    store.end_run(&end(SECOND)).await.unwrap();
    let new = NewRun { trigger: RunTrigger::Rollback, created_at_ms: 5_000, ..a_run(ROLLBACK, "api", "009") };
    store.create_run(&new).await.unwrap();
    store.set_run_release(ROLLBACK, "one").await.unwrap();
    assert_not_recorded(store.set_run_release("nobody", "one").await);
    store.set_live("api", "one", 5_100).await.unwrap();
    store.end_run(&RunEnd { ended_at_ms: 5_200, ..end(ROLLBACK) }).await.unwrap();
    let states: Vec<_> =
        store.releases("api").await.unwrap().into_iter().map(|r| (r.name, r.state)).collect();
    let (one, two) = (("one".to_owned(), ReleaseState::Live), ("two".to_owned(), ReleaseState::Good));
    assert_eq!(states, [two, one]);
}

async fn at_a_glance(store: &Store) {
    assert_eq!(store.last_run("api").await.unwrap().unwrap().id, ROLLBACK);
    assert_eq!(store.last_run("nobody").await.unwrap(), None);

    let ids = |filter| async move {
        let runs = store.runs(2, filter).await.unwrap();
        runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(RunFilter { deployment: Some("api"), state: None }).await, [ROLLBACK, SECOND]);
    assert_eq!(ids(RunFilter { deployment: None, state: Some(RunState::Interrupted) }).await, [FIRST]);
}

async fn small_things(store: &Store) {
    assert_eq!(store.meta("seen").await.unwrap(), None);
    store.set_meta("seen", "1").await.unwrap();
    store.set_meta("seen", "2").await.unwrap();
    assert_eq!(store.meta("seen").await.unwrap().as_deref(), Some("2"));
}

async fn forgetting(store: &Store) {
    assert_eq!(store.prune(1_000).await.unwrap(), Pruned::default(), "nothing is old enough");
    // d2 is not dispatched; d1 is what FIRST carried out, whose release serves again.
    assert_eq!(store.prune(6_000).await.unwrap(), Pruned { notifications: 16, ..Pruned::default() });
    assert!(store.told_deployment("r3").await.unwrap().is_some(), "GitHub takes it to be live");
    assert_eq!(store.told_deployment("r1").await.unwrap(), None);
    assert!(store.delivery("d1").await.unwrap().is_some());

    // FIRST and SECOND made releases that are gone; web's only run is its newest; the rollback is api's, and of the others the
    // newest is what was last tried.
    for name in ["one", "two"] {
        store.set_release_state("api", name, ReleaseState::Removed, None).await.unwrap();
    }
    store.mark_dispatched("d2", 1).await.unwrap();
    store
        .record_delivery(&a_delivery("d3", "4"), &[a_verdict("d3", "web", VerdictCode::Queued)])
        .await
        .unwrap();
    store.mark_dispatched("d3", 1).await.unwrap();
    let pruned = store.prune(6_000).await.unwrap();
    assert_eq!(pruned, Pruned { runs: 1, deliveries: 2, releases: 2, notifications: 0 });
    assert!(store.steps(FIRST).await.unwrap().is_empty(), "steps go with their run");
    assert!(store.verdicts("d1").await.unwrap().is_empty(), "verdicts go with their delivery");
    assert!(store.verdicts("never recorded").await.unwrap().is_empty());
    assert!(store.delivery("d3").await.unwrap().is_some(), "it still waits");
    assert!(store.further_deliveries("d1").await.unwrap().is_empty());
    assert_eq!(
        store.first_seen("aa").await.unwrap().as_deref(),
        Some("d1"),
        "bodies are remembered for longer"
    );
    // However many another repository sends.
    super::forged::execute(
        store,
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10003)
         INSERT INTO seen_bodies (payload_sha256, delivery_id, seen_at_ms, repository)
         SELECT 'x' || n, 'd', 2000 + n, 'acme/loud' FROM n",
    )
    .await;
    store.prune(6_000).await.unwrap();
    let is_seen = async |body: &str| store.first_seen(body).await.unwrap().is_some();
    assert!(is_seen("aa").await && is_seen("x10003").await && is_seen("x4").await && !is_seen("x3").await);
    store.prune(i64::MAX).await.unwrap();
    assert_eq!(store.first_seen("aa").await.unwrap(), None, "but not for ever");
    assert_eq!(store.last_run("web").await.unwrap().unwrap().id, "other");
    assert_eq!(store.last_run("api").await.unwrap().unwrap().id, ROLLBACK);
}

fn assert_not_recorded<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    let error = result.expect_err("there is nothing of that name");
    assert!(matches!(error, StoreError::NotRecorded { .. }), "{error:?}");
}
