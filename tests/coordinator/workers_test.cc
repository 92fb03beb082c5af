// What a coordinator says about its workers: what a plan and `allo workers` are made of.
#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class WorkersTest : public CoordinatorTest {
 protected:
  v1::ListWorkersResponse Workers() {
    auto response = Call(&v1::ClientService::Stub::ListWorkers, v1::ListWorkersRequest());
    EXPECT_THAT(response, IsOk());
    return response.ok() ? *response : v1::ListWorkersResponse();
  }
};

TEST_F(WorkersTest, WorkersAreListedByHostWithSlotsAndData) {
  EXPECT_THAT(Workers().workers(), IsEmpty());
  auto second = NewAgent("host-b", {"cpu:0", "cpu:1"});
  auto first = NewAgent("host-a");
  ASSERT_OK(second->Register());
  ASSERT_OK(first->Register());
  ASSERT_OK(second->Heartbeat());
  const v1::ListWorkersResponse workers = Workers();
  ASSERT_THAT(workers.workers(), SizeIs(2));
  EXPECT_EQ(workers.workers(0).host(), "host-a");
  EXPECT_THAT(workers.workers(0).free_slots(), IsEmpty()) << "not heard yet";
  EXPECT_EQ(workers.workers(1).host(), "host-b");
  EXPECT_EQ(workers.workers(1).version(), "test");
  EXPECT_THAT(workers.workers(1).slots(), SizeIs(2));
  EXPECT_THAT(workers.workers(1).free_slots(), SizeIs(2));
  ASSERT_THAT(workers.workers(1).datasets(), SizeIs(1));
  EXPECT_EQ(workers.workers(1).datasets(0).hash(), TinyDataset().hash());
}

TEST_F(WorkersTest, SlotOfARunIsNotFreeAndItsPaceIsListed) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a", {"cpu:0", "cpu:1"});
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_TRUE(hold.has_lease());
  v1::ListWorkersResponse workers = Workers();
  ASSERT_THAT(workers.workers(), SizeIs(1));
  ASSERT_THAT(workers.workers(0).free_slots(), SizeIs(1));
  EXPECT_NE(workers.workers(0).free_slots(0).device(), hold.slots(0).device());
  EXPECT_THAT(workers.pace(), IsEmpty());

  ASSERT_OK(agent->Send(hold.lease(), {PointAt(1, 10, "tokens_per_second", 1000)}));
  const v1::Run run = GetRun(hold.lease().run_id());
  ASSERT_TRUE(Eventually([&] { return Workers().pace_size() == 1; }));
  workers = Workers();
  EXPECT_EQ(workers.pace(0).params(), run.n_params());
  EXPECT_DOUBLE_EQ(workers.pace(0).flops_per_s(), 1000 * run.flops_per_token_6n());
}

}  // namespace
}  // namespace allometry::testing
