// What people ask for: submitting, watching, exporting, fitting.
#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "coordinator/results/fit_request.h"
#include "fitting/data/csv.h"
#include "fitting/report/fit.h"
#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class ClientServiceTest : public CoordinatorTest {};

TEST_F(ClientServiceTest, SameFileTwiceReturnsTheSweepUnchanged) {
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse first, Submit());
  EXPECT_FALSE(first.existed());
  EXPECT_THAT(first.runs(), SizeIs(2));
  EXPECT_THAT(first.cells(), SizeIs(8));
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse second, Submit());
  EXPECT_TRUE(second.existed());
  EXPECT_THAT(second.changes(), IsEmpty());
  EXPECT_EQ(second.sweep().SerializeAsString(), first.sweep().SerializeAsString());
  EXPECT_THAT(second.runs(), SizeIs(2));
}

TEST_F(ClientServiceTest, DryRunSaysWhatWouldBeAddedAndAddsNothing) {
  v1::CreateSweepRequest request = Request();
  request.set_dry_run(true);
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse dry,
                       Call(&v1::ClientService::Stub::CreateSweep, request));
  EXPECT_THAT(dry.changes(), Not(IsEmpty()));
  EXPECT_THAT(dry.runs(), SizeIs(2));
  ASSERT_OK_AND_ASSIGN(const v1::ListSweepsResponse sweeps,
                       Call(&v1::ClientService::Stub::ListSweeps, v1::ListSweepsRequest()));
  EXPECT_THAT(sweeps.sweeps(), IsEmpty());
}

TEST_F(ClientServiceTest, OneMoreSizeIsAdded) {
  ASSERT_OK(Submit());
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse grown, Submit({.sizes = "[5k, 20k, 80k]"}));
  EXPECT_TRUE(grown.existed());
  EXPECT_THAT(grown.runs(), SizeIs(3));
  EXPECT_EQ(grown.sweep().runs(), 3);
}

TEST_F(ClientServiceTest, MistakesInAFileComeAllAtOnce) {
  v1::CreateSweepRequest request = Request({.budgets = "[10240, -3]", .more = "colour: blue\n"});
  const auto refused = Call(&v1::ClientService::Stub::CreateSweep, request);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("-3")));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("colour")));
}

