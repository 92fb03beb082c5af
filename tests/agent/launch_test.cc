#include "worker/agent/launch.h"

#include <sys/stat.h>

#include <cstdlib>

#include "absl/strings/str_join.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "worker/agent/command_launch.h"
#include "worker/agent/slots.h"
#include "worker/launch/start_plan.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

LaunchRequest RequestOn(const std::vector<std::string>& devices,
                        absl::string_view launcher = "mpirun") {
  LaunchRequest request;
  request.launcher = *launch::FindLauncher(launcher, /*in_slurm=*/false);
  request.trainer = "/bin/allo-trainer";
  request.run_dir = "/root/run-7";
  request.data_dir = "/data";
  if (!devices.empty()) request.hosts = {{"", true, devices}};
  request.attempt_name = "0123/run-7/attempt-2";
  request.agent_id = "agent";
  return request;
}

std::string CommandLine(const LaunchRequest& request) {
  const absl::StatusOr<launch::Command> command = MakeLaunchCommand(request);
  return command.ok() ? absl::StrJoin(command->arguments, " ") : command.status().ToString();
}

TEST(LaunchTest, OneRankIsTheTrainerItself) {
  EXPECT_EQ(CommandLine(RequestOn({"cpu:1"})),
            "/bin/allo-trainer /root/run-7 --data-dir /data --leased --collective self");
}

TEST(LaunchTest, SeveralCpuRanksGoThroughMpirun) {
  LaunchRequest request = RequestOn({"cpu:0", "cpu:1"});
  EXPECT_EQ(
      CommandLine(request),
      "mpirun -np 2 --oversubscribe --bind-to none --mca btl_vader_single_copy_mechanism none "
      "--mca btl self,vader --mca oob_tcp_if_include lo "
      "/bin/allo-trainer /root/run-7 --data-dir /data --leased --collective mpi");
  request.settings.is_root = true;
  EXPECT_THAT(CommandLine(request), StartsWith("mpirun -np 2 --allow-run-as-root "));
}

TEST(LaunchTest, GpuRanksSeeTheirGpusAndUseNccl) {
  ASSERT_OK_AND_ASSIGN(const launch::Command command,
                       MakeLaunchCommand(RequestOn({"cuda:2", "cuda:0"})));
  EXPECT_EQ(command.arguments.back(), "nccl");
  EXPECT_THAT(command.environment, Contains(Pair("CUDA_VISIBLE_DEVICES", "2,0")));
  EXPECT_THAT(command.environment, Contains(Pair("NCCL_SOCKET_IFNAME", "lo")));
}

TEST(LaunchTest, UnderSlurmSrunStartsTheRanksAlsoOne) {
  EXPECT_THAT(CommandLine(RequestOn({"cpu:0", "cpu:1"}, "srun")),
              AllOf(StartsWith("srun --exact --ntasks=2 "), HasSubstr(" --input=0 "),
                    HasSubstr("/bin/allo-trainer /root/run-7"), Not(HasSubstr("mpirun"))));
  EXPECT_THAT(CommandLine(RequestOn({"cpu:0"}, "srun")),
              AllOf(StartsWith("srun --exact --ntasks=1 "), HasSubstr("--collective self")));
}

// A plan of a command on GPUs, for each launcher.
TEST(LaunchTest, ACommandSeesTheGpusOfItsHostByTheirNumbersUnlessTheLauncherSaysThem) {
  const allometry::testing::TemporaryFolder folder;
  run::RunSpec spec;
  spec.ranks = 3;
  spec.device = run::DeviceKind::kCuda;
  spec.identity.trainer.command = {R"(["true", "{hosts}", "{host_rank}", "{host_devices}"])"};
  spec.identity.trainer.working_dir = folder.path();
  for (const char* launcher : {"mpirun", "srun"}) {
    SCOPED_TRACE(launcher);
    LaunchRequest request = RequestOn({}, launcher);
    request.hosts = {{"n1", true, {"cuda:2", "cuda:0"}}, {"n2", false, {"cuda:GPU-ab"}}};
    request.supervisor = "/bin/allo-supervisor";
    request.run_dir = folder.path();
    ASSERT_OK(MakeDirectories(run::AttemptDir(folder.path(), 1)));
    ASSERT_OK_AND_ASSIGN(const launch::Command command,
                         MakeTrainerCommand(spec, request, {true, {}}));
    EXPECT_TRUE(command.is_supervised);
    ASSERT_OK_AND_ASSIGN(const launch::StartPlan plan,
                         launch::ReadStartPlan(run::AttemptDir(folder.path(), 1)));
    ASSERT_EQ(plan.processes.size(), 2u);
    EXPECT_THAT(plan.processes[1].arguments, ElementsAre("true", "2", "1", "1"));
    if (launcher == std::string("mpirun")) {
      EXPECT_EQ(plan.processes[0].environment.at("CUDA_VISIBLE_DEVICES"), "2,0");
      EXPECT_EQ(plan.processes[1].environment.at("CUDA_VISIBLE_DEVICES"), "GPU-ab");
      EXPECT_THAT(plan.inherited, Not(Contains("CUDA_VISIBLE_DEVICES")));
    } else {
      EXPECT_EQ(plan.processes[0].environment.count("CUDA_VISIBLE_DEVICES"), 0u);
      EXPECT_THAT(plan.inherited, Contains("CUDA_VISIBLE_DEVICES"));
      EXPECT_THAT(command.arguments, Contains("--gpus-per-node=2"));
    }
  }
}

