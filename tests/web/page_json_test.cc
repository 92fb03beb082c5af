#include "web/page_json.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "web/json_text.h"

namespace allometry::web {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(PageJsonTest, NumbersComeBackAsTheyWere) {
  for (const double value : {0.0, 1.0, -2.5, 1e300, 5e-324, 0.1, 1.0 / 3, 6.02214076e23}) {
    std::string text;
    AppendNumber(text, value);
    EXPECT_EQ(json::parse(text).get<double>(), value) << text;
  }
  std::string none;
  AppendNumber(none, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(none, "null");
}

TEST(PageJsonTest, AnyBytesAreAText) {
  for (const std::string& bytes :
       {std::string("</script>\"\\\n"), std::string("\xff\xfe"), std::string(1, '\0')}) {
    std::string text;
    AppendText(text, bytes);
    EXPECT_TRUE(json::accept(text)) << text;
  }
}

v1::SweepChanges TwoRuns() {
  v1::SweepChanges changes;
  changes.set_revision("life-3");
  changes.set_whole(true);
  changes.mutable_sweep()->set_name("tiny");
  changes.set_eta_s(-1);
  v1::RunSummary& waiting = *changes.add_runs();
  waiting.set_run_id(1);
  waiting.set_size("5k");
  waiting.set_state(v1::PENDING);
  waiting.set_reason("no worker, \"yet\"\nsecond line");
  v1::RunSummary& failed = *changes.add_runs();
  failed.set_run_id(2);
  failed.set_state(v1::RUN_FAILED);
  failed.set_failure(v1::OOM);
  failed.set_heldout_loss(2.5);
  failed.set_step(10);
  failed.set_batch_tokens(512);
  failed.set_flops_per_token(6000);
  changes.add_cells()->set_run_id(1);
  v1::Cell& done = *changes.add_cells();
  done.set_run_id(2);
  done.set_done(true);
  done.set_loss(2.5);
  return changes;
}

TEST(PageJsonTest, ChangesAreColumnsWithNullForWhatIsNotKnown) {
  const json page = json::parse(ChangesJson(TwoRuns()));
  EXPECT_EQ(page["revision"], "life-3");
  EXPECT_TRUE(page["whole"].get<bool>());
  EXPECT_EQ(page["sweep"]["name"], "tiny");
  EXPECT_TRUE(page["eta_s"].is_null());
  EXPECT_EQ(page["runs"]["run_id"], json({1, 2}));
  EXPECT_EQ(page["runs"]["state"], json({"waiting", "failed"}));
  EXPECT_EQ(page["runs"]["failure"], json({"", "OOM"}));
  EXPECT_EQ(page["runs"]["heldout_loss"], json({nullptr, 2.5}));
  EXPECT_EQ(page["cells"]["loss"], json({nullptr, 2.5}));
  for (const auto& [name, column] : page["runs"].items()) EXPECT_EQ(column.size(), 2) << name;
  for (const auto& [name, column] : page["cells"].items()) EXPECT_EQ(column.size(), 2) << name;
}

TEST(PageJsonTest, RunsAreCsvWithQuotedText) {
  const std::string csv = RunsCsv(TwoRuns());
  EXPECT_THAT(csv, HasSubstr("\"no worker, \"\"yet\"\"\nsecond line\""));
  EXPECT_THAT(csv, HasSubstr("\n2,,0,0,0,,failed,OOM,0,10,0,5120,30720000,,2.5,,0,,\n"));
}

TEST(PageJsonTest, CurvesAreJsonAndCsv) {
  v1::GetCurvesResponse response;
  v1::Curve& curve = *response.add_curves();
  curve.set_run_id(3);
  curve.set_size("5k");
  curve.set_params(5000);
  curve.add_x(1e12);
  curve.add_y(3.25);
  response.add_frontier_x(1e12);
  response.add_frontier_y(3.25);
  response.add_frontier_run_id(3);
  response.add_series("heldout");
  const json page = json::parse(CurvesJson(response));
  EXPECT_EQ(page["curves"][0]["x"], json({1e12}));
  EXPECT_EQ(page["frontier"]["run_id"], json({3}));
  EXPECT_EQ(page["series"], json({"heldout"}));
  EXPECT_EQ(CurvesCsv(response, "flops", "heldout"),
            "run_id,size,params,seed,flops,heldout\n3,5k,5000,0,1e+12,3.25\n");
}

}  // namespace
}  // namespace allometry::web
