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
      if constexpr (std::is_arithmetic_v<std::decay_t<decltype(value)>>) {
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

template <IsChoice Enum>
void ExpectEachIsReadByItsName() {
  for (const Choice<Enum>& choice : ChoicesOf(Enum())) {
    EXPECT_EQ(Parse<Enum>(choice.name), choice.value);
    EXPECT_STREQ(NameOf(choice.value), choice.name);
  }
  EXPECT_EQ(Parse<Enum>("constantly"), std::nullopt);
}

TEST(ChoicesTest, EachIsReadByItsName) {
  ExpectEachIsReadByItsName<Schedule>();
  ExpectEachIsReadByItsName<Precision>();
  ExpectEachIsReadByItsName<UpdateRule>();
  ExpectEachIsReadByItsName<DeviceKind>();
  ExpectEachIsReadByItsName<RunKind>();
  ExpectEachIsReadByItsName<InputKind>();
  ExpectEachIsReadByItsName<Stage>();
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
  for (const auto& [precision, name] : kPrecisions) {
    if (precision == identity.precision) continue;
    Identity other = identity;
    other.precision = precision;
    EXPECT_TRUE(keys.insert(RunKey(other)).second) << name;
  }
}

TEST(PrecisionTest, OnlyWhatAStepComputesInIsAllowed) {
  EXPECT_EQ(PrecisionProblem(Precision::kFp32, DeviceKind::kCpu), "");
  EXPECT_EQ(PrecisionProblem(Precision::kFp32, DeviceKind::kCuda), "");
  EXPECT_EQ(PrecisionProblem(Precision::kTf32, DeviceKind::kCuda), "");
  EXPECT_EQ(PrecisionProblem(Precision::kBf16, DeviceKind::kCpu), "");
  EXPECT_EQ(PrecisionProblem(Precision::kBf16, DeviceKind::kCuda), "");
  EXPECT_THAT(PrecisionProblem(Precision::kTf32, DeviceKind::kCpu),
              testing::HasSubstr("fp32, bf16"));
}

}  // namespace
}  // namespace allometry::run
