// Requests that no client and no worker of ours makes: too deep, too long, too many. Each is
// refused with its field, or cut, and what others read goes on to work.
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

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
  int Count(const std::string& table) {
    sqlite3* db = nullptr;
    sqlite3_stmt* count = nullptr;
    EXPECT_EQ(sqlite3_open(coordinator_->db_path().c_str(), &db), SQLITE_OK);
    const std::string sql = "SELECT count(*) FROM " + table;
    EXPECT_EQ(sqlite3_prepare_v2(db, sql.c_str(), -1, &count, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    EXPECT_EQ(sqlite3_step(count), SQLITE_ROW) << sqlite3_errmsg(db);
    const int rows = sqlite3_column_int(count, 0);
    sqlite3_finalize(count);
    sqlite3_close(db);
    return rows;
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

  const std::string shorter(50 << 10, 'x');
  v1::SetDrainedRequest drained;
  drained.set_host("host-a");
  drained.set_reason(shorter);
  EXPECT_THAT(Call(&v1::ClientService::Stub::SetDrained, drained), refused("reason"));
  v1::GetSweepRequest get;
  get.set_name(shorter);
  EXPECT_THAT(Call(&v1::ClientService::Stub::GetSweep, get), refused("name"));
  v1::CreateSweepRequest create = Request();
  create.set_file_name(text);
  EXPECT_THAT(Call(&v1::ClientService::Stub::CreateSweep, create), refused("file_name"));
  ExpectAlive();
}

// By its bytes: as parsed it would take fifty times as much.
TEST_F(HostileRequestsTest, ARequestThatIsTooLargeForItsMethodIsNotParsed) {
  v1::GetSweepRequest get;
  get.set_name(std::string(100 << 10, 'x'));
  EXPECT_THAT(Call(&v1::ClientService::Stub::GetSweep, get),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 65536")));
  v1::WatchSweepRequest watch;
  watch.set_name(std::string(5 << 10, 'x'));
  grpc::ClientContext context;
  EXPECT_THAT(ToAbsl(client_->WatchSweep(&context, watch)->Finish()),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 4096")));
  ExpectAlive();
}

TEST_F(HostileRequestsTest, LargeRequestsWaitForEachOtherAndAllAreAnswered) {
  v1::RegisterRequest registration = Registration();
  for (int i = 0; i < 1'500'000; ++i) registration.add_datasets();  // 3 MB
  std::vector<std::thread> agents;
  for (int i = 0; i < 12; ++i) {
    agents.emplace_back([&] {
      EXPECT_THAT(Register(registration),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1500000 entries")));
    });
  }
  for (std::thread& agent : agents) agent.join();
  EXPECT_OK(NewAgent("host-a")->Register());
  ExpectAlive();
}

TEST_F(HostileRequestsTest, ABatchOfRecordsThatIsTooLargeEndsItsStream) {
  ASSERT_OK(Submit({.sizes = "[5k]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  const v1::Hold hold = agent->Obtain();
  ASSERT_TRUE(hold.has_lease());
  v1::Record exit = ExitWith(1, v1::BUG, 0);
  exit.mutable_exit()->set_message(std::string(2 << 20, 'x'));
  EXPECT_THAT(agent->Send(hold.lease(), {exit}), ::testing::Not(IsOk()));
  EXPECT_EQ(GetRun(hold.lease().run_id()).state(), v1::LEASED);
  ASSERT_OK(agent->Send(hold.lease(), {ExitWith(1, v1::PREEMPTED, 0)}));
}

TEST_F(HostileRequestsTest, TooManyBudgetsOrResamplesAreRefused) {
  v1::PredictRequest request;
  request.set_sweep("tiny");
  for (int i = 0; i < 5'000; ++i) request.mutable_options()->add_budgets_flops(1e15 + i);
  EXPECT_THAT(Call(&v1::ClientService::Stub::Predict, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("budgets_flops has 5000")));
  v1::FitRequest fit;
  fit.set_sweep("tiny");
  fit.mutable_options()->set_resamples(10'000'000);
  EXPECT_THAT(Call(&v1::ClientService::Stub::Fit, fit),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("resamples")));
}

// Each of these fits would take minutes and then be stored.
TEST_F(HostileRequestsTest, AFitEndsWhenItsClientLeaves) {
  ASSERT_OK(Submit({.sizes = "[5k, 10k, 20k, 40k, 80k]", .budgets = "[20480, 102400, 512000]"}));
  auto agent = NewAgent("host-a");
  ASSERT_OK(agent->Register());
  ASSERT_EQ(PlayAll(*agent), 5);
  v1::FitRequest request;
  request.set_sweep("tiny");
  request.mutable_options()->set_resamples(100'000);
  std::vector<std::thread> clients;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
    clients.emplace_back([&] {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
      v1::FitResponse response;
      EXPECT_THAT(ToAbsl(client_->Fit(&context, request, &response)),
                  StatusIs(absl::StatusCode::kDeadlineExceeded));
    });
  }
  for (std::thread& client : clients) client.join();
  // They held every place for a fit.
  request.mutable_options()->set_resamples(20);
  EXPECT_OK(Call(&v1::ClientService::Stub::Fit, request));
  EXPECT_EQ(Count("fits"), 1);
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
