#include "coordinator/results/proposals.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/cost/quantity.h"
#include "coordinator/results/candidates.h"
#include "coordinator/results/fit_request.h"
#include "coordinator/results/observations.h"
#include "coordinator/stages/submission.h"
#include "fitting/data/cluster.h"
#include "fitting/design/pilot.h"

namespace allometry::coordinator {
namespace {

// A submission that another one overtakes is compared anew; this many in a row do not happen.
constexpr int kTries = 10;
constexpr int kDefaultCount = 10;
constexpr int kMostCount = 100;
constexpr double kBeyond = 10;  // times the largest cell: how far a cell or a target may lie

std::string TargetName(const v1::ProposeCellsRequest& request) {
  return request.target().empty() ? "a" : request.target();
}

absl::StatusOr<fitting::QuantityKind> KindOf(const v1::ProposeCellsRequest& request) {
  using fitting::QuantityKind;
  const std::string name = TargetName(request);
  constexpr std::pair<const char*, QuantityKind> kKinds[] = {{"a", QuantityKind::kA},
                                                             {"alpha", QuantityKind::kAlpha},
                                                             {"beta", QuantityKind::kBeta},
                                                             {"E", QuantityKind::kFloor},
                                                             {"loss", QuantityKind::kLoss}};
  for (const auto& [known, kind] : kKinds) {
    if (name == known) return kind;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("target '", name, "' is not known: allowed are a, alpha, beta, E and loss"));
}

absl::Status CheckRequest(const v1::ProposeCellsRequest& request) {
  ALLO_ASSIGN_OR_RETURN(const fitting::QuantityKind kind, KindOf(request));
  if (request.target_flops() != 0 && kind != fitting::QuantityKind::kLoss) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a budget of %g FLOPs is given for the target %s, which has none: it goes "
                        "with the target loss",
                        request.target_flops(), TargetName(request)));
  }
  if (!(request.target_flops() >= 0) || !std::isfinite(request.target_flops())) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the target's budget is %g FLOPs: more than 0 is allowed", request.target_flops()));
  }
  if (!(request.max_flops() >= 0) || !std::isfinite(request.max_flops())) {
    return absl::InvalidArgumentError(
        absl::StrFormat("max_flops is %g: more than 0 is allowed", request.max_flops()));
  }
  if (request.count() < 0 || request.count() > kMostCount) {
    return absl::InvalidArgumentError(
        absl::StrFormat("count is %d: allowed are 1 to %d", request.count(), kMostCount));
  }
  if (request.accept() < 0 || request.accept() > kMostCount) {
    return absl::InvalidArgumentError(
        absl::StrFormat("accept is %d: allowed are 0 to %d", request.accept(), kMostCount));
  }
  return absl::OkStatus();
}

fitting::Quantity TargetOf(const v1::ProposeCellsRequest& request, const fitting::Cost& cost,
                           double most_flops) {
  const fitting::QuantityKind kind = *KindOf(request);
  const double flops = request.target_flops() > 0 ? request.target_flops() : kBeyond * most_flops;
  return {kind, kind == fitting::QuantityKind::kLoss ? flops : 0, cost};
}

absl::StatusOr<fitting::Pilot> PilotOf(const fitting::Observations& observations,
                                       const std::string& sweep) {
  std::set<double> sizes;
  for (const fitting::Observation& point : observations.points()) sizes.insert(point.params);
  if (sizes.size() < fitting::kFewestClusters) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "nothing can be proposed for sweep '%s': it has observations of %d size%s, and an interval "
        "needs at least %d",
        sweep, sizes.size(), sizes.size() == 1 ? "" : "s", fitting::kFewestClusters));
  }
  absl::StatusOr<fitting::Pilot> pilot = fitting::PilotFromObservations(observations, sweep);
  if (pilot.ok()) return pilot;
  return absl::Status(pilot.status().code(),
                      absl::StrCat("nothing can be proposed for sweep '", sweep,
                                   "' yet: ", pilot.status().message(),
                                   "; more sizes or larger budgets come first ('allo plan' of the "
                                   "grown file says what they can be expected to buy)"));
}

