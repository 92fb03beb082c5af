// The arguments and results of the store: the domain types of proto/, and further columns of the
// rows. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "proto/types.pb.h"
#include "proto/worker.pb.h"
#include "run/choices.h"
#include "run/flops_convention.h"
#include "run/observation.h"

namespace allometry::store {

// A dataset as pinned at submit.
struct Dataset {
  std::string hash;  // of dataset.json
  std::string name;
  std::string manifest_json;
  int64_t train_tokens = 0;  // unique tokens of the training split: epochs = D / train_tokens
};

struct NewCell {
  std::string run_key;  // of a run of the sweep, stored or new in this submission
  v1::Cell cell;        // cell_id and run_id are given by the store
};

struct CurvePoint {
  int64_t step = 0;
  int64_t tokens = 0;
  std::optional<double> value;  // nullopt: not finite
  int32_t attempt = 0;
};

// What was measured of a run that was trained elsewhere: an addition to its curve.
struct ImportedPoints {
  std::string run_key;             // of a run of the sweep, stored or new in this submission
  bool of_training = false;        // series "train" instead of "heldout"
  std::vector<CurvePoint> points;  // whose steps the run's curve has not; attempt is 0
};

struct ChangedRun {
  int64_t run_id = 0;
  v1::RunSpec spec;  // the whole new spec, start unset: from the run's next attempt on
};

// A person, as far as the coordinator knows.
struct User {
  std::string name;        // login name; empty: not known
  bool is_claimed = true;  // by the client alone: the connection does not prove it
};

// Where an expansion of a sweep comes from: a sweep file that was submitted, a decision of its
// stage, or a proposal that was accepted. The text of the latter two is JSON of what was decided.
enum class ExpansionKind { kFile, kStage, kProposal };
inline constexpr run::Choice<ExpansionKind> kExpansionKinds[] = {
    {ExpansionKind::kFile, "file"},
    {ExpansionKind::kStage, "stage"},
    {ExpansionKind::kProposal, "proposal"}};
constexpr absl::Span<const run::Choice<ExpansionKind>> ChoicesOf(ExpansionKind) {
  return kExpansionKinds;
}

// One submission: the difference that coordinator/sweep found, with the file that it was made from.
struct Submission {
  v1::Sweep sweep;  // fields of the sweep after it; sweep_id 0: a new one
  // StoredSweep::newest_expansion of the rows that the difference was taken against.
  int64_t based_on = 0;
  std::string file_name;
  std::string text;  // kept as the expansion
  ExpansionKind kind = ExpansionKind::kFile;
  std::string event;  // a sentence for watchers; empty: how much is new
  User user;          // who submits
  Dataset dataset;
  std::vector<v1::Run> new_runs;  // run_id is given by the store
  std::vector<NewCell> new_cells;
  std::vector<ChangedRun> changed_runs;
  // Of an import: with them its runs are SUCCEEDED.
  std::vector<ImportedPoints> imported_points;
};

struct StoredSweep {
  v1::Sweep sweep;
  std::vector<v1::Run> runs;    // by run_id; before them a tokenizer that another sweep trains
  std::string tokenizer_of;     // that sweep's name; empty: there is none such
  std::vector<v1::Cell> cells;  // by run, then step
  int64_t newest_expansion = 0;
  std::string newest_text;  // of the newest sweep file submitted
  int64_t train_tokens = 0;
};

// A tokenizer's run, and the sweep that it is of.
struct TokenizerRun {
  v1::Run run;
  std::string sweep;
};

// The newest file of a sweep, and the decisions of its stages since.
struct SweepSource {
  int64_t sweep_id = 0;
  std::string file_name;  // as submitted, for messages
  std::string text;
  std::string manifest_json;
  std::vector<std::string> decisions;  // texts of the expansions of kind kStage, oldest first
};

// States of an attempt, stored by name.
//   LEASED      an agent holds it
//   EXPIRED     its lease ran out; its run waits, but may return to its agent, and its writes are
//               taken, until the run's next attempt starts
//   GIVEN_BACK  its agent gave it back at a start; its spool may still be delivered, likewise
//   ENDED       its exit record is stored, or a newer attempt started
enum class AttemptState { kLeased, kExpired, kGivenBack, kEnded };
enum class StopAsked { kNone, kPreempt, kCancel };

struct Attempt {
  v1::Lease lease;
  std::string agent_id;
  std::string host;
  std::string root_id;          // run root that it writes to
  std::vector<v1::Slot> slots;  // in rank order
  AttemptState state = AttemptState::kLeased;
  StopAsked stop = StopAsked::kNone;
  v1::ExitReason stop_for = v1::EXIT_REASON_UNSPECIFIED;  // LIMIT, STOPPED_EARLY: not to go on
  int64_t stop_within_ms = 0;  // then its agent kills it; 0: the agent's own patience
  v1::RunSpec spec;            // exactly what the agent was given, `start` included
  std::string start_note;      // why it starts where it starts, when that is worth a word
  uint64_t durable_sequence = 0;
  v1::Numerics numerics;  // empty until its record came
  v1::ExitReason exit_reason = v1::EXIT_REASON_UNSPECIFIED;
  std::string exit_message;
  int64_t exit_step = 0;
  bool made_progress = false;    // a point of it is stored
  bool charged_to_host = false;  // its end is its host's fault
  int64_t started_unix_us = 0;
  int64_t ended_unix_us = 0;
};

// Another run whose checkpoints this one needs: the trunk that a branch starts from, the tokenizer
// whose tokens the run reads (its last checkpoint), the run whose checkpoints it evaluates, or the
// run that trained its model.
struct InputRun {
  int64_t run_id = 0;
  std::string sweep;        // whose run it is
  int64_t wanted_step = 0;  // of the checkpoint; 0: the branch waits for nothing
  v1::RunState state = v1::RUN_STATE_UNSPECIFIED;
  int64_t step = 0;  // newest durable one of that run
  // Where a good checkpoint of wanted_step lies; of an evaluated run, of each step that is still to
  // be evaluated.
  std::vector<std::string> root_ids;
  bool is_to_come = false;  // that run is open and will still write it
};

// A run with all that a scheduler must know about it.
struct RunRow {
  int64_t sweep_id = 0;
  std::string sweep;
  int32_t priority = 0;
  run::FlopsConvention flops_convention = run::FlopsConvention::k6nd;
  double max_device_hours = 0, max_run_hours = 0;  // the sweep's limits; 0: none
  double sweep_device_s = 0;                       // of all ended attempts of the sweep
  // device_seconds: of ended attempts alone, where it is loaded as a row.
  v1::Run run;
  std::optional<Attempt> attempt;             // the newest
  std::map<run::InputKind, InputRun> inputs;  // the runs that it needs, one of a kind

