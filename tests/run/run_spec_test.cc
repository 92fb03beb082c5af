#include "run/run_spec.h"

#include <filesystem>
#include <string>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace allometry::run {
namespace {

using nlohmann::json;
using testing::HasSubstr;

RunSpec FullSpec() {
  RunSpec spec;
  spec.attempt = 3;
  spec.identity.shape = {"gpt", 2, 4, 64, 32, 99, 48, 64, 3};
  spec.identity.dataset = "gcide-char";
  spec.identity.dataset_hash = "0123456789abcdef";
  spec.identity.tokenizer_hash = "fedcba9876543210";
  spec.identity.batch_tokens = 2048;
  spec.identity.warmup_steps = 100;
  spec.identity.learning_rate = 0.1 + 0.2;  // not a short decimal
  spec.identity.seed = -5;
  spec.identity.optimizer = {0.8, 0.99, 0.05, 1e-10, 0.7};
  spec.identity.objective = "sparse";
  spec.identity.objective_seed = 11;
  spec.identity.schedule = Schedule::kWsd;
  spec.identity.decay_begin = 900;
  spec.identity.decay_end = 1000;
  spec.identity.final_rate_fraction = 0.25;
  spec.identity.tokenizer_key = "00000000000000ee";
  spec.steps = 1000;
  spec.evaluation_steps = {1, 10, 1000};
  spec.log_every = 7;
  spec.checkpoint_every_s = 0.5;
  spec.evaluation_windows = 12;
  spec.ranks = 2;
  spec.micro_batch = 8;
  spec.device = DeviceKind::kCuda;
  spec.deterministic = true;
  spec.step_backend = "autograd";
  spec.start = StartCheckpoint{2, 500, CheckpointFile(2, 500), "00000000000000ff", 6};
  spec.checkpoint_steps = {400, 800};
  spec.kind = RunKind::kTokenizer;
  spec.inputs = {
      {InputKind::kTokenizer, "00000000000000ee", 4, "attempt-1/tokens.json", "00000000000000dd"}};
  return spec;
}

std::string FailureOf(const json& document) {
  const auto spec = ParseRunSpec(document.dump());
  EXPECT_FALSE(spec.ok()) << document.dump(2);
  if (spec.ok()) return "";
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(spec.status().message());
}

TEST(RunSpecTest, EveryFieldRoundTrips) {
  const std::string text = RunSpecJson(FullSpec());
  const auto parsed = ParseRunSpec(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(RunSpecJson(*parsed), text);
  EXPECT_EQ(parsed->identity.learning_rate, 0.1 + 0.2);
  EXPECT_EQ(parsed->identity.seed, -5);
  EXPECT_EQ(parsed->identity.optimizer.clip_norm, 0.7);
  EXPECT_EQ(parsed->evaluation_steps, (std::vector<int64_t>{1, 10, 1000}));
  EXPECT_TRUE(parsed->deterministic);
  ASSERT_TRUE(parsed->start.has_value());
  EXPECT_EQ(parsed->start->file, "attempt-2/checkpoint-000000000500.safetensors");
}

TEST(RunSpecTest, DocumentHoldsEveryFieldOfTheStruct) {
  // A field that the writer forgets would come back as its default, unnoticed by the test above.
  const json document = json::parse(RunSpecJson(FullSpec())).flatten();
  const json defaults = json::parse(RunSpecJson(RunSpec{})).flatten();
  for (const auto& [path, value] : document.items()) {
    if (path == "/identity/shape/family") continue;  // one value
    EXPECT_TRUE(!defaults.contains(path) || defaults[path] != value) << path;
  }
}

TEST(RunSpecTest, OptionalFieldsKeepTheirDefaults) {
  const auto spec = ParseRunSpec(R"({"identity": {"shape": {"layers": 1, "heads": 1, "width": 8,
      "context": 4, "vocabulary": 10}, "dataset": "x", "batch_tokens": 8, "learning_rate": 1e-3},
      "steps": 5})");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->attempt, 1);
  EXPECT_EQ(spec->identity.optimizer.beta2, 0.95);
  EXPECT_EQ(spec->device, DeviceKind::kCpu);
  EXPECT_FALSE(spec->start.has_value());
}

