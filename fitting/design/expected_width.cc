#include "fitting/design/expected_width.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "fitting/solve/statistics.h"

namespace allometry::fitting {
namespace {

constexpr int kFewClusters = 20;          // as in fitting/interval/interval.cc
constexpr double kZeroEigenvalue = 1e-9;  // of I - H_c
constexpr double kLeastDelta = 0.05;      // below it a Huber loss is least absolute deviations

enum class Kind { kCr2, kJackknife, kBootstrap };

Kind KindOf(const Objective& objective, const NoiseModel& noise, int clusters) {
  if (objective.squares()) return Kind::kCr2;
  const double median = 0.6744897501960817 * noise.sd;
  if (objective.kind == ObjectiveKind::kHuber && median <= objective.delta) return Kind::kCr2;
  return clusters <= kFewClusters ? Kind::kJackknife : Kind::kBootstrap;
}

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kCr2:
      return "CR2, t with Bell-McCaffrey df";
    case Kind::kJackknife:
      return "delete-one-cluster jackknife, t";
    case Kind::kBootstrap:
      return "cluster bootstrap, percentile";
  }
  return "";
}

// E[chi_nu] / sqrt(nu).
double MeanOfChi(double nu) {
  return std::sqrt(2 / nu) * std::exp(std::lgamma((nu + 1) / 2) - std::lgamma(nu / 2));
}

// E[clamp(mean + s Z, -d, d)].
double MeanOfClamp(double mean, double s, double d) {
  if (s < 1e-12) return std::clamp(mean, -d, d);
  constexpr double kInverseRoot = 0.3989422804014327;  // 1 / sqrt(2 pi)
  const double low = (-d - mean) / s, high = (d - mean) / s;
  const auto density = [](double z) { return kInverseRoot * std::exp(-z * z / 2); };
  return -d * NormalCdf(low) + d * NormalCdf(-high) + mean * (NormalCdf(high) - NormalCdf(low)) -
         s * (density(high) - density(low));
}

// HuberCovariance at any correlation of one delta, from a table.
class PseudoErrors {
 public:
  explicit PseudoErrors(std::optional<double> delta) : delta_(delta) {
    if (!delta_) return;
    for (int i = 0; i <= kSteps; ++i) {
      table_[i] = HuberCovariance(*delta_, std::sin(kHalfPi * i / kSteps));
    }
  }
  double operator()(double rho) const {
    if (!delta_) return rho;             // squares: the errors themselves
    if (rho < 0) return -(*this)(-rho);  // psi is odd
    const double place = std::asin(std::clamp(rho, 0.0, 1.0)) / kHalfPi * kSteps;
    const int below = std::min(static_cast<int>(place), kSteps - 1);
    return table_[below] + (place - below) * (table_[below + 1] - table_[below]);
  }

 private:
  static constexpr int kSteps = 64;
  static constexpr double kHalfPi = 1.5707963267948966;
  const std::optional<double> delta_;
  double table_[kSteps + 1] = {};
};

// One size: the derivatives of its fitted values and the covariance of its errors.
struct Block {
  Eigen::MatrixXd derivative, covariance;
};

// (I - H_c)^-power times the rows of J_c, through the p x p matrix K = R^-T J_c'J_c R^-1.
Eigen::MatrixXd Adjusted(const Eigen::MatrixXd& derivative, const Eigen::MatrixXd& r_inverse,
                         double power) {
  const Eigen::MatrixXd q = derivative * r_inverse;
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(q.transpose() * q);
  Eigen::VectorXd factor(eigen.eigenvalues().size());
  for (int i = 0; i < factor.size(); ++i) {
    const double rest = 1 - std::max(0.0, eigen.eigenvalues()[i]);
    factor[i] = rest < kZeroEigenvalue ? 0 : std::pow(rest, -power);
  }
  // Columns of (I - H_c)^-power Q_c = Q_c V factor V'.
  return q * eigen.eigenvectors() * factor.asDiagonal() * eigen.eigenvectors().transpose();
}

// tr Q and sum Q_cd^2 of one quantity; h = R^-T g. `identity`: Omega = I, for Bell-McCaffrey.
struct Form {
  double trace = 0, squares = 0;
};
class QuadraticForms {
 public:
  QuadraticForms(const std::vector<Block>& blocks, const Eigen::MatrixXd& r_inverse, double power,
                 bool identity) {
    const int p = static_cast<int>(r_inverse.rows());
    meat_ = Eigen::MatrixXd::Zero(p, p);
    for (const Block& block : blocks) {
      Part& part = parts_.emplace_back();
      const Eigen::MatrixXd q = block.derivative * r_inverse;
      const Eigen::MatrixXd v = Adjusted(block.derivative, r_inverse, power);
      const Eigen::MatrixXd ov = identity ? v : Eigen::MatrixXd(block.covariance * v);
      const Eigen::MatrixXd oq = identity ? q : Eigen::MatrixXd(block.covariance * q);
      part.vv = v.transpose() * ov;
      part.qv = q.transpose() * v;
      part.q_ov = q.transpose() * ov;
      meat_ += q.transpose() * oq;
    }
  }

