-- Proof that the deployer wrote a row itself: an HMAC with a key that is not in the database. The same columns as in ../sqlite.
ALTER TABLE runs ADD COLUMN mac TEXT;
ALTER TABLE steps ADD COLUMN mac TEXT;
ALTER TABLE releases ADD COLUMN mac TEXT;
ALTER TABLE outbox ADD COLUMN mac TEXT;
ALTER TABLE told_deployments ADD COLUMN mac TEXT;
ALTER TABLE meta ADD COLUMN mac TEXT;
