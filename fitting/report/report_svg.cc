#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_format.h"
#include "fitting/report/fit.h"

namespace allometry::fitting {
namespace {

constexpr double kWidth = 520, kHeight = 444, kLeft = 70, kTop = 74, kRight = 20, kBottom = 55;

// One panel over log10 C; y is log10 N or L.
class Panel {
 public:
  Panel(double offset, std::string title, std::string y_label, bool log_y)
      : offset_(offset), title_(std::move(title)), y_label_(std::move(y_label)), log_y_(log_y) {}

  void Cover(double flops, double y) {
    if (!(flops > 0) || !std::isfinite(flops) || !std::isfinite(y) || (log_y_ && y <= 0)) return;
    const double u = std::log10(flops), v = log_y_ ? std::log10(y) : y;
    low_x_ = std::min(low_x_, u), high_x_ = std::max(high_x_, u);
    low_y_ = std::min(low_y_, v), high_y_ = std::max(high_y_, v);
  }
  void Settle() {
    if (low_x_ > high_x_) low_x_ = 0, high_x_ = 1, low_y_ = 0, high_y_ = 1;
    const double x = std::max(0.05 * (high_x_ - low_x_), 0.1);
    const double y = std::max(0.05 * (high_y_ - low_y_), 0.02);
    low_x_ -= x, high_x_ += x, low_y_ -= y, high_y_ += y;
  }
  double X(double flops) const {
    const double u = (std::log10(flops) - low_x_) / (high_x_ - low_x_);
    return offset_ + kLeft + std::clamp(u, -0.02, 1.02) * (kWidth - kLeft - kRight);
  }
  double Y(double y) const {
    const double v = ((log_y_ ? std::log10(y) : y) - low_y_) / (high_y_ - low_y_);
    return kHeight - kBottom - std::clamp(v, -0.02, 1.02) * (kHeight - kTop - kBottom);
  }

  void Frame(std::string& out) const {
    absl::StrAppendFormat(&out,
                          "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='none' "
                          "stroke='#888'/>\n<text x='%.1f' y='%.1f' font-weight='bold'>%s</text>\n",
                          offset_ + kLeft, kTop, kWidth - kLeft - kRight, kHeight - kTop - kBottom,
                          offset_ + kLeft, kTop - 10, title_);
    const int step = std::max(1, static_cast<int>((high_x_ - low_x_) / 8));
    for (int k = static_cast<int>(std::ceil(low_x_)); k <= high_x_; k += step) {
      Tick(out, X(std::pow(10.0, k)), kHeight - kBottom, absl::StrFormat("1e%d", k), true);
    }
    if (log_y_) {
      const int every = std::max(1, static_cast<int>((high_y_ - low_y_) / 8));
      for (int k = static_cast<int>(std::ceil(low_y_)); k <= high_y_; k += every) {
        Tick(out, offset_ + kLeft, Y(std::pow(10.0, k)), absl::StrFormat("1e%d", k), false);
      }
    } else {
      const double span = high_y_ - low_y_, power = std::pow(10.0, std::floor(std::log10(span)));
      const double each = span / power > 5 ? power : span / power > 2 ? power / 2 : power / 5;
      for (double v = std::ceil(low_y_ / each) * each; v <= high_y_; v += each) {
        Tick(out, offset_ + kLeft, Y(v), absl::StrFormat("%.4g", v), false);
      }
    }
    absl::StrAppendFormat(&out, "<text x='%.1f' y='%.1f'>C, FLOPs</text>\n",
                          offset_ + kWidth / 2 - 20, kHeight - 15);
    absl::StrAppendFormat(&out, "<text transform='translate(%.1f %.1f) rotate(-90)'>%s</text>\n",
                          offset_ + 16, kHeight / 2 + 40, y_label_);
  }

 private:
  static void Tick(std::string& out, double x, double y, const std::string& label, bool below) {
    absl::StrAppendFormat(&out, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#888'/>", x,
                          y, below ? x : x - 5, below ? y + 5 : y);
    absl::StrAppendFormat(&out, "<text x='%.1f' y='%.1f' text-anchor='%s'>%s</text>\n",
                          below ? x : x - 8, below ? y + 18 : y + 4, below ? "middle" : "end",
                          label);
  }

