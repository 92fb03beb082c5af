#include "fitting/data/csv.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "fitting/data/utf8.h"

namespace allometry::fitting {
namespace {

constexpr size_t kLongestLine = 1 << 20;
constexpr size_t kPiece = 1 << 20;

enum Column { kParams, kTokens, kLoss, kFlops, kRun, kFamily, kWeight, kEpochs, kColumns };

// Normalised spellings (lower case, letters and digits only), the preferred ones first.
const std::array<std::vector<const char*>, kColumns>& Spellings() {
  static const std::array<std::vector<const char*>, kColumns> spellings = {{
      {"n", "params", "parameters", "nparams", "nparameters", "numparams", "numparameters",
       "modelsize", "modelparams", "modelparameters", "parametercount", "paramcount"},
      {"d", "tokens", "trainingtokens", "traintokens", "ntokens", "numtokens", "tokensseen",
       "datasetsize", "tokencount", "datatokens"},
      {"loss", "l", "lossnats", "valloss", "validationloss", "evalloss", "heldoutloss", "heldout",
       "testloss", "finalloss", "finalvalloss", "lmloss", "crossentropy", "trainloss",
       "trainingloss"},
      {"c", "flops", "flop", "trainingflop", "trainingflops", "trainflops", "trainflop", "compute",
       "computeflops", "totalflops", "budget", "budgetflops", "computebudget"},
      {"run", "runid", "runname", "runlabel", "experiment", "experimentid", "trial", "curve"},
      {"family", "size", "sizelabel", "modelname", "model"},
      {"weight", "w", "weights"},
      {"epochs", "epoch", "nepochs"},
  }};
  return spellings;
}

struct OtherCount {
  const char* policy;
  std::vector<const char*> spellings;
};
const std::vector<OtherCount>& OtherCounts() {
  static const std::vector<OtherCount> counts = {
      {"total", {"ntotal", "totalparams", "paramstotal", "totalparameters", "nall"}},
      {"non-embedding",
       {"nnonembed", "nnonembedding", "nonembeddingparams", "paramsnonembedding", "nonembedparams",
        "paramsnonembed", "nonembeddingparameters", "nnoembed", "nwithoutembeddings"}},
      {"active", {"nactive", "activeparams", "paramsactive", "activeparameters"}},
      {"paper", {"npaper", "paramspaper", "paperparams"}},
  };
  return counts;
}

std::string Normalise(absl::string_view header) {
  std::string result;
  for (char c : header) {
    if (absl::ascii_isalnum(c)) result.push_back(absl::ascii_tolower(c));
  }
  return result;
}

absl::string_view Trim(absl::string_view text) { return absl::StripAsciiWhitespace(text); }

class Reader {
 public:
  explicit Reader(absl::string_view name) : name_(name) {}

  // One line without its end.
  absl::Status Feed(absl::string_view line) {
    ++line_;
    if (line_ == 1 && line.substr(0, 3) == "\xef\xbb\xbf") line.remove_prefix(3);
    if (line_ == 1 && (line.substr(0, 2) == "\xff\xfe" || line.substr(0, 2) == "\xfe\xff")) {
      return Refuse("is UTF-16: save it as UTF-8");
    }
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const absl::string_view stripped = Trim(line);
    if (stripped.empty() || stripped.front() == '#') return absl::OkStatus();
    if (!ValidUtf8(line)) {
      if (!have_header_) return Refuse("the header is not UTF-8 text");
      result_.Exclude(line_, "not UTF-8 text");
      return absl::OkStatus();
    }
    if (!have_header_) return ReadHeader(line);
    ReadRow(line);
    return absl::OkStatus();
  }

  absl::StatusOr<Observations> Finish() {
    if (!have_header_)
      return absl::InvalidArgumentError(absl::StrCat(name_, ": the file is empty"));
    if (result_.used() == 0) {
      if (result_.total() == 0) {
        return absl::InvalidArgumentError(absl::StrCat(name_, ": no rows after the header"));
      }
      const Exclusion& first = result_.exclusions().front();
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: none of %d rows can be used; the first, line %d: %s", name_,
                          result_.total(), first.line, first.reason));
    }
    for (Count& count : counts_) {
      if (count.broken_line == 0) {
        result_.AddAlternative(count.policy, std::move(count.values));
      } else {
        result_.AddNote(
            absl::StrFormat("column '%s' is left out: line %d has no positive number there",
                            count.header, count.broken_line));
      }
    }
    return std::move(result_);
  }

