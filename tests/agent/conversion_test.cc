#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/builders.h"
#include "tests/testing/status_matchers.h"
#include "worker/agent/record_conversion.h"
#include "worker/agent/run_spec_conversion.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Every field another value, so that two swapped ones show.
v1::RunSpec DistinctSpec() {
  v1::RunSpec spec;
  v1::RunIdentity& identity = *spec.mutable_identity();
  identity.mutable_shape()->set_family("family");
  identity.mutable_shape()->set_layers(2);
  identity.mutable_shape()->set_heads(3);
  identity.mutable_shape()->set_width(4);
  identity.mutable_shape()->set_context(5);
  identity.mutable_shape()->set_vocabulary(6);
  identity.set_dataset("data-set_7.x");
  identity.set_dataset_hash("hash-8");
  identity.set_tokenizer_hash("hash-9");
  identity.set_batch_tokens(10);
  identity.set_schedule("wsd");
  identity.set_warmup_steps(12);
  identity.set_learning_rate(0.13);
  identity.set_seed(14);
  identity.mutable_optimizer()->set_beta1(0.15);
  identity.mutable_optimizer()->set_beta2(0.16);
  identity.mutable_optimizer()->set_weight_decay(0.17);
  identity.mutable_optimizer()->set_epsilon(0.18);
  identity.mutable_optimizer()->set_clip_norm(0.19);
  spec.set_steps(20);
  spec.add_evaluation_steps(21);
  spec.add_evaluation_steps(22);
  spec.set_log_every(23);
  spec.set_checkpoint_every_s(24.5);
  spec.set_evaluation_windows(25);
  spec.set_ranks(26);
  spec.set_micro_batch(27);
  spec.set_device("cuda");
  spec.set_deterministic(true);
  spec.set_step_backend("backend-29");
  spec.mutable_start()->set_attempt(30);
  spec.mutable_start()->set_step(31);
  spec.mutable_start()->set_file("attempt-30/checkpoint-000000000031.safetensors");
  spec.mutable_start()->set_hash("hash-32");
  spec.mutable_start()->set_root_id("root-33");
  spec.mutable_start()->set_run_id(35);
  identity.mutable_shape()->set_image_height(36);
  identity.mutable_shape()->set_image_width(37);
  identity.mutable_shape()->set_image_channels(38);
  identity.set_objective("objective-39");
  identity.set_objective_seed(40);
  identity.set_decay_begin(41);
  identity.set_decay_end(42);
  identity.set_final_rate_fraction(0.43);
  identity.set_tokenizer_key("key-44");
  spec.add_checkpoint_steps(45);
  spec.set_kind("tokenizer");
  spec.add_inputs()->set_kind("trunk");
  v1::RunInput& input = *spec.add_inputs();
  input.set_kind("tokenizer");
  input.set_run_key("key-47");
  input.set_run_id(48);
  input.set_file("attempt-1/checkpoint-000000000049.safetensors");
  input.set_hash("hash-50");
  return spec;
}

