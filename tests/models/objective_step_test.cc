// Every objective of the table on every row of the training-step table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "models/objective.h"
#include "models/train_step.h"
#include "tests/models/double_gpt.h"

namespace allometry::models {
namespace {

struct ShapeAndFrame {
  Shape shape;
  FrameTokens frame;
};
// Several chunks and one, tails of all kinds.
const ShapeAndFrame kShapes[] = {{{"gpt", 2, 1, 20, 18, 33}, {4, 2}},
                                 {{"gpt", 1, 2, 40, 32, 16}, {13, 3}},
                                 {{"gpt", 2, 3, 96, 33, 257}, {8, 3}},
                                 {{"gpt", 1, 1, 16, 40, 99}, {7, 1}}};
constexpr int kSequences = 7;

// The last action token of a frame is the outcome where the objective needs one.
FrameTokens FrameFor(absl::string_view objective, FrameTokens frame) {
  if (!FindObjective(objective)->needs_frames) return {};
  if (objective != "world") return frame;
  return {.observation = frame.observation, .action = frame.action - 1, .outcome = 1};
}

struct Problem {
  Problem(const ShapeAndFrame& given, absl::string_view name)
      : shape(given.shape),
        layout(*LayoutOf(shape)),
        objective(*Objective::Create(name, 9, shape.vocabulary, shape.context,
                                     FrameFor(name, given.frame))) {
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
    objective.Mask(targets);
  }
  Batch batch() const {
    return {kSequences, shape.context, inputs, targets, objective.classes(), objective.weights()};
  }

