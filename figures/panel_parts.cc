#include "figures/panel_parts.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "figures/palette.h"

namespace allometry::figures {

SizeColours::SizeColours(const Picture& picture) {
  for (const Picture::Curve& curve : picture.curves) {
    if (low_ == 0 || curve.params < low_) low_ = curve.params;
    high_ = std::max(high_, curve.params);
  }
}

Colour SizeColours::Of(double params) const {
  return Viridis(high_ > low_ ? std::log(params / low_) / std::log(high_ / low_) : 0.3);
}

void SizeColours::AddScale(Panel& panel) const {
  if (!(high_ > low_)) return;
  std::vector<Colour> colours;
  for (int k = 0; k < 8; ++k) colours.push_back(Viridis(k / 7.0));
  panel.AddScale(CountText(low_), CountText(high_), std::move(colours));
}

void DrawData(Panel& panel, const Picture& picture, const SizeColours& colours, double radius,
              double opacity, const std::function<XY(const Picture::Mark&)>& place) {
  for (const Picture::Curve& curve : picture.curves) {
    std::vector<XY> values;
    for (const Picture::Mark& mark : curve.marks) values.push_back(place(mark));
    panel.DrawDots(values, colours.Of(curve.params), radius, opacity);
  }
}

void DrawEstimates(Panel& panel, const std::vector<Picture::Band>& bands,
                   const std::function<const Estimate&(const Picture::Band&)>& pick,
                   const Colour& colour, double dash) {
  std::vector<XY> line, upper, lower;
  for (const Picture::Band& band : bands) {
    const Estimate& estimate = pick(band);
    if (!estimate.estimate) continue;
    line.push_back({band.flops, *estimate.estimate});
    if (!estimate.lower || !estimate.upper) continue;
    // A bound that an axis cannot show lies far below what it does show.
    const double least = panel.y.low();
    lower.push_back({band.flops, panel.y.Shows(*estimate.lower) ? *estimate.lower : least / 10});
    upper.push_back({band.flops, *estimate.upper});
  }
  if (!upper.empty()) panel.DrawBetween(upper, lower, colour, 0.16);
  panel.Draw(line, colour, 1.8, dash);
}

void DrawAnswer(Panel& panel, double flops, const Estimate& estimate) {
  if (!estimate.estimate) return;
  if (estimate.lower && estimate.upper) {
    const double low = panel.y.Shows(*estimate.lower) ? *estimate.lower : panel.y.low();
    panel.Draw({{flops, low}, {flops, *estimate.upper}}, kBlack, 1.3);
  }
  panel.DrawDiamond({flops, *estimate.estimate}, kBlack);
}

double DotRadius(const Picture& picture) {
  size_t marks = 0;
  for (const Picture::Curve& curve : picture.curves) marks += curve.marks.size();
  return marks < 120 ? 1.9 : marks < 600 ? 1.4 : 0.9;
}

std::string FlopsText(double flops) {
  std::string text = absl::StrFormat("%.2g", flops);
  if (const size_t plus = text.find("e+"); plus != std::string::npos) {
    text.erase(plus + 1, text[plus + 2] == '0' ? 2 : 1);
  }
  return text;
}

double LargestFlops(const Picture& picture) {
  double largest = 0;
  for (const Picture::Curve& curve : picture.curves) {
    for (const Picture::Mark& mark : curve.marks) largest = std::max(largest, mark.flops);
  }
  return largest;
}

const Picture::Line* FindLine(const Picture& picture, fitting::Method method) {
  for (const Picture::Line& line : picture.lines) {
    if (line.method == method) return &line;
  }
  return nullptr;
}

void NoteAbsent(Panel& panel, const Picture::Line& line) {
  if (line.why_not.empty()) return;
  constexpr size_t kMost = 150;
  std::string why = line.why_not;
  if (why.size() > kMost) why = why.substr(0, why.rfind(' ', kMost)) + " ...";
  panel.AddNote(absl::StrCat(fitting::Name(line.method), " is not drawn, ", why));
}

}  // namespace allometry::figures
