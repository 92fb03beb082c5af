// What several panels of a fit draw alike.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "figures/panel.h"
#include "fitting/report/fit.h"

namespace allometry::figures {

using fitting::Estimate;
using fitting::FitReport;
using fitting::Picture;

// Colour of a size, from the smallest to the largest of the figure.
class SizeColours {
 public:
  explicit SizeColours(const Picture& picture);
  Colour Of(double params) const;
  // The legend's strip.
  void AddScale(Panel& panel) const;

 private:
  double low_ = 0, high_ = 0;
};

// Marks of every curve as dots in the colours of their sizes.
void DrawData(Panel& panel, const Picture& picture, const SizeColours& colours, double radius,
              double opacity, const std::function<XY(const Picture::Mark&)>& place);

// The line of one method and, where it has bounds, its band.
void DrawEstimates(Panel& panel, const std::vector<Picture::Band>& bands,
                   const std::function<const Estimate&(const Picture::Band&)>& pick,
                   const Colour& colour, double dash);

// An estimate as a diamond with its interval.
void DrawAnswer(Panel& panel, double flops, const Estimate& estimate);

// Larger where there are few.
double DotRadius(const Picture& picture);

// "1.3e23".
std::string FlopsText(double flops);

double LargestFlops(const Picture& picture);

// The line of a method; nullptr where it was not asked for.
const Picture::Line* FindLine(const Picture& picture, fitting::Method method);

// "refused: ...", of the method, as a note under the legend.
void NoteAbsent(Panel& panel, const Picture::Line& line);

}  // namespace allometry::figures