TEST(LaunchTest, AWrapperStartsTheCommandAndOptionsAreTheLaunchers) {
  const allometry::testing::TemporaryFolder folder;
  run::RunSpec spec;
  spec.identity.trainer.command = {R"(["no-such-program"])"};
  spec.identity.trainer.working_dir = folder.path();
  LaunchRequest request = RequestOn({"cpu:0"}, "srun");
  request.supervisor = "/bin/allo-supervisor";
  request.run_dir = folder.path();
  request.settings.arguments = {"--container-image=IMAGE", "env", "-u", "X"};
  ASSERT_OK(MakeDirectories(run::AttemptDir(folder.path(), 1)));
  ASSERT_OK_AND_ASSIGN(const launch::Command command,
                       MakeTrainerCommand(spec, request, {true, {}}));
  EXPECT_THAT(absl::StrJoin(command.arguments, " "),
              HasSubstr(absl::StrCat("--container-image=IMAGE /bin/allo-supervisor ",
                                     run::AttemptDir(folder.path(), 1))));
  ASSERT_OK_AND_ASSIGN(const launch::StartPlan plan,
                       launch::ReadStartPlan(run::AttemptDir(folder.path(), 1)));
  EXPECT_THAT(plan.wrapper, ElementsAre("env", "-u", "X"));
  EXPECT_THAT(plan.processes[0].arguments, ElementsAre("no-such-program"));
}

TEST(LaunchTest, AnOptionsValueIsNotTakenAsAWrapper) {
  const allometry::testing::TemporaryFolder folder;
  run::RunSpec spec;
  spec.identity.trainer.command = {R"(["true"])"};
  spec.identity.trainer.working_dir = folder.path();
  LaunchRequest request = RequestOn({"cpu:0"}, "srun");
  request.supervisor = "/bin/allo-supervisor";
  request.run_dir = folder.path();
  request.settings.arguments = {"--partition", "no-such-program"};
  ASSERT_OK(MakeDirectories(run::AttemptDir(folder.path(), 1)));
  EXPECT_THAT(MakeTrainerCommand(spec, request, {true, {}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("'no-such-program' after '--partition'"),
                             HasSubstr("one word, such as --partition=debug"))));
}

TEST(LaunchTest, TheEnvironmentMarksTheAttemptAndKeepsToOneThread) {
  ASSERT_OK_AND_ASSIGN(const launch::Command command, MakeLaunchCommand(RequestOn({"cpu:0"})));
  EXPECT_THAT(command.environment,
              ElementsAre(Pair("ALLOMETRY_ATTEMPT", "0123/run-7/attempt-2"),
                          Pair("ALLOMETRY_AGENT", "agent"), Pair("OMP_NUM_THREADS", "1"),
                          Pair("MKL_NUM_THREADS", "1")));
}

TEST(LaunchTest, TheSelfTestIsTheTrainerWithItsDeviceAndAFolder) {
  const launch::Command command =
      MakeSelfTestCommand("/bin/allo-trainer", run::DeviceKind::kCpu, "/root", "agent");
  EXPECT_EQ(absl::StrJoin(command.arguments, " "),
            "/bin/allo-trainer --self-test /root --device cpu");
  EXPECT_FALSE(launch::IsInherited(command, "PMI_RANK"));
}

