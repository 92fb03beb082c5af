#include "figures/panel.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace allometry::figures {
namespace {

constexpr double kLeft = 62, kRight = 14, kBelow = 42, kTitle = 12, kSmall = 9;
constexpr double kRow = 13;  // of the legend and of notes
constexpr size_t kNoteLines = 3;
constexpr Colour kGrid{228, 228, 228}, kFrame{140, 140, 140};

// The part of a segment within the box.
std::optional<std::pair<XY, XY>> Clipped(const XY& a, const XY& b, const Box& box) {
  double from = 0, to = 1;
  const double dx = b.x - a.x, dy = b.y - a.y;
  const auto cut = [&](double p, double q) {
    if (p == 0) return q >= 0;
    const double t = q / p;
    if (p < 0) {
      from = std::max(from, t);
    } else {
      to = std::min(to, t);
    }
    return from <= to;
  };
  if (!cut(-dx, a.x - box.left) || !cut(dx, box.right - a.x) || !cut(-dy, a.y - box.top) ||
      !cut(dy, box.bottom - a.y)) {
    return std::nullopt;
  }
  return std::pair(XY{a.x + from * dx, a.y + from * dy}, XY{a.x + to * dx, a.y + to * dy});
}

// Sutherland and Hodgman (1974): one side of the box after the other.
std::vector<XY> ClippedArea(std::vector<XY> points, const Box& box) {
  const auto side = [&points](const auto& inside, const auto& meet) {
    std::vector<XY> kept;
    for (size_t i = 0; i < points.size(); ++i) {
      const XY& a = points[i];
      const XY& b = points[(i + 1) % points.size()];
      if (inside(a)) kept.push_back(a);
      if (inside(a) != inside(b)) kept.push_back(meet(a, b));
    }
    points = std::move(kept);
  };
  const auto at_x = [](double x) {
    return [x](const XY& a, const XY& b) {
      return XY{x, a.y + (b.y - a.y) * (x - a.x) / (b.x - a.x)};
    };
  };
  const auto at_y = [](double y) {
    return [y](const XY& a, const XY& b) {
      return XY{a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y), y};
    };
  };
  side([&](const XY& p) { return p.x >= box.left; }, at_x(box.left));
  side([&](const XY& p) { return p.x <= box.right; }, at_x(box.right));
  side([&](const XY& p) { return p.y >= box.top; }, at_y(box.top));
  side([&](const XY& p) { return p.y <= box.bottom; }, at_y(box.bottom));
  return points;
}

std::vector<XY> DiamondAbout(const XY& p, double r) {
  return {{p.x, p.y - r}, {p.x + r, p.y}, {p.x, p.y + r}, {p.x - r, p.y}};
}

}  // namespace

Panel::Panel(Drawing& drawing, const Box& outer, std::string title, Axis x_axis, Axis y_axis)
    : x(std::move(x_axis)),
      y(std::move(y_axis)),
      drawing_(drawing),
      outer_(outer),
      title_(std::move(title)) {}

void Panel::AddScale(std::string low, std::string high, std::vector<Colour> colours) {
  scale_low_ = std::move(low), scale_high_ = std::move(high), scale_ = std::move(colours);
}

double Panel::DrawHeader() {
  const double left = outer_.left + kLeft, right = outer_.right - kRight;
  double base = outer_.top + kTitle;
  drawing_.Add(Text{.at = {left, base}, .text = title_, .size = kTitle, .bold = true});
  double at = left;
  base += kRow + 2;
  bool any = false;
  const auto place = [&](double width) {
    if (at > left && at + width > right) at = left, base += kRow;
    any = true;
  };
  if (!scale_.empty()) {
    constexpr double kStep = 7;
    const std::string low = "N " + scale_low_;
    place(0);
    drawing_.Add(Text{.at = {at, base}, .text = low, .size = kSmall});
    at += WidthOf(low, kSmall) + 4;
    for (const Colour& colour : scale_) {
      drawing_.Add(Area{
          {{at, base - 7}, {at + kStep, base - 7}, {at + kStep, base}, {at, base}}, colour, 1});
      at += kStep;
    }
    at += 4;
    drawing_.Add(Text{.at = {at, base}, .text = scale_high_, .size = kSmall});
    at += WidthOf(scale_high_, kSmall) + 14;
  }
  for (const LegendEntry& entry : legend_) {
    const double width = 20 + WidthOf(Shown(entry.text), kSmall);
    place(width);
    const double middle = base - 3;
    switch (entry.kind) {
      case LegendEntry::Kind::kLine:
      case LegendEntry::Kind::kDashed:
        drawing_.Add(Line{{{at, middle}, {at + 15, middle}},
                          entry.colour,
                          2,
                          entry.kind == LegendEntry::Kind::kDashed ? 3.0 : 0.0});
        break;
      case LegendEntry::Kind::kDots:
        drawing_.Add(Dots{{{at + 3, middle}, {at + 11, middle}}, entry.colour, 2, 1});
        break;
      case LegendEntry::Kind::kDiamond:
        drawing_.Add(Area{DiamondAbout({at + 8, middle}, 4), entry.colour, 1});
        break;
    }
    drawing_.Add(Text{.at = {at + 19, base}, .text = entry.text, .size = kSmall});
    at += width + 12;
  }
  if (!any) base -= kRow;
  size_t lines = 0;
  for (const std::string& note : notes_) {
    for (const std::string& line : Wrapped(Shown(note), kSmall, right - left)) {
      if (lines++ >= kNoteLines) break;
      base += 11;
      drawing_.Add(Text{.at = {left, base}, .text = line, .size = kSmall, .colour = kGrey});
    }
  }
  return base + 7;
}

