//! Two processes' worth of connections write to one SQLite file at once, as the daemon and the CLI do.

use super::*;
use tokio::task::JoinSet;

const TASKS: usize = 4;
const DELIVERIES: usize = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_turned_away_and_nothing_is_written_twice() {
    let (directory, store) = sqlite_store().await;
    let other = open(&sqlite_url(directory.path())).unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let store = if task % 2 == 0 { store.clone() } else { other.clone() };
        tasks.spawn(async move {
            let mut new = 0;
            for number in 0..DELIVERIES {
                let (id, entry) = (format!("d{number}"), format!("{task}-{number}"));
                let verdict = a_verdict(&id, "api", VerdictCode::Queued);
                if store.record_delivery(&a_delivery(&id, &entry), &[verdict]).await.unwrap() == Recorded::New
                {
                    new += 1;
                }
                store.create_run(&a_run(&format!("r{task}-{number}"), "api", "entry")).await.unwrap();
                store.set_meta("last", &entry).await.unwrap();
            }
            new
        });
    }
    let new: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(new, DELIVERIES, "each delivery is new to exactly one");
    for delivery in store.deliveries(100, DeliveryFilter::default()).await.unwrap() {
        assert_eq!(delivery.redeliveries as usize, TASKS - 1, "{delivery:?}");
    }
    let mut attempts: Vec<u32> =
        store.runs_for_entry("api", "entry").await.unwrap().into_iter().map(|run| run.attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, (1..=(TASKS * DELIVERIES) as u32).collect::<Vec<_>>());
}
