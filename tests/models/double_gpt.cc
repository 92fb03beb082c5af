#include "tests/models/double_gpt.h"

#include <algorithm>
#include <cmath>
#include <complex>

namespace allometry::models {
namespace {

using Row = std::vector<double>;

// Hands out the tensors in the order of the layout.
class Tensors {
 public:
  Tensors(const ParameterLayout& layout, std::span<const double> parameters)
      : layout_(layout), parameters_(parameters) {}
  const double* Next() { return parameters_.data() + layout_.views[next_++].offset; }

 private:
  const ParameterLayout& layout_;
  std::span<const double> parameters_;
  size_t next_ = 0;
};

Row Normalized(const Row& x, const double* gain, const double* bias) {
  const double n = static_cast<double>(x.size());
  double mean = 0, variance = 0;
  for (const double value : x) mean += value / n;
  for (const double value : x) variance += (value - mean) * (value - mean) / n;
  Row y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    y[i] = (x[i] - mean) / std::sqrt(variance + 1e-5) * gain[i] + bias[i];
  }
  return y;
}

Row Applied(const double* weight, const double* bias, const Row& x, int outputs) {
  Row y(outputs);
  for (int o = 0; o < outputs; ++o) {
    y[o] = bias == nullptr ? 0 : bias[o];
    for (size_t i = 0; i < x.size(); ++i) y[o] += weight[o * x.size() + i] * x[i];
  }
  return y;
}

void AddTo(Row& x, const Row& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

// The pairs of one head at `x` turned as complex numbers.
void Turn(double* x, int head_width, int64_t position) {
  for (int i = 0; i < head_width; i += 2) {
    const std::complex<double> turned =
        std::complex(x[i], x[i + 1]) *
        std::polar(1.0, static_cast<double>(position) /
                            std::pow(1000.0, static_cast<double>(i) / head_width));
    x[i] = turned.real();
    x[i + 1] = turned.imag();
  }
}

// Of the query at the last of `qkv`'s positions over all of them.
Row Attended(const Shape& shape, const std::vector<Row>& qkv) {
  const int head_width = shape.width / shape.heads;
  Row out(shape.width);
  for (int head = 0; head < shape.heads; ++head) {
    const int at = head * head_width;
    Row weights;
    double sum = 0;
    for (const Row& other : qkv) {
      double score = 0;
      for (int i = 0; i < head_width; ++i) {
        score += qkv.back()[at + i] * other[shape.width + at + i];
      }
      weights.push_back(std::exp(score / std::sqrt(head_width)));
      sum += weights.back();
    }
    for (size_t j = 0; j < qkv.size(); ++j) {
      for (int i = 0; i < head_width; ++i) {
        out[at + i] += weights[j] / sum * qkv[j][2 * shape.width + at + i];
      }
    }
  }
  return out;
}

double SequenceLoss(const Shape& shape, const ParameterLayout& layout,
                    std::span<const double> parameters, const int32_t* inputs,
                    const int32_t* targets, int64_t context, std::span<const uint8_t> classes,
                    std::span<const float> weights) {
  const int d = shape.width;
  Tensors tensors(layout, parameters);
  const double* tokens = tensors.Next();
  const bool is_absolute = shape.positions == run::Positions::kAbsolute;
  const bool is_rotary = shape.positions == run::Positions::kRotary;
  const double* first = is_rotary ? nullptr : tensors.Next();
  const double* slots = is_absolute ? nullptr : tensors.Next();
  std::vector<Row> x(context, Row(d));
  for (int64_t t = 0; t < context; ++t) {
    for (int i = 0; i < d; ++i) {
      x[t][i] = tokens[inputs[t] * d + i];
      if (is_absolute) x[t][i] += first[t * d + i];
      if (is_absolute) continue;
      if (!is_rotary) x[t][i] += first[t / shape.frame_tokens * d + i];
      x[t][i] += slots[t % shape.frame_tokens * d + i];
    }
  }
  for (int layer = 0; layer < shape.layers; ++layer) {
    const double* p[12];
    for (const double*& tensor : p) tensor = tensors.Next();
    std::vector<Row> qkv;
    for (Row& row : x) {
      qkv.push_back(Applied(p[2], p[3], Normalized(row, p[0], p[1]), 3 * d));
      for (int head = 0; is_rotary && head < 2 * shape.heads; ++head) {
        const int head_width = d / shape.heads;
        Turn(&qkv.back()[head * head_width], head_width, static_cast<int64_t>(qkv.size()) - 1);
      }
      AddTo(row, Applied(p[4], p[5], Attended(shape, qkv), d));
      Row hidden = Applied(p[8], p[9], Normalized(row, p[6], p[7]), 4 * d);
      for (double& u : hidden) u *= 0.5 * std::erfc(-u / std::sqrt(2.0));
      AddTo(row, Applied(p[10], p[11], hidden, d));
    }
  }
  const double* gain = tensors.Next();
  const double* bias = tensors.Next();
  double loss = 0;
  for (int64_t t = 0; t < context; ++t) {
    if (targets[t] == kMasked) continue;
    const Row logits = Applied(tokens, nullptr, Normalized(x[t], gain, bias), shape.vocabulary);
    double sum = 0, right = 0;
    for (int id = 0; id < shape.vocabulary; ++id) {
      const bool is_right = classes.empty() ? id == targets[t] : classes[id] == classes[targets[t]];
      sum += std::exp(logits[id]);
      if (is_right) right += std::exp(logits[id]);
    }
    loss += (weights.empty() ? 1.0 : weights[t]) * (std::log(sum) - std::log(right));
  }
  return loss;
}

}  // namespace

double DoubleLoss(const Shape& shape, const ParameterLayout& layout,
                  std::span<const double> parameters, const Batch& batch) {
  double loss = 0;
  for (int64_t row = 0; row < batch.sequences; ++row) {
    loss += SequenceLoss(shape, layout, parameters, batch.inputs.data() + row * batch.context,
                         batch.targets.data() + row * batch.context, batch.context, batch.classes,
                         batch.weights);
  }
  if (!batch.weights.empty()) return loss / static_cast<double>(batch.sequences);
  return loss /
         static_cast<double>(batch.targets.size() -
                             std::count(batch.targets.begin(), batch.targets.end(), kMasked));
}

}  // namespace allometry::models
