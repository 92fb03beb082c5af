#include "worker/agent/log.h"

#include <ctime>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/foreign_text.h"

namespace allometry::agent {

void LogLine(absl::string_view line) {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  const std::string text = absl::StrFormat("%02d:%02d:%02dZ allo-worker: %s\n", utc.tm_hour,
                                           utc.tm_min, utc.tm_sec, Printable(line));
  std::cerr << text << std::flush;
}

}  // namespace allometry::agent
