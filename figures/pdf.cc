// PDF 1.4 (ISO 32000-1): one page, its marks as one content stream, Helvetica from the reader.
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "figures/drawing.h"

namespace allometry::figures {
namespace {

// WinAnsi, which for what Shown() leaves is Latin-1, with brackets and backslashes escaped.
std::string PdfString(absl::string_view text) {
  std::string out = "(";
  for (size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0xc0 && i + 1 < text.size()) {
      byte = static_cast<unsigned char>(byte << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f));
    }
    if (byte == '(' || byte == ')' || byte == '\\') out.push_back('\\');
    if (byte < 0x80) {
      out.push_back(static_cast<char>(byte));
    } else {
      absl::StrAppendFormat(&out, "\\%03o", byte);
    }
  }
  return out + ")";
}

class Printer {
 public:
  explicit Printer(double height) : height_(height) {}

  void operator()(const Line& line) {
    if (line.points.size() < 2) return;
    Graphics(1);
    Stroke(line.colour, line.width);
    absl::StrAppendFormat(&out_, "%s 0 J 1 j\n",
                          line.dash > 0 ? absl::StrFormat("[%.4g] 0 d", line.dash) : "[] 0 d");
    Path(line.points);
    out_ += "S\n";
  }
  void operator()(const Area& area) {
    if (area.points.size() < 3) return;
    Graphics(area.opacity);
    absl::StrAppend(&out_, Rgb(area.colour), " rg\n");
    Path(area.points);
    out_ += "f\n";
  }
  void operator()(const Dots& dots) {
    if (dots.points.empty()) return;
    Graphics(dots.opacity);
    Stroke(dots.colour, 2 * dots.radius);
    out_ += "[] 0 d 1 J\n";
    for (const XY& p : dots.points) {
      absl::StrAppendFormat(&out_, "%.1f %.1f m %.1f %.1f l\n", p.x, height_ - p.y, p.x,
                            height_ - p.y);
    }
    out_ += "S\n";
  }
  void operator()(const Text& text) {
    Graphics(1);
    const double base = HelveticaWidthOf(text.text, text.size, text.bold);
    const double width = base + HelveticaWidthOf(text.raised, 0.7 * text.size, text.bold);
    const double before = text.anchor == Anchor::kStart    ? 0
                          : text.anchor == Anchor::kMiddle ? width / 2
                                                           : width;
    const auto piece = [&](double along, double up, double size, const std::string& words) {
      if (words.empty()) return;
      const char* font = text.bold ? "/F2" : "/F1";
      absl::StrAppendFormat(&out_, "BT %s %.4g Tf %s rg ", font, size, Rgb(text.colour));
      if (text.upwards) {
        absl::StrAppendFormat(&out_, "0 1 -1 0 %.2f %.2f Tm ", text.at.x - up,
                              height_ - text.at.y - before + along);
      } else {
        absl::StrAppendFormat(&out_, "1 0 0 1 %.2f %.2f Tm ", text.at.x - before + along,
                              height_ - text.at.y + up);
      }
      absl::StrAppend(&out_, PdfString(words), " Tj ET\n");
    };
    piece(0, 0, text.size, text.text);
    piece(base, 0.4 * text.size, 0.7 * text.size, text.raised);
  }

  const std::string& content() const { return out_; }
  // The opacities that the content names, in hundredths.
  std::string GraphicsStates() const {
    std::string text;
    for (const int hundredths : opacities_) {
      absl::StrAppendFormat(&text, "/G%d << /ca %.2f /CA %.2f >> ", hundredths, hundredths / 100.0,
                            hundredths / 100.0);
    }
    return text;
  }

 private:
  static std::string Rgb(const Colour& colour) {
    return absl::StrFormat("%.3f %.3f %.3f", colour.red / 255.0, colour.green / 255.0,
                           colour.blue / 255.0);
  }
  void Graphics(double opacity) {
    const int hundredths = static_cast<int>(100 * opacity + 0.5);
    if (hundredths == opacity_) return;
    opacity_ = hundredths;
    opacities_.insert(hundredths);
    absl::StrAppend(&out_, "/G", hundredths, " gs\n");
  }
  void Stroke(const Colour& colour, double width) {
    absl::StrAppendFormat(&out_, "%s RG %.4g w ", Rgb(colour), width);
  }
  void Path(const std::vector<XY>& points) {
    for (size_t i = 0; i < points.size(); ++i) {
      absl::StrAppendFormat(&out_, "%.1f %.1f %s\n", points[i].x, height_ - points[i].y,
                            i == 0 ? "m" : "l");
    }
  }

  const double height_;
  int opacity_ = 0;
  std::set<int> opacities_;
  std::string out_;
};

}  // namespace

std::string ToPdf(const Drawing& drawing) {
  Printer printer(drawing.height());
  for (const Drawing::Mark& mark : drawing.marks()) std::visit(printer, mark);
  const std::string& content = printer.content();
  const std::vector<std::string> objects = {
      "<< /Type /Catalog /Pages 2 0 R >>",
      "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
      absl::StrFormat("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %.0f %.0f] /Contents 4 0 R "
                      "/Resources << /Font << /F1 5 0 R /F2 6 0 R >> /ExtGState << %s>> >> >>",
                      drawing.width(), drawing.height(), printer.GraphicsStates()),
      absl::StrCat("<< /Length ", content.size(), " >>\nstream\n", content, "endstream"),
      "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
      "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>"};
  std::string out = "%PDF-1.4\n";
  std::string table = absl::StrFormat("xref\n0 %d\n0000000000 65535 f \n", objects.size() + 1);
  for (size_t i = 0; i < objects.size(); ++i) {
    absl::StrAppendFormat(&table, "%010d 00000 n \n", out.size());
    absl::StrAppend(&out, i + 1, " 0 obj\n", objects[i], "\nendobj\n");
  }
  const size_t start = out.size();
  absl::StrAppend(&out, table, "trailer\n<< /Size ", objects.size() + 1,
                  " /Root 1 0 R >>\nstartxref\n", start, "\n%%EOF\n");
  return out;
}

}  // namespace allometry::figures
