#include "base/json_shape.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

TEST(JsonShapeTest, CountsLevelsBytesAndValues) {
  const JsonLimits limits = {.bytes = 100, .depth = 3, .values = 8};
  EXPECT_OK(CheckJsonShape("", limits));
  EXPECT_OK(CheckJsonShape(R"({"a": [[1], [2]]})", limits));
  EXPECT_THAT(CheckJsonShape(R"({"a": [[1, []]]})", limits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("byte 11")));
  EXPECT_THAT(CheckJsonShape("[1,2,3,4,5,6,7,8,9]", limits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("values")));
  EXPECT_THAT(CheckJsonShape(std::string(101, ' '), limits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("101 bytes")));
}

TEST(JsonShapeTest, WhatIsInAStringIsNoLevel) {
  const JsonLimits limits = {.depth = 1, .values = 3};
  EXPECT_OK(CheckJsonShape(R"(["[[{{,,,,\"[[,,\\"])", limits));
  EXPECT_THAT(CheckJsonShape(R"(["\\"[[])", limits), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_OK(CheckJsonShape("[\"ends in a backslash\\", limits));
}

TEST(JsonShapeTest, DeepNestingIsRefusedByDefault) {
  EXPECT_THAT(CheckJsonShape(std::string(100'000, '[')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("64 deep")));
  std::string objects;
  for (int i = 0; i < 100; ++i) objects += R"({"a":)";
  EXPECT_THAT(CheckJsonShape(objects), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace allometry
