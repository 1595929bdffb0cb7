-- What the deployer saw last of each deployment on this host. The same table as in ../sqlite.
CREATE TABLE observations (
    deployment     TEXT   NOT NULL PRIMARY KEY,
    observed_at_ms BIGINT NOT NULL,
    findings       TEXT   NOT NULL, -- JSON
    mac            TEXT
);
