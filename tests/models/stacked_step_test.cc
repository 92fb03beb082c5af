#include "models/stacked_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace allometry::models {
namespace {

using ::testing::HasSubstr;

constexpr int kModels = 5;
// Every kind of positions; sizes that are no multiples of a vector.
const Shape kShapes[] = {
    {.family = "gpt", .layers = 2, .heads = 2, .width = 16, .context = 16, .vocabulary = 65},
    {.family = "gpt", .layers = 1, .heads = 3, .width = 21, .context = 9, .vocabulary = 37},
    {.family = "gpt",
     .layers = 2,
     .heads = 2,
     .width = 20,
     .context = 18,
     .vocabulary = 50,
     .positions = run::Positions::kFrameSlot,
     .frame_tokens = 9},
    {.family = "gpt",
     .layers = 2,
     .heads = 2,
     .width = 12,
     .context = 18,
     .vocabulary = 50,
     .positions = run::Positions::kRotary,
     .frame_tokens = 9}};

// One model and its batch.
struct Model {
  std::vector<float> parameters;
  std::vector<int32_t> inputs, targets;
  std::vector<float> weights;
  Batch batch;
};

std::unique_ptr<Model> MakeModel(const Shape& shape, int seed, int sequences) {
  const ParameterLayout layout = *LayoutOf(shape);
  auto model = std::make_unique<Model>();
  model->parameters.resize(layout.size);
  Initialize(shape, layout, seed, model->parameters);
  std::mt19937 random(seed);
  std::normal_distribution<float> noise(0, 0.08f);
  for (float& value : model->parameters) value += noise(random);
  std::uniform_int_distribution<int32_t> token(0, shape.vocabulary - 1);
  for (int i = 0; i < sequences * shape.context; ++i) {
    model->inputs.push_back(token(random));
    model->targets.push_back(token(random));
  }
  model->batch = {sequences, shape.context, model->inputs, model->targets};
  return model;
}

struct Result {
  std::vector<float> gradient;
  double loss = 0;
  bool operator==(const Result&) const = default;
};

std::vector<Result> Stacked(StackedStep& step, const std::vector<const Model*>& models) {
  const int64_t stride = step.stride();
  std::vector<float> parameters(models.size() * stride), gradients(parameters.size());
  std::vector<Batch> batches;
  std::vector<double> losses(models.size());
  std::vector<double*> places;
  for (size_t k = 0; k < models.size(); ++k) {
    std::copy(models[k]->parameters.begin(), models[k]->parameters.end(),
              parameters.begin() + static_cast<int64_t>(k) * stride);
    batches.push_back(models[k]->batch);
    places.push_back(&losses[k]);
  }
  const absl::Status done = step.LossesAndGradients(parameters, batches, 0.75f, gradients, places);
  EXPECT_TRUE(done.ok()) << done;
  std::vector<Result> results(models.size());
  for (size_t k = 0; k < models.size(); ++k) {
    const auto begin = gradients.begin() + static_cast<int64_t>(k) * stride;
    results[k].gradient.assign(begin, begin + models[k]->parameters.size());
    results[k].loss = losses[k];
  }
  return results;
}

std::unique_ptr<StackedStep> MakeStep(const Shape& shape, int models = kModels) {
  return *CreateStackedStep(shape, *LayoutOf(shape), models, Device(), run::Precision::kFp32);
}

class StackedStepTest : public testing::TestWithParam<int> {
 protected:
  StackedStepTest() {
    for (int k = 0; k < kModels; ++k) owned_.push_back(MakeModel(shape_, 10 + k, 3));
    for (const auto& model : owned_) models_.push_back(model.get());
  }
  const Shape shape_ = kShapes[GetParam()];
  std::vector<std::unique_ptr<Model>> owned_;
  std::vector<const Model*> models_;
};

// The reference is the step of one model.
TEST_P(StackedStepTest, EachModelAgreesWithItselfAlone) {
  const ParameterLayout layout = *LayoutOf(shape_);
  std::string chosen;
  const auto reference = *CreateTrainStep("autograd", shape_, layout, Device(), &chosen);
  for (const bool masks : {false, true}) {
    if (masks) {
      for (const auto& model : owned_) {
        for (size_t i = 0; i < model->targets.size(); i += 2) model->targets[i] = kMasked;
        for (int i = 0; i < shape_.context; ++i) model->weights.push_back(0.01f * (1 + i));
        model->batch.weights = model->weights;
      }
    }
    const std::vector<Result> results = Stacked(*MakeStep(shape_), models_);
    for (int k = 0; k < kModels; ++k) {
      std::vector<float> expected(layout.size);
      double loss = 0;
      ASSERT_TRUE(
          reference
              ->LossAndGradient(models_[k]->parameters, models_[k]->batch, 0.75f, expected, &loss)
              .ok());
      EXPECT_NEAR(results[k].loss, loss, 1e-5 * loss);
      double norm = 0, difference = 0;
      for (size_t i = 0; i < expected.size(); ++i) {
        norm += std::pow(expected[i], 2);
        difference += std::pow(static_cast<double>(results[k].gradient[i]) - expected[i], 2);
      }
      EXPECT_LT(std::sqrt(difference / norm), 1e-5) << "model " << k;
    }
  }
}

TEST_P(StackedStepTest, BitsDoNotDependOnThePlaceAndTheOthers) {
  const auto step = MakeStep(shape_);
  const std::vector<Result> first = Stacked(*step, models_);
  EXPECT_EQ(Stacked(*MakeStep(shape_), models_), first);
  const std::vector<const Model*> turned = {models_[3], models_[0], models_[4], models_[1],
                                            models_[2]};
  const std::vector<Result> second = Stacked(*step, turned);
  EXPECT_EQ(second[0], first[3]);
  EXPECT_EQ(second[1], first[0]);
  EXPECT_EQ(second[2], first[4]);
  EXPECT_EQ(second[3], first[1]);
  EXPECT_EQ(second[4], first[2]);
}

TEST_P(StackedStepTest, AModelThatIsNotFiniteLeavesTheOthersBits) {
  const auto step = MakeStep(shape_);
  const std::vector<Result> first = Stacked(*step, models_);
  std::fill(owned_[2]->parameters.begin(), owned_[2]->parameters.end(),
            std::numeric_limits<float>::quiet_NaN());
  const std::vector<Result> second = Stacked(*step, models_);
  for (const int k : {0, 1, 3, 4}) EXPECT_EQ(second[k], first[k]) << "model " << k;
  EXPECT_TRUE(std::isnan(second[2].loss));
}

TEST_P(StackedStepTest, CallsAddUp) {
  const auto step = MakeStep(shape_);
  const int64_t stride = step->stride();
  std::vector<float> parameters(kModels * stride, 0.01f), once(parameters.size()),
      twice(parameters.size());
  std::vector<Batch> batches;
  for (const Model* model : models_) batches.push_back(model->batch);
  std::vector<double> losses(kModels);
  std::vector<double*> places;
  for (double& loss : losses) places.push_back(&loss);
  ASSERT_TRUE(step->LossesAndGradients(parameters, batches, 0.5f, once, places).ok());
  const std::vector<double> first = losses;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(step->LossesAndGradients(parameters, batches, 0.5f, twice, places).ok());
  }
  for (size_t i = 0; i < once.size(); ++i) ASSERT_EQ(twice[i], once[i] + once[i]);
  for (int k = 0; k < kModels; ++k) EXPECT_DOUBLE_EQ(losses[k], 3 * first[k]);
}

