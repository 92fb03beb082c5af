// The coordinator's database: one SQLite file, the only durable state.
//
// Every operation below is one transaction. Writes of all threads go to one writer thread, which
// runs as many as are waiting in one BEGIN IMMEDIATE ... COMMIT (group commit, each in a savepoint
// of its own, so that one that fails takes nobody with it). WAL with synchronous=FULL: an operation
// that returned OK, or whose callback got OK, is on the disk. Reads run on a small pool of
// read-only connections, never wait for the writer, and see every write that returned before them.
//
// State machine of a run (DESIGN 5):
//   PENDING -> LEASED               StartAttempt
//   LEASED  -> PENDING              ExpireLease; an exit or a give-back that is retried
//   PENDING -> LEASED               ReturnLease, if no newer attempt was started meanwhile
//   LEASED | PENDING -> SUCCEEDED | FAILED | CANCELLED    exit record, by schedule/after_exit.h
//   PENDING -> FAILED               EndEarly (a LEASED run is only asked to stop)
//   PENDING -> CANCELLED            Cancel (a LEASED run is only asked to stop)
//   FAILED | CANCELLED -> PENDING   Retry
//   SUCCEEDED -> PENDING            Submit, when an evaluation of the new spec is not stored
//
// Fencing: records, give-backs and returns carry (run, attempt, token). They are taken while that
// attempt is the run's newest and refused from the moment a newer one starts.
//
// Lease deadlines are not stored: the coordinator keeps them in memory, on the boot clock. After a
// restart every LEASED row gets a grace window.
//
// Statuses: ResourceExhausted (disk full), Unavailable (locked, I/O), DataLoss (damaged file): the
// operation changed nothing and may be tried again; later ones are tried afresh. NotFound,
// AlreadyExists, FailedPrecondition, InvalidArgument, Aborted as documented. Messages are
// sentences.
//
// Threading: every member from any thread, but a callback runs on the writer's thread: it may read,
// must not write through the blocking members (CHECKed), and should be quick.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"
#include "base/status.h"
#include "coordinator/store/rows.h"
#include "proto/types.pb.h"
#include "proto/worker.pb.h"

namespace allometry::store {

struct Options {
  // After every commit, on the writer's thread, in the order of commits and before any of its
  // operations returns: the runs whose state, newest attempt, spec, priority or checkpoints
  // changed, and the PENDING ones that have one of them as an input, as they are now. Empty when
  // only points or notices came. The view that a scheduler keeps is the fold of these over
  // OpenRuns() at start. May be null.
  std::function<void(absl::Span<const RunRow>)> committed;
  // Once, on the writer's thread: the file is not the one behind its path any more (removed, moved,
  // replaced, written over). Nothing is acknowledged from then on, and the process should end with
  // this sentence. May be null.
  std::function<void(const absl::Status&)> lost;
  int readers = 4;
  // How long a write waits for another program that holds the file, as a sqlite3 by hand may.
  int busy_timeout_ms = 5000;
  const Clock* clock = &Clock::Real();
};

class Store {
 public:
  // Opens, makes or migrates the file at `path` and holds it locked until destruction
  // (database_file.h). FailedPrecondition: another process holds it (named), its schema is newer
  // than this program, or it is no Allometry database. InvalidArgument: no file is meant. A
  // migration first leaves a copy at PATH.v<old version>.backup.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path,
                                                     const Options& options);
  // Finishes what was handed in, then closes.
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Of this opening of this file: a start again has another, and a restored copy has.
  const std::string& incarnation() const;
  // A sentence where the log of the last coordinator was not there at Open; otherwise empty.
  const std::string& missing_log() const;

  // --- Sweeps -------------------------------------------------------------------------------