  // u_c = E_c v_c h - Q (Q_c'v_c h): see the header.
  Form Of(const Eigen::VectorXd& h) const {
    Form form;
    const size_t count = parts_.size();
    std::vector<Eigen::VectorXd> w(count), cross(count);
    for (size_t c = 0; c < count; ++c) {
      w[c] = parts_[c].qv * h;
      cross[c] = parts_[c].q_ov * h;
    }
    for (size_t c = 0; c < count; ++c) {
      for (size_t d = 0; d < count; ++d) {
        const double own = c == d ? h.dot(parts_[c].vv * h) : 0;
        const double value = own - cross[c].dot(w[d]) - w[c].dot(cross[d]) + w[c].dot(meat_ * w[d]);
        if (c == d) form.trace += value;
        form.squares += value * value;
      }
    }
    return form;
  }
  // Variance of the estimate itself.
  double Variance(const Eigen::VectorXd& h) const { return h.dot(meat_ * h); }

 private:
  struct Part {
    Eigen::MatrixXd vv, qv, q_ov;
  };
  std::vector<Part> parts_;
  Eigen::MatrixXd meat_;
};

Theta ThetaOf(const AssumedLaw& law, const Sample& sample) {
  Theta theta = Theta::Zero();
  theta[kLogA] = std::log(law.a_term) - law.alpha * sample.x_center;
  theta[kLogB] = std::log(law.b_term) - law.beta * sample.y_center;
  theta[kAlpha] = law.alpha;
  theta[kBeta] = law.beta;
  theta[kLogE] = std::log(law.floor);
  return theta;
}

}  // namespace

// Covariances of errors as the objective sees them, in units of their variance, by the tokens of a
// curve's points.
class WidthForecast::Covariances {
 public:
  Covariances(const NoiseModel& noise, const Objective& objective)
      : noise_(noise), pseudo_(DeltaOf(noise, objective)) {}

  const Eigen::MatrixXd& Of(const std::vector<double>& tokens) {
    const auto known = by_tokens_.find(tokens);
    if (known != by_tokens_.end()) return known->second;
    Eigen::VectorXd log_tokens(tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) log_tokens[i] = std::log(tokens[i]);
    const Eigen::MatrixXd errors = UnitCovariances(noise_, log_tokens);
    const Eigen::VectorXd sd = errors.diagonal().cwiseSqrt();
    const Eigen::VectorXd inverse = sd.cwiseInverse();
    const Eigen::MatrixXd correlations = inverse.asDiagonal() * errors * inverse.asDiagonal();
    return by_tokens_
        .emplace(tokens, sd.asDiagonal() * correlations.unaryExpr(pseudo_) * sd.asDiagonal())
        .first->second;
  }

 private:
  static std::optional<double> DeltaOf(const NoiseModel& noise, const Objective& objective) {
    if (objective.kind == ObjectiveKind::kLad) return 0;
    if (objective.kind == ObjectiveKind::kHuber) return objective.delta / noise.sd;
    return std::nullopt;
  }

  const NoiseModel noise_;
  const PseudoErrors pseudo_;
  std::map<std::vector<double>, Eigen::MatrixXd> by_tokens_;
};

WidthForecast::WidthForecast(const AssumedLaw& law, const NoiseModel& noise,
                             const Objective& objective)
    : law_(law),
      noise_(noise),
      objective_(objective),
      covariances_(std::make_unique<Covariances>(noise, objective)) {}
WidthForecast::~WidthForecast() = default;

double AssumedLaw::Loss(double params, double tokens) const {
  return floor + a_term * std::pow(params, -alpha) + b_term * std::pow(tokens, -beta);
}

double HuberCovariance(double delta, double rho) {
  if (delta < kLeastDelta) return std::asin(std::clamp(rho, -1.0, 1.0));
  const double s = std::sqrt(std::max(0.0, 1 - rho * rho));
  constexpr double kEnd = 8.5;
  constexpr int kSteps = 850;
  double sum = 0;
  for (int i = 0; i <= kSteps; ++i) {
    const double x = -kEnd + 2 * kEnd * i / kSteps;
    sum += std::exp(-x * x / 2) * std::clamp(x, -delta, delta) * MeanOfClamp(rho * x, s, delta);
  }
  const double covariance = sum * 2 * kEnd / kSteps * 0.3989422804014327;
  const double mean_slope = 2 * NormalCdf(delta) - 1;
  return covariance / (mean_slope * mean_slope);
}