TEST_F(ClientServiceTest, OtherDataUnderTheSameNameIsRefused) {
  ASSERT_OK(Submit());
  EXPECT_THAT(Submit({.unique_tokens = 2'000'000}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

// From a machine without the dataset: as a sweep of the coordinator has it.
TEST_F(ClientServiceTest, AManifestThatAnEarlierSweepPinnedNeedNotBeSent) {
  ASSERT_OK(Submit());
  v1::CreateSweepRequest request = Request({.name = "other"});
  request.clear_manifest_json();
  ASSERT_OK_AND_ASSIGN(const v1::CreateSweepResponse other,
                       Call(&v1::ClientService::Stub::CreateSweep, request));
  EXPECT_THAT(other.changes(0),
              HasSubstr("tiny-text is taken from the coordinator: as sweep tiny has it"));
  EXPECT_EQ(other.runs(0).spec().identity().dataset_hash(),
            Get("tiny").runs(0).spec().identity().dataset_hash());
  ASSERT_OK(Submit({.name = "third", .unique_tokens = 2'000'000}));
  request = Request({.name = "fourth"});
  request.clear_manifest_json();
  EXPECT_THAT(Call(&v1::ClientService::Stub::CreateSweep, request),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("have different datasets of that name")));
}

TEST_F(ClientServiceTest, MissingManifestIsASentence) {
  v1::CreateSweepRequest request = Request();
  request.clear_manifest_json();
  EXPECT_THAT(Call(&v1::ClientService::Stub::CreateSweep, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dataset.json")));
}

TEST_F(ClientServiceTest, UnknownSweepIsNotFoundAndListsWhatThereIs) {
  ASSERT_OK(Submit());
  v1::GetSweepRequest request;
  request.set_name("tinny");
  EXPECT_THAT(Call(&v1::ClientService::Stub::GetSweep, request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("tiny")));
}

TEST_F(ClientServiceTest, WatchSendsASnapshotAtOnceAndEndsWithTheSweep) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  v1::WatchSweepRequest request;
  request.set_name("tiny");
  grpc::ClientContext context;
  auto reader = client_->WatchSweep(&context, request);
  v1::WatchSweepResponse first;
  ASSERT_TRUE(reader->Read(&first));
  EXPECT_THAT(first.runs(), SizeIs(1));
  EXPECT_EQ(first.flops_done(), 0);
  EXPECT_GT(first.flops_total(), 0);
  EXPECT_LT(first.eta_s(), 0) << "nothing was measured yet";

  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  std::thread player([&] { PlayAll(*agent); });
  v1::WatchSweepResponse last;
  int messages = 0;
  while (reader->Read(&last)) ++messages;
  player.join();
  EXPECT_OK(ToAbsl(reader->Finish()));
  EXPECT_GE(messages, 1);
  EXPECT_EQ(last.sweep().runs_succeeded(), 1);
  EXPECT_EQ(last.flops_done(), last.flops_total());
}

TEST_F(ClientServiceTest, WatchOfAnEndedSweepIsOneMessage) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  PlayAll(*agent);
  v1::WatchSweepRequest request;
  request.set_name("tiny");
  grpc::ClientContext context;
  auto reader = client_->WatchSweep(&context, request);
  v1::WatchSweepResponse response;
  EXPECT_TRUE(reader->Read(&response));
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_OK(ToAbsl(reader->Finish()));
}

TEST_F(ClientServiceTest, WatchTellsThatAnAttemptFailedAndWhy) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  v1::WatchSweepRequest request;
  request.set_name("tiny");
  grpc::ClientContext context;
  auto reader = client_->WatchSweep(&context, request);
  v1::WatchSweepResponse response;
  ASSERT_TRUE(reader->Read(&response));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_OK(agent->Send(hold.lease(), {ExitWith(1, v1::BUG, 0, "index 64 out of range")}));
  std::string notices;
  while (notices.find("index 64 out of range") == std::string::npos && reader->Read(&response)) {
    for (const std::string& notice : response.notices()) notices += notice + "\n";
  }
  EXPECT_THAT(notices, HasSubstr("index 64 out of range"));
  context.TryCancel();
  EXPECT_THAT(ToAbsl(reader->Finish()), StatusIs(absl::StatusCode::kCancelled));
}

// However many watch, whoever comes is let in: the watch that is the longest there ends, and its
// client watches again.
TEST_F(ClientServiceTest, WatchesAreBoundedAndNobodyIsLockedOut) {
  constexpr size_t kMost = 128;
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  v1::WatchSweepRequest request;
  request.set_name("tiny");
  struct Watcher {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchSweepResponse>> reader;
  };
  std::vector<std::unique_ptr<Watcher>> watchers;
  v1::WatchSweepResponse response;
  for (size_t i = 0; i < kMost + 2; ++i) {
    watchers.push_back(std::make_unique<Watcher>());
    watchers.back()->reader = client_->WatchSweep(&watchers.back()->context, request);
    ASSERT_TRUE(watchers.back()->reader->Read(&response)) << i;
  }
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_FALSE(watchers[i]->reader->Read(&response));
    EXPECT_THAT(ToAbsl(watchers[i]->reader->Finish()), StatusIs(absl::StatusCode::kCancelled));
  }
  for (size_t i = 2; i < watchers.size(); ++i) {
    watchers[i]->context.TryCancel();
    (void)watchers[i]->reader->Finish();
  }
}

TEST_F(ClientServiceTest, ExportedPointsAreEveryPointOnce) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  constexpr int kPoints = 4500;  // more than two pages
  std::vector<v1::Record> records;
  for (int i = 1; i <= kPoints; ++i) records.push_back(PointAt(i, i, "train", 1.0 / i));
  ASSERT_OK(agent->Send(hold.lease(), records));
  const std::vector<std::string> lines = absl::StrSplit(Export("points"), '\n');
  ASSERT_EQ(lines.size(), size_t{kPoints} + 2);  // a header, and nothing after the last newline
  EXPECT_EQ(lines[0], "run_id,size,series,step,tokens,value,attempt");
  EXPECT_EQ(lines[1], "1,5k,train,1,512,1,1");
  EXPECT_EQ(lines[3], "1,5k,train,3,1536,0.33333333333333331,1");
}

