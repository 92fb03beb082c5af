#include "coordinator/services/watch_changes.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "coordinator/cost/throughput.h"
#include "coordinator/services/grpc_status.h"
#include "coordinator/services/run_summary.h"
#include "proto/run_choices.h"

namespace allometry::coordinator {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kBetweenMessages(250);
constexpr std::chrono::milliseconds kBetweenLooks(500);
// The time to the end and why runs wait need every run: a twentieth of the time at most.
constexpr int kEstimateShare = 20;
constexpr std::chrono::milliseconds kBetweenEstimates(1000);

google::protobuf::RepeatedPtrField<v1::Run> Moved(std::vector<v1::Run>& from) {
  google::protobuf::RepeatedPtrField<v1::Run> runs;
  runs.Reserve(static_cast<int>(from.size()));
  for (v1::Run& run : from) *runs.Add() = std::move(run);
  return runs;
}

class Changes {
 public:
  Changes(const store::Store& store, const Dispatch& dispatch, const Stages& stages,
          const std::string& name)
      : store_(store), dispatch_(dispatch), stages_(stages), name_(name) {}

  // The version that a revision of this life of the coordinator names.
  std::optional<uint64_t> VersionOf(absl::string_view revision) const {
    uint64_t version = 0;
    const std::string life = absl::StrCat(store_.incarnation(), "-");
    if (!absl::ConsumePrefix(&revision, life) || !absl::SimpleAtoi(revision, &version)) {
      return std::nullopt;
    }
    return version;
  }

  // The sweep as it is. Where the client has a revision, only these runs of it are sent, and those
  // whose reason to wait is another one than in an earlier message of this call.
  absl::StatusOr<v1::SweepChanges> All(uint64_t version, const std::vector<int64_t>* changed) {
    const steady_clock::time_point begun = steady_clock::now();
    ALLO_ASSIGN_OR_RETURN(store::StoredSweep stored, store_.GetSweep(name_));
    google::protobuf::RepeatedPtrField<v1::Run> runs = Moved(stored.runs);
    dispatch_.AddReasons(runs);
    const run::FlopsConvention convention = ConventionOf(stored.sweep);
    estimate_ = {};
    double left = 0;
    for (const v1::Run& run : runs) {
      const int64_t steps = std::max<int64_t>(0, run.spec().steps() - cost::FirstStep(run));
      estimate_.flops_total += static_cast<double>(steps) *
                               static_cast<double>(run.spec().identity().batch_tokens()) *
                               cost::FlopsPerToken(run, convention);
      left += cost::RemainingFlops(run, convention);
    }
    estimate_.flops_done = std::max(0.0, estimate_.flops_total - left);
    estimate_.eta_s = dispatch_.EtaSeconds(runs, convention);
    const steady_clock::time_point now = steady_clock::now();
    estimate_again_ =
        now + std::max<steady_clock::duration>(kBetweenEstimates, kEstimateShare * (now - begun));
    v1::SweepChanges message = Begin(version, std::move(stored.sweep));
    message.set_whole(changed == nullptr);
    std::unordered_set<int64_t> to_send;
    if (changed != nullptr) to_send.insert(changed->begin(), changed->end());
    const bool is_first = reasons_.empty();
    for (const v1::Run& run : runs) {
      std::string& reason = reasons_[run.run_id()];
      const bool is_other = !is_first && reason != run.reason();
      if (changed == nullptr || is_other) to_send.insert(run.run_id());
      reason = run.reason();
      if (to_send.contains(run.run_id())) *message.add_runs() = SummaryOf(run, convention);
    }
    for (v1::Cell& cell : stored.cells) {
      if (to_send.contains(cell.run_id())) *message.add_cells() = std::move(cell);
    }
    return message;
  }

  // These runs alone.
  absl::StatusOr<v1::SweepChanges> Of(uint64_t version, const std::vector<int64_t>& run_ids) {
    ALLO_ASSIGN_OR_RETURN(store::StoredSweep stored, store_.GetRunsOf(name_, run_ids));
    google::protobuf::RepeatedPtrField<v1::Run> runs = Moved(stored.runs);
    dispatch_.AddReasons(runs);
    const run::FlopsConvention convention = ConventionOf(stored.sweep);
    v1::SweepChanges message = Begin(version, std::move(stored.sweep));
    for (const v1::Run& run : runs) {
      reasons_[run.run_id()] = run.reason();
      *message.add_runs() = SummaryOf(run, convention);
    }
    for (v1::Cell& cell : stored.cells) *message.add_cells() = std::move(cell);
    return message;
  }

  bool IsToEstimate() const { return steady_clock::now() > estimate_again_; }

  // Whether the message says more than the one before.
  bool IsNews(const v1::SweepChanges& message) {
    v1::Sweep sweep = message.sweep();
    sweep.clear_device_seconds();  // grow while a run runs
    std::string bytes = sweep.SerializeAsString();
    const bool is_news = message.whole() || message.runs_size() > 0 || bytes != sent_sweep_;
    sent_sweep_ = std::move(bytes);
    return is_news;
  }

 private:
  struct Estimate {
    double flops_done = 0, flops_total = 0, eta_s = -1;
  };

  v1::SweepChanges Begin(uint64_t version, v1::Sweep sweep) const {
    v1::SweepChanges message;
    message.set_revision(absl::StrCat(store_.incarnation(), "-", version));
    *message.mutable_sweep() = std::move(sweep);
    const std::vector<v1::StageResult> stages = stages_.Results(name_);
    message.mutable_sweep()->mutable_stages()->Add(stages.begin(), stages.end());
    message.set_flops_done(estimate_.flops_done);
    message.set_flops_total(estimate_.flops_total);
    message.set_eta_s(estimate_.eta_s);
    return message;
  }

  const store::Store& store_;
  const Dispatch& dispatch_;
  const Stages& stages_;
  const std::string name_;
  Estimate estimate_;
  steady_clock::time_point estimate_again_;
  std::unordered_map<int64_t, std::string> reasons_;  // as sent, by run
  std::string sent_sweep_;
};

}  // namespace

grpc::Status WatchChanges(const store::Store& store, const Dispatch& dispatch, const Stages& stages,
                          const ChangeFeed& feed, const v1::WatchChangesRequest& request,
                          const grpc::ServerContext& context,
                          const std::function<bool(const v1::SweepChanges&)>& write) {
  Changes changes(store, dispatch, stages, request.name());
  // Asked before the rows are read: what is committed in between is read again, and not lost.
  uint64_t version = feed.version();
  const std::optional<uint64_t> known = changes.VersionOf(request.revision());
  std::vector<int64_t> changed;
  if (known.has_value() && *known <= version) changed = feed.ChangedSince(*known);
  absl::StatusOr<v1::SweepChanges> message =
      changes.All(version, known.has_value() && *known <= version ? &changed : nullptr);
  for (;;) {
    if (!message.ok()) return ToClient(message.status());
    if (changes.IsNews(*message) && !write(*message)) return grpc::Status::OK;
    feed.WaitUntilClosed(kBetweenMessages);
    const uint64_t seen = version;
    while (version == seen && !feed.closed() && !context.IsCancelled()) {
      version = feed.WaitBeyond(seen, kBetweenLooks);
    }
    if (context.IsCancelled()) return grpc::Status::OK;
    if (feed.closed()) {
      return {grpc::StatusCode::UNAVAILABLE, "the coordinator is stopping; watch again later"};
    }
    changed = feed.ChangedSince(seen);
    message =
        changes.IsToEstimate() ? changes.All(version, &changed) : changes.Of(version, changed);
  }
}

}  // namespace allometry::coordinator