  Shape shape;
  ParameterLayout layout;
  Objective objective;
  std::vector<float> parameters;
  std::vector<int32_t> inputs, targets;
};

// The loss; `gradient` is added to.
double Gradient(TrainStep& step, const Problem& problem, const Batch& batch, float weight,
                std::vector<float>& gradient) {
  double loss = 0;
  EXPECT_TRUE(step.LossAndGradient(problem.parameters, batch, weight, gradient, &loss).ok());
  return loss;
}

double Distance(std::span<const float> a, std::span<const float> b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / norm);
}

using Parameter = std::tuple<std::string, std::string>;  // objective, backend

class ObjectiveStepTest : public testing::TestWithParam<Parameter> {
 protected:
  std::unique_ptr<TrainStep> Make(const Problem& problem, const std::string& backend) {
    std::string chosen;
    auto step = CreateTrainStep(backend, problem.shape, problem.layout, Device(), &chosen);
    EXPECT_TRUE(step.ok()) << step.status();
    return *std::move(step);
  }
  const std::string objective_ = std::get<0>(GetParam());
  const std::string backend_ = std::get<1>(GetParam());
};

TEST_P(ObjectiveStepTest, LossIsTheOraclesAndTheGradientTheReferences) {
  for (const ShapeAndFrame& shape : kShapes) {
    const Problem problem(shape, objective_);
    std::vector<float> gradient(problem.layout.size), expected(problem.layout.size);
    const auto step = Make(problem, backend_), reference = Make(problem, "autograd");
    const double loss = Gradient(*step, problem, problem.batch(), 1, gradient);
    Gradient(*reference, problem, problem.batch(), 1, expected);
    const std::vector<double> exact(problem.parameters.begin(), problem.parameters.end());
    const double oracle = DoubleLoss(problem.shape, problem.layout, exact, problem.batch());
    EXPECT_NEAR(loss, oracle, 2e-6 * oracle);
    EXPECT_LT(Distance(gradient, expected), 1e-5) << "width " << shape.shape.width;
  }
}

// As on a GPU: ids are read where the device has them, and only which targets count is asked of the
// host. Evaluations of other batches in between change nothing.
TEST_P(ObjectiveStepTest, ABatchThatIsOnTheDeviceGivesTheSameBits) {
  if (backend_ != "autograd") GTEST_SKIP() << backend_ << " has the host's memory alone";
  const Problem problem(kShapes[0], objective_);
  std::vector<float> expected(problem.layout.size), gradient(problem.layout.size);
  const auto step = Make(problem, backend_);
  const double loss = Gradient(*step, problem, problem.batch(), 1, expected);
  std::vector<int32_t> nothing(problem.inputs.size(), 0), counting = problem.targets;
  for (int32_t& target : counting) target = target == kMasked ? kMasked : 0;
  Batch batch = problem.batch();
  batch.device_inputs = problem.inputs.data();
  batch.device_targets = problem.targets.data();
  batch.inputs = nothing;
  batch.targets = counting;
  for (int repetition = 0; repetition < 2; ++repetition) {
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    EXPECT_EQ(Gradient(*step, problem, batch, 1, gradient), loss);
    EXPECT_EQ(gradient, expected);
    std::vector<double> losses(problem.shape.context);
    ASSERT_TRUE(step->Losses(problem.parameters, Slice(problem.batch(), 1, 1), losses).ok());
  }
  // A part of it begins where its sequences do, on the device too.
  const Batch part = Slice(batch, 1, 1);
  EXPECT_EQ(part.sequences, 1);
  EXPECT_EQ(part.inputs.data(), batch.inputs.data() + problem.shape.context);
  EXPECT_EQ(part.device_inputs, batch.device_inputs + problem.shape.context);
  EXPECT_EQ(part.device_targets, batch.device_targets + problem.shape.context);
  EXPECT_EQ(part.first_sequence, 1);
}

TEST_P(ObjectiveStepTest, LossesAreThoseOfTheirPositionsAndZeroWhereMasked) {
  const Problem problem(kShapes[0], objective_);
  const auto step = Make(problem, backend_);
  std::vector<double> losses(problem.inputs.size());
  ASSERT_TRUE(step->Losses(problem.parameters, problem.batch(), losses).ok());
  const std::vector<double> exact(problem.parameters.begin(), problem.parameters.end());
  for (size_t i = 0; i < losses.size(); ++i) {
    if (problem.targets[i] == kMasked) {
      EXPECT_EQ(losses[i], 0) << i;
      continue;
    }
    std::vector<int32_t> one(problem.targets.size(), kMasked);
    one[i] = problem.targets[i];
    const Batch alone = {kSequences, problem.shape.context, problem.inputs, one,
                         problem.objective.classes()};
    EXPECT_NEAR(losses[i], DoubleLoss(problem.shape, problem.layout, exact, alone), 1e-5) << i;
  }
}

// Masked positions add nothing: the gradient is the mean of those of each supervised position
// alone, and of `world` the sum of that mean and the outcomes'.
TEST_P(ObjectiveStepTest, TheGradientIsTheMeanOverSupervisedPositions) {
  const Problem problem(kShapes[1], objective_);
  const auto step = Make(problem, backend_);
  std::vector<float> whole(problem.layout.size), pieces(problem.layout.size);
  Gradient(*step, problem, problem.batch(), 1, whole);
  for (const auto positions : {problem.objective.supervised(), problem.objective.outcomes()}) {
    for (const int position : positions) {
      std::vector<int32_t> one(problem.targets.size(), kMasked);
      for (int row = 0; row < kSequences; ++row) {
        const int at = row * problem.shape.context + position;
        one[at] = problem.targets[at];
      }
      const Batch alone = {kSequences, problem.shape.context, problem.inputs, one,
                           problem.objective.classes()};
      Gradient(*step, problem, alone, 1.0f / static_cast<float>(positions.size()), pieces);
    }
  }
  EXPECT_LT(Distance(pieces, whole), 1e-5);
}

// What only masked positions see gets exactly no gradient, and what it is changes no bit of the
// others': no leak from later tokens, and none through the mask.
TEST_P(ObjectiveStepTest, PositionsAfterTheLastSupervisedOneAreExactlyWithoutInfluence) {
  const ShapeAndFrame& shape = kShapes[0];
  Problem problem(shape, objective_);
  const int context = problem.shape.context;
  // Nothing of the last five positions counts.
  const int end = context - 5;
  int left = 0;
  for (int i = 0; i < kSequences * context; ++i) {
    if (i % context >= end) problem.targets[i] = kMasked;
    left += problem.targets[i] != kMasked;
  }
  if (left == 0) problem.targets[3] = 1;  // sparse objectives: any one position
  const auto step = Make(problem, backend_);
  std::vector<float> gradient(problem.layout.size), other(problem.layout.size);
  Gradient(*step, problem, problem.batch(), 1, gradient);
  const ParameterView& positions = problem.layout.views[1];
  for (int64_t i = positions.offset + end * problem.shape.width;
       i < positions.offset + positions.size; ++i) {
    EXPECT_EQ(gradient[i], 0.0f);
  }
  std::vector<double> losses(problem.inputs.size()), again(problem.inputs.size());
  ASSERT_TRUE(step->Losses(problem.parameters, problem.batch(), losses).ok());
  for (int i = 0; i < kSequences * context; ++i) {
    if (i % context >= end) problem.inputs[i] = (problem.inputs[i] + 1) % problem.shape.vocabulary;
  }
  ASSERT_TRUE(step->Losses(problem.parameters, problem.batch(), again).ok());
  EXPECT_EQ(losses, again);
}

TEST_P(ObjectiveStepTest, ABatchWithoutTargetsIsRefused) {
  const Problem problem(kShapes[0], objective_);
  const auto step = Make(problem, backend_);
  const std::vector<int32_t> none(problem.targets.size(), kMasked);
  const Batch batch = {kSequences, problem.shape.context, problem.inputs, none,
                       problem.objective.classes()};
  std::vector<float> gradient(problem.layout.size);
  double loss = 0;
  EXPECT_EQ(step->LossAndGradient(problem.parameters, batch, 1, gradient, &loss).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(*step->SumLoss(problem.parameters, batch), 0);
}

std::vector<Parameter> Cases() {
  std::vector<Parameter> cases;
  for (const ObjectiveRow& objective : Objectives()) {
    for (const TrainStepBackend& backend : TrainStepBackends()) {
      if (backend.tokenizers) continue;
      cases.emplace_back(objective.name, backend.name);
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Objectives, ObjectiveStepTest, testing::ValuesIn(Cases()),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + std::get<1>(info.param);
                         });

}  // namespace
}  // namespace allometry::models
