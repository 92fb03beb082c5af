#include "fitting/report/picture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr size_t kMostMarks = 3000;
constexpr size_t kMostMinima = 60;
constexpr size_t kMostProfiles = 6;
constexpr int kFewestSizes = 3;       // of a profile
constexpr double kSameBudget = 0.15;  // ln C
constexpr double kSameSize = 1e-3;    // ln N
constexpr int kProfileSide = 3;  // sizes to each side of the minimum that its curve is drawn to
constexpr int kCurveSteps = 32;
constexpr int kGrid = 64;  // of the surface, to each side
constexpr int kBands = 24;

const MethodFit* FindFit(const FitReport& report, Method method) {
  for (const MethodFit& fit : report.fits) {
    if (fit.method == method) return &fit;
  }
  return nullptr;
}

// Indices of the points of each curve by ascending C: runs, or sizes where runs have a point each.
std::vector<std::vector<int>> CurvesOf(const PictureInput& input) {
  std::vector<std::vector<int>> members = input.curves.Members();
  const std::vector<Observation>& points = input.view.points;
  if (members.size() * 2 > points.size()) {
    members = MakeClusters(points, Cluster::kParams).Members();
  }
  for (std::vector<int>& one : members) {
    std::sort(one.begin(), one.end(), [&](int a, int b) {
      return std::pair(points[a].flops, a) < std::pair(points[b].flops, b);
    });
  }
  std::sort(members.begin(), members.end(), [&](const auto& a, const auto& b) {
    return std::pair(points[a[0]].params, a[0]) < std::pair(points[b[0]].params, b[0]);
  });
  return members;
}

// Loss at C along a curve: between two points, or at one of nearly that C.
std::optional<Picture::Mark> At(const std::vector<Observation>& points,
                                const std::vector<int>& curve, double log_flops) {
  const auto mark = [&](int i) {
    const Observation& p = points[i];
    return Picture::Mark{p.flops, p.params, p.tokens, p.loss};
  };
  int nearest = curve[0];
  for (size_t k = 0; k < curve.size(); ++k) {
    const double here = std::log(points[curve[k]].flops);
    if (std::abs(here - log_flops) < std::abs(std::log(points[nearest].flops) - log_flops)) {
      nearest = curve[k];
    }
    if (k == 0 || here < log_flops) continue;
    const double before = std::log(points[curve[k - 1]].flops);
    if (before > log_flops || here - before < 1e-12) continue;
    const double t = (log_flops - before) / (here - before);
    const Picture::Mark a = mark(curve[k - 1]), b = mark(curve[k]);
    const auto mix = [t](double x, double y) {
      return std::exp((1 - t) * std::log(x) + t * std::log(y));
    };
    return Picture::Mark{std::exp(log_flops), mix(a.params, b.params), mix(a.tokens, b.tokens),
                         mix(a.loss, b.loss)};
  }
  if (std::abs(std::log(points[nearest].flops) - log_flops) > kSameBudget) return std::nullopt;
  return mark(nearest);
}

// L = L_min + k u^2 + m u^3 with u = ln N - ln N_min: the minimum is the method's, k and m are
// least squares over the sizes about it.
std::vector<Picture::Mark> CurveThrough(const Picture::Mark& minimum,
                                        const std::vector<Picture::Mark>& points) {
  std::vector<double> sizes;
  for (const Picture::Mark& p : points) {
    const double u = std::log(p.params / minimum.params);
    if (sizes.empty() || u - sizes.back() > kSameSize) sizes.push_back(u);
  }
  const auto above = std::lower_bound(sizes.begin(), sizes.end(), 0.0);
  const long before = above - sizes.begin(), after = sizes.end() - above;
  if (before == 0 || after == 0) return {};
  const double low = *(above - std::min<long>(before, kProfileSide + 1));
  const double high = *(above + std::min<long>(after, kProfileSide + 1) - 1);
  double uuuu = 0, u5 = 0, u6 = 0, yuu = 0, yuuu = 0;
  for (const Picture::Mark& p : points) {
    const double u = std::log(p.params / minimum.params), y = p.loss - minimum.loss;
    if (u < low || u > high) continue;
    uuuu += std::pow(u, 4), u5 += std::pow(u, 5), u6 += std::pow(u, 6);
    yuu += y * u * u, yuuu += y * u * u * u;
  }
  double k = uuuu > 0 ? yuu / uuuu : 0, m = 0;
  const double determinant = uuuu * u6 - u5 * u5;
  if (sizes.size() >= 5 && determinant > 1e-9 * uuuu * u6) {
    k = (yuu * u6 - yuuu * u5) / determinant;
    m = (yuuu * uuuu - yuu * u5) / determinant;
  }
  std::vector<Picture::Mark> curve;
  for (int i = 0; i <= kCurveSteps; ++i) {
    const double u = low + (high - low) * i / kCurveSteps;
    curve.push_back(
        {minimum.flops, minimum.params * std::exp(u), 0, minimum.loss + k * u * u + m * u * u * u});
  }
  return curve;
}