INSTANTIATE_TEST_SUITE_P(Shapes, StackedStepTest, testing::Range(0, 4));

TEST(StackedStepRefusalTest, ATokenOutsideOfTheVocabularyIsTold) {
  const Shape& shape = kShapes[0];
  const auto model = MakeModel(shape, 1, 2);
  model->targets[4] = kMasked;
  EXPECT_TRUE(CheckTokens(model->batch, shape.vocabulary).ok());
  for (std::vector<int32_t>* ids : {&model->inputs, &model->targets}) {
    for (const int32_t wrong : {-2, shape.vocabulary}) {
      const int32_t was = std::exchange((*ids)[3], wrong);
      const absl::Status refused = CheckTokens(model->batch, shape.vocabulary);
      EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(refused.message()),
                  HasSubstr(absl::StrCat("token ", wrong, ": allowed is 0..64")));
      (*ids)[3] = was;
    }
  }
}

TEST(StackedStepRefusalTest, WhatIsNotStackedIsSaidWithWhatIs) {
  const Shape& shape = kShapes[0];
  const ParameterLayout layout = *LayoutOf(shape);
  const auto create = [&](int models, run::Precision precision) {
    return CreateStackedStep(shape, layout, models, Device(), precision).status();
  };
  EXPECT_EQ(create(0, run::Precision::kFp32).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(create(65, run::Precision::kFp32).message()), HasSubstr("1..64"));
  EXPECT_EQ(create(2, run::Precision::kBf16).code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(create(64, run::Precision::kTf32).ok());
}

}  // namespace
}  // namespace allometry::models
