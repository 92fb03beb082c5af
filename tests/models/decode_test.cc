// The decoder against the training forward of every backend, on every instruction set.
#include "models/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

#include "models/instruction_set.h"
#include "models/sliding_decoder.h"

namespace allometry::models {
namespace {

// Heads narrower and wider than a vector, vocabularies with half panels, contexts of more than one
// panel of keys, groups of rows that need several chunks.
const Shape kShapes[] = {{"gpt", 1, 1, 24, 17, 99},
                         {"gpt", 2, 3, 9, 5, 3},
                         {"gpt", 1, 2, 40, 32, 16},
                         {"gpt", 2, 1, 56, 49, 41},
                         {"gpt", 3, 4, 72, 7, 8},
                         {"gpt", 1, 1, 1, 1, 2},
                         {.family = "gpt",
                          .layers = 2,
                          .heads = 2,
                          .width = 44,
                          .context = 27,
                          .vocabulary = 21,
                          .positions = run::Positions::kRotary,
                          .frame_tokens = 9},
                         {.family = "gpt",
                          .layers = 1,
                          .heads = 2,
                          .width = 20,
                          .context = 12,
                          .vocabulary = 9,
                          .positions = run::Positions::kFrameSlot,
                          .frame_tokens = 4}};
constexpr int kRows = 5;

struct Problem {
  explicit Problem(const Shape& wanted) : shape(wanted), layout(*LayoutOf(wanted)) {
    parameters.resize(layout.size);
    Initialize(shape, layout, 7, parameters);
    std::mt19937 random(3);
    std::normal_distribution<float> noise(0, 0.08f);
    for (float& value : parameters) value += noise(random);
    std::uniform_int_distribution<int32_t> token(0, shape.vocabulary - 1);
    for (int i = 0; i < kRows * shape.context; ++i) tokens.push_back(token(random));
  }

  // Tokens first..first + n of the given rows.
  std::vector<int32_t> Piece(const std::vector<int>& rows, int first, int n) const {
    std::vector<int32_t> piece;
    for (const int row : rows) {
      const auto begin = tokens.begin() + row * shape.context + first;
      piece.insert(piece.end(), begin, begin + n);
    }
    return piece;
  }

