// The tokenizers of images: their counts and costs, their quantiser and its gradient.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "models/adamw.h"
#include "models/codebook.h"
#include "models/train_step.h"
#include "models/vq_network.h"
#include "models/vq_step.h"

namespace allometry::models {
namespace {

using ::testing::HasSubstr;

constexpr int kImages = 3, kCodes = 12;

Shape Tiny(const std::string& family, int side = 16, int grid = 4) {
  return {family, 1, family == "vqvae" ? 1 : 2, 16, grid * grid, kCodes, side, side, 2};
}

class VqTest : public ::testing::TestWithParam<std::string> {
 protected:
  VqTest() { Use(Tiny(GetParam())); }

  void Use(const Shape& shape) {
    shape_ = shape;
    auto layout = LayoutOf(shape);
    ASSERT_TRUE(layout.ok()) << layout.status();
    layout_ = *std::move(layout);
    parameters_.assign(layout_.size, 0);
    Initialize(shape_, layout_, 7, parameters_);
    std::mt19937 random(3);
    std::normal_distribution<float> noise(0, 0.05f);
    for (int64_t i = 0; i < layout_.trained; ++i) parameters_[i] += noise(random);
    std::normal_distribution<float> codes(0, 1);
    for (float& value : codebook()) value = codes(random);
    images_.resize(kImages * shape.image_height * shape.image_width * shape.image_channels);
    for (uint8_t& pixel : images_) pixel = static_cast<uint8_t>(random());
    std::string chosen;
    auto step = CreateTrainStep("auto", shape_, layout_, Device(), &chosen);
    ASSERT_TRUE(step.ok()) << step.status();
    EXPECT_EQ(chosen, "vq");
    step_ = *std::move(step);
  }

  std::span<float> codebook() {
    return std::span(parameters_).subspan(layout_.trained, kCodes * CodeWidth(shape_));
  }
  Batch All() const {
    Batch batch;
    batch.sequences = kImages;
    batch.context = shape_.context;
    batch.images = images_;
    batch.update = 5;
    batch.update_sequences = kImages;
    return batch;
  }
  std::vector<float> Gradient(const Batch& batch, double* loss) {
    std::vector<float> gradient(step_->gradient_size());
    EXPECT_TRUE(step_->LossAndGradient(parameters_, batch, 1, gradient, loss).ok());
    return gradient;
  }
  // The part of a gradient that gathers counts.
  std::span<const float> Counts(const std::vector<float>& gradient) {
    return std::span(gradient).subspan(layout_.trained + kCodes * CodeWidth(shape_), kCodes);
  }

