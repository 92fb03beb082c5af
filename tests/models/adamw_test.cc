#include "models/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace allometry::models {
namespace {

struct Buffers {
  explicit Buffers(const ParameterLayout& layout)
      : parameters(layout.size), gradient(layout.size), first(layout.size), second(layout.size) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (float& p : parameters) p = normal(random);
  }
  void DrawGradient(std::mt19937& random, float scale) {
    std::normal_distribution<float> normal(0, scale);
    for (float& g : gradient) g = normal(random);
  }
  AdamWState state() { return {parameters, gradient, first, second}; }
  std::vector<float> parameters, gradient, first, second;
};

// One tensor after another, in double: the textbook.
class NaiveAdamW {
 public:
  NaiveAdamW(const ParameterLayout& layout, const AdamWOptions& options)
      : layout_(layout), options_(options), m_(layout.size), v_(layout.size) {}

  void Step(std::vector<double>& p, const std::vector<float>& gradient, int t, double rate) {
    double norm = 0;
    for (const float g : gradient) norm += static_cast<double>(g) * g;
    norm = std::sqrt(norm);
    const double scale =
        options_.clip_norm > 0 && norm > options_.clip_norm ? options_.clip_norm / norm : 1;
    for (const ParameterView& view : layout_.views) {
      for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
        const double g = gradient[i] * scale;
        m_[i] = options_.beta1 * m_[i] + (1 - options_.beta1) * g;
        v_[i] = options_.beta2 * v_[i] + (1 - options_.beta2) * g * g;
        if (view.shape.size() > 1) p[i] -= rate * options_.weight_decay * p[i];
        p[i] -= rate * (m_[i] / (1 - std::pow(options_.beta1, t))) /
                (std::sqrt(v_[i] / (1 - std::pow(options_.beta2, t))) + options_.epsilon);
      }
    }
  }

 private:
  const ParameterLayout layout_;
  const AdamWOptions options_;
  std::vector<double> m_, v_;
};

TEST(AdamWTest, TwentyUpdatesEqualTheNaiveLoopInDouble) {
  const ParameterLayout layout = *LayoutOf({"gpt", 2, 1, 20, 17, 33});
  for (const double clip : {0.0, 1.0, 1e6}) {
    AdamWOptions options;
    options.clip_norm = clip;
    Buffers buffers(layout);
    std::vector<double> expected(buffers.parameters.begin(), buffers.parameters.end());
    NaiveAdamW naive(layout, options);
    const auto adamw = CreateAdamW(layout, options);
    std::mt19937 random(9);
    for (int t = 1; t <= 20; ++t) {
      buffers.DrawGradient(random, t % 3 == 0 ? 1e-3f : 0.5f);
      double norm = 0;
      adamw->Step(buffers.state(), t, 1e-2, &norm);
      naive.Step(expected, buffers.gradient, t, 1e-2);
      EXPECT_GT(norm, 0);
    }
    for (int64_t i = 0; i < layout.size; ++i) {
      ASSERT_NEAR(buffers.parameters[i], expected[i], 2e-5) << "element " << i << " clip " << clip;
    }
  }
}

TEST(AdamWTest, NormIsThatOfTheWholeGradientBeforeClipping) {
  const ParameterLayout layout = *LayoutOf({"gpt", 1, 1, 16, 32, 99});
  Buffers buffers(layout);
  std::fill(buffers.gradient.begin(), buffers.gradient.end(), 2.0f);
  double norm = 0;
  CreateAdamW(layout, {})->Step(buffers.state(), 1, 1e-3, &norm);
  EXPECT_NEAR(norm, 2 * std::sqrt(static_cast<double>(layout.size)), 1e-9 * norm);
  EXPECT_EQ(buffers.gradient[0], 2.0f);
}

TEST(AdamWTest, OnlyMatricesDecay) {
  const ParameterLayout layout = *LayoutOf({"gpt", 1, 1, 16, 32, 99});
  Buffers buffers(layout);
  const std::vector<float> before = buffers.parameters;
  double norm = 0;
  CreateAdamW(layout, {})->Step(buffers.state(), 1, 0.1, &norm);  // gradient zero
  for (const ParameterView& view : layout.views) {
    for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
      ASSERT_FLOAT_EQ(buffers.parameters[i], view.shape.size() > 1 ? before[i] * 0.99f : before[i])
          << view.name;
    }
  }
}

}  // namespace
}  // namespace allometry::models
