// Several ranks, started by mpirun; every rank runs every test. Flags: --through-mpi makes ranks
// wait as those of several hosts do; --abort, --stop, --kill and --hang-inside end the job in that
// way.
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <ctime>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "worker/comm/collective.h"

namespace allometry::comm {
namespace {

Collective* world = nullptr;

// What rank r contributes: any rank can compute it.
std::vector<float> Contribution(int rank, size_t count) {
  std::mt19937 random(17 + rank);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

TEST(MpiTest, FloatSumEqualsTheNaiveSumAndRepeatsBitForBit) {
  for (size_t count : {size_t{1}, size_t{7}, size_t{1000}, size_t{300007}}) {
    std::vector<float> sum = Contribution(world->rank(), count);
    ASSERT_TRUE(world->AllReduceSum(std::span(sum), {}).ok());
    std::vector<double> naive(count, 0.0);
    for (int rank = 0; rank < world->world_size(); ++rank) {
      const std::vector<float> values = Contribution(rank, count);
      for (size_t i = 0; i < count; ++i) naive[i] += values[i];
    }
    for (size_t i = 0; i < count; ++i) ASSERT_NEAR(sum[i], naive[i], 1e-5) << i;

    std::vector<float> again = Contribution(world->rank(), count);
    ASSERT_TRUE(world->AllReduceSum(std::span(again), {}).ok());
    ASSERT_EQ(std::memcmp(sum.data(), again.data(), count * sizeof(float)), 0) << count;
  }
}

TEST(MpiTest, EveryRankHasTheSameBits) {
  std::vector<float> sum = Contribution(world->rank(), 100003);
  ASSERT_TRUE(world->AllReduceSum(std::span(sum), {}).ok());
  for (int root = 0; root < world->world_size(); ++root) {
    std::vector<float> theirs = sum;
    ASSERT_TRUE(world->Broadcast(std::as_writable_bytes(std::span(theirs)), root).ok());
    EXPECT_EQ(std::memcmp(sum.data(), theirs.data(), sum.size() * sizeof(float)), 0) << root;
  }
}

TEST(MpiTest, DoublesAreSummedAsDoubles) {
  std::vector<double> values = {1.0, std::ldexp(1.0, -40) * world->rank()};
  ASSERT_TRUE(world->AllReduceSum(std::span(values)).ok());
  const int n = world->world_size();
  EXPECT_EQ(values[0], n);
  EXPECT_EQ(values[1], std::ldexp(1.0, -40) * n * (n - 1) / 2);
}

// What a sum must be, bit for bit: MPI's own. More than a mailbox of it, and doubles beside floats.
TEST(MpiTest, SumsHaveTheBitsOfMpiAllreduce) {
  for (size_t count : {size_t{0}, size_t{3}, size_t{9001}, size_t{1 << 20}, size_t{2'500'001}}) {
    for (size_t scalars : {size_t{0}, size_t{2}, size_t{5000}}) {
      std::vector<float> sum = Contribution(world->rank(), count), mpi = sum;
      std::vector<double> doubles(scalars);
      for (size_t i = 0; i < scalars; ++i)
        doubles[i] = std::sin(static_cast<double>(i) + world->rank());
      std::vector<double> mpi_doubles = doubles;
      ASSERT_TRUE(world->AllReduceSum(std::span(sum), std::span(doubles)).ok());
      MPI_Allreduce(MPI_IN_PLACE, mpi.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM,
                    MPI_COMM_WORLD);
      MPI_Allreduce(MPI_IN_PLACE, mpi_doubles.data(), static_cast<int>(scalars), MPI_DOUBLE,
                    MPI_SUM, MPI_COMM_WORLD);
      EXPECT_EQ(std::memcmp(sum.data(), mpi.data(), count * sizeof(float)), 0) << count;
      EXPECT_EQ(doubles, mpi_doubles) << count;
    }
  }
}

TEST(MpiTest, BroadcastOfManyBytesIsWhole) {
  const int root = world->world_size() - 1;
  std::vector<int> values(3'000'000, -1);  // 12 MB
  if (world->rank() == root) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i);
  }
  ASSERT_TRUE(world->Broadcast(std::as_writable_bytes(std::span(values)), root).ok());
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], static_cast<int>(i));
}

TEST(MpiTest, BroadcastGivesEveryRootsBytesToAll) {
  for (int root = 0; root < world->world_size(); ++root) {
    std::vector<int> values(1000, world->rank());
    ASSERT_TRUE(world->Broadcast(std::as_writable_bytes(std::span(values)), root).ok());
    EXPECT_EQ(values, std::vector<int>(1000, root));
  }
}

