// Training in bf16 (models/autograd_step.h): the rounded copy, and what rounding does to losses and
// gradients, held against double arithmetic.
#include "models/bf16.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "models/adamw.h"
#include "models/train_step.h"
#include "tests/models/double_gpt.h"
#include "tests/testing/status_matchers.h"

namespace allometry::models {
namespace {

using run::Precision;

float ToFloat(uint16_t bf16) { return std::bit_cast<float>(static_cast<uint32_t>(bf16) << 16); }

TEST(Bf16Test, RoundsAsLibTorchDoes) {
  std::mt19937 random(1);
  std::vector<float> values = {0.0f,
                               -0.0f,
                               1.0f,
                               1.00390625f,  // half way between two: to the even one
                               1.01171875f,  // likewise, upwards
                               3.4e38f,      // to infinity
                               1e-40f,       // a denormal
                               std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity()};
  for (int i = 0; i < 100'000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (!std::isnan(value)) values.push_back(value);
  }
  const at::Tensor expected =
      at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kFloat)
          .to(at::kBFloat16);
  const auto* bits = reinterpret_cast<const uint16_t*>(expected.const_data_ptr<at::BFloat16>());
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(ToBf16(values[i]), bits[i]) << values[i];
  EXPECT_TRUE(std::isnan(ToFloat(ToBf16(std::numeric_limits<float>::quiet_NaN()))));
  // A NaN whose payload lies in the lower half alone.
  EXPECT_TRUE(std::isnan(ToFloat(ToBf16(std::bit_cast<float>(0x7f800001u)))));
}

struct Problem {
  Shape shape;
  ParameterLayout layout;
  std::vector<float> parameters;
  std::vector<int32_t> inputs, targets;