TEST(RunSpecTest, UnknownFieldIsRefusedByName) {
  json document = json::parse(RunSpecJson(FullSpec()));
  document["identity"]["optimizer"]["weigth_decay"] = 0.1;
  EXPECT_THAT(FailureOf(document),
              testing::AllOf(HasSubstr("identity.optimizer.weigth_decay is not a known field"),
                             HasSubstr("weight_decay")));
}

struct WrongField {
  const char* pointer;  // RFC 6901
  const char* value;
  const char* said;  // in the message
};

TEST(RunSpecTest, EveryInvalidFieldIsNamedWithItsValueAndWhatIsAllowed) {
  const WrongField kWrong[] = {
      {"/attempt", "0", "attempt is 0; allowed: 1 or more"},
      {"/attempt", "2147483648", "attempt is 2147483648; allowed: an integer from"},
      {"/attempt", "1.5", "attempt is 1.5; allowed: an integer"},
      {"/identity", "[]", "identity is [], not a JSON object"},
      {"/identity/shape/family", "\"\"", "identity.shape.family is empty"},
      {"/identity/shape/layers", "0", "identity.shape.layers is 0; allowed: 1 or more"},
      {"/identity/shape/heads", "-1", "identity.shape.heads is -1"},
      {"/identity/shape/width", "66",
       "identity.shape.width is 66; allowed: a multiple of heads, 4"},
      {"/identity/shape/context", "0", "identity.shape.context is 0"},
      {"/identity/shape/vocabulary", "\"99\"", "identity.shape.vocabulary is \"99\"; allowed: an"},
      {"/identity/dataset", "\"../x\"", "identity.dataset is '../x'"},
      {"/identity/dataset", "\"\"", "identity.dataset is ''"},
      {"/identity/dataset", "\"..\"", "identity.dataset is '..'"},
      {"/identity/dataset_hash", "\"ABC\"", "identity.dataset_hash is ABC"},
      {"/identity/tokenizer_hash", "1", "identity.tokenizer_hash is 1; allowed: a string"},
      {"/identity/batch_tokens", "2049", "identity.batch_tokens is 2049; allowed: a positive mult"},
      {"/identity/batch_tokens", "0", "identity.batch_tokens is 0"},
      {"/identity/schedule", "\"linear\"", "identity.schedule is 'linear'; allowed: constant"},
      {"/identity/schedule", "\"constant\"", "identity.decay_begin is 900; allowed: 0 under"},
      {"/identity/decay_begin", "99", "identity.decay_begin is 99; allowed: at least warmup_steps"},
      {"/identity/decay_end", "900", "identity.decay_end is 900; allowed: more than decay_begin"},
      {"/identity/final_rate_fraction", "1.5", "identity.final_rate_fraction is 1.5"},
      {"/checkpoint_steps", "[1001]", "checkpoint_steps is 1001"},
      {"/kind", "\"test\"", "kind is 'test'; allowed: train, tokenizer"},
      {"/kind", "\"evaluate\"", "identity.evaluation.videos is 0; allowed: 1 or more"},
      {"/identity/evaluation", R"({"videos": 4})",
       "identity.evaluation.videos is 4; allowed: 0 wh"},
      {"/inputs/0/kind", "\"checkpoint\"", "inputs.kind is 'checkpoint'; allowed: tokenizer"},
      {"/inputs", "3", "inputs is 3; allowed: an array of objects"},
      {"/inputs/0/file", "\"../x\"", "inputs.file is '../x'"},
      {"/inputs/0/run_id", "0", "inputs.run_id is 0"},
      {"/start/run_id", "-1", "start.run_id is -1"},
      {"/identity/warmup_steps", "-1", "identity.warmup_steps is -1; allowed: 0 or more"},
      {"/identity/learning_rate", "0", "identity.learning_rate is 0; allowed: more than 0"},
      {"/identity/learning_rate", "null", "identity.learning_rate is null; allowed: a number"},
      {"/identity/seed", "9223372036854775808", "identity.seed is 9223372036854775808"},
      {"/identity/optimizer/beta1", "1", "identity.optimizer.beta1 is 1; allowed: [0, 1)"},
      {"/identity/optimizer/beta2", "-0.1", "identity.optimizer.beta2 is -0.1"},
      {"/identity/optimizer/weight_decay", "-1", "identity.optimizer.weight_decay is -1"},
      {"/identity/optimizer/epsilon", "0", "identity.optimizer.epsilon is 0"},
      {"/identity/optimizer/clip_norm", "-1", "identity.optimizer.clip_norm is -1"},
      {"/steps", "0", "steps is 0"},
      {"/evaluation_steps", "[0]",
       "evaluation_steps is 0; allowed: ascending steps from 1 to 1000"},
      {"/evaluation_steps", "[5, 5]", "evaluation_steps is 5"},
      {"/evaluation_steps", "[1001]", "evaluation_steps is 1001"},
      {"/evaluation_steps", "[1, \"2\"]", "evaluation_steps is \"2\""},
      {"/evaluation_steps", "7", "evaluation_steps is 7; allowed: an array of integers"},
      {"/log_every", "0", "log_every is 0"},
      {"/checkpoint_every_s", "0", "checkpoint_every_s is 0; allowed: more than 0"},
      {"/evaluation_windows", "0", "evaluation_windows is 0"},
      {"/ranks", "0", "ranks is 0"},
      {"/ranks", "65", "ranks is 65; allowed: 1 to the sequences of an update, 64"},
      {"/micro_batch", "-1", "micro_batch is -1"},
      {"/device", "\"tpu\"", "device is 'tpu'; allowed: cpu, cuda"},
      {"/deterministic", "1", "deterministic is 1; allowed: true or false"},
      {"/step_backend", "\"\"", "step_backend is empty"},
      {"/start", "3", "start is 3, not a JSON object"},
      {"/start/attempt", "0", "start.attempt is 0"},
      {"/start/step", "1001", "start.step is 1001; allowed: 0 to steps, 1000"},
      {"/start/file", "\"/etc/passwd\"", "start.file is '/etc/passwd'"},
      {"/start/file", "\"attempt-1/../../x\"", "start.file is 'attempt-1/../../x'"},
      {"/start/hash", "\"\"", "start.hash is ''"},
  };
  for (const WrongField& wrong : kWrong) {
    json document = json::parse(RunSpecJson(FullSpec()));
    document[json::json_pointer(wrong.pointer)] = json::parse(wrong.value);
    EXPECT_THAT(FailureOf(document), HasSubstr(wrong.said));
  }
}

