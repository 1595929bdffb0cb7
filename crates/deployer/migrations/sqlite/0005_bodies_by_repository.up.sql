-- Bodies are counted for each repository, so that no other's are forgotten for its sake. Runs are asked for in the order of their making,
-- which their ids have. The same in ../postgres.
ALTER TABLE seen_bodies ADD COLUMN repository TEXT NOT NULL DEFAULT '';
UPDATE seen_bodies SET repository = COALESCE((SELECT LOWER(deliveries.repository) FROM deliveries
    WHERE deliveries.id = seen_bodies.delivery_id), '');
CREATE INDEX seen_bodies_by_repository ON seen_bodies (repository, seen_at_ms);
CREATE INDEX runs_by_making ON runs (deployment, id);