  // Creates or extends a sweep. Aborted: another submission came in between (based_on is not the
  // newest any more); compute the difference again. AlreadyExists: sweep_id 0 and the name is
  // taken. A tuning run that gets a cell of another stage is a run of the grid from then on.
  // Returns the sweep's id.
  absl::StatusOr<int64_t> Submit(const Submission& submission);
  // NotFound lists the names there are.
  absl::StatusOr<StoredSweep> GetSweep(absl::string_view name) const;
  absl::StatusOr<std::vector<v1::Sweep>> ListSweeps() const;
  // The sweep with its counts, and of these runs those that are its own, with their cells; the rest
  // of StoredSweep is empty. Reads no other run. NotFound as GetSweep.
  absl::StatusOr<StoredSweep> GetRunsOf(absl::string_view sweep,
                                        absl::Span<const int64_t> run_ids) const;
  // The tokenizer of this recipe, of whichever sweep, that is trained or will be. Runs of a
  // submission that name it as an input read it; a submission that has it among its new runs trains
  // its own.
  absl::StatusOr<std::optional<TokenizerRun>> FindTokenizer(absl::string_view run_key) const;
  // NotFound as GetSweep.
  absl::StatusOr<SweepSource> GetSource(absl::string_view name) const;
  // PENDING runs become CANCELLED, LEASED ones are asked to stop; the others stay. `run_ids` empty:
  // all. Returns how many runs it touched. NotFound: no such sweep, or a run not of it.
  absl::StatusOr<int> Cancel(absl::string_view sweep, absl::Span<const int64_t> run_ids);
  // LEASED runs are asked to write a checkpoint and end, within a time (0: their agent's default);
  // the others stay. Otherwise as Cancel.
  absl::StatusOr<int> Preempt(absl::string_view sweep, absl::Span<const int64_t> run_ids,
                              int64_t within_ms);
  // FAILED and CANCELLED runs to PENDING with failures at zero. Otherwise as Cancel.
  absl::StatusOr<int> Retry(absl::string_view sweep, absl::Span<const int64_t> run_ids);

  // InvalidArgument: not a tag, too many, too long a note. FailedPrecondition: a tag to remove that
  // the sweep has not. NotFound as GetSweep. Returns the sweep as it is then.
  absl::StatusOr<v1::Sweep> Label(absl::string_view sweep, const LabelChange& change);

  // What Delete would remove. FailedPrecondition: it would refuse, and why. NotFound as GetSweep.
  absl::StatusOr<DeletionSummary> PlanDeletion(absl::string_view sweep) const;
  // Removes the sweep in many transactions, so that other writers go on: the first one decides,
  // makes the sweep unreadable for every other call, and notes the run directories for
  // DeletableRuns; the others remove rows, the sweep's own last. After an interruption it is called
  // again. Ids of its runs are not given again. FailedPrecondition: a run is PENDING or LEASED, or
  // runs of another sweep have one of its runs as an input. Cancelled: `stop` returned true.
  absl::StatusOr<DeletionSummary> Delete(absl::string_view sweep, const User& user,
                                         const std::function<bool()>& stop);
  // Runs of deleted sweeps that have a directory under this run root; the first 200, because the
  // agent removes them between two heartbeats.
  absl::StatusOr<std::vector<DeletableRun>> DeletableRuns(absl::string_view root_id) const;
  absl::Status RunsDeleted(absl::string_view root_id, absl::Span<const int64_t> run_ids);

  // --- Agents -------------------------------------------------------------------------------

  // Stores or replaces the agent. AlreadyExists names the agent of `live_agent_ids` that holds one
  // of its devices. Given-back attempts are not handled here: GiveBack each first.
  absl::Status RegisterAgent(const v1::RegisterRequest& request,
                             absl::Span<const std::string> live_agent_ids);
  // Writes only when they differ from the rows.
  absl::Status UpdateAgentDatasets(absl::string_view agent_id,
                                   absl::Span<const v1::Dataset> datasets);
  // Attempts that ended since `unix_us` on hosts that are not drained, and after the host's last
  // drain ended, in the order of their ends.
  absl::StatusOr<std::vector<HostEnd>> EndsSince(int64_t unix_us) const;
  // Ends charged to a host since `unix_us`, after the host's last drain ended, of attempts that
  // were started after the newest attempt that stored a point there.
  absl::StatusOr<std::vector<ChargedEnd>> ChargedEndsSince(int64_t unix_us) const;
  absl::StatusOr<std::vector<DrainedHost>> DrainedHosts() const;
  // Drains the host for the reason. An empty reason ends the drain, and earlier ends on that host
  // no longer count. NotFound lists the hosts that workers registered from.
  absl::Status SetDrained(absl::string_view host, absl::string_view reason);