  Shape shape_;
  ParameterLayout layout_;
  std::vector<float> parameters_;
  std::vector<uint8_t> images_;
  std::unique_ptr<TrainStep> step_;
};

TEST_P(VqTest, CountsAreThoseOfTheBuiltNetwork) {
  for (const int grid : {4, 6, 8, 10, 16}) {
    for (const int side : {32, 64, 128}) {
      Shape shape = Tiny(GetParam(), side, grid);
      shape.width = 64;
      shape.layers = 2;
      ASSERT_TRUE(Validate(shape).ok()) << Validate(shape);
      const ParameterLayout layout = *LayoutOf(shape);
      const ParamCounts counts = CountParams(shape);
      EXPECT_EQ(counts.blocks, layout.trained);
      EXPECT_EQ(counts.token_embedding, kCodes * 32);
      EXPECT_EQ(layout.size, counts.total() + kCodes * (32 + 1));  // sums and counts
      int64_t next = 0;
      for (const ParameterView& view : layout.views) {
        EXPECT_EQ(view.offset, next) << view.name;
        next += view.size;
      }
      EXPECT_EQ(VqEncoder(shape).back().side, grid);
      EXPECT_EQ(VqEncoder(shape).back().out, 32);
      EXPECT_EQ(VqDecoder(shape).back().side, side);
      EXPECT_EQ(VqDecoder(shape).back().out, 2);
    }
  }
}

// Sides that halving does not bring to the grid, images that are cut into odd patches: the network
// takes and gives what it should, and its gradient reaches every tensor.
TEST_P(VqTest, GradientReachesEveryTensorAtAnyGrid) {
  for (const int grid : {4, 6, 16}) {
    Use(Tiny(GetParam(), 16, grid));
    double loss = 0;
    const std::vector<float> gradient = Gradient(All(), &loss);
    EXPECT_TRUE(std::isfinite(loss));
    for (const ParameterView& view : layout_.views) {
      if (view.offset >= layout_.trained) continue;
      double norm = 0;
      for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
        norm += std::abs(gradient[i]);
      }
      EXPECT_GT(norm, 0) << view.name << " at grid " << grid;
    }
  }
}

// With the codes far apart and only a tiny step no code changes, so what the loss does beyond the
// quantiser is smooth. Decoder: an ordinary gradient. Encoder: through the straight-through
// estimate the reconstruction's gradient is that of Dec(e), which no difference of the loss shows;
// what does show is the commitment, and the decoder.
TEST_P(VqTest, TheDecodersGradientAgreesWithFiniteDifferences) {
  double loss = 0;
  const std::vector<float> gradient = Gradient(All(), &loss);
  const std::vector<float> before = parameters_;
  for (const ParameterView& view : layout_.views) {
    if (!view.name.starts_with("decoder.")) continue;
    double norm = 0;
    for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
      norm += static_cast<double>(gradient[i]) * gradient[i];
    }
    norm = std::sqrt(norm);
    const double h = 0.005;
    double sums[2];
    for (const int sign : {0, 1}) {
      parameters_ = before;
      for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
        parameters_[i] += static_cast<float>((2 * sign - 1) * h * gradient[i] / norm);
      }
      sums[sign] = *step_->SumLoss(parameters_, All()) / kImages;
    }
    EXPECT_NEAR((sums[1] - sums[0]) / (2 * h), norm, 0.03 * norm + 5e-4) << view.name;
  }
  parameters_ = before;
}

// Straight through: what reaches the encoder's last bias is the commitment's gradient plus exactly
// what reaches the decoder's input, whatever the code is. So for a grid whose codes equal the
// encoder's vectors (commitment 0) it is the gradient of the plain autoencoder, which differences
// of its loss show.
TEST_P(VqTest, TheQuantiserIsPassedStraightThrough) {
  // One image alone, its vectors as the codebook: every vector has itself as its code.
  const int64_t width = CodeWidth(shape_);
  shape_.vocabulary = shape_.context;
  Shape shape = shape_;
  layout_ = *LayoutOf(shape);
  std::vector<float> wide(layout_.size);
  std::copy_n(parameters_.begin(), layout_.trained, wide.begin());
  parameters_ = wide;
  std::string chosen;
  step_ = *CreateTrainStep("vq", shape, layout_, Device(), &chosen);
  const size_t bytes = images_.size() / kImages;
  Batch batch = All();
  batch.sequences = batch.update_sequences = 1;
  batch.images = std::span(images_).first(bytes);
  // The candidates of eight updates, 16 draws of 16 places each, are every vector.
  const auto vectors_as_codes = [&] {
    std::vector<float> found(shape.context * width);
    for (int64_t update = 1; update <= 8; ++update) {
      batch.update = update;
      double unused = 0;
      const std::vector<float> gradient = Gradient(batch, &unused);
      for (int i = 0; i < shape.context; ++i) {
        std::copy_n(gradient.begin() + layout_.size + i * width, width,
                    found.begin() + CandidateVector(update, i, shape.context) * width);
      }
    }
    std::copy(found.begin(), found.end(), parameters_.begin() + layout_.trained);
  };
  vectors_as_codes();
  double loss = 0;
  const std::vector<float> gradient = Gradient(batch, &loss);
  const std::span<const float> counts =
      std::span(gradient).subspan(layout_.trained + shape.context * width, shape.context);
  EXPECT_EQ(std::count(counts.begin(), counts.end(), 1.0f), shape.context);
  const auto view = std::find_if(layout_.views.begin(), layout_.views.end(),
                                 [](const auto& one) { return one.name == "encoder.code.weight"; });
  ASSERT_NE(view, layout_.views.end());
  double norm = 0;
  for (int64_t i = view->offset; i < view->offset + view->size; ++i) {
    norm += static_cast<double>(gradient[i]) * gradient[i];
  }
  norm = std::sqrt(norm);
  const std::vector<float> before = parameters_;
  const double h = 0.01;
  double sums[2];
  for (const int sign : {0, 1}) {
    parameters_ = before;
    for (int64_t i = view->offset; i < view->offset + view->size; ++i) {
      parameters_[i] += static_cast<float>((2 * sign - 1) * h * gradient[i] / norm);
    }
    vectors_as_codes();  // the plain autoencoder again
    sums[sign] = *step_->SumLoss(parameters_, batch);
  }
  EXPECT_NEAR((sums[1] - sums[0]) / (2 * h), norm, 0.03 * norm + 5e-4);
}

