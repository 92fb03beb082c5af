// Answers the rows of a study from a coordinator: fits through its Fit call, curves through its
// Export call. The coordinator makes all fits.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "coordinator/sweep/study_file.h"
#include "fitting/report/verdict.h"
#include "proto/client.pb.h"

namespace allometry::cli {

// Where the numbers come from; tests have one without a coordinator.
class StudySource {
 public:
  virtual ~StudySource() = default;
  // The report of `allo fit --json`.
  virtual absl::StatusOr<std::string> Fit(const sweep::StudyTerm& term) = 0;
  // The CSV of `allo export`, with repeated tokens where the term allows them.
  virtual absl::StatusOr<std::string> Observations(const sweep::StudyTerm& term) = 0;
  // The list of `allo predict SWEEP --json`.
  virtual absl::StatusOr<std::string> Predictions(const std::string& sweep) = 0;
  virtual absl::StatusOr<v1::GetSweepResponse> Sweep(const std::string& name) = 0;
  // A series of those runs, over steps, every point.
  virtual absl::StatusOr<v1::GetCurvesResponse> Curves(const std::string& sweep,
                                                       const std::string& series,
                                                       const std::vector<int64_t>& run_ids) = 0;
};

// One number, or one word, of trained sweeps.
struct Measured {
  fitting::Estimate value;
  std::string word;                    // of a regime
  std::optional<std::string> refused;  // why the fit does not vouch for it
  std::string fit_ids;                 // "3add633167c3bb76"; of two terms both, with a comma
  std::string remark;                  // what the reader should know; may be empty
  std::map<int64_t, double> by_seed;   // of the quantity `last`
};

struct Answer {
  std::optional<Measured> ours;  // none: why_not says why
  std::string why_not;
  std::optional<fitting::Judged> judged;  // where the row has a band or words
};

// Errors are those of the connection alone (Unavailable, DeadlineExceeded, Unauthenticated); what
// else keeps a row from an answer is in it. A row without a term has no answer to give.
absl::StatusOr<Answer> AnswerRow(const sweep::StudyRow& row, StudySource& source);

}  // namespace allometry::cli
