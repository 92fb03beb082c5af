#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "figures/fit_panels.h"
#include "figures/palette.h"
#include "figures/panel_parts.h"

namespace allometry::figures {
namespace {

using fitting::Method;

// Bounds reach at most so far beyond the estimates on an axis.
constexpr double kMostBeyond = 10;
constexpr int kLevels = 9;
constexpr double kMostOfData = 0.85;

// "parametric a 0.565 (0.513 to 0.626)".
std::string ExponentText(const FitReport& report, Method method, const char* name) {
  std::string text = fitting::Name(method);
  for (const fitting::MethodFit& fit : report.fits) {
    if (fit.method != method) continue;
    const Estimate* value = fit.Find(name);
    if (value == nullptr || !value->estimate) continue;
    absl::StrAppendFormat(&text, " %s %.3f", name, *value->estimate);
    if (value->lower && value->upper) {
      absl::StrAppendFormat(&text, " (%.3f to %.3f)", *value->lower, *value->upper);
    }
  }
  return text;
}

// "51.1B (33B to 86B)".
std::string AnswerText(const Estimate& estimate) {
  std::string text = CountText(*estimate.estimate);
  if (estimate.lower && estimate.upper && *estimate.lower > 0) {
    absl::StrAppend(&text, " (", CountText(*estimate.lower, 2), " to ",
                    CountText(*estimate.upper, 2), ")");
  }
  return text;
}

// Where L(N, D) has one value: it falls in N and in D, so every column and every row of the grid
// meets it at most once, and those places in order of N are the contour.
std::vector<XY> Contour(const Picture::Surface& surface, double level) {
  std::vector<XY> points;
  const size_t n = surface.params.size(), m = surface.tokens.size();
  const auto loss = [&](size_t t, size_t p) { return surface.loss[t * n + p]; };
  const auto between = [level](double a, double b) { return (a > level) != (b > level); };
  const auto mix = [level](double x, double y, double a, double b) {
    const double t = (a - level) / (a - b);
    return std::exp((1 - t) * std::log(x) + t * std::log(y));
  };
  for (size_t t = 0; t < m; ++t) {
    for (size_t p = 0; p < n; ++p) {
      if (p + 1 < n && between(loss(t, p), loss(t, p + 1))) {
        points.push_back({mix(surface.params[p], surface.params[p + 1], loss(t, p), loss(t, p + 1)),
                          surface.tokens[t]});
      }
      if (t + 1 < m && between(loss(t, p), loss(t + 1, p))) {
        points.push_back({surface.params[p], mix(surface.tokens[t], surface.tokens[t + 1],
                                                 loss(t, p), loss(t + 1, p))});
      }
    }
  }
  std::sort(points.begin(), points.end(),
            [](const XY& a, const XY& b) { return a.x != b.x ? a.x < b.x : a.y > b.y; });
  return points;
}

}  // namespace

void DrawOptimumPanel(Drawing& drawing, const Box& box, const FitReport& report, Optimum what) {
  const Picture& picture = report.picture;
  const bool params = what == Optimum::kParams;
  Panel panel(drawing, box, params ? "Best model size N*(C)" : "Best number of tokens D*(C)",
              Axis("C, FLOPs", Unit::kFlops, true),
              Axis(params ? "N, parameters" : "D, tokens", Unit::kCount, true));
  const auto pick = [params](const Picture::Band& band) -> const Estimate& {
    return params ? band.params : band.tokens;
  };
  const auto place = [params](const Picture::Mark& mark) {
    return XY{mark.flops, params ? mark.params : mark.tokens};
  };
  for (const Picture::Curve& curve : picture.curves) {
    for (const Picture::Mark& mark : curve.marks) {
      panel.x.Cover(place(mark).x);
      panel.y.Cover(place(mark).y);
    }
  }
  for (const Picture::Line& line : picture.lines) {
    for (const Picture::Mark& mark : line.minima) panel.y.Cover(place(mark).y);
    for (const Picture::Band& band : line.bands) {
      panel.x.Cover(band.flops);
      if (pick(band).estimate) panel.y.Cover(*pick(band).estimate);
    }
  }
  for (const fitting::Answer& one : report.conclusion.answers) {
    const Estimate& estimate = params ? one.params : one.tokens;
    panel.x.Cover(one.flops);
    if (!estimate.estimate || !estimate.upper) continue;
    panel.y.Cover(std::min(*estimate.upper, kMostBeyond * *estimate.estimate));
  }
  panel.x.Settle();
  panel.y.Settle(0.05);
  const SizeColours colours(picture);
  for (const Picture::Line& line : picture.lines) {
    if (line.method == Method::kLossCompute) continue;
    if (!line.bands.empty()) {
      panel.AddLegend(
          {ExponentText(report, line.method, params ? "a" : "b"), MethodColour(line.method)});
    }
    NoteAbsent(panel, line);
  }
  panel.Frame();
  panel.ShadeFrom(LargestFlops(picture), "beyond the data");
  DrawData(panel, picture, colours, DotRadius(picture), 0.5, place);
  for (auto line = picture.lines.rbegin(); line != picture.lines.rend(); ++line) {
    if (line->method == Method::kLossCompute) continue;
    DrawEstimates(panel, line->bands, pick, MethodColour(line->method),
                  line->method == Method::kParametric ? 0
                  : line->method == Method::kFrontier ? 6
                                                      : 2);
  }
  for (const Picture::Line& line : picture.lines) {
    std::vector<XY> minima;
    for (const Picture::Mark& mark : line.minima) minima.push_back(place(mark));
    if (line.method == Method::kIsoflop) {
      for (const XY& value : minima) panel.DrawTriangle(value, MethodColour(line.method));
    } else {
      panel.DrawDots(minima, MethodColour(line.method), 1.7, 1);
    }
  }
  for (const fitting::Answer& one : report.conclusion.answers) {
    const Estimate& estimate = params ? one.params : one.tokens;
    DrawAnswer(panel, one.flops, estimate);
    if (!estimate.estimate) continue;
    panel.LabelAnswer({one.flops, *estimate.estimate}, AnswerText(estimate));
  }
}

void DrawResidualPanel(Drawing& drawing, const Box& box, const FitReport& report) {
  const Picture& picture = report.picture;
  Panel panel(drawing, box, "Residuals of the parametric law", Axis("C, FLOPs", Unit::kFlops, true),
              Axis("loss above the law, %", Unit::kPlain, false));
  const auto percent = [](const Picture::Mark& mark) { return 100 * std::expm1(*mark.residual); };
  bool any = false;
  std::vector<double> sizes;
  for (const Picture::Curve& curve : picture.curves) {
    for (const Picture::Mark& mark : curve.marks) {
      panel.x.Cover(mark.flops);
      if (!mark.residual) continue;
      any = true;
      if (mark.in_window) sizes.push_back(std::abs(percent(mark)));
    }
  }
  const double sd = 100 * picture.residual_sd;
  // All but the farthest points of the window; those beyond the frame are counted.
  std::sort(sizes.begin(), sizes.end());
  double reach = 3 * sd;
  if (!sizes.empty())
    reach = std::max(reach, sizes[static_cast<size_t>(0.98 * (sizes.size() - 1))]);
  if (!(reach > 0)) reach = 1;
  panel.y.Cover(-reach);
  panel.y.Cover(reach);
  panel.x.Settle();
  panel.y.Settle(0.08);
  int beyond = 0, outside = 0;
  for (const Picture::Curve& curve : picture.curves) {
    for (const Picture::Mark& mark : curve.marks) {
      if (!mark.residual) continue;
      outside += mark.in_window ? 0 : 1;
      beyond += panel.Inside({mark.flops, percent(mark)}) ? 0 : 1;
    }
  }
  const SizeColours colours(picture);
  colours.AddScale(panel);
  if (any)
    panel.AddLegend(
        {absl::StrFormat("2 robust s.d., %.2g %%", 2 * sd), kGrey, LegendEntry::Kind::kDashed});
  const Picture::Line* law = FindLine(picture, Method::kParametric);
  if (!any) {
    panel.AddNote(law == nullptr ? "no parametric law was asked for"
                                 : "no parametric law: " + law->why_not);
  } else if (law != nullptr && !law->why_not.empty()) {
    NoteAbsent(panel, *law);
  }
  std::string left_out;
  if (outside > 0) {
    panel.AddLegend({"outside the law's window", {190, 190, 190}, LegendEntry::Kind::kDots});
  }
  panel.Frame();
  panel.Draw({{panel.x.low(), 0}, {panel.x.high(), 0}}, kBlack, 0.8);
  if (!any) return;
  for (const double side : {-2 * sd, 2 * sd}) {
    panel.Draw({{panel.x.low(), side}, {panel.x.high(), side}}, kGrey, 0.8, 4);
  }
  for (const bool in_window : {false, true}) {
    for (const Picture::Curve& curve : picture.curves) {
      std::vector<XY> values;
      for (const Picture::Mark& mark : curve.marks) {
        if (mark.residual && mark.in_window == in_window) {
          values.push_back({mark.flops, percent(mark)});
        }
      }
      panel.DrawDots(values, in_window ? colours.Of(curve.params) : Colour{190, 190, 190},
                     1.2 * DotRadius(picture), 0.85);
    }
  }
  if (beyond > 0) {
    const Box& in = panel.inner();
    drawing.Label(Text{.at = {in.right - 3, in.top + 10},
                       .text = absl::StrFormat("%d points beyond the frame", beyond),
                       .size = 9,
                       .anchor = Anchor::kEnd,
                       .colour = kGrey},
                  in);
  }
}

void DrawSurfacePanel(Drawing& drawing, const Box& box, const FitReport& report) {
  const Picture& picture = report.picture;
  Panel panel(drawing, box, "Fitted loss L(N, D) and the line of optima",
              Axis("N, parameters", Unit::kCount, true), Axis("D, tokens", Unit::kCount, true));
  const Picture::Line* law = FindLine(picture, Method::kParametric);
  std::vector<double> losses;
  for (const Picture::Curve& curve : picture.curves) {
    for (const Picture::Mark& mark : curve.marks) {
      panel.x.Cover(mark.params);
      panel.y.Cover(mark.tokens);
      losses.push_back(mark.loss);
    }
  }
  std::sort(losses.begin(), losses.end());
  // Where most of the data lies the contours are close enough to read.
  const double most =
      losses.empty() ? 0 : losses[static_cast<size_t>(kMostOfData * (losses.size() - 1))];
  double least = 1e300, highest = 0;
  if (picture.surface) {
    panel.x.Cover(picture.surface->params.front());
    panel.x.Cover(picture.surface->params.back());
    panel.y.Cover(picture.surface->tokens.front());
    panel.y.Cover(picture.surface->tokens.back());
    for (const double loss : picture.surface->loss) {
      least = std::min(least, loss), highest = std::max(highest, loss);
    }
    panel.x.Settle(0);
    panel.y.Settle(0);
    panel.AddLegend({"line of optima", MethodColour(Method::kParametric)});
    panel.AddLegend({"contours, nats per token", Plasma(0.3)});
    panel.AddLegend({"data", kGrey, LegendEntry::Kind::kDots});
  } else {
    panel.x.Settle();
    panel.y.Settle();
    panel.AddNote(law == nullptr ? "no parametric law was asked for"
                                 : "no surface: parametric is " + law->why_not);
  }
  panel.Frame();
  DrawData(panel, picture, SizeColours(picture), DotRadius(picture), 0.6,
           [](const Picture::Mark& mark) {
             return XY{mark.params, mark.tokens};
           });
  if (!picture.surface) return;
  const std::vector<double> levels = RoundNumbers(least, std::min(highest, most), kLevels);
  std::vector<std::vector<XY>> contours;
  for (size_t k = 0; k < levels.size(); ++k) {
    contours.push_back(Contour(*picture.surface, levels[k]));
    const double share = levels.size() > 1 ? k / static_cast<double>(levels.size() - 1) : 0;
    panel.Draw(contours.back(), Plasma(share), 1.1);
  }
  if (law != nullptr) {
    std::vector<XY> optima;
    for (const Picture::Band& band : law->bands) {
      if (band.params.estimate && band.tokens.estimate) {
        optima.push_back({*band.params.estimate, *band.tokens.estimate});
      }
    }
    panel.Draw(optima, MethodColour(Method::kParametric), 2.2);
  }
  for (const fitting::Answer& one : report.conclusion.answers) {
    if (!one.params.estimate || !one.tokens.estimate) continue;
    const XY at{*one.params.estimate, *one.tokens.estimate};
    panel.DrawDiamond(at, kBlack);
    panel.LabelAnswer(at, "C " + FlopsText(one.flops));
  }
  for (size_t k = 0; k < levels.size(); ++k) {
    const std::vector<XY>& contour = contours[k];
    const double share = levels.size() > 1 ? k / static_cast<double>(levels.size() - 1) : 0;
    for (const double along : {0.75, 0.9, 0.6, 0.35, 0.2}) {
      if (contour.empty()) break;
      const auto i = static_cast<size_t>(along * static_cast<double>(contour.size() - 1));
      if (!panel.Inside(contour[i])) continue;
      const XY p = panel.At(contour[i]);
      const Text text{.at = {p.x, p.y + 3},
                      .text = absl::StrFormat("%.4g", levels[k]),
                      .size = 9,
                      .anchor = Anchor::kMiddle,
                      .colour = Plasma(share)};
      if (drawing.Label(text, panel.inner())) break;
    }
  }
}

}  // namespace allometry::figures
