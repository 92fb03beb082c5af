#include "run/run_spec.h"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <type_traits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "base/json_shape.h"
#include "run/fields.h"
#include "run/json_fields.h"

namespace allometry::run {
namespace {

// Builds the document and keeps the parser's message, which has the line and the column.
class Document : public nlohmann::detail::json_sax_dom_parser<Json> {
 public:
  explicit Document(Json& root) : json_sax_dom_parser(root, /*allow_exceptions_=*/false) {}
  bool parse_error(size_t, const std::string&, const Json::exception& error) {
    message = error.what();
    return false;
  }
  std::string message;
};

absl::StatusOr<Json> ParseJson(absl::string_view text) {
  ALLO_RETURN_IF_ERROR(CheckJsonShape(text));
  Json json;
  Document document(json);
  if (!Json::sax_parse(text.begin(), text.end(), &document)) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON: ", document.message));
  }
  return json;
}

// Collects the first field whose value is not allowed.
class Checks {
 public:
  template <class T>
  void Field(bool allowed_value, const char* path, const T& value, absl::string_view allowed) {
    if (!allowed_value && status_.ok()) {
      status_ =
          absl::InvalidArgumentError(absl::StrCat(path, " is ", value, "; allowed: ", allowed));
    }
  }
  template <class T>
  void Positive(const char* path, T value) {
    Field(value >= 1, path, value, "1 or more");
  }
  // Every row of a table whose value is a number or a word.
  template <class Owner>
  void Rows(const std::string& path, const Owner& owner) {
    ForEach(FieldsOf(&owner), [&](const auto& row) {
      const auto& value = owner.*row.member;
      using T = std::decay_t<decltype(value)>;
      const std::string name = absl::StrCat(path, row.name);
      if constexpr (HasFields<T>) {
        Rows(name + ".", value);
      } else if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
        Field(row.allowed.Contains(static_cast<double>(value)), name.c_str(), value,
              row.allowed.text);
      }
    });
  }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

bool IsHash(const std::string& text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool IsCrc(const std::string& text) {
  return text.size() == 8 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool IsFolderName(const std::string& text) {
  return !text.empty() && text != "." && text != ".." && text.find('/') == std::string::npos;
}

bool IsPathBelow(const std::string& text) {
  for (absl::string_view part : absl::StrSplit(text, '/')) {
    if (!IsFolderName(std::string(part))) return false;
  }
  return true;
}

void CheckSchedule(const Identity& identity, Checks& checks) {
  if (identity.schedule == Schedule::kConstant) {
    constexpr absl::string_view kNone = "0 under a constant schedule";
    checks.Field(identity.decay_begin == 0, "identity.decay_begin", identity.decay_begin, kNone);
    checks.Field(identity.decay_end == 0, "identity.decay_end", identity.decay_end, kNone);
    checks.Field(identity.final_rate_fraction == 0, "identity.final_rate_fraction",
                 identity.final_rate_fraction, kNone);
    return;
  }
  checks.Field(identity.decay_begin >= identity.warmup_steps, "identity.decay_begin",
               identity.decay_begin,
               absl::StrCat("at least warmup_steps, ", identity.warmup_steps));
  checks.Field(identity.decay_end > identity.decay_begin, "identity.decay_end", identity.decay_end,
               absl::StrCat("more than decay_begin, ", identity.decay_begin));
  checks.Field(identity.final_rate_fraction >= 0 && identity.final_rate_fraction <= 1,
               "identity.final_rate_fraction", identity.final_rate_fraction, "0 to 1");
}

// What no row says of one value alone.
void CheckIdentity(const Identity& identity, Checks& checks) {
  const Shape& shape = identity.shape;
  checks.Field(!shape.family.empty(), "identity.shape.family", "empty", "a model family's name");
  if (!checks.status().ok()) return;
  if (shape.family != kExternalFamily) {
    checks.Positive("identity.shape.layers", shape.layers);
    checks.Positive("identity.shape.heads", shape.heads);
    checks.Positive("identity.shape.width", shape.width);
    checks.Positive("identity.shape.vocabulary", shape.vocabulary);
    if (!checks.status().ok()) return;
    checks.Field(shape.width % shape.heads == 0, "identity.shape.width", shape.width,
                 absl::StrCat("a multiple of heads, ", shape.heads));
  }
  checks.Field(IsFolderName(identity.dataset), "identity.dataset",
               absl::StrCat("'", identity.dataset, "'"), "the name of a folder in the data dir");
  checks.Field(identity.dataset_hash.empty() || IsHash(identity.dataset_hash),
               "identity.dataset_hash", identity.dataset_hash,
               "16 lower-case hexadecimal digits, or empty");
  checks.Field(identity.batch_tokens >= 1 && identity.batch_tokens % shape.context == 0,
               "identity.batch_tokens", identity.batch_tokens,
               absl::StrCat("a positive multiple of identity.shape.context, ", shape.context));
  CheckSchedule(identity, checks);
}

void CheckStart(const RunSpec& spec, Checks& checks) {
  if (!spec.start.has_value()) return;
  const StartCheckpoint& start = *spec.start;
  checks.Positive("start.attempt", start.attempt);
  checks.Field(start.step >= 0 && start.step <= spec.steps, "start.step", start.step,
               absl::StrCat("0 to steps, ", spec.steps));
  checks.Field(IsPathBelow(start.file), "start.file", absl::StrCat("'", start.file, "'"),
               "a path below the run directory, without '..'");
  checks.Field(IsHash(start.hash) || (!spec.identity.trainer.command.empty() && IsCrc(start.hash)),
               "start.hash", absl::StrCat("'", start.hash, "'"),
               "16 lower-case hexadecimal digits (of a command's checkpoint, or 8)");
  checks.Field(start.run_id >= 0, "start.run_id", start.run_id, "0 (this run) or more");
}

void CheckInputs(const RunSpec& spec, Checks& checks) {
  const bool evaluates = spec.kind == RunKind::kEvaluate;
  for (const RunInput& input : spec.inputs) {
    const bool is_model = input.kind == InputKind::kCheckpoint;
    const bool is_of_policy = spec.kind == RunKind::kPolicy && input.kind == InputKind::kModel;
    checks.Field(input.kind == InputKind::kTokenizer || (evaluates && is_model) || is_of_policy,
                 "inputs.kind", absl::StrCat("'", NameOf(input.kind), "'"),
                 evaluates                       ? "tokenizer, checkpoint"
                 : spec.kind == RunKind::kPolicy ? "tokenizer, model"
                                                 : "tokenizer");
    if (is_model) checks.Positive("inputs.step", input.step);
    checks.Positive("inputs.run_id", input.run_id);
    checks.Field(IsPathBelow(input.file), "inputs.file", absl::StrCat("'", input.file, "'"),
                 "a path below the run directory, without '..'");
    checks.Field(IsHash(input.hash), "inputs.hash", absl::StrCat("'", input.hash, "'"),
                 "16 lower-case hexadecimal digits");
  }
}

// A run of kind evaluate has the checkpoint of each of its steps.
void CheckEvaluation(const RunSpec& spec, Checks& checks) {
  const int64_t videos = spec.identity.evaluation.videos;
  if (spec.kind != RunKind::kEvaluate) {
    checks.Field(videos == 0, "identity.evaluation.videos", videos, "0 where kind is not evaluate");
    return;
  }
  checks.Positive("identity.evaluation.videos", videos);
  const Evaluation& evaluation = spec.identity.evaluation;
  checks.Field(evaluation.episodes == 0 || spec.identity.objective == "action",
               "identity.evaluation.episodes", evaluation.episodes,
               "0 where identity.objective is not action");
  checks.Field(evaluation.episodes == 0 || !evaluation.environment.empty(),
               "identity.evaluation.environment", "empty",
               "an environment's name where episodes are played");
  checks.Field(evaluation.frames != 1, "identity.evaluation.frames", evaluation.frames,
               "2 or more; 0: those of the model's window");
  checks.Field(spec.ranks == 1, "ranks", spec.ranks, "1 of kind evaluate");
  checks.Field(spec.device == DeviceKind::kCpu, "device", NameOf(spec.device),
               "cpu of kind evaluate");
  checks.Field(!spec.evaluation_steps.empty(), "evaluation_steps", "none",
               "the steps of the checkpoints to evaluate");
  for (const int64_t step : spec.evaluation_steps) {
    const bool found =
        std::any_of(spec.inputs.begin(), spec.inputs.end(), [&](const RunInput& input) {
          return input.kind == InputKind::kCheckpoint && input.step == step;
        });
    checks.Field(found, "evaluation_steps", step, "steps of inputs of kind checkpoint");
  }
}

void CheckPolicy(const RunSpec& spec, Checks& checks) {
  checks.Field(spec.ranks == 1, "ranks", spec.ranks, "1 for a policy");
  checks.Field(spec.device == DeviceKind::kCpu, "device", NameOf(spec.device), "cpu for a policy");
  checks.Field(!spec.identity.policy.environment.empty(), "identity.policy.environment", "empty",
               "an environment's name for a policy");
}

void CheckSteps(const char* path, const std::vector<int64_t>& steps, int64_t last, Checks& checks) {
  int64_t previous = 0;
  for (int64_t step : steps) {
    checks.Field(step > previous && step <= last, path, step,
                 absl::StrCat("ascending steps from 1 to ", last));
    previous = step;
  }
}

absl::Status Validate(const RunSpec& spec) {
  Checks checks;
  checks.Rows("", spec);
  if (!checks.status().ok()) return checks.status();
  CheckIdentity(spec.identity, checks);
  CheckSteps("evaluation_steps", spec.evaluation_steps, spec.steps, checks);
  CheckSteps("checkpoint_steps", spec.checkpoint_steps, spec.steps, checks);
  if (!checks.status().ok()) return checks.status();
  const int64_t sequences = spec.identity.batch_tokens / spec.identity.shape.context;
  checks.Field(spec.ranks <= sequences, "ranks", spec.ranks,
               absl::StrCat("1 to the sequences of an update, ", sequences));
  checks.Field(!spec.step_backend.empty(), "step_backend", "empty", "auto or a backend's name");
  if (spec.identity.trainer.command.empty()) {
    const std::string allowed = PrecisionProblem(spec.identity.precision, spec.device);
    checks.Field(allowed.empty(), "identity.precision",
                 absl::StrCat("'", NameOf(spec.identity.precision), "'"), allowed);
  }
  CheckStart(spec, checks);
  CheckInputs(spec, checks);
  CheckEvaluation(spec, checks);
  if (spec.kind == RunKind::kPolicy) CheckPolicy(spec, checks);
  return checks.status();
}

// Reads the rows of `owner`'s table. Whoever reads further fields of the object refuses the others.
template <class Owner>
absl::Status ReadRows(JsonFields& fields, Owner* owner);

template <class Owner>
absl::Status ReadObject(const Json& json, const std::string& path, Owner* owner) {
  JsonFields fields(json, path);
  ALLO_RETURN_IF_ERROR(ReadRows(fields, owner));
  return fields.RefuseOthers();
}

template <class Owner>
absl::Status ReadRows(JsonFields& fields, Owner* owner) {
  absl::Status status;
  const auto read = [&](const auto& row, auto* value) {
    return row.presence == Presence::kRequired ? fields.Require(row.name, value)
                                               : fields.Allow(row.name, value);
  };
  ForEach(FieldsOf(owner), [&](const auto& row) {
    if (!status.ok()) return;
    auto& value = owner->*row.member;
    if constexpr (HasFields<std::decay_t<decltype(value)>>) {
      Json object = Json::object();
      status = read(row, &object);
      if (status.ok()) status = ReadObject(object, fields.PathOf(row.name), &value);
    } else {
      status = read(row, &value);
    }
  });
  return status;
}

absl::Status ParseStart(const Json& json, StartCheckpoint* start) {
  JsonFields fields(json, "start");
  ALLO_RETURN_IF_ERROR(fields.Require("attempt", &start->attempt));
  ALLO_RETURN_IF_ERROR(fields.Require("step", &start->step));
  ALLO_RETURN_IF_ERROR(fields.Require("file", &start->file));
  ALLO_RETURN_IF_ERROR(fields.Require("hash", &start->hash));
  ALLO_RETURN_IF_ERROR(fields.Allow("run_id", &start->run_id));
  return fields.RefuseOthers();
}

absl::Status ParseInputs(const Json& json, std::vector<RunInput>* inputs) {
  if (!json.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat("inputs is ", DumpJson(json), "; allowed: an array of objects"));
  }
  for (const Json& element : json) {
    JsonFields fields(element, "inputs");
    RunInput& input = inputs->emplace_back();
    ALLO_RETURN_IF_ERROR(fields.Require("kind", &input.kind));
    ALLO_RETURN_IF_ERROR(fields.Allow("run_key", &input.run_key));
    ALLO_RETURN_IF_ERROR(fields.Require("run_id", &input.run_id));
    ALLO_RETURN_IF_ERROR(fields.Require("file", &input.file));
    ALLO_RETURN_IF_ERROR(fields.Require("hash", &input.hash));
    ALLO_RETURN_IF_ERROR(fields.Allow("step", &input.step));
    ALLO_RETURN_IF_ERROR(fields.RefuseOthers());
  }
  return absl::OkStatus();
}

template <class T>
Json ToJson(const T& value) {
  if constexpr (IsChoice<T>) {
    return NameOf(value);
  } else {
    return value;
  }
}

template <class Owner>
Json ObjectOf(const Owner& owner) {
  const Owner defaults;
  Json json = Json::object();
  ForEach(FieldsOf(&owner), [&](const auto& row) {
    const auto& value = owner.*row.member;
    if constexpr (HasFields<std::decay_t<decltype(value)>>) {
      if constexpr (std::equality_comparable<std::decay_t<decltype(value)>>) {
        if (row.presence == Presence::kIfSet && value == defaults.*row.member) return;
      }
      json[row.name] = ObjectOf(value);
    } else if (row.presence != Presence::kIfSet || value != defaults.*row.member) {
      json[row.name] = ToJson(value);
    }
  });
  return json;
}

}  // namespace

std::string PrecisionProblem(Precision precision, DeviceKind device) {
  if (precision == Precision::kTf32 && device == DeviceKind::kCpu) {
    return "fp32, bf16 on CPUs (tf32 is a mode of GPUs)";
  }
  return "";
}

absl::StatusOr<RunSpec> ParseRunSpec(absl::string_view text) {
  ALLO_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  RunSpec spec;
  JsonFields fields(json, "");
  Json start, inputs = Json::array();
  ALLO_RETURN_IF_ERROR(ReadRows(fields, &spec));
  ALLO_RETURN_IF_ERROR(fields.Allow("start", &start));
  ALLO_RETURN_IF_ERROR(fields.Allow("inputs", &inputs));
  ALLO_RETURN_IF_ERROR(fields.RefuseOthers());
  ALLO_RETURN_IF_ERROR(ParseInputs(inputs, &spec.inputs));
  if (!start.is_null()) ALLO_RETURN_IF_ERROR(ParseStart(start, &spec.start.emplace()));
  ALLO_RETURN_IF_ERROR(Validate(spec));
  return spec;
}

std::string IdentityJson(const Identity& identity) { return DumpJson(ObjectOf(identity)); }

absl::StatusOr<Identity> ParseIdentityJson(absl::string_view text) {
  ALLO_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  Identity identity;
  ALLO_RETURN_IF_ERROR(ReadObject(json, "identity", &identity));
  return identity;
}

std::string RunSpecJson(const RunSpec& spec) {
  Json json = ObjectOf(spec);
  if (spec.start.has_value()) {
    json["start"] = {{"attempt", spec.start->attempt},
                     {"step", spec.start->step},
                     {"file", spec.start->file},
                     {"hash", spec.start->hash}};
    if (spec.start->run_id != 0) json["start"]["run_id"] = spec.start->run_id;
  }
  for (const RunInput& input : spec.inputs) {
    json["inputs"].push_back({{"kind", NameOf(input.kind)},
                              {"run_key", input.run_key},
                              {"run_id", input.run_id},
                              {"file", input.file},
                              {"hash", input.hash}});
    if (input.step != 0) json["inputs"].back()["step"] = input.step;
  }
  return DumpJson(json, 2) + "\n";
}

absl::StatusOr<RunSpec> ReadRunSpec(const std::string& run_dir) {
  const std::string path = absl::StrCat(run_dir, "/run.json");
  ALLO_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  absl::StatusOr<RunSpec> spec = ParseRunSpec(json);
  if (!spec.ok()) return Annotate(spec.status(), path);
  return spec;
}

absl::Status WriteRunSpec(const std::string& run_dir, const RunSpec& spec) {
  ALLO_RETURN_IF_ERROR(Validate(spec));
  ALLO_RETURN_IF_ERROR(MakeDirectories(run_dir));
  return WriteFileAtomically(absl::StrCat(run_dir, "/run.json"), RunSpecJson(spec));
}

std::string AttemptDir(const std::string& run_dir, int attempt) {
  return absl::StrCat(run_dir, "/attempt-", attempt);
}

std::string CheckpointFile(int attempt, int64_t step) {
  return absl::StrFormat("attempt-%d/checkpoint-%012d.safetensors", attempt, step);
}

bool IsCheckpointFile(absl::string_view file) {
  const auto digits = [&] {
    size_t count = 0;
    while (count < file.size() && absl::ascii_isdigit(file[count])) ++count;
    const bool fits = count > 0 && count <= 18;
    file.remove_prefix(count);
    return fits;
  };
  if (!absl::ConsumePrefix(&file, "attempt-") || !digits()) return false;
  if (!absl::ConsumePrefix(&file, "/checkpoint-") || !digits()) return false;
  if (file.empty()) return true;
  return file[0] == '.' && file.size() > 1 && file.size() <= 32 &&
         std::all_of(file.begin() + 1, file.end(), [](char c) { return absl::ascii_isalnum(c); });
}

}  // namespace allometry::run