 private:
  struct Count {
    std::string policy, header;
    int field;
    std::vector<double> values;
    int64_t broken_line = 0;
  };

  absl::Status Refuse(absl::string_view reason) const {
    return absl::InvalidArgumentError(absl::StrFormat("%s:%d: %s", name_, line_, reason));
  }

  // Splits into fields_; false on an unbalanced quote.
  bool Split(absl::string_view line) {
    fields_.clear();
    if (line.find('"') == absl::string_view::npos) {
      while (true) {
        const size_t end = line.find(separator_);
        fields_.push_back(Trim(line.substr(0, end)));
        if (end == absl::string_view::npos) return true;
        line.remove_prefix(end + 1);
      }
    }
    unquoted_.clear();
    bool quoted = false;
    std::string field;
    for (size_t i = 0; i <= line.size(); ++i) {
      if (i == line.size() || (line[i] == separator_ && !quoted)) {
        unquoted_.push_back(field);
        field.clear();
      } else if (line[i] != '"') {
        field.push_back(line[i]);
      } else if (quoted && i + 1 < line.size() && line[i + 1] == '"') {
        field.push_back('"');
        ++i;
      } else {
        quoted = !quoted;
      }
    }
    for (const std::string& text : unquoted_) fields_.push_back(Trim(text));
    return !quoted;
  }

  absl::Status ReadHeader(absl::string_view line) {
    have_header_ = true;
    for (char candidate : {'\t', ';', ','}) {
      if (line.find(candidate) != absl::string_view::npos) separator_ = candidate;
    }
    if (!Split(line)) return Refuse("the header has an unbalanced quote");
    header_fields_ = fields_.size();
    std::vector<std::string> normalised;
    for (absl::string_view field : fields_) normalised.push_back(Normalise(field));
    const auto find = [&](const std::vector<const char*>& spellings) {
      for (const char* spelling : spellings) {
        const auto found = std::find(normalised.begin(), normalised.end(), spelling);
        if (found != normalised.end()) return static_cast<int>(found - normalised.begin());
      }
      return -1;
    };
    for (int column = 0; column < kColumns; ++column) at_[column] = find(Spellings()[column]);
    for (const OtherCount& other : OtherCounts()) {
      const int field = find(other.spellings);
      if (field < 0) continue;
      if (at_[kParams] < 0) {
        at_[kParams] = field;
        result_.params_policy = other.policy;
      } else {
        counts_.push_back({other.policy, std::string(fields_[field]), field, {}, 0});
      }
    }
    const std::string seen = absl::StrJoin(fields_, ", ");
    if (fields_.size() < 3) {
      return Refuse(absl::StrFormat(
          "the header has %d column%s (%s): N, D and loss are needed, or C in place of N or D",
          fields_.size(), fields_.size() == 1 ? "" : "s", SafePrefix(seen, 200)));
    }
    if (at_[kLoss] < 0) return Refuse(Missing("loss", "loss, val_loss, final_loss", seen));
    if (at_[kParams] < 0 && (at_[kFlops] < 0 || at_[kTokens] < 0)) {
      return Refuse(Missing("N", "N, params, model_size", seen));
    }
    if (at_[kTokens] < 0 && at_[kFlops] < 0) {
      return Refuse(Missing("D", "D, tokens, training_tokens, or C", seen));
    }
    if (at_[kTokens] < 0) result_.AddNote("D is derived as C / (6 N): the file has no D");
    if (at_[kParams] < 0) result_.AddNote("N is derived as C / (6 D): the file has no N");
    return absl::OkStatus();
  }

  static std::string Missing(const char* what, const char* spellings, const std::string& seen) {
    return absl::StrFormat("no column for %s (spelled %s); the header has: %s", what, spellings,
                           SafePrefix(seen, 200));
  }

