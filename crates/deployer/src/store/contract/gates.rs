//! What waits for a gate, in both databases.

use super::*;
use crate::base::names::CommitId;

#[tokio::test]
async fn on_sqlite() {
    let (_directory, store) = sqlite_store().await;
    tell(&store).await;
}

#[tokio::test]
async fn on_postgresql() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("gates")).unwrap();
    store.migrate(0).await.unwrap();
    tell(&store).await;
}

#[tokio::test]
async fn what_blocks_a_run_on_sqlite() {
    let (_directory, store) = sqlite_store().await;
    what_blocks_a_run(&store).await;
    let Pools::Sqlite { writer, .. } = &store.pools else { unreachable!("it is SQLite") };
    let forged = "UPDATE blocked SET finding = 'success' WHERE position = 1";
    assert_eq!(sqlx::raw_sql(forged).execute(writer).await.unwrap().rows_affected(), 1);
    assert_eq!(store.blocked("b3").await.unwrap(), [], "what somebody else has written does not count");
    store.sign_everything().await.unwrap();
    assert_eq!(store.blocked("b3").await.unwrap()[1].finding, "success", "an operator takes it for genuine");
}

#[tokio::test]
async fn what_blocks_a_run_on_postgresql() {
    let Some(server) = Postgres::start() else { return };
    let store = open(&server.create_database("blocked")).unwrap();
    store.migrate(0).await.unwrap();
    what_blocks_a_run(&store).await;
}

async fn what_blocks_a_run(store: &Store) {
    let of = |gate, subject: &str, finding: &str, certainty| Blocked {
        gate,
        subject: subject.into(),
        finding: finding.into(),
        certainty,
    };
    let blocked = [
        of(Gate::Check, "ci\u{e9}", "", Certainty::Unknown),
        of(Gate::Freeze, "Fri 16:00-Mon 08:00", "2026-11-23T08:00:00Z", Certainty::Certain),
        of(Gate::Approval, "", "", Certainty::Certain),
    ];
    let blocked_run = async |id: &'static str, created_at_ms| {
        let new = NewRun { delivery_id: Some(id), created_at_ms, ..a_run(id, "api", id) };
        store.create_run(&new).await.unwrap();
        store.update_run_commit(id, "c1", None).await.unwrap();
        let end = RunEnd {
            run_id: id,
            state: RunState::Waiting,
            fault: FaultClass::None,
            cause: Some("waiting for what this text does not say"),
            summary: None,
            ended_at_ms: created_at_ms + 1,
            blocked: &blocked,
            verdicts: &[],
            notifications: &[],
        };
        assert_eq!(store.end_run(&end).await.unwrap(), RunEnded::Now);
        // Once, also where somebody does not know whether it was written.
        assert_eq!(store.end_run(&RunEnd { blocked: &[], ..end }).await.unwrap(), RunEnded::Before);
    };
    blocked_run("b1", 1).await;
    assert_eq!(store.blocked("b1").await.unwrap(), blocked);
    assert_eq!(store.blocked("b0").await.unwrap(), []);

    // Back to a program that does not know of it, and forth again: the run is what it was, and nobody knows any more what blocks it.
    let status = store.migration_status().await.unwrap();
    let since = status.iter().filter(|migration| migration.version >= 8).count();
    store.migrate_down(since).await.unwrap();
    assert!(store.blocked("b1").await.is_err());
    let held = async || store.held_run("api").await.unwrap().unwrap();
    assert_eq!((held().await.id.as_str(), held().await.state), ("b1", RunState::Waiting));
    store.migrate(0).await.unwrap();
    assert_eq!(held().await.id, "b1");
    assert_eq!(store.blocked("b1").await.unwrap(), []);

    // They go with their run.
    blocked_run("b2", 2).await;
    assert_eq!(store.blocked("b2").await.unwrap(), blocked);
    blocked_run("b3", 3).await;
    store.prune(4).await.unwrap();
    let left = [store.blocked("b2").await.unwrap().len(), store.blocked("b3").await.unwrap().len()];
    assert_eq!(left, [0, blocked.len()], "the last run of a deployment stays");
}

