DROP INDEX runs_by_making;
DROP INDEX seen_bodies_by_repository;
ALTER TABLE seen_bodies DROP COLUMN repository;
