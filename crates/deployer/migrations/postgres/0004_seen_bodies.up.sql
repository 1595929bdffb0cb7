-- Bodies that led to something, for longer than their deliveries are kept: whoever sends one again under another id gets nothing by it.
-- The same tables as in ../sqlite.
CREATE TABLE seen_bodies (
    payload_sha256 TEXT   NOT NULL PRIMARY KEY,
    delivery_id    TEXT   NOT NULL, -- by which it came first
    seen_at_ms     BIGINT  NOT NULL
);
CREATE INDEX seen_bodies_by_time ON seen_bodies (seen_at_ms);

INSERT INTO seen_bodies (payload_sha256, delivery_id, seen_at_ms)
    SELECT payload_sha256, id, received_at_ms FROM deliveries
    WHERE source = 'github' AND payload_sha256 <> '' AND EXISTS (SELECT 1 FROM verdicts
        WHERE verdicts.delivery_id = deliveries.id AND verdicts.deployment <> '' AND verdicts.code <> 'not-waited-for')
    ORDER BY entry
    ON CONFLICT (payload_sha256) DO NOTHING;

-- Deliveries with the GUID of an earlier one and another body: GUIDs are not signed. Each has an id of its own in the other tables.
CREATE TABLE deliveries_of_guids (
    delivery_id TEXT NOT NULL PRIMARY KEY,
    guid        TEXT NOT NULL
);
CREATE INDEX deliveries_of_guids_by_guid ON deliveries_of_guids (guid);