void Panel::DrawAxes() {
  const Box& in = inner_;
  double last = -1e9;
  for (const Tick& tick : x.Ticks()) {
    const double at = in.left + x.Share(tick.value) * (in.right - in.left);
    const bool labelled = !tick.label.empty();
    if (labelled) drawing_.Add(Line{{{at, in.top}, {at, in.bottom}}, kGrid, 0.6});
    drawing_.Add(Line{{{at, in.bottom}, {at, in.bottom + (labelled ? 4 : 2)}}, kFrame, 0.8});
    if (!labelled) continue;
    const Text text{.at = {at, in.bottom + 16},
                    .text = tick.label,
                    .size = kSmall,
                    .anchor = Anchor::kMiddle,
                    .raised = tick.raised};
    const Box box = BoxOf(text);
    if (box.left < last + 3 || box.right > outer_.right) continue;
    last = box.right;
    drawing_.Add(text);
  }
  last = 1e9;
  double widest = 0;
  for (const Tick& tick : y.Ticks()) {
    const double at = in.bottom - y.Share(tick.value) * (in.bottom - in.top);
    const bool labelled = !tick.label.empty();
    if (labelled) drawing_.Add(Line{{{in.left, at}, {in.right, at}}, kGrid, 0.6});
    drawing_.Add(Line{{{in.left - (labelled ? 4 : 2), at}, {in.left, at}}, kFrame, 0.8});
    if (!labelled) continue;
    const Text text{.at = {in.left - 6, at + 3},
                    .text = tick.label,
                    .size = kSmall,
                    .anchor = Anchor::kEnd,
                    .raised = tick.raised};
    const Box box = BoxOf(text);
    if (box.bottom > last - 1 || box.left < outer_.left + 14) continue;
    last = box.top;
    widest = std::max(widest, box.right - box.left);
    drawing_.Add(text);
  }
  drawing_.Add(Line{{{in.left, in.top}, {in.left, in.bottom}, {in.right, in.bottom}}, kFrame, 0.9});
  drawing_.Add(Text{.at = {(in.left + in.right) / 2, in.bottom + 32},
                    .text = x.label(),
                    .size = 10,
                    .anchor = Anchor::kMiddle});
  drawing_.Add(Text{.at = {in.left - std::max(widest, 22.0) - 14, (in.top + in.bottom) / 2},
                    .text = y.label(),
                    .size = 10,
                    .anchor = Anchor::kMiddle,
                    .upwards = true});
}

void Panel::Frame() {
  inner_ = {outer_.left + kLeft, DrawHeader(), outer_.right - kRight, outer_.bottom - kBelow};
  DrawAxes();
}

XY Panel::At(const XY& value) const {
  return {inner_.left + x.Share(value.x) * (inner_.right - inner_.left),
          inner_.bottom - y.Share(value.y) * (inner_.bottom - inner_.top)};
}

bool Panel::Inside(const XY& value) const {
  return x.Shows(value.x) && y.Shows(value.y) && inner_.Holds(At(value));
}

void Panel::ShadeFrom(double x_value, const std::string& label) {
  const double from = inner_.left + x.Share(x_value) * (inner_.right - inner_.left);
  // Less is the margin about the data.
  if (!(from < inner_.right - 0.06 * (inner_.right - inner_.left))) return;
  const double left = std::max(from, inner_.left);
  drawing_.Add(Area{{{left, inner_.top},
                     {inner_.right, inner_.top},
                     {inner_.right, inner_.bottom},
                     {left, inner_.bottom}},
                    Colour{250, 220, 140},
                    0.3});
  drawing_.Label(
      Text{
          .at = {left + 4, inner_.top + 10}, .text = label, .size = kSmall, .colour = {130, 90, 0}},
      inner_);
}

