#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "figures/fit_panels.h"
#include "figures/palette.h"
#include "figures/panel_parts.h"

namespace allometry::figures {
namespace {

using fitting::Method;

constexpr double kHighest = 0.98;  // of the losses that set the upper end of the axis
constexpr size_t kFewForDots = 16;
constexpr int kMostSizeLabels = 10;

// Indices 0 .. n - 1: the ends first, then the middle, then the quarters.
std::vector<size_t> EndsFirst(size_t n) {
  std::vector<size_t> order;
  if (n == 0) return order;
  order.push_back(n - 1);
  if (n > 1) order.push_back(0);
  for (size_t parts = 2; order.size() < n && parts < 4 * n; parts *= 2) {
    for (size_t k = 1; k < parts; k += 2) {
      const size_t i = k * (n - 1) / parts;
      if (std::find(order.begin(), order.end(), i) == order.end()) order.push_back(i);
    }
  }
  return order;
}

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto k = static_cast<size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<long>(k), values.end());
  return values[k];
}

// The floor of the first usable method.
Estimate Floor(const FitReport& report) {
  for (const fitting::MethodFit& fit : report.fits) {
    const Estimate* floor = fit.Find("E");
    if (floor != nullptr && !fit.refused && !fit.not_usable) return *floor;
  }
  return {};
}

}  // namespace

void DrawLossPanel(Drawing& drawing, const Box& box, const FitReport& report) {
  const Picture& picture = report.picture;
  Panel panel(drawing, box, "Loss against compute", Axis("C, FLOPs", Unit::kFlops, true),
              Axis("loss, nats per token", Unit::kPlain, true));
  std::vector<double> losses;
  for (const Picture::Curve& curve : picture.curves) {
    for (const Picture::Mark& mark : curve.marks) {
      panel.x.Cover(mark.flops);
      losses.push_back(mark.loss);
    }
  }
  if (!losses.empty()) {
    panel.y.Cover(*std::min_element(losses.begin(), losses.end()));
    panel.y.Cover(Quantile(losses, losses.size() > 200 ? kHighest : 1));
  }
  const Picture::Line* law = FindLine(picture, Method::kParametric);
  const Picture::Line* direct = FindLine(picture, Method::kLossCompute);
  const double least = panel.y.covered() ? panel.y.low() : 0;
  for (const Picture::Line* line : {law, direct}) {
    if (line == nullptr) continue;
    for (const Picture::Band& band : line->bands) {
      panel.x.Cover(band.flops);
      if (band.loss.estimate && *band.loss.estimate > 0.2 * least)
        panel.y.Cover(*band.loss.estimate);
    }
  }
  for (const fitting::Answer& one : report.conclusion.answers) panel.x.Cover(one.flops);
  const Estimate floor = Floor(report);
  const bool near =
      floor.estimate && *floor.estimate > 0.6 * (panel.y.covered() ? panel.y.low() : 0);
  if (near) panel.y.Cover(*floor.estimate);
  panel.x.Settle();
  panel.y.Settle(0.05);

  const SizeColours colours(picture);
  colours.AddScale(panel);
  if (law != nullptr && !law->bands.empty()) {
    panel.AddLegend({"parametric L*(C)", MethodColour(Method::kParametric)});
  }
  if (direct != nullptr && !direct->bands.empty()) {
    panel.AddLegend(
        {"loss-compute", MethodColour(Method::kLossCompute), LegendEntry::Kind::kDashed});
  }
  const Picture::Line* frontier = FindLine(picture, Method::kFrontier);
  if (frontier != nullptr && !frontier->minima.empty()) {
    panel.AddLegend({"frontier", kBlack, LegendEntry::Kind::kDots});
  }
  if (law != nullptr) NoteAbsent(panel, *law);
  panel.Frame();
  panel.ShadeFrom(LargestFlops(picture), "beyond the data");

  for (const Picture::Curve& curve : picture.curves) {
    std::vector<XY> values;
    // Where a size has several runs to one C the line goes through their mean.
    std::vector<XY> line;
    int of = 0;
    for (const Picture::Mark& mark : curve.marks) {
      values.push_back({mark.flops, mark.loss});
      if (!line.empty() && mark.flops < 1.02 * line.back().x) {
        ++of;
        line.back().y += (mark.loss - line.back().y) / of;
      } else {
        line.push_back({mark.flops, mark.loss});
        of = 1;
      }
    }
    panel.Draw(line, colours.Of(curve.params), 0.8);
    panel.DrawDots(values, colours.Of(curve.params), values.size() <= kFewForDots ? 1.7 : 0.9, 1);
  }
  if (frontier != nullptr) {
    std::vector<XY> minima;
    for (const Picture::Mark& mark : frontier->minima) minima.push_back({mark.flops, mark.loss});
    panel.DrawDots(minima, kBlack, 1.4, 0.9);
  }
  const auto loss_of = [](const Picture::Band& band) -> const Estimate& { return band.loss; };
  if (direct != nullptr) {
    DrawEstimates(panel, direct->bands, loss_of, MethodColour(Method::kLossCompute), 5);
  }
  if (law != nullptr) {
    DrawEstimates(panel, law->bands, loss_of, MethodColour(Method::kParametric), 0);
  }
  for (const fitting::Answer& one : report.conclusion.answers) {
    DrawAnswer(panel, one.flops, one.loss);
    if (!one.loss.estimate) continue;
    panel.LabelAnswer({one.flops, *one.loss.estimate},
                      absl::StrFormat("L %.3f", *one.loss.estimate));
  }
  if (near) {
    const double y = *floor.estimate;
    panel.Draw({{panel.x.low(), y}, {panel.x.high(), y}}, kGrey, 1, 2);
    panel.LabelAt({panel.x.low() * std::pow(panel.x.high() / panel.x.low(), 0.02), y},
                  absl::StrFormat("E %.3g", y), kGrey);
  }
  // Runs of one size are labelled once.
  std::vector<const Picture::Curve*> sizes;
  for (const Picture::Curve& curve : picture.curves) {
    if (curve.marks.empty()) continue;
    if (sizes.empty() || curve.params > 1.01 * sizes.back()->params) sizes.push_back(&curve);
  }
  int labels = 0;
  for (const size_t k : EndsFirst(sizes.size())) {
    const Picture::Curve& curve = *sizes[k];
    const std::string text = CountText(curve.params);
    const Colour colour = colours.Of(curve.params);
    const bool placed =
        panel.LabelAt({curve.marks.back().flops, curve.marks.back().loss}, text, colour);
    labels += placed ? 1 : 0;
    if (labels == kMostSizeLabels) break;
  }
}

