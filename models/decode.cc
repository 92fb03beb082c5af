#include "models/decode.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/split_mix.h"
#include "models/fused_cpu/denormals.h"
#include "models/fused_cpu/plan_storage.h"
#include "models/instruction_set.h"

namespace allometry::models {
namespace {

struct Free {
  void operator()(float* memory) const { std::free(memory); }
};
// Zeroed, at a cache line.
std::unique_ptr<float, Free> Floats(int64_t count) {
  const size_t bytes = fused_cpu::PadToVector(count) * sizeof(float);
  auto* memory = static_cast<float*>(std::aligned_alloc(64, bytes));
  ALLO_CHECK(memory != nullptr) << count << " floats";
  std::memset(memory, 0, bytes);
  return std::unique_ptr<float, Free>(memory);
}

class CachedDecoder final : public Decoder {
 public:
  CachedDecoder(std::unique_ptr<fused_cpu::PlanStorage> storage, int64_t parameters,
                const fused_cpu::DecodeKernels& kernels)
      : storage_(std::move(storage)), size_(parameters), kernels_(kernels) {}

  absl::Status Begin(std::span<const float> parameters, int rows, int capacity) override {
    const fused_cpu::Plan& plan = storage_->plan();
    ALLO_CHECK(static_cast<int64_t>(parameters.size()) == size_) << parameters.size();
    if (rows < 1)
      return absl::InvalidArgumentError(absl::StrFormat("%d rows: allowed is 1 or more", rows));
    if (capacity < 1 || capacity > plan.context) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%d tokens a row: allowed is 1..%d, the model's context", capacity, plan.context));
    }
    if (rows != cache_.rows || fused_cpu::PadToVector(capacity) != cache_.capacity) {
      Allocate(rows, fused_cpu::PadToVector(capacity));
    }
    parameters_ = parameters.data();
    capacity_ = capacity;
    length_ = 0;
    const fused_cpu::DenormalsAreZero denormals_are_zero;
    kernels_.pack(plan, parameters_);
    return absl::OkStatus();
  }

  absl::Status Append(std::span<const int32_t> tokens, int n) override {
    const fused_cpu::Plan& plan = storage_->plan();
    if (n < 1)
      return absl::InvalidArgumentError(absl::StrFormat("%d tokens: allowed is 1 or more", n));
    ALLO_CHECK(static_cast<long>(tokens.size()) == cache_.rows * n)
        << tokens.size() << " tokens of " << cache_.rows << " rows";
    if (n > capacity_ - length_) {
      return absl::OutOfRangeError(
          absl::StrFormat("%d tokens more behind %d: allowed are %d", n, length_, capacity_));
    }
    for (const int32_t id : tokens) {
      if (id < 0 || id >= plan.vocabulary) {
        return absl::InvalidArgumentError(
            absl::StrFormat("token %d: allowed is 0..%d", id, plan.vocabulary - 1));
      }
    }
    const fused_cpu::DenormalsAreZero denormals_are_zero;
    kernels_.append(plan, cache_, parameters_, tokens.data(), length_, n);
    length_ += n;
    return absl::OkStatus();
  }

  absl::Status Logits(Segment ids, std::span<float> out) override {
    const fused_cpu::Plan& plan = storage_->plan();
    if (length_ == 0) return absl::FailedPreconditionError("no token was appended yet");
    if (ids.begin < 0 || ids.begin >= ids.end || ids.end > plan.vocabulary) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "ids %d to %d: allowed are some of 0..%d", ids.begin, ids.end - 1, plan.vocabulary - 1));
    }
    ALLO_CHECK(static_cast<long>(out.size()) == cache_.rows * ids.size()) << out.size();
    const fused_cpu::DenormalsAreZero denormals_are_zero;
    kernels_.logits(plan, cache_, ids.begin, ids.end, out.data());
    return absl::OkStatus();
  }

  int length() const override { return length_; }

 private:
  void Allocate(long rows, long capacity) {
    const fused_cpu::Plan& plan = storage_->plan();
    const int64_t cache = plan.layers * rows * plan.heads * capacity * plan.head_pad;
    const int64_t x = rows * plan.width_stride;
    memory_.reset();
    memory_ = Floats(2 * cache + x + capacity);
    float* next = memory_.get();
    const auto take = [&next](int64_t floats) { return std::exchange(next, next + floats); };
    cache_ = {.rows = rows,
              .capacity = capacity,
              .keys = take(cache),
              .values = take(cache),
              .last_x = take(x),
              .scores = take(capacity)};
  }

  const std::unique_ptr<fused_cpu::PlanStorage> storage_;
  const int64_t size_;  // of the parameters
  const fused_cpu::DecodeKernels& kernels_;
  std::unique_ptr<float, Free> memory_;
  fused_cpu::DecodeCache cache_;
  const float* parameters_ = nullptr;
  int capacity_ = 0;
  int length_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Decoder>> CreateDecoder(const Shape& shape,
                                                       const ParameterLayout& layout) {
  ALLO_RETURN_IF_ERROR(Validate(shape));
  const Family& family = *FindFamily(shape.family);
  if (family.encoder_channels > 0 || family.tokenizer) {
    return absl::UnimplementedError(
        absl::StrCat("family ", shape.family, " does not read tokens, so none can be decoded"));
  }
  ALLO_ASSIGN_OR_RETURN(const InstructionSet set, ChooseInstructionSet());
  ALLO_ASSIGN_OR_RETURN(auto storage, fused_cpu::PlanStorage::Make(shape, layout));
  return std::make_unique<CachedDecoder>(std::move(storage), layout.size, *set.decode);
}

double Uniform(uint64_t seed, uint64_t row, uint64_t position) {
  const uint64_t bits = SplitMix(SplitMix(SplitMix(seed) ^ row) ^ position);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

int SampleToken(std::span<const float> logits, double u) {
  ALLO_CHECK(!logits.empty());
  const double largest = *std::max_element(logits.begin(), logits.end());
  thread_local std::vector<double> weights;
  weights.clear();
  double sum = 0;
  for (const float logit : logits) {
    weights.push_back(std::exp(logit - largest));
    sum += weights.back();
  }
  double running = 0;
  int last = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (weights[i] > 0) last = static_cast<int>(i);
    running += weights[i];
    if (running > u * sum) return static_cast<int>(i);
  }
  return last;
}

}  // namespace allometry::models
