#include "worker/agent/slot_memory.h"

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::TemporaryFolder;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr int64_t kGiB = int64_t{1} << 30;

class HostMemoryTest : public ::testing::Test {
 protected:
  void Put(const std::string& path, const std::string& contents) {
    const std::string whole = folder_.path() + "/" + path;
    EXPECT_THAT(MakeDirectories(whole.substr(0, whole.rfind('/'))), IsOk());
    EXPECT_THAT(WriteFileAtomically(whole, contents), IsOk());
  }
  int64_t Memory() { return HostMemoryBytes(folder_.path() + "/proc", folder_.path() + "/cgroup"); }
  const TemporaryFolder folder_;
};

TEST_F(HostMemoryTest, IsTheMachinesWhereNothingLimitsIt) {
  EXPECT_EQ(Memory(), 0);
  Put("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:         1 kB\n");
  EXPECT_EQ(Memory(), 8 * kGiB);
  Put("proc/self/cgroup", "0::/user.slice\n");
  Put("cgroup/user.slice/memory.max", "max\n");
  EXPECT_EQ(Memory(), 8 * kGiB);
}

TEST_F(HostMemoryTest, IsTheLeastLimitOnTheWayUp) {
  Put("proc/meminfo", "MemTotal:        8388608 kB\n");
  Put("proc/self/cgroup", "0::/a/b\n");
  Put("cgroup/a/b/memory.max", "6442450944\n");
  Put("cgroup/a/memory.max", "3221225472\n");
  Put("cgroup/memory.max", "max\n");
  EXPECT_EQ(Memory(), 3 * kGiB);
}

TEST_F(HostMemoryTest, ReadsTheRootOfAContainerWhosePathIsTheHosts) {
  Put("proc/meminfo", "MemTotal:        8388608 kB\n");
  Put("proc/self/cgroup", "0::/docker/0123456789\n");
  Put("cgroup/memory.max", "2147483648\n");
  EXPECT_EQ(Memory(), 2 * kGiB);
}

TEST_F(HostMemoryTest, ReadsTheFirstVersionOfCgroups) {
  Put("proc/meminfo", "MemTotal:        8388608 kB\n");
  Put("proc/self/cgroup", "4:cpu:/x\n3:memory:/job\n");
  Put("cgroup/memory/job/memory.limit_in_bytes", "1073741824\n");
  Put("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(Memory(), kGiB);
}

TEST(GpuMemoryTest, IsReadByIndexAndByUuid) {
  EXPECT_THAT(ParseGpuMemory("0, GPU-aa, 81559\n1, GPU-bb, 40960\n2, MIG-cc, [N/A]\nnonsense\n"),
              UnorderedElementsAre(Pair("0", 81559 * (int64_t{1} << 20)),
                                   Pair("GPU-aa", 81559 * (int64_t{1} << 20)), Pair("1", 40 * kGiB),
                                   Pair("GPU-bb", 40 * kGiB)));
  EXPECT_TRUE(ParseGpuMemory("NVIDIA-SMI has failed\n").empty());
}

}  // namespace
}  // namespace allometry::agent