  Shape shape;
  ParameterLayout layout;
  std::vector<float> parameters;
  std::vector<int32_t> tokens;
};

// Of many ids not each: each costs a forward pass.
constexpr int kIdStep = 23;

// log softmax of some ids behind each position of each row: [rows][context][vocabulary].
std::vector<double> ForwardLogProbabilities(const Problem& problem, TrainStep& step) {
  const Shape& shape = problem.shape;
  std::vector<double> all(kRows * shape.context * shape.vocabulary), losses(kRows * shape.context);
  for (int id = 0; id < shape.vocabulary; id += kIdStep) {
    const std::vector<int32_t> targets(losses.size(), id);
    const Batch batch = {kRows, shape.context, problem.tokens, targets};
    EXPECT_TRUE(step.Losses(problem.parameters, batch, losses).ok());
    for (size_t i = 0; i < losses.size(); ++i) all[i * shape.vocabulary + id] = -losses[i];
  }
  return all;
}

std::vector<double> LogSoftmax(std::span<const float> logits) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<double> out;
  for (const float logit : logits) out.push_back(logit - std::log(sum));
  return out;
}

// Logits of all ids behind the pieces, piece after piece: [pieces][rows][vocabulary].
std::vector<float> Decode(const Problem& problem, const std::vector<int>& rows,
                          const std::vector<int>& pieces) {
  const auto decoder = *CreateDecoder(problem.shape, problem.layout);
  const auto count = static_cast<int>(rows.size());
  EXPECT_TRUE(decoder->Begin(problem.parameters, count, problem.shape.context).ok());
  std::vector<float> all, logits(rows.size() * problem.shape.vocabulary);
  for (const int n : pieces) {
    EXPECT_TRUE(decoder->Append(problem.Piece(rows, decoder->length(), n), n).ok());
    EXPECT_TRUE(decoder->Logits({0, problem.shape.vocabulary}, logits).ok());
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

class DecoderTest : public testing::TestWithParam<std::tuple<std::string, int>> {
 protected:
  void SetUp() override {
    const std::string& set = std::get<0>(GetParam());
    for (const InstructionSet& row : InstructionSets()) {
      if (set == row.name && !row.here) GTEST_SKIP() << "this CPU has no " << set;
    }
    setenv("ALLO_ISA", set.c_str(), 1);
  }
  ~DecoderTest() override { unsetenv("ALLO_ISA"); }

  const Problem problem_{kShapes[std::get<1>(GetParam())]};
  const std::vector<int> all_rows_ = {0, 1, 2, 3, 4};
};

TEST_P(DecoderTest, LogitsAreThoseOfTheTrainingForwardOfEveryBackend) {
  const Shape& shape = problem_.shape;
  const std::vector<float> decoded =
      Decode(problem_, all_rows_, std::vector<int>(shape.context, 1));
  for (const TrainStepBackend& row : TrainStepBackends()) {
    if (row.tokenizers) continue;
    std::string chosen;
    const auto step = *CreateTrainStep(row.name, shape, problem_.layout, Device(), &chosen);
    const std::vector<double> expected = ForwardLogProbabilities(problem_, *step);
    for (int position = 0; position < shape.context; ++position) {
      for (int i = 0; i < kRows; ++i) {
        const auto got = LogSoftmax(std::span(decoded).subspan(
            (position * kRows + i) * shape.vocabulary, shape.vocabulary));
        for (int id = 0; id < shape.vocabulary; id += kIdStep) {
          ASSERT_NEAR(got[id], expected[(i * shape.context + position) * shape.vocabulary + id],
                      1e-5)
              << row.name << " row " << i << " position " << position << " id " << id;
        }
      }
    }
  }
}

TEST_P(DecoderTest, AnySplitAndAnyGroupingGiveTheSameBits) {
  const int context = problem_.shape.context, vocabulary = problem_.shape.vocabulary;
  const std::vector<float> expected = Decode(problem_, all_rows_, {context});
  std::vector<std::vector<int>> splits = {std::vector<int>(context, 1)};
  if (context > 5) splits.push_back({2, context - 5, 3});
  if (context >= 2) splits.push_back({context - 1, 1});
  for (const std::vector<int>& split : splits) {
    const std::vector<float> got = Decode(problem_, all_rows_, split);
    EXPECT_THAT(std::vector<float>(got.end() - kRows * vocabulary, got.end()),
                testing::ElementsAreArray(expected));
  }
  for (const std::vector<int>& rows :
       std::vector<std::vector<int>>{{3}, {4, 1}, {2, 0, 3}, {4, 3, 2, 1, 0}}) {
    const std::vector<float> got = Decode(problem_, rows, {context});
    for (size_t i = 0; i < rows.size(); ++i) {
      for (int id = 0; id < vocabulary; ++id) {
        ASSERT_EQ(got[i * vocabulary + id], expected[rows[i] * vocabulary + id]);
      }
    }
  }
}

TEST_P(DecoderTest, ASegmentHasTheLogitsOfItsIds) {
  const int vocabulary = problem_.shape.vocabulary;
  const auto decoder = *CreateDecoder(problem_.shape, problem_.layout);
  ASSERT_TRUE(decoder->Begin(problem_.parameters, kRows, 1).ok());
  ASSERT_TRUE(decoder->Append(problem_.Piece(all_rows_, 0, 1), 1).ok());
  std::vector<float> all(kRows * vocabulary);
  ASSERT_TRUE(decoder->Logits({0, vocabulary}, all).ok());
  for (const Segment ids : {Segment{0, 1}, Segment{vocabulary - 1, vocabulary},
                            Segment{vocabulary / 3, vocabulary}, Segment{1, vocabulary}}) {
    std::vector<float> some(kRows * ids.size());
    ASSERT_TRUE(decoder->Logits(ids, some).ok());
    for (int i = 0; i < kRows * ids.size(); ++i) {
      ASSERT_EQ(some[i], all[i / ids.size() * vocabulary + ids.begin + i % ids.size()]);
    }
  }
}

TEST_P(DecoderTest, BeginForgetsWhatWasThere) {
  const int context = problem_.shape.context;
  const std::vector<float> expected = Decode(problem_, {0, 1}, {context});
  const auto decoder = *CreateDecoder(problem_.shape, problem_.layout);
  std::vector<float> logits(2 * problem_.shape.vocabulary);
  const std::vector<float> broken(problem_.parameters.size(), NAN);
  for (const std::vector<float>& parameters : {broken, problem_.parameters}) {
    ASSERT_TRUE(decoder->Begin(parameters, 2, context).ok());
    EXPECT_EQ(decoder->length(), 0);
    ASSERT_TRUE(decoder->Append(problem_.Piece({0, 1}, 0, context), context).ok());
    ASSERT_TRUE(decoder->Logits({0, problem_.shape.vocabulary}, logits).ok());
  }
  EXPECT_THAT(logits, testing::ElementsAreArray(expected));
}

// Five frames through a context of three: each token's logits are those of a decoder that was given
// the last two whole frames and the present one.
TEST(SlidingDecoderTest, SeesTheLastFramesAlone) {
  for (const Shape& shape : {kShapes[6], kShapes[7]}) {
    const Problem problem(shape);
    const int frame = shape.frame_tokens, frames = shape.context / frame;
    std::vector<int32_t> tokens;  // kRows of 5 frames
    std::mt19937 random(5);
    std::uniform_int_distribution<int32_t> token(0, shape.vocabulary - 1);
    const int length = 5 * frame;
    for (int i = 0; i < kRows * length; ++i) tokens.push_back(token(random));
    const auto piece = [&](int first, int n) {
      std::vector<int32_t> out;
      for (int row = 0; row < kRows; ++row) {
        const auto begin = tokens.begin() + row * length + first;
        out.insert(out.end(), begin, begin + n);
      }
      return out;
    };
    const auto inner = *CreateDecoder(shape, problem.layout);
    const auto fresh = *CreateDecoder(shape, problem.layout);
    SlidingDecoder sliding(*inner, frame, frames);
    std::vector<float> got(kRows * shape.vocabulary), expected(got.size());
    for (int repeat = 0; repeat < 2; ++repeat) {
      ASSERT_TRUE(sliding.Begin(problem.parameters, kRows).ok());
      for (int at = 0; at < length;) {
        const int n = at % frame == 0 ? frame - 1 : 1;
        ASSERT_TRUE(sliding.Append(piece(at, n), n).ok());
        at += n;
        ASSERT_TRUE(sliding.Logits({0, shape.vocabulary}, got).ok());
        const int begin = std::max(0, (at - 1) / frame - frames + 1) * frame;
        ASSERT_TRUE(fresh->Begin(problem.parameters, kRows, shape.context).ok());
        ASSERT_TRUE(fresh->Append(piece(begin, at - begin), at - begin).ok());
        ASSERT_TRUE(fresh->Logits({0, shape.vocabulary}, expected).ok());
        ASSERT_EQ(got, expected) << at;
      }
    }
    EXPECT_TRUE(sliding.Append(piece(0, frame - 1), frame - 1).ok());
    EXPECT_TRUE(absl::IsInvalidArgument(sliding.Append(piece(0, 2), 2)));
    SlidingDecoder one(*inner, frame, 1);
    EXPECT_TRUE(absl::IsInvalidArgument(one.Begin(problem.parameters, kRows)));
  }
}

std::vector<std::tuple<std::string, int>> Cases() {
  std::vector<std::tuple<std::string, int>> cases;
  for (const InstructionSet& set : InstructionSets()) {
    for (int i = 0; i < static_cast<int>(std::size(kShapes)); ++i) cases.emplace_back(set.name, i);
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Sets, DecoderTest, testing::ValuesIn(Cases()), [](const auto& info) {
  return std::get<0>(info.param) + "_shape" + std::to_string(std::get<1>(info.param));
});

TEST(DecoderErrorTest, BadCallsNameWhatIsAllowedAndAppendNothing) {
  const Problem problem(kShapes[0]);
  const auto decoder = *CreateDecoder(problem.shape, problem.layout);
  EXPECT_EQ(decoder->Begin(problem.parameters, 0, 1).message(), "0 rows: allowed is 1 or more");
  EXPECT_EQ(decoder->Begin(problem.parameters, 1, 18).message(),
            "18 tokens a row: allowed is 1..17, the model's context");
  ASSERT_TRUE(decoder->Begin(problem.parameters, 1, 3).ok());
  std::vector<float> logits(2);
  EXPECT_TRUE(absl::IsFailedPrecondition(decoder->Logits({0, 2}, logits)));
  EXPECT_EQ(decoder->Append(std::vector<int32_t>{5, 99}, 2).message(),
            "token 99: allowed is 0..98");
  EXPECT_EQ(decoder->length(), 0);
  ASSERT_TRUE(decoder->Append(std::vector<int32_t>{5, 98}, 2).ok());
  EXPECT_TRUE(absl::IsOutOfRange(decoder->Append(std::vector<int32_t>{5, 9}, 2)));
  EXPECT_EQ(decoder->length(), 2);
  EXPECT_EQ(decoder->Logits({98, 100}, logits).message(),
            "ids 98 to 99: allowed are some of 0..98");
  const Shape images = {"bc-cnn-lite", 1, 1, 8, 4, 6, 16, 16, 1};
  EXPECT_TRUE(absl::IsUnimplemented(CreateDecoder(images, *LayoutOf(images)).status()));
}

TEST(SampleTokenTest, TakesTheLeastIdWhoseRunningSumExceedsU) {
  const std::vector<float> logits = {std::log(0.2f), -1e30f, std::log(0.3f), std::log(0.5f)};
  EXPECT_EQ(SampleToken(logits, 0), 0);
  EXPECT_EQ(SampleToken(logits, 0.19), 0);
  EXPECT_EQ(SampleToken(logits, 0.21), 2);
  EXPECT_EQ(SampleToken(logits, 0.49), 2);
  EXPECT_EQ(SampleToken(logits, 0.51), 3);
  EXPECT_EQ(SampleToken(logits, 1 - 0x1p-53), 3);
}

TEST(SampleTokenTest, FrequenciesAreTheProbabilitiesAndDrawsAreOfTheirCounterAlone) {
  const std::vector<float> logits = {0.0f, 1.0f, -2.0f, 0.5f};
  const std::vector<double> expected = LogSoftmax(logits);
  std::vector<int> counts(logits.size());
  constexpr int kDraws = 40'000;
  for (int i = 0; i < kDraws; ++i) ++counts[SampleToken(logits, Uniform(5, i / 200, i % 200))];
  for (size_t i = 0; i < logits.size(); ++i) {
    EXPECT_NEAR(counts[i] / static_cast<double>(kDraws), std::exp(expected[i]), 0.01);
  }
  EXPECT_EQ(Uniform(1, 2, 3), Uniform(1, 2, 3));
  EXPECT_NE(Uniform(1, 2, 3), Uniform(1, 3, 2));
  EXPECT_NE(Uniform(1, 2, 3), Uniform(2, 2, 3));
}

}  // namespace
}  // namespace allometry::models
