#include "run/trainer_rules.h"

#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::run {
namespace {

using ::testing::HasSubstr;

RunSpec SpecOf(const std::string& capabilities = "") {
  RunSpec spec;
  spec.attempt = 2;
  spec.identity.batch_tokens = 10;
  spec.identity.trainer.command = {R"(["train"])"};
  spec.identity.trainer.size = {R"({"label":"1k","params":1000})"};
  spec.identity.trainer.capabilities = {capabilities};
  spec.steps = 100;
  spec.evaluation_steps = {20, 50, 100};
  return spec;
}

// What the records break, the last of them; empty: nothing.
std::string Broken(const RunSpec& spec, const std::vector<RecordBody>& bodies) {
  TrainerRules rules(spec);
  std::string message;
  uint64_t sequence = 0;
  for (const RecordBody& body : bodies) {
    EXPECT_EQ(message, "") << "before record " << sequence + 1;
    const auto end = rules.Check({++sequence, body});
    message = end.has_value() ? std::string(ExitReasonName(end->reason)) + ": " + end->message : "";
  }
  return message;
}

RecordBody Loss(int64_t step, double value = 1, const std::string& series = "heldout") {
  return Point{step, step * 10, series, std::isfinite(value) ? std::optional(value) : std::nullopt};
}

RecordBody Counts(int64_t params, const std::string& contract = "") {
  ExecutionConfig config;
  config.params = params;
  config.contract = contract;
  return config;
}

TEST(TrainerRulesTest, AWholeRunBreaksNothing) {
  EXPECT_EQ(Broken(SpecOf(),
                   {Counts(1000, "1.7"), Loss(5, 3, "train"), Loss(20), Loss(50),
                    CheckpointRecord{60, "attempt-2/checkpoint-60.pt", "0a1b2c3d", 5},
                    UnknownRecord{"song"}, Loss(100), ExitRecord{ExitReason::kSucceeded, "", 100}}),
            "");
}

TEST(TrainerRulesTest, AnotherParameterCountNamesBoth) {
  EXPECT_EQ(
      Broken(SpecOf(), {Counts(999)}),
      "BUG: record 1: the trainer counts 999 parameters in its model, and the sweep file says "
      "1000: one of them is wrong");
  EXPECT_EQ(Broken(SpecOf(), {Counts(0)}), "");  // it does not say
}

TEST(TrainerRulesTest, AnotherMajorVersionIsRefusedAndAnUnknownMinorIsNot) {
  EXPECT_THAT(Broken(SpecOf(), {Counts(0, "2.0")}), HasSubstr("known here is 1.1, and any 1.x"));
  EXPECT_THAT(Broken(SpecOf(), {Counts(0, "10.1")}), HasSubstr("version 10.1"));
  EXPECT_EQ(Broken(SpecOf(), {Counts(0, "1.99")}), "");
}

TEST(TrainerRulesTest, StepsAscendWithinASeriesAndTheRun) {
  EXPECT_EQ(Broken(SpecOf(), {Loss(20), Loss(10, 1, "train"), Loss(20)}),
            "BUG: record 3: heldout at step 20 after step 20: the steps of a series ascend");
  EXPECT_THAT(Broken(SpecOf(), {Loss(30, 1, "train"), Loss(20, 1, "train")}),
              HasSubstr("train at step 20 after step 30"));
  EXPECT_THAT(Broken(SpecOf(), {Loss(101)}), HasSubstr("allowed are 0 to 100, the run's last"));
  EXPECT_THAT(Broken(SpecOf(), {Loss(-1)}), HasSubstr("step -1"));
}

TEST(TrainerRulesTest, TokensAreThoseOfTheBatch) {
  EXPECT_THAT(Broken(SpecOf(), {Point{20, 199, "heldout", 1.0}}),
              HasSubstr("has 199 tokens: 20 updates of batch_tokens 10 are 200"));
  EXPECT_EQ(Broken(SpecOf(), {Point{20, 199, "mine", 1.0}}), "");
}

TEST(TrainerRulesTest, ALossThatIsNotFiniteIsADivergence) {
  EXPECT_EQ(Broken(SpecOf(), {Loss(20, NAN)}),
            "DIVERGED: the heldout loss at step 20 is not finite");
  EXPECT_EQ(Broken(SpecOf(), {Loss(20, NAN, "grad_norm")}), "");
}

TEST(TrainerRulesTest, SuccessNeedsEveryEvaluationAfterTheStartAndTheLastStep) {
  const ExitRecord done{ExitReason::kSucceeded, "", 100};
  EXPECT_THAT(Broken(SpecOf(), {Loss(20), done}),
              HasSubstr("without the held-out loss at step 50, 100"));
  EXPECT_THAT(
      Broken(SpecOf(), {Loss(20), Loss(50), Loss(100), ExitRecord{ExitReason::kSucceeded, "", 99}}),
      HasSubstr("at step 99: the run's last is 100"));
  RunSpec resumed = SpecOf();
  resumed.start = StartCheckpoint{1, 50, "attempt-1/checkpoint-50", "00000000", 0};
  EXPECT_EQ(Broken(resumed, {Loss(100), done}), "");
  EXPECT_EQ(Broken(SpecOf(R"(["resume"])"), {Loss(100), done}), "");
  // Others end when they like.
  EXPECT_EQ(Broken(SpecOf(), {ExitRecord{ExitReason::kPreempted, "", 3}}), "");
}

TEST(TrainerRulesTest, ACheckpointIsNamedAfterItsAttempt) {
  const auto with = [](const std::string& file, const std::string& hash) {
    return Broken(SpecOf(), {CheckpointRecord{5, file, hash, 1}});
  };
  EXPECT_EQ(with("attempt-2/checkpoint-5", "00000000"), "");
  EXPECT_EQ(with("attempt-2/checkpoint-5.safetensors", "0011223344556677"), "");
  for (const char* file : {"attempt-1/checkpoint-5", "attempt-2/../x", "attempt-2/checkpoint-",
                           "attempt-2/checkpoint-5.", "attempt-2/model-5",
                           "attempt-2/checkpoint-5/x", "/attempt-2/checkpoint-5", ""}) {
    EXPECT_THAT(with(file, "00000000"), HasSubstr("a checkpoint's file")) << file;
  }
  EXPECT_THAT(with("attempt-2/checkpoint-5", "0000"), HasSubstr("8 hexadecimal digits"));
}

TEST(TrainerRulesTest, EverythingCanBeDoneWhereNothingIsSaid) {
  EXPECT_TRUE(CanDo(Trainer(), "resume"));
  Trainer trainer;
  trainer.capabilities = {R"(["branch"])"};
  EXPECT_TRUE(CanDo(trainer, "branch"));
  EXPECT_FALSE(CanDo(trainer, "resume"));
  trainer.capabilities = {"[]"};
  EXPECT_FALSE(CanDo(trainer, "branch"));
}

}  // namespace
}  // namespace allometry::run