  // Sets `reason` where the field is not a number. Values out of range are Observations' matter.
  double Number(int field, std::string& reason) const {
    absl::string_view text = fields_[field];
    if (!text.empty() && text.front() == '+') text.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) return value;
    if (!reason.empty()) return 0;
    if (text.empty()) {
      reason = absl::StrFormat("field %d is empty", field + 1);
    } else {
      reason = absl::StrFormat("field %d is '%s', not a number%s", field + 1, SafePrefix(text, 40),
                               error == std::errc::result_out_of_range ? " of double range" : "");
    }
    return 0;
  }

  void ReadRow(absl::string_view line) {
    if (!Split(line)) return result_.Exclude(line_, "unbalanced quote");
    while (fields_.size() > header_fields_ && fields_.back().empty()) fields_.pop_back();
    if (fields_.size() != header_fields_) {
      return result_.Exclude(line_, absl::StrFormat("%d fields where the header has %d",
                                                    fields_.size(), header_fields_));
    }
    std::string reason;
    Observation point;
    point.line = line_;
    const bool known_params = at_[kParams] >= 0, known_tokens = at_[kTokens] >= 0;
    if (known_params) point.params = Number(at_[kParams], reason);
    if (known_tokens) point.tokens = Number(at_[kTokens], reason);
    point.loss = Number(at_[kLoss], reason);
    if (at_[kFlops] >= 0) {
      point.flops = Number(at_[kFlops], reason);
      if (reason.empty() && !(point.flops > 0)) {
        reason = absl::StrFormat("flops is %g: a positive finite number is needed", point.flops);
      }
    }
    if (!known_tokens) point.tokens = point.flops / (6 * point.params);
    if (!known_params) point.params = point.flops / (6 * point.tokens);
    if (at_[kWeight] >= 0) point.weight = Number(at_[kWeight], reason);
    if (at_[kEpochs] >= 0 && !fields_[at_[kEpochs]].empty()) {
      point.epochs = Number(at_[kEpochs], reason);
    }
    if (!reason.empty()) return result_.Exclude(line_, std::move(reason));
    const auto label = [&](Column column) {
      return at_[column] >= 0 ? fields_[at_[column]] : absl::string_view();
    };
    if (!result_.Add(point, label(kRun), label(kFamily))) return;
    for (Count& count : counts_) {
      std::string why;
      const double value = Number(count.field, why);
      if ((!why.empty() || !(value > 0) || !(value < 1e300)) && count.broken_line == 0) {
        count.broken_line = line_;
      }
      count.values.push_back(value);
    }
  }

  std::string name_;
  int64_t line_ = 0;
  bool have_header_ = false;
  char separator_ = ',';
  size_t header_fields_ = 0;
  std::array<int, kColumns> at_;
  std::vector<Count> counts_;
  std::vector<absl::string_view> fields_;
  std::vector<std::string> unquoted_;
  Observations result_;
};

}  // namespace

absl::StatusOr<Observations> ParseCsv(absl::string_view text, absl::string_view name) {
  Reader reader(name);
  while (!text.empty()) {
    const size_t end = text.find('\n');
    ALLO_RETURN_IF_ERROR(reader.Feed(text.substr(0, end)));
    if (end == absl::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return reader.Finish();
}

absl::StatusOr<Observations> ReadCsv(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) {
    const std::string reason = std::strerror(errno);
    return absl::NotFoundError(absl::StrFormat("%s: cannot open: %s", path, reason));
  }
  Reader reader(path);
  std::string buffer;
  std::vector<char> piece(kPiece);
  while (true) {
    const size_t got = std::fread(piece.data(), 1, piece.size(), file.get());
    if (got == 0 && std::ferror(file.get())) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: cannot read: %s", path, std::strerror(errno)));
    }
    buffer.append(piece.data(), got);
    absl::string_view rest = buffer;
    while (true) {
      const size_t end = rest.find('\n');
      if (end == absl::string_view::npos) break;
      ALLO_RETURN_IF_ERROR(reader.Feed(rest.substr(0, end)));
      rest.remove_prefix(end + 1);
    }
    if (got == 0) {
      if (!rest.empty()) ALLO_RETURN_IF_ERROR(reader.Feed(rest));
      return reader.Finish();
    }
    if (rest.size() > kLongestLine) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: a line is longer than %d bytes: this is not a CSV file", path, kLongestLine));
    }
    buffer.erase(0, buffer.size() - rest.size());
  }
}

}  // namespace allometry::fitting
