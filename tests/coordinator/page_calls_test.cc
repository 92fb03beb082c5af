// What a page asks for: changes since a revision, curves for a picture, a run with its attempts.
#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class PageCallsTest : public CoordinatorTest {
 protected:
  struct Watch {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::SweepChanges>> reader;
    ~Watch() {
      context.TryCancel();
      reader->Finish();
    }
    v1::SweepChanges Next() {
      v1::SweepChanges message;
      EXPECT_TRUE(reader->Read(&message));
      return message;
    }
  };
  std::unique_ptr<Watch> Follow(const std::string& revision = "") {
    auto watch = std::make_unique<Watch>();
    v1::WatchChangesRequest request;
    request.set_name("tiny");
    request.set_revision(revision);
    watch->context.set_deadline(RpcDeadline());
    watch->reader = client_->WatchChanges(&watch->context, request);
    return watch;
  }
  static std::set<int64_t> RunsOf(const v1::SweepChanges& message) {
    std::set<int64_t> ids;
    for (const v1::RunSummary& run : message.runs()) ids.insert(run.run_id());
    return ids;
  }
  // Reads until a message satisfies the condition.
  template <class Condition>
  static v1::SweepChanges Until(Watch& watch, Condition condition) {
    v1::SweepChanges message = watch.Next();
    for (int i = 0; i < 100 && !condition(message); ++i) message = watch.Next();
    return message;
  }
  absl::StatusOr<v1::GetCurvesResponse> Curves(const v1::GetCurvesRequest& request) {
    return Call(&v1::ClientService::Stub::GetCurves, request);
  }
};

TEST_F(PageCallsTest, TheFirstMessageIsWholeAndTheNextHasTheRunThatChangedAlone) {
  ASSERT_OK(Submit({.seeds = "[1, 2, 3, 4]"}));
  const auto watch = Follow();
  const v1::SweepChanges first = watch->Next();
  EXPECT_TRUE(first.whole());
  EXPECT_THAT(first.runs(), SizeIs(8));
  EXPECT_THAT(first.cells(), SizeIs(32));
  EXPECT_FALSE(first.runs(0).has_heldout_loss());
  EXPECT_GT(first.flops_total(), 0);

  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  const int64_t run_id = hold.lease().run_id();
  const v1::SweepChanges started = Until(*watch, [&](const v1::SweepChanges& message) {
    return std::any_of(message.runs().begin(), message.runs().end(),
                       [&](const v1::RunSummary& run) {
                         return run.run_id() == run_id && run.state() == v1::LEASED;
                       });
  });
  EXPECT_FALSE(started.whole());
  EXPECT_NE(started.revision(), first.revision());

  ASSERT_OK(
      agent->Send(hold.lease(), {PointAt(1, 10, "train", 4.5), PointAt(2, 10, "heldout", 4.25)}));
  const v1::SweepChanges points = Until(*watch, [](const v1::SweepChanges& message) {
    return message.runs_size() > 0 && message.runs(0).has_heldout_loss();
  });
  EXPECT_THAT(RunsOf(points), ElementsAre(run_id));
  EXPECT_DOUBLE_EQ(points.runs(0).heldout_loss(), 4.25);
  EXPECT_DOUBLE_EQ(points.runs(0).train_loss(), 4.5);
  EXPECT_EQ(points.runs(0).step(), 10);
  for (const v1::Cell& cell : points.cells()) EXPECT_EQ(cell.run_id(), run_id);
}

