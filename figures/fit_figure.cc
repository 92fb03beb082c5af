#include "figures/fit_figure.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "figures/fit_panels.h"
#include "figures/html.h"

namespace allometry::figures {
namespace {

constexpr double kWidth = 1080, kMargin = 10, kPanelHeight = 390;
constexpr size_t kConclusionLines = 9;

// Returns the y below it.
double DrawHead(Drawing& drawing, const fitting::FitReport& report, const std::string& title,
                const std::vector<std::string>& conclusion) {
  const double left = kMargin + 10;
  double base = 24;
  const std::string head =
      absl::StrFormat("fit %s: used %d of %d observations; N: %s, C: %s", report.fit_id,
                      report.used, report.total, report.params_policy, report.flops_convention);
  if (!title.empty()) {
    // Bold letters are at most a quarter wider than the plain ones that lines are measured by.
    const std::vector<std::string> lines = Wrapped(Shown(title), 1.25 * 15, kWidth - 2 * left);
    drawing.Add(Text{
        .at = {left, base}, .text = lines.empty() ? "" : lines.front(), .size = 15, .bold = true});
    base += 19;
  }
  const std::vector<std::string> lines = Wrapped(Shown(head), 10, kWidth - 2 * left);
  drawing.Add(Text{.at = {left, base}, .text = lines.front(), .size = 10, .colour = kGrey});
  base += 4;
  for (const std::string& line : conclusion) {
    base += 14;
    drawing.Add(Text{.at = {left, base}, .text = line, .size = 11});
  }
  return base + 14;
}

}  // namespace

Drawing DrawFit(const fitting::FitReport& report, const std::string& title) {
  std::vector<std::string> conclusion;
  for (const absl::string_view line :
       absl::StrSplit(fitting::ConclusionText(report), '\n', absl::SkipEmpty())) {
    // Lines that go on are indented: wrapped anew to the width of the page.
    if (absl::StartsWith(line, "  ") && !conclusion.empty()) {
      absl::StrAppend(&conclusion.back(), " ", absl::StripAsciiWhitespace(line));
    } else {
      conclusion.emplace_back(line);
    }
  }
  std::vector<std::string> lines;
  for (const std::string& one : conclusion) {
    for (std::string& line : Wrapped(Shown(one), 11, kWidth - 2 * (kMargin + 10))) {
      lines.push_back(std::move(line));
    }
  }
  if (lines.size() > kConclusionLines) {
    lines.resize(kConclusionLines);
    lines.back() = "... (the report says all of it)";
  }
  const double head = (title.empty() ? 0 : 19) + 24 + 4 + 14 * (lines.size() + 1.0);
  Drawing drawing(kWidth, head + 3 * kPanelHeight + kMargin);
  const double top = DrawHead(drawing, report, title, lines);
  const double width = (kWidth - 2 * kMargin) / 2;
  const auto box = [&](int column, int row) {
    const double left = kMargin + column * width, above = top + row * kPanelHeight;
    return Box{left, above, left + width, above + kPanelHeight};
  };
  DrawLossPanel(drawing, box(0, 0), report);
  DrawProfilePanel(drawing, box(1, 0), report);
  DrawOptimumPanel(drawing, box(0, 1), report, Optimum::kParams);
  DrawOptimumPanel(drawing, box(1, 1), report, Optimum::kTokens);
  DrawResidualPanel(drawing, box(0, 2), report);
  DrawSurfacePanel(drawing, box(1, 2), report);
  return drawing;
}

std::string FitHtml(const std::string& title, const std::string& report_text,
                    const std::string& svg) {
  const std::string conclusion = report_text.substr(0, report_text.find("\n\n"));
  return HtmlPage(title, {{"", conclusion, svg}, {"The whole report", report_text, ""}});
}

}  // namespace allometry::figures
