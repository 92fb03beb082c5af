// Every row of the training-step table keeps the contract of models/train_step.h.
#include "models/train_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace allometry::models {
namespace {

struct Problem {
  Shape shape;
  ParameterLayout layout;
  std::vector<float> parameters;
  std::vector<int32_t> inputs, targets;
  Batch batch;
};

std::unique_ptr<Problem> MakeProblem(const Shape& shape, int sequences) {
  auto problem = std::make_unique<Problem>();
  problem->shape = shape;
  problem->layout = *LayoutOf(shape);
  problem->parameters.resize(problem->layout.size);
  Initialize(shape, problem->layout, 7, problem->parameters);
  std::mt19937 random(3);
  // Away from the symmetric start, so that every path carries a gradient.
  std::normal_distribution<float> noise(0, 0.08f);
  for (float& value : problem->parameters) value += noise(random);
  std::uniform_int_distribution<int32_t> token(0, shape.vocabulary - 1);
  for (int i = 0; i < sequences * shape.context; ++i) {
    problem->inputs.push_back(token(random));
    problem->targets.push_back(token(random));
  }
  problem->batch = {sequences, shape.context, problem->inputs, problem->targets};
  return problem;
}

// Shapes with tails: widths and vocabularies that no vector length divides, odd contexts.
const Shape kShapes[] = {{"gpt", 1, 1, 16, 32, 99},
                         {"gpt", 2, 1, 20, 17, 33},
                         {"gpt", 3, 2, 24, 9, 101},
                         {"gpt", 1, 4, 64, 40, 128},
                         {"gpt", 2, 3, 96, 33, 257},
                         {"gpt", 1, 2, 8, 1, 5},
                         {.family = "gpt",
                          .layers = 2,
                          .heads = 2,
                          .width = 40,
                          .context = 36,
                          .vocabulary = 50,
                          .positions = run::Positions::kFrameSlot,
                          .frame_tokens = 9},
                         {.family = "gpt",
                          .layers = 2,
                          .heads = 2,
                          .width = 36,
                          .context = 36,
                          .vocabulary = 50,
                          .positions = run::Positions::kRotary,
                          .frame_tokens = 9}};

using Parameter = std::tuple<std::string, int>;

class TrainStepTest : public testing::TestWithParam<Parameter> {
 protected:
  void SetUp() override {
    problem_ = MakeProblem(kShapes[std::get<1>(GetParam())], 3);
    std::string chosen;
    absl::StatusOr<std::unique_ptr<TrainStep>> step = CreateTrainStep(
        std::get<0>(GetParam()), problem_->shape, problem_->layout, Device(), &chosen);
    if (absl::IsUnimplemented(step.status())) GTEST_SKIP() << step.status().message();
    ASSERT_TRUE(step.ok()) << step.status();
    step_ = std::move(*step);
  }

  double Gradient(std::span<const float> parameters, const Batch& batch, float weight,
                  std::vector<float>& gradient) {
    double loss = 0;
    EXPECT_TRUE(step_->LossAndGradient(parameters, batch, weight, gradient, &loss).ok());
    return loss;
  }

