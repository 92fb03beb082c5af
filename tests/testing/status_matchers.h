// GoogleTest matchers for absl::Status and absl::StatusOr.
//
//   EXPECT_THAT(store.Open(path), IsOk());
//   EXPECT_THAT(ParseManifest("{"), StatusIs(absl::StatusCode::kInvalidArgument,
//   HasSubstr("line"))); EXPECT_THAT(ReadFile(path), IsOkAndHolds("contents"));
//   ASSERT_OK_AND_ASSIGN(const auto manifest, ReadManifest(data_dir, "gcide-char"));
#pragma once

#include <ostream>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::testing {
namespace internal {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <class T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// Matches a status or a StatusOr<T> by its code and its message.
class StatusIsMatcher {
 public:
  StatusIsMatcher(absl::StatusCode code, ::testing::Matcher<const std::string&> message)
      : code_(code), message_(std::move(message)) {}

  template <class T>
  bool MatchAndExplain(const T& value, ::testing::MatchResultListener* listener) const {
    const absl::Status& status = StatusOf(value);
    *listener << "whose status is " << status.ToString();
    return status.code() == code_ && message_.Matches(std::string(status.message()));
  }
  void DescribeTo(std::ostream* os) const {
    *os << "has code " << absl::StatusCodeToString(code_) << " and a message that ";
    message_.DescribeTo(os);
  }
  void DescribeNegationTo(std::ostream* os) const {
    *os << "not (";
    DescribeTo(os);
    *os << ")";
  }

 private:
  absl::StatusCode code_;
  ::testing::Matcher<const std::string&> message_;
};

// Matches a StatusOr<T> that is OK and whose value matches `inner`.
template <class Inner>
class IsOkAndHoldsMatcher {
 public:
  explicit IsOkAndHoldsMatcher(Inner inner) : inner_(std::move(inner)) {}

  template <class ResultOrReference>
  operator ::testing::Matcher<ResultOrReference>() const {  // NOLINT: a matcher converts implicitly
    return ::testing::MakeMatcher(new Typed<ResultOrReference>(inner_));
  }

 private:
  template <class ResultOrReference>
  class Typed final : public ::testing::MatcherInterface<ResultOrReference> {
    using Value = typename std::decay_t<ResultOrReference>::value_type;

   public:
    explicit Typed(const Inner& inner) : inner_(::testing::SafeMatcherCast<const Value&>(inner)) {}
    bool MatchAndExplain(ResultOrReference result,
                         ::testing::MatchResultListener* listener) const override {
      if (!result.ok()) {
        *listener << "whose status is " << result.status().ToString();
        return false;
      }
      return inner_.MatchAndExplain(*result, listener);
    }
    void DescribeTo(std::ostream* os) const override {
      *os << "is OK and holds a value that ";
      inner_.DescribeTo(os);
    }
    void DescribeNegationTo(std::ostream* os) const override {
      *os << "is not OK or holds a value that ";
      inner_.DescribeNegationTo(os);
    }

   private:
    ::testing::Matcher<const Value&> inner_;
  };

  Inner inner_;
};

}  // namespace internal

template <class Message>
auto StatusIs(absl::StatusCode code, Message&& message) {
  return ::testing::MakePolymorphicMatcher(internal::StatusIsMatcher(
      code, ::testing::SafeMatcherCast<const std::string&>(std::forward<Message>(message))));
}
inline auto StatusIs(absl::StatusCode code) { return StatusIs(code, ::testing::_); }
inline auto IsOk() { return StatusIs(absl::StatusCode::kOk); }

template <class Inner>
auto IsOkAndHolds(Inner&& inner) {
  return internal::IsOkAndHoldsMatcher<std::decay_t<Inner>>(std::forward<Inner>(inner));
}

}  // namespace allometry::testing

#define ALLO_TESTING_CONCAT_INNER(a, b) a##b
#define ALLO_TESTING_CONCAT(a, b) ALLO_TESTING_CONCAT_INNER(a, b)

#define ASSERT_OK(expression) ASSERT_THAT(expression, ::allometry::testing::IsOk())
#define EXPECT_OK(expression) EXPECT_THAT(expression, ::allometry::testing::IsOk())

#define ASSERT_OK_AND_ASSIGN(declaration, expression) \
  ALLO_ASSERT_OK_AND_ASSIGN(ALLO_TESTING_CONCAT(allo_result_, __LINE__), declaration, expression)
#define ALLO_ASSERT_OK_AND_ASSIGN(temporary, declaration, expression) \
  auto temporary = (expression);                                      \
  ASSERT_THAT(temporary, ::allometry::testing::IsOk());               \
  declaration = std::move(temporary).value()