TEST(RunSpecConversionTest, EveryFieldArrives) {
  ASSERT_OK_AND_ASSIGN(const run::RunSpec to, ToRunDirSpec(DistinctSpec(), 34, "root-33"));
  EXPECT_EQ(to.attempt, 34);
  EXPECT_EQ(to.identity.shape.family, "family");
  EXPECT_EQ(to.identity.shape.layers, 2);
  EXPECT_EQ(to.identity.shape.heads, 3);
  EXPECT_EQ(to.identity.shape.width, 4);
  EXPECT_EQ(to.identity.shape.context, 5);
  EXPECT_EQ(to.identity.shape.vocabulary, 6);
  EXPECT_EQ(to.identity.dataset, "data-set_7.x");
  EXPECT_EQ(to.identity.dataset_hash, "hash-8");
  EXPECT_EQ(to.identity.tokenizer_hash, "hash-9");
  EXPECT_EQ(to.identity.batch_tokens, 10);
  EXPECT_EQ(to.identity.schedule, run::Schedule::kWsd);
  EXPECT_EQ(to.identity.warmup_steps, 12);
  EXPECT_EQ(to.identity.learning_rate, 0.13);
  EXPECT_EQ(to.identity.seed, 14);
  EXPECT_EQ(to.identity.optimizer.beta1, 0.15);
  EXPECT_EQ(to.identity.optimizer.beta2, 0.16);
  EXPECT_EQ(to.identity.optimizer.weight_decay, 0.17);
  EXPECT_EQ(to.identity.optimizer.epsilon, 0.18);
  EXPECT_EQ(to.identity.optimizer.clip_norm, 0.19);
  EXPECT_EQ(to.steps, 20);
  EXPECT_THAT(to.evaluation_steps, ElementsAre(21, 22));
  EXPECT_EQ(to.log_every, 23);
  EXPECT_EQ(to.checkpoint_every_s, 24.5);
  EXPECT_EQ(to.evaluation_windows, 25);
  EXPECT_EQ(to.ranks, 26);
  EXPECT_EQ(to.micro_batch, 27);
  EXPECT_EQ(to.device, run::DeviceKind::kCuda);
  EXPECT_TRUE(to.deterministic);
  EXPECT_EQ(to.step_backend, "backend-29");
  ASSERT_TRUE(to.start.has_value());
  EXPECT_EQ(to.start->attempt, 30);
  EXPECT_EQ(to.start->step, 31);
  EXPECT_EQ(to.start->file, "attempt-30/checkpoint-000000000031.safetensors");
  EXPECT_EQ(to.start->hash, "hash-32");
  EXPECT_EQ(to.start->run_id, 35);
  EXPECT_EQ(to.identity.shape.image_height, 36);
  EXPECT_EQ(to.identity.shape.image_width, 37);
  EXPECT_EQ(to.identity.shape.image_channels, 38);
  EXPECT_EQ(to.identity.objective, "objective-39");
  EXPECT_EQ(to.identity.objective_seed, 40);
  EXPECT_EQ(to.identity.decay_begin, 41);
  EXPECT_EQ(to.identity.decay_end, 42);
  EXPECT_EQ(to.identity.final_rate_fraction, 0.43);
  EXPECT_EQ(to.identity.tokenizer_key, "key-44");
  EXPECT_THAT(to.checkpoint_steps, ElementsAre(45));
  EXPECT_EQ(to.kind, run::RunKind::kTokenizer);
  ASSERT_EQ(to.inputs.size(), 1u);  // the trunk is the start
  EXPECT_EQ(to.inputs[0].kind, run::InputKind::kTokenizer);
  EXPECT_EQ(to.inputs[0].run_key, "key-47");
  EXPECT_EQ(to.inputs[0].run_id, 48);
  EXPECT_EQ(to.inputs[0].file, "attempt-1/checkpoint-000000000049.safetensors");
  EXPECT_EQ(to.inputs[0].hash, "hash-50");
}

// These two are converted field by field; every other message by the rows of run/fields.h.
TEST(RunSpecConversionTest, NoFieldWasAddedWithoutItsConversion) {
  EXPECT_EQ(v1::Checkpoint::descriptor()->field_count(), 7);
  EXPECT_EQ(v1::RunInput::descriptor()->field_count(), 6);
}

TEST(RunSpecConversionTest, WithoutAStartTheRunBeginsAtStepZero) {
  v1::RunSpec spec = DistinctSpec();
  spec.clear_start();
  ASSERT_OK_AND_ASSIGN(const run::RunSpec to, ToRunDirSpec(spec, 1, "root"));
  EXPECT_FALSE(to.start.has_value());
}

TEST(RunSpecConversionTest, AStartUnderAnotherRootIsRefusedWithBothIds) {
  EXPECT_THAT(ToRunDirSpec(DistinctSpec(), 1, "root-here"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("root-33"), HasSubstr("root-here"))));
}