  std::unique_ptr<Problem> problem_;
  std::unique_ptr<TrainStep> step_;
};

TEST_P(TrainStepTest, LossIsTheMeanThatSumLossGives) {
  std::vector<float> gradient(problem_->layout.size);
  const double loss = Gradient(problem_->parameters, problem_->batch, 1, gradient);
  const double tokens = static_cast<double>(problem_->inputs.size());
  EXPECT_NEAR(*step_->SumLoss(problem_->parameters, problem_->batch) / tokens, loss, 1e-5 * loss);
  EXPECT_GT(loss, 0.3 * std::log(problem_->shape.vocabulary));
}

// Central differences along the gradient itself and along random directions.
TEST_P(TrainStepTest, GradientAgreesWithFiniteDifferences) {
  std::vector<float> gradient(problem_->layout.size);
  Gradient(problem_->parameters, problem_->batch, 1, gradient);
  double norm = 0;
  for (const float g : gradient) norm += static_cast<double>(g) * g;
  norm = std::sqrt(norm);
  std::mt19937 random(11);
  std::normal_distribution<double> normal;
  for (int trial = 0; trial < 4; ++trial) {
    std::vector<double> direction(gradient.size());
    double length = 0;
    for (size_t i = 0; i < direction.size(); ++i) {
      direction[i] = trial == 0 ? gradient[i] / norm
                                : normal(random) + gradient[i] / norm * std::sqrt(gradient.size());
      length += direction[i] * direction[i];
    }
    length = std::sqrt(length);
    const double h = 0.004;
    std::vector<float> up = problem_->parameters, down = problem_->parameters;
    double expected = 0;
    for (size_t i = 0; i < direction.size(); ++i) {
      const double unit = direction[i] / length;
      up[i] += static_cast<float>(h * unit);
      down[i] -= static_cast<float>(h * unit);
      expected += unit * gradient[i];
    }
    const double tokens = static_cast<double>(problem_->inputs.size());
    const double slope =
        (*step_->SumLoss(up, problem_->batch) - *step_->SumLoss(down, problem_->batch)) / tokens /
        (2 * h);
    EXPECT_NEAR(slope, expected, 0.01 * std::abs(expected) + 1e-3) << "trial " << trial;
  }
}

TEST_P(TrainStepTest, WeightedMicroBatchesAddUpToTheWholeBatch) {
  std::vector<float> whole(problem_->layout.size), pieces(problem_->layout.size);
  const double loss = Gradient(problem_->parameters, problem_->batch, 1, whole);
  double sum = 0;
  const size_t context = problem_->shape.context;
  for (int row = 0; row < 3; ++row) {
    const Batch one = {1, problem_->shape.context,
                       std::span(problem_->inputs).subspan(row * context, context),
                       std::span(problem_->targets).subspan(row * context, context)};
    sum += Gradient(problem_->parameters, one, 1.0f / 3, pieces);
  }
  EXPECT_NEAR(sum, loss, 1e-5 * loss);
  double difference = 0, norm = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    difference += std::pow(whole[i] - pieces[i], 2);
    norm += std::pow(whole[i], 2);
  }
  EXPECT_LT(std::sqrt(difference), 1e-5 * std::sqrt(norm));
}

// What one parameter gets twice (a tied table) is added in another order where it had a gradient
// before; otherwise the bits are the same.
TEST_P(TrainStepTest, InPartsTheGradientIsTheSameAndEachPartIsFinalWhenItIsTold) {
  std::vector<float> whole(problem_->layout.size), parts(problem_->layout.size);
  const double expected = Gradient(problem_->parameters, problem_->batch, 0.75f, whole);
  double loss = 0;
  std::vector<float> told(problem_->layout.size);
  std::vector<int> times(problem_->layout.size);
  std::vector<int64_t> begins;
  const auto done = [&](int64_t begin, int64_t end) {
    EXPECT_LT(begin, end);
    begins.push_back(begin);
    for (int64_t i = begin; i < end; ++i) {
      told[i] = parts[i];
      ++times[i];
    }
    return absl::OkStatus();
  };
  ASSERT_TRUE(
      step_
          ->LossAndGradientInParts(problem_->parameters, problem_->batch, 0.75f, parts, &loss, done)
          .ok());
  EXPECT_EQ(loss, expected);
  EXPECT_EQ(times, std::vector<int>(times.size(), 1));
  EXPECT_EQ(told, parts);
  EXPECT_EQ(parts, whole);
  if (std::get<0>(GetParam()) != "autograd") return;
  EXPECT_EQ(static_cast<int>(begins.size()), problem_->shape.layers + 2);
  EXPECT_TRUE(std::is_sorted(begins.rbegin(), begins.rend()));
  const absl::Status lost =
      step_->LossAndGradientInParts(problem_->parameters, problem_->batch, 1, parts, &loss,
                                    [](int64_t, int64_t) { return absl::AbortedError("a rank"); });
  EXPECT_EQ(lost.code(), absl::StatusCode::kAborted);
  // Nothing of the ended call is left in the step.
  std::vector<float> again(problem_->layout.size);
  Gradient(problem_->parameters, problem_->batch, 0.75f, again);
  EXPECT_EQ(again, whole);
}

