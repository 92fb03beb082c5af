#include "worker/agent/stall_watch.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::agent {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1000 * kMs;

// A spool that grows or not, looked at every 50 ms as the agent does.
class StallWatchTest : public ::testing::Test {
 protected:
  // Lets time pass; the spool grows at its end. Returns the first complaint.
  std::string Work(double seconds) {
    std::string complaint = Silence(seconds);
    bytes_ += 100;
    const std::string last = watch_.Observe(now_, bytes_);
    return complaint.empty() ? last : complaint;
  }
  std::string Silence(double seconds) {
    std::string complaint;
    const auto end = now_ + static_cast<int64_t>(seconds * kSecond);
    while (now_ < end) {
      now_ += 50 * kMs;
      const std::string said = watch_.Observe(now_, bytes_);
      if (complaint.empty()) complaint = said;
    }
    return complaint;
  }
  // How long it is silent until it complains, in seconds.
  double Patience() {
    const int64_t begin = now_;
    while (watch_.Observe(now_, bytes_).empty()) now_ += 50 * kMs;
    return static_cast<double>(now_ - begin) / kSecond;
  }

  int64_t now_ = 5 * kSecond;
  int64_t bytes_ = 0;
  StallWatch watch_{StallOptions{.factor = 10, .floor_s = 20}};
};

TEST_F(StallWatchTest, ComplainsAfterTheMedianTimesTheFactor) {
  Work(1);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Work(5), "");
  EXPECT_NEAR(Patience(), 50, 0.2);
  EXPECT_EQ(watch_.Observe(now_, bytes_),
            "no record for 50.0 s; the usual time between two is 5 s");
}

TEST_F(StallWatchTest, TheFloorIsNeverTooLong) {
  Work(1);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Work(0.1), "");
  EXPECT_NEAR(Patience(), 20, 0.2);
}

TEST_F(StallWatchTest, GrowthBeginsTheWaitAnew) {
  Work(1);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Work(1), "");
  for (int i = 0; i < 10; ++i) ASSERT_EQ(Work(19), "") << i;
}

TEST_F(StallWatchTest, AnEvaluationThatTakesLongTeachesHowLong) {
  Work(1);
  for (int i = 0; i < 40; ++i) ASSERT_EQ(Work(1), "");
  ASSERT_EQ(Work(19), "");
  EXPECT_NEAR(Patience(), 38, 0.2) << "twice the longest";
}

TEST_F(StallWatchTest, TheStartHasMoreTime) {
  EXPECT_NEAR(Patience(), 15 * 20, 0.2);
  EXPECT_THAT(watch_.Observe(now_, bytes_), HasSubstr("after its start"));
  Work(250);  // loads its data
  Work(250);
  ASSERT_EQ(Work(1), "");
}

TEST_F(StallWatchTest, TimeThatTheAgentDidNotSeeDoesNotCount) {
  Work(1);
  for (int i = 0; i < 20; ++i) Work(1);
  Silence(15);
  now_ += 3600 * kSecond;  // suspended: the clock jumped
  EXPECT_EQ(watch_.Observe(now_, bytes_), "");
  EXPECT_EQ(Silence(3), "");
  EXPECT_EQ(Work(0.1), "") << "it went on";
  now_ -= 7200 * kSecond;  // whatever a clock does
  EXPECT_EQ(watch_.Observe(now_, bytes_), "");
  EXPECT_EQ(Work(1), "");
  EXPECT_GT(Patience(), 15) << "and a stall is still seen";
}

TEST_F(StallWatchTest, ASpoolThatShrankHasChangedToo) {
  Work(1);
  for (int i = 0; i < 20; ++i) Work(1);
  Silence(15);
  bytes_ -= 50;
  EXPECT_EQ(Silence(15), "");
}

TEST(StallWatchOffTest, FactorZeroNeverComplains) {
  StallWatch watch(StallOptions{.factor = 0, .floor_s = 1});
  for (int64_t now = 0; now < 100'000 * kSecond; now += kSecond) {
    ASSERT_EQ(watch.Observe(now, 100), "");
  }
}

}  // namespace
}  // namespace allometry::agent