TEST(LaunchTest, SlotsOfTwoKindsAreRefused) {
  EXPECT_THAT(MakeLaunchCommand(RequestOn({"cpu:0", "cuda:0"})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cpu:0, cuda:0")));
  EXPECT_THAT(MakeLaunchCommand(RequestOn({})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
}

TEST(SlotsTest, CpuIsACountAndCudaAnIndex) {
  EXPECT_THAT(ParseSlots("cpu:2"), IsOkAndHolds(ElementsAre("cpu:0", "cpu:1")));
  EXPECT_THAT(ParseSlots("cuda:0,cuda:3"), IsOkAndHolds(ElementsAre("cuda:0", "cuda:3")));
  EXPECT_THAT(ParseSlots("cuda:1,cpu:1"), IsOkAndHolds(ElementsAre("cuda:1", "cpu:0")));
}

TEST(SlotsTest, WhatIsNoSlotIsNamed) {
  for (const char* text : {"", "cpu", "cpu:0", "cpu:x", "gpu:1", "cuda:", "cuda:1,", "cuda:1/2"}) {
    EXPECT_THAT(ParseSlots(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("allowed are auto")))
        << text;
  }
  EXPECT_THAT(ParseSlots("cuda:1,cuda:1"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice")));
}

// A program in place of nvidia-smi.
class NvidiaSmi {
 public:
  explicit NvidiaSmi(const std::string& script) : before_(std::getenv("PATH")) {
    const std::string path = folder_.Path("nvidia-smi");
    EXPECT_OK(WriteFileAtomically(path, "#!/bin/sh\n" + script));
    EXPECT_EQ(chmod(path.c_str(), 0755), 0);
    setenv("PATH", absl::StrCat(folder_.path(), ":", before_).c_str(), 1);
  }
  ~NvidiaSmi() { setenv("PATH", before_.c_str(), 1); }

 private:
  const allometry::testing::TemporaryFolder folder_;
  const std::string before_;
};

TEST(SlotsTest, GpusAreNamedByTheirUuids) {
  const NvidiaSmi driver(
      "echo 'GPU 0: NVIDIA H200 (UUID: GPU-aa-0)'; echo 'GPU 1: NVIDIA H200 (UUID: GPU-bb-1)'");
  // Two workers of a host may mean two GPUs by "0", or one by "0" and "1".
  EXPECT_THAT(NamedByUuid({"cuda:1", "cpu:0", "cuda:GPU-cc"}),
              ElementsAre("cuda:GPU-bb-1", "cpu:0", "cuda:GPU-cc"));
}

TEST(SlotsTest, AnIndexStaysWhereTheDriverMayCountInAnotherOrderThanCuda) {
  const NvidiaSmi driver(
      "echo 'GPU 0: NVIDIA T4 (UUID: GPU-aa)'; echo 'GPU 1: NVIDIA H200 (UUID: GPU-bb)'");
  EXPECT_THAT(NamedByUuid({"cuda:1"}), ElementsAre("cuda:1"));
  setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 1);
  EXPECT_THAT(NamedByUuid({"cuda:1"}), ElementsAre("cuda:GPU-bb"));
  unsetenv("CUDA_DEVICE_ORDER");
}

TEST(SlotsTest, AnIndexStaysWhereTheDriverGivesNoUuidOrTheGpuIsDivided) {
  const NvidiaSmi fails("echo 'GPU 0: NVIDIA H200 (UUID: GPU-aa)'; exit 9");
  EXPECT_THAT(NamedByUuid({"cuda:0"}), ElementsAre("cuda:0"));
  EXPECT_THAT(NamedByUuid({"cuda:0"}, "GPU 0: NVIDIA H200\nnonsense\n"), ElementsAre("cuda:0"));
  EXPECT_THAT(NamedByUuid({"cuda:0"},
                          "GPU 0: NVIDIA H200 (UUID: GPU-aa)\n"
                          "  MIG 1g.18gb     Device  0: (UUID: MIG-bb)\n"),
              ElementsAre("cuda:0"));
}

TEST(SlotsTest, AutoHonoursTheGpusThatAreVisible) {
  setenv("CUDA_VISIBLE_DEVICES", "1,GPU-ab12", 1);
  EXPECT_THAT(DetectDevices(), ElementsAre("cuda:1", "cuda:GPU-ab12"));
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_THAT(DetectDevices(), Contains("cpu:0"));
  unsetenv("CUDA_VISIBLE_DEVICES");
}

}  // namespace
}  // namespace allometry::agent
