// Who submitted a sweep, what people say of it, and its deletion, over gRPC.
#include <string>

#include "tests/coordinator/coordinator_fixture.h"
#include "transport/user.h"

namespace allometry::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Stub = v1::ClientService::Stub;

class SweepLabelsTest : public CoordinatorTest {
 protected:
  absl::StatusOr<v1::LabelSweepResponse> Label(const v1::LabelSweepRequest& request) {
    return Call(&Stub::LabelSweep, request);
  }
  absl::StatusOr<v1::DeleteSweepResponse> Delete(bool dry_run = false) {
    v1::DeleteSweepRequest request;
    request.set_name("tiny");
    request.set_dry_run(dry_run);
    return Call(&Stub::DeleteSweep, request);
  }
  v1::Sweep SubmittedBy(const std::string& name, const std::string& user) {
    grpc::ClientContext context;
    if (!user.empty()) context.AddMetadata(transport::kUserMetadata, user);
    v1::CreateSweepResponse response;
    TinySweep sweep;
    sweep.name = name;
    EXPECT_OK(ToAbsl(client_->CreateSweep(&context, Request(sweep), &response)));
    return Get(name).sweep();
  }
};

TEST_F(SweepLabelsTest, UserIsProvenWhereTheSocketSaysSoAndClaimedOtherwise) {
  const v1::Sweep own = SubmittedBy("own", transport::LoginName());
  EXPECT_EQ(own.user(), transport::LoginName());
  EXPECT_FALSE(own.user_is_claimed());
  const v1::Sweep other = SubmittedBy("other", "ann");
  EXPECT_EQ(other.user(), "ann");
  EXPECT_TRUE(other.user_is_claimed());
  const v1::Sweep nobody = SubmittedBy("nobody", "");
  EXPECT_EQ(nobody.user(), "");
  EXPECT_FALSE(nobody.user_is_claimed());
  EXPECT_THAT(SubmittedBy("long", std::string(500, 'x')).user(), SizeIs(64));
}

