// The optimizer's CUDA kernels, run on the host: their indices, barriers and arithmetic against
// the CPU's AdamW. What only a GPU can show is in trainer_gpu_test.cc.
#include <math.h>
#include <ucontext.h>

#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "models/bf16.h"
#include "models/cuda/chunks.h"
#include "models/cuda/kernels.h"
#include "models/guarded_update.h"

// What nvcc provides. A block's threads are contexts of one thread of the host, each run until it
// waits for the others; blocks run one after another, so one static variable is a block's shared
// memory.
#undef __global__
#undef __device__
#undef __shared__
#define __global__
#define __device__
#define __shared__ static
namespace {
struct Index {
  unsigned int x;
};
Index threadIdx, blockIdx;

constexpr size_t kStackBytes = 32 << 10;
ucontext_t scheduler;
std::vector<ucontext_t> contexts;
std::vector<char> stacks;
std::vector<char> ended;
std::function<void()> body;  // of the kernel

void __syncthreads() { swapcontext(&contexts[threadIdx.x], &scheduler); }
void RunThread() {
  body();
  ended[threadIdx.x] = 1;
}

template <class Kernel, class... Arguments>
void LaunchOnHost(Kernel kernel, int blocks, int threads, Arguments... arguments) {
  contexts.resize(threads);
  stacks.resize(threads * kStackBytes);
  body = [=] { kernel(arguments...); };
  for (int block = 0; block < blocks; ++block) {
    blockIdx.x = static_cast<unsigned int>(block);
    ended.assign(threads, 0);
    for (int i = 0; i < threads; ++i) {
      getcontext(&contexts[i]);
      contexts[i].uc_stack = {&stacks[i * kStackBytes], 0, kStackBytes};
      contexts[i].uc_link = &scheduler;
      makecontext(&contexts[i], RunThread, 0);
    }
    // Backwards every other time: no order of threads may matter.
    for (bool forwards = true; ended != std::vector<char>(threads, 1); forwards = !forwards) {
      for (int k = 0; k < threads; ++k) {
        const int i = forwards ? k : threads - 1 - k;
        if (ended[i] != 0) continue;
        threadIdx.x = static_cast<unsigned int>(i);
        swapcontext(&scheduler, &contexts[i]);
      }
    }
  }
}
}  // namespace
extern "C" cudaError_t cudaGetLastError() { return cudaSuccess; }
#define ALLO_LAUNCH(kernel, blocks, stream, ...)            \
  do {                                                      \
    (void)(stream);                                         \
    LaunchOnHost(&kernel, (blocks), kThreads, __VA_ARGS__); \
  } while (false)
#include "models/cuda/kernels.cu"

// After the kernels: gtest's headers use the words above.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace allometry::models {
namespace {

struct Model {
  explicit Model(const ParameterLayout& layout)
      : parameters(layout.size),
        gradient(layout.size),
        first(layout.size),
        second(layout.size),
        rounded(layout.size) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (float& p : parameters) p = normal(random);
  }
  AdamWState state() { return {parameters, gradient, first, second, rounded}; }
  std::vector<float> parameters, gradient, first, second;
  std::vector<uint16_t> rounded;
  UpdateReport report;
};

// The kernels' update with its buffers, as update.cc sets it up.
class KernelUpdate {
 public:
  KernelUpdate(const ParameterLayout& layout, const AdamWOptions& options)
      : options_(options), chunks_(cuda::ChunksOf(layout)), partial_(cuda::kNormBlocks) {}
  void Apply(Model& model, const UpdateInputs& inputs) {
    const cuda::Buffers buffers = {
        model.parameters.data(), model.gradient.data(),
        model.first.data(),      model.second.data(),
        model.rounded.data(),    static_cast<int64_t>(model.parameters.size())};
    EXPECT_EQ(cuda::EnqueueUpdate(options_, buffers, &inputs, &model.report,
                                  {chunks_.data(), static_cast<int>(chunks_.size()),
                                   partial_.data(), &coefficients_},
                                  nullptr),
              cudaSuccess);
  }

 private:
  const AdamWOptions options_;
  const std::vector<cuda::Chunk> chunks_;
  std::vector<double> partial_;
  cuda::Coefficients coefficients_ = {};
};

// Views of more and of less than a chunk, whose sizes no power of two divides.
const Shape kShape = {"gpt", 1, 1, 36, 17, 133};