TEST_P(VqTest, EveryVectorGetsItsNearestCode) {
  // The candidates of an update are vectors of the encoder, so brute force can look at them.
  double loss = 0;
  const std::vector<float> gradient = Gradient(All(), &loss);
  const std::vector<int32_t> codes(step_->codes().begin(), step_->codes().end());
  ASSERT_EQ(codes.size(), static_cast<size_t>(kImages * shape_.context));
  const int64_t width = CodeWidth(shape_), vectors = kImages * shape_.context;
  int checked = 0;
  for (int i = 0; i < vectors; ++i) {
    const float* vector = gradient.data() + layout_.size + i * width;
    double best = INFINITY, given = 0;
    const int64_t place = CandidateVector(5, i, vectors);
    for (int k = 0; k < kCodes; ++k) {
      double distance = 0;
      for (int64_t j = 0; j < width; ++j) {
        distance += std::pow(static_cast<double>(vector[j]) - codebook()[k * width + j], 2);
      }
      best = std::min(best, distance);
      if (k == codes[place]) given = distance;
    }
    EXPECT_NEAR(given, best, 1e-4 * best);
    ++checked;
  }
  EXPECT_EQ(checked, vectors);
  const auto counts = Counts(gradient);
  for (int k = 0; k < kCodes; ++k) EXPECT_EQ(counts[k], std::count(codes.begin(), codes.end(), k));
}

// What the parts of a batch add up to does not depend on how it is cut.
TEST_P(VqTest, MicroBatchesAddUp) {
  double whole_loss = 0, parts_loss = 0;
  const std::vector<float> whole = Gradient(All(), &whole_loss);
  std::vector<float> parts(step_->gradient_size());
  const size_t bytes = images_.size() / kImages;
  for (int first = 0; first < kImages; ++first) {
    Batch one = All();
    one.sequences = 1;
    one.first_sequence = first;
    one.images = std::span(images_).subspan(first * bytes, bytes);
    ASSERT_TRUE(step_->LossAndGradient(parameters_, one, 1.0f / kImages, parts, &parts_loss).ok());
  }
  EXPECT_NEAR(parts_loss, whole_loss, 1e-5);
  for (size_t i = 0; i < whole.size(); ++i) {
    ASSERT_NEAR(parts[i], whole[i], 1e-4 + 1e-3 * std::abs(whole[i])) << i;
  }
}

