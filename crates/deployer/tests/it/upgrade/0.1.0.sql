PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'record','2026-11-30 21:49:16',1,X'cab80720029117357551da32472f9a9f4e5b53dd5a1577cc5784660715a62324a20d33b3269bb0465067bedf3b007db9',1256346);
INSERT INTO _sqlx_migrations VALUES(2,'told deployments','2026-11-30 21:49:16',1,X'ccd5ec3735c3eb9968563c67460230815e9eadbfdda398e6466a8f17a76f5aa49ba32551e4134af9d7db32660a8164b0',460674);
CREATE TABLE deliveries (
    id                    TEXT    NOT NULL PRIMARY KEY,
    entry                 TEXT    NOT NULL, -- the spool entry by which it came first
    event                 TEXT    NOT NULL,
    source                TEXT    NOT NULL,
    remote_address        TEXT    NOT NULL,
    received_at_ms        INTEGER NOT NULL,
    payload_sha256        TEXT    NOT NULL,
    repository            TEXT,
    git_ref               TEXT,
    commit_id             TEXT,
    sender                TEXT,
    redeliveries          INTEGER NOT NULL DEFAULT 0,
    last_redelivery_entry TEXT, -- so that one redelivery is counted once
    dispatched_at_ms      INTEGER
);
INSERT INTO deliveries VALUES('@ID 75356970 73d4-aeb8-eac379c90dd3@','@NS 75357014 126283@-@ID 75356970 73d4-aeb8-eac379c90dd3@.json','deploy','operator','somebody at the command line',@MS 75356970@,'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','acme/site',NULL,NULL,NULL,0,NULL,@MS 75357108@);
INSERT INTO deliveries VALUES('@ID 75358525 7748-a723-b52616df4d39@','@NS 75358701 870650@-@ID 75358525 7748-a723-b52616df4d39@.json','deploy','operator','somebody at the command line',@MS 75358525@,'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','acme/site',NULL,NULL,NULL,0,NULL,@MS 75358734@);
INSERT INTO deliveries VALUES('@ID 75359729 7381-ac2f-c11fabc9cbcc@','@NS 75359817 878305@-@ID 75359729 7381-ac2f-c11fabc9cbcc@.json','deploy','operator','somebody at the command line',@MS 75359729@,'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','acme/site',NULL,NULL,NULL,0,NULL,@MS 75359858@);
INSERT INTO deliveries VALUES('@ID 75363330 712d-b6ab-dbf87b24c406@','@NS 75363511 147865@-@ID 75363330 712d-b6ab-dbf87b24c406@.json','push','github','127.0.0.1',@MS 75363509@,'@SHA@','acme/site','refs/heads/main','@SECOND@','simulated',0,NULL,@MS 75363626@);
CREATE TABLE verdicts (
    delivery_id   TEXT    NOT NULL,
    deployment    TEXT    NOT NULL, -- '' where it concerns none
    code          TEXT    NOT NULL,
    sentence      TEXT    NOT NULL,
    run_id        TEXT,
    decided_at_ms INTEGER NOT NULL,
    PRIMARY KEY (delivery_id, deployment)
);
INSERT INTO verdicts VALUES('@ID 75356970 73d4-aeb8-eac379c90dd3@','site','deployed','deployed','@ID 75357119 7673-8cf5-cae3405e9a07@',@MS 75357865@);
INSERT INTO verdicts VALUES('@ID 75358525 7748-a723-b52616df4d39@','site','failed','build (b): exited with 3: no such module','@ID 75358735 7681-8b8f-1646d8ffa930@',@MS 75359277@);
INSERT INTO verdicts VALUES('@ID 75359729 7381-ac2f-c11fabc9cbcc@','site','failed','fetch failed: git fetch from file://@ROOT@/bare/site: fatal: ''@ROOT@/bare/site'' does not appear to be a git repository; is the name right, and may our credential read it?','@ID 75359867 72f2-92c0-33c7b868b28e@',@MS 75360019@);
INSERT INTO verdicts VALUES('@ID 75363330 712d-b6ab-dbf87b24c406@','site','queued','queued',NULL,@MS 75363514@);
CREATE TABLE runs (
    id              TEXT    NOT NULL PRIMARY KEY,
    deployment      TEXT    NOT NULL,
    repository      TEXT    NOT NULL,
    branch          TEXT    NOT NULL,
    commit_id       TEXT,
    previous_commit TEXT,
    attempt         INTEGER NOT NULL,
    trigger_kind    TEXT    NOT NULL, -- `trigger` is a word of SQL
    requested_by    TEXT    NOT NULL,
    entry           TEXT    NOT NULL, -- the entry in the deployment's spool
    delivery_id     TEXT,
    state           TEXT    NOT NULL,
    cause           TEXT,
    summary         TEXT,
    plan            TEXT,
    release         TEXT,
    created_at_ms   INTEGER NOT NULL,
    started_at_ms   INTEGER,
    ended_at_ms     INTEGER,
    pid             INTEGER NOT NULL,
    boot_id         TEXT    NOT NULL
);
INSERT INTO runs VALUES('@ID 75357119 7673-8cf5-cae3405e9a07@','site','acme/site','main','@FIRST@',NULL,1,'operator','somebody at the command line','@NS 75357014 126283@-@ID 75356970 73d4-aeb8-eac379c90dd3@.json','@ID 75356970 73d4-aeb8-eac379c90dd3@','succeeded',NULL,NULL,'{"steps":[{"phase":"fetch","name":"export","action":{"export":{"release":"20261130T214917Z-@FIRST_7@","commit":"@FIRST@"}},"undo":[],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"build","name":"b","action":{"command":{"line":{"shell":"if [ -e broken ]; then echo no such module >&2; exit 3; fi; echo $DEPLOYER_COMMIT >> ''@ROOT@/gate/arrivals''; until [ -e ''@ROOT@/gate/opened'' ]; do sleep 0.02; done"},"directory":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","environment":{},"env_files":[]}},"undo":[{"action":{"command":{"line":{"shell":"touch @ROOT@/undone"},"directory":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","environment":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@FIRST@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE_NAME":"20261130T214917Z-@FIRST_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75357119 7673-8cf5-cae3405e9a07@"},"env_files":[]}},"if_started":null,"phase":"build","timeout":null,"retries":0}],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"switch","name":"activate","action":{"activate":{"release":"20261130T214917Z-@FIRST_7@"}},"undo":[{"action":"deactivate","if_started":null,"phase":"switch","timeout":null,"retries":0}],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"clean","name":"prune","action":"prune","undo":[],"timeout":{"secs":600,"nanos":0},"retries":0}],"on_failure":[],"environment":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@FIRST@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE_NAME":"20261130T214917Z-@FIRST_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75357119 7673-8cf5-cae3405e9a07@"},"environment_before":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@FIRST@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE_NAME":"20261130T214917Z-@FIRST_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75357119 7673-8cf5-cae3405e9a07@"},"inputs":null}','20261130T214917Z-@FIRST_7@',@MS 75357119@,@MS 75357130@,@MS 75357865@,2089,'ae1960f9-c034-49b0-9a00-c818b3660a00');
INSERT INTO runs VALUES('@ID 75358735 7681-8b8f-1646d8ffa930@','site','acme/site','main','@BROKEN@','@FIRST@',1,'operator','somebody at the command line','@NS 75358701 870650@-@ID 75358525 7748-a723-b52616df4d39@.json','@ID 75358525 7748-a723-b52616df4d39@','failed','build (b): exited with 3: no such module','@FIRST_7@ is live','{"steps":[{"phase":"fetch","name":"export","action":{"export":{"release":"20261130T214918Z-@BROKEN_7@","commit":"@BROKEN@"}},"undo":[],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"build","name":"b","action":{"command":{"line":{"shell":"if [ -e broken ]; then echo no such module >&2; exit 3; fi; echo $DEPLOYER_COMMIT >> ''@ROOT@/gate/arrivals''; until [ -e ''@ROOT@/gate/opened'' ]; do sleep 0.02; done"},"directory":"@ROOT@/srv/site/releases/20261130T214918Z-@BROKEN_7@","environment":{},"env_files":[]}},"undo":[{"action":{"command":{"line":{"shell":"touch @ROOT@/undone"},"directory":"@ROOT@/srv/site/releases/20261130T214918Z-@BROKEN_7@","environment":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@BROKEN@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_PREVIOUS_COMMIT":"@FIRST@","DEPLOYER_PREVIOUS_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214918Z-@BROKEN_7@","DEPLOYER_RELEASE_NAME":"20261130T214918Z-@BROKEN_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75358735 7681-8b8f-1646d8ffa930@"},"env_files":[]}},"if_started":null,"phase":"build","timeout":null,"retries":0}],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"switch","name":"activate","action":{"activate":{"release":"20261130T214918Z-@BROKEN_7@"}},"undo":[{"action":{"activate":{"release":"20261130T214917Z-@FIRST_7@"}},"if_started":null,"phase":"switch","timeout":null,"retries":0}],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"clean","name":"prune","action":"prune","undo":[],"timeout":{"secs":600,"nanos":0},"retries":0}],"on_failure":[],"environment":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@BROKEN@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_PREVIOUS_COMMIT":"@FIRST@","DEPLOYER_PREVIOUS_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214918Z-@BROKEN_7@","DEPLOYER_RELEASE_NAME":"20261130T214918Z-@BROKEN_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75358735 7681-8b8f-1646d8ffa930@"},"environment_before":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@FIRST@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE_NAME":"20261130T214917Z-@FIRST_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75358735 7681-8b8f-1646d8ffa930@"},"inputs":null}','20261130T214918Z-@BROKEN_7@',@MS 75358735@,@MS 75358742@,@MS 75359278@,2230,'ae1960f9-c034-49b0-9a00-c818b3660a00');
INSERT INTO runs VALUES('@ID 75359867 72f2-92c0-33c7b868b28e@','site','acme/site','main',NULL,NULL,1,'operator','somebody at the command line','@NS 75359817 878305@-@ID 75359729 7381-ac2f-c11fabc9cbcc@.json','@ID 75359729 7381-ac2f-c11fabc9cbcc@','failed','fetch failed: git fetch from file://@ROOT@/bare/site: fatal: ''@ROOT@/bare/site'' does not appear to be a git repository; is the name right, and may our credential read it?','@FIRST_7@ is live',NULL,NULL,@MS 75359867@,@MS 75359868@,@MS 75360019@,2309,'ae1960f9-c034-49b0-9a00-c818b3660a00');
INSERT INTO runs VALUES('@ID 75363693 7028-84ac-6d847b9d5c50@','site','acme/site','main','@SECOND@','@FIRST@',1,'delivery','127.0.0.1','@NS 75363609 886551@-@ID 75363330 712d-b6ab-dbf87b24c406@.json','@ID 75363330 712d-b6ab-dbf87b24c406@','undone','the deployer died during this run; it was taken back',NULL,'{"steps":[{"phase":"fetch","name":"export","action":{"export":{"release":"20261130T214923Z-@SECOND_7@","commit":"@SECOND@"}},"undo":[],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"build","name":"b","action":{"command":{"line":{"shell":"if [ -e broken ]; then echo no such module >&2; exit 3; fi; echo $DEPLOYER_COMMIT >> ''@ROOT@/gate/arrivals''; until [ -e ''@ROOT@/gate/opened'' ]; do sleep 0.02; done"},"directory":"@ROOT@/srv/site/releases/20261130T214923Z-@SECOND_7@","environment":{},"env_files":[]}},"undo":[{"action":{"command":{"line":{"shell":"touch @ROOT@/undone"},"directory":"@ROOT@/srv/site/releases/20261130T214923Z-@SECOND_7@","environment":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@SECOND@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_PREVIOUS_COMMIT":"@FIRST@","DEPLOYER_PREVIOUS_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214923Z-@SECOND_7@","DEPLOYER_RELEASE_NAME":"20261130T214923Z-@SECOND_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75363693 7028-84ac-6d847b9d5c50@"},"env_files":[]}},"if_started":null,"phase":"build","timeout":null,"retries":0}],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"switch","name":"activate","action":{"activate":{"release":"20261130T214923Z-@SECOND_7@"}},"undo":[{"action":{"activate":{"release":"20261130T214917Z-@FIRST_7@"}},"if_started":null,"phase":"switch","timeout":null,"retries":0}],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"clean","name":"prune","action":"prune","undo":[],"timeout":{"secs":600,"nanos":0},"retries":0}],"on_failure":[],"environment":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@SECOND@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_PREVIOUS_COMMIT":"@FIRST@","DEPLOYER_PREVIOUS_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214923Z-@SECOND_7@","DEPLOYER_RELEASE_NAME":"20261130T214923Z-@SECOND_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75363693 7028-84ac-6d847b9d5c50@"},"environment_before":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@FIRST@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE_NAME":"20261130T214917Z-@FIRST_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75363693 7028-84ac-6d847b9d5c50@"},"inputs":null}','20261130T214923Z-@SECOND_7@',@MS 75363693@,@MS 75363695@,@MS 75365243@,2388,'ae1960f9-c034-49b0-9a00-c818b3660a00');
INSERT INTO runs VALUES('@ID 75365414 7175-a859-e17b74c5d6c3@','site','acme/site','main','@SECOND@','@FIRST@',2,'delivery','127.0.0.1','@NS 75363609 886551@-@ID 75363330 712d-b6ab-dbf87b24c406@.json','@ID 75363330 712d-b6ab-dbf87b24c406@','running',NULL,NULL,'{"steps":[{"phase":"fetch","name":"export","action":{"export":{"release":"20261130T214925Z-@SECOND_7@","commit":"@SECOND@"}},"undo":[],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"build","name":"b","action":{"command":{"line":{"shell":"if [ -e broken ]; then echo no such module >&2; exit 3; fi; echo $DEPLOYER_COMMIT >> ''@ROOT@/gate/arrivals''; until [ -e ''@ROOT@/gate/opened'' ]; do sleep 0.02; done"},"directory":"@ROOT@/srv/site/releases/20261130T214925Z-@SECOND_7@","environment":{},"env_files":[]}},"undo":[{"action":{"command":{"line":{"shell":"touch @ROOT@/undone"},"directory":"@ROOT@/srv/site/releases/20261130T214925Z-@SECOND_7@","environment":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@SECOND@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_PREVIOUS_COMMIT":"@FIRST@","DEPLOYER_PREVIOUS_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214925Z-@SECOND_7@","DEPLOYER_RELEASE_NAME":"20261130T214925Z-@SECOND_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75365414 7175-a859-e17b74c5d6c3@"},"env_files":[]}},"if_started":null,"phase":"build","timeout":null,"retries":0}],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"switch","name":"activate","action":{"activate":{"release":"20261130T214925Z-@SECOND_7@"}},"undo":[{"action":{"activate":{"release":"20261130T214917Z-@FIRST_7@"}},"if_started":null,"phase":"switch","timeout":null,"retries":0}],"timeout":{"secs":600,"nanos":0},"retries":0},{"phase":"clean","name":"prune","action":"prune","undo":[],"timeout":{"secs":600,"nanos":0},"retries":0}],"on_failure":[],"environment":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@SECOND@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_PREVIOUS_COMMIT":"@FIRST@","DEPLOYER_PREVIOUS_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214925Z-@SECOND_7@","DEPLOYER_RELEASE_NAME":"20261130T214925Z-@SECOND_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75365414 7175-a859-e17b74c5d6c3@"},"environment_before":{"DEPLOYER_BRANCH":"main","DEPLOYER_COMMIT":"@FIRST@","DEPLOYER_DEPLOYMENT":"site","DEPLOYER_INSTANCE":"deploy.test","DEPLOYER_PATH":"@ROOT@/srv/site","DEPLOYER_RELEASE":"@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@","DEPLOYER_RELEASE_NAME":"20261130T214917Z-@FIRST_7@","DEPLOYER_REPOSITORY":"acme/site","DEPLOYER_RUN":"@ID 75365414 7175-a859-e17b74c5d6c3@"},"inputs":null}','20261130T214925Z-@SECOND_7@',@MS 75365414@,@MS 75365424@,NULL,2634,'ae1960f9-c034-49b0-9a00-c818b3660a00');
CREATE TABLE steps (
    run_id        TEXT    NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    direction     TEXT    NOT NULL,
    phase         TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    command       TEXT,
    state         TEXT    NOT NULL,
    detail        TEXT,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms   INTEGER,
    cause         TEXT,
    PRIMARY KEY (run_id, number, direction)
);
INSERT INTO steps VALUES('@ID 75357119 7673-8cf5-cae3405e9a07@',1,'do','fetch','fetch','fetch the commit into the mirror','succeeded',NULL,@MS 75357146@,@MS 75357470@,NULL);
INSERT INTO steps VALUES('@ID 75357119 7673-8cf5-cae3405e9a07@',2,'do','fetch','export','export @FIRST_7@ to releases/20261130T214917Z-@FIRST_7@','succeeded',NULL,@MS 75357622@,@MS 75357723@,NULL);
INSERT INTO steps VALUES('@ID 75357119 7673-8cf5-cae3405e9a07@',3,'do','build','b','if [ -e broken ]; then echo no such module >&2; exit 3; fi; echo $DEPLOYER_COMMIT >> ''@ROOT@/gate/arrivals''; until [ -e ''@ROOT@/gate/opened'' ]; do sleep 0.02; done','succeeded',NULL,@MS 75357730@,@MS 75357848@,NULL);
INSERT INTO steps VALUES('@ID 75357119 7673-8cf5-cae3405e9a07@',4,'do','switch','activate','link current -> releases/20261130T214917Z-@FIRST_7@','succeeded',NULL,@MS 75357849@,@MS 75357853@,NULL);
INSERT INTO steps VALUES('@ID 75357119 7673-8cf5-cae3405e9a07@',5,'do','clean','prune','remove releases that are no longer kept','succeeded',NULL,@MS 75357854@,@MS 75357855@,NULL);
INSERT INTO steps VALUES('@ID 75358735 7681-8b8f-1646d8ffa930@',1,'do','fetch','fetch','fetch the commit into the mirror','succeeded',NULL,@MS 75358744@,@MS 75358952@,NULL);
INSERT INTO steps VALUES('@ID 75358735 7681-8b8f-1646d8ffa930@',2,'do','fetch','export','export @BROKEN_7@ to releases/20261130T214918Z-@BROKEN_7@','succeeded',NULL,@MS 75358982@,@MS 75359013@,NULL);
INSERT INTO steps VALUES('@ID 75358735 7681-8b8f-1646d8ffa930@',3,'do','build','b','if [ -e broken ]; then echo no such module >&2; exit 3; fi; echo $DEPLOYER_COMMIT >> ''@ROOT@/gate/arrivals''; until [ -e ''@ROOT@/gate/opened'' ]; do sleep 0.02; done','failed',NULL,@MS 75359014@,@MS 75359098@,'build (b): exited with 3: no such module');
INSERT INTO steps VALUES('@ID 75358735 7681-8b8f-1646d8ffa930@',4,'undo','build','b','touch @ROOT@/undone','succeeded',NULL,@MS 75359106@,@MS 75359242@,NULL);
INSERT INTO steps VALUES('@ID 75359867 72f2-92c0-33c7b868b28e@',1,'do','fetch','fetch','fetch the commit into the mirror','failed',NULL,@MS 75359871@,@MS 75360010@,'fetch failed: git fetch from file://@ROOT@/bare/site: fatal: ''@ROOT@/bare/site'' does not appear to be a git repository; is the name right, and may our credential read it?');
INSERT INTO steps VALUES('@ID 75363693 7028-84ac-6d847b9d5c50@',1,'do','fetch','fetch','fetch the commit into the mirror','succeeded',NULL,@MS 75363710@,@MS 75363881@,NULL);
INSERT INTO steps VALUES('@ID 75363693 7028-84ac-6d847b9d5c50@',2,'do','fetch','export','export @SECOND_7@ to releases/20261130T214923Z-@SECOND_7@','succeeded',NULL,@MS 75363971@,@MS 75364010@,NULL);
INSERT INTO steps VALUES('@ID 75363693 7028-84ac-6d847b9d5c50@',3,'do','build','b','if [ -e broken ]; then echo no such module >&2; exit 3; fi; echo $DEPLOYER_COMMIT >> ''@ROOT@/gate/arrivals''; until [ -e ''@ROOT@/gate/opened'' ]; do sleep 0.02; done','unknown',NULL,@MS 75364011@,@MS 75364937@,'the deployer died');
INSERT INTO steps VALUES('@ID 75363693 7028-84ac-6d847b9d5c50@',4,'undo','build','b','touch @ROOT@/undone','succeeded',NULL,@MS 75364942@,@MS 75365178@,NULL);
INSERT INTO steps VALUES('@ID 75365414 7175-a859-e17b74c5d6c3@',1,'do','fetch','fetch','fetch the commit into the mirror','succeeded',NULL,@MS 75365430@,@MS 75365583@,NULL);
INSERT INTO steps VALUES('@ID 75365414 7175-a859-e17b74c5d6c3@',2,'do','fetch','export','export @SECOND_7@ to releases/20261130T214925Z-@SECOND_7@','succeeded',NULL,@MS 75365649@,@MS 75365670@,NULL);
INSERT INTO steps VALUES('@ID 75365414 7175-a859-e17b74c5d6c3@',3,'do','build','b','if [ -e broken ]; then echo no such module >&2; exit 3; fi; echo $DEPLOYER_COMMIT >> ''@ROOT@/gate/arrivals''; until [ -e ''@ROOT@/gate/opened'' ]; do sleep 0.02; done','started',NULL,@MS 75365693@,NULL,NULL);
CREATE TABLE releases (
    deployment    TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    path          TEXT    NOT NULL,
    commit_id     TEXT    NOT NULL,
    run_id        TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    live_at_ms    INTEGER,
    bytes         INTEGER,
    PRIMARY KEY (deployment, name)
);
INSERT INTO releases VALUES('site','20261130T214917Z-@FIRST_7@','@ROOT@/srv/site/releases/20261130T214917Z-@FIRST_7@','@FIRST@','@ID 75357119 7673-8cf5-cae3405e9a07@','live',@MS 75357666@,@MS 75357855@,NULL);
INSERT INTO releases VALUES('site','20261130T214918Z-@BROKEN_7@','@ROOT@/srv/site/releases/20261130T214918Z-@BROKEN_7@','@BROKEN@','@ID 75358735 7681-8b8f-1646d8ffa930@','failed',@MS 75358983@,NULL,NULL);
INSERT INTO releases VALUES('site','20261130T214923Z-@SECOND_7@','@ROOT@/srv/site/releases/20261130T214923Z-@SECOND_7@','@SECOND@','@ID 75363693 7028-84ac-6d847b9d5c50@','failed',@MS 75363972@,NULL,NULL);
INSERT INTO releases VALUES('site','20261130T214925Z-@SECOND_7@','@ROOT@/srv/site/releases/20261130T214925Z-@SECOND_7@','@SECOND@','@ID 75365414 7175-a859-e17b74c5d6c3@','building',@MS 75365650@,NULL,NULL);
CREATE TABLE outbox (
    id               INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind             TEXT    NOT NULL,
    repository       TEXT    NOT NULL,
    commit_id        TEXT    NOT NULL,
    context          TEXT    NOT NULL,
    deployment       TEXT    NOT NULL,
    run_id           TEXT,
    body             TEXT    NOT NULL,
    created_at_ms    INTEGER NOT NULL,
    attempts         INTEGER NOT NULL DEFAULT 0,
    next_at_ms       INTEGER NOT NULL,
    last_error       TEXT,
    done_at_ms       INTEGER,
    refused_at_ms    INTEGER,
    superseded_at_ms INTEGER
);
INSERT INTO outbox VALUES(1,'status','acme/site','@FIRST@','continuous-integration/deploy.test/site','site','@ID 75357119 7673-8cf5-cae3405e9a07@','{"state":"pending","context":"continuous-integration/deploy.test/site","description":"deploying","target_url":"https://deploy.test/runs/@ID 75357119 7673-8cf5-cae3405e9a07@"}',@MS 75357499@,0,@MS 75357499@,NULL,NULL,NULL,@MS 75357865@);
INSERT INTO outbox VALUES(2,'status','acme/site','@FIRST@','continuous-integration/deploy.test/site','site','@ID 75357119 7673-8cf5-cae3405e9a07@','{"state":"success","context":"continuous-integration/deploy.test/site","description":"deployed","target_url":"https://deploy.test/runs/@ID 75357119 7673-8cf5-cae3405e9a07@"}',@MS 75357865@,2,@MS 75366852@,'Connection refused (os error 111)',NULL,NULL,NULL);
INSERT INTO outbox VALUES(3,'status','acme/site','@BROKEN@','continuous-integration/deploy.test/site','site','@ID 75358735 7681-8b8f-1646d8ffa930@','{"state":"pending","context":"continuous-integration/deploy.test/site","description":"deploying","target_url":"https://deploy.test/runs/@ID 75358735 7681-8b8f-1646d8ffa930@"}',@MS 75358979@,0,@MS 75358979@,NULL,NULL,NULL,@MS 75359278@);
INSERT INTO outbox VALUES(4,'status','acme/site','@BROKEN@','continuous-integration/deploy.test/site','site','@ID 75358735 7681-8b8f-1646d8ffa930@','{"state":"failure","context":"continuous-integration/deploy.test/site","description":"build (b): exited with 3: no such module","target_url":"https://deploy.test/runs/@ID 75358735 7681-8b8f-1646d8ffa930@"}',@MS 75359278@,1,@MS 75366779@,'Connection refused (os error 111)',NULL,NULL,NULL);
INSERT INTO outbox VALUES(5,'status','acme/site','@SECOND@','continuous-integration/deploy.test/site','site',NULL,'{"state":"pending","context":"continuous-integration/deploy.test/site","description":"queued","target_url":"https://deploy.test"}',@MS 75363530@,0,@MS 75363530@,NULL,NULL,NULL,@MS 75363930@);
INSERT INTO outbox VALUES(6,'status','acme/site','@SECOND@','continuous-integration/deploy.test/site','site','@ID 75363693 7028-84ac-6d847b9d5c50@','{"state":"pending","context":"continuous-integration/deploy.test/site","description":"deploying","target_url":"https://deploy.test/runs/@ID 75363693 7028-84ac-6d847b9d5c50@"}',@MS 75363930@,0,@MS 75363930@,NULL,NULL,NULL,@MS 75365626@);
INSERT INTO outbox VALUES(7,'status','acme/site','@SECOND@','continuous-integration/deploy.test/site','site','@ID 75365414 7175-a859-e17b74c5d6c3@','{"state":"pending","context":"continuous-integration/deploy.test/site","description":"deploying","target_url":"https://deploy.test/runs/@ID 75365414 7175-a859-e17b74c5d6c3@"}',@MS 75365626@,0,@MS 75365626@,NULL,NULL,NULL,NULL);
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE told_deployments (
    run_id     TEXT    NOT NULL PRIMARY KEY,
    deployment TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    commit_id  TEXT    NOT NULL,
    github_id  INTEGER NOT NULL,
    state      TEXT    NOT NULL, -- in GitHub's words; '' before any was told
    told_at_ms INTEGER NOT NULL
);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('outbox',7);
CREATE INDEX deliveries_by_payload ON deliveries (payload_sha256, entry);
CREATE INDEX deliveries_by_time ON deliveries (received_at_ms);
CREATE INDEX verdicts_by_run ON verdicts (run_id);
CREATE INDEX runs_by_time ON runs (deployment, created_at_ms);
CREATE INDEX runs_by_delivery ON runs (delivery_id);
CREATE INDEX runs_by_entry ON runs (deployment, entry);
CREATE INDEX runs_by_commit ON runs (deployment, commit_id);
CREATE INDEX runs_unfinished ON runs (deployment) WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX releases_one_live ON releases (deployment) WHERE state = 'live';
CREATE INDEX outbox_by_key ON outbox (repository, commit_id, context);
CREATE INDEX outbox_pending ON outbox (next_at_ms)
    WHERE done_at_ms IS NULL AND refused_at_ms IS NULL AND superseded_at_ms IS NULL;
CREATE INDEX told_deployments_active ON told_deployments (deployment, run_id) WHERE state = 'success';
CREATE INDEX outbox_refused ON outbox (refused_at_ms) WHERE refused_at_ms IS NOT NULL;
COMMIT;
