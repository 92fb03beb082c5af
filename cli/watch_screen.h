// What `allo watch` draws on a terminal: why nothing runs, how far the sweep is, and a line a run
// or, above kMostRuns, a line a size, each with a bar, its time to the end and a small curve.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "proto/client.pb.h"

namespace allometry::cli {

struct ScreenSize {
  int columns = 80, rows = 24;
};

// More runs than this, or than the screen has lines for, are shown by size.
inline constexpr int kMostRuns = 20;

class WatchScreen {
 public:
  // `blocks`: curves in block characters of UTF-8; otherwise in ASCII.
  explicit WatchScreen(bool blocks) : blocks_(blocks) {}

  // Remembers the losses that the curves show: those seen while watching.
  void Add(const v1::WatchSweepResponse& message);
  // At most size.rows - 1 lines of at most size.columns - 1 characters, the newest message's.
  std::string Text(const v1::WatchSweepResponse& message, const ScreenSize& size) const;

 private:
  std::string RunLines(const v1::WatchSweepResponse& message, int columns) const;
  std::string SizeLines(const v1::WatchSweepResponse& message, int columns) const;
  std::string Curve(int64_t run_id, int width) const;

  const bool blocks_;
  std::map<int64_t, std::vector<double>> losses_;  // by run
};

// "demo: 2 of 6 cells, runs: 1 running, ...; 42% of 3.00e14 FLOPs; ETA 2m 10s": the line of a log.
std::string Headline(const v1::WatchSweepResponse& message);
// "  nothing runs: no worker is connected; ...", or empty while something runs or nothing waits.
std::string WhyNothingRuns(const v1::WatchSweepResponse& message);

// Losses as characters, the highest loss the tallest; the newest at the right, at most `width`.
std::string SmallCurve(const std::vector<double>& losses, int width, bool blocks);
// "####....".
std::string Bar(double share, int width);

}  // namespace allometry::cli
