#include <cmath>

#include "models/bf16.h"
#include "models/cuda/kernels.h"

// A test runs these kernels on host threads with its own definitions of what nvcc provides.
#ifdef __CUDACC__
#define ALLO_LAUNCH(kernel, blocks, stream, ...) \
  kernel<<<(blocks), kThreads, 0, (stream)>>>(__VA_ARGS__)
#endif

namespace allometry::models::cuda {
namespace {

constexpr int kThreads = 256;

// The sum of the block's values, in a fixed order; valid in thread 0.
__device__ double BlockSum(double value) {
  __shared__ double sums[kThreads];
  sums[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  return sums[0];
}

__global__ void SquaredNorm(const float* __restrict__ gradient, int64_t size,
                            double* __restrict__ partial) {
  double sum = 0;
  const int64_t stride = static_cast<int64_t>(kNormBlocks) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size;
       i += stride) {
    const double value = gradient[i];
    sum += value * value;
  }
  sum = BlockSum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block.
__global__ void Decide(const double* __restrict__ partial, AdamWOptions options,
                       const UpdateInputs* inputs, UpdateReport* report, Coefficients* out) {
  double sum = 0;
  for (int i = threadIdx.x; i < kNormBlocks; i += kThreads) sum += partial[i];
  sum = BlockSum(sum);
  if (threadIdx.x != 0) return;
  const double loss = report->loss;
  const bool finite = isfinite(loss);
  if (report->failed_step == 0 && !finite) {
    report->failed_step = inputs->step;
    report->failed_loss = loss;
  }
  out->applies = report->failed_step == 0 ? 1 : 0;
  if (out->applies == 0) return;
  const double norm = sqrt(sum);
  const bool clips = options.clip_norm > 0 && norm > options.clip_norm;
  out->gradient_scale = clips ? static_cast<float>(options.clip_norm / norm) : 1.0f;
  out->rate = static_cast<float>(inputs->rate / (1 - pow(options.beta1, inputs->step)));
  out->decay = static_cast<float>(1 - inputs->rate * options.weight_decay);
  out->second_correction = static_cast<float>(1 / sqrt(1 - pow(options.beta2, inputs->step)));
  report->gradient_norm = norm;
  report->loss_sum += loss;
  report->loss_count += 1;
}

// A block a chunk.
__global__ void AdamW(const Chunk* __restrict__ chunks, const Coefficients* __restrict__ decided,
                      float beta1, float beta2, float epsilon, Buffers buffers) {
  const Coefficients c = *decided;
  if (c.applies == 0) return;
  const Chunk chunk = chunks[blockIdx.x];
  const float decay = chunk.decays != 0 ? c.decay : 1.0f;
  const int64_t end = chunk.begin + chunk.size;
#ifdef __CUDACC__
#pragma unroll 4
#endif
  for (int64_t i = chunk.begin + threadIdx.x; i < end; i += kThreads) {
    const float g = buffers.gradient[i] * c.gradient_scale;
    const float m = beta1 * buffers.first_moment[i] + (1 - beta1) * g;
    const float v = beta2 * buffers.second_moment[i] + (1 - beta2) * g * g;
    const float p =
        buffers.parameters[i] * decay - c.rate * m / (sqrtf(v) * c.second_correction + epsilon);
    buffers.first_moment[i] = m;
    buffers.second_moment[i] = v;
    buffers.parameters[i] = p;
    if (buffers.rounded != nullptr) buffers.rounded[i] = ToBf16(p);
  }
}

}  // namespace

cudaError_t EnqueueUpdate(const AdamWOptions& options, const Buffers& buffers,
                          const UpdateInputs* inputs, UpdateReport* report, const Scratch& scratch,
                          cudaStream_t stream) {
  ALLO_LAUNCH(SquaredNorm, kNormBlocks, stream, buffers.gradient, buffers.size,
              scratch.partial_norms);
  ALLO_LAUNCH(Decide, 1, stream, scratch.partial_norms, options, inputs, report,
              scratch.coefficients);
  ALLO_LAUNCH(AdamW, scratch.chunk_count, stream, scratch.chunks, scratch.coefficients,
              static_cast<float>(options.beta1), static_cast<float>(options.beta2),
              static_cast<float>(options.epsilon), buffers);
  return cudaGetLastError();
}

}  // namespace allometry::models::cuda
