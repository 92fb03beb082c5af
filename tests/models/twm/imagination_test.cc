// The world model's and the agent's losses: gradients by finite differences, what is left out at
// the end of an episode, and roll-outs that begin again.
#include "models/twm/imagination.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "models/twm/observation.h"
#include "models/twm/replay.h"
#include "tests/models/twm/networks.h"

namespace allometry::models::twm {
namespace {

constexpr int64_t kActions = 3;

at::Tensor Numbers(std::vector<int64_t> shape, unsigned seed) {
  int64_t size = 1;
  for (const int64_t extent : shape) size *= extent;
  const std::vector<double> values = RandomNumbers(static_cast<size_t>(size), seed);
  return at::tensor(at::ArrayRef<double>(values), at::kDouble).reshape(shape);
}

class TwmLossTest : public ::testing::Test {
 protected:
  TwmLossTest() {
    recipe_.batch = 3;
    recipe_.sequence = 4;
    recipe_.starts = 5;
    batch_.frames = Numbers({3, 5, kFrames, kSide, kSide}, 1).sigmoid();
    batch_.actions = at::tensor({0, 1, 2, 0, 2, 2, 1, 0, 1, 1, 0, 2}, at::kLong).view({3, 4});
    batch_.rewards = Numbers({3, 4}, 2).tanh();
    batch_.stop = at::tensor({0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, at::kDouble).view({3, 4});
    batch_.terminal = at::tensor({0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, at::kDouble).view({3, 4});
  }
  // The same in float, as trained.
  Sequences Floats() const {
    Sequences floats = batch_;
    for (at::Tensor* x : {&floats.frames, &floats.rewards, &floats.stop, &floats.terminal}) {
      *x = x->to(at::kFloat);
    }
    return floats;
  }
  // Some elements of every tensor.
  static void ExpectGradients(std::vector<at::Tensor> tensors,
                              const std::function<at::Tensor(const std::vector<at::Tensor>&)>& loss,
                              double tolerance) {
    for (at::Tensor& tensor : tensors) tensor.set_requires_grad(true);
    loss(tensors).backward();
    constexpr double kStep = 1e-5;
    for (size_t i = 0; i < tensors.size(); ++i) {
      ASSERT_TRUE(tensors[i].grad().defined()) << "tensor " << i;
      const at::Tensor gradient = tensors[i].grad().reshape({-1});
      const int64_t element = static_cast<int64_t>(i * 37) % tensors[i].numel();
      const auto moved = [&](double by) {
        std::vector<at::Tensor> others;
        for (const at::Tensor& tensor : tensors) others.push_back(tensor.detach().clone());
        others[i].view({-1})[element] += by;
        return loss(others).item<double>();
      };
      EXPECT_NEAR(gradient[element].item<double>(), (moved(kStep) - moved(-kStep)) / (2 * kStep),
                  tolerance)
          << "tensor " << i;
    }
  }

  run::TwmRecipe recipe_ = TinyRecipe();
  Network observation_{ObservationLayout(recipe_), 1};
  Network dynamics_{DynamicsLayout(recipe_, kActions), 2};
  Network actor_{ActorLayout(recipe_, kActions), 3, /*orthogonal=*/true};
  Network critic_{CriticLayout(recipe_), 4, /*orthogonal=*/true};
  Sequences batch_;
};

TEST_F(TwmLossTest, DynamicsGradientsAreFiniteDifferences) {
  const std::vector<at::Tensor> observation = observation_.Doubles();
  ExpectGradients(
      dynamics_.Doubles(),
      [&](const std::vector<at::Tensor>& dynamics) {
        return WorldModelLoss(recipe_, observation, dynamics, batch_, Trained::kDynamics, 9).total;
      },
      1e-6);
}

TEST_F(TwmLossTest, ASampledLatentHasTheGradientOfItsChances) {
  const at::Tensor logits = Numbers({2, 3, 4}, 8).set_requires_grad(true);
  const at::Tensor weights = Numbers({2, 3, 4}, 9);
  const at::Tensor drawn = SampleLatent(logits, 3, 0);
  EXPECT_EQ(drawn.sum().item<double>(), 6);
  const at::Tensor through = StraightThrough(drawn, logits);
  EXPECT_LT((through - drawn).abs().max().item<double>(), 1e-15);
  (through * weights).sum().backward();
  const at::Tensor by_chances = Numbers({2, 3, 4}, 8).set_requires_grad(true);
  (by_chances.softmax(2) * weights).sum().backward();
  EXPECT_LT((logits.grad() - by_chances.grad()).abs().max().item<double>(), 1e-15);
}

TEST_F(TwmLossTest, NothingBehindTheEndOfAnEpisodeIsATarget) {
  const auto loss = [&](const Sequences& batch) {
    return WorldModelLoss(recipe_, observation_.Doubles(), dynamics_.Doubles(), batch,
                          Trained::kDynamics, 9);
  };
  const WorldModelLosses before = loss(batch_);
  // Row 1 is cut off with its last step: what follows is another game's image.
  Sequences other = batch_;
  other.frames = batch_.frames.clone();
  other.frames[1][4] = Numbers({kFrames, kSide, kSide}, 40);
  EXPECT_EQ(loss(other).latent, before.latent);
  other.stop = batch_.stop.clone();
  other.stop[1][3] = 0;
  EXPECT_NE(loss(other).latent, before.latent);
}

TEST_F(TwmLossTest, BothLossesTrainTheirOwnNetworkAlone) {
  const auto norm = [](const std::vector<float>& gradient) {
    double sum = 0;
    for (const float g : gradient) sum += std::abs(g);
    return sum;
  };
  const Sequences batch = Floats();
  const auto train = [&](Trained trained) {
    for (Network* network : {&observation_, &dynamics_}) {
      std::fill(network->gradient.begin(), network->gradient.end(), 0.0f);
    }
    WorldModelLoss(recipe_, observation_.tensors, dynamics_.tensors, batch, trained, 9)
        .total.backward();
  };
  train(Trained::kObservation);
  EXPECT_GT(norm(observation_.gradient), 0);
  EXPECT_EQ(norm(dynamics_.gradient), 0);
  train(Trained::kDynamics);
  EXPECT_EQ(norm(observation_.gradient), 0);
  EXPECT_GT(norm(dynamics_.gradient), 0);
  const std::vector<float> alone = dynamics_.gradient;
  train(Trained::kBoth);
  EXPECT_GT(norm(observation_.gradient), 0);
  for (size_t i = 0; i < alone.size(); ++i) {
    ASSERT_NEAR(dynamics_.gradient[i], alone[i], 1e-4 * (1 + std::abs(alone[i]))) << i;
  }
}

TEST_F(TwmLossTest, AgentGradientsAreFiniteDifferences) {
  const at::Tensor drawn = at::cat({Numbers({5 * (recipe_.horizon + 1), 64}, 3)});
  Imagined imagined;
  imagined.latents = drawn;
  const int64_t n = 5 * recipe_.horizon;
  imagined.actions = at::zeros({n}, at::kLong);
  imagined.actions.narrow(0, 3, 4).fill_(2);
  imagined.advantages = Numbers({n}, 4);
  imagined.returns = Numbers({n}, 5);
  imagined.weights = Numbers({n}, 6).sigmoid();
  recipe_.least_entropy = 2;  // above the most: the hinge is never flat
  recipe_.entropy = 0.5;
  std::vector<at::Tensor> actor = actor_.Doubles();
  for (at::Tensor& tensor : actor) tensor = tensor + 0.05 * Numbers(tensor.sizes().vec(), 12);
  const std::vector<at::Tensor> critic = critic_.Doubles();
  ExpectGradients(
      actor,
      [&](const std::vector<at::Tensor>& moved) {
        return AgentLoss(recipe_, moved, critic, imagined).actor;
      },
      1e-7);
  ExpectGradients(
      critic,
      [&](const std::vector<at::Tensor>& moved) {
        return AgentLoss(recipe_, actor, moved, imagined).critic;
      },
      1e-7);
}

class ImaginationTest : public TwmLossTest {
 protected:
  Imagined Dream(double discount_bias, uint64_t seed = 11) {
    std::vector<at::Tensor> dynamics = dynamics_.Doubles();
    dynamics.back() = at::zeros({1}, at::kDouble) + discount_bias;
    dynamics[dynamics.size() - 2] = at::zeros_like(dynamics[dynamics.size() - 2]);
    const at::Tensor latents = SampleLatent(Numbers({15, 8, 8}, 20), 1, 0).view({3, 5, 8, 8});
    starts_ = StartsOf(batch_, latents);
    return Imagine(recipe_, dynamics, actor_.Doubles(), critic_.Doubles(), starts_, seed);
  }
  Starts starts_;
};

TEST_F(ImaginationTest, StartsAreThePairsWithinAnEpisode) {
  Dream(5);
  EXPECT_EQ(starts_.latents.size(0), 10);  // 12 steps, two of them stops
  EXPECT_EQ(starts_.actions.size(0), 10);
}

TEST_F(ImaginationTest, WeightsAreTheProductsOfDiscounts) {
  const Imagined imagined = Dream(5);
  const double d = 1 / (1 + std::exp(-5.0));
  for (int64_t t = 0; t < recipe_.horizon; ++t) {
    EXPECT_NEAR(imagined.weights[t * 5].item<double>(), std::pow(d, static_cast<double>(t)), 1e-12);
  }
  // The last step's advantage is that of one step.
  const std::vector<at::Tensor> critic = critic_.Doubles();
  const at::Tensor values = Values(recipe_, critic, imagined.latents);
  const at::Tensor n = values.narrow(0, 0, 5 * recipe_.horizon);
  EXPECT_LT((imagined.returns - imagined.advantages - n).abs().max().item<double>(), 1e-12);
}

TEST_F(ImaginationTest, ARowThatIsAllButOverBeginsAgainWithFullWeight) {
  // A discount of 0.05 falls below 0.1 at once: every step is the last of its roll-out.
  const Imagined imagined = Dream(std::log(0.05 / 0.95));
  EXPECT_EQ((imagined.weights - 1).abs().max().item<double>(), 0);
  // Each return is the reward alone, and each later latent one of the replay.
  for (int64_t i = 5; i < imagined.latents.size(0); ++i) {
    const at::Tensor same = (starts_.latents == imagined.latents[i]).all(1).any();
    EXPECT_TRUE(same.item<bool>()) << i;
  }
  const Imagined other_values = [&] {
    for (float& value : critic_.parameters) value += 1;
    return Dream(std::log(0.05 / 0.95));
  }();
  EXPECT_LT((other_values.returns - imagined.returns).abs().max().item<double>(), 1e-9);
}

TEST_F(ImaginationTest, TheSameSeedGivesTheSameBitsAndAnotherOthers) {
  const Imagined first = Dream(3), again = Dream(3), other = Dream(3, 12);
  EXPECT_TRUE(first.latents.equal(again.latents));
  EXPECT_TRUE(first.returns.equal(again.returns));
  EXPECT_FALSE(first.latents.equal(other.latents));
}

}  // namespace
}  // namespace allometry::models::twm
