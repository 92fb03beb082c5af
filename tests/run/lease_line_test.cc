#include "run/lease_line.h"

#include "base/boot_id.h"
#include "gtest/gtest.h"

namespace allometry::run {
namespace {

TEST(LeaseLineTest, WhatIsWrittenIsRead) {
  const std::optional<LeaseLine> lease =
      ParseLeaseLine(WriteLeaseLine(5'000'000'000, 35'000'000'000, 6'000'000'000));
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->boot_id, BootId());
  EXPECT_EQ(lease->asked_ns, 5'000'000'000);
  EXPECT_EQ(lease->deadline_ns, 35'000'000'000);
  EXPECT_EQ(lease->left_ms, 29'000);
}

TEST(LeaseLineTest, ALeaseThatIsOverLeavesNothing) {
  EXPECT_EQ(ParseLeaseLine(WriteLeaseLine(1'000, 2'000, 9'000'000'000))->left_ms, 0);
}

TEST(LeaseLineTest, WhatIsNoLeaseIsRefused) {
  for (const char* line :
       {"", "lease", "lease 5 9", "lease b 5 9", "lease b 9000000 5000000 0", "lease b -5 9 0",
        "lease b 5 9 -1", "lease b 5 2000005 3", "lease b 5 9 0 0", "release b 5 9 0",
        "lease b x 9 0", "lease b 5 99999999999999999999 0"}) {
    EXPECT_FALSE(ParseLeaseLine(line).has_value()) << line;
  }
}

}  // namespace
}  // namespace allometry::run
