// Band 43: relative-position attention against a direct sum, memory against none, and the stop
// mask. All in float64.
#include "models/twm/transformer_xl.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "models/twm/dynamics.h"
#include "tests/models/twm/networks.h"

namespace allometry::models::twm {
namespace {

constexpr double kExact = 1e-12;

at::Tensor Random(std::vector<int64_t> shape, unsigned seed) {
  int64_t size = 1;
  for (const int64_t extent : shape) size *= extent;
  const std::vector<double> values = RandomNumbers(static_cast<size_t>(size), seed);
  return at::tensor(at::ArrayRef<double>(values), at::kDouble).reshape(shape);
}

double At(const at::Tensor& x, std::vector<int64_t> index) {
  at::Tensor element = x;
  for (const int64_t i : index) element = element[i];
  return element.item<double>();
}

double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(RelativeAttentionTest, IsTheDirectSumOverKeysOfTheSameEpisode) {
  constexpr int64_t kRows = 2, kHeads = 2, kQueries = 3, kKeys = 5, kWidth = 4;
  const at::Tensor q = Random({kRows, kHeads, kQueries, kWidth}, 1);
  const at::Tensor k = Random({kRows, kHeads, kKeys, kWidth}, 2);
  const at::Tensor v = Random({kRows, kHeads, kKeys, kWidth}, 3);
  const at::Tensor r = Random({kHeads, kKeys, kWidth}, 4);  // distances 4, 3, 2, 1, 0
  const at::Tensor u = Random({kHeads, kWidth}, 5), v_bias = Random({kHeads, kWidth}, 6);
  const at::Tensor episodes = at::tensor({0, 0, 0, 1, 1, 0, 1, 1, 1, 2}).reshape({kRows, kKeys});
  const at::Tensor allowed =
      episodes.narrow(1, kKeys - kQueries, kQueries).unsqueeze(2) == episodes.unsqueeze(1);
  const at::Tensor out = RelativeAttention(q, k, v, r, u, v_bias, allowed);
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t head = 0; head < kHeads; ++head) {
      for (int64_t i = 0; i < kQueries; ++i) {
        const int64_t place = kKeys - kQueries + i;
        std::vector<double> weights(kKeys, 0.0);
        double sum = 0;
        for (int64_t j = 0; j <= place; ++j) {
          if (At(episodes, {row, j}) != At(episodes, {row, place})) continue;
          double score = 0;
          for (int64_t c = 0; c < kWidth; ++c) {
            const double query = At(q, {row, head, i, c});
            score += (query + At(u, {head, c})) * At(k, {row, head, j, c}) +
                     (query + At(v_bias, {head, c})) * At(r, {head, kKeys - 1 - (place - j), c});
          }
          weights[j] = std::exp(score / 2);  // sqrt(4)
          sum += weights[j];
        }
        for (int64_t c = 0; c < kWidth; ++c) {
          double expected = 0;
          for (int64_t j = 0; j < kKeys; ++j) {
            expected += weights[j] / sum * At(v, {row, head, j, c});
          }
          EXPECT_NEAR(At(out, {row, head, i, c}), expected, kExact);
        }
      }
    }
  }
}

TEST(RelativeAttentionTest, CodesOfDistancesAreSinesAndCosines) {
  const at::Tensor codes = DistanceCodes(3, 4, at::kDouble);
  for (int64_t row = 0; row < 3; ++row) {
    const auto distance = static_cast<double>(2 - row);
    EXPECT_NEAR(At(codes, {row, 0}), std::sin(distance), kExact);
    EXPECT_NEAR(At(codes, {row, 1}), std::sin(distance / 100), kExact);
    EXPECT_NEAR(At(codes, {row, 2}), std::cos(distance), kExact);
    EXPECT_NEAR(At(codes, {row, 3}), std::cos(distance / 100), kExact);
  }
}

class TransformerXlTest : public ::testing::Test {
 protected:
  TransformerXlTest() : network_(DynamicsLayout(recipe_, /*actions=*/5), 2) {
    const std::vector<at::Tensor> all = network_.Doubles();
    // Behind the tokens of latents, actions and rewards.
    layers_.assign(all.begin() + 5,
                   all.begin() + 5 + recipe_.layers * static_cast<int64_t>(kLayerTensors));
    // Biases that are not 0.
    for (size_t i = 0; i < layers_.size(); ++i) {
      layers_[i] = layers_[i] + 0.1 * Random(layers_[i].sizes().vec(), static_cast<unsigned>(i));
    }
    options_ = {.layers = recipe_.layers, .heads = recipe_.heads};
  }
  at::Tensor Run(const at::Tensor& x, const at::Tensor& episodes, Memory* memory = nullptr,
                 int64_t keep = 1000) const {
    return RunTransformerXl(options_, layers_, x, episodes, memory, keep);
  }

  const run::TwmRecipe recipe_ = TinyRecipe();
  Network network_;
  std::vector<at::Tensor> layers_;
  TransformerXlOptions options_;
  const at::Tensor x_ = Random({2, 12, 32}, 77);
  const at::Tensor one_ = at::zeros({2, 12}, at::kLong);
};