/// One run of a commit with its delivery, ended so.
async fn a_run_ends(store: &Store, new: &NewRun<'_>, commit: &str, state: RunState, code: VerdictCode) {
    store.create_run(new).await.unwrap();
    store.update_run_commit(new.id, commit, None).await.unwrap();
    let delivery = new.delivery_id.unwrap();
    let verdict = Verdict { run_id: Some(new.id.to_owned()), ..a_verdict(delivery, "api", code) };
    let fault = match (state, code) {
        (RunState::Failed, VerdictCode::Refused) => FaultClass::Commit,
        (RunState::Failed, _) => FaultClass::Host,
        _ => FaultClass::None,
    };
    let end = RunEnd {
        run_id: new.id,
        state,
        fault,
        cause: Some("why"),
        summary: None,
        ended_at_ms: new.created_at_ms + 1,
        blocked: &[],
        verdicts: &[verdict],
        notifications: &[],
    };
    store.end_run(&end).await.unwrap();
}

async fn tell(store: &Store) {
    let held = async || store.held_run("api").await.unwrap().map(|run| run.id);
    let new = |id, created_at_ms| NewRun { delivery_id: Some(id), created_at_ms, ..a_run(id, "api", id) };
    assert_eq!(held().await, None);
    a_run_ends(store, &new("r1", 1), "c1", RunState::Waiting, VerdictCode::Waiting).await;
    assert_eq!(held().await.as_deref(), Some("r1"));
    let waiting = store.waiting_deliveries("api").await.unwrap();
    assert_eq!(waiting, [WaitingDelivery { delivery_id: "r1".into(), commit_id: "c1".into() }]);
    assert!(store.waiting_deliveries("web").await.unwrap().is_empty());

    // A refused one is held too; one that failed of itself is not.
    a_run_ends(store, &new("r2", 10), "c2", RunState::Failed, VerdictCode::Refused).await;
    assert_eq!(held().await.as_deref(), Some("r2"));
    assert!(store.was_refused("r2").await.unwrap() && !store.was_refused("r1").await.unwrap());
    a_run_ends(store, &new("r3", 20), "c3", RunState::Failed, VerdictCode::Failed).await;
    assert_eq!(held().await, None);

    // Only what the host failed for says nothing of its commit, with a plan or without.
    let says_nothing = async |run| store.run(run).await.unwrap().unwrap().says_nothing_of_its_commit();
    assert!(!says_nothing("r1").await && !says_nothing("r2").await && says_nothing("r3").await);
    let failures = async |commit| store.host_failures("api", commit).await.unwrap();
    assert_eq!(failures("c3").await, HostFailures { all: 1, with_plan: 0 });
    store.save_plan("r3", "{}").await.unwrap();
    assert!(says_nothing("r3").await);
    assert_eq!(failures("c3").await, HostFailures { all: 1, with_plan: 1 });
    for commit in ["c1", "c2"] {
        assert_eq!(failures(commit).await, HostFailures { all: 0, with_plan: 0 }, "{commit}");
    }

    // What an operator asks for takes its place when it has a plan.
    a_run_ends(store, &new("r4", 30), "c4", RunState::Waiting, VerdictCode::Waiting).await;
    let rollback = NewRun { trigger: RunTrigger::Rollback, ..new("r5", 40) };
    a_run_ends(store, &rollback, "c1", RunState::Succeeded, VerdictCode::Deployed).await;
    assert_eq!(held().await.as_deref(), Some("r4"));
    let outcome = async |commit| store.last_outcome("api", commit).await.unwrap().map(|run| run.id);
    assert_eq!(outcome("c1").await, None, "it had no plan");
    store.save_plan("r5", "{}").await.unwrap();
    assert_eq!(held().await, None);
    assert_eq!(outcome("c1").await.as_deref(), Some("r5"));
    store.save_plan("r4", "{}").await.unwrap();
    assert_eq!(outcome("c4").await, None, "it waits");

    // An approval names the head, and is a try of it.
    let approval = NewDelivery { event: "approve", source: "operator", ..a_delivery("r6", "6") };
    store.record_delivery(&approval, &[a_verdict("r6", "api", VerdictCode::Queued)]).await.unwrap();
    let approved = NewRun { trigger: RunTrigger::Operator, ..new("r6", 50) };
    a_run_ends(store, &approved, "c6", RunState::Failed, VerdictCode::Failed).await;
    assert_eq!(store.last_tried("api").await.unwrap().unwrap().id, "r6");
    let named = NewDelivery { event: "deploy", source: "operator", ..a_delivery("r7", "7") };
    store.record_delivery(&named, &[a_verdict("r7", "api", VerdictCode::Queued)]).await.unwrap();
    let deployed = NewRun { trigger: RunTrigger::Operator, ..new("r7", 60) };
    a_run_ends(store, &deployed, "c7", RunState::Succeeded, VerdictCode::Deployed).await;
    assert_eq!(store.last_tried("api").await.unwrap().unwrap().id, "r6");

    // What deploys the live commit once more says nothing of the branch, and takes nobody's place.
    a_run_ends(store, &new("r8", 70), "c8", RunState::Waiting, VerdictCode::Waiting).await;
    for (id, event, trigger, at_ms) in
        [("r9", "redeploy", RunTrigger::Reconcile, 80), ("ra", "adopt", RunTrigger::Operator, 90)]
    {
        let asked = NewDelivery { event, source: "operator", ..a_delivery(id, id) };
        store.record_delivery(&asked, &[a_verdict(id, "api", VerdictCode::Queued)]).await.unwrap();
        let again = NewRun { trigger, ..new(id, at_ms) };
        a_run_ends(store, &again, "c7", RunState::Succeeded, VerdictCode::Deployed).await;
        store.save_plan(id, "{}").await.unwrap();
        assert_eq!(held().await.as_deref(), Some("r8"), "{event}");
    }

    // Made later is later, also where the clock was set back meanwhile.
    a_run_ends(store, &new("rb", 5), "c9", RunState::Failed, VerdictCode::Failed).await;
    store.save_plan("rb", "{}").await.unwrap();
    assert_eq!(store.last_tried("api").await.unwrap().unwrap().id, "rb");
    assert_eq!(store.last_run("api").await.unwrap().unwrap().id, "rb");
    a_run_ends(store, &new("rc", 4), "c9", RunState::Cancelled, VerdictCode::Cancelled).await;
    store.save_plan("rc", "{}").await.unwrap();
    assert_eq!(outcome("c9").await.as_deref(), Some("rc"));
    a_run_ends(store, &new("rd", 3), "d1", RunState::Waiting, VerdictCode::Waiting).await;
    assert_eq!(held().await.as_deref(), Some("rd"));
    let rollback = NewRun { trigger: RunTrigger::Rollback, ..new("re", 2) };
    a_run_ends(store, &rollback, "c1", RunState::Succeeded, VerdictCode::Deployed).await;
    store.save_plan("re", "{}").await.unwrap();
    assert_eq!(held().await, None, "an operator has put something else in its place");

    let commit = CommitId::parse(&"a".repeat(40)).unwrap();
    assert_eq!(store.answers("api").await.unwrap(), Answers::default());
    for answer in [
        OperatorAnswer::Approved(CommitId::parse(&"b".repeat(40)).unwrap()),
        OperatorAnswer::Approved(commit.clone()),
        OperatorAnswer::Released(commit.clone()),
        OperatorAnswer::FreezeLiftedUntil(7),
    ] {
        store.set_answer("api", &answer).await.unwrap();
    }
    let expected =
        Answers { approved: Some(commit.clone()), released: Some(commit), freeze_lifted_until_ms: Some(7) };
    assert_eq!(store.answers("api").await.unwrap(), expected);
    assert_eq!(store.answers("web").await.unwrap(), Answers::default());
}
