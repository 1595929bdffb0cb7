DROP TABLE meta;
DROP TABLE outbox;
DROP TABLE releases;
DROP TABLE steps;
DROP TABLE runs;
DROP TABLE verdicts;
DROP TABLE deliveries;