TEST_F(TransformerXlTest, ASegmentInPartsWithAMemoryIsTheSegmentAtOnce) {
  const at::Tensor whole = Run(x_, one_);
  for (const std::vector<int64_t>& parts : {std::vector<int64_t>{5, 7}, {1, 1, 10}, {3, 3, 3, 3}}) {
    Memory memory;
    std::vector<at::Tensor> outputs;
    int64_t from = 0;
    for (const int64_t count : parts) {
      outputs.push_back(Run(x_.narrow(1, from, count), one_.narrow(1, from, count), &memory));
      from += count;
    }
    EXPECT_LT(MaxDifference(at::cat(outputs, 1), whole), kExact);
    EXPECT_EQ(memory.inputs[0].size(1), 12);
  }
}

TEST_F(TransformerXlTest, AShorterMemoryForgetsTheOldest) {
  Memory memory;
  Run(x_.narrow(1, 0, 8), one_.narrow(1, 0, 8), &memory, /*keep=*/3);
  ASSERT_EQ(memory.inputs.size(), 2u);
  EXPECT_EQ(memory.inputs[0].size(1), 3);
  EXPECT_EQ(MaxDifference(memory.inputs[0], x_.narrow(1, 5, 3)), 0);
  EXPECT_EQ(memory.episodes.size(1), 3);
}

TEST_F(TransformerXlTest, NothingLeaksFromLaterTokensOrOverTheEndOfAnEpisode) {
  // The episode of both rows ends behind token 4.
  at::Tensor episodes = one_.clone();
  episodes.narrow(1, 5, 7).fill_(1);
  const at::Tensor out = Run(x_, episodes);
  at::Tensor later = x_.clone();
  later.narrow(1, 9, 3).add_(1);
  EXPECT_EQ(MaxDifference(Run(later, episodes).narrow(1, 0, 9), out.narrow(1, 0, 9)), 0);
  EXPECT_GT(MaxDifference(Run(later, episodes).narrow(1, 9, 1), out.narrow(1, 9, 1)), 1e-3);
  at::Tensor before = x_.clone();
  before.narrow(1, 0, 5).add_(1);
  EXPECT_EQ(MaxDifference(Run(before, episodes).narrow(1, 5, 7), out.narrow(1, 5, 7)), 0);
  EXPECT_GT(MaxDifference(Run(before, one_).narrow(1, 5, 7), Run(x_, one_).narrow(1, 5, 7)), 1e-3);
  // Nor through the memory.
  Memory memory;
  Run(before.narrow(1, 0, 5), episodes.narrow(1, 0, 5), &memory);
  EXPECT_LT(MaxDifference(Run(x_.narrow(1, 5, 7), episodes.narrow(1, 5, 7), &memory),
                          out.narrow(1, 5, 7)),
            kExact);
}

TEST_F(TransformerXlTest, OnlyDistancesCount) {
  // The same tokens three places later in an episode of their own.
  at::Tensor episodes = one_.clone();
  episodes.narrow(1, 3, 9).fill_(1);
  EXPECT_LT(MaxDifference(Run(x_, episodes).narrow(1, 3, 9),
                          Run(x_.narrow(1, 3, 9), one_.narrow(1, 3, 9))),
            kExact);
}

// Step by step as in a roll-out: what sequences give.
TEST(DynamicsTest, ARollOutPredictsWhatTheSequencePredicts) {
  for (const bool reward_input : {true, false}) {
    run::TwmRecipe recipe = TinyRecipe();
    recipe.reward_input = reward_input;
    constexpr int64_t kRows = 3, kSteps = 5, kActions = 4;
    const Network network(DynamicsLayout(recipe, kActions), 3);
    const std::vector<at::Tensor> tensors = network.Doubles();
    const at::Tensor latents = Random({kRows, kSteps, 64}, 1);
    const at::Tensor actions =
        at::tensor({0, 1, 2, 3, 0, 3, 3, 1, 0, 2, 2, 1, 0, 1, 3}, at::kLong).view({kRows, kSteps});
    const at::Tensor rewards = Random({kRows, kSteps}, 2);
    const at::Tensor episodes =
        at::tensor({0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 2, 2}, at::kLong).view({kRows, kSteps});
    const Prediction whole =
        PredictSequences(recipe, tensors, latents, actions, rewards, episodes, std::nullopt);
    RollOutDynamics roll_out(recipe, tensors);
    for (int64_t t = 0; t < kSteps; ++t) {
      const Prediction step =
          roll_out.Step(latents.select(1, t), actions.select(1, t),
                        t == 0 ? at::Tensor() : rewards.select(1, t - 1), episodes.select(1, t));
      EXPECT_LT(MaxDifference(step.latent_logits, whole.latent_logits.select(1, t)), kExact);
      EXPECT_LT(MaxDifference(step.reward, whole.reward.select(1, t)), kExact);
      EXPECT_LT(MaxDifference(step.discount_logit, whole.discount_logit.select(1, t)), kExact);
    }
    // The reward of a step is no input of its own prediction, and of the next one only where asked.
    at::Tensor other = rewards.clone();
    other.select(1, 1).add_(1);
    const Prediction changed =
        PredictSequences(recipe, tensors, latents, actions, other, episodes, std::nullopt);
    EXPECT_EQ(MaxDifference(changed.reward.narrow(1, 0, 2), whole.reward.narrow(1, 0, 2)), 0);
    EXPECT_EQ(MaxDifference(changed.reward[0][2], whole.reward[0][2]) > 0, reward_input);
    EXPECT_EQ(MaxDifference(changed.reward[1][2], whole.reward[1][2]), 0);  // another episode
  }
}

}  // namespace
}  // namespace allometry::models::twm