  Problem(const Shape& wanted, int sequences) : shape(wanted), layout(*LayoutOf(wanted)) {
    parameters.resize(layout.size);
    Initialize(shape, layout, 7, parameters);
    std::mt19937 random(3);
    std::normal_distribution<float> noise(0, 0.08f);
    for (float& value : parameters) value += noise(random);
    std::uniform_int_distribution<int32_t> token(0, shape.vocabulary - 1);
    for (int i = 0; i < sequences * shape.context; ++i) {
      inputs.push_back(token(random));
      targets.push_back(token(random));
    }
  }
  Batch batch(int first, int count) const {
    const size_t begin = static_cast<size_t>(first) * shape.context;
    const size_t size = static_cast<size_t>(count) * shape.context;
    return {count, shape.context, std::span(inputs).subspan(begin, size),
            std::span(targets).subspan(begin, size)};
  }
};

std::unique_ptr<TrainStep> Step(const Problem& problem, Precision precision) {
  std::string chosen;
  auto step =
      CreateTrainStep("autograd", problem.shape, problem.layout, Device(), &chosen, precision);
  EXPECT_THAT(step, testing::IsOk());
  (*step)->RoundParameters(problem.parameters);
  return *std::move(step);
}

// Relative error, in the 2-norm.
template <class Values>
double Distance(std::span<const float> values, const Values& expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    difference += std::pow(static_cast<double>(values[i]) - static_cast<double>(expected[i]), 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / norm);
}

// Every seventh element: by central differences of the loss in double, good to about 1e-9.
TEST(Bf16Test, GradientIsWithinTwoPercentOfDoubleArithmetic) {
  const Problem problem({"gpt", 2, 2, 16, 8, 24}, 3);
  const Batch batch = problem.batch(0, 3);
  std::vector<double> parameters(problem.parameters.begin(), problem.parameters.end());
  std::vector<double> expected;
  for (size_t i = 0; i < parameters.size(); i += 7) {
    constexpr double kStep = 1e-5;
    const double value = parameters[i];
    parameters[i] = value + kStep;
    const double above = DoubleLoss(problem.shape, problem.layout, parameters, batch);
    parameters[i] = value - kStep;
    const double below = DoubleLoss(problem.shape, problem.layout, parameters, batch);
    parameters[i] = value;
    expected.push_back((above - below) / (2 * kStep));
  }
  const double expected_loss = DoubleLoss(problem.shape, problem.layout, parameters, batch);
  for (const auto& [precision, tolerance] :
       {std::pair(Precision::kFp32, 1e-5), std::pair(Precision::kBf16, 0.02)}) {
    std::vector<float> gradient(problem.layout.size), sampled;
    double loss = 0;
    ASSERT_THAT(
        Step(problem, precision)->LossAndGradient(problem.parameters, batch, 1, gradient, &loss),
        testing::IsOk());
    for (size_t i = 0; i < gradient.size(); i += 7) sampled.push_back(gradient[i]);
    EXPECT_LT(Distance(sampled, expected), tolerance) << run::NameOf(precision);
    EXPECT_NEAR(loss, expected_loss, tolerance / 4 * expected_loss) << run::NameOf(precision);
    // Otherwise the rounding would not be there.
    if (precision == Precision::kBf16) {
      EXPECT_GT(Distance(sampled, expected), 1e-4);
    }
  }
}

// A row of the embedding's gradient is a sum over all its tokens: in bf16 it would stand still.
TEST(Bf16Test, AnEmbeddingThatIsReadOftenHasAnExactGradient) {
  Problem problem({"gpt", 1, 1, 16, 32, 40}, 64);
  std::fill(problem.inputs.begin(), problem.inputs.end(), 5);  // never a target: no head's part
  for (int32_t& target : problem.targets) target = target == 5 ? 6 : target;
  std::vector<float> exact(problem.layout.size), rounded(problem.layout.size);
  double loss = 0;
  const Batch batch = problem.batch(0, 64);
  ASSERT_THAT(
      Step(problem, Precision::kFp32)->LossAndGradient(problem.parameters, batch, 1, exact, &loss),
      testing::IsOk());
  ASSERT_THAT(Step(problem, Precision::kBf16)
                  ->LossAndGradient(problem.parameters, batch, 1, rounded, &loss),
              testing::IsOk());
  const size_t width = problem.shape.width;
  EXPECT_LT(Distance(std::span(rounded).subspan(5 * width, width),
                     std::span(exact).subspan(5 * width, width)),
            0.02);
}

TEST(Bf16Test, MicroBatchesAreSummedInFp32) {
  const Problem problem({"gpt", 2, 1, 24, 16, 50}, 16);
  const auto step = Step(problem, Precision::kBf16);
  std::vector<float> sum(problem.layout.size), each(problem.layout.size);
  std::vector<double> expected(problem.layout.size);
  double loss = 0;
  for (int i = 0; i < 16; ++i) {
    std::fill(each.begin(), each.end(), 0.0f);
    const Batch one = problem.batch(i, 1);
    ASSERT_THAT(step->LossAndGradient(problem.parameters, one, 1, each, &loss), testing::IsOk());
    ASSERT_THAT(step->LossAndGradient(problem.parameters, one, 1, sum, &loss), testing::IsOk());
    for (size_t k = 0; k < each.size(); ++k) expected[k] += each[k];
  }
  EXPECT_LT(Distance(sum, expected), 1e-6);
}

TEST(Bf16Test, TheSameInputsGiveTheSameBits) {
  const Problem problem({"gpt", 2, 3, 96, 33, 257}, 3);
  std::vector<float> first(problem.layout.size), second(problem.layout.size);
  double a = 0, b = 0;
  ASSERT_THAT(Step(problem, Precision::kBf16)
                  ->LossAndGradient(problem.parameters, problem.batch(0, 3), 1, first, &a),
              testing::IsOk());
  ASSERT_THAT(Step(problem, Precision::kBf16)
                  ->LossAndGradient(problem.parameters, problem.batch(0, 3), 1, second, &b),
              testing::IsOk());
  EXPECT_EQ(a, b);
  EXPECT_EQ(first, second);
}

TEST(Bf16Test, InPartsTheGradientIsTheSame) {
  const Problem problem({"gpt", 2, 3, 96, 33, 257}, 3);
  std::vector<float> whole(problem.layout.size), parts(problem.layout.size), told(parts.size());
  double a = 0, b = 0;
  const auto step = Step(problem, Precision::kBf16);
  ASSERT_THAT(step->LossAndGradient(problem.parameters, problem.batch(0, 3), 1, whole, &a),
              testing::IsOk());
  const auto done = [&](int64_t begin, int64_t end) {
    std::copy(parts.begin() + begin, parts.begin() + end, told.begin() + begin);
    return absl::OkStatus();
  };
  ASSERT_THAT(
      step->LossAndGradientInParts(problem.parameters, problem.batch(0, 3), 1, parts, &b, done),
      testing::IsOk());
  EXPECT_EQ(a, b);
  EXPECT_EQ(parts, whole);
  EXPECT_EQ(told, whole);
}

TEST(Bf16Test, TheOptimizerWritesTheCopyThatTheStepReads) {
  Problem problem({"gpt", 1, 1, 16, 32, 99}, 2);
  const auto step = Step(problem, Precision::kBf16);
  const auto adamw = CreateAdamW(problem.layout, {});
  std::vector<float> gradient(problem.layout.size), first(problem.layout.size),
      second(problem.layout.size);
  for (int update = 1; update <= 3; ++update) {
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    double loss = 0, norm = 0;
    ASSERT_THAT(step->LossAndGradient(problem.parameters, problem.batch(0, 2), 1, gradient, &loss),
                testing::IsOk());
    adamw->Step({problem.parameters, gradient, first, second, step->rounded_parameters()}, update,
                1e-2, &norm);
  }
  const auto rounded = step->rounded_parameters();
  ASSERT_EQ(rounded.size(), problem.parameters.size());
  for (size_t i = 0; i < rounded.size(); ++i) ASSERT_EQ(rounded[i], ToBf16(problem.parameters[i]));
  // A new step that rounds the parameters itself goes on with the same bits.
  std::vector<double> there(2 * 32), again(2 * 32);
  ASSERT_THAT(step->Losses(problem.parameters, problem.batch(0, 2), there), testing::IsOk());
  ASSERT_THAT(
      Step(problem, Precision::kBf16)->Losses(problem.parameters, problem.batch(0, 2), again),
      testing::IsOk());
  EXPECT_EQ(there, again);
}

TEST(Bf16Test, BackendsWithoutItSayWhichPrecisionTheyHave) {
  const Problem problem({"gpt", 1, 1, 16, 32, 99}, 1);
  std::string chosen;
  const auto fused = CreateTrainStep("fused_cpu", problem.shape, problem.layout, Device(), &chosen,
                                     Precision::kBf16);
  EXPECT_EQ(fused.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(fused.status().message()), ::testing::HasSubstr("fp32 and not in bf16"));
  ASSERT_THAT(
      CreateTrainStep("auto", problem.shape, problem.layout, Device(), &chosen, Precision::kBf16),
      testing::IsOk());
  EXPECT_EQ(chosen, "autograd");
}

}  // namespace
}  // namespace allometry::models
