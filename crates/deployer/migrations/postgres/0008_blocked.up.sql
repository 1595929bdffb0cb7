-- Which gates a run found closed. Runs of before have no rows: what they waited for is only in their cause, which is never compared. The same
-- table as in ../sqlite.
CREATE TABLE blocked (
    run_id    TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    position  BIGINT  NOT NULL,
    gate      TEXT    NOT NULL,
    subject   TEXT    NOT NULL, -- which of its kind: a check, a window
    finding   TEXT    NOT NULL, -- one word or time
    certainty TEXT    NOT NULL,
    mac       TEXT,
    PRIMARY KEY (run_id, position)
);