TEST_F(ClientServiceTest, ExportOfSomeRunsHasTheirLinesAlone) {
  ASSERT_OK(Submit({.sizes = "[5k, 10k, 20k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_EQ(PlayAll(*agent), 3);
  for (const std::string what : {"points", "observations"}) {
    const std::vector<std::string> all = absl::StrSplit(Export(what), '\n');
    std::string expected = all[0] + "\n";
    for (const std::string& line : all) {
      const std::vector<std::string> fields = absl::StrSplit(line, ',');
      const size_t run_field = what == "points" ? 0 : 2;
      if (fields.size() <= run_field) continue;
      if (fields[run_field] == "1" || fields[run_field] == "3") expected += line + "\n";
    }
    EXPECT_GT(expected.size(), all[0].size() + 1);
    EXPECT_LT(expected.size(), Export(what).size());
    EXPECT_EQ(Export(what, "tiny", {3, 1, 3}), expected);
    v1::ExportRequest request;
    request.set_sweep("tiny");
    request.set_what(what);
    request.add_run_ids(99);
    grpc::ClientContext context;
    auto reader = client_->Export(&context, request);
    v1::ExportResponse piece;
    EXPECT_FALSE(reader->Read(&piece));
    EXPECT_THAT(ToAbsl(reader->Finish()),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("has no run 99")));
  }
}

TEST_F(ClientServiceTest, FitOfASweepIsTheFitOfItsExport) {
  ASSERT_OK(Submit({.sizes = "[5k, 10k, 20k, 40k, 80k]", .budgets = "[20480, 102400, 512000]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_EQ(PlayAll(*agent), 5);

  v1::FitRequest request;
  request.set_sweep("tiny");
  request.mutable_options()->set_method("parametric");
  ASSERT_OK_AND_ASSIGN(const v1::FitResponse stored, Call(&v1::ClientService::Stub::Fit, request));
  EXPECT_THAT(stored.report_text(), HasSubstr("alpha"));
  EXPECT_THAT(stored.report_svg(), HasSubstr("<svg"));
  EXPECT_EQ(stored.report_pdf(), "");  // not asked for
  v1::FitRequest printed = request;
  printed.set_pdf(true);
  ASSERT_OK_AND_ASSIGN(const v1::FitResponse paper, Call(&v1::ClientService::Stub::Fit, printed));
  EXPECT_EQ(paper.report_pdf().substr(0, 5), "%PDF-");
  EXPECT_EQ(paper.fit_id(), stored.fit_id());

  ASSERT_OK_AND_ASSIGN(fitting::Observations observations,
                       fitting::ParseCsv(Export("observations"), "export"));
  EXPECT_EQ(observations.params_policy, "as given");
  EXPECT_EQ(observations.runs().size(), 5u);
  EXPECT_EQ(observations.families().size(), 5u);
  EXPECT_TRUE(std::any_of(observations.points().begin(), observations.points().end(),
                          [](const fitting::Observation& point) { return point.ends_cell; }));
  observations.read = {};  // how a file was read is in the report of a file alone
  observations.params_policy = Get().sweep().params_policy();
  ASSERT_OK_AND_ASSIGN(fitting::FitOptions options, coordinator::ToFitOptions(request.options()));
  options.flops = fitting::FlopsConvention::k6nd;
  ASSERT_OK_AND_ASSIGN(const fitting::FitReport offline, fitting::Fit(observations, options));
  EXPECT_EQ(absl::StrReplaceAll(stored.report_json(), {{stored.fit_id(), "ID"}}),
            absl::StrReplaceAll(fitting::ReportJson(offline), {{offline.fit_id, "ID"}}));
}

TEST_F(ClientServiceTest, PointsBeyondMaxEpochsAreLeftOutOfAFitUnlessRepeatsAreAllowed) {
  // 512,000 tokens are 5.12 epochs of 100,000.
  const TinySweep sweep = {.sizes = "[5k, 10k, 20k, 40k, 80k]",
                           .budgets = "[20480, 102400, 512000]",
                           .more = "allow_repeat: true\n",
                           .unique_tokens = 100'000};
  ASSERT_OK(Submit(sweep));
  auto agent = NewAgent("host-a", {"cpu:0"}, sweep);
  ASSERT_OK(agent->Register());
  ASSERT_EQ(PlayAll(*agent), 5);
  v1::FitRequest request;
  request.set_sweep("tiny");
  request.mutable_options()->set_method("parametric");
  ASSERT_OK_AND_ASSIGN(const v1::FitResponse within, Call(&v1::ClientService::Stub::Fit, request));
  EXPECT_THAT(within.report_json(), HasSubstr("beyond 4 epochs"));
  request.mutable_options()->set_allow_repeat(true);
  ASSERT_OK_AND_ASSIGN(const v1::FitResponse all, Call(&v1::ClientService::Stub::Fit, request));
  EXPECT_THAT(all.report_json(), Not(HasSubstr("beyond 4 epochs")));
}

TEST_F(ClientServiceTest, DivergedRunIsLeftOutOfAFitWithItsReason) {
  ASSERT_OK(Submit({.sizes = "[5k, 10k, 20k, 40k, 80k]", .budgets = "[20480, 102400, 512000]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  std::vector<v1::Record> records = WholeRun(hold.spec(), 80000);
  records.back() = ExitWith(records.size(), v1::DIVERGED, 100, "loss is nan");
  ASSERT_OK(agent->Send(hold.lease(), records));
  agent->MarkEnded(hold.lease(), records.size());
  ASSERT_EQ(PlayAll(*agent), 4);
  v1::FitRequest request;
  request.set_sweep("tiny");
  request.mutable_options()->set_method("parametric");
  ASSERT_OK_AND_ASSIGN(const v1::FitResponse fit, Call(&v1::ClientService::Stub::Fit, request));
  EXPECT_THAT(fit.report_json(), HasSubstr(absl::StrFormat("run %d", hold.lease().run_id())));
  EXPECT_THAT(fit.report_json(), HasSubstr("diverged"));
}

TEST_F(ClientServiceTest, FitOfNothingSaysThatThereIsNothing) {
  ASSERT_OK(Submit());
  v1::FitRequest request;
  request.set_sweep("tiny");
  EXPECT_THAT(Call(&v1::ClientService::Stub::Fit, request),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("nothing to fit")));
}

TEST_F(ClientServiceTest, FitOptionThatIsNotKnownIsRefusedWithTheNames) {
  ASSERT_OK(Submit());
  v1::FitRequest request;
  request.set_sweep("tiny");
  request.mutable_options()->set_method("magic");
  EXPECT_THAT(Call(&v1::ClientService::Stub::Fit, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("parametric")));
}

TEST_F(ClientServiceTest, PredictionNeedsABudgetAndIsStored) {
  ASSERT_OK(Submit({.sizes = "[5k, 10k, 20k, 40k, 80k]", .budgets = "[20480, 102400, 512000]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_EQ(PlayAll(*agent), 5);
  v1::PredictRequest request;
  request.set_sweep("tiny");
  EXPECT_THAT(Call(&v1::ClientService::Stub::Predict, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("budget")));
  request.mutable_options()->add_budgets_flops(1e13);
  ASSERT_OK_AND_ASSIGN(const v1::PredictResponse predicted,
                       Call(&v1::ClientService::Stub::Predict, request));
  EXPECT_THAT(predicted.report_text(), Not(IsEmpty()));
  EXPECT_THAT(predicted.fit_id(), SizeIs(16));

  // It is listed, with every method, and waits for a run of that size.
  v1::ListPredictionsRequest list;
  list.set_sweep("tiny");
  ASSERT_OK_AND_ASSIGN(const v1::ListPredictionsResponse listed,
                       Call(&v1::ClientService::Stub::ListPredictions, list));
  EXPECT_THAT(listed.report_json(), HasSubstr(predicted.fit_id()));
  EXPECT_THAT(listed.report_json(), HasSubstr("parametric"));
  EXPECT_THAT(listed.report_text(), HasSubstr("waits"));
}

TEST_F(ClientServiceTest, WithheldSizesAreExcludedAndPredicted) {
  ASSERT_OK(
      Submit({.sizes = "[5k, 10k, 20k, 40k, 80k, 160k]", .budgets = "[20480, 102400, 512000]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_EQ(PlayAll(*agent), 6);
  v1::FitRequest request;
  request.set_sweep("tiny");
  request.mutable_options()->add_withhold("90k");
  EXPECT_THAT(Call(&v1::ClientService::Stub::Fit, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("160k")));
  request.mutable_options()->set_withhold(0, "160k");
  ASSERT_OK_AND_ASSIGN(const v1::FitResponse fit, Call(&v1::ClientService::Stub::Fit, request));
  EXPECT_THAT(fit.report_text(), HasSubstr("160k is withheld"));
}

}  // namespace
}  // namespace allometry::testing