  // --- Attempts -----------------------------------------------------------------------------

  // Leases a PENDING run to an agent: the next attempt, a fresh token, and the checkpoint to start
  // from: the newest registered one under the agent's run root that is not bad and lies before the
  // run's first evaluation that is not stored; otherwise step 0, and start_note says so where a
  // newer checkpoint exists elsewhere. A branch may also start from its trunk's, up to its
  // decay_begin. Points of older attempts after that step are archived,
  // except the evaluations that end cells: those stay on the curve until this attempt's take their
  // place, so a cell that is done stays done. FailedPrecondition: the run is not PENDING (it says
  // what it is). NotFound: no such run or agent. Whether slots are free is the caller's knowledge.
  absl::StatusOr<Attempt> StartAttempt(int64_t run_id, absl::string_view agent_id,
                                       absl::Span<const v1::Slot> slots);
  // The lease ran out: LEASED -> PENDING (or FAILED(NODE_LOST), by the exit rule with NODE_LOST).
  // FailedPrecondition when the attempt is not LEASED any more.
  absl::Status ExpireLease(const v1::Lease& lease);
  // An EXPIRED attempt's agent is back and nobody else was given the run: LEASED again.
  // OK also when it is LEASED already. FailedPrecondition: stale, ended, or the run was cancelled.
  absl::Status ReturnLease(const v1::Lease& lease);
  // The attempt ended without an exit record in its spool so far. OK also when repeated.
  // FailedPrecondition: stale.
  absl::Status GiveBack(const v1::GivenBack& given_back);
  // Writes the request into the attempt's row; the next heartbeat carries it. FailedPrecondition:
  // not LEASED. A later request to preempt does not weaken one to cancel, nor a longer time a
  // shorter one.
  absl::Status AskToStop(int64_t run_id, StopAsked stop, int64_t within_ms = 0);
  // Ends the run for LIMIT or STOPPED_EARLY, with this sentence. A PENDING run is FAILED at once. A
  // LEASED run is asked to write a checkpoint; whatever ends that attempt, the run is not started
  // again by itself. FailedPrecondition: the run has ended already.
  absl::Status EndEarly(int64_t run_id, v1::ExitReason why, absl::string_view sentence);

  // PENDING and LEASED runs of all sweeps, by run_id.
  absl::StatusOr<std::vector<RunRow>> OpenRuns() const;
  absl::StatusOr<RunRow> GetRun(int64_t run_id) const;
  // Oldest first.
  absl::StatusOr<std::vector<Attempt>> Attempts(int64_t run_id) const;

  // --- Records ------------------------------------------------------------------------------

  // Appends a spool's records in order. Those up to the attempt's durable sequence are skipped;
  // behind a gap nothing is taken, and the ack says where to go on. A record that can never be
  // stored is set aside with its reason and acknowledged. stale: refused, nothing stored. `done` is
  // called exactly once, on the writer's thread, when the result is durable or failed.
  void Append(v1::RecordBatch batch, std::function<void(absl::StatusOr<v1::RecordAck>)> done);

  // --- Checkpoints --------------------------------------------------------------------------

