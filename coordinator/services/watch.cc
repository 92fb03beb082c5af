#include "coordinator/services/watch.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "coordinator/cost/throughput.h"
#include "coordinator/services/grpc_status.h"
#include "proto/run_choices.h"

namespace allometry::coordinator {
namespace {

constexpr std::chrono::milliseconds kBetweenMessages(250);
constexpr std::chrono::milliseconds kBetweenLooks(500);
constexpr int kEventsAPage = 100;

// One watcher's place in the sweep's history.
class Watch {
 public:
  Watch(const store::Store& store, const Dispatch& dispatch, const Stages& stages,
        const std::string& name)
      : store_(store), dispatch_(dispatch), stages_(stages), name_(name) {}

  // From the newest event on.
  absl::Status Begin() {
    ALLO_ASSIGN_OR_RETURN(last_event_, store_.NewestEvent());
    return absl::OkStatus();
  }

  absl::StatusOr<v1::WatchSweepResponse> Snapshot() {
    ALLO_ASSIGN_OR_RETURN(const store::StoredSweep stored, store_.GetSweep(name_));
    const run::FlopsConvention convention = ConventionOf(stored.sweep);
    v1::WatchSweepResponse response;
    *response.mutable_sweep() = stored.sweep;
    const std::vector<v1::StageResult> stages = stages_.Results(name_);
    response.mutable_sweep()->mutable_stages()->Add(stages.begin(), stages.end());
    response.mutable_runs()->Add(stored.runs.begin(), stored.runs.end());
    dispatch_.AddReasons(*response.mutable_runs());
    double left = 0;
    for (const v1::Run& run : stored.runs) {
      const double of_a_step = static_cast<double>(run.spec().identity().batch_tokens()) *
                               cost::FlopsPerToken(run, convention);
      const int64_t steps = run.spec().steps() - cost::FirstStep(run);
      response.set_flops_total(response.flops_total() + static_cast<double>(steps) * of_a_step);
      left += cost::RemainingFlops(run, convention);
    }
    // A branch that had to begin before its trunk's checkpoint has more left than was planned.
    response.set_flops_done(std::max(0.0, response.flops_total() - left));
    ALLO_RETURN_IF_ERROR(AddNotices(stored.sweep.sweep_id(), response));
    return response;
  }

 private:
  absl::Status AddNotices(int64_t sweep_id, v1::WatchSweepResponse& response) {
    for (;;) {
      ALLO_ASSIGN_OR_RETURN(const std::vector<store::Event> events,
                            store_.EventsAfter(sweep_id, last_event_, kEventsAPage));
      for (const store::Event& event : events) {
        response.add_notices(event.text);
        last_event_ = event.event_id;
      }
      if (events.size() < kEventsAPage) return absl::OkStatus();
    }
  }

  const store::Store& store_;
  const Dispatch& dispatch_;
  const Stages& stages_;
  const std::string name_;
  int64_t last_event_ = 0;
};

// Nothing goes on without somebody's hand. What reads a tokenizer or a model, or evaluates a run,
// that failed or was cancelled waits until that is taken up again.
bool HasEnded(const v1::WatchSweepResponse& snapshot) {
  std::set<std::string> not_to_be_had;  // keys of runs
  for (const v1::Run& run : snapshot.runs()) {
    const bool ended = run.state() == v1::RUN_FAILED || run.state() == v1::RUN_CANCELLED;
    if (ended) not_to_be_had.insert(run.key());
  }
  return std::none_of(snapshot.runs().begin(), snapshot.runs().end(), [&](const v1::Run& run) {
    const auto& inputs = run.spec().inputs();
    const bool waits_in_vain =
        std::any_of(inputs.begin(), inputs.end(), [&](const v1::RunInput& input) {
          return KindOf(input) != run::InputKind::kTrunk && not_to_be_had.contains(input.run_key());
        });
    return run.state() == v1::LEASED || (run.state() == v1::PENDING && !waits_in_vain);
  });
}

// The snapshot's bytes without device_seconds, which grow while a run runs.
std::string WithoutTimes(v1::WatchSweepResponse snapshot) {
  snapshot.mutable_sweep()->clear_device_seconds();
  for (v1::Run& run : *snapshot.mutable_runs()) run.clear_device_seconds();
  return snapshot.SerializeAsString();
}

}  // namespace

grpc::Status WatchSweep(const store::Store& store, const Dispatch& dispatch, const Stages& stages,
                        const ChangeFeed& feed, const std::string& name,
                        const grpc::ServerContext& context,
                        const std::function<bool(const v1::WatchSweepResponse&)>& write) {
  Watch watch(store, dispatch, stages, name);
  if (const absl::Status begun = watch.Begin(); !begun.ok()) return ToClient(begun);
  std::string sent;
  for (;;) {
    const uint64_t version = feed.version();
    // Asked before the rows are read: a stage that ends in between has its runs among them.
    const bool is_active = stages.IsActive(name);
    absl::StatusOr<v1::WatchSweepResponse> snapshot = watch.Snapshot();
    if (!snapshot.ok()) return ToClient(snapshot.status());
    // Another sweep's change gives the same snapshot but for the time that passed, and there is
    // nothing to say.
    if (std::string bytes = WithoutTimes(*snapshot); bytes != sent) {
      sent = std::move(bytes);
      snapshot->set_eta_s(dispatch.EtaSeconds(snapshot->runs(), ConventionOf(snapshot->sweep())));
      if (!write(*snapshot)) return grpc::Status::OK;
    }
    if (!is_active && HasEnded(*snapshot)) return grpc::Status::OK;

    feed.WaitUntilClosed(kBetweenMessages);
    uint64_t seen = version;
    while (seen == version && !feed.closed() && !context.IsCancelled()) {
      seen = feed.WaitBeyond(version, kBetweenLooks);
    }
    if (context.IsCancelled()) return grpc::Status::OK;
    if (feed.closed()) {
      return {grpc::StatusCode::UNAVAILABLE, "the coordinator is stopping; watch again later"};
    }
  }
}

}  // namespace allometry::coordinator