// A client that comes back reads what it missed, and nothing else.
TEST_F(PageCallsTest, ARevisionBringsWhatChangedSinceIt) {
  ASSERT_OK(Submit({.seeds = "[1, 2, 3, 4]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  const std::string revision = Follow()->Next().revision();
  ASSERT_OK(agent->Send(hold.lease(), {PointAt(1, 10, "train", 4.5)}));

  const v1::SweepChanges missed = Follow(revision)->Next();
  EXPECT_FALSE(missed.whole());
  EXPECT_THAT(RunsOf(missed), ElementsAre(hold.lease().run_id()));
  EXPECT_FALSE(Follow("another life-3")->Next().runs().empty());
  EXPECT_TRUE(Follow("another life-3")->Next().whole());
  coordinator_->Restart();
  client_ = coordinator_->client();
  EXPECT_TRUE(Follow(revision)->Next().whole()) << "versions of another life mean nothing";
}

TEST_F(PageCallsTest, ASweepThatIsNotThereIsRefusedByName) {
  ASSERT_OK(Submit());
  v1::WatchChangesRequest request;
  request.set_name("none");
  grpc::ClientContext context;
  const auto reader = client_->WatchChanges(&context, request);
  v1::SweepChanges message;
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_THAT(ToAbsl(reader->Finish()), StatusIs(absl::StatusCode::kNotFound, HasSubstr("tiny")));
}

TEST_F(PageCallsTest, CurvesHaveEveryRunAndTheFrontierIsTheirLowerEnvelope) {
  ASSERT_OK(Submit());
  auto agent = NewAgent("host-a", {"cpu:0", "cpu:1"});
  ASSERT_OK(agent->Register());
  ASSERT_EQ(PlayAll(*agent), 2);
  v1::GetCurvesRequest request;
  request.set_sweep("tiny");
  request.set_log_x(true);
  ASSERT_OK_AND_ASSIGN(const v1::GetCurvesResponse answer, Curves(request));
  ASSERT_THAT(answer.curves(), SizeIs(2));
  EXPECT_THAT(answer.series(), Contains("heldout"));
  EXPECT_THAT(answer.series(), Contains("train"));
  double least = 1e9;
  for (const v1::Curve& curve : answer.curves()) {
    EXPECT_EQ(curve.x_size(), curve.points()) << "few points are all kept";
    EXPECT_TRUE(std::is_sorted(curve.x().begin(), curve.x().end()));
    least = std::min(least, *std::min_element(curve.y().begin(), curve.y().end()));
    // x is in FLOPs of the sweep's convention.
    const v1::Run run = GetRun(curve.run_id());
    EXPECT_NEAR(curve.x(curve.x_size() - 1),
                run.flops_per_token_6n() * kBatchTokens * static_cast<double>(run.spec().steps()),
                1e-6 * curve.x(curve.x_size() - 1));
  }
  ASSERT_GT(answer.frontier_x_size(), 1);
  EXPECT_DOUBLE_EQ(answer.frontier_y(answer.frontier_y_size() - 1), least);
  EXPECT_TRUE(std::is_sorted(answer.frontier_y().rbegin(), answer.frontier_y().rend()));

  request.set_x("steps");
  request.add_run_ids(answer.curves(1).run_id());
  ASSERT_OK_AND_ASSIGN(const v1::GetCurvesResponse one, Curves(request));
  ASSERT_THAT(one.curves(), SizeIs(1));
  EXPECT_EQ(one.curves(0).x(one.curves(0).x_size() - 1),
            static_cast<double>(GetRun(one.curves(0).run_id()).spec().steps()));
}

TEST_F(PageCallsTest, CurvesThatCannotBeDrawnAreRefused) {
  ASSERT_OK(Submit());
  v1::GetCurvesRequest request;
  request.set_sweep("tiny");
  ASSERT_OK_AND_ASSIGN(const v1::GetCurvesResponse none, Curves(request));
  EXPECT_THAT(none.curves(), IsEmpty());
  request.set_x("hours");
  EXPECT_THAT(Curves(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hours")));
  request.set_x("flops");
  for (const int pixels : {-1, 1, 1'000'000}) {
    request.set_pixels(pixels);
    EXPECT_THAT(Curves(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pixels")));
  }
  request.set_pixels(100);
  request.set_from_x(3);
  request.set_to_x(2);
  EXPECT_THAT(Curves(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from_x")));
  request.set_from_x(0);
  request.set_sweep("none");
  EXPECT_THAT(Curves(request), StatusIs(absl::StatusCode::kNotFound));
  request.set_sweep("tiny");
  request.add_run_ids(99);
  EXPECT_THAT(Curves(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("99")));
}

TEST_F(PageCallsTest, ARunComesWithItsAttemptsAndWithoutTheirSecrets) {
  ASSERT_OK(Submit());
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_OK(agent->Send(
      hold.lease(),
      {PointAt(1, 10, "train", 4.5), ExitWith(2, v1::BUG, 10, "it broke\nlast line of the log")}));
  v1::GetRunRequest request;
  request.set_run_id(hold.lease().run_id());
  ASSERT_OK_AND_ASSIGN(const v1::GetRunResponse answer,
                       Call(&v1::ClientService::Stub::GetRun, request));
  EXPECT_EQ(answer.sweep(), "tiny");
  EXPECT_EQ(answer.run().run_id(), request.run_id());
  ASSERT_GE(answer.attempts_size(), 1);
  const v1::AttemptSummary& attempt = answer.attempts(0);
  EXPECT_EQ(attempt.host(), "host-a");
  EXPECT_EQ(attempt.slots(), "cpu:0");
  EXPECT_EQ(attempt.exit_reason(), v1::BUG);
  EXPECT_EQ(attempt.exit_step(), 10);
  EXPECT_THAT(attempt.message(), HasSubstr("last line of the log"));
  EXPECT_GT(attempt.ended_unix_us(), 0);
  EXPECT_THAT(answer.ShortDebugString(), Not(HasSubstr(hold.lease().token())));
  request.set_run_id(99);
  EXPECT_THAT(Call(&v1::ClientService::Stub::GetRun, request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("99")));
}

TEST_F(PageCallsTest, TheSourceIsTheNewestFile) {
  ASSERT_OK(Submit());
  ASSERT_OK(Submit({.sizes = "[5k, 20k, 80k]"}));
  v1::GetSourceRequest request;
  request.set_name("tiny");
  ASSERT_OK_AND_ASSIGN(const v1::GetSourceResponse source,
                       Call(&v1::ClientService::Stub::GetSource, request));
  EXPECT_EQ(source.sweep_yaml(), Request({.sizes = "[5k, 20k, 80k]"}).sweep_yaml());
  EXPECT_EQ(source.file_name(), "sweeps/tiny.yaml");
}

TEST_F(PageCallsTest, AFitThatIsOnlyLookedAtStoresNoPrediction) {
  ASSERT_OK(Submit({.sizes = "[5k, 10k, 20k, 40k, 80k]"}));
  auto agent = NewAgent("host-a", {"cpu:0", "cpu:1"});
  ASSERT_OK(agent->Register());
  PlayAll(*agent);
  v1::FitRequest fit;
  fit.set_sweep("tiny");
  fit.mutable_options()->add_budgets_flops(1e15);
  fit.set_dry_run(true);
  ASSERT_OK_AND_ASSIGN(const v1::FitResponse looked, Call(&v1::ClientService::Stub::Fit, fit));
  v1::ListPredictionsRequest list;
  list.set_sweep("tiny");
  ASSERT_OK_AND_ASSIGN(const v1::ListPredictionsResponse none,
                       Call(&v1::ClientService::Stub::ListPredictions, list));
  EXPECT_EQ(none.report_json(), "[]\n");
  fit.set_dry_run(false);
  ASSERT_OK_AND_ASSIGN(const v1::FitResponse kept, Call(&v1::ClientService::Stub::Fit, fit));
  EXPECT_EQ(kept.fit_id(), looked.fit_id());
  ASSERT_OK_AND_ASSIGN(const v1::ListPredictionsResponse some,
                       Call(&v1::ClientService::Stub::ListPredictions, list));
  EXPECT_NE(some.report_json(), "[]\n");
}

}  // namespace
}  // namespace allometry::testing
