// Requests that no client and no worker of ours makes: too deep, too long, too many. Each is
// refused with its field, or cut, and what others read goes on to work.
#include <sqlite3.h>

#include "tests/coordinator/coordinator_fixture.h"
#include "tests/coordinator/records.h"

namespace allometry::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;

class HostileRequestsTest : public CoordinatorTest {
 protected:
  absl::Status Register(const v1::RegisterRequest& request) {
    grpc::ClientContext context;
    v1::RegisterResponse response;
    return ToAbsl(coordinator_->worker()->Register(&context, request, &response));
  }
  static v1::RegisterRequest Registration() {
    v1::RegisterRequest request;
    request.set_agent_id("a");
    request.set_host("host-a");
    request.set_run_root_id("root");
    v1::Slot& slot = *request.add_slots();
    slot.set_host("host-a");
    slot.set_device("cpu:0");
    return request;
  }
  void ExpectAlive() {
    EXPECT_OK(Call(&v1::ClientService::Stub::ListSweeps, v1::ListSweepsRequest()));
  }
  void Sql(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(coordinator_->db_path().c_str(), &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10'000);
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
};

TEST_F(HostileRequestsTest, AManifestThatIsNestedDeeplyIsRefused) {
  for (const std::string& deep :
       {std::string(100'000, '['),
        "{\"shards\": " + std::string(100'000, '[') + "1" + std::string(100'000, ']') + "}", [] {
          std::string text;
          for (int i = 0; i < 50'000; ++i) text += "{\"a\":";
          return text;
        }()}) {
    v1::CreateSweepRequest request = Request();
    request.set_manifest_json(deep);
    EXPECT_THAT(Call(&v1::ClientService::Stub::CreateSweep, request),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("64 deep")));
  }
  ExpectAlive();
}

TEST_F(HostileRequestsTest, ASweepFileThatIsNestedDeeplyIsRefused) {
  for (const std::string& value :
       {std::string(100'000, '['), std::string(100'000, '{'), "\n " + [] {
          std::string text;
          for (int i = 0; i < 100'000; ++i) text += "- ";
          return text;
        }()}) {
    v1::CreateSweepRequest request = Request();
    request.set_sweep_yaml("name: tiny\ndataset: tiny-text\nmodel: " + value + "\n");
    EXPECT_THAT(Call(&v1::ClientService::Stub::CreateSweep, request),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deep")));
  }
  ExpectAlive();
}

TEST_F(HostileRequestsTest, TextsThatAreTooLongAreRefusedByName) {
  const std::string text(200 << 10, 'x');
  const auto refused = [](absl::string_view field) {
    return StatusIs(absl::StatusCode::kInvalidArgument,
                    AllOf(HasSubstr(std::string(field)), HasSubstr("allowed")));
  };
  v1::RegisterRequest registration = Registration();
  registration.set_version(text);
  EXPECT_THAT(Register(registration), refused("version"));
  registration = Registration();
  registration.add_datasets()->set_name(text);
  EXPECT_THAT(Register(registration), refused("name"));
  registration = Registration();
  registration.add_given_back()->set_message(text);
  EXPECT_THAT(Register(registration), refused("message"));
  registration = Registration();
  for (int i = 0; i < 20'000; ++i) registration.add_datasets()->set_name("d");
  EXPECT_THAT(Register(registration), refused("datasets"));

  v1::SetDrainedRequest drained;
  drained.set_host("host-a");
  drained.set_reason(text);
  EXPECT_THAT(Call(&v1::ClientService::Stub::SetDrained, drained), refused("reason"));
  v1::GetSweepRequest get;
  get.set_name(text);
  EXPECT_THAT(Call(&v1::ClientService::Stub::GetSweep, get), refused("name"));
  v1::CreateSweepRequest create = Request();
  create.set_file_name(text);
  EXPECT_THAT(Call(&v1::ClientService::Stub::CreateSweep, create), refused("file_name"));
  ExpectAlive();
}

TEST_F(HostileRequestsTest, TooManyBudgetsOrResamplesAreRefused) {
  v1::PredictRequest request;
  request.set_sweep("tiny");
  for (int i = 0; i < 20'000; ++i) request.mutable_options()->add_budgets_flops(1e15 + i);
  EXPECT_THAT(Call(&v1::ClientService::Stub::Predict, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("budgets_flops has 20000")));
  v1::FitRequest fit;
  fit.set_sweep("tiny");
  fit.mutable_options()->set_resamples(10'000'000);
  EXPECT_THAT(Call(&v1::ClientService::Stub::Fit, fit),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("resamples")));
}

TEST_F(HostileRequestsTest, TheSentenceOfAnExitIsCutAndRunsAreListed) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_TRUE(hold.has_lease());
  v1::Record exit = ExitWith(1, v1::BUG, 0);
  exit.mutable_exit()->set_message(std::string(300 << 10, 'x'));
  ASSERT_OK(agent->Send(hold.lease(), {exit}));
  EXPECT_THAT(GetRun(hold.lease().run_id()).reason(), SizeIs(Le(4000u)));
}

// A database of before there was a limit.
TEST_F(HostileRequestsTest, ALongReasonThatIsStoredIsCutWhereItIsRead) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  Sql("UPDATE runs SET reason = hex(zeroblob(7000000))");
  EXPECT_THAT(Get().runs(0).reason(), SizeIs(Le(4000u)));
}

TEST_F(HostileRequestsTest, AnErrorThatIsLongerThanTrailersTakeIsStillASentence) {
  std::string yaml = "name: tiny\ndataset: tiny-text\n";
  std::string accents;
  for (int i = 0; i < 50; ++i) accents += "\xc3\xa9";
  for (int i = 0; i < 150; ++i) yaml += absl::StrFormat("unknown_%d_%s: 1\n", i, accents);
  v1::CreateSweepRequest request = Request();
  request.set_sweep_yaml(yaml);
  EXPECT_THAT(Call(&v1::ClientService::Stub::CreateSweep, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unknown key unknown_0_")));
}

TEST_F(HostileRequestsTest, AJumpOfTheWallClockIsNoDeviceTime) {
  ASSERT_OK(Submit({.sizes = "[5k]", .more = "limits: {max_device_hours: 1, max_run_hours: 1}\n"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_TRUE(hold.has_lease());
  clock_.AdvanceMs(1000);
  clock_.JumpWallMs(3 * 3600 * 1000);
  ASSERT_OK(agent->Reconcile());
  EXPECT_NEAR(Get().sweep().device_seconds(), 1, 1e-3);
  // And a start again, at which the wall clock is read anew.
  coordinator_->Restart();
  ASSERT_OK(agent->Register());
  ASSERT_OK(agent->Reconcile());
  EXPECT_NEAR(Get().sweep().device_seconds(), 1, 1e-3);
  ASSERT_OK(agent->Send(hold.lease(), {ExitWith(1, v1::PREEMPTED, 0)}));
  EXPECT_NEAR(Get().sweep().device_seconds(), 1, 1e-3);
}

}  // namespace
}  // namespace allometry::testing
