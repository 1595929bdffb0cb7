-- Times are Unix milliseconds, ids and words are text, JSON is text. The same tables as in ../postgres.

CREATE TABLE deliveries (
    id                    TEXT    NOT NULL PRIMARY KEY,
    entry                 TEXT    NOT NULL, -- the spool entry by which it came first
    event                 TEXT    NOT NULL,
    source                TEXT    NOT NULL,
    remote_address        TEXT    NOT NULL,
    received_at_ms        INTEGER NOT NULL,
    payload_sha256        TEXT    NOT NULL,
    repository            TEXT,
    git_ref               TEXT,
    commit_id             TEXT,
    sender                TEXT,
    redeliveries          INTEGER NOT NULL DEFAULT 0,
    last_redelivery_entry TEXT, -- so that one redelivery is counted once
    dispatched_at_ms      INTEGER
);
CREATE INDEX deliveries_by_payload ON deliveries (payload_sha256, entry);
CREATE INDEX deliveries_by_time ON deliveries (received_at_ms);

-- No reference to deliveries: a verdict must be storable also where the delivery's own row was lost.
CREATE TABLE verdicts (
    delivery_id   TEXT    NOT NULL,
    deployment    TEXT    NOT NULL, -- '' where it concerns none
    code          TEXT    NOT NULL,
    sentence      TEXT    NOT NULL,
    run_id        TEXT,
    decided_at_ms INTEGER NOT NULL,
    PRIMARY KEY (delivery_id, deployment)
);
CREATE INDEX verdicts_by_run ON verdicts (run_id);

CREATE TABLE runs (
    id              TEXT    NOT NULL PRIMARY KEY,
    deployment      TEXT    NOT NULL,
    repository      TEXT    NOT NULL,
    branch          TEXT    NOT NULL,
    commit_id       TEXT,
    previous_commit TEXT,
    attempt         INTEGER NOT NULL,
    trigger_kind    TEXT    NOT NULL, -- `trigger` is a word of SQL
    requested_by    TEXT    NOT NULL,
    entry           TEXT    NOT NULL, -- the entry in the deployment's spool
    delivery_id     TEXT,
    state           TEXT    NOT NULL,
    cause           TEXT,
    summary         TEXT,
    plan            TEXT,
    release         TEXT,
    created_at_ms   INTEGER NOT NULL,
    started_at_ms   INTEGER,
    ended_at_ms     INTEGER,
    pid             INTEGER NOT NULL,
    boot_id         TEXT    NOT NULL
);
CREATE INDEX runs_by_time ON runs (deployment, created_at_ms);
CREATE INDEX runs_by_delivery ON runs (delivery_id);
CREATE INDEX runs_by_entry ON runs (deployment, entry);
CREATE INDEX runs_by_commit ON runs (deployment, commit_id);
CREATE INDEX runs_unfinished ON runs (deployment) WHERE state IN ('queued', 'running');

CREATE TABLE steps (
    run_id        TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    direction     TEXT    NOT NULL,
    phase         TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    command       TEXT,
    state         TEXT    NOT NULL,
    detail        TEXT,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms   INTEGER,
    cause         TEXT,
    PRIMARY KEY (run_id, number, direction)
);

CREATE TABLE releases (
    deployment    TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    path          TEXT    NOT NULL,
    commit_id     TEXT    NOT NULL,
    run_id        TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    live_at_ms    INTEGER,
    bytes         INTEGER,
    PRIMARY KEY (deployment, name)
);
CREATE UNIQUE INDEX releases_one_live ON releases (deployment) WHERE state = 'live';

CREATE TABLE outbox (
    id               INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind             TEXT    NOT NULL,
    repository       TEXT    NOT NULL,
    commit_id        TEXT    NOT NULL,
    context          TEXT    NOT NULL,
    deployment       TEXT    NOT NULL,
    run_id           TEXT,
    body             TEXT    NOT NULL,
    created_at_ms    INTEGER NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    next_at_ms       INTEGER NOT NULL,
    last_error       TEXT,
    done_at_ms       INTEGER,
    refused_at_ms    INTEGER,
    superseded_at_ms INTEGER
);
CREATE INDEX outbox_by_key ON outbox (repository, commit_id, context);
CREATE INDEX outbox_pending ON outbox (next_at_ms)
    WHERE done_at_ms IS NULL AND refused_at_ms IS NULL AND superseded_at_ms IS NULL;

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