// What is stored of the proposal: what it was made from, and what was expected of it.
std::string ProposalJson(const v1::ProposeCellsRequest& request, const fitting::Pilot& pilot,
                         int64_t observations, const v1::ProposeCellsResponse& response,
                         size_t count) {
  nlohmann::ordered_json json = {{"target", TargetName(request)},
                                 {"target_flops", request.target_flops()},
                                 {"observations", observations},
                                 {"law",
                                  {{"E", pilot.law.floor},
                                   {"A", pilot.law.a_term},
                                   {"B", pilot.law.b_term},
                                   {"alpha", pilot.law.alpha},
                                   {"beta", pilot.law.beta}}},
                                 {"errors",
                                  {{"sd", pilot.noise.sd},
                                   {"shared", pilot.noise.shared},
                                   {"serial", pilot.noise.serial},
                                   {"length", pilot.noise.length},
                                   {"tilt", pilot.noise.tilt}}},
                                 {"cells", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < count; ++i) {
    const v1::ProposedCell& cell = response.cells(static_cast<int>(i));
    json["cells"].push_back({{"params", cell.params()},
                             {"tokens", cell.tokens()},
                             {"flops", cell.flops()},
                             {"width_now", cell.width_now()},
                             {"width_then", cell.width_then()},
                             {"note", cell.note()}});
  }
  return json.dump();
}

// What a proposal reads must not change while it is read: DESIGN's rule for decisions that change
// what is trained.
absl::Status CheckDone(const store::StoredSweep& stored) {
  std::vector<std::string> open;
  for (const v1::Run& run : stored.runs) {
    if (run.state() != v1::PENDING && run.state() != v1::LEASED) continue;
    open.push_back(absl::StrFormat("run %d (%s)", run.run_id(), run.size()));
  }
  if (open.empty()) return absl::OkStatus();
  constexpr size_t kNamed = 5;
  const size_t count = open.size();
  if (count > kNamed) open.resize(kNamed);
  return absl::FailedPreconditionError(absl::StrFormat(
      "sweep '%s' is not done: %d of its %d runs are open: %s%s; proposals follow from all of its "
      "results, so ask when 'allo watch %s' has ended",
      stored.sweep.name(), count, stored.runs.size(), absl::StrJoin(open, ", "),
      count > kNamed ? ", ..." : "", stored.sweep.name()));
}

// What a proposal was made from.
struct ProposalContext {
  store::SweepSource source;
  TrainedSweep sweep;
  fitting::Pilot pilot;
  fitting::Quantity target;
  std::vector<fitting::Observation> design;
};

absl::StatusOr<ProposalContext> ReadProposalContext(const store::Store& store,
                                                    const v1::ProposeCellsRequest& request) {
  ProposalContext context;
  ALLO_ASSIGN_OR_RETURN(context.source, store.GetSource(request.sweep()));
  ALLO_ASSIGN_OR_RETURN(store::StoredSweep stored, store.GetSweep(request.sweep()));
  if (!stored.sweep.imported().empty()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("sweep '%s' is imported (%s): its runs were trained elsewhere, so that "
                        "nothing can be added "
                        "to them here; a sweep file of its own can say what is trained next",
                        request.sweep(), stored.sweep.imported()));
  }
  ALLO_RETURN_IF_ERROR(CheckDone(stored));
  // Of one text with the rows; otherwise a submission came in between.
  if (stored.newest_text != context.source.text) return absl::AbortedError("changed meanwhile");
  ALLO_ASSIGN_OR_RETURN(context.sweep, ReadTrainedSweep(std::move(stored), context.source));
  ObservationChoice choice;  // N and C as the sweep counts them, as its cells will be counted
  choice.series = request.options().series();
  choice.allow_repeat = request.options().allow_repeat();
  ALLO_ASSIGN_OR_RETURN(const GatheredObservations gathered,
                        GatherObservations(store, request.sweep(), choice));
  ALLO_ASSIGN_OR_RETURN(context.pilot, PilotOf(gathered.points, request.sweep()));
  context.design = gathered.points.points();
  fitting::Cost cost;
  if (gathered.flops_convention == run::FlopsConvention::kExact)
    cost = fitting::Cost::Fit(context.design, nullptr);
  context.target = TargetOf(request, cost, context.sweep.most_flops);
  return context;
}