// The images are learned, the codebook comes alive.
TEST_P(VqTest, LearnsAndIsFrozenAfterwards) {
  Initialize(shape_, layout_, 7, parameters_);
  Batch batch = All();
  // Smooth images, so that there is something to learn.
  for (size_t i = 0; i < images_.size(); ++i) images_[i] = static_cast<uint8_t>(40 + i / 4 % 150);
  const double before = *step_->SumLoss(parameters_, batch);
  ParameterLayout trained_layout = layout_;
  trained_layout.views.resize(layout_.views.size() - 3);
  trained_layout.size = layout_.trained;
  const auto adamw = CreateAdamW(trained_layout, AdamWOptions());
  std::vector<float> first(layout_.trained), second(layout_.trained);
  for (int update = 1; update <= 160; ++update) {
    batch.update = update;
    double loss = 0, gradient_norm = 0;
    std::vector<float> gradient = Gradient(batch, &loss);
    adamw->Step({.parameters = std::span(parameters_).first(layout_.trained),
                 .gradient = std::span(gradient).first(layout_.trained),
                 .first_moment = first,
                 .second_moment = second},
                update, 3e-3, &gradient_norm);
    step_->AfterUpdate(parameters_, gradient, kImages);
  }
  EXPECT_LT(*step_->SumLoss(parameters_, batch), 0.6 * before);
  std::vector<int32_t> trained(step_->codes().begin(), step_->codes().end());
  EXPECT_GT(std::set<int32_t>(trained.begin(), trained.end()).size(), 2u);

  const auto tokenizer = CreateImageTokenizer(shape_, parameters_);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::vector<int32_t> codes(trained.size());
  (*tokenizer)->Encode(images_, codes);
  EXPECT_EQ(codes, trained);
  std::vector<uint8_t> decoded(images_.size());
  (*tokenizer)->Decode(codes, decoded);
  double error = 0;
  for (size_t i = 0; i < decoded.size(); ++i) {
    error += std::pow((decoded[i] - static_cast<double>(images_[i])) / 255, 2);
  }
  EXPECT_NEAR(error / static_cast<double>(decoded.size()),
              *step_->SumLoss(parameters_, batch) / kImages, 2e-3);

  // Other images have other features.
  ASSERT_EQ((*tokenizer)->features() % shape_.context, 0);
  std::vector<float> features(kImages * (*tokenizer)->features()), again(features.size());
  (*tokenizer)->Features(images_, features);
  (*tokenizer)->Features(images_, again);
  EXPECT_EQ(features, again);
  (*tokenizer)->Features(decoded, again);
  EXPECT_NE(features, again);
}

std::vector<std::string> TokenizerFamilies() {
  std::vector<std::string> names;
  for (const Family& family : Families()) {
    if (family.tokenizer) names.emplace_back(family.name);
  }
  return names;
}
INSTANTIATE_TEST_SUITE_P(Families, VqTest, ::testing::ValuesIn(TokenizerFamilies()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// By hand: 16 x 16 x 2 to 4 x 4, width 16, one residual block, codes of 16.
TEST(VqNetworkTest, CostOfAVqvaeByHand) {
  const Shape shape = Tiny("vqvae");
  const double encoder = 64 * 8 * 2 * 16 + 16 * 16 * 8 * 16 + 16 * (16 * 16 * 9) +
                         16 * (8 * 16 * 9 + 16 * 8) + 16 * (16 * 16);
  const double decoder =
      16 * (16 * 16 * 9) + 16 * (8 * 16 * 9 + 16 * 8) + 16 * (16 * 8 * 16) + 64 * (8 * 2 * 16);
  EXPECT_EQ(VqFlopsPerImage(shape), 6 * (encoder + decoder) + 2 * 16 * kCodes * 16);
  EXPECT_EQ(FlopsPerTokenExact(shape), VqFlopsPerImage(shape) / 16);
}

// Attention: scores and their use, 2 P^2 w multiply-adds beside its products.
TEST(VqNetworkTest, CostOfATransformerByHand) {
  const Shape shape = Tiny("vit-vq");
  const double block = 16 * 12 * 16 * 16 + 2 * 16 * 16 * 16;
  const double patches = 16 * (16 * 2 * 16);
  const double codes = 16 * 16 * 16;
  EXPECT_EQ(VqFlopsPerImage(shape),
            6 * (2 * block + 2 * patches + 2 * codes) + 2 * 16 * kCodes * 16);
}

TEST(VqNetworkTest, ShapesThatCannotBeAreNamed) {
  Shape shape = Tiny("vqvae");
  shape.context = 15;
  EXPECT_THAT(std::string(Validate(shape).message()), HasSubstr("context 15 is not allowed"));
  shape = Tiny("vqgan", 18, 4);
  EXPECT_THAT(std::string(Validate(shape).message()),
              HasSubstr("for a grid of 4 it must be a multiple of 4"));
  EXPECT_TRUE(Validate(Tiny("vit-vq", 18, 4)).ok());
  shape = Tiny("vqvae");
  shape.image_width = 32;
  EXPECT_THAT(std::string(Validate(shape).message()), HasSubstr("images must be square"));
  shape = Tiny("vqvae", 8, 16);
  EXPECT_THAT(std::string(Validate(shape).message()), HasSubstr("needs at least as many pixels"));
  shape = Tiny("vqvae");
  shape.width = 20;
  EXPECT_THAT(std::string(Validate(shape).message()), HasSubstr("a multiple of 8"));
}

}  // namespace
}  // namespace allometry::models
