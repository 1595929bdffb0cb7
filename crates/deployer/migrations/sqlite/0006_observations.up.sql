-- What the deployer saw last of each deployment on this host. The same table as in ../postgres.
CREATE TABLE observations (
    deployment     TEXT   NOT NULL PRIMARY KEY,
    observed_at_ms INTEGER NOT NULL,
    findings       TEXT   NOT NULL, -- JSON
    mac            TEXT
) WITHOUT ROWID;
