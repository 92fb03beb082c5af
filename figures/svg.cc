#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "figures/drawing.h"

namespace allometry::figures {
namespace {

std::string Hex(const Colour& colour) {
  return absl::StrFormat("#%02x%02x%02x", colour.red, colour.green, colour.blue);
}

std::string Escaped(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

std::string Opacity(const char* name, double opacity) {
  return opacity >= 1 ? "" : absl::StrFormat(" %s='%.2f'", name, opacity);
}

class Printer {
 public:
  void operator()(const Line& line) {
    if (line.points.size() < 2) return;
    absl::StrAppend(&out_, "<polyline points='", Points(line.points), "' fill='none' stroke='",
                    Hex(line.colour), "' stroke-width='", line.width, "'");
    if (line.dash > 0) absl::StrAppend(&out_, " stroke-dasharray='", line.dash, "'");
    absl::StrAppend(&out_, " stroke-linejoin='round'/>\n");
  }
  void operator()(const Area& area) {
    if (area.points.size() < 3) return;
    absl::StrAppend(&out_, "<polygon points='", Points(area.points), "' fill='", Hex(area.colour),
                    "'", Opacity("fill-opacity", area.opacity), "/>\n");
  }
  // Lines of no length with round ends: a tenth of the bytes of circles.
  void operator()(const Dots& dots) {
    if (dots.points.empty()) return;
    absl::StrAppend(&out_, "<path d='");
    for (const XY& p : dots.points) absl::StrAppendFormat(&out_, "M%.1f %.1fh0", p.x, p.y);
    absl::StrAppend(&out_, "' fill='none' stroke='", Hex(dots.colour), "' stroke-width='",
                    2 * dots.radius, "' stroke-linecap='round'",
                    Opacity("stroke-opacity", dots.opacity), "/>\n");
  }
  // The anchor is the reader's to apply, and an exponent follows its base: in any font both stay in
  // the box.
  void operator()(const Text& text) {
    const char* const anchors[] = {"start", "middle", "end"};
    const std::string place =
        text.upwards
            ? absl::StrFormat("transform='translate(%.1f %.1f) rotate(-90)'", text.at.x, text.at.y)
            : absl::StrFormat("x='%.1f' y='%.1f'", text.at.x, text.at.y);
    absl::StrAppendFormat(&out_, "<text %s font-size='%.4g'", place, text.size);
    if (text.anchor != Anchor::kStart) {
      absl::StrAppendFormat(&out_, " text-anchor='%s'", anchors[static_cast<int>(text.anchor)]);
    }
    if (text.bold) out_ += " font-weight='bold'";
    if (text.colour.red + text.colour.green + text.colour.blue > 0) {
      absl::StrAppend(&out_, " fill='", Hex(text.colour), "'");
    }
    absl::StrAppend(&out_, ">", Escaped(text.text));
    if (!text.raised.empty()) {
      absl::StrAppendFormat(&out_, "<tspan dy='%.1f' font-size='%.3g'>%s</tspan>", -0.4 * text.size,
                            0.7 * text.size, Escaped(text.raised));
    }
    out_ += "</text>\n";
  }

  std::string Take() { return std::move(out_); }

 private:
  static std::string Points(const std::vector<XY>& points) {
    std::string text;
    for (const XY& p : points) {
      absl::StrAppendFormat(&text, "%s%.1f,%.1f", text.empty() ? "" : " ", p.x, p.y);
    }
    return text;
  }

  std::string out_;
};

}  // namespace

std::string ToSvg(const Drawing& drawing) {
  Printer printer;
  for (const Drawing::Mark& mark : drawing.marks()) std::visit(printer, mark);
  return absl::StrFormat(
             "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' viewBox='0 0 %.0f "
             "%.0f' font-family='Helvetica, Arial, \"Liberation Sans\", sans-serif'>\n<rect "
             "width='100%%' height='100%%' fill='white'/>\n",
             drawing.width(), drawing.height(), drawing.width(), drawing.height()) +
         printer.Take() + "</svg>\n";
}

}  // namespace allometry::figures
