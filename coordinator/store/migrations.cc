#include "coordinator/store/schema.h"

namespace allometry::store {
namespace {

// Times are Unix microseconds. States and reasons are the names of proto/types.proto. A number that
// is not finite is NULL.
constexpr char kVersion1[] = R"sql(
CREATE TABLE datasets (
  hash          TEXT PRIMARY KEY,      -- of dataset.json
  name          TEXT NOT NULL,
  manifest_json TEXT NOT NULL,
  train_tokens  INTEGER NOT NULL       -- unique tokens of the training split
) STRICT;

CREATE TABLE sweeps (
  sweep_id         INTEGER PRIMARY KEY,
  name             TEXT NOT NULL UNIQUE,
  dataset_hash     TEXT NOT NULL REFERENCES datasets,
  params_policy    TEXT NOT NULL,
  flops_convention TEXT NOT NULL,
  max_epochs       REAL NOT NULL,
  priority         INTEGER NOT NULL,
  left_out         TEXT NOT NULL,      -- a line for each cell that the plan left out
  created_unix_us  INTEGER NOT NULL
) STRICT;

CREATE TABLE expansions (
  expansion_id      INTEGER PRIMARY KEY,
  sweep_id          INTEGER NOT NULL REFERENCES sweeps,
  file_name         TEXT NOT NULL,
  text              TEXT NOT NULL,
  submitted_unix_us INTEGER NOT NULL
) STRICT;
CREATE INDEX expansions_by_sweep ON expansions (sweep_id);

CREATE TABLE runs (
  run_id                    INTEGER PRIMARY KEY,
  sweep_id                  INTEGER NOT NULL REFERENCES sweeps,
  run_key                   TEXT NOT NULL,
  size                      TEXT NOT NULL,
  n_params                  INTEGER NOT NULL,  -- N under the sweep's policy
  layers                    INTEGER NOT NULL,
  heads                     INTEGER NOT NULL,
  width                     INTEGER NOT NULL,
  context                   INTEGER NOT NULL,
  vocabulary                INTEGER NOT NULL,
  batch_tokens              INTEGER NOT NULL,
  learning_rate             REAL NOT NULL,
  warmup_steps              INTEGER NOT NULL,
  seed                      INTEGER NOT NULL,
  ranks                     INTEGER NOT NULL,
  steps                     INTEGER NOT NULL,  -- to train
  params_blocks             INTEGER NOT NULL,
  params_token_embedding    INTEGER NOT NULL,
  params_position_embedding INTEGER NOT NULL,
  params_head               INTEGER NOT NULL,
  params_extra              INTEGER NOT NULL,
  flops_per_token_6n        REAL NOT NULL,
  flops_per_token_exact     REAL NOT NULL,
  spec                      BLOB NOT NULL,     -- allometry.v1.RunSpec; the columns above repeat it
  state                     TEXT NOT NULL CHECK (state IN
                              ('PENDING', 'LEASED', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  failure                   TEXT NOT NULL,     -- '' unless FAILED
  reason                    TEXT NOT NULL,     -- how it ended, or came back to PENDING
  attempt                   INTEGER NOT NULL,  -- the newest; 0: none yet
  failures                  INTEGER NOT NULL,
  lost_leases               INTEGER NOT NULL,  -- in a row without a new checkpoint
  step                      INTEGER NOT NULL,  -- newest durable one of the clean curve
  tokens_per_second         REAL,
  last_train_loss           REAL,
  last_heldout_loss         REAL,
  UNIQUE (sweep_id, run_key)
) STRICT;
CREATE INDEX open_runs ON runs (run_id) WHERE state IN ('PENDING', 'LEASED');

CREATE TABLE cells (
  cell_id      INTEGER PRIMARY KEY,
  run_id       INTEGER NOT NULL REFERENCES runs,
  size         TEXT NOT NULL,
  params       INTEGER NOT NULL,
  asked_tokens REAL NOT NULL,
  asked_flops  REAL NOT NULL,
  tokens       INTEGER NOT NULL,
  step         INTEGER NOT NULL,
  flops        REAL NOT NULL,
  epochs       REAL NOT NULL
) STRICT;
CREATE INDEX cells_by_run ON cells (run_id, step);

CREATE TABLE attempts (
  run_id           INTEGER NOT NULL REFERENCES runs,
  attempt          INTEGER NOT NULL,
  token            TEXT NOT NULL,
  agent_id         TEXT NOT NULL,
  host             TEXT NOT NULL,
  root_id          TEXT NOT NULL,
  slots            TEXT NOT NULL,     -- "host/cpu:0 host/cpu:1", in rank order
  state            TEXT NOT NULL CHECK (state IN ('LEASED', 'EXPIRED', 'GIVEN_BACK', 'ENDED')),
  stop             TEXT NOT NULL CHECK (stop IN ('', 'PREEMPT', 'CANCEL')),
  start_attempt    INTEGER,           -- the checkpoint it starts from; NULL: step 0
  start_step       INTEGER NOT NULL,
  start_note       TEXT NOT NULL,
  spec             BLOB NOT NULL,     -- allometry.v1.RunSpec as given to the agent
  durable_sequence INTEGER NOT NULL,
  spool_ended      INTEGER NOT NULL,  -- 1: the exit record of its spool is stored
  ranks            INTEGER,           -- numerics, from here to step_backend
  hosts            TEXT,
  micro_batch      INTEGER,
  device           TEXT,
  device_model     TEXT,
  trainer_build    TEXT,
  step_backend     TEXT,
  exit_reason      TEXT NOT NULL,
  exit_message     TEXT NOT NULL,
  exit_step        INTEGER NOT NULL,
  started_unix_us  INTEGER NOT NULL,
  ended_unix_us    INTEGER NOT NULL,
  PRIMARY KEY (run_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE series (
  series_id INTEGER PRIMARY KEY,
  name      TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO series VALUES (1, 'heldout'), (2, 'train'), (3, 'tokens_per_second');

-- The clean curve of every run. No foreign keys: a point is only written behind the check of its
-- attempt, and there are many.
CREATE TABLE points (
  run_id    INTEGER NOT NULL,
  series_id INTEGER NOT NULL,
  step      INTEGER NOT NULL,
  tokens    INTEGER NOT NULL,
  value     REAL,
  attempt   INTEGER NOT NULL,
  PRIMARY KEY (run_id, series_id, step)
) STRICT, WITHOUT ROWID;

-- Points of older attempts beyond the step where a newer one began.
CREATE TABLE archived_points (
  run_id    INTEGER NOT NULL,
  attempt   INTEGER NOT NULL,
  series_id INTEGER NOT NULL,
  step      INTEGER NOT NULL,
  tokens    INTEGER NOT NULL,
  value     REAL,
  PRIMARY KEY (run_id, attempt, series_id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE set_aside (
  run_id   INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  reason   TEXT NOT NULL,
  record   TEXT NOT NULL,
  PRIMARY KEY (run_id, attempt, sequence)
) STRICT, WITHOUT ROWID;

-- DELETABLE: named to its agent, never a start again. DELETED: the file is gone.
CREATE TABLE checkpoints (
  run_id          INTEGER NOT NULL REFERENCES runs,
  attempt         INTEGER NOT NULL,
  step            INTEGER NOT NULL,
  file            TEXT NOT NULL,      -- relative to the run directory
  hash            TEXT NOT NULL,
  bytes           INTEGER NOT NULL,
  root_id         TEXT NOT NULL,
  state           TEXT NOT NULL CHECK (state IN ('GOOD', 'BAD', 'DELETABLE', 'DELETED')),
  created_unix_us INTEGER NOT NULL,
  PRIMARY KEY (run_id, attempt, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoints_by_root ON checkpoints (root_id) WHERE state <> 'DELETED';

CREATE TABLE agents (
  agent_id           TEXT PRIMARY KEY,
  host               TEXT NOT NULL,
  run_root_id        TEXT NOT NULL,
  version            TEXT NOT NULL,
  registered_unix_us INTEGER NOT NULL
) STRICT;
CREATE TABLE agent_slots (
  agent_id TEXT NOT NULL REFERENCES agents ON DELETE CASCADE,
  place    INTEGER NOT NULL,
  host     TEXT NOT NULL,
  device   TEXT NOT NULL,
  PRIMARY KEY (agent_id, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_slots_by_device ON agent_slots (host, device);
CREATE TABLE agent_datasets (
  agent_id TEXT NOT NULL REFERENCES agents ON DELETE CASCADE,
  name     TEXT NOT NULL,
  hash     TEXT NOT NULL,
  PRIMARY KEY (agent_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  event_id INTEGER PRIMARY KEY,
  sweep_id INTEGER NOT NULL,          -- 0: about no sweep
  run_id   INTEGER NOT NULL,          -- 0: about no run
  unix_us  INTEGER NOT NULL,
  text     TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_sweep ON events (sweep_id, event_id);

CREATE TABLE fits (
  fit_id          TEXT PRIMARY KEY,
  sweep_id        INTEGER NOT NULL REFERENCES sweeps,
  kind            TEXT NOT NULL,
  options_json    TEXT NOT NULL,
  report_json     TEXT NOT NULL,
  report_text     TEXT NOT NULL,
  version         TEXT NOT NULL,
  created_unix_us INTEGER NOT NULL
) STRICT;
CREATE TABLE predictions (
  fit_id      TEXT NOT NULL REFERENCES fits,
  flops       REAL NOT NULL,
  params      REAL NOT NULL,
  tokens      REAL NOT NULL,
  loss        REAL NOT NULL,
  report_json TEXT NOT NULL,
  PRIMARY KEY (fit_id, flops)
) STRICT, WITHOUT ROWID;

-- For people:
--   SELECT step, tokens, value FROM curves
--   WHERE sweep = 'quickstart' AND size = '40k' AND series = 'heldout' ORDER BY step;
CREATE VIEW curves AS
  SELECT sweeps.name AS sweep, runs.size AS size, runs.seed AS seed,
         runs.learning_rate AS learning_rate, runs.run_id AS run_id, series.name AS series,
         points.step AS step, points.tokens AS tokens, points.value AS value,
         points.attempt AS attempt
  FROM sweeps JOIN runs USING (sweep_id) JOIN points USING (run_id) JOIN series USING (series_id);

-- A cell is done when the evaluation at its step is stored, whatever its run does later.
CREATE VIEW cell_results AS
  SELECT sweeps.name AS sweep, cells.*, runs.seed AS seed, runs.learning_rate AS learning_rate,
         runs.sweep_id AS sweep_id, runs.state AS run_state,
         points.value IS NOT NULL AS done, points.value AS loss
  FROM sweeps JOIN runs USING (sweep_id) JOIN cells USING (run_id)
  LEFT JOIN points ON points.run_id = cells.run_id AND points.series_id = 1
                  AND points.step = cells.step;
)sql";

// Stages, limits, drained hosts, refused writers, what a rank was seen to need, and runs that start
// from others.
constexpr char kVersion2[] = R"sql(
ALTER TABLE sweeps ADD COLUMN max_device_hours REAL NOT NULL DEFAULT 0;  -- 0: no limit
ALTER TABLE sweeps ADD COLUMN max_run_hours REAL NOT NULL DEFAULT 0;     -- of one run; 0: no limit
ALTER TABLE expansions ADD COLUMN kind TEXT NOT NULL DEFAULT 'file'      -- text: the sweep file, or
  CHECK (kind IN ('file', 'stage', 'proposal'));                         -- JSON of what was decided
-- Time x devices of attempts that have ended, in microseconds: of the run, of all of the sweep's.
ALTER TABLE runs ADD COLUMN device_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sweeps ADD COLUMN device_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN stage TEXT NOT NULL DEFAULT '';              -- '': the grid
ALTER TABLE runs ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;     -- measured peak of a rank
ALTER TABLE runs ADD COLUMN schedule TEXT NOT NULL DEFAULT 'constant';   -- of its identity
ALTER TABLE attempts ADD COLUMN start_run_id INTEGER NOT NULL DEFAULT 0; -- whose checkpoint; 0: own
CREATE TABLE run_inputs (                                                -- repeats spec.inputs
  run_id       INTEGER NOT NULL REFERENCES runs,
  kind         TEXT NOT NULL,                                            -- 'trunk', 'tokenizer'
  input_run_id INTEGER NOT NULL REFERENCES runs,                         -- that makes it
  step         INTEGER NOT NULL,                                         -- of a trunk's checkpoint
  PRIMARY KEY (run_id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_inputs_by_input ON run_inputs (input_run_id);
ALTER TABLE cells ADD COLUMN stage TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_slots ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agent_slots ADD COLUMN runs INTEGER NOT NULL DEFAULT 1;      -- at once
ALTER TABLE attempts ADD COLUMN refused_batches INTEGER NOT NULL DEFAULT 0;  -- came too late
CREATE INDEX runs_by_sweep ON runs (sweep_id);          -- lists a sweep in the order of run_id
CREATE INDEX runs_by_state ON runs (sweep_id, state);   -- counts it
CREATE INDEX tokenizers_by_key ON runs (run_key) WHERE stage = 'tokenizer';  -- sweeps share them
CREATE INDEX good_checkpoints ON checkpoints (run_id, step, attempt) WHERE state = 'GOOD';
CREATE TABLE drained_hosts (                                             -- they get no runs
  host    TEXT PRIMARY KEY,
  reason  TEXT NOT NULL,                                                 -- '': given work again,
  unix_us INTEGER NOT NULL                                               -- and what was before
                                                                         -- this time is forgiven
) STRICT, WITHOUT ROWID;
-- How an attempt was asked to stop: within which time (0: its agent's own), and for what, where the
-- run is not to go on: 'LIMIT', 'STOPPED_EARLY' with the sentence.
ALTER TABLE attempts ADD COLUMN stop_within_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN stop_for TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN stop_message TEXT NOT NULL DEFAULT '';
CREATE INDEX attempts_by_end ON attempts (ended_unix_us) WHERE ended_unix_us > 0;
-- Methods predict side by side.
ALTER TABLE predictions RENAME TO predictions_1;
CREATE TABLE predictions (
  fit_id      TEXT NOT NULL REFERENCES fits,
  method      TEXT NOT NULL,
  flops       REAL NOT NULL,
  params      REAL NOT NULL,                                             -- 0: not predicted
  tokens      REAL NOT NULL,
  loss        REAL NOT NULL,
  report_json TEXT NOT NULL,
  PRIMARY KEY (fit_id, method, flops)
) STRICT, WITHOUT ROWID;
INSERT INTO predictions
  SELECT fit_id, coalesce(json_extract(report_json, '$.method'), ''), flops, params, tokens, loss,
         report_json
  FROM predictions_1;
DROP TABLE predictions_1;
CREATE INDEX fits_by_sweep ON fits (sweep_id, created_unix_us);
)sql";

// Whose fault the end of an attempt was: tries are counted by their reason since the last
// checkpoint that was written, and what a host causes is charged to the host.
constexpr char kVersion3[] = R"sql(
ALTER TABLE runs ADD COLUMN tries TEXT NOT NULL DEFAULT '';              -- "BUG 2 KILLED 1"
ALTER TABLE attempts ADD COLUMN got_going INTEGER NOT NULL DEFAULT 0;    -- a point of it is stored
UPDATE attempts SET got_going = durable_sequence > 2;                    -- after its numerics
ALTER TABLE attempts ADD COLUMN charged_to_host INTEGER NOT NULL DEFAULT 0;
CREATE INDEX attempts_by_host ON attempts (host, started_unix_us);
CREATE INDEX charged_attempts ON attempts (ended_unix_us) WHERE charged_to_host = 1;
)sql";

// Which start of a coordinator wrote last (database_file.h): one row.
constexpr char kVersion4[] = R"sql(
CREATE TABLE openings (
  opening         TEXT NOT NULL,                                         -- 128 random bits
  is_open         INTEGER NOT NULL,                                      -- 0: closed in order
  boot_id         TEXT NOT NULL,                                         -- of the machine
  clock_offset_us INTEGER NOT NULL                                       -- wall less boot clock
) STRICT;
INSERT INTO openings VALUES ('', 0, '', 0);
)sql";

// Sweeps of runs that were trained elsewhere.
constexpr char kVersion5[] = R"sql(
ALTER TABLE sweeps ADD COLUMN imported TEXT NOT NULL DEFAULT '';         -- from where; '': trained here
)sql";

// Who submitted what, what people say of a sweep, and sweeps that are deleted.
constexpr char kVersion6[] = R"sql(
ALTER TABLE sweeps ADD COLUMN user TEXT NOT NULL DEFAULT '';             -- who submitted it first
ALTER TABLE sweeps ADD COLUMN user_is_claimed INTEGER NOT NULL DEFAULT 1;  -- by the client alone
ALTER TABLE sweeps ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE sweeps ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sweeps ADD COLUMN deleting INTEGER NOT NULL DEFAULT 0;       -- 1: its rows are being
                                                                         -- removed (deletion.cc)
ALTER TABLE expansions ADD COLUMN user TEXT NOT NULL DEFAULT '';         -- '': not known, or not by
                                                                         -- a person
CREATE TABLE sweep_tags (
  sweep_id INTEGER NOT NULL REFERENCES sweeps,
  tag      TEXT NOT NULL,
  PRIMARY KEY (sweep_id, tag)
) STRICT, WITHOUT ROWID;
CREATE TABLE deletable_runs (                                            -- of deleted sweeps: their
  root_id TEXT NOT NULL,                                                 -- directories that are
  run_id  INTEGER NOT NULL,                                              -- still on this run root
  run_key TEXT NOT NULL,
  PRIMARY KEY (root_id, run_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE used_ids (                                                  -- no id is given twice:
  name TEXT PRIMARY KEY,                                                 -- 'runs', 'sweeps', and the
  id   INTEGER NOT NULL                                                  -- highest of deleted rows
) STRICT, WITHOUT ROWID;
INSERT INTO used_ids VALUES ('runs', 0), ('sweeps', 0);
)sql";

constexpr const char* kMigrations[] = {kVersion1, kVersion2, kVersion3,
                                       kVersion4, kVersion5, kVersion6};

}  // namespace

absl::Span<const char* const> Migrations() { return kMigrations; }

}  // namespace allometry::store
