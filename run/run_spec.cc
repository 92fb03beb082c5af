#include "run/run_spec.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/json_shape.h"
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
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

bool IsHash(const std::string& text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
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

void CheckShape(const Shape& shape, Checks& checks) {
  checks.Field(!shape.family.empty(), "identity.shape.family", "empty", "a model family's name");
  checks.Positive("identity.shape.layers", shape.layers);
  checks.Positive("identity.shape.heads", shape.heads);
  checks.Positive("identity.shape.width", shape.width);
  checks.Positive("identity.shape.context", shape.context);
  checks.Positive("identity.shape.vocabulary", shape.vocabulary);
  if (!checks.status().ok()) return;
  checks.Field(shape.width % shape.heads == 0, "identity.shape.width", shape.width,
               absl::StrCat("a multiple of heads, ", shape.heads));
}

void CheckOptimizer(const Optimizer& optimizer, Checks& checks) {
  const auto below_one = [](double x) { return x >= 0 && x < 1; };
  const auto not_negative = [](double x) { return x >= 0 && std::isfinite(x); };
  checks.Field(below_one(optimizer.beta1), "identity.optimizer.beta1", optimizer.beta1, "[0, 1)");
  checks.Field(below_one(optimizer.beta2), "identity.optimizer.beta2", optimizer.beta2, "[0, 1)");
  checks.Field(not_negative(optimizer.weight_decay), "identity.optimizer.weight_decay",
               optimizer.weight_decay, "0 or more");
  checks.Field(optimizer.epsilon > 0 && std::isfinite(optimizer.epsilon),
               "identity.optimizer.epsilon", optimizer.epsilon, "more than 0");
  checks.Field(not_negative(optimizer.clip_norm), "identity.optimizer.clip_norm",
               optimizer.clip_norm, "0 (no clipping) or more");
}

void CheckSchedule(const Identity& identity, Checks& checks) {
  checks.Field(identity.schedule == "constant" || identity.schedule == "wsd" ||
                   identity.schedule == "cosine",
               "identity.schedule", absl::StrCat("'", identity.schedule, "'"),
               "constant, wsd, cosine");
  if (identity.schedule == "constant") {
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

void CheckIdentity(const Identity& identity, Checks& checks) {
  CheckShape(identity.shape, checks);
  if (!checks.status().ok()) return;
  checks.Field(IsFolderName(identity.dataset), "identity.dataset",
               absl::StrCat("'", identity.dataset, "'"), "the name of a folder in the data dir");
  checks.Field(identity.dataset_hash.empty() || IsHash(identity.dataset_hash),
               "identity.dataset_hash", identity.dataset_hash,
               "16 lower-case hexadecimal digits, or empty");
  checks.Field(
      identity.batch_tokens >= 1 && identity.batch_tokens % identity.shape.context == 0,
      "identity.batch_tokens", identity.batch_tokens,
      absl::StrCat("a positive multiple of identity.shape.context, ", identity.shape.context));
  checks.Field(identity.warmup_steps >= 0, "identity.warmup_steps", identity.warmup_steps,
               "0 or more");
  CheckSchedule(identity, checks);
  checks.Field(identity.learning_rate > 0 && std::isfinite(identity.learning_rate),
               "identity.learning_rate", identity.learning_rate, "more than 0");
  CheckOptimizer(identity.optimizer, checks);
}

void CheckStart(const RunSpec& spec, Checks& checks) {
  if (!spec.start.has_value()) return;
  const StartCheckpoint& start = *spec.start;
  checks.Positive("start.attempt", start.attempt);
  checks.Field(start.step >= 0 && start.step <= spec.steps, "start.step", start.step,
               absl::StrCat("0 to steps, ", spec.steps));
  checks.Field(IsPathBelow(start.file), "start.file", absl::StrCat("'", start.file, "'"),
               "a path below the run directory, without '..'");
  checks.Field(IsHash(start.hash), "start.hash", absl::StrCat("'", start.hash, "'"),
               "16 lower-case hexadecimal digits");
  checks.Field(start.run_id >= 0, "start.run_id", start.run_id, "0 (this run) or more");
}

void CheckInputs(const RunSpec& spec, Checks& checks) {
  for (const RunInput& input : spec.inputs) {
    checks.Field(!input.kind.empty(), "inputs.kind", "empty", "tokenizer");
    checks.Positive("inputs.run_id", input.run_id);
    checks.Field(IsPathBelow(input.file), "inputs.file", absl::StrCat("'", input.file, "'"),
                 "a path below the run directory, without '..'");
    checks.Field(IsHash(input.hash), "inputs.hash", absl::StrCat("'", input.hash, "'"),
                 "16 lower-case hexadecimal digits");
  }
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
  checks.Positive("attempt", spec.attempt);
  CheckIdentity(spec.identity, checks);
  checks.Positive("steps", spec.steps);
  CheckSteps("evaluation_steps", spec.evaluation_steps, spec.steps, checks);
  CheckSteps("checkpoint_steps", spec.checkpoint_steps, spec.steps, checks);
  checks.Positive("log_every", spec.log_every);
  checks.Field(spec.checkpoint_every_s > 0 && std::isfinite(spec.checkpoint_every_s),
               "checkpoint_every_s", spec.checkpoint_every_s, "more than 0");
  checks.Positive("evaluation_windows", spec.evaluation_windows);
  if (!checks.status().ok()) return checks.status();
  const int64_t sequences = spec.identity.batch_tokens / spec.identity.shape.context;
  checks.Field(spec.ranks >= 1 && spec.ranks <= sequences, "ranks", spec.ranks,
               absl::StrCat("1 to the sequences of an update, ", sequences));
  checks.Field(spec.micro_batch >= 0, "micro_batch", spec.micro_batch, "0 (all) or more");
  checks.Field(spec.device == "cpu" || spec.device == "cuda", "device",
               absl::StrCat("'", spec.device, "'"), "cpu, cuda");
  checks.Field(!spec.step_backend.empty(), "step_backend", "empty", "auto or a backend's name");
  checks.Field(spec.kind == "train" || spec.kind == "tokenizer" || spec.kind == "evaluate", "kind",
               absl::StrCat("'", spec.kind, "'"), "train, tokenizer, evaluate");
  CheckStart(spec, checks);
  CheckInputs(spec, checks);
  return checks.status();
}

absl::Status ParseShape(const Json& json, Shape* shape) {
  JsonFields fields(json, "identity.shape");
  ALLO_RETURN_IF_ERROR(fields.Allow("family", &shape->family));
  ALLO_RETURN_IF_ERROR(fields.Require("layers", &shape->layers));
  ALLO_RETURN_IF_ERROR(fields.Require("heads", &shape->heads));
  ALLO_RETURN_IF_ERROR(fields.Require("width", &shape->width));
  ALLO_RETURN_IF_ERROR(fields.Require("context", &shape->context));
  ALLO_RETURN_IF_ERROR(fields.Require("vocabulary", &shape->vocabulary));
  ALLO_RETURN_IF_ERROR(fields.Allow("image_height", &shape->image_height));
  ALLO_RETURN_IF_ERROR(fields.Allow("image_width", &shape->image_width));
  ALLO_RETURN_IF_ERROR(fields.Allow("image_channels", &shape->image_channels));
  return fields.RefuseOthers();
}

absl::Status ParseOptimizer(const Json& json, Optimizer* optimizer) {
  JsonFields fields(json, "identity.optimizer");
  ALLO_RETURN_IF_ERROR(fields.Allow("beta1", &optimizer->beta1));
  ALLO_RETURN_IF_ERROR(fields.Allow("beta2", &optimizer->beta2));
  ALLO_RETURN_IF_ERROR(fields.Allow("weight_decay", &optimizer->weight_decay));
  ALLO_RETURN_IF_ERROR(fields.Allow("epsilon", &optimizer->epsilon));
  ALLO_RETURN_IF_ERROR(fields.Allow("clip_norm", &optimizer->clip_norm));
  return fields.RefuseOthers();
}

absl::Status ParseIdentity(const Json& json, Identity* identity) {
  JsonFields fields(json, "identity");
  Json shape, optimizer = Json::object();
  ALLO_RETURN_IF_ERROR(fields.Require("shape", &shape));
  ALLO_RETURN_IF_ERROR(ParseShape(shape, &identity->shape));
  ALLO_RETURN_IF_ERROR(fields.Require("dataset", &identity->dataset));
  ALLO_RETURN_IF_ERROR(fields.Allow("dataset_hash", &identity->dataset_hash));
  ALLO_RETURN_IF_ERROR(fields.Allow("tokenizer_hash", &identity->tokenizer_hash));
  ALLO_RETURN_IF_ERROR(fields.Require("batch_tokens", &identity->batch_tokens));
  ALLO_RETURN_IF_ERROR(fields.Allow("schedule", &identity->schedule));
  ALLO_RETURN_IF_ERROR(fields.Allow("warmup_steps", &identity->warmup_steps));
  ALLO_RETURN_IF_ERROR(fields.Require("learning_rate", &identity->learning_rate));
  ALLO_RETURN_IF_ERROR(fields.Allow("seed", &identity->seed));
  ALLO_RETURN_IF_ERROR(fields.Allow("optimizer", &optimizer));
  ALLO_RETURN_IF_ERROR(ParseOptimizer(optimizer, &identity->optimizer));
  ALLO_RETURN_IF_ERROR(fields.Allow("objective", &identity->objective));
  ALLO_RETURN_IF_ERROR(fields.Allow("objective_seed", &identity->objective_seed));
  ALLO_RETURN_IF_ERROR(fields.Allow("decay_begin", &identity->decay_begin));
  ALLO_RETURN_IF_ERROR(fields.Allow("decay_end", &identity->decay_end));
  ALLO_RETURN_IF_ERROR(fields.Allow("final_rate_fraction", &identity->final_rate_fraction));
  ALLO_RETURN_IF_ERROR(fields.Allow("tokenizer_key", &identity->tokenizer_key));
  return fields.RefuseOthers();
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
    ALLO_RETURN_IF_ERROR(fields.RefuseOthers());
  }
  return absl::OkStatus();
}

// Younger fields of an identity are written only where they are set, so that what an older trainer
// wrote into its checkpoints compares equal.
template <class T>
void AddIfSet(const char* name, const T& value, Json* json) {
  if (value != T()) (*json)[name] = value;
}

Json IdentityToJson(const Identity& identity) {
  const Shape& shape = identity.shape;
  const Optimizer& optimizer = identity.optimizer;
  Json json{{"shape",
             {{"family", shape.family},
              {"layers", shape.layers},
              {"heads", shape.heads},
              {"width", shape.width},
              {"context", shape.context},
              {"vocabulary", shape.vocabulary}}},
            {"dataset", identity.dataset},
            {"dataset_hash", identity.dataset_hash},
            {"tokenizer_hash", identity.tokenizer_hash},
            {"batch_tokens", identity.batch_tokens},
            {"schedule", identity.schedule},
            {"warmup_steps", identity.warmup_steps},
            {"learning_rate", identity.learning_rate},
            {"seed", identity.seed},
            {"optimizer",
             {{"beta1", optimizer.beta1},
              {"beta2", optimizer.beta2},
              {"weight_decay", optimizer.weight_decay},
              {"epsilon", optimizer.epsilon},
              {"clip_norm", optimizer.clip_norm}}}};
  AddIfSet("image_height", shape.image_height, &json["shape"]);
  AddIfSet("image_width", shape.image_width, &json["shape"]);
  AddIfSet("image_channels", shape.image_channels, &json["shape"]);
  AddIfSet("objective", identity.objective, &json);
  AddIfSet("objective_seed", identity.objective_seed, &json);
  AddIfSet("decay_begin", identity.decay_begin, &json);
  AddIfSet("decay_end", identity.decay_end, &json);
  AddIfSet("final_rate_fraction", identity.final_rate_fraction, &json);
  AddIfSet("tokenizer_key", identity.tokenizer_key, &json);
  return json;
}

}  // namespace

absl::StatusOr<RunSpec> ParseRunSpec(absl::string_view text) {
  ALLO_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  RunSpec spec;
  JsonFields fields(json, "");
  Json identity, start, inputs = Json::array();
  ALLO_RETURN_IF_ERROR(fields.Allow("attempt", &spec.attempt));
  ALLO_RETURN_IF_ERROR(fields.Require("identity", &identity));
  ALLO_RETURN_IF_ERROR(ParseIdentity(identity, &spec.identity));
  ALLO_RETURN_IF_ERROR(fields.Require("steps", &spec.steps));
  ALLO_RETURN_IF_ERROR(fields.Allow("evaluation_steps", &spec.evaluation_steps));
  ALLO_RETURN_IF_ERROR(fields.Allow("log_every", &spec.log_every));
  ALLO_RETURN_IF_ERROR(fields.Allow("checkpoint_every_s", &spec.checkpoint_every_s));
  ALLO_RETURN_IF_ERROR(fields.Allow("evaluation_windows", &spec.evaluation_windows));
  ALLO_RETURN_IF_ERROR(fields.Allow("ranks", &spec.ranks));
  ALLO_RETURN_IF_ERROR(fields.Allow("micro_batch", &spec.micro_batch));
  ALLO_RETURN_IF_ERROR(fields.Allow("device", &spec.device));
  ALLO_RETURN_IF_ERROR(fields.Allow("deterministic", &spec.deterministic));
  ALLO_RETURN_IF_ERROR(fields.Allow("step_backend", &spec.step_backend));
  ALLO_RETURN_IF_ERROR(fields.Allow("start", &start));
  ALLO_RETURN_IF_ERROR(fields.Allow("checkpoint_steps", &spec.checkpoint_steps));
  ALLO_RETURN_IF_ERROR(fields.Allow("kind", &spec.kind));
  ALLO_RETURN_IF_ERROR(fields.Allow("inputs", &inputs));
  ALLO_RETURN_IF_ERROR(fields.RefuseOthers());
  ALLO_RETURN_IF_ERROR(ParseInputs(inputs, &spec.inputs));
  if (!start.is_null()) ALLO_RETURN_IF_ERROR(ParseStart(start, &spec.start.emplace()));
  ALLO_RETURN_IF_ERROR(Validate(spec));
  return spec;
}

std::string IdentityJson(const Identity& identity) { return DumpJson(IdentityToJson(identity)); }

absl::StatusOr<Identity> ParseIdentityJson(absl::string_view text) {
  ALLO_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  Identity identity;
  ALLO_RETURN_IF_ERROR(ParseIdentity(json, &identity));
  return identity;
}

std::string RunSpecJson(const RunSpec& spec) {
  Json json{{"attempt", spec.attempt},
            {"identity", IdentityToJson(spec.identity)},
            {"steps", spec.steps},
            {"evaluation_steps", spec.evaluation_steps},
            {"log_every", spec.log_every},
            {"checkpoint_every_s", spec.checkpoint_every_s},
            {"evaluation_windows", spec.evaluation_windows},
            {"ranks", spec.ranks},
            {"micro_batch", spec.micro_batch},
            {"device", spec.device},
            {"deterministic", spec.deterministic},
            {"step_backend", spec.step_backend},
            {"checkpoint_steps", spec.checkpoint_steps},
            {"kind", spec.kind}};
  if (spec.start.has_value()) {
    json["start"] = {{"attempt", spec.start->attempt},
                     {"step", spec.start->step},
                     {"file", spec.start->file},
                     {"hash", spec.start->hash}};
    AddIfSet("run_id", spec.start->run_id, &json["start"]);
  }
  for (const RunInput& input : spec.inputs) {
    json["inputs"].push_back({{"kind", input.kind},
                              {"run_key", input.run_key},
                              {"run_id", input.run_id},
                              {"file", input.file},
                              {"hash", input.hash}});
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

}  // namespace allometry::run
