// The families that see images: one input a frame, an independent head for each action dimension.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "models/image_encoder.h"
#include "models/train_step.h"

namespace allometry::models {
namespace {

constexpr int kSequences = 2;

class ImageFamilyTest : public testing::TestWithParam<std::string> {
 protected:
  ImageFamilyTest()
      : shape_{GetParam(), 2, 2, 16, 3, 9, 32, 16, 3},
        layout_(*LayoutOf(shape_)),
        parameters_(layout_.size),
        images_(kSequences * 3 * 32 * 16 * 3) {
    Initialize(shape_, layout_, 7, parameters_);
    std::mt19937 random(3);
    std::normal_distribution<float> noise(0, 0.05f);
    for (float& value : parameters_) value += noise(random);
    for (uint8_t& pixel : images_) pixel = static_cast<uint8_t>(random());
    for (int frame = 0; frame < kSequences * 3; ++frame) {
      for (int i = 0; i < 3; ++i) {
        const int begin = i == 0 ? 0 : ends_[i - 1];
        targets_.push_back(begin + static_cast<int>(random() % (ends_[i] - begin)));
        inputs_.push_back(frame % 3 == 0 ? -1 : targets_[(frame - 1) * 3 + i]);
      }
    }
    std::string chosen;
    auto step = CreateTrainStep("auto", shape_, layout_, Device(), &chosen);
    EXPECT_TRUE(step.ok()) << step.status();
    step_ = *std::move(step);
  }
  Batch batch() const {
    Batch batch = {kSequences, 3, inputs_, targets_};
    batch.images = images_;
    batch.action_ends = ends_;
    return batch;
  }
  std::vector<double> Losses() {
    std::vector<double> losses(kSequences * 3);
    EXPECT_TRUE(step_->Losses(parameters_, batch(), losses).ok());
    return losses;
  }

  const Shape shape_;
  const ParameterLayout layout_;
  const std::vector<int32_t> ends_ = {2, 5, 9};
  std::vector<float> parameters_;
  std::vector<uint8_t> images_;
  std::vector<int32_t> inputs_, targets_;
  std::unique_ptr<TrainStep> step_;
};

TEST_P(ImageFamilyTest, InPartsTheGradientIsTheSame) {
  std::vector<float> whole(layout_.size), parts(layout_.size), told(layout_.size);
  double loss = 0;
  ASSERT_TRUE(step_->LossAndGradient(parameters_, batch(), 1, whole, &loss).ok());
  const auto done = [&](int64_t begin, int64_t end) {
    std::copy(parts.begin() + begin, parts.begin() + end, told.begin() + begin);
    return absl::OkStatus();
  };
  ASSERT_TRUE(step_->LossAndGradientInParts(parameters_, batch(), 1, parts, &loss, done).ok());
  EXPECT_EQ(parts, whole);
  EXPECT_EQ(told, whole);
}

TEST_P(ImageFamilyTest, GradientAgreesWithFiniteDifferencesInEveryTensor) {
  std::vector<float> gradient(layout_.size);
  double loss = 0;
  ASSERT_TRUE(step_->LossAndGradient(parameters_, batch(), 1, gradient, &loss).ok());
  EXPECT_NEAR(loss, *step_->SumLoss(parameters_, batch()) / 6, 1e-6);
  const std::vector<float> before = parameters_;
  for (const ParameterView& view : layout_.views) {
    double norm = 0;
    for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
      norm += static_cast<double>(gradient[i]) * gradient[i];
    }
    norm = std::sqrt(norm);
    EXPECT_GT(norm, 0) << view.name;
    const double h = 0.02;
    double sums[2];
    for (const int sign : {0, 1}) {
      parameters_ = before;
      for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
        parameters_[i] += static_cast<float>((2 * sign - 1) * h * gradient[i] / norm);
      }
      sums[sign] = *step_->SumLoss(parameters_, batch()) / 6;
    }
    EXPECT_NEAR((sums[1] - sums[0]) / (2 * h), norm, 0.02 * norm + 2e-4) << view.name;
  }
}

// The next frame's image and the actions of this one reach later losses only.
TEST_P(ImageFamilyTest, NothingLeaksToEarlierFrames) {
  const std::vector<double> before = Losses();
  const size_t frame_bytes = images_.size() / (kSequences * 3);
  for (size_t i = 2 * frame_bytes; i < 3 * frame_bytes; ++i) images_[i] ^= 0x55;
  const std::vector<double> image = Losses();
  EXPECT_EQ(image[0], before[0]);
  EXPECT_EQ(image[1], before[1]);
  EXPECT_NE(image[2], before[2]);
  EXPECT_EQ(image[3], before[3]);  // the other sequence
  inputs_[1 * 3 + 1] = 2 + (inputs_[1 * 3 + 1] - 2 + 1) % 3;
  const std::vector<double> action = Losses();
  EXPECT_EQ(action[0], image[0]);
  EXPECT_NE(action[1], image[1]);
}

// A dimension's loss is among its own ids: what moves all logits of one alike changes nothing.
TEST_P(ImageFamilyTest, HeadsAreIndependent) {
  const std::vector<double> before = Losses();
  for (double loss : before) EXPECT_GT(loss, 0);
  // One id a dimension: nothing is left to predict.
  Batch certain = batch();
  const std::vector<int32_t> single_ends = {1};
  std::vector<int32_t> none(kSequences * 3, -1), zero(kSequences * 3, 0);
  certain.action_ends = single_ends;
  certain.inputs = none;
  certain.targets = zero;
  EXPECT_EQ(*step_->SumLoss(parameters_, certain), 0);
}

TEST_P(ImageFamilyTest, AnActionOfAnotherDimensionIsNamed) {
  targets_[4] = 6;
  std::vector<double> losses(kSequences * 3);
  const absl::Status status = step_->Losses(parameters_, batch(), losses);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("dimension 1: allowed is 2..4"));
}

std::vector<std::string> ImageFamilies() {
  std::vector<std::string> names;
  for (const Family& family : Families()) {
    if (family.encoder_channels > 0) names.emplace_back(family.name);
  }
  return names;
}
INSTANTIATE_TEST_SUITE_P(Families, ImageFamilyTest, testing::ValuesIn(ImageFamilies()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace allometry::models
