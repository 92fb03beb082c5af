// The hand-written step on every instruction set that this CPU has, against a double oracle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xmmintrin.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>

#include "models/fused_cpu/plan_storage.h"
#include "models/fused_cpu_step.h"
#include "models/instruction_set.h"
#include "tests/models/double_gpt.h"

namespace allometry::models {
namespace {

// Tails of every kind: half panels, single columns, heads narrower and wider than a vector, a last
// tile of each height, several chunks.
const Shape kShapes[] = {{"gpt", 1, 1, 24, 17, 99},
                         {"gpt", 2, 3, 9, 5, 3},
                         {"gpt", 1, 2, 40, 32, 16},
                         {"gpt", 2, 1, 56, 9, 41},
                         {"gpt", 1, 4, 72, 7, 8},
                         {"gpt", 1, 1, 1, 1, 2},
                         {.family = "gpt",
                          .layers = 2,
                          .heads = 3,
                          .width = 30,
                          .context = 15,
                          .vocabulary = 21,
                          .positions = run::Positions::kFrameSlot,
                          .frame_tokens = 5},
                         {.family = "gpt",
                          .layers = 2,
                          .heads = 2,
                          .width = 44,
                          .context = 12,
                          .vocabulary = 9,
                          .positions = run::Positions::kRotary,
                          .frame_tokens = 4},
                         {.family = "gpt",
                          .layers = 1,
                          .heads = 3,
                          .width = 18,
                          .context = 40,
                          .vocabulary = 30,
                          .positions = run::Positions::kRotary,
                          .frame_tokens = 1}};

struct Problem {
  explicit Problem(const Shape& wanted) : shape(wanted), layout(*LayoutOf(wanted)) {
    parameters.resize(layout.size);
    Initialize(shape, layout, 7, parameters);
    std::mt19937 random(3);
    std::normal_distribution<float> noise(0, 0.08f);
    for (float& value : parameters) value += noise(random);
    std::uniform_int_distribution<int32_t> token(0, shape.vocabulary - 1);
    for (int i = 0; i < kSequences * shape.context; ++i) {
      inputs.push_back(token(random));
      targets.push_back(token(random));
    }
    batch = {kSequences, shape.context, inputs, targets};
  }

  static constexpr int kSequences = 3;
  Shape shape;
  ParameterLayout layout;
  std::vector<float> parameters;
  std::vector<int32_t> inputs, targets;
  Batch batch;
};

double Norm(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

// Tensor by tensor, along a random direction within it.
void ExpectSlopes(const Problem& problem, std::span<const float> gradient) {
  const double norm = Norm(gradient);
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  for (const ParameterView& view : problem.layout.views) {
    std::vector<double> direction(view.size);
    double length = 0;
    for (double& value : direction) {
      value = normal(random);
      length += value * value;
    }
    std::vector<double> up(problem.parameters.begin(), problem.parameters.end()), down = up;
    double expected = 0;
    constexpr double kStep = 1e-4;
    for (int64_t i = 0; i < view.size; ++i) {
      const double unit = direction[i] / std::sqrt(length);
      up[view.offset + i] += kStep * unit;
      down[view.offset + i] -= kStep * unit;
      expected += unit * gradient[view.offset + i];
    }
    const double slope = (DoubleLoss(problem.shape, problem.layout, up, problem.batch) -
                          DoubleLoss(problem.shape, problem.layout, down, problem.batch)) /
                         (2 * kStep);
    EXPECT_NEAR(slope, expected, 1e-5 * norm + 1e-8) << view.name;
  }
}

TEST(FusedCpuTest, EveryInstructionSetAgreesWithTheDoubleOracle) {
  for (const Shape& shape : kShapes) {
    const Problem problem(shape);
    const std::vector<double> parameters(problem.parameters.begin(), problem.parameters.end());
    const double expected = DoubleLoss(shape, problem.layout, parameters, problem.batch);
    const auto tokens = static_cast<float>(problem.inputs.size());
    for (const InstructionSet& set : InstructionSets()) {
      if (!set.here) continue;
      SCOPED_TRACE(testing::Message() << set.name << " width " << shape.width);
      const auto storage = *fused_cpu::PlanStorage::Make(shape, problem.layout);
      std::vector<float> gradient(problem.layout.size);
      std::vector<double> losses(problem.inputs.size());
      std::vector<int32_t> places(problem.inputs.size());
      std::iota(places.begin(), places.end(), 0);
      set.step(storage->plan(), {.parameters = problem.parameters.data(),
                                 .gradient = gradient.data(),
                                 .inputs = problem.inputs.data(),
                                 .targets = problem.targets.data(),
                                 .places = places.data(),
                                 .count = static_cast<long>(places.size()),
                                 .classes = {},
                                 .sequences = Problem::kSequences,
                                 .context = shape.context,
                                 .weight = 1 / tokens,
                                 .losses = losses.data()});
      EXPECT_NEAR(std::accumulate(losses.begin(), losses.end(), 0.0) / tokens, expected,
                  1e-6 * expected);
      ExpectSlopes(problem, gradient);
    }
  }
}

class AlloIsaTest : public testing::Test {
 protected:
  ~AlloIsaTest() override { unsetenv("ALLO_ISA"); }
};

TEST_F(AlloIsaTest, TheWidestSetThatIsHereIsTakenWhereNothingIsAsked) {
  unsetenv("ALLO_ISA");
  const auto chosen = ChooseInstructionSet();
  ASSERT_TRUE(chosen.ok());
  EXPECT_TRUE(chosen->here);
  for (const InstructionSet& set : InstructionSets()) {
    if (!set.here) continue;
    EXPECT_STREQ(chosen->name, set.name);
    break;
  }
  setenv("ALLO_ISA", "", 1);
  EXPECT_STREQ(ChooseInstructionSet()->name, chosen->name);
}

TEST_F(AlloIsaTest, ForcesASetThatIsHereAndRefusesOneThatIsNot) {
  for (const InstructionSet& set : InstructionSets()) {
    setenv("ALLO_ISA", set.name, 1);
    const auto chosen = ChooseInstructionSet();
    ASSERT_EQ(chosen.ok(), set.here) << set.name;
    if (set.here) {
      EXPECT_EQ(chosen->step, set.step);
    } else {
      EXPECT_TRUE(absl::IsFailedPrecondition(chosen.status()));
      EXPECT_THAT(std::string(chosen.status().message()), testing::HasSubstr("it has "));
    }
  }
}

TEST_F(AlloIsaTest, AnUnknownSetIsAnErrorThatNamesTheKnownOnes) {
  setenv("ALLO_ISA", "AVX2", 1);
  const absl::Status status =
      CreateFusedCpuStep(kShapes[0], *LayoutOf(kShapes[0]), {}, run::Precision::kFp32).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(), "ALLO_ISA is 'AVX2': allowed are avx512, avx2, baseline, or not set");
}

class FusedCpuStepTest : public testing::Test {
 protected:
  FusedCpuStepTest()
      : problem_(kShapes[0]),
        step_(*CreateFusedCpuStep(problem_.shape, problem_.layout, {}, run::Precision::kFp32)) {}

