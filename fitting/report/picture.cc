#include "fitting/report/picture.h"

#include <cmath>

namespace allometry::fitting {
namespace {

constexpr size_t kMostMarks = 3000;
constexpr size_t kMostMinima = 300;

}  // namespace

Picture MakePicture(const DataView& view, const ParametricFit* parametric,
                    const std::vector<CurveFit>& curve_fits) {
  Picture picture;
  const size_t stride = (view.points.size() + kMostMarks - 1) / kMostMarks;
  for (size_t i = 0; i < view.points.size(); i += stride) {
    const Observation& p = view.points[i];
    picture.data.push_back({p.flops, p.params, p.loss});
  }
  for (const CurveFit& fit : curve_fits) {
    if (fit.report.refused || fit.report.method == Method::kLossCompute) continue;
    const std::vector<FrontierPoint>& points = fit.frontier.points;
    const size_t step = (points.size() + kMostMinima - 1) / kMostMinima;
    for (size_t i = 0; i < points.size(); i += step) {
      picture.frontier.push_back({std::exp(points[i].log_flops), std::exp(points[i].log_params),
                                  std::exp(points[i].log_loss)});
    }
    break;  // the first that applies: frontier before isoFLOP
  }
  if (parametric != nullptr) picture.fit = parametric->bands;
  return picture;
}

}  // namespace allometry::fitting
