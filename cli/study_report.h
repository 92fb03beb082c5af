// A study's table: what was published beside what was measured.
#pragma once

#include <string>
#include <vector>

#include "cli/study_measure.h"
#include "nlohmann/json.hpp"

namespace allometry::cli {

struct StudyReport {
  sweep::Study study;
  std::vector<Answer> answers;  // one a row; empty ones for rows that ask nothing

  bool HasOutside() const;
};

// At most 100 columns: a row's number, what, paper, ours with its interval and the verdict; under
// it why, the fit's id and where the published value is from.
std::string StudyText(const StudyReport& report);
nlohmann::ordered_json StudyJson(const StudyReport& report);

}  // namespace allometry::cli