void DrawProfilePanel(Drawing& drawing, const Box& box, const FitReport& report) {
  const Picture& picture = report.picture;
  Panel panel(drawing, box, "IsoFLOP profiles", Axis("N, parameters", Unit::kCount, true),
              Axis("loss, nats per token", Unit::kPlain, false));
  bool minima = false;
  std::vector<double> losses;
  for (const Picture::Profile& profile : picture.profiles) {
    for (const Picture::Mark& mark : profile.points) {
      panel.x.Cover(mark.params);
      losses.push_back(mark.loss);
    }
    if (profile.minimum) {
      minima = true;
      panel.x.Cover(profile.minimum->params);
      panel.y.Cover(profile.minimum->loss);
    }
  }
  if (!losses.empty()) {
    panel.y.Cover(*std::min_element(losses.begin(), losses.end()));
    panel.y.Cover(Quantile(losses, losses.size() > 60 ? 0.95 : 1));
  }
  panel.x.Settle(0.08);
  panel.y.Settle();
  if (picture.profiles.empty()) {
    panel.AddNote("no C at which three sizes were trained");
  } else {
    panel.AddLegend({"loss at one C", kGrey, LegendEntry::Kind::kDots});
    if (minima) panel.AddLegend({"curve and minimum of the isoFLOP method", kGrey});
  }
  const Picture::Line* isoflop = FindLine(picture, Method::kIsoflop);
  if (isoflop != nullptr) NoteAbsent(panel, *isoflop);
  panel.Frame();
  const auto colour_of = [&](size_t k) {
    const size_t n = picture.profiles.size();
    return Plasma(n > 1 ? static_cast<double>(k) / static_cast<double>(n - 1) : 0.4);
  };
  for (size_t k = 0; k < picture.profiles.size(); ++k) {
    const Picture::Profile& profile = picture.profiles[k];
    std::vector<XY> points, curve;
    for (const Picture::Mark& mark : profile.points) points.push_back({mark.params, mark.loss});
    for (const Picture::Mark& mark : profile.curve) curve.push_back({mark.params, mark.loss});
    if (curve.empty()) panel.Draw(points, colour_of(k), 0.6, 2);
    panel.Draw(curve, colour_of(k), 1.4);
    panel.DrawDots(points, colour_of(k), 2, 1);
    if (profile.minimum) {
      panel.DrawTriangle({profile.minimum->params, profile.minimum->loss}, colour_of(k));
    }
  }
  for (size_t k = 0; k < picture.profiles.size(); ++k) {
    const Picture::Profile& profile = picture.profiles[k];
    const std::string text = "C " + FlopsText(profile.flops);
    const Picture::Mark& last = profile.points.back();
    const Picture::Mark& first = profile.points.front();
    // At the end of its curve, above its minimum, or at the first and last of its points.
    std::vector<XY> places;
    if (!profile.curve.empty()) {
      places.push_back({profile.curve.back().params, profile.curve.back().loss});
    }
    if (profile.minimum) places.push_back({profile.minimum->params, profile.minimum->loss});
    places.push_back({last.params, last.loss});
    places.push_back({first.params, first.loss});
    for (const XY& place : places) {
      if (panel.LabelAt(place, text, colour_of(k))) break;
    }
  }
}

}  // namespace allometry::figures
