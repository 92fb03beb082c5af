#include "models/shape.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "models/image_encoder.h"
#include "models/positions.h"
#include "models/vq_network.h"

namespace allometry::models {
namespace {

constexpr Family kFamilies[] = {
    {"gpt", "a transformer over tokens", 0},
    {"bc-cnn", "behaviour cloning from images: an encoder of about 0.6M parameters", 32},
    {"bc-cnn-lite", "the same with a quarter of the encoder's channels", 8},
    {"vqvae", "tokenizer of images: strided convolutions", 0, true, false, 2},
    {"vqgan", "tokenizer of images: residual blocks and attention", 0, true},
    {"vit-vq", "tokenizer of images: a transformer over patches", 0, true, true},
};

constexpr int kMaxLayers = 48;
constexpr int kLeastWidth = 8;

// 8, 12, ..., 64, 72, 80, ...: finer below 64, where one step of 8 changes N by a third. With a
// head's width its multiples.
int WidthAt(int64_t index, const ShapeRule& rule) {
  if (rule.head_dim > 0) return static_cast<int>(rule.head_dim * (index + 1));
  const int64_t width = index <= 14 ? kLeastWidth + 4 * index : 64 + 8 * (index - 14);
  return static_cast<int>(width);
}

// A distance of 5 % from the wanted N weighs as much as a width/layers ratio that is e times off.
constexpr double kDistanceScale = 0.05;
constexpr int kHeadWidth = 32;

struct PolicyName {
  const char* name;
  ParamPolicy policy;
};
constexpr PolicyName kPolicies[] = {{"paper", ParamPolicy::kPaper},
                                    {"total", ParamPolicy::kTotal},
                                    {"non-embedding", ParamPolicy::kNonEmbedding},
                                    {"active", ParamPolicy::kActive}};

int HeadsFor(int width, run::Positions positions, const ShapeRule& rule) {
  if (rule.head_dim > 0) return width / rule.head_dim;
  const int unit = positions == run::Positions::kRotary ? 2 : 1;
  int heads = std::max(1, width / kHeadWidth);
  while (width % (heads * unit) != 0) --heads;
  return heads;
}

// Width over layers.
double AspectOf(double params, const ShapeRule& rule) {
  if (rule.aspect > 0) return rule.aspect;
  return std::clamp(16.0 * std::pow(params / 1e6, 0.3), 16.0, 64.0);
}

struct Candidate {
  Shape shape;
  int64_t params = 0;
  double distance = 0;  // |N - wanted| / wanted
  double misfit = 0;    // ln of width / layers over the wanted aspect

  double cost() const { return std::pow(distance / kDistanceScale, 2) + misfit * misfit; }
};

// The widths below and above `params` at each depth: nothing nearer exists at that depth.
std::vector<Candidate> Neighbours(int64_t params, ParamPolicy policy, Shape shape,
                                  const ShapeRule& rule) {
  const double aspect = AspectOf(static_cast<double>(params), rule);
  const auto at = [&](int64_t index) {
    shape.width = WidthAt(index, rule);
    shape.heads = HeadsFor(shape.width, shape.positions, rule);
    const int64_t n = CountN(CountParams(shape), policy);
    return Candidate{shape, n,
                     std::abs(static_cast<double>(n - params)) / static_cast<double>(params),
                     std::log(static_cast<double>(shape.width) / shape.layers / aspect)};
  };
  std::vector<Candidate> found;
  for (shape.layers = 1; shape.layers <= kMaxLayers; ++shape.layers) {
    // The first width with N >= params: N grows with the width, so double, then halve.
    int64_t high = 1;
    while (at(high).params < params) high *= 2;
    int64_t low = -1;
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (at(middle).params < params ? low : high) = middle;
    }
    if (low >= 0) found.push_back(at(low));
    found.push_back(at(high));
  }
  return found;
}

// Between the shapes of neighbouring sizes. Layers that fall cost more than any other way.
double StepCost(const Candidate& smaller, const Candidate& larger) {
  constexpr double kSmoothness = 4;
  constexpr double kFallingLayers = 1e6;
  const double turn = larger.misfit - smaller.misfit;
  return kSmoothness * turn * turn +
         (larger.shape.layers < smaller.shape.layers ? kFallingLayers : 0);
}

absl::Status FieldError(const char* field, int value, absl::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s %d is not allowed: %s", field, value, allowed));
}

absl::Status CheckImage(const Shape& shape, bool sees_images) {
  const struct {
    const char* name;
    int value;
    int unit;
  } fields[] = {{"image_height", shape.image_height, kEncoderStride},
                {"image_width", shape.image_width, kEncoderStride},
                {"image_channels", shape.image_channels, 1}};
  for (const auto& field : fields) {
    if (!sees_images && field.value != 0) {
      return FieldError(field.name, field.value,
                        absl::StrCat("family ", shape.family, " sees no images"));
    }
    if (sees_images && (field.value < 1 || field.value % field.unit != 0)) {
      return FieldError(field.name, field.value,
                        absl::StrCat("it must be a multiple of ", field.unit));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPositions(const Shape& shape, bool sees_images) {
  const char* name = run::NameOf(shape.positions);
  if (shape.positions == run::Positions::kAbsolute) {
    if (shape.frame_tokens == 0) return absl::OkStatus();
    return FieldError("frame_tokens", shape.frame_tokens, "positions absolute do not read it");
  }
  if (sees_images) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "positions %s of family %s, whose positions are frames: allowed is absolute", name,
        shape.family));
  }
  if (shape.frame_tokens < 1 || shape.context % shape.frame_tokens != 0) {
    return FieldError(
        "frame_tokens", shape.frame_tokens,
        absl::StrFormat("positions %s need a divisor of context %d", name, shape.context));
  }
  const int head_width = shape.width / shape.heads;
  if (shape.positions == run::Positions::kRotary && head_width % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("positions rotary turn pairs of a head's %d values: width %d over heads %d "
                        "must be even",
                        head_width, shape.width, shape.heads));
  }
  return absl::OkStatus();
}

}  // namespace

