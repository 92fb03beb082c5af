#include "worker/agent/hosts.h"

#include <map>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

MATCHER_P3(IsHost, name, is_here, devices, "") {
  return arg.name == name && arg.is_here == is_here &&
         arg.devices == std::vector<std::string>(devices);
}

using Devices = std::vector<std::string>;

struct Slurm {
  std::map<std::string, std::string> variables;
  HostsSource Source() const {
    HostsSource source;
    source.variable = [this](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? "" : found->second;
    };
    source.expand = [](const std::string& list) -> absl::StatusOr<std::vector<std::string>> {
      if (list == "n[1-2]") return std::vector<std::string>{"n1", "n2"};
      return absl::NotFoundError(list);
    };
    source.this_machine = "n1.cluster";
    source.devices = {"cpu:0", "cpu:1", "cpu:2"};
    return source;
  }
};

TEST(HostsTest, ANumberOfSlotsOrThoseOfThisMachine) {
  EXPECT_THAT(ParseHosts("n2:1,n1,10.0.0.7:2", Slurm().Source()),
              IsOkAndHolds(ElementsAre(IsHost("n2", false, Devices{"cpu:0"}),
                                       IsHost("n1", true, Devices{"cpu:0", "cpu:1", "cpu:2"}),
                                       IsHost("10.0.0.7", false, Devices{"cpu:0", "cpu:1"}))));
}

TEST(HostsTest, GpusWhereThisMachineOffersGpus) {
  HostsSource source = Slurm().Source();
  source.devices = {"cuda:0"};
  EXPECT_THAT(ParseHosts("n2:2", source),
              IsOkAndHolds(ElementsAre(IsHost("n2", false, Devices{"cuda:0", "cuda:1"}))));
}

TEST(HostsTest, WhatIsNoHostIsNamed) {
  for (const char* text : {"", "n1:", "n1:0", "n1:x", "n1,", ":4", "-o:1", "n1:1,n1:2", "n 1:2",
                           "n1:5000", "n1;reboot:2"}) {
    EXPECT_THAT(ParseHosts(text, Slurm().Source()),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("allowed are slurm")))
        << text;
  }
}

class HostsFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<Host>> Parse(const std::string& text) {
    const std::string path = folder_.Path("hosts");
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    return ParseHosts(path, Slurm().Source());
  }
  testing::TemporaryFolder folder_;
};

TEST_F(HostsFileTest, AHostALineInEachForm) {
  EXPECT_THAT(Parse("# ours\nn1:1\n\nn2 slots=2  # Open MPI\nn3 cuda:1,cuda:0\nn4\n"),
              IsOkAndHolds(ElementsAre(IsHost("n1", true, Devices{"cpu:0"}),
                                       IsHost("n2", false, Devices{"cpu:0", "cpu:1"}),
                                       IsHost("n3", false, Devices{"cuda:1", "cuda:0"}),
                                       IsHost("n4", false, Devices{"cpu:0", "cpu:1", "cpu:2"}))));
}

TEST_F(HostsFileTest, ANameOnceASlotAsPbsWritesIt) {
  EXPECT_THAT(Parse("n1\nn1\nn2\n"),
              IsOkAndHolds(ElementsAre(IsHost("n1", true, Devices{"cpu:0", "cpu:1"}),
                                       IsHost("n2", false, Devices{"cpu:0"}))));
}

TEST_F(HostsFileTest, AMistakeIsNamedWithItsLine) {
  for (const char* text : {"n1\nn2 slots=0\n", "n1\nn2 4 5\n", "n1\nn2 four\n", "n1:2\nn1:2\n",
                           "n1:2\nn1\n", "n1\n-n2\n"}) {
    EXPECT_THAT(Parse(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hosts:2: ")))
        << text;
  }
  EXPECT_THAT(Parse("# none\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("names no host")));
  EXPECT_THAT(ParseHosts(folder_.Path("not-there"), Slurm().Source()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("not-there")));
}

TEST(HostsSlurmTest, TheNodesOfTheJobWithDevicesNamedByIt) {
  const Slurm slurm{{{"SLURM_JOB_ID", "17"},
                     {"SLURM_JOB_NODELIST", "n[1-2]"},
                     {"SLURM_JOB_CPUS_PER_NODE", "2,1"},
                     {"SLURM_MEM_PER_CPU", "1000"}}};
  const absl::StatusOr<std::vector<Host>> hosts = ParseHosts("slurm", slurm.Source());
  ASSERT_THAT(hosts,
              IsOkAndHolds(ElementsAre(IsHost("n1", true, Devices{"cpu:job17.0", "cpu:job17.1"}),
                                       IsHost("n2", false, Devices{"cpu:job17.0"}))));
  EXPECT_EQ(hosts->front().memory_bytes, int64_t{2000} << 20);
  EXPECT_EQ(StepMemory(slurm.Source()), "--mem-per-cpu=1000");
}

TEST(HostsSlurmTest, GpusOfTheJob) {
  Slurm slurm{{{"SLURM_JOB_ID", "17"},
               {"SLURM_JOB_NODELIST", "n[1-2]"},
               {"SLURM_JOB_CPUS_PER_NODE", "64(x2)"},
               {"SLURM_GPUS_PER_NODE", "a100:2"},
               {"SLURM_MEM_PER_NODE", "6400"}}};
  EXPECT_THAT(
      ParseHosts("slurm", slurm.Source()),
      IsOkAndHolds(ElementsAre(IsHost("n1", true, Devices{"cuda:job17.0", "cuda:job17.1"}),
                               IsHost("n2", false, Devices{"cuda:job17.0", "cuda:job17.1"}))));
  EXPECT_EQ(StepMemory(slurm.Source()), "--mem-per-cpu=100");
}

TEST(HostsSlurmTest, OutsideAJobAndWithNonsenseItIsRefused) {
  EXPECT_THAT(ParseHosts("slurm", Slurm().Source()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("in no Slurm job")));
  for (const char* cpus : {"", "2", "2(x3)", "2(x", "two,two", "0(x2)"}) {
    const Slurm slurm{{{"SLURM_JOB_ID", "17"},
                       {"SLURM_JOB_NODELIST", "n[1-2]"},
                       {"SLURM_JOB_CPUS_PER_NODE", cpus}}};
    EXPECT_THAT(ParseHosts("slurm", slurm.Source()),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("each of the 2 nodes")))
        << cpus;
  }
  EXPECT_EQ(StepMemory(Slurm().Source()), "--mem=0");
}

}  // namespace
}  // namespace allometry::agent