ExpectedWidths ExpectWidths(const std::vector<Observation>& design, const AssumedLaw& law,
                            const NoiseModel& noise, const Objective& objective,
                            const std::vector<Quantity>& quantities) {
  return WidthForecast(law, noise, objective).Of(design, quantities);
}

ExpectedWidths WidthForecast::Of(const std::vector<Observation>& design,
                                 const std::vector<Quantity>& quantities) {
  const Law& law = FindLaw(LawKind::kStandard);
  std::vector<Observation> points = design;
  for (Observation& point : points) point.loss = law_.Loss(point.params, point.tokens);
  const Sample sample = MakeSample(points, nullptr);
  const Clusters clusters = MakeClusters(points, Cluster::kParams);
  const Kind kind = KindOf(objective_, noise_, clusters.count);
  ExpectedWidths result;
  result.method = NameOf(kind);
  result.clusters = clusters.count;
  result.points = static_cast<int>(points.size());
  if (result.points < law.free + 2) {
    result.reason = absl::StrFormat("%d evaluations for %d parameters: at least %d are needed",
                                    result.points, law.free, law.free + 2);
    return result;
  }
  if (clusters.count < kFewestClusters) {
    result.reason =
        absl::StrFormat("%d sizes: an interval needs at least %d", clusters.count, kFewestClusters);
    return result;
  }
  const Theta theta = ThetaOf(law_, sample);
  std::vector<Block> blocks;
  for (const std::vector<int>& members : clusters.Members()) {
    const int size = static_cast<int>(members.size());
    Block& block = blocks.emplace_back();
    block.derivative.resize(size, law.free);
    Eigen::VectorXd scale(size);
    std::vector<double> tokens;
    for (int k = 0; k < size; ++k) {
      Theta gradient;
      Residual(law, objective_, sample, theta, members[k], &gradient);
      block.derivative.row(k) = gradient.head(law.free);
      tokens.push_back(points[members[k]].tokens);
      scale[k] = noise_.sd * (objective_.of_loss() ? sample.loss[members[k]] : 1);
    }
    block.covariance = scale.asDiagonal() * covariances_->Of(tokens) * scale.asDiagonal();
  }
  Eigen::MatrixXd information = Eigen::MatrixXd::Zero(law.free, law.free);
  for (const Block& block : blocks) {
    information.noalias() += block.derivative.transpose() * block.derivative;
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(information);
  if (!(eigen.eigenvalues()[0] > 1e-13 * eigen.eigenvalues()[law.free - 1])) {
    result.reason = "its sizes and budgets do not tell the law's parameters apart";
    return result;
  }
  const Eigen::LLT<Eigen::MatrixXd> cholesky(information);
  const Eigen::MatrixXd r_inverse = Eigen::MatrixXd(cholesky.matrixU())
                                        .triangularView<Eigen::Upper>()
                                        .solve(Eigen::MatrixXd::Identity(law.free, law.free));
  const double power = kind == Kind::kCr2 ? 0.5 : kind == Kind::kJackknife ? 1 : 0;
  const QuadraticForms forms(blocks, r_inverse, power, false);
  const QuadraticForms independent(blocks, r_inverse, power, true);
  const double groups = clusters.count;
  for (const Quantity& quantity : quantities) {
    ExpectedWidth width;
    width.quantity = quantity;
    Theta gradient;
    width.value = quantity.Value(law, sample, theta, &gradient);
    const Eigen::VectorXd h = r_inverse.transpose() * gradient.head(law.free);
    const Form form = forms.Of(h);
    const Form of_identity = independent.Of(h);
    double quantile = 1.959963984540054;
    width.df = std::numeric_limits<double>::infinity();
    if (kind == Kind::kCr2) {
      width.df = std::max(1.0, of_identity.trace * of_identity.trace / of_identity.squares);
    } else if (kind == Kind::kJackknife) {
      width.df = groups - 1;
    }
    if (std::isfinite(width.df)) quantile = StudentQuantile(0.975, width.df);
    const double factor = kind == Kind::kJackknife ? (groups - 1) / groups : 1;
    width.error = std::sqrt(forms.Variance(h));
    width.half = quantile * std::sqrt(factor * form.trace) *
                 MeanOfChi(form.trace * form.trace / form.squares);
    result.widths.push_back(width);
  }
  return result;
}

}  // namespace allometry::fitting
