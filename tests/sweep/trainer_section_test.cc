#include "coordinator/sweep/trainer_section.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "coordinator/sweep/difference.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_reader.h"
#include "data/generated.h"
#include "proto/run_conversion.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::string_view kFile = R"(name: ours
dataset: {external: fineweb-v3, tokens: 15T, heldout: c4-val}
trainer:
  command: [torchrun, "--nproc-per-node={devices}", train.py, "--run-dir", "{run_dir}"]
  env: {OMP_NUM_THREADS: "1", SEED: "{seed}"}
  args: {depth: "{size.depth}", lr: "{learning_rate}", tied: true, name: "{size.label}"}
  files: [train.py, model.py]
model:
  table:
    - {label: 300M, params: 3.1e8, params_non_embedding: 2.6e8, flops_per_token: 2.1e9, args: {depth: 12}}
    - {label: 1B, params: 1.02e9, params_non_embedding: .9e9, flops_per_token: 6.9e9, args: {depth: 20}}
training:
  batch_tokens: 524288
  learning_rate: 3e-4
budgets:
  tokens: [1B, 2B]
submitted: {"working_dir":"/home/me/x","files":{"train.py":"0011223344556677","model.py":"8899aabbccddeeff"}}
)";

std::string Changed(std::vector<std::pair<absl::string_view, absl::string_view>> changes) {
  for (const auto& [before, after] : changes) {
    EXPECT_TRUE(absl::StrContains(kFile, before)) << before;
  }
  return absl::StrReplaceAll(kFile, changes);
}

absl::StatusOr<Expansion> Expanded(absl::string_view yaml) {
  ALLO_ASSIGN_OR_RETURN(const SweepFile file, ParseSweepFile(yaml, "a.yaml"));
  ALLO_ASSIGN_OR_RETURN(const data::Manifest manifest, data::FindManifest("", file.dataset));
  return Expand(file, manifest);
}

std::vector<std::string> MistakesOf(absl::string_view yaml) {
  const auto expansion = Expanded(yaml);
  if (expansion.ok()) return {};
  return absl::StrSplit(expansion.status().message(), '\n');
}

std::string OneMistake(absl::string_view yaml) { return absl::StrJoin(MistakesOf(yaml), "\n"); }

TEST(TrainerSectionTest, RunsHaveTheCommandTheirSizeAndItsArithmetic) {
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, Expanded(kFile));
  ASSERT_EQ(expansion.runs.size(), 2u);
  EXPECT_EQ(expansion.cells.size(), 4u);
  EXPECT_EQ(expansion.sweep.dataset(), "external:fineweb-v3,tokens=15000000000000,heldout=c4-val");
  const v1::Run& large = expansion.runs[1];
  EXPECT_EQ(large.n_params(), 1'020'000'000);
  EXPECT_EQ(large.flops_per_token_6n(), 6 * 1.02e9);
  EXPECT_EQ(large.flops_per_token_exact(), 6.9e9);
  EXPECT_EQ(large.spec().micro_batch(), 0);
  ASSERT_OK_AND_ASSIGN(const run::Identity identity, ToIdentity(large.spec().identity()));
  EXPECT_EQ(identity.shape.family, "external");
  EXPECT_EQ(identity.trainer.command.text,
            R"(["torchrun","--nproc-per-node={devices}","train.py","--run-dir","{run_dir}"])");
  EXPECT_EQ(identity.trainer.args.text,
            R"({"depth":"{size.depth}","lr":"{learning_rate}","name":"{size.label}","tied":true})");
  EXPECT_EQ(identity.trainer.environment.text, R"({"OMP_NUM_THREADS":"1","SEED":"{seed}"})");
  EXPECT_EQ(identity.trainer.files.text,
            R"({"model.py":"8899aabbccddeeff","train.py":"0011223344556677"})");
  EXPECT_EQ(identity.trainer.working_dir, "/home/me/x");
  EXPECT_EQ(identity.trainer.size.text,
            R"({"args":{"depth":20},"flops_per_token":6900000000.0,"label":"1B",)"
            R"("params":1020000000,"params_non_embedding":900000000})");
  EXPECT_NEAR(expansion.cells[0].epochs(), 1e9 / 15e12, 1e-7);
}

TEST(TrainerSectionTest, ConventionsChooseAmongWhatTheTableSays) {
  ASSERT_OK_AND_ASSIGN(
      const Expansion expansion,
      Expanded(absl::StrCat(kFile, "conventions: {params: non-embedding, flops: exact}\n")));
  EXPECT_EQ(expansion.runs[1].n_params(), 900'000'000);
  EXPECT_DOUBLE_EQ(expansion.cells[0].flops(),
                   static_cast<double>(expansion.cells[0].tokens()) * 2.1e9);
}

