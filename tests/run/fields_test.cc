#include "run/fields.h"

#include <set>
#include <string>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "run/run_key.h"

namespace allometry::run {
namespace {

TEST(FieldsTest, TheDocumentationHasEveryRow) {
  const auto text = ReadFile(std::string(ALLO_SOURCE_DIR) + "/docs/run-json.md");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, testing::HasSubstr(FieldsAsMarkdown()))
      << "docs/run-json.md is to contain this table:\n"
      << FieldsAsMarkdown();
}

TEST(FieldsTest, ADefaultIsAllowedWhereAFieldMayBeLeftOut) {
  const auto check = [](const auto& owner) {
    ForEach(FieldsOf(&owner), [&](const auto& row) {
      const auto& value = owner.*row.member;
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
        const auto& choices = row.allowed.choices;
        EXPECT_TRUE(choices.empty() ||
                    std::find(choices.begin(), choices.end(), value) != choices.end())
            << row.name;
      } else if constexpr (std::is_arithmetic_v<std::decay_t<decltype(value)>>) {
        EXPECT_TRUE(row.presence == Presence::kRequired ||
                    row.allowed.Contains(static_cast<double>(value)))
            << row.name;
      }
    });
  };
  check(Shape());
  check(Optimizer());
  check(Identity());
  check(RunSpec());
}

// A younger setting at its default is no part of the key: keys of stored runs stay.
TEST(RunKeyTest, YoungerSettingsCountOnlyWhereTheyAreSet) {
  Identity identity;
  identity.shape = {"gpt", 2, 1, 32, 64, 99};
  identity.dataset_hash = "0011223344556677";
  identity.tokenizer_hash = "8899aabbccddeeff";
  identity.batch_tokens = 4096;
  identity.warmup_steps = 100;
  identity.learning_rate = 3e-3;
  identity.seed = 1;
  EXPECT_EQ(RunKey(identity), "affe530603de622f");  // stored in databases
  std::set<std::string> keys = {RunKey(identity)};
  for (const absl::string_view precision : kPrecisions) {
    if (precision == identity.precision) continue;
    Identity other = identity;
    other.precision = std::string(precision);
    EXPECT_TRUE(keys.insert(RunKey(other)).second) << precision;
  }
}

TEST(PrecisionTest, OnlyWhatAStepComputesInIsAllowed) {
  EXPECT_EQ(PrecisionProblem("fp32", "cpu"), "");
  EXPECT_EQ(PrecisionProblem("fp32", "cuda"), "");
  EXPECT_EQ(PrecisionProblem("tf32", "cuda"), "");
  EXPECT_THAT(PrecisionProblem("tf32", "cpu"), testing::HasSubstr("fp32"));
  EXPECT_THAT(PrecisionProblem("bf16", "cuda"), testing::HasSubstr("fp32, tf32"));
}

}  // namespace
}  // namespace allometry::run
