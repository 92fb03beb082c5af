#include "cli/proto_json.h"

#include <gtest/gtest.h>

#include <limits>

#include "proto/client.pb.h"

namespace allometry::cli {
namespace {

TEST(ProtoJsonTest, EveryFieldIsThereByNameWithNumbersAsNumbers) {
  v1::Run run;
  run.set_run_id(int64_t{1} << 52);
  run.set_state(v1::LEASED);
  const nlohmann::ordered_json json = ToJson(run);
  EXPECT_EQ(json["run_id"].get<int64_t>(), int64_t{1} << 52);
  EXPECT_EQ(json["state"], "LEASED");
  EXPECT_EQ(json["size"], "");
  EXPECT_TRUE(json["checkpoint"].is_null());
  EXPECT_EQ(json.size(), static_cast<size_t>(run.GetDescriptor()->field_count()));
}

TEST(ProtoJsonTest, DoublesRoundTripAndNotANumberIsNull) {
  v1::Cell cell;
  cell.set_loss(0.1 + 0.2);
  cell.set_flops(std::numeric_limits<double>::quiet_NaN());
  const auto json = nlohmann::json::parse(ToJson(cell).dump());
  EXPECT_EQ(json["loss"].get<double>(), 0.1 + 0.2);
  EXPECT_TRUE(json["flops"].is_null());
}

TEST(ProtoJsonTest, WhatThereIsNotIsNullAndNeverAZeroOrUnspecified) {
  const nlohmann::ordered_json run = ToJson(v1::Run());
  for (const char* none : {"state", "failure", "last_train_loss", "last_heldout_loss",
                           "tokens_per_second", "memory_bytes", "checkpoint"}) {
    EXPECT_TRUE(run[none].is_null()) << none << ": " << run[none];
  }
  EXPECT_EQ(run["step"], 0);
  EXPECT_TRUE(ToJson(v1::Cell())["loss"].is_null());
  EXPECT_TRUE(ToJson(v1::Sweep())["max_device_hours"].is_null());
  v1::WatchSweepResponse watch;
  watch.set_eta_s(-1);
  EXPECT_TRUE(ToJson(watch)["eta_s"].is_null());
  watch.set_eta_s(0);
  EXPECT_EQ(ToJson(watch)["eta_s"], 0);
}

// A field that is renamed would no longer be found by its name.
TEST(ProtoJsonTest, ValuesThatThereAreStayNumbers) {
  v1::Run run;
  run.set_last_heldout_loss(2.5);
  run.set_failure(v1::DIVERGED);
  const nlohmann::ordered_json json = ToJson(run);
  EXPECT_EQ(json["last_heldout_loss"], 2.5);
  EXPECT_EQ(json["failure"], "DIVERGED");
}

TEST(ProtoJsonTest, RepeatedMessagesBecomeArraysOfObjects) {
  v1::ListSweepsResponse response;
  response.add_sweeps()->set_name("a");
  response.add_sweeps()->add_left_out("5k at 3e12 FLOPs");
  const nlohmann::ordered_json json = ToJson(response);
  ASSERT_EQ(json["sweeps"].size(), 2u);
  EXPECT_EQ(json["sweeps"][0]["name"], "a");
  EXPECT_EQ(json["sweeps"][1]["left_out"][0], "5k at 3e12 FLOPs");
}

}  // namespace
}  // namespace allometry::cli