TEST(TrainerSectionTest, WhatShapesNumbersIsInTheKeyAndTheFolderIsNot) {
  std::set<std::string> keys;
  const auto key = [](absl::string_view yaml) {
    const auto expansion = Expanded(yaml);
    EXPECT_TRUE(expansion.ok()) << expansion.status();
    return expansion.ok() ? expansion->runs[0].key() : "";
  };
  keys.insert(key(kFile));
  EXPECT_TRUE(keys.insert(key(Changed({{"train.py, \"--run", "other.py, \"--run"}}))).second);
  EXPECT_TRUE(keys.insert(key(Changed({{"tied: true", "tied: false"}}))).second);
  EXPECT_TRUE(keys.insert(key(Changed({{"NUM_THREADS: \"1\"", "NUM_THREADS: \"2\""}}))).second);
  EXPECT_TRUE(keys.insert(key(Changed({{"0011223344556677", "0011223344556678"}}))).second);
  EXPECT_TRUE(keys.insert(key(Changed({{"3.1e8", "3.2e8"}}))).second);
  EXPECT_TRUE(keys.insert(key(Changed({{"depth: 12", "depth: 13"}}))).second);
  EXPECT_FALSE(keys.insert(key(Changed({{"/home/me/x", "/elsewhere"}}))).second);
}

TEST(TrainerSectionTest, AllMistakesAtOnceWithLineValueAndWhatIsAllowed) {
  const std::vector<std::string> mistakes = MistakesOf(R"(name: bad
dataset: {external: "a b", tokens: 0, holdout: x}
trainer:
  command: [train, "{sead}"]
  env: {ALLOMETRY_X: "1", 2A: "1"}
  args: {depth: "{size.depth}"}
  files: [../x.py, a.py, a.py]
  capabilities: [resume, fly]
  shell: true
model:
  sizes: [5k]
  table:
    - {label: 1B, params: 1e9, params_non_embedding: 2e9, args: {depth: 3}}
    - {label: 2B, params: 2e9}
    - {params: 0}
training: {batch_tokens: 100, learning_rate: 1e-3}
budgets: {tokens: [1M]}
)");
  const std::string all = absl::StrJoin(mistakes, "\n");
  for (const char* expected :
       {"a.yaml:2: external 'a b': allowed are 1 to 64 letters",
        "a.yaml:2: tokens 0 is out of range",
        "a.yaml:2: unknown key holdout: did you mean heldout?",
        "a.yaml:4: placeholder {sead} is not known: allowed are {attempt}",
        "a.yaml:5: env ALLOMETRY_X is not a variable's name", "a.yaml:5: env 2A is not",
        "a.yaml:6: size 2B: placeholder {size.depth} is not known",
        "a.yaml:7: files ../x.py: allowed are paths below working_dir",
        "a.yaml:7: files a.py is given twice",
        "a.yaml:8: capabilities fly is not known: allowed are resume, branch, evaluation_steps",
        "a.yaml:9: unknown key shell", "a.yaml:11: table and sizes are both given",
        "a.yaml:13: params_non_embedding 2000000000 are more than params 1000000000",
        "a.yaml:15: label is missing under model.table", "a.yaml:15: params 0 is out of range"}) {
    EXPECT_THAT(all, HasSubstr(expected));
  }
}

// Which process it is, is known where one starts: run.json, and with it `args`, is for all.
TEST(TrainerSectionTest, PlacesOfProcessesStandInTheCommandAndItsVariables) {
  EXPECT_EQ(OneMistake(Changed(
                {{"\"{run_dir}\"", "\"{hosts} {host_rank} {host_devices}\""},
                 {"SEED: \"{seed}\"", "A: \"{main_address}:{main_port} {rank} {local_rank}\""}})),
            "");
  EXPECT_THAT(OneMistake(Changed({{"lr: \"{learning_rate}\"", "lr: \"{host_rank}\""}})),
              HasSubstr("a.yaml:6: placeholder {host_rank} is not known"));
}

TEST(TrainerSectionTest, ATableAndExternalDataNeedATrainer) {
  std::string yaml(kFile);
  yaml.erase(yaml.find("trainer:"), yaml.find("model:") - yaml.find("trainer:"));
  EXPECT_THAT(OneMistake(yaml), AllOf(HasSubstr("model.table needs the section trainer"),
                                      HasSubstr("dataset.external needs the section trainer")));
}

TEST(TrainerSectionTest, WhatATableLeavesOutIsAskedForWhereItIsNeeded) {
  const std::string yaml = Changed({{", params_non_embedding: 2.6e8, flops_per_token: 2.1e9", ""}});
  EXPECT_EQ(OneMistake(yaml), "");
  EXPECT_THAT(OneMistake(yaml + "conventions: {params: non-embedding, flops: exact}\n"),
              AllOf(HasSubstr("a.yaml:10: size 300M: conventions.params non-embedding needs its "
                              "params_non_embedding"),
                    HasSubstr("conventions.flops exact needs its flops_per_token")));
}

