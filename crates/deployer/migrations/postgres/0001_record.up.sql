-- Times are Unix milliseconds, ids and words are text, JSON is text. The same tables as in ../sqlite.
-- What is compared or sorted is collated by its bytes, as SQLite does, whatever the locale of the database.

CREATE TABLE deliveries (
    id                    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    entry                 TEXT COLLATE "C" NOT NULL, -- the spool entry by which it came first
    event                 TEXT NOT NULL,
    source                TEXT NOT NULL,
    remote_address        TEXT NOT NULL,
    received_at_ms        BIGINT NOT NULL,
    payload_sha256        TEXT NOT NULL,
    repository            TEXT,
    git_ref               TEXT,
    commit_id             TEXT,
    sender                TEXT,
    redeliveries          BIGINT NOT NULL DEFAULT 0,
    last_redelivery_entry TEXT COLLATE "C", -- so that one redelivery is counted once
    dispatched_at_ms      BIGINT
);
CREATE INDEX deliveries_by_payload ON deliveries (payload_sha256, entry);
CREATE INDEX deliveries_by_time ON deliveries (received_at_ms);

-- No reference to deliveries: a verdict must be storable also where the delivery's own row was lost.
CREATE TABLE verdicts (
    delivery_id   TEXT COLLATE "C" NOT NULL,
    deployment    TEXT COLLATE "C" NOT NULL, -- '' where it concerns none
    code          TEXT NOT NULL,
    sentence      TEXT NOT NULL,
    run_id        TEXT COLLATE "C",
    decided_at_ms BIGINT NOT NULL,
    PRIMARY KEY (delivery_id, deployment)
);
CREATE INDEX verdicts_by_run ON verdicts (run_id);

CREATE TABLE runs (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    deployment      TEXT COLLATE "C" NOT NULL,
    repository      TEXT NOT NULL,
    branch          TEXT NOT NULL,
    commit_id       TEXT,
    previous_commit TEXT,
    attempt         BIGINT NOT NULL,
    trigger_kind    TEXT NOT NULL, -- `trigger` is a word of SQL
    requested_by    TEXT NOT NULL,
    entry           TEXT COLLATE "C" NOT NULL, -- the entry in the deployment's spool
    delivery_id     TEXT COLLATE "C",
    state           TEXT NOT NULL,
    cause           TEXT,
    summary         TEXT,
    plan            TEXT,
    release         TEXT COLLATE "C",
    created_at_ms   BIGINT NOT NULL,
    started_at_ms   BIGINT,
    ended_at_ms     BIGINT,
    pid             BIGINT NOT NULL,
    boot_id         TEXT NOT NULL
);
CREATE INDEX runs_by_time ON runs (deployment, created_at_ms);
CREATE INDEX runs_by_delivery ON runs (delivery_id);
CREATE INDEX runs_by_entry ON runs (deployment, entry);
CREATE INDEX runs_by_commit ON runs (deployment, commit_id);
CREATE INDEX runs_unfinished ON runs (deployment) WHERE state IN ('queued', 'running');

CREATE TABLE steps (
    run_id        TEXT COLLATE "C" NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    number        BIGINT NOT NULL,
    direction     TEXT NOT NULL,
    phase         TEXT NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    command       TEXT,
    state         TEXT NOT NULL,
    detail        TEXT,
    started_at_ms BIGINT NOT NULL,
    ended_at_ms   BIGINT,
    cause         TEXT,
    PRIMARY KEY (run_id, number, direction)
);

CREATE TABLE releases (
    deployment    TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    path          TEXT NOT NULL,
    commit_id     TEXT NOT NULL,
    run_id        TEXT COLLATE "C" NOT NULL,
    state         TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    live_at_ms    BIGINT,
    bytes         BIGINT,
    PRIMARY KEY (deployment, name)
);
CREATE UNIQUE INDEX releases_one_live ON releases (deployment) WHERE state = 'live';

CREATE TABLE outbox (
    id               BIGSERIAL NOT NULL PRIMARY KEY,
    kind             TEXT NOT NULL,
    repository       TEXT NOT NULL,
    commit_id        TEXT NOT NULL,
    context          TEXT NOT NULL,
    deployment       TEXT COLLATE "C" NOT NULL,
    run_id           TEXT COLLATE "C",
    body             TEXT NOT NULL,
    created_at_ms    BIGINT NOT NULL,
    attempts         BIGINT NOT NULL DEFAULT 0,
    next_at_ms       BIGINT NOT NULL,
    last_error       TEXT,
    done_at_ms       BIGINT,
    refused_at_ms    BIGINT,
    superseded_at_ms BIGINT
);
CREATE INDEX outbox_by_key ON outbox (repository, commit_id, context);
CREATE INDEX outbox_pending ON outbox (next_at_ms)
    WHERE done_at_ms IS NULL AND refused_at_ms IS NULL AND superseded_at_ms IS NULL;

CREATE TABLE meta (
    key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