void Panel::Draw(const std::vector<XY>& values, const Colour& colour, double width, double dash) {
  std::vector<XY> piece;
  const auto end = [&] {
    if (piece.size() > 1) drawing_.Add(Line{piece, colour, width, dash});
    piece.clear();
  };
  for (size_t i = 1; i < values.size(); ++i) {
    const bool shown = x.Shows(values[i - 1].x) && y.Shows(values[i - 1].y) &&
                       x.Shows(values[i].x) && y.Shows(values[i].y);
    const auto part = shown ? Clipped(At(values[i - 1]), At(values[i]), inner_) : std::nullopt;
    if (!part) {
      end();
      continue;
    }
    const bool follows = !piece.empty() && std::abs(piece.back().x - part->first.x) < 1e-6 &&
                         std::abs(piece.back().y - part->first.y) < 1e-6;
    if (!follows) {
      end();
      piece.push_back(part->first);
    }
    piece.push_back(part->second);
  }
  end();
}

void Panel::DrawBetween(const std::vector<XY>& upper, const std::vector<XY>& lower,
                        const Colour& colour, double opacity) {
  std::vector<XY> outline;
  for (const XY& value : upper) {
    if (x.Shows(value.x) && y.Shows(value.y)) outline.push_back(At(value));
  }
  for (auto value = lower.rbegin(); value != lower.rend(); ++value) {
    if (x.Shows(value->x) && y.Shows(value->y)) outline.push_back(At(*value));
  }
  if (outline.size() < 3) return;
  drawing_.Add(Area{ClippedArea(std::move(outline), inner_), colour, opacity});
}

void Panel::DrawDots(const std::vector<XY>& values, const Colour& colour, double radius,
                     double opacity) {
  Dots dots{{}, colour, radius, opacity};
  for (const XY& value : values) {
    if (Inside(value)) dots.points.push_back(At(value));
  }
  drawing_.Add(std::move(dots));
}

void Panel::DrawDiamond(const XY& value, const Colour& colour) {
  if (!Inside(value)) return;
  drawing_.Add(Area{DiamondAbout(At(value), 5.5), kWhite, 1});
  drawing_.Add(Area{DiamondAbout(At(value), 4.5), colour, 1});
}

void Panel::DrawTriangle(const XY& value, const Colour& colour) {
  if (!Inside(value)) return;
  const XY p = At(value);
  drawing_.Add(Area{{{p.x - 4.5, p.y - 4}, {p.x + 4.5, p.y - 4}, {p.x, p.y + 4}}, colour, 1});
  drawing_.Add(
      Line{{{p.x - 4.5, p.y - 4}, {p.x + 4.5, p.y - 4}, {p.x, p.y + 4}, {p.x - 4.5, p.y - 4}},
           kBlack,
           0.7});
}

bool Panel::LabelAnswer(const XY& value, const std::string& text) {
  if (!Inside(value)) return false;
  const XY p = At(value);
  for (const XY& by : {XY{-9, 3}, XY{-9, -8}, XY{-9, 14}, XY{-9, -20}, XY{-9, 26}}) {
    const Text one{
        .at = {p.x + by.x, p.y + by.y}, .text = text, .size = kSmall, .anchor = Anchor::kEnd};
    if (drawing_.Label(one, inner_)) return true;
  }
  return false;
}

bool Panel::LabelAt(const XY& value, const std::string& text, const Colour& colour, double size) {
  if (!Inside(value)) return false;
  const XY p = At(value);
  struct Place {
    double dx, dy;
    Anchor anchor;
  };
  for (const Place& place :
       {Place{5, 3, Anchor::kStart}, Place{0, -6, Anchor::kMiddle}, Place{-5, 3, Anchor::kEnd},
        Place{0, 12, Anchor::kMiddle}, Place{5, -7, Anchor::kStart}, Place{5, 13, Anchor::kStart},
        Place{-5, -7, Anchor::kEnd}, Place{-5, 13, Anchor::kEnd}}) {
    const Text one{.at = {p.x + place.dx, p.y + place.dy},
                   .text = text,
                   .size = size,
                   .anchor = place.anchor,
                   .colour = colour};
    if (drawing_.Label(one, inner_)) return true;
  }
  return false;
}

}  // namespace allometry::figures
