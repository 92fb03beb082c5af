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