  // nullptr: it needs none of this kind.
  const InputRun* input(run::InputKind kind) const {
    const auto found = inputs.find(kind);
    return found == inputs.end() ? nullptr : &found->second;
  }
};

// A run of a sweep and the ends of its clean curve in one series.
struct CurveExtent {
  int64_t run_id = 0;
  std::string size;
  int64_t n_params = 0;
  int64_t seed = 0;
  double learning_rate = 0;
  std::string stage;
  v1::RunState state = v1::RUN_STATE_UNSPECIFIED;
  double flops_per_token = 0;  // under the sweep's convention
  int64_t first_step = 0, last_step = 0;
  int64_t first_tokens = 0, last_tokens = 0;
};

// Where a page of points ended; the default is before the first.
struct PointKey {
  int64_t run_id = 0;
  int64_t series_id = 0;
  int64_t step = -1;
};
struct ExportedPoint {
  PointKey key;
  std::string size;
  std::string series;
  CurvePoint point;
};

// An evaluation, or a point of another series, at a step that run::ObservedSteps names. What else a
// fit leaves out (run::ExclusionOf) is for the caller, who has a sentence for each reason.
struct ObservationRow {
  int64_t run_id = 0;
  int64_t trunk_run_id = 0;  // 0: it is no branch
  run::ObservedRun run;      // what of it decides which of its points are observations
  std::string size;
  std::string run_key;
  int64_t seed = 0;
  double learning_rate = 0;
  v1::ParamCounts params;
  int64_t n_params = 0;
  double flops_per_token_6n = 0;
  double flops_per_token_exact = 0;
  int64_t step = 0;
  int64_t tokens = 0;
  std::optional<double> loss;  // nullopt: not finite
  double epochs = 0;           // 0: the dataset's tokens are not known
  bool ends_cell = false;
  v1::RunState state = v1::RUN_STATE_UNSPECIFIED;
  v1::ExitReason failure = v1::EXIT_REASON_UNSPECIFIED;
  int32_t attempt = 0;
};

// An attempt that ended on a host, for the rule that drains hosts (coordinator/schedule/drain.h).
struct HostEnd {
  std::string host;
  int64_t run_id = 0;
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  int64_t step = 0;            // how far it came
  int64_t step_elsewhere = 0;  // how far the run came in any attempt on another host; 0: none
  bool charged_to_host = false;
};

// The end of an attempt that is charged to its host, with no attempt since that stored a point
// there (coordinator/schedule/host_backoff.h).
struct ChargedEnd {
  std::string host;
  int64_t run_id = 0;
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  std::string message;  // its first line
  int64_t started_unix_us = 0;
  int64_t ended_unix_us = 0;
};

struct DrainedHost {
  std::string host;
  std::string reason;  // a sentence
  int64_t unix_us = 0;
};

// A step of a run's clean curve at which the execution config changes, because one attempt ended
// there and another one resumed.
struct ExecutionConfigChange {
  int64_t run_id = 0;
  std::string size;
  int64_t step = 0;  // the last step under the old execution config
  std::string what;  // "micro-batch 8 to 4, ranks 1 to 2"
};

struct Event {
  int64_t event_id = 0;
  int64_t sweep_id = 0;  // 0: about no sweep, as an agent that came
  int64_t run_id = 0;    // 0: about no run
  int64_t unix_us = 0;
  std::string text;  // a sentence
};

// What a fit was made for: `allo fit`, or a prediction.
enum class FitKind { kFit, kPredict };
inline constexpr run::Choice<FitKind> kFitKinds[] = {{FitKind::kFit, "fit"},
                                                     {FitKind::kPredict, "predict"}};
constexpr absl::Span<const run::Choice<FitKind>> ChoicesOf(FitKind) { return kFitKinds; }

struct Fit {
  std::string fit_id;  // that of its report: the same id, the same numbers
  int64_t sweep_id = 0;
  FitKind kind = FitKind::kFit;
  std::string options_json;
  std::string report_json;
  std::string report_text;
  std::string version;  // of the program that made it
};

// Counts for the metrics.
struct SweepStatistics {
  std::string name;
  int64_t open_runs = 0;  // PENDING or LEASED
  int64_t failed_runs = 0;
  int64_t newest_fit_unix_us = 0;  // 0: none is stored
};
struct Statistics {
  std::map<std::string, int64_t> runs;  // by state, every state
  int64_t sweeps = 0;
  std::vector<SweepStatistics> by_sweep;  // neither archived nor being deleted, by sweep_id
  int64_t points_stored = 0;              // since Open
  int64_t database_bytes = 0;             // with its log
  int64_t unused_bytes = 0;               // of these, free for new rows
  int64_t disk_free_bytes = 0;
};

// What a deletion removes.
struct DeletionSummary {
  int64_t runs = 0;
  int64_t points = 0;  // replaced ones included
  int64_t fits = 0;
  int64_t predictions = 0;
  int64_t checkpoints = 0;  // files
  int64_t checkpoint_bytes = 0;
  // Where workers have run directories to remove: run root -> how many.
  std::map<std::string, int64_t> directories;
};

// A run of a deleted sweep whose directory is to be removed.
struct DeletableRun {
  int64_t run_id = 0;
  std::string run_key;
};

// What LabelSweep changes; unset: as it is.
struct LabelChange {
  std::vector<std::string> add_tags, remove_tags;
  std::optional<std::string> note;
  std::optional<bool> archived;
};

struct BackupSummary {
  int64_t bytes = 0;
  std::string hash;  // XXH3 of the whole copy, 16 hex digits
};

struct Prediction {
  std::string method;  // unique within the fit, with flops
  double flops = 0;
  double params = 0;  // 0: not predicted, as below
  double tokens = 0;
  double loss = 0;
  std::string report_json;
};

// A prediction with what is needed to judge it.
struct StoredPrediction {
  std::string fit_id;
  std::string options_json;  // of the fit
  int64_t created_unix_us = 0;
  Prediction prediction;
};

}  // namespace allometry::store
