//! The columns that are read, by table. Always by name: a deployer that updates itself reads the database while its replacement adds columns,
//! and a prepared `SELECT *` has other columns from then on than its reader knows.

/// The columns of a table that its type reads, for `concat!`.
macro_rules! columns {
    (blocked) => {
        "run_id, position, gate, subject, finding, certainty, mac"
    };
    (deliveries) => {
        "id, entry, event, source, remote_address, received_at_ms, payload_sha256, repository, git_ref, commit_id, sender, redeliveries, dispatched_at_ms"
    };
    (observations) => {
        "deployment, observed_at_ms, findings, mac"
    };
    (outbox) => {
        "id, kind, repository, commit_id, context, deployment, run_id, body, created_at_ms, attempts, next_at_ms, last_error, mac"
    };
    (releases) => {
        "deployment, name, path, commit_id, run_id, state, created_at_ms, live_at_ms, bytes, mac"
    };
    (runs) => {
        "id, deployment, repository, branch, commit_id, previous_commit, attempt, trigger_kind, requested_by, entry, delivery_id, state, fault, cause, summary, plan, release, created_at_ms, started_at_ms, ended_at_ms, pid, boot_id, mac, fault_mac"
    };
    (steps) => {
        "run_id, number, plan_index, direction, phase, name, command, state, detail, started_at_ms, ended_at_ms, cause, mac, plan_index_mac"
    };
    (told_deployments) => {
        "run_id, deployment, repository, commit_id, github_id, state, told_at_ms, mac"
    };
    (verdicts) => {
        "delivery_id, deployment, code, sentence, run_id, decided_at_ms"
    };
}

pub(crate) use columns;