  std::vector<float> Gradient(std::span<const float> parameters) {
    std::vector<float> gradient(problem_.layout.size);
    double loss = 0;
    EXPECT_TRUE(step_->LossAndGradient(parameters, problem_.batch, 1, gradient, &loss).ok());
    return gradient;
  }

  const Problem problem_;
  const std::unique_ptr<TrainStep> step_;
};

TEST_F(FusedCpuStepTest, BitsDoNotDependOnWhereTheBuffersLie) {
  const std::vector<float> expected = Gradient(problem_.parameters);
  std::vector<float> moved(problem_.layout.size + 3), gradient(problem_.layout.size + 3);
  std::copy(problem_.parameters.begin(), problem_.parameters.end(), moved.begin() + 3);
  const std::span<float> shifted = std::span(gradient).subspan(1, problem_.layout.size);
  double loss = 0;
  ASSERT_TRUE(
      step_->LossAndGradient(std::span(moved).subspan(3), problem_.batch, 1, shifted, &loss).ok());
  EXPECT_TRUE(std::equal(shifted.begin(), shifted.end(), expected.begin()));
}

TEST_F(FusedCpuStepTest, ARunThatWentToInfinityLeavesNothingBehind) {
  const std::vector<float> expected = Gradient(problem_.parameters);
  const std::vector<float> broken(problem_.layout.size, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(std::isnan(Gradient(broken)[0]));
  EXPECT_EQ(Gradient(problem_.parameters), expected);
}

TEST_F(FusedCpuStepTest, DenormalsAreBackAfterTheStep) {
  const unsigned before = _mm_getcsr() & ~0x3fu;  // without the sticky exception flags
  Gradient(problem_.parameters);
  EXPECT_EQ(_mm_getcsr() & ~0x3fu, before);
}

TEST_F(FusedCpuStepTest, ATokenOutsideTheVocabularyIsNamed) {
  std::vector<int32_t> inputs = problem_.inputs;
  inputs[5] = problem_.shape.vocabulary;
  const auto loss = step_->SumLoss(
      problem_.parameters, {Problem::kSequences, problem_.shape.context, inputs, problem_.targets});
  EXPECT_EQ(loss.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(loss.status().message()), testing::HasSubstr("99: allowed is 0..98"));
}

TEST(FusedCpuRefusalTest, CudaAndVeryLongContextsAreUnimplementedWithTheReason) {
  const Shape small = kShapes[0];
  EXPECT_TRUE(absl::IsUnimplemented(
      CreateFusedCpuStep(small, *LayoutOf(small), {.cuda = true, .index = 0}, run::Precision::kFp32)
          .status()));
  const Shape endless = {"gpt", 8, 8, 64, 20'000, 64};
  const auto step = CreateFusedCpuStep(endless, *LayoutOf(endless), {}, run::Precision::kFp32);
  EXPECT_TRUE(absl::IsUnimplemented(step.status()));
  EXPECT_THAT(std::string(step.status().message()), testing::HasSubstr("context 20000"));
}

}  // namespace
}  // namespace allometry::models