TEST_F(SweepLabelsTest, TagsNoteAndArchiveAreListed) {
  ASSERT_OK(Submit());
  v1::LabelSweepRequest request;
  request.set_name("tiny");
  request.add_add_tags("paper");
  request.set_note("seed 2 is odd");
  request.set_archived(true);
  ASSERT_OK(Label(request));
  ASSERT_OK_AND_ASSIGN(const auto list, Call(&Stub::ListSweeps, v1::ListSweepsRequest()));
  ASSERT_THAT(list.sweeps(), SizeIs(1));
  EXPECT_THAT(list.sweeps(0).tags(), ElementsAre("paper"));
  EXPECT_EQ(list.sweeps(0).note(), "seed 2 is odd");
  EXPECT_TRUE(list.sweeps(0).archived());
  EXPECT_FALSE(list.sweeps(0).has_eta_s());  // nothing has run: no pace is known
  EXPECT_FALSE(list.sweeps(0).has_best_loss());
  v1::LabelSweepRequest back;
  back.set_name("tiny");
  back.set_archived(false);
  ASSERT_OK_AND_ASSIGN(const v1::LabelSweepResponse after, Label(back));
  EXPECT_FALSE(after.sweep().archived());
  EXPECT_EQ(after.sweep().note(), "seed 2 is odd");
  back.add_add_tags("no tag");
  EXPECT_THAT(Label(back), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'no tag'")));
}

TEST_F(SweepLabelsTest, ListedSweepsHaveTheirBestLossAndTimeLeft) {
  ASSERT_OK(Submit({.seeds = "[1, 2]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  const auto records = WholeRun(hold.spec(), 1000.0);
  ASSERT_OK(agent->Send(hold.lease(), records));
  agent->MarkEnded(hold.lease(), records.size());
  const v1::Hold next = agent->Obtain();
  ASSERT_OK(agent->Send(next.lease(),
                        {PointAt(1, 1, "train", 4.5), PointAt(2, 1, "tokens_per_second", 1000)}));
  ASSERT_OK_AND_ASSIGN(const auto list, Call(&Stub::ListSweeps, v1::ListSweepsRequest()));
  ASSERT_TRUE(list.sweeps(0).has_best_loss());
  const v1::GetSweepResponse sweep = Get();
  double best = 1e9;
  for (const v1::Cell& cell : sweep.cells()) {
    if (cell.done()) best = std::min(best, cell.loss());
  }
  EXPECT_DOUBLE_EQ(list.sweeps(0).best_loss(), best);
  ASSERT_TRUE(list.sweeps(0).has_eta_s());
  EXPECT_GT(list.sweeps(0).eta_s(), 1);
  // The list's is estimated from what Dispatch holds, that of `allo watch` from the stored runs.
  v1::WatchSweepRequest request;
  request.set_name("tiny");
  grpc::ClientContext context;
  auto reader = client_->WatchSweep(&context, request);
  v1::WatchSweepResponse watched;
  ASSERT_TRUE(reader->Read(&watched));
  EXPECT_NEAR(list.sweeps(0).eta_s(), watched.eta_s(), 1e-9 * watched.eta_s());
  context.TryCancel();
}

TEST_F(SweepLabelsTest, DeletedSweepIsGoneAndItsWorkerIsToldOnceItComes) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  {
    auto agent = NewAgent("host-a");
    ASSERT_OK(agent->Register());
    EXPECT_THAT(Delete(true),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("allo cancel tiny")));
    ASSERT_EQ(PlayAll(*agent), 1);
    ASSERT_OK_AND_ASSIGN(const v1::DeleteSweepResponse planned, Delete(true));
    EXPECT_EQ(planned.runs(), 1);
    EXPECT_EQ(planned.run_directories(), 1);
    EXPECT_EQ(planned.unreachable_directories(), 0);
    EXPECT_GT(planned.points(), 0);
  }
  // The worker leaves, and is forgotten.
  clock_.AdvanceMs(3 * kLeaseMs);
  ASSERT_TRUE(Eventually([&] {
    const auto planned = Delete(true);
    return planned.ok() && planned->unreachable_directories() == 1;
  }));
  const std::string key = Get().runs(0).key();
  ASSERT_OK_AND_ASSIGN(const v1::DeleteSweepResponse done, Delete());
  EXPECT_EQ(done.unreachable_directories(), 1);
  EXPECT_THAT(Delete(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const auto list, Call(&Stub::ListSweeps, v1::ListSweepsRequest()));
  EXPECT_THAT(list.sweeps(), IsEmpty());

  // The same name again: another sweep, other runs.
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse again, Submit({.sizes = "[5k]"}));
  EXPECT_FALSE(again.existed());
  EXPECT_EQ(again.runs(0).run_id(), 2);
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  v1::HeartbeatResponse reply;
  ASSERT_TRUE(Eventually([&] {
    clock_.AdvanceMs(500);
    const auto heartbeat = agent->Heartbeat();
    if (heartbeat.ok()) reply = *heartbeat;
    return reply.deletable_runs_size() > 0;
  }));
  ASSERT_THAT(reply.deletable_runs(), SizeIs(1));
  EXPECT_EQ(reply.deletable_runs(0).run_id(), 1);
  EXPECT_EQ(reply.deletable_runs(0).run_key(), key);
  v1::HeartbeatRequest told = agent->HeartbeatMessage();
  *told.add_deleted_runs() = reply.deletable_runs(0);
  grpc::ClientContext context;
  v1::HeartbeatResponse answer;
  ASSERT_OK(ToAbsl(agent->stub().Heartbeat(&context, told, &answer)));
  for (int i = 0; i < 12; ++i) {
    clock_.AdvanceMs(500);
    ASSERT_OK_AND_ASSIGN(const v1::HeartbeatResponse later, agent->Heartbeat());
    EXPECT_THAT(later.deletable_runs(), IsEmpty());
  }
}

TEST_F(SweepLabelsTest, WatchOfADeletedSweepEnds) {
  ASSERT_OK(Submit());
  v1::WatchChangesRequest request;
  request.set_name("tiny");
  grpc::ClientContext context;
  context.set_deadline(RpcDeadline());
  const auto reader = client_->WatchChanges(&context, request);
  v1::SweepChanges message;
  ASSERT_TRUE(reader->Read(&message));
  v1::CancelSweepRequest cancel;
  cancel.set_name("tiny");
  ASSERT_OK(Call(&Stub::CancelSweep, cancel));
  ASSERT_OK(Delete());
  while (reader->Read(&message)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace allometry::testing