TEST(RunSpecTest, MissingFieldIsNamed) {
  for (const char* path :
       {"/identity", "/steps", "/identity/shape", "/identity/shape/layers", "/identity/dataset",
        "/identity/batch_tokens", "/identity/learning_rate", "/start/hash"}) {
    const json::json_pointer pointer(path);
    json document = json::parse(RunSpecJson(FullSpec()));
    document[pointer.parent_pointer()].erase(pointer.back());
    EXPECT_THAT(FailureOf(document), HasSubstr(pointer.back() + " is missing"));
  }
}

TEST(RunSpecTest, BrokenJsonSaysLineAndColumn) {
  const auto spec = ParseRunSpec("{\n  \"attempt\": 1,\n  oops\n}");
  ASSERT_FALSE(spec.ok());
  EXPECT_THAT(std::string(spec.status().message()), HasSubstr("line 3, column"));
}

TEST(RunSpecTest, FileRoundTripsAndErrorsNameThePath) {
  const std::string dir = testing::TempDir() + "/run_spec_test";
  std::filesystem::remove_all(dir);
  EXPECT_EQ(ReadRunSpec(dir).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteRunSpec(dir, FullSpec()).ok());
  const auto spec = ReadRunSpec(dir);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(RunSpecJson(*spec), RunSpecJson(FullSpec()));

  ASSERT_TRUE(WriteFileAtomically(dir + "/run.json", "{}").ok());
  EXPECT_THAT(std::string(ReadRunSpec(dir).status().message()),
              HasSubstr(dir + "/run.json: identity is missing"));
}

TEST(RunSpecTest, InvalidSpecIsNotWritten) {
  RunSpec spec = FullSpec();
  spec.steps = 0;
  const std::string dir = testing::TempDir() + "/run_spec_test_invalid";
  std::filesystem::remove_all(dir);
  EXPECT_EQ(WriteRunSpec(dir, spec).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(dir + "/run.json"));
}

TEST(RunSpecTest, IdentityJsonDiffersExactlyWithTheIdentity) {
  RunSpec a = FullSpec(), b = FullSpec();
  b.steps = 2000;
  b.ranks = 1;
  EXPECT_EQ(IdentityJson(a.identity), IdentityJson(b.identity));
  b.identity.seed = 6;
  EXPECT_NE(IdentityJson(a.identity), IdentityJson(b.identity));
}

}  // namespace
}  // namespace allometry::run
