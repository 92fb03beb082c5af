// Several ranks, started by mpirun; every rank runs every test.
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <random>
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
    ASSERT_TRUE(world->AllReduceSum(std::span(sum)).ok());
    std::vector<double> naive(count, 0.0);
    for (int rank = 0; rank < world->world_size(); ++rank) {
      const std::vector<float> values = Contribution(rank, count);
      for (size_t i = 0; i < count; ++i) naive[i] += values[i];
    }
    for (size_t i = 0; i < count; ++i) ASSERT_NEAR(sum[i], naive[i], 1e-5) << i;

    std::vector<float> again = Contribution(world->rank(), count);
    ASSERT_TRUE(world->AllReduceSum(std::span(again)).ok());
    ASSERT_EQ(std::memcmp(sum.data(), again.data(), count * sizeof(float)), 0) << count;
  }
}

TEST(MpiTest, EveryRankHasTheSameBits) {
  std::vector<float> sum = Contribution(world->rank(), 100003);
  ASSERT_TRUE(world->AllReduceSum(std::span(sum)).ok());
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

TEST(MpiTest, BroadcastGivesEveryRootsBytesToAll) {
  for (int root = 0; root < world->world_size(); ++root) {
    std::vector<int> values(1000, world->rank());
    ASSERT_TRUE(world->Broadcast(std::as_writable_bytes(std::span(values)), root).ok());
    EXPECT_EQ(values, std::vector<int>(1000, root));
  }
}

TEST(MpiTest, BarrierReturnsOnEveryRank) { ASSERT_TRUE(world->Barrier().ok()); }

// Rank 0's second thread ends the job while both main threads wait for each other.
int AbortFromAnotherThread() {
  if (world->rank() == 0) {
    std::thread([] { world->Abort(75); }).detach();
    sleep(30);
  } else {
    (void)world->Barrier();
  }
  return 1;
}

}  // namespace
}  // namespace allometry::comm

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto created = allometry::comm::Create("mpi", {});
  if (!created.ok()) {
    std::cerr << created.status() << std::endl;
    return 1;
  }
  allometry::comm::world = created->get();
  if (argc > 1 && std::string(argv[1]) == "--abort") {
    return allometry::comm::AbortFromAnotherThread();
  }
  if (created->get()->world_size() < 2) {
    std::cerr << "start this with mpirun -np 2 or more" << std::endl;
    return 1;
  }
  return RUN_ALL_TESTS();
}
