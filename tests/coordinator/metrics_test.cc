// The metrics of a coordinator that serves, scraped over HTTP and read line by line.
#include <unistd.h>

#include <cmath>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "coordinator/server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "httplib.h"
#include "proto/client.grpc.pb.h"
#include "tests/coordinator/fake_agent.h"
#include "tests/coordinator/tiny_sweep.h"
#include "tests/testing/eventually.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "transport/connection.h"

namespace allometry::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int64_t kLeaseMs = 3000;

class MetricsTest : public ::testing::Test {
 protected:
  MetricsTest() {
    options_.db_path = folder_.Path("allometry.db");
    options_.listen = "unix:" + folder_.Path("coordinator.sock");
    options_.metrics = "127.0.0.1:0";
    options_.lease_ms = kLeaseMs;
    options_.heartbeat_ms = 100;
    options_.clock = &clock_;
    server_ = *coordinator::Server::Start(options_);
    channel_ = *transport::Connect({.address = server_->address()});
    client_ = v1::ClientService::NewStub(channel_);
  }

  // What is scraped: "name{labels}" -> value. Every line is one that Prometheus reads.
  std::map<std::string, double> Scrape() {
    const std::string url = server_->metrics_url();
    httplib::Client http(url.substr(0, url.rfind('/')));
    const httplib::Result result = http.Get("/metrics");
    EXPECT_TRUE(result);
    if (!result) return {};
    EXPECT_EQ(result->status, 200) << result->body;
    EXPECT_THAT(result->get_header_value("Content-Type"), StartsWith("text/plain; version=0.0.4"));
    static const std::regex help("# HELP [a-z_]+ [^\n]+"), type("# TYPE ([a-z_]+) (gauge|counter)"),
        sample(R"(([a-z_]+)(\{[a-z]+="(?:[^"\\\n]|\\.)*"\})? (\S+))");
    std::map<std::string, double> samples;
    std::set<std::string> types;
    for (const std::string& line :
         std::vector<std::string>(absl::StrSplit(result->body, '\n', absl::SkipEmpty()))) {
      std::smatch match;
      if (std::regex_match(line, help)) continue;
      if (std::regex_match(line, match, type)) {
        EXPECT_TRUE(types.insert(match[1]).second) << line;
        EXPECT_EQ(match[2] == "counter", absl::EndsWith(match[1].str(), "_total")) << line;
        continue;
      }
      const bool is_sample = std::regex_match(line, match, sample);
      EXPECT_TRUE(is_sample) << line;
      if (!is_sample) continue;
      EXPECT_EQ(types.count(match[1]), 1u) << line << " has no type before it";
      double value = 0;
      EXPECT_TRUE(absl::SimpleAtod(match[3].str(), &value)) << line;
      EXPECT_TRUE(samples.emplace(match[1].str() + match[2].str(), value).second) << line;
    }
    return samples;
  }
  template <class Request, class Response>
  Response Call(grpc::Status (v1::ClientService::Stub::*method)(grpc::ClientContext*,
                                                                const Request&, Response*),
                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(RpcDeadline());
    Response response;
    const grpc::Status status = (client_.get()->*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  TemporaryFolder folder_;
  FakeClock clock_;
  coordinator::Options options_;
  std::unique_ptr<coordinator::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ClientService::Stub> client_;
};

TEST_F(MetricsTest, SayWhatTheCoordinatorDoes) {
  EXPECT_THAT(server_->metrics_url(), StartsWith("http://127.0.0.1:"));
  std::map<std::string, double> now = Scrape();
  EXPECT_EQ(now.at("allometry_queue_length"), 0);
  EXPECT_EQ(now.at("allometry_slots"), 0);
  EXPECT_EQ(now.at("allometry_points_total"), 0);
  EXPECT_GT(now.at("allometry_database_bytes"), 0);
  EXPECT_GT(now.at("allometry_disk_free_bytes"), 0);

  Call(&v1::ClientService::Stub::CreateSweep, Request({.sizes = "[5k, 10k, 20k]"}));
  FakeAgent agent(v1::WorkerService::NewStub(channel_), "host-a", {"cpu:0", "cpu:1"},
                  {TinyDataset()});
  ASSERT_OK(agent.Register());
  const v1::Hold hold = agent.Obtain();
  ASSERT_OK(agent.Send(hold.lease(), {PointAt(1, 10, "train", 4.5), PointAt(2, 20, "train", 4.4),
                                      PointAt(3, 20, "heldout", 4.4)}));
  ASSERT_OK(agent.Send(hold.lease(), {PointAt(1, 10, "train", 4.5)}));  // a resend is no point
  ASSERT_OK(agent.Heartbeat().status());
  now = Scrape();
  EXPECT_EQ(now.at("allometry_points_total"), 3);
  EXPECT_EQ(now.at("allometry_sweeps"), 1);
  EXPECT_EQ(now.at("allometry_workers"), 1);
  EXPECT_EQ(now.at("allometry_slots"), 2);
  EXPECT_EQ(now.at("allometry_sweep_open_runs{sweep=\"tiny\"}"), 3);
  EXPECT_EQ(
      now.at("allometry_runs{state=\"PENDING\"}") + now.at("allometry_runs{state=\"LEASED\"}"), 3);
  EXPECT_EQ(now.at("allometry_queue_length"), now.at("allometry_runs{state=\"PENDING\"}"));
  EXPECT_EQ(now.count("allometry_fit_age_seconds{sweep=\"tiny\"}"), 0u);

  // The worker is silent: its leases run out, and it is forgotten.
  clock_.AdvanceMs(3 * kLeaseMs);
  ASSERT_TRUE(Eventually([&] {
    now = Scrape();
    return now.at("allometry_leases_lost_total") > 0 && now.at("allometry_workers") == 0;
  }));
  EXPECT_EQ(now.at("allometry_queue_length"), 3);

  v1::LabelSweepRequest archive;
  archive.set_name("tiny");
  archive.set_archived(true);
  Call(&v1::ClientService::Stub::LabelSweep, archive);
  now = Scrape();
  EXPECT_EQ(now.at("allometry_sweeps"), 1);
  EXPECT_EQ(now.count("allometry_sweep_open_runs{sweep=\"tiny\"}"), 0u);
}

TEST_F(MetricsTest, AgeOfAFitIsThatOfTheNewest) {
  v1::ImportSweepRequest imported;
  imported.set_name("others");
  imported.set_source("csv runs.csv");
  double params = 1e6;
  for (int i = 0; i < 6; ++i, params *= 2) {
    v1::ImportedRun& run = *imported.add_runs();
    run.set_name(absl::StrCat("run-", i));
    run.set_size(absl::StrCat(i, "M"));
    run.set_params(static_cast<int64_t>(params));
    double tokens = 2e7;
    for (int k = 0; k < 6; ++k, tokens *= 2) {
      run.add_tokens(static_cast<int64_t>(tokens));
      run.add_losses(1.7 + 400 / std::pow(params, 0.34) + 410 / std::pow(tokens, 0.28));
      run.add_ends_cell(true);
    }
  }
  Call(&v1::ClientService::Stub::ImportSweep, imported);
  v1::FitRequest fit;
  fit.set_sweep("others");
  fit.mutable_options()->set_method("parametric");
  Call(&v1::ClientService::Stub::Fit, fit);
  clock_.AdvanceMs(90'000);
  const std::map<std::string, double> now = Scrape();
  EXPECT_NEAR(now.at("allometry_fit_age_seconds{sweep=\"others\"}"), 90, 5);
}

TEST_F(MetricsTest, NothingElseIsServedAndOthersOnlyWhereItIsSaid) {
  const std::string url = server_->metrics_url();
  httplib::Client http(url.substr(0, url.rfind('/')));
  EXPECT_EQ(http.Get("/")->status, 404);
  EXPECT_EQ(http.Post("/metrics", "", "text/plain")->status, 404);
  server_->Stop();
  for (const auto& [address, word] : {std::pair("0.0.0.0:0", "--metrics-anywhere"),
                                      {"192.0.2.1:9464", "--metrics-anywhere"},
                                      {"unix:/tmp/m", "HOST:PORT"},
                                      {"9464", "--metrics"}}) {
    coordinator::Options options = options_;
    options.db_path = folder_.Path("other.db");
    options.metrics = address;
    const auto refused = coordinator::Server::Start(options);
    ASSERT_FALSE(refused.ok()) << address;
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr(word));
    EXPECT_NE(access(options.db_path.c_str(), F_OK), 0) << "nothing was made";
  }
  options_.metrics = "0.0.0.0:0";
  options_.metrics_anywhere = true;
  const auto anywhere = coordinator::Server::Start(options_);
  ASSERT_OK(anywhere.status());
  EXPECT_THAT((*anywhere)->metrics_url(), StartsWith("http://0.0.0.0:"));
}

}  // namespace
}  // namespace allometry::testing
