#include "coordinator/results/fit_request.h"

#include "fitting/law/law_names.h"

namespace allometry::coordinator {

absl::StatusOr<fitting::FitOptions> ToFitOptions(const v1::FitOptions& request) {
  fitting::FitOptions options;
  if (!request.method().empty()) {
    ALLO_ASSIGN_OR_RETURN(options.method, fitting::ParseMethod(request.method()));
  }
  options.choose_law = request.law().empty() || request.law() == "auto";
  if (!options.choose_law) {
    ALLO_ASSIGN_OR_RETURN(options.law, fitting::ParseLaw(request.law()));
  }
  if (!request.objective().empty()) {
    ALLO_ASSIGN_OR_RETURN(options.objective, fitting::ParseObjective(request.objective()));
  }
  if (!request.cluster().empty()) {
    ALLO_ASSIGN_OR_RETURN(options.cluster, fitting::ParseCluster(request.cluster()));
  }
  if (request.delta() != 0) options.delta = request.delta();
  // Each keeps its result in the coordinator's memory.
  constexpr int kMostResamples = 100'000;
  if (request.resamples() > kMostResamples) {
    return absl::InvalidArgumentError(absl::StrCat("resamples ", request.resamples(),
                                                   ": a coordinator makes at most ", kMostResamples,
                                                   "; 'allo export' and fit the file for more"));
  }
  options.resamples = request.resamples();
  options.seed = request.seed();
  options.fixed_floor = request.fixed_floor();
  if (!request.minimum().empty()) {
    ALLO_ASSIGN_OR_RETURN(options.minimum, fitting::ParseMinimum(request.minimum()));
  }
  if (!request.window().empty()) {
    ALLO_ASSIGN_OR_RETURN(options.window, fitting::ParseWindow(request.window()));
  }
  options.profile = request.profile();
  options.withhold.assign(request.withhold().begin(), request.withhold().end());
  options.budgets.assign(request.budgets_flops().begin(), request.budgets_flops().end());
  options.served_tokens.assign(request.served_tokens().begin(), request.served_tokens().end());
  options.times_smaller.assign(request.times_smaller().begin(), request.times_smaller().end());
  ALLO_RETURN_IF_ERROR(fitting::Validate(options));
  return options;
}

ObservationChoice ToObservationChoice(const v1::FitOptions& request) {
  ObservationChoice choice;
  choice.params_policy = request.params_policy();
  choice.flops_convention = request.flops_convention();
  choice.series = request.series();
  choice.allow_repeat = request.allow_repeat();
  return choice;
}

}  // namespace allometry::coordinator
