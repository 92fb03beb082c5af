#include "models/shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/train_step.h"

namespace allometry::models {
namespace {

Shape Gpt(int layers, int heads, int width, int context, int vocabulary) {
  return {"gpt", layers, heads, width, context, vocabulary};
}

// Pearce et al. 2025, Table 2: every label is the tied count without positions, V = 4164.
TEST(ShapeTest, PaperPolicyRoundsToEveryLabelOfTable2) {
  const struct {
    double label_millions;
    int layers, heads, width;
  } rows[] = {{2, 3, 3, 180},     {4, 4, 4, 240},      {11, 6, 6, 360},
              {15, 4, 4, 512},    {27, 8, 8, 512},     {52, 10, 10, 640},
              {110, 15, 12, 768}, {206, 16, 16, 1024}, {894, 23, 14, 1792}};
  for (const auto& row : rows) {
    const ParamCounts counts = CountParams(Gpt(row.layers, row.heads, row.width, 5560, 4164));
    EXPECT_EQ(std::round(static_cast<double>(CountN(counts, ParamPolicy::kPaper)) / 1e6),
              row.label_millions);
  }
}

TEST(ShapeTest, TheWorkedExampleOf27MIsExactInEveryCount) {
  const ParamCounts counts = CountParams(Gpt(8, 8, 512, 5560, 4164));
  EXPECT_EQ(counts.blocks, 25'219'072 + 1024);
  EXPECT_EQ(counts.token_embedding, 2'131'968);
  EXPECT_EQ(counts.position_embedding, 5560 * 512);
  EXPECT_EQ(counts.head, 0);
  EXPECT_EQ(CountN(counts, ParamPolicy::kPaper), 27'352'064);
  EXPECT_EQ(CountN(counts, ParamPolicy::kTotal), 27'352'064 + 5560 * 512);
  EXPECT_EQ(CountN(counts, ParamPolicy::kNonEmbedding), 25'219'072 + 1024);
  EXPECT_EQ(CountN(counts, ParamPolicy::kActive), 27'352'064);
}

TEST(ShapeTest, PositionsCountTheRowsOfTheirTables) {
  Shape shape = Gpt(2, 2, 64, 144, 99);
  EXPECT_EQ(CountParams(shape).position_embedding, 144 * 64);
  shape.frame_tokens = 18;
  EXPECT_THAT(std::string(Validate(shape).message()), testing::HasSubstr("frame_tokens 18"));
  shape.positions = run::Positions::kFrameSlot;
  EXPECT_EQ(CountParams(shape).position_embedding, (8 + 18) * 64);
  EXPECT_EQ(LayoutOf(shape)->size, CountParams(shape).total());
  shape.positions = run::Positions::kRotary;
  EXPECT_EQ(CountParams(shape).position_embedding, 18 * 64);
  EXPECT_EQ(LayoutOf(shape)->size, CountParams(shape).total());
  shape.frame_tokens = 17;
  EXPECT_THAT(std::string(Validate(shape).message()),
              testing::HasSubstr("positions rotary need a divisor of context 144"));
  shape.frame_tokens = 18;
  // 264 over the usual 8 heads would be pairs of 33.
  for (const int64_t params : {20'000, 300'000, 3'000'000, 12'000'000}) {
    EXPECT_TRUE(Validate(*NearestShape(params, ParamPolicy::kPaper, shape)).ok()) << params;
  }
}

// BC-CNN: blocks, a CNN of 0.6M, its 1024-wide projection and 68 action logits; no observation
// tokens. Table 6 says 2, 3, 10, 26 and 51 M; "3" is 3.7 cut off.
TEST(ShapeTest, BcCnnCountsGiveTable6) {
  const struct {
    double millions;
    int layers, heads, width;
  } rows[] = {{1.97, 3, 3, 180},
              {3.64, 4, 4, 240},
              {10.4, 6, 6, 360},
              {26.4, 8, 8, 512},
              {50.5, 10, 10, 640}};
  for (const auto& row : rows) {
    const Shape shape = {"bc-cnn", row.layers, row.heads, row.width, 10, 68, 128, 128, 3};
    const ParamCounts counts = CountParams(shape);
    EXPECT_NEAR(CountN(counts, ParamPolicy::kPaper) / 1e6 / row.millions, 1.0, 0.015);
    EXPECT_NEAR(counts.extra - 1025 * row.width, 0.6e6, 0.03e6);
  }
}

// A convolution's weights work at every place, so an image costs far more than 6 x 0.6M.
TEST(ShapeTest, ConvolutionsCostTheirWeightsAtEveryPlace) {
  const Shape shape = {"bc-cnn", 3, 3, 180, 10, 68, 128, 128, 3};
  // Multiply-adds of an image by hand: patches, depthwise, up and down, the last three layers.
  const double encoder = 1024.0 * 48 * 32 + 1024.0 * (49 * 32 + 8 * 32 * 32) +  //
                         256.0 * 128 * 64 + 256.0 * (49 * 64 + 8 * 64 * 64) +   //
                         64.0 * 256 * 128 + 64.0 * (49 * 128 + 8 * 128 * 128) + 64.0 * 6 * 128 +
                         384.0 * 1024 + 1024.0 * 180;
  const double trunk = 3 * 12 * 180.0 * 180 + 68 * 180.0;
  EXPECT_DOUBLE_EQ(FlopsPerTokenExact(shape), 6 * (encoder + trunk) + 12.0 * 3 * 180 * 5.5);
  EXPECT_GT(6 * encoder, 50 * 6 * 0.6e6);
}

TEST(ShapeTest, ImagesBelongToFamiliesThatSeeThem) {
  Shape shape = {"bc-cnn-lite", 1, 1, 16, 4, 9, 32, 32, 3};
  EXPECT_TRUE(Validate(shape).ok());
  shape.image_width = 30;
  EXPECT_THAT(std::string(Validate(shape).message()),
              testing::HasSubstr("image_width 30 is not allowed: it must be a multiple of 16"));
  shape.image_width = 0;
  EXPECT_THAT(std::string(Validate(shape).message()), testing::HasSubstr("image_width 0"));
  shape.family = "gpt";
  EXPECT_THAT(std::string(Validate(shape).message()), testing::HasSubstr("sees no images"));
}

// The small BC models follow another rule than the rest: blocks and the position table.
TEST(ShapeTest, Table8IsBlocksAndPositionsAndNotThePaperCount) {
  const struct {
    double millions;
    int layers, heads, width;
  } rows[] = {{.147, 1, 1, 25}, {.310, 2, 2, 46}, {.647, 2, 2, 86}, {1.0, 2, 2, 120}};
  for (const auto& row : rows) {
    const ParamCounts counts = CountParams({"gpt", row.layers, row.heads, row.width, 5'560, 4'164});
    EXPECT_NEAR((counts.blocks + counts.position_embedding) / 1e6 / row.millions, 1.0, 0.025);
    EXPECT_LT(CountN(counts, ParamPolicy::kPaper) / 1e6 / row.millions, 0.86);
  }
}

// 6ND understates the cost of long contexts: attention adds 2.0 to 3.0 times 6N at the 2M model.
TEST(ShapeTest, ExactFlopsAddsCausalAttentionToTheMatmuls) {
  const Shape shape = Gpt(3, 3, 180, 5560, 4164);
  const double matmuls = 6.0 * (3 * 12 * 180 * 180 + 4164 * 180);
  EXPECT_DOUBLE_EQ(FlopsPerTokenExact(shape), matmuls + 12.0 * 3 * 180 * (5561 / 2.0));
}

TEST(ShapeTest, LayoutHasAsManyElementsAsTheArithmeticCounts) {
  for (const Shape& shape : {Gpt(1, 1, 16, 32, 99), Gpt(3, 2, 24, 17, 101), Gpt(5, 4, 64, 64, 4164),
                             Shape{"bc-cnn", 2, 2, 24, 10, 68, 128, 128, 3},
                             Shape{"bc-cnn-lite", 1, 1, 8, 4, 9, 16, 48, 1}}) {
    const absl::StatusOr<ParameterLayout> layout = LayoutOf(shape);
    ASSERT_TRUE(layout.ok());
    EXPECT_EQ(layout->size, CountParams(shape).total());
    int64_t offset = 0;
    for (const ParameterView& view : layout->views) {
      EXPECT_EQ(view.offset, offset) << view.name;
      offset += view.size;
    }
    EXPECT_EQ(offset, layout->size);
  }
}

TEST(ShapeTest, NearestShapeOfTheQuickstartSizesIsWithinFivePercentAndNeverTwice) {
  int64_t last = 0;
  for (const int64_t wanted : {5'000, 10'000, 20'000, 40'000, 80'000, 160'000, 320'000}) {
    const absl::StatusOr<Shape> shape =
        NearestShape(wanted, ParamPolicy::kPaper, Gpt(0, 0, 0, 32, 100));
    ASSERT_TRUE(shape.ok());
    const int64_t n = CountN(CountParams(*shape), ParamPolicy::kPaper);
    EXPECT_NEAR(static_cast<double>(n), static_cast<double>(wanted), 0.05 * wanted);
    EXPECT_GT(n, last);
    EXPECT_EQ(shape->width % shape->heads, 0);
    EXPECT_GE(static_cast<double>(shape->width) / shape->layers, 8);
    last = n;
  }
}

// Stored: a sweep file that is submitted again must give the same shapes.
TEST(ShapeTest, NearestShapesWithoutARuleAreWhatTheyWere) {
  const struct {
    int64_t params;
    int layers, heads, width;
  } rows[] = {{5000, 1, 1, 16},          {10000, 1, 1, 24},         {20000, 1, 1, 36},
              {34000, 2, 1, 36},         {42000, 3, 1, 32},         {60000, 2, 1, 48},
              {80000, 2, 1, 56},         {160000, 4, 1, 56},        {320000, 5, 2, 72},
              {1000000, 5, 4, 128},      {5000000, 9, 6, 216},      {30000000, 12, 12, 456},
              {200000000, 15, 33, 1056}, {1000000000, 28, 54, 1728}};
  for (const auto& row : rows) {
    const absl::StatusOr<Shape> shape =
        NearestShape(row.params, ParamPolicy::kPaper, Gpt(0, 0, 0, 32, 100));
    ASSERT_TRUE(shape.ok());
    EXPECT_EQ(*shape, Gpt(row.layers, row.heads, row.width, 32, 100)) << row.params;
  }
}

TEST(ShapeTest, AspectAndHeadWidthOfARuleAreFollowed) {
  for (const double aspect : {8.0, 32.0, 128.0}) {
    const absl::StatusOr<Shape> shape = NearestShape(
        20'000'000, ParamPolicy::kPaper, Gpt(0, 0, 0, 64, 500), {.aspect = aspect, .head_dim = 0});
    ASSERT_TRUE(shape.ok());
    EXPECT_NEAR(static_cast<double>(shape->width) / shape->layers, aspect, aspect / 4) << aspect;
    EXPECT_NEAR(static_cast<double>(CountN(CountParams(*shape), ParamPolicy::kPaper)), 2e7, 1e6);
  }
  for (const int64_t params : {1'000'000, 8'000'000, 100'000'000}) {
    const absl::StatusOr<Shape> shape = NearestShape(
        params, ParamPolicy::kPaper, Gpt(0, 0, 0, 64, 500), {.aspect = 0, .head_dim = 64});
    ASSERT_TRUE(shape.ok());
    EXPECT_EQ(shape->width, 64 * shape->heads) << params;
    EXPECT_TRUE(Validate(*shape).ok());
  }
  EXPECT_THAT(std::string(NearestShape(1000, ParamPolicy::kPaper, Gpt(0, 0, 0, 32, 100),
                                       {.aspect = 0, .head_dim = 64})
                              .status()
                              .message()),
              testing::HasSubstr("width 64"));
}

// How much ln(width / layers) turns between neighbours, at most.
double LargestTurn(const std::vector<Shape>& shapes) {
  double largest = 0;
  for (size_t i = 1; i < shapes.size(); ++i) {
    const auto of = [](const Shape& shape) {
      return std::log(static_cast<double>(shape.width) / shape.layers);
    };
    largest = std::max(largest, std::abs(of(shapes[i]) - of(shapes[i - 1])));
  }
  return largest;
}

TEST(ShapeTest, SmoothShapesGrowEvenlyAlongTheSizesAndStayNear) {
  for (const int vocabulary : {100, 500, 5000}) {
    std::vector<int64_t> sizes;
    for (double params = vocabulary * 400.0; params < 1e9; params *= 1.6) {
      sizes.push_back(static_cast<int64_t>(params));
    }
    const Shape like = Gpt(0, 0, 0, 64, vocabulary);
    const absl::StatusOr<std::vector<Shape>> smooth =
        SmoothShapes(sizes, ParamPolicy::kPaper, like);
    ASSERT_TRUE(smooth.ok());
    std::vector<Shape> alone;
    for (size_t i = 0; i < sizes.size(); ++i) {
      alone.push_back(*NearestShape(sizes[i], ParamPolicy::kPaper, like));
      EXPECT_NEAR(static_cast<double>(CountN(CountParams((*smooth)[i]), ParamPolicy::kPaper)),
                  static_cast<double>(sizes[i]), 0.15 * static_cast<double>(sizes[i]));
      if (i > 0) {
        EXPECT_GE((*smooth)[i].layers, (*smooth)[i - 1].layers);
      }
    }
    EXPECT_LT(LargestTurn(*smooth), 0.8) << vocabulary;
    EXPECT_LE(LargestTurn(*smooth), LargestTurn(alone)) << vocabulary;
  }
}

TEST(ShapeTest, SmoothShapesKeepTheOrderTheyWereAskedIn) {
  const Shape like = Gpt(0, 0, 0, 32, 100);
  const std::vector<int64_t> up = {20'000, 42'000, 90'000, 200'000};
  const std::vector<int64_t> mixed = {90'000, 20'000, 200'000, 42'000};
  const auto sorted = SmoothShapes(up, ParamPolicy::kPaper, like);
  const auto shuffled = SmoothShapes(mixed, ParamPolicy::kPaper, like);
  ASSERT_TRUE(sorted.ok() && shuffled.ok());
  EXPECT_EQ((*shuffled)[1], (*sorted)[0]);
  EXPECT_EQ((*shuffled)[3], (*sorted)[1]);
  EXPECT_EQ((*shuffled)[0], (*sorted)[2]);
  EXPECT_EQ((*shuffled)[2], (*sorted)[3]);
  EXPECT_TRUE(SmoothShapes({}, ParamPolicy::kPaper, like)->empty());
  EXPECT_FALSE(SmoothShapes(std::vector<int64_t>{500}, ParamPolicy::kPaper, like).ok());
}

TEST(ShapeTest, NearestShapeBelowTheSmallestModelSaysHowSmallItIs) {
  const absl::StatusOr<Shape> shape = NearestShape(500, ParamPolicy::kPaper, Gpt(0, 0, 0, 32, 100));
  EXPECT_EQ(shape.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(shape.status().message()), testing::HasSubstr("has 1688"));
}

TEST(ShapeTest, ValidateNamesTheFieldAndWhatIsAllowed) {
  EXPECT_TRUE(Validate(Gpt(1, 1, 16, 32, 99)).ok());
  EXPECT_THAT(std::string(Validate(Gpt(1, 3, 16, 32, 99)).message()),
              testing::AllOf(testing::HasSubstr("heads 3"), testing::HasSubstr("width 16")));
  EXPECT_THAT(std::string(Validate(Gpt(0, 1, 16, 32, 99)).message()),
              testing::HasSubstr("layers 0"));
  Shape unknown = Gpt(1, 1, 16, 32, 99);
  unknown.family = "rnn";
  EXPECT_THAT(std::string(Validate(unknown).message()), testing::HasSubstr("'rnn'"));
}

TEST(ShapeTest, PolicyNamesComeBackAndAWrongOneListsThem) {
  for (const char* name : {"paper", "total", "non-embedding", "active"}) {
    const absl::StatusOr<ParamPolicy> policy = ParseParamPolicy(name);
    ASSERT_TRUE(policy.ok());
    EXPECT_EQ(ParamPolicyName(*policy), name);
  }
  EXPECT_THAT(std::string(ParseParamPolicy("all").status().message()),
              testing::HasSubstr("non-embedding"));
}

TEST(InitializeTest, DeviationsAreThoseOfGpt2AndBitsDependOnTheSeedAlone) {
  const Shape shape = Gpt(4, 2, 64, 32, 128);
  const ParameterLayout layout = *LayoutOf(shape);
  std::vector<float> first(layout.size), again(layout.size), other(layout.size);
  Initialize(shape, layout, 1, first);
  Initialize(shape, layout, 1, again);
  Initialize(shape, layout, 2, other);
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other);
  for (const ParameterView& view : layout.views) {
    double sum = 0, squares = 0;
    for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
      sum += first[i];
      squares += static_cast<double>(first[i]) * first[i];
    }
    const double mean = sum / view.size;
    const double deviation = std::sqrt(squares / view.size - mean * mean);
    if (view.shape.size() == 1) {
      EXPECT_EQ(mean, view.name.ends_with(".weight") ? 1.0 : 0.0) << view.name;
      EXPECT_LT(deviation, 1e-9);
    } else {
      const double expected = view.name.ends_with("c_proj.weight") ? 0.02 / std::sqrt(8.0) : 0.02;
      EXPECT_NEAR(deviation, expected, 0.06 * expected) << view.name;
    }
  }
}

}  // namespace
}  // namespace allometry::models
