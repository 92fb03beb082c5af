// One pair of axes of a figure, with its title and legend. What is drawn in it is clipped to it.
#pragma once

#include <string>
#include <vector>

#include "figures/axis.h"
#include "figures/drawing.h"

namespace allometry::figures {

struct LegendEntry {
  enum class Kind { kLine, kDashed, kDots, kDiamond };
  std::string text;
  Colour colour;
  Kind kind = Kind::kLine;
};

class Panel {
 public:
  Panel(Drawing& drawing, const Box& outer, std::string title, Axis x, Axis y);

  Axis x, y;  // to be covered and settled before Frame

  void AddLegend(LegendEntry entry) { legend_.push_back(std::move(entry)); }
  // What cannot be shown and why, in at most two lines under the legend.
  void AddNote(const std::string& note) { notes_.push_back(note); }
  // A strip of colours from the smallest to the largest size.
  void AddScale(std::string low, std::string high, std::vector<Colour> colours);

  // Title, legend, notes, grid, ticks and the axes' labels. Before anything below.
  void Frame();

  // A ground from this x on.
  void ShadeFrom(double x_value, const std::string& label);
  // Points are (x, y) as values.
  void Draw(const std::vector<XY>& values, const Colour& colour, double width, double dash = 0);
  void DrawBetween(const std::vector<XY>& upper, const std::vector<XY>& lower, const Colour& colour,
                   double opacity);
  void DrawDots(const std::vector<XY>& values, const Colour& colour, double radius, double opacity);
  void DrawDiamond(const XY& value, const Colour& colour);
  // Downwards, as of a minimum.
  void DrawTriangle(const XY& value, const Colour& colour);
  // The first of the places about the value where it meets no other text; false: none.
  bool LabelAt(const XY& value, const std::string& text, const Colour& colour, double size = 9);
  // To the left of a diamond and clear of its bar.
  bool LabelAnswer(const XY& value, const std::string& text);

  bool Inside(const XY& value) const;
  XY At(const XY& value) const;
  const Box& inner() const { return inner_; }

 private:
  double DrawHeader();
  void DrawAxes();

  Drawing& drawing_;
  Box outer_, inner_;
  std::string title_;
  std::vector<LegendEntry> legend_;
  std::vector<std::string> notes_;
  std::string scale_low_, scale_high_;
  std::vector<Colour> scale_;
};

}  // namespace allometry::figures