TEST_P(TrainStepTest, TheSameInputsGiveTheSameBits) {
  std::vector<float> first(problem_->layout.size), second(problem_->layout.size);
  const double a = Gradient(problem_->parameters, problem_->batch, 0.5f, first);
  // Another batch in between, and a copy of the parameters elsewhere in memory.
  std::vector<float> scratch(problem_->layout.size);
  const Batch one = {1, problem_->shape.context,
                     std::span(problem_->inputs).first(problem_->shape.context),
                     std::span(problem_->targets).first(problem_->shape.context)};
  Gradient(problem_->parameters, one, 1, scratch);
  std::vector<float> moved = problem_->parameters;
  const double b = Gradient(moved, problem_->batch, 0.5f, second);
  EXPECT_EQ(a, b);
  EXPECT_EQ(first, second);
}

// The probabilities of the last position add up to 1 only when the earlier losses are exactly those
// of the prefix alone, whatever the last token is.
TEST_P(TrainStepTest, LaterTokensDoNotReachEarlierLosses) {
  const int context = problem_->shape.context;
  if (context < 2) GTEST_SKIP() << "context " << context << " has no later tokens";
  const int prefix = context - 1;
  std::vector<int32_t> inputs(problem_->inputs.begin(), problem_->inputs.begin() + context);
  std::vector<int32_t> targets(problem_->targets.begin(), problem_->targets.begin() + context);
  const Batch before = {1, prefix, std::span(inputs).first(prefix),
                        std::span(targets).first(prefix)};
  const double alone = *step_->SumLoss(problem_->parameters, before);
  for (int trial = 0; trial < 3; ++trial) {
    inputs[prefix] = (inputs[prefix] + 1) % problem_->shape.vocabulary;
    double probability = 0;
    for (targets[prefix] = 0; targets[prefix] < problem_->shape.vocabulary; ++targets[prefix]) {
      const Batch all = {1, context, inputs, targets};
      probability += std::exp(alone - *step_->SumLoss(problem_->parameters, all));
    }
    EXPECT_NEAR(probability, 1, 1e-4);
  }
}

std::vector<Parameter> Cases() {
  std::vector<Parameter> cases;
  for (const TrainStepBackend& row : TrainStepBackends()) {
    if (row.tokenizers) continue;
    for (size_t shape = 0; shape < std::size(kShapes); ++shape) {
      cases.emplace_back(row.name, static_cast<int>(shape));
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Backends, TrainStepTest, testing::ValuesIn(Cases()), [](const auto& info) {
  return std::get<0>(info.param) + "_shape" + std::to_string(std::get<1>(info.param));
});

// The reference is autograd's; a row that is faster must be the same to rounding.
TEST(TrainStepTableTest, EveryRowAgreesWithTheReference) {
  for (const Shape& shape : kShapes) {
    const std::unique_ptr<Problem> problem = MakeProblem(shape, 5);
    std::string chosen;
    const auto reference = *CreateTrainStep("autograd", shape, problem->layout, Device(), &chosen);
    std::vector<float> expected(problem->layout.size);
    double expected_loss = 0;
    ASSERT_TRUE(
        reference->LossAndGradient(problem->parameters, problem->batch, 1, expected, &expected_loss)
            .ok());
    double norm = 0;
    for (const float g : expected) norm += static_cast<double>(g) * g;
    for (const TrainStepBackend& row : TrainStepBackends()) {
      auto step = CreateTrainStep(row.name, shape, problem->layout, Device(), &chosen);
      if (absl::IsUnimplemented(step.status())) continue;
      ASSERT_TRUE(step.ok()) << step.status();
      std::vector<float> gradient(problem->layout.size);
      double loss = 0;
      ASSERT_TRUE(
          (*step)->LossAndGradient(problem->parameters, problem->batch, 1, gradient, &loss).ok());
      EXPECT_NEAR(loss, expected_loss, 1e-5 * expected_loss) << row.name;
      double difference = 0;
      for (size_t i = 0; i < gradient.size(); ++i) {
        difference += std::pow(static_cast<double>(gradient[i]) - expected[i], 2);
      }
      EXPECT_LT(std::sqrt(difference / norm), 1e-5) << row.name << " width " << shape.width;
    }
  }
}

TEST(TrainStepTableTest, AnUnknownNameListsTheRows) {
  const Shape shape = kShapes[0];
  std::string chosen;
  const auto step = CreateTrainStep("magic", shape, *LayoutOf(shape), Device(), &chosen);
  EXPECT_EQ(step.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(step.status().message()), testing::HasSubstr("autograd"));
}

}  // namespace
}  // namespace allometry::models
