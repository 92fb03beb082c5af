// The moving averages of a codebook against a plain reference in double, and the life of its codes.
#include "models/codebook.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>
#include <vector>

namespace allometry::models {
namespace {

constexpr int kCodes = 6, kWidth = 3;

struct Owned {
  std::vector<float> codes, counts, sums;
  Owned() : codes(kCodes * kWidth), counts(kCodes), sums(kCodes * kWidth) {}
  Codebook view() { return {codes, counts, sums}; }
};

TEST(CodebookTest, FollowsThePlainReference) {
  Owned book;
  std::mt19937 random(4);
  std::normal_distribution<float> noise;
  std::vector<double> counts(kCodes), sums(kCodes * kWidth);
  for (int i = 0; i < kCodes; ++i) {
    counts[i] = book.counts[i] = 5 + static_cast<float>(i);
    for (int j = 0; j < kWidth; ++j) {
      sums[i * kWidth + j] = book.sums[i * kWidth + j] = noise(random);
    }
  }
  for (int update = 0; update < 20; ++update) {
    std::vector<float> n(kCodes), s(kCodes * kWidth);
    for (int i = 0; i < kCodes; ++i) n[i] = static_cast<float>(1 + random() % 9);
    for (float& value : s) value = noise(random);
    EXPECT_EQ(UpdateCodebook({n, s, {}}, book.view()), 0);
    for (int i = 0; i < kCodes; ++i) {
      counts[i] = 0.99 * counts[i] + 0.01 * n[i];
      for (int j = 0; j < kWidth; ++j) {
        double& sum = sums[i * kWidth + j];
        sum = 0.99 * sum + 0.01 * s[i * kWidth + j];
        EXPECT_NEAR(book.codes[i * kWidth + j], sum / counts[i], 1e-5);
      }
      EXPECT_NEAR(book.counts[i], counts[i], 1e-4);
    }
  }
}

TEST(CodebookTest, ACodeThatNobodyUsesKeepsItsPlaceUntilItIsDead) {
  Owned book;
  for (int i = 0; i < kCodes; ++i) {
    book.counts[i] = 10;
    for (int j = 0; j < kWidth; ++j) {
      book.codes[i * kWidth + j] = static_cast<float>(i);
      book.sums[i * kWidth + j] = static_cast<float>(10 * i);
    }
  }
  std::vector<float> n(kCodes, 12), s(kCodes * kWidth), candidates = {7, 8, 9};
  n[2] = 0;
  for (int i = 0; i < kCodes; ++i) {
    for (int j = 0; j < kWidth; ++j) s[i * kWidth + j] = n[i] * static_cast<float>(i);
  }
  int updates = 0;
  while (UpdateCodebook({n, s, candidates}, book.view()) == 0) {
    ASSERT_LT(++updates, 1000);
    EXPECT_EQ(book.codes[2 * kWidth], 2);
  }
  // 10 x 0.99^u falls below a tenth of the usual 10.
  EXPECT_EQ(updates, static_cast<int>(std::log(0.1) / std::log(0.99)));
  EXPECT_EQ(book.codes[2 * kWidth], 7);
  EXPECT_EQ(book.codes[2 * kWidth + 2], 9);
  EXPECT_EQ(book.counts[2], 10);
  EXPECT_EQ(book.sums[2 * kWidth + 1], 80);
  EXPECT_NEAR(book.codes[5 * kWidth], 5, 1e-5);
}

// A new codebook is all dead: it takes vectors of its first batches, as many as there are.
TEST(CodebookTest, BeginsWithVectorsOfTheFirstBatches) {
  Owned book;
  std::vector<float> n = {8, 0, 0, 0, 0, 0}, s(kCodes * kWidth, 1.0f);
  std::vector<float> candidates(2 * kWidth);
  for (size_t i = 0; i < candidates.size(); ++i) candidates[i] = static_cast<float>(i + 1);
  EXPECT_EQ(UpdateCodebook({n, s, candidates}, book.view()), 2);
  EXPECT_EQ(book.codes[0], 1);
  EXPECT_EQ(book.codes[kWidth], 4);
  EXPECT_EQ(book.counts[1], 8.0f / kCodes);
  EXPECT_EQ(book.codes[2 * kWidth], 0);
}

TEST(CodebookTest, CandidatesAreAFunctionOfTheUpdateAndSpread) {
  std::set<int64_t> seen;
  for (int i = 0; i < 256; ++i) {
    const int64_t vector = CandidateVector(17, i, 2048);
    EXPECT_GE(vector, 0);
    EXPECT_LT(vector, 2048);
    EXPECT_EQ(vector, CandidateVector(17, i, 2048));
    seen.insert(vector);
  }
  EXPECT_GT(seen.size(), 200u);
  EXPECT_NE(CandidateVector(17, 0, 1 << 30), CandidateVector(18, 0, 1 << 30));
  // Stored runs depend on it.
  EXPECT_EQ(CandidateVector(1, 0, 1'000'000), 424158);
  EXPECT_EQ(CandidateVector(2, 255, 1'000'000), 836417);
}

TEST(CodebookTest, PerplexityCountsCodesInUse) {
  EXPECT_EQ(Perplexity(std::vector<double>(4, 0.0)), 0);
  EXPECT_NEAR(Perplexity(std::vector<double>{5, 5, 5, 0}), 3, 1e-12);
  EXPECT_NEAR(Perplexity(std::vector<double>{7, 0, 0, 0}), 1, 1e-12);
  EXPECT_NEAR(Perplexity(std::vector<double>{3, 1}),
              std::exp(-0.75 * std::log(0.75) - 0.25 * std::log(0.25)), 1e-12);
}

}  // namespace
}  // namespace allometry::models
