#include "fitting/solve/starts.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <array>
#include <cmath>

#include "fitting/law/formula.h"

namespace allometry::fitting {
namespace {

// Exponents of the grid: geometric from .02 to 2.5, ratio 1.29.
constexpr int kGrid = 20;
double GridExponent(int i) { return 0.02 * std::pow(125.0, i / double{kGrid - 1}); }

struct Node {
  int i = 0, j = 0;
  double misfit = 0;
  Eigen::Vector3d coefficients = Eigen::Vector3d::Zero();  // E, A', B'
};

// Minimises c'Gc - 2 h'c over c >= 0, trying every set of columns: with three it is exact.
// `with_floor` false leaves the first column out.
Node SolveNonNegative(const Eigen::Matrix3d& gram, const Eigen::Vector3d& right, bool with_floor) {
  Node best;
  best.misfit = 0;  // of c = 0
  for (int set = 1; set < 8; ++set) {
    if (!with_floor && (set & 1)) continue;
    std::array<int, 3> columns;
    int count = 0;
    for (int k = 0; k < 3; ++k) {
      if (set >> k & 1) columns[count++] = k;
    }
    Eigen::MatrixXd g(count, count);
    Eigen::VectorXd h(count);
    for (int a = 0; a < count; ++a) {
      h[a] = right[columns[a]];
      for (int b = 0; b < count; ++b) g(a, b) = gram(columns[a], columns[b]);
    }
    const Eigen::LDLT<Eigen::MatrixXd> factor(g);
    const Eigen::VectorXd solution = factor.solve(h);
    if (!solution.allFinite() || (solution.array() < 0).any()) continue;
    const double misfit = solution.dot(g * solution) - 2 * h.dot(solution);
    if (misfit < best.misfit) {
      best.misfit = misfit;
      best.coefficients.setZero();
      for (int a = 0; a < count; ++a) best.coefficients[columns[a]] = solution[a];
    }
  }
  return best;
}

std::vector<Node> Scan(const Problem& problem, const Sample& sample) {
  const Law& law = *problem.law;
  const bool free_floor = law.has_floor && law.kind != LawKind::kFixedFloor;
  const double known = law.kind == LawKind::kFixedFloor ? problem.fixed_floor : 0;
  const size_t n = sample.size();
  // Column norms go up to e^(2.5 * 15): each column is scaled by its largest entry.
  std::vector<double> weight(n), target(n);
  std::vector<std::vector<double>> columns_n(kGrid), columns_d(kGrid);
  std::array<double, kGrid> scale_n, scale_d;
  const double x_low = *std::min_element(sample.x.begin(), sample.x.end());
  const double y_low = *std::min_element(sample.y.begin(), sample.y.end());
  for (size_t k = 0; k < n; ++k) {
    weight[k] = sample.weight[k] / (sample.loss[k] * sample.loss[k]);
    target[k] = sample.loss[k] - known;
  }
  for (int i = 0; i < kGrid; ++i) {
    const double exponent = GridExponent(i);
    scale_n[i] = -exponent * x_low;
    scale_d[i] = -exponent * y_low;
    for (size_t k = 0; k < n; ++k) {
      columns_n[i].push_back(std::exp(-exponent * (sample.x[k] - x_low)));
      columns_d[i].push_back(std::exp(-exponent * (sample.y[k] - y_low)));
    }
  }
  const auto dot = [&](const std::vector<double>* a, const std::vector<double>* b) {
    double sum = 0;
    for (size_t k = 0; k < n; ++k) {
      sum += weight[k] * (a ? (*a)[k] : 1) * (b ? (*b)[k] : 1);
    }
    return sum;
  };
  std::array<std::array<double, 3>, kGrid> of_n, of_d;  // against 1, itself, the target
  for (int i = 0; i < kGrid; ++i) {
    of_n[i] = {dot(&columns_n[i], nullptr), dot(&columns_n[i], &columns_n[i]),
               dot(&columns_n[i], &target)};
    of_d[i] = {dot(&columns_d[i], nullptr), dot(&columns_d[i], &columns_d[i]),
               dot(&columns_d[i], &target)};
  }
  const double ones = dot(nullptr, nullptr), level = dot(nullptr, &target);
  std::vector<Node> nodes;
  for (int i = 0; i < kGrid; ++i) {
    for (int j = 0; j < kGrid; ++j) {
      const double cross = dot(&columns_n[i], &columns_d[j]);
      Eigen::Matrix3d gram;
      gram << ones, of_n[i][0], of_d[j][0], of_n[i][0], of_n[i][1], cross, of_d[j][0], cross,
          of_d[j][1];
      Node node = SolveNonNegative(gram, {level, of_n[i][2], of_d[j][2]}, free_floor);
      node.i = i, node.j = j;
      // Back to centred data: e^(-exponent (x - x_low)) = e^(exponent x_low) e^(-exponent x).
      node.coefficients[1] *= std::exp(-scale_n[i]);
      node.coefficients[2] *= std::exp(-scale_d[j]);
      nodes.push_back(node);
    }
  }
  return nodes;
}

bool LocalMinimum(const std::vector<Node>& nodes, const Node& node) {
  for (int di = -1; di <= 1; ++di) {
    for (int dj = -1; dj <= 1; ++dj) {
      const int i = node.i + di, j = node.j + dj;
      if (i < 0 || j < 0 || i >= kGrid || j >= kGrid) continue;
      if (nodes[i * kGrid + j].misfit < node.misfit) return false;
    }
  }
  return true;
}

}  // namespace

std::vector<Theta> ProjectedStarts(const Problem& problem, const Sample& sample, size_t most) {
  std::vector<Theta> starts;
  if (sample.size() == 0) return starts;
  const std::vector<Node> nodes = Scan(problem, sample);
  std::vector<const Node*> order;
  for (const Node& node : nodes) order.push_back(&node);
  std::sort(order.begin(), order.end(), [&](const Node* a, const Node* b) {
    const bool la = LocalMinimum(nodes, *a), lb = LocalMinimum(nodes, *b);
    if (la != lb) return la;
    if (a->misfit != b->misfit) return a->misfit < b->misfit;
    return std::pair(a->i, a->j) < std::pair(b->i, b->j);
  });
  const double smallest = *std::min_element(sample.loss.begin(), sample.loss.end());
  std::vector<const Node*> taken;
  for (const Node* node : order) {
    if (taken.size() >= most) break;
    // Best nodes crowd around one minimum: take only those two steps apart.
    const bool crowded = std::any_of(taken.begin(), taken.end(), [&](const Node* other) {
      return std::abs(other->i - node->i) < 2 && std::abs(other->j - node->j) < 2;
    });
    if (!crowded) taken.push_back(node);
  }
  for (const Node* node : taken) {
    Theta theta = FixedEntries(*problem.law, problem.fixed_floor);
    // A coefficient at zero has no logarithm: start it at a hundredth of the smallest loss.
    theta[kLogA] = std::log(std::max(node->coefficients[1], 1e-2 * smallest));
    theta[kLogB] = std::log(std::max(node->coefficients[2], 1e-2 * smallest));
    theta[kAlpha] = GridExponent(node->i);
    theta[kBeta] = GridExponent(node->j);
    if (problem.law->free > kLogE) {
      theta[kLogE] = std::log(std::max(node->coefficients[0], 1e-2 * smallest));
    }
    if (problem.law->own != nullptr) {
      const std::vector<Extra>& extras = problem.law->own->extras;
      for (size_t k = 0; k < extras.size(); ++k) theta[kLogE + 1 + k] = extras[k].start;
    }
    if (!problem.law->coupled) {
      starts.push_back(theta);
      continue;
    }
    // (A/N^alpha)^gamma matches each term alone when its logarithm is divided by gamma.
    for (double gamma : {1.0, 0.5, 2.0}) {
      Theta coupled = theta;
      coupled.head(4) /= gamma;
      coupled[kLogGamma] = std::log(gamma);
      starts.push_back(coupled);
    }
  }
  return starts;
}

}  // namespace allometry::fitting