  double offset_;
  std::string title_, y_label_;
  bool log_y_;
  double low_x_ = 1e300, high_x_ = -1e300, low_y_ = 1e300, high_y_ = -1e300;
};

void Dot(std::string& out, double x, double y, double radius, const std::string& fill,
         double opacity) {
  absl::StrAppendFormat(&out, "<circle cx='%.1f' cy='%.1f' r='%.1f' fill='%s' opacity='%.2f'/>\n",
                        x, y, radius, fill, opacity);
}

// The fitted line and its band, where there is one.
template <class Pick>
void Line(const Picture& picture, const Panel& panel, const Pick& pick, std::string& out) {
  std::string line, upper, lower;
  for (const Picture::Band& band : picture.fit) {
    const Estimate& estimate = pick(band);
    if (!estimate.estimate) continue;
    const double x = panel.X(band.flops);
    absl::StrAppendFormat(&line, "%.1f,%.1f ", x, panel.Y(*estimate.estimate));
    if (!estimate.lower || !estimate.upper) continue;
    absl::StrAppendFormat(&upper, "%.1f,%.1f ", x, panel.Y(*estimate.upper));
    lower = absl::StrFormat("%.1f,%.1f ", x, panel.Y(*estimate.lower)) + lower;
  }
  if (!upper.empty()) {
    absl::StrAppendFormat(&out, "<polygon points='%s%s' fill='#c33' opacity='0.18'/>\n", upper,
                          lower);
  }
  if (!line.empty()) {
    absl::StrAppendFormat(
        &out, "<polyline points='%s' fill='none' stroke='#c33' stroke-width='1.8'/>\n", line);
  }
}

// Dark to light by ln N.
std::string Colour(double params, double low, double high) {
  const double t =
      high > low ? (std::log(params) - std::log(low)) / (std::log(high) - std::log(low)) : 0.5;
  return absl::StrFormat("hsl(%.0f,65%%,%.0f%%)", 260 - 200 * t, 35 + 20 * t);
}

std::string Escape(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out.push_back(c);
  }
  return out;
}

}  // namespace

std::string ReportSvg(const FitReport& report) {
  const Picture& picture = report.picture;
  Panel loss(0, "loss against compute", "L, nats per token", false);
  Panel params(kWidth, "best model size against compute", "N*, parameters", true);
  double low = 1e300, high = 0;
  for (const auto& mark : picture.data) {
    loss.Cover(mark.flops, mark.loss);
    params.Cover(mark.flops, mark.params);
    low = std::min(low, mark.params), high = std::max(high, mark.params);
  }
  for (const auto& band : picture.fit) {
    if (band.loss.estimate) loss.Cover(band.flops, *band.loss.estimate);
    if (band.params.estimate) params.Cover(band.flops, *band.params.estimate);
  }
  for (const Prediction& one : report.predictions) {
    if (one.loss.estimate) loss.Cover(one.flops, *one.loss.estimate);
    if (one.params.estimate) params.Cover(one.flops, *one.params.estimate);
  }
  loss.Settle();
  params.Settle();
  std::string out = absl::StrFormat(
      "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' viewBox='0 0 %.0f %.0f' "
      "font-family='sans-serif' font-size='12'>\n<rect width='100%%' height='100%%' "
      "fill='white'/>\n<text x='%.0f' y='18'>fit %s: used %d of %d; N %s, C %s</text>\n",
      2 * kWidth, kHeight, 2 * kWidth, kHeight, kLeft, report.fit_id, report.used, report.total,
      Escape(report.params_policy), report.flops_convention);
  loss.Frame(out);
  params.Frame(out);
  for (const auto& mark : picture.data) {
    const std::string colour = Colour(mark.params, low, high);
    Dot(out, loss.X(mark.flops), loss.Y(mark.loss), 1.6, colour, 0.6);
    Dot(out, params.X(mark.flops), params.Y(mark.params), 1.2, colour, 0.35);
  }
  Line(
      picture, loss, [](const auto& band) -> const Estimate& { return band.loss; }, out);
  Line(
      picture, params, [](const auto& band) -> const Estimate& { return band.params; }, out);
  for (const auto& mark : picture.frontier) {
    Dot(out, loss.X(mark.flops), loss.Y(mark.loss), 1.5, "#111", 0.9);
    Dot(out, params.X(mark.flops), params.Y(mark.params), 1.5, "#111", 0.9);
  }
  const auto bar = [&](const Panel& panel, double flops, const Estimate& estimate) {
    if (!estimate.estimate) return;
    const double x = panel.X(flops);
    if (estimate.lower && estimate.upper) {
      absl::StrAppendFormat(&out, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#06c'/>\n",
                            x, panel.Y(*estimate.lower), x, panel.Y(*estimate.upper));
    }
    Dot(out, x, panel.Y(*estimate.estimate), 3, "#06c", 0.9);
  };
  for (const Prediction& one : report.predictions) {
    bar(loss, one.flops, one.loss);
    bar(params, one.flops, one.params);
  }
  absl::StrAppendFormat(&out,
                        "<text x='%.0f' y='34' fill='#555'>dots: data, violet small to yellow "
                        "large; black: frontier minima; red: parametric fit, 95 %% band; blue: "
                        "predictions</text>\n</svg>\n",
                        kLeft);
  return out;
}

}  // namespace allometry::fitting
