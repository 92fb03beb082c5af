// A sweep with a tokenizer through a coordinator: who waits for what, and whose tokenizer it is.
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "data/generated.h"
#include "data/manifest.h"
#include "tests/coordinator/coordinator_fixture.h"
#include "tests/testing/eventually.h"

namespace allometry::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr char kWorld[] = "strata:view=8,zo=16,library=16,frames=8,pixels=32";

class TokenizerStageTest : public CoordinatorTest {
 protected:
  absl::StatusOr<v1::CreateSweepResponse> SubmitReaders(const std::string& name,
                                                        const std::string& objective,
                                                        const std::string& more = "",
                                                        bool dry_run = false) {
    v1::CreateSweepRequest request;
    request.set_file_name(name + ".yaml");
    request.set_dry_run(dry_run);
    request.set_sweep_yaml(absl::StrFormat(
        "name: %s\n"
        "dataset: \"%s\"\n"
        "model: {frames: 2, sizes: [5k]}\n"
        "tokenizer: {grid: 4, codebook: 32, width: 8, steps: 40, batch_images: 8, "
        "learning_rate: 1e-3}\n"
        "training: {objective: %s, batch_sequences: 8, warmup_steps: 2, learning_rate: 3e-3}\n"
        "budgets: {tokens: [10k]}\n%s",
        name, kWorld, objective, more));
    request.set_manifest_json(data::ManifestJson(*data::GeneratedManifest(kWorld)));
    return Call(&v1::ClientService::Stub::CreateSweep, request);
  }
  // The next run that the agent gets, done with a checkpoint at its last step; its id.
  int64_t PlayOne(FakeAgent& agent) {
    const v1::Hold hold = agent.Obtain();
    std::vector<v1::Record> records = WholeRun(hold.spec(), 5000);
    const v1::Record exit = records.back();
    records.back() = CheckpointAt(exit.sequence(), hold.lease().attempt(), hold.spec().steps(),
                                  "root-of-host-a");
    records.push_back(ExitWith(exit.sequence() + 1, v1::SUCCEEDED, hold.spec().steps(), ""));
    EXPECT_THAT(agent.Send(hold.lease(), records), IsOk());
    agent.MarkEnded(hold.lease(), records.size());
    return hold.lease().run_id();
  }
};

TEST_F(TokenizerStageTest, AnotherSweepReadsTheOneThatIsThere) {
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse world, SubmitReaders("world", "observation"));
  ASSERT_EQ(world.runs_size(), 2);
  const auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  EXPECT_EQ(PlayOne(*agent), world.runs(0).run_id());
  EXPECT_EQ(PlayOne(*agent), world.runs(1).run_id());

  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse dry,
                       SubmitReaders("clone", "action", "log_every: 3\n", /*dry_run=*/true));
  EXPECT_THAT(dry.changes(), Contains(HasSubstr("reads the tokenizer of sweep world, run 1")));
  // Other settings of its own make no difference to a run of another sweep.
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse clone,
                       SubmitReaders("clone", "action", "log_every: 3\n"));
  ASSERT_EQ(clone.runs_size(), 2);
  EXPECT_EQ(clone.runs(0).run_id(), world.runs(0).run_id());
  EXPECT_EQ(clone.sweep().runs(), 1);
  EXPECT_EQ(PlayOne(*agent), clone.runs(1).run_id());
  // The same file again changes nothing, of either.
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse again,
                       SubmitReaders("clone", "action", "log_every: 3\n"));
  EXPECT_EQ(again.changes_size(), 0);
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse same, SubmitReaders("world", "observation"));
  EXPECT_EQ(same.changes_size(), 0);
  // More of the sweep reads it too.
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse more,
                       SubmitReaders("clone", "action", "priority: 3\nlog_every: 4\n"));
  EXPECT_EQ(more.runs_size(), 2);
}

TEST_F(TokenizerStageTest, AWatchEndsWhereItsTokenizerIsNotToBeHad) {
  ASSERT_OK(SubmitReaders("world", "observation"));
  ASSERT_OK(SubmitReaders("clone", "action"));
  v1::CancelSweepRequest cancel;
  cancel.set_name("world");
  cancel.add_run_ids(1);
  ASSERT_OK(Call(&v1::ClientService::Stub::CancelSweep, cancel));
  for (const char* name : {"world", "clone"}) {
    v1::WatchSweepRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    context.set_deadline(RpcDeadline());
    auto reader = client_->WatchSweep(&context, request);
    v1::WatchSweepResponse last;
    while (reader->Read(&last)) {
    }
    EXPECT_THAT(ToAbsl(reader->Finish()), IsOk());
    EXPECT_EQ(last.runs(1).state(), v1::PENDING);
    EXPECT_THAT(last.runs(1).reason(),
                HasSubstr("needs run 1's tokenizer, and run 1 was cancelled: 'allo retry world'"));
  }
}

}  // namespace
}  // namespace allometry::testing
