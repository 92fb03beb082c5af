// Of a trainer that is built for GPUs alone, without the libraries that evaluations need.
#include "worker/trainer/evaluation.h"

namespace allometry::trainer {

absl::StatusOr<std::unique_ptr<Training>> CreateEvaluation(TrainingParts /*parts*/) {
  return absl::UnimplementedError(
      "this trainer was built without evaluations: allo-trainer evaluates, on CPUs");
}

}  // namespace allometry::trainer
