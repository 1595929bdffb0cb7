-- The deployments that GitHub has, each for a run, by GitHub's number. The same table as in ../postgres.
CREATE TABLE told_deployments (
    run_id     TEXT    NOT NULL PRIMARY KEY,
    deployment TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    commit_id  TEXT    NOT NULL,
    github_id  INTEGER NOT NULL,
    state      TEXT    NOT NULL, -- in GitHub's words; '' before any was told
    told_at_ms INTEGER NOT NULL
);
CREATE INDEX told_deployments_active ON told_deployments (deployment, run_id) WHERE state = 'success';

CREATE INDEX outbox_refused ON outbox (refused_at_ms) WHERE refused_at_ms IS NOT NULL;