Picture::Mark ToMark(const FrontierPoint& point) {
  return {std::exp(point.log_flops), std::exp(point.log_params), std::exp(point.log_tokens),
          std::exp(point.log_loss)};
}

// At the minima of the isoFLOP method, or where it found none at C spread over the data.
std::vector<Picture::Profile> Profiles(const PictureInput& input,
                                       const std::vector<std::vector<int>>& curves) {
  const CurveFit* isoflop = nullptr;
  for (const CurveFit& fit : input.curve_fits) {
    if (fit.report.method == Method::kIsoflop) isoflop = &fit;
  }
  std::vector<Picture::Profile> wanted;
  if (isoflop != nullptr && !isoflop->frontier.points.empty()) {
    const std::vector<FrontierPoint>& minima = isoflop->frontier.points;
    const size_t count = std::min(minima.size(), kMostProfiles);
    for (size_t k = 0; k < count; ++k) {
      const Picture::Mark minimum =
          ToMark(minima[count > 1 ? k * (minima.size() - 1) / (count - 1) : 0]);
      wanted.push_back({minimum.flops, {}, minimum, {}});
    }
  } else {
    const double low = std::log(input.view.lowest_flops());
    const double high = std::log(input.view.highest_flops());
    for (size_t k = 0; k < kMostProfiles; ++k) {
      const double share = (static_cast<double>(k) + 0.5) / kMostProfiles;
      wanted.push_back({std::exp(low + (high - low) * share), {}, std::nullopt, {}});
    }
  }
  std::vector<Picture::Profile> profiles;
  for (Picture::Profile& profile : wanted) {
    int sizes = 0;
    for (const std::vector<int>& curve : curves) {
      const auto mark = At(input.view.points, curve, std::log(profile.flops));
      if (!mark) continue;
      const bool another = profile.points.empty() ||
                           std::log(mark->params / profile.points.back().params) > kSameSize;
      sizes += another ? 1 : 0;
      profile.points.push_back(*mark);
    }
    std::stable_sort(profile.points.begin(), profile.points.end(),
                     [](const auto& a, const auto& b) { return a.params < b.params; });
    if (sizes < kFewestSizes) continue;
    if (profile.minimum) profile.curve = CurveThrough(*profile.minimum, profile.points);
    profiles.push_back(std::move(profile));
  }
  return profiles;
}

// The value at a C from the draws of a curve method, whose ln N* and ln D* are lines over ln C.
Estimate AlongLine(const Estimator& estimator, int value, int slope, double step, double df,
                   bool with_interval) {
  Estimator at;
  at.estimate = {estimator.estimate[value] + step * estimator.estimate[slope]};
  Estimate estimate;
  if (!std::isfinite(at.estimate[0])) return estimate;
  estimate.estimate = std::exp(at.estimate[0]);
  if (!with_interval) return estimate;
  at.draws.reserve(estimator.draws.size());
  for (const std::vector<double>& draw : estimator.draws) {
    at.draws.push_back({draw[value] + step * draw[slope]});
  }
  if (const std::optional<double> half = HalfWidth(at, 0, df)) {
    estimate.lower = std::exp(at.estimate[0] - *half);
    estimate.upper = std::exp(at.estimate[0] + *half);
    estimate.df = df;
  }
  return estimate;
}

std::vector<Picture::Band> CurveBands(const PictureInput& input, const CurveFit& fit, double top,
                                      const std::vector<Prediction>& predictions) {
  std::vector<Picture::Band> bands;
  if (!fit.estimator) return bands;
  const bool with_interval = fit.report.interval.method != "none";
  const double low = std::log(input.view.lowest_flops()), high = std::log(top);
  for (int k = 0; k < kBands; ++k) {
    Picture::Band& band = bands.emplace_back();
    const double log_flops = low + (high - low) * k / (kBands - 1);
    band.flops = std::exp(log_flops);
    if (fit.report.method == Method::kLossCompute) {
      band.loss.estimate = fit.loss_compute.Loss(band.flops);
      continue;
    }
    const Layout layout{{0}};  // the first budget
    const double step = log_flops - std::log(predictions.front().flops);
    band.params =
        AlongLine(*fit.estimator, layout.LogParams(0), Layout::kA, step, input.df, with_interval);
    band.tokens =
        AlongLine(*fit.estimator, layout.LogTokens(0), Layout::kB, step, input.df, with_interval);
  }
  return bands;
}

