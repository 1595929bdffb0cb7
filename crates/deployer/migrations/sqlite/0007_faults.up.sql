-- Who can do something about the end of a run, and which step of its plan a step is: said, where it was guessed from plans, verdicts and
-- numbers before. Both are signed by themselves, so that the proof of a row stays the one that older programs know. The same columns as in
-- ../postgres.
ALTER TABLE runs ADD COLUMN fault TEXT;
ALTER TABLE runs ADD COLUMN fault_mac TEXT;
ALTER TABLE steps ADD COLUMN plan_index INTEGER;
ALTER TABLE steps ADD COLUMN plan_index_mac TEXT;

UPDATE runs SET fault = CASE
    WHEN state = 'cancelled' THEN 'operator'
    WHEN state <> 'failed' THEN 'none'
    WHEN plan IS NULL AND EXISTS (SELECT 1 FROM verdicts WHERE verdicts.run_id = runs.id AND verdicts.code = 'refused') THEN 'commit'
    WHEN plan IS NULL THEN 'host'
    WHEN EXISTS (SELECT 1 FROM verdicts WHERE verdicts.run_id = runs.id AND verdicts.code = 'error') THEN 'host'
    ELSE 'commit' END
    WHERE state NOT IN ('queued', 'running');

-- The steps of a plan follow those that came before it; a plan that does not say how many is one of 0.1.0, whose runs had the fetch before it
-- and those that go back to a release nothing.
UPDATE steps SET plan_index = number - 1 - (SELECT COALESCE(
        CASE WHEN json_valid(runs.plan) THEN json_extract(runs.plan, '$.steps_before') END,
        CASE runs.trigger_kind WHEN 'rollback' THEN 0 ELSE 1 END)
        FROM runs WHERE runs.id = steps.run_id)
    WHERE direction = 'do' AND EXISTS (SELECT 1 FROM runs WHERE runs.id = steps.run_id AND runs.plan IS NOT NULL);
UPDATE steps SET plan_index = NULL WHERE plan_index < 0;

DROP INDEX runs_unfinished;
CREATE INDEX runs_unfinished ON runs (deployment) WHERE state IN ('queued', 'running', 'unknown');