// Aborted where another submission came in between.
absl::Status Accept(store::Store& store, const ProposalContext& context,
                    const std::vector<BuiltCandidate>& candidates,
                    const std::vector<cost::Choice>& choices,
                    const v1::ProposeCellsRequest& request, v1::ProposeCellsResponse& response) {
  const size_t count = std::min<size_t>(request.accept(), choices.size());
  const TrainedSweep& sweep = context.sweep;
  std::vector<const BuiltCandidate*> accepted;
  for (size_t i = 0; i < count; ++i) accepted.push_back(&candidates[choices[i].candidate]);
  sweep::Expansion expansion = CombineCandidates(accepted);
  expansion.sweep = sweep.stored.sweep;  // its own fields stay as they are
  ALLO_ASSIGN_OR_RETURN(sweep::Changes changes, DifferenceFrom(store, sweep.stored, expansion));
  for (size_t i = 0; i < count; ++i) {
    const v1::ProposedCell& cell = response.cells(static_cast<int>(i));
    response.add_changes(
        absl::StrFormat("%s, to %s tokens", cell.note(), cost::CountText(cell.tokens())));
  }
  store::Submission submission = ToSubmission(std::move(changes), sweep.stored.newest_expansion);
  submission.kind = store::ExpansionKind::kProposal;
  submission.file_name = context.source.file_name;
  submission.text = ProposalJson(request, context.pilot,
                                 static_cast<int64_t>(context.design.size()), response, count);
  submission.event = absl::StrCat("accepted proposals: ", absl::StrJoin(response.changes(), "; "));
  submission.dataset = {sweep.manifest.hash, sweep.manifest.name, context.source.manifest_json,
                        sweep.manifest.unique_tokens};
  return store.Submit(submission).status();
}

absl::StatusOr<v1::ProposeCellsResponse> Propose(store::Store& store,
                                                 const v1::ProposeCellsRequest& request,
                                                 const std::function<bool()>& is_gone) {
  ALLO_ASSIGN_OR_RETURN(const fitting::FitOptions options, ToFitOptions(request.options()));
  ALLO_ASSIGN_OR_RETURN(const ProposalContext context, ReadProposalContext(store, request));
  const double max_flops =
      request.max_flops() > 0 ? request.max_flops() : kBeyond * context.sweep.most_flops;
  const std::vector<BuiltCandidate> candidates = CandidatesOf(context.sweep, max_flops);
  std::vector<cost::Candidate> plain;
  for (const BuiltCandidate& built : candidates) plain.push_back(built.candidate);
  const int count =
      std::max(request.count() > 0 ? request.count() : kDefaultCount, request.accept());
  const cost::Choices choices =
      cost::ChooseCandidates(context.design, plain, context.pilot,
                             {options.objective, options.delta}, context.target, count, is_gone);
  if (is_gone()) return absl::CancelledError("the client has left");
  if (choices.best.empty()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "nothing to propose for sweep '%s', of %d candidates up to %s FLOPs: %s", request.sweep(),
        candidates.size(), cost::FlopsText(max_flops), choices.reason));
  }
  v1::ProposeCellsResponse response;
  for (const cost::Choice& best : choices.best) {
    v1::ProposedCell& cell = *response.add_cells();
    cell = candidates[best.candidate].cell;
    cell.set_width_now(best.width_now);
    cell.set_width_then(best.width_then);
  }
  if (request.accept() > 0) {
    ALLO_RETURN_IF_ERROR(Accept(store, context, candidates, choices.best, request, response));
  }
  return response;
}

}  // namespace

absl::StatusOr<v1::ProposeCellsResponse> ProposeCells(store::Store& store,
                                                      const v1::ProposeCellsRequest& request,
                                                      bool stage_is_active,
                                                      const std::function<bool()>& is_gone) {
  ALLO_RETURN_IF_ERROR(CheckRequest(request));
  if (stage_is_active) {
    return absl::FailedPreconditionError(
        absl::StrFormat("sweep '%s' is not done: its ladder or its early stopping decides what "
                        "comes next; proposals follow "
                        "from all of its results, so ask when 'allo watch %s' has ended",
                        request.sweep(), request.sweep()));
  }
  for (int i = 0; i < kTries; ++i) {
    absl::StatusOr<v1::ProposeCellsResponse> response = Propose(store, request, is_gone);
    if (!absl::IsAborted(response.status())) return response;
  }
  return absl::AbortedError(absl::StrCat("sweep '", request.sweep(),
                                         "' is being changed by others at this moment: ask again"));
}

}  // namespace allometry::coordinator