std::span<const Family> Families() { return kFamilies; }

const Family* FindFamily(absl::string_view name) {
  for (const Family& row : kFamilies) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

absl::StatusOr<ParamPolicy> ParseParamPolicy(absl::string_view name) {
  for (const PolicyName& row : kPolicies) {
    if (name == row.name) return row.policy;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("parameter policy '", name,
                   "' is not known: allowed are paper, total, non-embedding and active"));
}

absl::string_view ParamPolicyName(ParamPolicy policy) {
  for (const PolicyName& row : kPolicies) {
    if (policy == row.policy) return row.name;
  }
  ALLO_CHECK(false) << "policy " << static_cast<int>(policy);
  return "";
}

absl::Status Validate(const Shape& shape) {
  const Family* family = FindFamily(shape.family);
  if (family == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "family '", shape.family, "' is not known: allowed are ",
        absl::StrJoin(kFamilies, ", ",
                      [](std::string* out, const Family& row) { out->append(row.name); })));
  }
  if (family->tokenizer) return ValidateVq(shape);
  ALLO_RETURN_IF_ERROR(CheckImage(shape, family->encoder_channels > 0));
  const struct {
    const char* name;
    int value;
  } fields[] = {{"layers", shape.layers},
                {"heads", shape.heads},
                {"width", shape.width},
                {"context", shape.context},
                {"vocabulary", shape.vocabulary}};
  for (const auto& field : fields) {
    if (field.value < 1) return FieldError(field.name, field.value, "it must be 1 or more");
  }
  if (shape.width % shape.heads != 0) {
    return FieldError("heads", shape.heads, absl::StrCat("it must divide width ", shape.width));
  }
  return CheckPositions(shape, family->encoder_channels > 0);
}

ParamCounts CountParams(const Shape& shape) {
  const int64_t d = shape.width;
  ParamCounts counts;
  if (FindFamily(shape.family)->tokenizer) {
    for (const VqTensor& tensor : VqTensors(shape)) counts.blocks += tensor.size();
    counts.token_embedding = int64_t{shape.vocabulary} * CodeWidth(shape);
    return counts;
  }
  counts.blocks = shape.layers * (12 * d * d + 13 * d) + 2 * d;
  counts.token_embedding = shape.vocabulary * d;
  for (const PositionTable& table : PositionTables(shape)) {
    counts.position_embedding += table.rows * d;
  }
  for (const EncoderTensor& tensor : EncoderTensors(shape)) counts.extra += tensor.size();
  return counts;
}

