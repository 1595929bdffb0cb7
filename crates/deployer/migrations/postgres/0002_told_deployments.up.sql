-- The deployments that GitHub has, each for a run, by GitHub's number. The same table as in ../sqlite.
CREATE TABLE told_deployments (
    run_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    deployment TEXT COLLATE "C" NOT NULL,
    repository TEXT NOT NULL,
    commit_id  TEXT NOT NULL,
    github_id  BIGINT NOT NULL,
    state      TEXT NOT NULL, -- in GitHub's words; '' before any was told
    told_at_ms BIGINT NOT NULL
);
CREATE INDEX told_deployments_active ON told_deployments (deployment, run_id) WHERE state = 'success';

CREATE INDEX outbox_refused ON outbox (refused_at_ms) WHERE refused_at_ms IS NOT NULL;