std::optional<Picture::Surface> SurfaceOf(const PictureInput& input) {
  const ParametricFit& fit = *input.parametric;
  const Sample& sample = input.window.view.sample;
  Picture::Surface surface;
  double low_n = 1e300, high_n = 0, low_d = 1e300, high_d = 0;
  const auto cover = [&](double params, double tokens) {
    low_n = std::min(low_n, params), high_n = std::max(high_n, params);
    low_d = std::min(low_d, tokens), high_d = std::max(high_d, tokens);
  };
  for (const Observation& p : input.view.points) cover(p.params, p.tokens);
  for (const Picture::Band& band : fit.bands) {
    if (band.params.estimate && band.tokens.estimate) {
      cover(*band.params.estimate, *band.tokens.estimate);
    }
  }
  const double pad = 1.3;
  for (int k = 0; k < kGrid; ++k) {
    const double t = static_cast<double>(k) / (kGrid - 1);
    surface.params.push_back(low_n / pad * std::pow(high_n / low_n * pad * pad, t));
    surface.tokens.push_back(low_d / pad * std::pow(high_d / low_d * pad * pad, t));
  }
  for (const double tokens : surface.tokens) {
    for (const double params : surface.params) {
      const double log_loss =
          LogLossAt(*fit.problem.law, fit.optimum.theta, std::log(params) - sample.x_center,
                    std::log(tokens) - sample.y_center, nullptr);
      if (!std::isfinite(log_loss)) return std::nullopt;
      surface.loss.push_back(std::exp(log_loss));
    }
  }
  return surface;
}

}  // namespace

Picture MakePicture(const PictureInput& input, const FitReport& report) {
  Picture picture;
  const std::vector<Observation>& points = input.view.points;
  std::vector<bool> in_window(points.size(), false);
  for (const int i : input.window.index) in_window[i] = true;
  const ParametricFit* law = input.parametric;
  const bool has_law = law != nullptr && law->optimum.exists;
  const Sample& sample = input.window.view.sample;
  std::vector<double> sizes;  // of residuals
  const auto mark = [&](int i) {
    const Observation& p = points[i];
    Picture::Mark made{p.flops, p.params, p.tokens, p.loss};
    made.in_window = in_window[i];
    if (has_law) {
      const double log_epochs = p.epochs > 1 ? std::log(p.epochs) : 0;
      made.residual =
          std::log(p.loss) - LogLossAt(*law->problem.law, law->optimum.theta,
                                       std::log(p.params) - sample.x_center,
                                       std::log(p.tokens) - sample.y_center, nullptr, log_epochs);
      if (made.in_window) sizes.push_back(std::abs(*made.residual));
    }
    return made;
  };
  const std::vector<std::vector<int>> curves = CurvesOf(input);
  const size_t stride = (points.size() + kMostMarks - 1) / kMostMarks;
  for (const std::vector<int>& curve : curves) {
    Picture::Curve& drawn = picture.curves.emplace_back();
    drawn.params = points[curve[0]].params;
    for (size_t k = 0; k < curve.size(); k += stride) drawn.marks.push_back(mark(curve[k]));
    if ((curve.size() - 1) % stride != 0) drawn.marks.push_back(mark(curve.back()));
  }
  if (!sizes.empty()) picture.residual_sd = 1.4826 * Median(sizes);
  picture.profiles = Profiles(input, curves);

  double top = input.view.highest_flops();
  for (const Prediction& one : report.predictions) top = std::max(top, one.flops);
  const auto line_of = [&](Method method) -> Picture::Line& {
    Picture::Line& line = picture.lines.emplace_back();
    line.method = method;
    const MethodFit* fit = FindFit(report, method);
    if (fit != nullptr && fit->refused) line.why_not = "refused: " + *fit->refused;
    if (fit != nullptr && fit->not_usable) line.why_not = "not usable: " + *fit->not_usable;
    return line;
  };
  if (law != nullptr) {
    Picture::Line& line = line_of(Method::kParametric);
    if (line.why_not.empty()) {
      line.bands = law->bands;
      picture.surface = SurfaceOf(input);
    }
  }
  for (const CurveFit& fit : input.curve_fits) {
    Picture::Line& line = line_of(fit.report.method);
    if (fit.report.method != Method::kLossCompute) {
      const std::vector<FrontierPoint>& minima = fit.frontier.points;
      const size_t step = (minima.size() + kMostMinima - 1) / kMostMinima;
      for (size_t k = 0; k < minima.size(); k += step) line.minima.push_back(ToMark(minima[k]));
    }
    if (line.why_not.empty() && !fit.predictions.empty()) {
      line.bands = CurveBands(input, fit, top, fit.predictions);
    }
  }
  return picture;
}

}  // namespace allometry::fitting