TEST(RunSpecConversionTest, NamesThatLeaveTheirFolderAreRefused) {
  for (const char* dataset :
       {"", "..", "../secret", "a/b", ".hidden", "a b", "../x:y=1", "strata:a/b"}) {
    v1::RunSpec spec = DistinctSpec();
    spec.mutable_identity()->set_dataset(dataset);
    EXPECT_THAT(ToRunDirSpec(spec, 1, "root-33"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dataset")))
        << dataset;
  }
  for (const char* file : {"../attempt-1/checkpoint-1.safetensors", "/etc/passwd",
                           "attempt-1/../checkpoint-1.safetensors", "attempt-1/spool"}) {
    v1::RunSpec spec = DistinctSpec();
    spec.mutable_start()->set_file(file);
    EXPECT_THAT(ToRunDirSpec(spec, 1, "root-33"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("start checkpoint")))
        << file;
  }
}

TEST(RecordConversionTest, APointKeepsItsValueAndTellsNull) {
  const v1::Record record = ToProto({3, run::Point{10, 160, "heldout", 2.5}}, 1, "root");
  EXPECT_EQ(record.sequence(), 3);
  EXPECT_EQ(record.point().step(), 10);
  EXPECT_EQ(record.point().tokens(), 160);
  EXPECT_EQ(record.point().series(), "heldout");
  EXPECT_EQ(record.point().value(), 2.5);
  EXPECT_FALSE(record.point().is_null());
  EXPECT_TRUE(
      ToProto({4, run::Point{10, 160, "train", std::nullopt}}, 1, "root").point().is_null());
}

TEST(RecordConversionTest, ACheckpointNamesItsAttemptAndRoot) {
  const v1::Record record = ToProto(
      {1, run::CheckpointRecord{7, "attempt-2/checkpoint-7.safetensors", "hash", 99}}, 2, "root");
  EXPECT_EQ(record.checkpoint().attempt(), 2);
  EXPECT_EQ(record.checkpoint().step(), 7);
  EXPECT_EQ(record.checkpoint().file(), "attempt-2/checkpoint-7.safetensors");
  EXPECT_EQ(record.checkpoint().hash(), "hash");
  EXPECT_EQ(record.checkpoint().bytes(), 99);
  EXPECT_EQ(record.checkpoint().root_id(), "root");
}

TEST(RecordConversionTest, NumericsAndExitKeepEveryField) {
  const run::ExecutionConfig numerics{2, "a,b", 3, "cpu", "model", "build", "backend"};
  const v1::Numerics to = ToProto({1, numerics}, 1, "root").numerics();
  EXPECT_EQ(to.ranks(), 2);
  EXPECT_EQ(to.hosts(), "a,b");
  EXPECT_EQ(to.micro_batch(), 3);
  EXPECT_EQ(to.device(), "cpu");
  EXPECT_EQ(to.device_model(), "model");
  EXPECT_EQ(to.trainer_build(), "build");
  EXPECT_EQ(to.step_backend(), "backend");
  const v1::ExitRecord exit =
      ToProto({1, run::ExitRecord{run::ExitReason::kOom, "why", 5}}, 1, "root").exit();
  EXPECT_EQ(exit.reason(), v1::OOM);
  EXPECT_EQ(exit.message(), "why");
  EXPECT_EQ(exit.step(), 5);
}

TEST(RecordConversionTest, ExitReasonsHaveTheSameNamesOnBothSides) {
  for (int value = v1::ExitReason_MIN + 1; value <= v1::ExitReason_MAX; ++value) {
    const auto reason = static_cast<run::ExitReason>(value);
    EXPECT_EQ(v1::ExitReason_Name(ToProto(reason)), run::ExitReasonName(reason));
  }
}

TEST(RunSpecConversionTest, AnInputIsACheckpointAndNoOtherPath) {
  for (const char* file : {"", "../run-1/x", "attempt-1/log", "/etc/passwd"}) {
    v1::RunSpec spec = DistinctSpec();
    spec.mutable_inputs(1)->set_file(file);
    EXPECT_THAT(ToRunDirSpec(spec, 34, "root-33"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input tokenizer")))
        << file;
  }
}

}  // namespace
}  // namespace allometry::agent