int64_t CountN(const ParamCounts& counts, ParamPolicy policy) {
  switch (policy) {
    case ParamPolicy::kPaper:
      return counts.blocks + counts.token_embedding + counts.extra;
    case ParamPolicy::kTotal:
      return counts.total();
    case ParamPolicy::kNonEmbedding:
      return counts.blocks + counts.extra;
    case ParamPolicy::kActive:
      // A tied head is a matmul with the token table.
      return counts.blocks + counts.extra +
             (counts.head > 0 ? counts.head : counts.token_embedding);
  }
  ALLO_CHECK(false) << "policy " << static_cast<int>(policy);
  return 0;
}

double FlopsPerToken6N(const ParamCounts& counts, ParamPolicy policy) {
  return 6.0 * static_cast<double>(CountN(counts, policy));
}

double FlopsPerTokenExact(const Shape& shape) {
  if (FindFamily(shape.family)->tokenizer) return VqFlopsPerImage(shape) / shape.context;
  const double d = shape.width;
  double matmul_weights = shape.layers * 12 * d * d + shape.vocabulary * d;
  for (const EncoderTensor& tensor : EncoderTensors(shape)) {
    matmul_weights += static_cast<double>(tensor.multiply_adds);
  }
  const double mean_attended = (shape.context + 1) / 2.0;
  return 6 * matmul_weights + 12 * shape.layers * d * mean_attended;
}

namespace {

// At least one. InvalidArgument: no shape is near.
absl::StatusOr<std::vector<Candidate>> CandidatesFor(int64_t params, ParamPolicy policy,
                                                     const Shape& like, const ShapeRule& rule) {
  Shape smallest = like;
  smallest.layers = 1;
  smallest.heads = 1;
  smallest.width = WidthAt(0, rule);
  ALLO_RETURN_IF_ERROR(Validate(smallest));
  const int64_t least = CountN(CountParams(smallest), policy);
  if (params < 1 || static_cast<double>(least) > 1.25 * static_cast<double>(params)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "no %s model has about %d parameters: the smallest (1 layer, width %d, vocabulary %d) has "
        "%d",
        smallest.family, params, smallest.width, smallest.vocabulary, least));
  }
  return Neighbours(params, policy, smallest, rule);
}

}  // namespace

absl::StatusOr<Shape> NearestShape(int64_t params, ParamPolicy policy, const Shape& like,
                                   const ShapeRule& rule) {
  ALLO_ASSIGN_OR_RETURN(const std::vector<Candidate> candidates,
                        CandidatesFor(params, policy, like, rule));
  return std::min_element(
             candidates.begin(), candidates.end(),
             [](const Candidate& a, const Candidate& b) { return a.cost() < b.cost(); })
      ->shape;
}

absl::StatusOr<std::vector<Shape>> SmoothShapes(std::span<const int64_t> params, ParamPolicy policy,
                                                const Shape& like, const ShapeRule& rule) {
  std::vector<size_t> order(params.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return params[a] < params[b]; });
  std::vector<std::vector<Candidate>> sizes;
  for (const size_t i : order) {
    ALLO_ASSIGN_OR_RETURN(std::vector<Candidate> candidates,
                          CandidatesFor(params[i], policy, like, rule));
    sizes.push_back(std::move(candidates));
  }
  // The cheapest way through one candidate a size: least[k] is the cost of the best one that ends
  // in candidate k of the size at hand, from[s][k] where it comes from.
  std::vector<double> least;
  std::vector<std::vector<size_t>> from(sizes.size());
  for (size_t s = 0; s < sizes.size(); ++s) {
    std::vector<double> costs(sizes[s].size());
    from[s].resize(sizes[s].size());
    for (size_t k = 0; k < sizes[s].size(); ++k) {
      const Candidate& here = sizes[s][k];
      costs[k] = here.cost();
      if (s == 0) continue;
      double best = 0;
      for (size_t before = 0; before < least.size(); ++before) {
        const double cost = least[before] + StepCost(sizes[s - 1][before], here);
        if (before != 0 && cost >= best) continue;
        best = cost;
        from[s][k] = before;
      }
      costs[k] += best;
    }
    least = std::move(costs);
  }
  std::vector<Shape> shapes(params.size(), like);
  if (shapes.empty()) return shapes;
  size_t k = static_cast<size_t>(std::min_element(least.begin(), least.end()) - least.begin());
  for (size_t s = sizes.size(); s-- > 0;) {
    shapes[order[s]] = sizes[s][k].shape;
    k = from[s][k];
  }
  return shapes;
}

}  // namespace allometry::models