TEST(TrainerSectionTest, CapabilitiesChangeThePlan) {
  const auto with = [](absl::string_view capabilities, absl::string_view training) {
    return Changed({{"  files: [train.py, model.py]",
                     absl::StrCat("  files: [train.py, model.py]\n  capabilities: ", capabilities)},
                    {"  learning_rate: 3e-4", training}});
  };
  constexpr absl::string_view kWsd = "  learning_rate: 3e-4\n  schedule: wsd";
  ASSERT_OK_AND_ASSIGN(const Expansion all,
                       Expanded(with("[resume, branch, evaluation_steps]", kWsd)));
  EXPECT_EQ(all.runs.size(), 6u);  // two trunks, four branches
  ASSERT_OK_AND_ASSIGN(const Expansion alone, Expanded(with("[resume, evaluation_steps]", kWsd)));
  EXPECT_EQ(alone.runs.size(), 4u);
  for (const v1::Run& run : alone.runs) EXPECT_TRUE(run.spec().inputs().empty());
  EXPECT_THAT(OneMistake(with("[]", "  learning_rate: 3e-4")),
              HasSubstr("a.yaml:3: trainer.capabilities without evaluation_steps: under schedule "
                        "constant"));
  EXPECT_EQ(OneMistake(with("[]", "  learning_rate: 3e-4\n  schedule: cosine")), "");
}

TEST(TrainerSectionTest, AChangedFileOrSizeIsNamedAndNeverSilent) {
  ASSERT_OK_AND_ASSIGN(const Expansion before, Expanded(kFile));
  const auto difference = [&](const std::string& yaml) {
    const auto after = Expanded(yaml);
    EXPECT_TRUE(after.ok()) << after.status();
    v1::Sweep sweep = before.sweep;
    sweep.set_sweep_id(1);
    return Difference({sweep, before.runs, before.cells, {}}, *after).status();
  };
  EXPECT_OK(difference(std::string(kFile)));
  EXPECT_THAT(difference(Changed({{"0011223344556677", "ffff223344556677"}})),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("other files of its trainer: train.py changed (hash "
                                 "0011223344556677 to ffff223344556677)")));
  EXPECT_THAT(difference(Changed({{"tied: true", "tied: false"}})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has trainer args")));
  EXPECT_THAT(
      difference(Changed({{"1.02e9", "1.03e9"}})),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("size 1B"), HasSubstr("1020000000"), HasSubstr("1030000000"))));
}

TEST(TrainerSectionTest, WhatACommandDescribesIsReadFromTheSubmittedSection) {
  const std::vector<std::pair<absl::string_view, absl::string_view>> described = {
      {"params: 3.1e8, params_non_embedding: 2.6e8, flops_per_token: 2.1e9, ", ""},
      {"  files: [train.py, model.py]",
       "  files: [train.py, model.py]\n  describe_command: [python3, train.py, \"{size.depth}\"]"},
      {"\"files\":{",
       "\"sizes\":{\"300M\":{\"params\":310000000,\"params_non_embedding\":"
       "260000000,\"flops_per_token\":2.1e9}},\"files\":{"}};
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, Expanded(Changed(described)));
  ASSERT_OK_AND_ASSIGN(const Expansion in_file, Expanded(kFile));
  ASSERT_EQ(expansion.runs.size(), 2u);
  EXPECT_EQ(expansion.runs[0].n_params(), 310'000'000);
  EXPECT_EQ(expansion.runs[0].key(), in_file.runs[0].key());
  const std::string without = Changed({described[0], described[1]});
  EXPECT_THAT(OneMistake(without), HasSubstr("submitted.sizes has no params of size 300M"));
  EXPECT_THAT(OneMistake(Changed({described[0]})),
              HasSubstr("a.yaml:10: params is missing under model.table"));
  EXPECT_THAT(
      OneMistake(absl::StrReplaceAll(Changed(described), {{"{size.depth}\"]", "{seed}\"]"}})),
      HasSubstr("describe_command for size 300M: placeholder {seed} is not known: allowed "
                "are {size.depth}, {size.label}"));
}

TEST(TrainerSectionTest, OurOwnSizesMayHaveACommandToo) {
  std::string yaml = Changed({{"dataset: {external: fineweb-v3, tokens: 15T, heldout: c4-val}",
                               "dataset: {external: x, tokens: 1T}"}});
  const size_t model = yaml.find("  table:"), training = yaml.find("training:");
  yaml.replace(model, training - model, "  {context: 32, vocabulary: 99, sizes: [20k, 80k]}\n");
  yaml = absl::StrReplaceAll(yaml, {{"{size.depth}", "{size.layers}"}});
  EXPECT_THAT(OneMistake(absl::StrReplaceAll(yaml, {{", vocabulary: 99", ""}})),
              HasSubstr("model is missing: vocabulary"));
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, Expanded(yaml));
  ASSERT_OK_AND_ASSIGN(const run::Identity identity,
                       ToIdentity(expansion.runs[0].spec().identity()));
  EXPECT_GT(identity.shape.layers, 0);
  EXPECT_THAT(identity.trainer.size.text,
              AllOf(HasSubstr("\"label\":\"20k\""), HasSubstr("layers")));
}

}  // namespace
}  // namespace allometry::sweep
