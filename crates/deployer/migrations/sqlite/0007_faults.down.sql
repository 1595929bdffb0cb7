-- A program without these columns knows no run of which nobody knows what it has left behind. The proof of such a row does not fit any longer
-- then, so that such a program does nothing for it either, but end it with a sentence.
UPDATE runs SET state = 'running' WHERE state = 'unknown';
DROP INDEX runs_unfinished;
CREATE INDEX runs_unfinished ON runs (deployment) WHERE state IN ('queued', 'running');
ALTER TABLE steps DROP COLUMN plan_index_mac;
ALTER TABLE steps DROP COLUMN plan_index;
ALTER TABLE runs DROP COLUMN fault_mac;
ALTER TABLE runs DROP COLUMN fault;
