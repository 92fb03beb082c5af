#include "coordinator/sweep/yaml_text.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/utf8.h"

namespace allometry::sweep {
namespace {

constexpr size_t kMostBytes = 1 << 20;
// Of which each takes six hundred bytes once it is read.
constexpr int kMostValues = 100'000;

struct TooManyValues {
  int line;
};

// Takes note of where the documents of a file start. Throws TooManyValues.
class DocumentStarts final : public YAML::EventHandler {
 public:
  const std::vector<int>& lines() const { return lines_; }

  void OnDocumentStart(const YAML::Mark& mark) override { lines_.push_back(mark.line + 1); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { Count(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { Count(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                const std::string&) override {
    Count(mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    Count(mark);
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    Count(mark);
  }
  void OnMapEnd() override {}

 private:
  void Count(const YAML::Mark& mark) {
    if (++values_ > kMostValues) throw TooManyValues{mark.line + 1};
  }

  int values_ = 0;
  std::vector<int> lines_;
};

// Bytes that are no text, and tabs as indentation: from a YAML parser they give puzzling messages.
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

// The line on which a second document starts; 0 when the file holds one. Not YAML::LoadAll: before
// a stray character, such as a comma, yaml-cpp 0.7 finds empty documents without end.
// Throws YAML::Exception on broken YAML, and TooManyValues.
int LineOfSecondDocument(const std::string& yaml) {
  std::istringstream stream(yaml);
  YAML::Parser parser(stream);
  DocumentStarts starts;
  for (int i = 0; i < 2 && parser.HandleNextDocument(starts); ++i) {
  }
  return starts.lines().size() < 2 ? 0 : starts.lines()[1];
}

}  // namespace

absl::Status ReadDocument(absl::string_view yaml, absl::string_view expected, Mistakes& mistakes,
                          absl::FunctionRef<void(const YAML::Node& root)> read) {
  if (yaml.size() > kMostBytes) {
    mistakes.Add(1, absl::StrFormat("the file has %d bytes: allowed are at most %d", yaml.size(),
                                    kMostBytes));
    return mistakes.ToStatus();
  }
  CheckText(yaml, mistakes);
  if (!mistakes.empty()) return mistakes.ToStatus();
  try {
    const int second = LineOfSecondDocument(std::string(yaml));
    const YAML::Node root = YAML::Load(std::string(yaml));
    if (second > 0) {
      mistakes.Add(second, "the YAML document ends before this line: one document is allowed");
    } else if (root.IsNull()) {
      mistakes.Add(1, absl::StrCat("the file is empty: ", expected, " is expected"));
    } else {
      read(root);
    }
  } catch (const TooManyValues& error) {
    mistakes.Add(error.line, absl::StrFormat("the file goes on beyond %d names, values and lists",
                                             kMostValues));
  } catch (const YAML::DeepRecursion& error) {
    mistakes.Add(
        error.mark.line + 1,
        absl::StrFormat("lists and maps lie within each other more than %d deep", error.depth()));
  } catch (const YAML::Exception& error) {
    mistakes.Add(error.mark.is_null() ? 1 : error.mark.line + 1,
                 absl::StrCat("this is not YAML: ", error.msg));
  }
  return mistakes.ToStatus();
}

}  // namespace allometry::sweep
