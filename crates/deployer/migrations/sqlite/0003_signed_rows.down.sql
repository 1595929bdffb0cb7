-- A program without these columns believes every row.
ALTER TABLE meta DROP COLUMN mac;
ALTER TABLE told_deployments DROP COLUMN mac;
ALTER TABLE outbox DROP COLUMN mac;
ALTER TABLE releases DROP COLUMN mac;
ALTER TABLE steps DROP COLUMN mac;
ALTER TABLE runs DROP COLUMN mac;