TEST(MpiTest, BarrierReturnsOnEveryRank) { ASSERT_TRUE(world->Barrier().ok()); }

double CpuSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

TEST(MpiTest, RankThatWaitsLeavesTheProcessorToOthers) {
  constexpr int kSeconds = 2;
  float value = 1;
  double used = 0;
  for (int late = 0; late < world->world_size(); ++late) {
    if (late == world->rank()) {
      sleep(kSeconds);
      ASSERT_TRUE(world->AllReduceSum(std::span(&value, 1), {}).ok());
      continue;
    }
    const double before = CpuSeconds();
    ASSERT_TRUE(world->AllReduceSum(std::span(&value, 1), {}).ok());
    used = std::max(used, CpuSeconds() - before);
  }
  // Polling would take all of it. What is left are the polls of MPI across hosts, one a
  // millisecond.
  EXPECT_LT(used, kSeconds * 0.1);
}

// Every meeting counts each rank once: a rank that ran ahead would read a sum that is not done.
TEST(MpiTest, ManyShortSumsInARowAreEachWhole) {
  const int n = world->world_size();
  for (int i = 0; i < 500; ++i) {
    std::vector<float> values = {static_cast<float>(i), static_cast<float>(world->rank())};
    ASSERT_TRUE(world->AllReduceSum(std::span(values), {}).ok());
    ASSERT_EQ(values[0], static_cast<float>(i) * n);
    ASSERT_EQ(values[1], n * (n - 1) / 2);
    if (i % 16 == 0) {
      ASSERT_TRUE(world->Barrier().ok());
    }
  }
}

constexpr int kExpected = 75;

// Rank 0's second thread ends the job while both main threads wait for each other.
int AbortFromAnotherThread() {
  if (world->rank() == 0) {
    std::thread([] { world->Abort(kExpected); }).detach();
    sleep(30);
  } else {
    (void)world->Barrier();
  }
  return 1;
}

// The last rank gets `signal` in the middle of the work; the others must notice it.
int LoseTheLastRank(int signal) {
  const int last = world->world_size() - 1;
  std::vector<float> values(1000);
  for (int i = 0;; ++i) {
    if (i == 100 && world->rank() == last) raise(signal);
    const absl::Status summed = world->AllReduceSum(std::span(values), {});
    if (summed.ok()) continue;
    const std::string message(summed.message());
    std::cerr << message << std::endl;
    const bool told = absl::IsAborted(summed) &&
                      (message.find("from rank " + std::to_string(last)) != std::string::npos ||
                       message.find("from other ranks") != std::string::npos);
    world->Abort(told ? kExpected : 1);
  }
}

// The last rank comes to the meeting and never to what MPI does after it.
int HangInside() {
  if (world->rank() == world->world_size() - 1) {
    (void)world->Barrier();
    pause();
  }
  float value = 1;
  (void)world->AllReduceSum(std::span(&value, 1), {});
  return 1;
}

int RunMode(const std::string& mode) {
  if (mode == "--abort") return AbortFromAnotherThread();
  if (mode == "--stop") return LoseTheLastRank(SIGSTOP);
  if (mode == "--kill") return LoseTheLastRank(SIGKILL);
  if (mode == "--hang-inside") return HangInside();
  std::cerr << mode << " is not a mode" << std::endl;
  return 1;
}

}  // namespace
}  // namespace allometry::comm

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::vector<std::string> flags(argv + 1, argv + argc);
  allometry::comm::Options options;
  if (const auto flag = std::find(flags.begin(), flags.end(), "--through-mpi");
      flag != flags.end()) {
    options.share_memory = false;
    flags.erase(flag);
  }
  if (!flags.empty()) {
    options.timeout_s = 3;
    options.on_hang = [](const absl::Status& why) {
      std::cerr << why.message() << std::endl;
      allometry::comm::world->Abort(allometry::comm::kExpected);
    };
  }
  auto created = allometry::comm::Create("mpi", options);
  if (!created.ok()) {
    std::cerr << created.status() << std::endl;
    return 1;
  }
  allometry::comm::world = created->get();
  if (!flags.empty()) return allometry::comm::RunMode(flags[0]);
  if (created->get()->world_size() < 2) {
    std::cerr << "start this with mpirun -np 2 or more" << std::endl;
    return 1;
  }
  return RUN_ALL_TESTS();
}
