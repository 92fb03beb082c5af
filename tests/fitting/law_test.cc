// Every row of the law table under every row of the objective table: derivatives against finite
// differences, and the planted coefficients found again.
#include "fitting/law/law.h"

#include <cmath>
#include <set>

#include "fitting/law/formula.h"
#include "fitting/solve/optimum.h"
#include "gtest/gtest.h"

namespace allometry::fitting {
namespace {

constexpr double kFloor = 1.69;
const ObjectiveKind kObjectives[] = {ObjectiveKind::kHuber, ObjectiveKind::kLsqLog,
                                     ObjectiveKind::kLsq, ObjectiveKind::kLad};

Theta Planted(const Law& law) {
  Theta theta = FixedEntries(law, kFloor);
  theta[kLogA] = std::log(1.1), theta[kLogB] = std::log(0.9);
  theta[kAlpha] = 0.34, theta[kBeta] = 0.28;
  if (law.free > kLogE) theta[kLogE] = std::log(kFloor);
  if (law.coupled) theta[kLogGamma] = std::log(0.8);
  if (law.own != nullptr) {
    for (size_t k = 0; k < law.own->extras.size(); ++k) {
      theta[kLogE + 1 + k] = law.own->extras[k].start + 0.2;
    }
  }
  return theta;
}

// A 7 x 6 grid, with one to eight epochs, of centred ln N, ln D with the law's own losses, shifted
// by `wiggle`.
Sample MakeGrid(const Law& law, const Theta& theta, double wiggle) {
  Sample sample;
  for (int i = 0; i < 7; ++i) {
    for (int j = 0; j < 6; ++j) {
      sample.x.push_back(0.7 * (i - 3));
      sample.y.push_back(0.9 * (j - 2.5));
      sample.log_epochs.push_back(std::log(1 + (3 * i + 2 * j) % 8));
      const double log_loss = LogLossAt(law, theta, sample.x.back(), sample.y.back(), nullptr,
                                        sample.log_epochs.back()) +
                              wiggle * std::sin(3 * i + 5 * j + 1);
      sample.log_loss.push_back(log_loss);
      sample.loss.push_back(std::exp(log_loss));
      sample.weight.push_back(1 + 0.1 * i);
    }
  }
  return sample;
}

class LawTest : public ::testing::TestWithParam<int> {
 protected:
  const Law& law() const { return AllLaws()[GetParam()]; }
};

TEST_P(LawTest, GradientAndHessianMatchFiniteDifferences) {
  const Theta theta = Planted(law());
  const Sample sample = MakeGrid(law(), theta, 0.03);
  // Away from the kinks of Huber and LAD, whose residuals here are far from 0 and delta.
  for (ObjectiveKind kind : kObjectives) {
    const Objective objective{kind, 0.0123};
    const Derivatives at = Differentiate(law(), objective, sample, theta);
    EXPECT_NEAR(at.value, Value(law(), objective, sample, theta), 1e-13);
    for (int i = 0; i < law().free; ++i) {
      const double h = 1e-6;
      Theta up = theta, down = theta;
      up[i] += h, down[i] -= h;
      const Derivatives above = Differentiate(law(), objective, sample, up);
      const Derivatives below = Differentiate(law(), objective, sample, down);
      EXPECT_NEAR(at.gradient[i], (above.value - below.value) / (2 * h), 1e-6)
          << Name(kind) << " " << i;
      for (int j = 0; j < law().free; ++j) {
        EXPECT_NEAR(at.hessian(i, j), (above.gradient[j] - below.gradient[j]) / (2 * h), 2e-5)
            << Name(kind) << " " << i << " " << j;
      }
    }
  }
}

TEST_P(LawTest, RecoversItsPlantedCoefficients) {
  const Theta theta = Planted(law());
  const Sample sample = MakeGrid(law(), theta, 0);
  for (ObjectiveKind kind : kObjectives) {
    const Optimum optimum = FindOptimum({&law(), {kind, 1e-3}, kFloor}, sample);
    EXPECT_FALSE(optimum.refused) << *optimum.refused;
    for (int i = 0; i < law().free; ++i) {
      // A Formula's Hessian is a difference, and its curvature jumps where min() turns.
      const double tolerance = law().own != nullptr ? 1e-6 : 1e-11;
      EXPECT_NEAR(optimum.theta[i], theta[i], tolerance) << Name(kind) << " " << i;
    }
  }
}

TEST_P(LawTest, OptionNameFindsTheRow) {
  const absl::StatusOr<LawKind> kind = ParseLaw(law().name);
  ASSERT_TRUE(kind.ok()) << kind.status();
  EXPECT_EQ(&FindLaw(*kind), &law());
}

INSTANTIATE_TEST_SUITE_P(EveryLaw, LawTest, ::testing::Range(0, static_cast<int>(AllLaws().size())),
                         [](const auto& info) {
                           std::string name = AllLaws()[info.param].name;
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

TEST(LawTableTest, PositionsAreKindsAndNamesDiffer) {
  std::set<std::string> names;
  for (size_t k = 0; k < AllLaws().size(); ++k) {
    EXPECT_EQ(static_cast<size_t>(AllLaws()[k].kind), k);
    EXPECT_TRUE(names.insert(AllLaws()[k].name).second);
    EXPECT_LE(AllLaws()[k].free, kMaxParameters);
  }
}

// With the paper's R_D = 15.4: four epochs are worth 3.7 of new data, and the most is 16.4 (their
// section 6: up to four epochs are nearly as good, and returns vanish beyond about 16).
TEST(RepeatedDataTest, SaysWhatEpochsAreWorth) {
  Theta theta = Theta::Zero();
  theta[5] = std::log(15.4);
  EXPECT_EQ(FindLaw(*ParseLaw("repeated-data")).own->remark(theta),
            "epochs: 4 passes over the data are worth 3.73 times it in new data, 16 passes 10.6 "
            "times, and no number of passes more than 16.4 times");
}

TEST(RepeatedDataTest, IsTheStandardLawForUniqueDataAndSmallModels) {
  const Law& law = FindLaw(*ParseLaw("repeated-data"));
  const Theta theta = Planted(law);
  EXPECT_NEAR(LogLossAt(law, theta, -2, 3, nullptr, 0),
              LogLossAt(FindLaw(LawKind::kStandard), theta, -2, 3, nullptr), 1e-14);
  // Four epochs of the paper's R_D = 15.4 are worth nearly four times the data, forty are not.
  Theta paper = theta;
  paper[5] = std::log(15.4);
  const auto worth = [&](double epochs) {  // effective epochs, from the loss of the tokens' term
    const double log_loss = LogLossAt(law, paper, -2, std::log(epochs), nullptr, std::log(epochs));
    const double rest =
        std::exp(log_loss) - std::exp(paper[kLogE]) - std::exp(paper[kLogA] + 2 * paper[kAlpha]);
    return std::pow(std::exp(paper[kLogB]) / rest, 1 / paper[kBeta]);
  };
  EXPECT_NEAR(worth(4), 1 + 15.4 * (1 - std::exp(-3 / 15.4)), 1e-9);
  EXPECT_NEAR(worth(40), 1 + 15.4 * (1 - std::exp(-39 / 15.4)), 1e-9);
}

TEST(ObjectiveTest, IsTheSumOverPointsNotTheMean) {
  const Law& law = FindLaw(LawKind::kStandard);
  const Theta theta = Planted(law);
  const Sample once = MakeGrid(law, theta, 0.01);
  Sample twice = once;
  for (size_t i = 0; i < once.size(); ++i) twice.Append(once, i, 1);
  for (ObjectiveKind kind : kObjectives) {
    const Objective objective{kind, 1e-3};
    EXPECT_NEAR(Value(law, objective, twice, theta), 2 * Value(law, objective, once, theta), 1e-12);
  }
}

TEST(ObjectiveTest, WeightTwoIsThePointTwice) {
  const Law& law = FindLaw(LawKind::kStandard);
  Sample weighted = MakeGrid(law, Planted(law), 0.01), repeated = weighted;
  for (size_t i = 0; i < 10; ++i) {
    weighted.weight[i] *= 2;
    repeated.Append(repeated, i, 1);
  }
  for (ObjectiveKind kind : kObjectives) {
    const Problem problem{&law, {kind, 1e-3}, 0};
    const Optimum a = FindOptimum(problem, weighted), b = FindOptimum(problem, repeated);
    EXPECT_NEAR(a.value, b.value, 1e-12 * a.value) << Name(kind);
    EXPECT_NEAR(a.theta[kAlpha], b.theta[kAlpha], 1e-9) << Name(kind);
  }
}

}  // namespace
}  // namespace allometry::fitting