  // Paths under the run root ("run-7/attempt-1/checkpoint-...") that nothing needs: all but the
  // newest two of an open run, the last of a finished one, the start of a LEASED attempt, and what
  // an attempt of the run, or of a branch that has not SUCCEEDED, would start from now. What was
  // named once is never a start again, and is named until CheckpointsDeleted says that it is gone.
  absl::StatusOr<std::vector<std::string>> DeletableCheckpoints(absl::string_view root_id);
  // Of every run of the sweep, ascending: where it has a good checkpoint. NotFound: no such sweep.
  absl::StatusOr<std::map<int64_t, std::vector<int64_t>>> CheckpointSteps(
      absl::string_view sweep) const;
  absl::Status CheckpointsDeleted(absl::string_view root_id, absl::Span<const std::string> paths);

  // --- What people and fits read --------------------------------------------------------------

  // The clean curve, ascending in step. Empty when there is none yet.
  absl::StatusOr<std::vector<CurvePoint>> Curve(int64_t run_id, absl::string_view series) const;
  // What the axes of a picture of the sweep's curves need: every run that has a point of `series`.
  // NotFound as GetSweep.
  absl::StatusOr<std::vector<CurveExtent>> CurveExtents(absl::string_view sweep,
                                                        absl::string_view series) const;
  // The clean curve, ascending in step, without keeping it: a curve may have a million points.
  absl::Status ReadCurve(int64_t run_id, absl::string_view series,
                         const std::function<void(const CurvePoint&)>& visit) const;
  // The names of the series that the sweep's runs, or one run of it, have points of. NotFound as
  // GetSweep.
  absl::StatusOr<std::vector<std::string>> SeriesOf(
      absl::string_view sweep, std::optional<int64_t> run_id = std::nullopt) const;
  // Points of `series` after the warm-up of every run of the sweep, by run and step. Of a run whose
  // rate falls only its last step counts, of a trunk none does.
  absl::StatusOr<std::vector<ObservationRow>> Observations(absl::string_view sweep,
                                                           absl::string_view series) const;
  // By run, then step. Empty if each run was trained under one execution config.
  absl::StatusOr<std::vector<ExecutionConfigChange>> ExecutionConfigChanges(
      absl::string_view sweep) const;
  // The failure message of each FAILED run's last attempt, with the last lines of its log.
  absl::StatusOr<std::map<int64_t, std::string>> FailureLogs(absl::string_view sweep) const;
  // At most `limit` points behind `after`, by (run, series, step); an empty series is every one.
  // Page by page, so that no slow reader holds a snapshot open.
  absl::StatusOr<std::vector<ExportedPoint>> ExportPoints(absl::string_view sweep,
                                                          absl::string_view series,
                                                          const PointKey& after, int limit) const;

  // Notices of this sweep, and those of no sweep, with event_id > after, oldest first.
  absl::StatusOr<std::vector<Event>> EventsAfter(int64_t sweep_id, int64_t after, int limit) const;
  absl::StatusOr<int64_t> NewestEvent() const;
  absl::Status AddEvent(int64_t sweep_id, int64_t run_id, absl::string_view text);

  // Stores the fit under its id, with its predictions. A fit with this id that is there already
  // stays as it is, with its time: equal ids mean equal numbers.
  absl::Status RecordFit(const Fit& fit, absl::Span<const Prediction> predictions);
  // Of all fits of the sweep, oldest first. NotFound: no such sweep.
  absl::StatusOr<std::vector<StoredPrediction>> Predictions(absl::string_view sweep) const;

  absl::StatusOr<Statistics> ReadStatistics() const;

  // --- Backup -------------------------------------------------------------------------------

  // The whole database as of one commit during this call, while others read and write: calls
  // write(piece) for successive pieces of a file that opens as a database, verified before the
  // first. It is made beside the database and gone from there before the first piece. Cancelled:
  // `write` returned false. FailedPrecondition: another copy is being made. ResourceExhausted: no
  // room beside the database.
  absl::StatusOr<BackupSummary> Backup(
      const std::function<bool(absl::string_view piece)>& write) const;

 private:
  struct Parts;
  explicit Store(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace allometry::store
