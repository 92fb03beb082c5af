// A sweep with a stage through a coordinator: one agent takes run after run, and the losses are the
// test's.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/coordinator_fixture.h"

namespace allometry::testing {

class StageTest : public CoordinatorTest {
 protected:
  // What a run that goes well says, from its start to its end.
  virtual std::vector<v1::Record> RecordsOf(const v1::RunSpec& spec, const v1::Run& run) = 0;

  v1::StageResult Stage() {
    const v1::GetSweepResponse sweep = Get();
    EXPECT_THAT(sweep.sweep().stages(), ::testing::SizeIs(1));
    return sweep.sweep().stages().empty() ? v1::StageResult() : sweep.sweep().stages(0);
  }
  std::string StageText() {
    std::string text;
    const v1::StageResult stage = Stage();
    for (const std::string& line : stage.lines()) absl::StrAppend(&text, line, "\n");
    return text;
  }
  bool AllEnded() {
    const v1::GetSweepResponse sweep = Get();
    return std::none_of(sweep.runs().begin(), sweep.runs().end(), [](const v1::Run& run) {
      return run.state() == v1::PENDING || run.state() == v1::LEASED;
    });
  }

  // Until the stage and the grid are done.
  void PlayUntilDone(FakeAgent& agent) {
    ASSERT_TRUE(Eventually([&] {
      PlayWhatThereIs(agent);
      return Stage().done() && AllEnded();
    })) << StageText();
  }
  void PlayWhatThereIs(FakeAgent& agent) {
    for (v1::Hold hold = agent.Obtain(2); hold.has_lease(); hold = agent.Obtain(2)) {
      Play(agent, hold);
    }
  }
  void Play(FakeAgent& agent, const v1::Hold& hold) {
    const auto records = RecordsOf(hold.spec(), AnyRun(hold.lease().run_id()));
    EXPECT_THAT(agent.Send(hold.lease(), records), IsOk());
    agent.MarkEnded(hold.lease(), records.size());
  }
};

}  // namespace allometry::testing
