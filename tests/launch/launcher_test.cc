#include "worker/launch/launcher.h"

#include <set>
#include <string>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::launch {
namespace {

using ::allometry::testing::StatusIs;
using ::testing::Contains;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

Job JobOn(const std::vector<HostRanks>& hosts) {
  Job job;
  job.program = {"/bin/allo-trainer", "/root/run-7", "--leased"};
  job.hosts = hosts;
  job.environment = {{"OMP_NUM_THREADS", "1"}};
  return job;
}

const Launcher& Row(absl::string_view name) { return **FindLauncher(name, false); }

constexpr const char* kForeign[] = {"OMPI_COMM_WORLD_RANK",
                                    "OMPI_MCA_ess",
                                    "PMIX_RANK",
                                    "PMI_RANK",
                                    "PMI_SIZE",
                                    "HYDI_CONTROL_FD",
                                    "I_MPI_HYDRA_UUID",
                                    "MV2_COMM_WORLD_RANK",
                                    "SGE_ROOT",
                                    "JOB_ID",
                                    "PE_HOSTFILE",
                                    "NSLOTS",
                                    "ARC",
                                    "PBS_ENVIRONMENT",
                                    "PBS_JOBID",
                                    "PBS_NODEFILE",
                                    "LSB_JOBID",
                                    "LSB_HOSTS",
                                    "COBALT_JOBID",
                                    "FLUX_JOB_ID",
                                    "BATCH_PARTITION_ID",
                                    "BASIL_RESERVATION_ID"};
constexpr const char* kOwn[] = {"PATH",      "HOME",    "LD_LIBRARY_PATH",
                                "CUDA_HOME", "TMPDIR",  "NCCL_SOCKET_IFNAME",
                                "UCX_TLS",   "PE_FILE", "JOB"};

// Every row must keep these, so a new one is tested by being there.
TEST(LauncherTest, EveryRowStartsTheProgramLastAndNamesItselfOnce) {
  std::set<absl::string_view> names;
  for (const Launcher& launcher : Launchers()) {
    SCOPED_TRACE(launcher.name);
    EXPECT_TRUE(names.insert(launcher.name).second);
    EXPECT_FALSE(launcher.what.empty());
    const Job job = JobOn({{"", true, {"0"}}});
    ASSERT_OK_AND_ASSIGN(const Command command, MakeCommand(launcher, job));
    ASSERT_GE(command.arguments.size(), job.program.size());
    EXPECT_THAT(std::vector<std::string>(command.arguments.end() - 3, command.arguments.end()),
                ElementsAreArray(job.program));
    EXPECT_THAT(command.environment, Contains(Pair("OMP_NUM_THREADS", "1")));
  }
}

TEST(LauncherTest, NoRowLetsVariablesOfAnotherRankThrough) {
  for (const Launcher& launcher : Launchers()) {
    for (const size_t ranks : {1u, 2u}) {
      const absl::StatusOr<Command> command =
          MakeCommand(launcher, JobOn({{"", true, std::vector<std::string>(ranks, "0")}}));
      if (!command.ok()) continue;  // "none" starts no two
      SCOPED_TRACE(launcher.name);
      for (const char* name : kForeign) EXPECT_FALSE(IsInherited(*command, name)) << name;
      for (const char* name : kOwn) EXPECT_TRUE(IsInherited(*command, name)) << name;
      for (const char* name : {"SLURM_NTASKS", "SLURM_PROCID", "SLURM_STEP_ID", "SLURM_NNODES"}) {
        EXPECT_FALSE(IsInherited(*command, name)) << name;
      }
    }
  }
}

TEST(LauncherTest, OneProcessAHostIsStartedForAllOfItsDevices) {
  Job job = JobOn({{"n1", true, {"0", "1"}}, {"n3", false, {"0", "1"}}});
  job.one_per_host = true;
  EXPECT_EQ(RankCount(job), 2u);
  ASSERT_OK_AND_ASSIGN(const Command mpirun, MakeCommand(Row("mpirun"), job));
  EXPECT_THAT(absl::StrJoin(mpirun.arguments, " "),
              AllOf(HasSubstr("-np 1 --host n1:1 "), HasSubstr("-np 1 --host n3:1 ")));
  job.settings.cpus_per_rank = 3;
  ASSERT_OK_AND_ASSIGN(const Command srun, MakeCommand(Row("srun"), job));
  EXPECT_THAT(
      absl::StrJoin(srun.arguments, " "),
      AllOf(HasSubstr("--ntasks=2 --nodes=2 --nodelist=n1,n3 "), HasSubstr("--cpus-per-task=6 ")));
  job.hosts.pop_back();
  ASSERT_OK_AND_ASSIGN(const Command none, MakeCommand(Row("mpirun"), job));
  EXPECT_EQ(none.arguments, job.program) << "one process on this machine needs no mpirun";
}

// Other users of a host see command lines, and a sweep file's command has no business with what
// this process was started with.
TEST(LauncherTest, NothingOfThisProcesssEnvironmentIsSentWithACommandOfASweepFile) {
  setenv("ALLO_TOKEN_FILE", "/secret", 1);
  setenv("CUDA_HOME", "/cuda", 1);
  setenv("LD_LIBRARY_PATH", "/libtorch/lib", 1);
  Job job = JobOn({{"n1", true, {"0"}}, {"n3", false, {"0"}}});
  for (const bool is_foreign : {false, true}) {
    job.is_foreign = is_foreign;
    ASSERT_OK_AND_ASSIGN(const Command command, MakeCommand(Row("mpirun"), job));
    const std::string line = absl::StrJoin(command.arguments, " ");
    EXPECT_THAT(line, HasSubstr("-x OMP_NUM_THREADS=1"));
    for (const char* sent : {"ALLO_TOKEN_FILE", "CUDA_HOME", "LD_LIBRARY_PATH"}) {
      EXPECT_EQ(line.find(sent) == std::string::npos, is_foreign) << sent;
    }
  }
  for (const char* name : {"ALLO_TOKEN_FILE", "CUDA_HOME", "LD_LIBRARY_PATH"}) unsetenv(name);
}

TEST(LauncherTest, SrunKeepsWhatNamesTheAllocation) {
  ASSERT_OK_AND_ASSIGN(const Command command, MakeCommand(Row("srun"), JobOn({{"", true, {"0"}}})));
  for (const char* name : {"SLURM_CONF", "SLURM_JOB_ID", "SLURM_JOB_NODELIST"}) {
    EXPECT_TRUE(IsInherited(command, name)) << name;
  }
}

TEST(LauncherTest, SrunMakesAStepOnTheHostsWithCpusOfItsOwn) {
  ASSERT_OK_AND_ASSIGN(
      const Command command,
      MakeCommand(Row("srun"), JobOn({{"n1", true, {"0", "1"}}, {"n3", false, {"0"}}})));
  EXPECT_THAT(absl::StrJoin(command.arguments, " "),
              AllOf(HasSubstr("srun --exact --ntasks=3 --nodes=2 --nodelist=n1,n1,n3 "
                              "--distribution=arbitrary --cpus-per-task=1 "),
                    HasSubstr(" --input=0 "), HasSubstr(" --kill-on-bad-exit=1 ")));
}

TEST(LauncherTest, SrunLeavesTheNumbersOfGpusToSlurm) {
  Job job = JobOn({{"n1", true, {"2", "3"}}});
  job.device_kind = run::DeviceKind::kCuda;
  ASSERT_OK_AND_ASSIGN(const Command command, MakeCommand(Row("srun"), job));
  EXPECT_THAT(command.arguments, Contains("--gpus-per-node=2"));
  EXPECT_THAT(command.arguments, Contains("--gpu-bind=none"));
  EXPECT_THAT(command.environment, Not(Contains(Pair("CUDA_VISIBLE_DEVICES", ::testing::_))));
}

// Of NCCL's variables only the interface is set, on one host, and the user's counts.
TEST(LauncherTest, TheUsersNcclVariablesReachTheRanks) {
  Job here = JobOn({{"", true, {"0"}}});
  here.device_kind = run::DeviceKind::kCuda;
  for (const char* row : {"none", "mpirun"}) {
    unsetenv("NCCL_SOCKET_IFNAME");
    ASSERT_OK_AND_ASSIGN(const Command alone, MakeCommand(Row(row), here));
    EXPECT_THAT(alone.environment, Contains(Pair("NCCL_SOCKET_IFNAME", "lo"))) << row;
    setenv("NCCL_SOCKET_IFNAME", "eth1", 1);
    ASSERT_OK_AND_ASSIGN(const Command told, MakeCommand(Row(row), here));
    EXPECT_THAT(told.environment, Not(Contains(Pair("NCCL_SOCKET_IFNAME", ::testing::_)))) << row;
  }
  setenv("NCCL_IB_HCA", "mlx5_0", 1);
  setenv("NCCL_DEBUG", "WARN", 1);
  Job hosts = JobOn({{"h1", true, {"0"}}, {"h2", false, {"0"}}});
  hosts.device_kind = run::DeviceKind::kCuda;
  ASSERT_OK_AND_ASSIGN(const Command over, MakeCommand(Row("mpirun"), hosts));
  const std::string line = absl::StrJoin(over.arguments, " ");
  for (const char* sent :
       {"-x NCCL_SOCKET_IFNAME=eth1", "-x NCCL_IB_HCA=mlx5_0", "-x NCCL_DEBUG=WARN"}) {
    EXPECT_THAT(line, HasSubstr(sent));
  }
  for (const char* name : {"NCCL_SOCKET_IFNAME", "NCCL_IB_HCA", "NCCL_DEBUG"}) unsetenv(name);
}

TEST(LauncherTest, MpirunReachesHostsByTheNamesThatWereGiven) {
  ASSERT_OK_AND_ASSIGN(
      const Command command,
      MakeCommand(Row("mpirun"), JobOn({{"h1.a.b", true, {"0"}}, {"h2.a.b", false, {"0", "1"}}})));
  EXPECT_THAT(absl::StrJoin(command.arguments, " "),
              AllOf(HasSubstr("--mca orte_keep_fqdn_hostnames 1"),
                    HasSubstr("-np 1 --host h1.a.b:1 "), HasSubstr("-np 2 --host h2.a.b:2 ")));
}

TEST(LauncherTest, OneRankHereNeedsNoMpirun) {
  const Job job = JobOn({{"", true, {"1"}}});
  ASSERT_OK_AND_ASSIGN(const Command command, MakeCommand(Row("mpirun"), job));
  EXPECT_EQ(command.arguments, job.program);
}

TEST(LauncherTest, WhatALauncherCannotStartIsRefusedWithTheNumbers) {
  EXPECT_THAT(MakeCommand(Row("none"), JobOn({{"", true, {"0", "1"}}})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 ranks on 1 hosts")));
}

TEST(LauncherTest, AutoIsSrunOnlyInsideSlurm) {
  EXPECT_EQ((*FindLauncher("auto", true))->name, "srun");
  EXPECT_EQ((*FindLauncher("auto", false))->name, "mpirun");
  EXPECT_EQ((*FindLauncher("mpirun", true))->name, "mpirun");
  EXPECT_THAT(FindLauncher("ssh", false),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("allowed are auto, none, mpirun, srun")));
}

TEST(LauncherTest, TheEnvironmentIsThisProcesssWithWhatTheCommandSets) {
  setenv("PMI_RANK", "3", 1);
  setenv("OMP_NUM_THREADS", "7", 1);
  ASSERT_OK_AND_ASSIGN(const Command command, MakeCommand(Row("none"), JobOn({{"", true, {"0"}}})));
  const std::vector<std::string> environment = EnvironmentOf(command);
  EXPECT_THAT(environment, Contains("OMP_NUM_THREADS=1"));
  EXPECT_THAT(environment, Not(Contains("OMP_NUM_THREADS=7")));
  EXPECT_THAT(environment, Not(Contains("PMI_RANK=3")));
  unsetenv("PMI_RANK");
  unsetenv("OMP_NUM_THREADS");
}

}  // namespace
}  // namespace allometry::launch
