#include "cli/watch_screen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace allometry::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// `runs` runs in sizes of five; the first `running` train.
v1::WatchSweepResponse Sweep(int runs, int running) {
  v1::WatchSweepResponse message;
  v1::Sweep& sweep = *message.mutable_sweep();
  sweep.set_name("demo");
  sweep.set_runs(runs);
  sweep.set_runs_leased(running);
  sweep.set_cells(2 * runs);
  message.set_flops_total(1e15);
  message.set_flops_done(2.5e14);
  message.set_eta_s(running > 0 ? 130 : -1);
  for (int k = 0; k < runs; ++k) {
    v1::Run& run = *message.add_runs();
    run.set_run_id(k + 1);
    run.set_size(absl::StrCat(k / 5 + 1, "0k"));
    run.set_n_params(10000 * (k / 5 + 1));
    run.mutable_spec()->set_steps(1000);
    run.mutable_spec()->mutable_identity()->set_batch_tokens(512);
    run.mutable_spec()->mutable_identity()->set_seed(k % 5);
    run.set_state(k < running ? v1::LEASED : v1::PENDING);
    if (k < running) {
      run.set_step(500);
      run.set_tokens_per_second(25600);
      run.set_last_heldout_loss(3.25);
    } else {
      run.set_reason("waiting: no worker is connected; start one with 'allo worker'");
    }
  }
  return message;
}

int CharactersOf(absl::string_view line) {
  int characters = 0;
  for (const char c : line) characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
  return characters;
}

std::string Drawn(const v1::WatchSweepResponse& message, const ScreenSize& size) {
  WatchScreen screen(true);
  v1::WatchSweepResponse earlier = message;
  for (double loss = 6; loss > 3; loss -= 0.1) {
    for (v1::Run& run : *earlier.mutable_runs()) {
      if (run.state() == v1::LEASED) run.set_last_heldout_loss(loss);
    }
    screen.Add(earlier);
  }
  screen.Add(message);
  return screen.Text(message, size);
}

TEST(WatchScreenTest, FitsEveryTerminalFromEightyColumnsOn) {
  for (const int runs : {1, 6, 20, 21, 100, 500}) {
    for (const ScreenSize size : {ScreenSize{80, 24}, ScreenSize{100, 30}, ScreenSize{250, 70}}) {
      const std::string text = Drawn(Sweep(runs, std::min(runs, 3)), size);
      const std::vector<absl::string_view> lines =
          absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
      EXPECT_LT(lines.size(), static_cast<size_t>(size.rows)) << text;
      for (const absl::string_view line : lines) {
        EXPECT_LT(CharactersOf(line), size.columns) << line;
      }
    }
  }
}

TEST(WatchScreenTest, AFewRunsHaveALineEachWithTimeAndCurve) {
  const std::string text = Drawn(Sweep(6, 2), {80, 24});
  EXPECT_THAT(text, StartsWith("demo  [#####...............] 25% of 1.00e15 FLOPs  ETA 2m 10s\n"));
  EXPECT_THAT(text, HasSubstr("2 running, 4 waiting, 0 done; cells: 0 of 12"));
  EXPECT_THAT(text, HasSubstr("seed"));
  EXPECT_THAT(text, HasSubstr(" 50% 25.6k 3.2500 10s"));
  EXPECT_THAT(text, HasSubstr("\u2588"));  // the curve's highest loss
  EXPECT_THAT(text, HasSubstr("\u2581"));
  EXPECT_THAT(text, Not(HasSubstr("more lines")));
}

TEST(WatchScreenTest, ManyRunsAreShownBySize) {
  const std::string text = Drawn(Sweep(40, 3), {80, 24});
  EXPECT_THAT(text, HasSubstr("best loss"));
  for (const char* size : {"10k", "20k", "80k"}) EXPECT_THAT(text, HasSubstr(size));
  EXPECT_THAT(text, Not(HasSubstr("more lines")));
}

TEST(WatchScreenTest, TheReasonIsOnTopWhileNothingRuns) {
  EXPECT_THAT(Drawn(Sweep(6, 0), {80, 24}),
              StartsWith("nothing runs: no worker is connected; start one with 'allo worker'\n"));
  EXPECT_EQ(WhyNothingRuns(Sweep(6, 1)), "");
}

TEST(WatchScreenTest, ANarrowTerminalKeepsTheReasonAndEveryNumber) {
  const ScreenSize narrow = {.columns = 60, .rows = 24};
  const std::string waiting = Drawn(Sweep(30, 0), narrow);
  EXPECT_THAT(waiting, HasSubstr("no worker is connected; start one with 'allo\n    worker'\n"));
  v1::WatchSweepResponse message = Sweep(30, 2);
  message.set_eta_s(93 * 3600);
  message.mutable_sweep()->set_name("a-sweep-with-a-longer-name");
  const std::string running = Drawn(message, narrow);
  EXPECT_THAT(running, HasSubstr("ETA 93h 00m"));
  EXPECT_THAT(running, HasSubstr("ETA\n"));
  for (const std::string& text : {waiting, running}) {
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      EXPECT_LT(CharactersOf(line), 60) << line;
    }
  }
  EXPECT_THAT(running, HasSubstr("40s\n")) << "of the size that runs";
}

TEST(WatchScreenTest, WhatHasNoRoomIsCounted) {
  EXPECT_THAT(Drawn(Sweep(12, 0), {60, 6}), HasSubstr("more lines: 'allo runs' lists all"));
  // Where a line a run has no room, a line a size has.
  const std::string text = Drawn(Sweep(20, 0), {80, 24});
  EXPECT_THAT(text, HasSubstr("best loss"));
  EXPECT_THAT(text, Not(HasSubstr("more lines")));
}

TEST(BarTest, IsFullOnlyAtTheEnd) {
  EXPECT_EQ(Bar(0, 4), "....");
  EXPECT_EQ(Bar(0.999, 4), "###.");
  EXPECT_EQ(Bar(1, 4), "####");
  EXPECT_EQ(Bar(7, 4), "####");
}

TEST(SmallCurveTest, GoesFromTheFirstLossToTheLast) {
  EXPECT_EQ(SmallCurve({4, 3, 2, 1}, 4, false), "#+,_");
  EXPECT_EQ(SmallCurve({1}, 4, false), "");
  EXPECT_EQ(SmallCurve({2, 2}, 4, false), "__");
  EXPECT_EQ(SmallCurve({8, 7, 6, 5, 4, 3, 2, 1}, 2, true), "\u2588\u2581");
}

}  // namespace
}  // namespace allometry::cli