TEST(CudaKernelsTest, ChunksCoverTheTrainedElementsOnceWithTheirDecay) {
  const ParameterLayout layout = *LayoutOf(kShape);
  std::vector<int> decays(layout.size, -1);
  size_t full = 0;
  for (const cuda::Chunk& chunk : cuda::ChunksOf(layout)) {
    ASSERT_GE(chunk.size, 1);
    ASSERT_LE(chunk.size, cuda::kChunkElements);
    full += chunk.size == cuda::kChunkElements ? 1 : 0;
    for (int64_t i = chunk.begin; i < chunk.begin + chunk.size; ++i) {
      ASSERT_EQ(decays.at(i), -1) << i;
      decays[i] = chunk.decays;
    }
  }
  EXPECT_GE(full, 2u);
  for (const ParameterView& view : layout.views) {
    for (int64_t i = view.offset; i < view.offset + view.size; ++i) {
      ASSERT_EQ(decays[i], view.decays ? 1 : 0) << view.name;
    }
  }
}

TEST(CudaKernelsTest, UpdatesAreAdamWsToRounding) {
  const ParameterLayout layout = *LayoutOf(kShape);
  for (const double clip : {0.0, 1.0, 1e6}) {
    AdamWOptions options;
    options.clip_norm = clip;
    Model host(layout), gpu(layout);
    const auto expected = CreateHostUpdate(layout, options);
    KernelUpdate kernels(layout, options);
    std::mt19937 random(9);
    for (int step = 1; step <= 4; ++step) {
      std::normal_distribution<float> normal(0, step % 3 == 0 ? 1e-3f : 0.5f);
      for (float& g : host.gradient) g = normal(random);
      gpu.gradient = host.gradient;
      host.report.loss = gpu.report.loss = 0.1 * step;
      const UpdateInputs inputs = {.step = static_cast<double>(step), .rate = 1e-2};
      expected->Apply(host.state(), &inputs, &host.report);
      kernels.Apply(gpu, inputs);
      EXPECT_NEAR(gpu.report.gradient_norm, host.report.gradient_norm,
                  1e-12 * host.report.gradient_norm);
      EXPECT_EQ(gpu.report.loss_sum, host.report.loss_sum);
      EXPECT_EQ(gpu.report.loss_count, step);
    }
    for (int64_t i = 0; i < layout.size; ++i) {
      ASSERT_NEAR(gpu.parameters[i], host.parameters[i], 1e-6) << i << " clip " << clip;
      ASSERT_NEAR(gpu.first[i], host.first[i], 1e-7) << i;
      ASSERT_NEAR(gpu.second[i], host.second[i], 1e-7) << i;
      ASSERT_EQ(gpu.rounded[i], ToBf16(gpu.parameters[i])) << i;
    }
  }
}

// The host learns of a loss that is not finite only later: nothing may have changed by then.
TEST(CudaKernelsTest, FromALossThatIsNotFiniteOnNothingChanges) {
  const ParameterLayout layout = *LayoutOf(kShape);
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity()}) {
    Model model(layout), host(layout);
    KernelUpdate kernels(layout, {});
    const auto on_host = CreateHostUpdate(layout, {});
    std::fill(model.gradient.begin(), model.gradient.end(), 0.25f);
    host.gradient = model.gradient;
    Model before = model;
    for (int step = 1; step <= 5; ++step) {
      if (step == 3) before = model;
      model.report.loss = host.report.loss = step == 3 ? bad : 1.0;
      const UpdateInputs inputs = {.step = static_cast<double>(step), .rate = 1e-2};
      kernels.Apply(model, inputs);
      on_host->Apply(host.state(), &inputs, &host.report);
    }
    EXPECT_EQ(model.parameters, before.parameters);
    EXPECT_EQ(model.first, before.first);
    EXPECT_EQ(model.rounded, before.rounded);
    for (const UpdateReport* report : {&model.report, &host.report}) {
      EXPECT_EQ(report->failed_step, 3);
      EXPECT_EQ(std::isnan(report->failed_loss), std::isnan(bad));
      if (!std::isnan(bad)) {
        EXPECT_EQ(report->failed_loss, bad);
      }
      EXPECT_EQ(report->loss_sum, 2);
      EXPECT_EQ(report->loss_count, 2);
    }
  }
}

TEST(CudaKernelsTest, TheSameInputsGiveTheSameBits) {
  const ParameterLayout layout = *LayoutOf(kShape);
  Model first(layout), second(layout);
  for (Model* model : {&first, &second}) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    for (float& g : model->gradient) g = normal(random);
    KernelUpdate(layout, {}).Apply(*model, {.step = 1, .rate = 1e-2});
  }
  EXPECT_EQ(first.parameters, second.parameters);
  EXPECT_EQ(first.report.gradient_norm, second.report.gradient_norm);
}

}  // namespace
}  // namespace allometry::models
