#include "coordinator/grid/yaml_text.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "coordinator/grid/utf8.h"

namespace allometry::grid {
namespace {

// Takes note of where the documents of a file start.
class DocumentStarts final : public YAML::EventHandler {
 public:
  const std::vector<int>& lines() const { return lines_; }

  void OnDocumentStart(const YAML::Mark& mark) override { lines_.push_back(mark.line + 1); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  std::vector<int> lines_;
};

}  // namespace

void CheckText(absl::string_view yaml, Mistakes& mistakes) {
  if (const size_t bad = FirstInvalidUtf8(yaml); bad != absl::string_view::npos) {
    const auto line = 1 + std::count(yaml.begin(), yaml.begin() + bad, '\n');
    mistakes.Add(line, absl::StrFormat("byte 0x%02x is not UTF-8 text",
                                       static_cast<unsigned char>(yaml[bad])));
    return;
  }
  int line = 0;
  for (const absl::string_view text : absl::StrSplit(yaml, '\n')) {
    ++line;
    const size_t indent = text.find_first_not_of(" \t\r");
    if (indent == absl::string_view::npos || text[indent] == '#') continue;
    if (text.substr(0, indent).find('\t') != absl::string_view::npos) {
      mistakes.Add(line, "a tab indents this line: YAML is indented with spaces");
    }
  }
}

int LineOfSecondDocument(const std::string& yaml) {
  std::istringstream stream(yaml);
  YAML::Parser parser(stream);
  DocumentStarts starts;
  for (int i = 0; i < 2 && parser.HandleNextDocument(starts); ++i) {
  }
  return starts.lines().size() < 2 ? 0 : starts.lines()[1];
}

}  // namespace allometry::grid
