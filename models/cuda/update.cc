#include "models/cuda/update.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/cuda/CUDAStream.h>

#include "base/check.h"
#include "models/cuda/chunks.h"
#include "models/cuda/kernels.h"

namespace allometry::models::cuda {
namespace {

class CudaUpdate final : public GuardedUpdate {
 public:
  CudaUpdate(const ParameterLayout& layout, const AdamWOptions& options, Device device)
      : layout_(layout), options_(options) {
    const at::Device gpu(at::kCUDA, static_cast<at::DeviceIndex>(device.index));
    std::vector<Chunk> chunks = ChunksOf(layout);
    const auto bytes = static_cast<int64_t>(chunks.size() * sizeof(Chunk));
    chunks_ = at::from_blob(chunks.data(), {bytes}, at::kByte).to(gpu);
    const auto on_gpu = at::TensorOptions().device(gpu);
    partial_norms_ = at::empty({kNormBlocks}, on_gpu.dtype(at::kDouble));
    coefficients_ = at::empty({sizeof(Coefficients)}, on_gpu.dtype(at::kByte));
    scratch_ = {
        .chunks = reinterpret_cast<const Chunk*>(chunks_.const_data_ptr<uint8_t>()),
        .chunk_count = static_cast<int>(chunks.size()),
        .partial_norms = partial_norms_.mutable_data_ptr<double>(),
        .coefficients = reinterpret_cast<Coefficients*>(coefficients_.mutable_data_ptr<uint8_t>())};
  }

  void Apply(const AdamWState& state, const UpdateInputs* inputs, UpdateReport* report) override {
    const Buffers buffers = {
        .parameters = state.parameters.data(),
        .gradient = state.gradient.data(),
        .first_moment = state.first_moment.data(),
        .second_moment = state.second_moment.data(),
        .rounded = state.rounded.empty() ? nullptr : state.rounded.data(),
        .size = layout_.size,
    };
    const cudaError_t error = EnqueueUpdate(options_, buffers, inputs, report, scratch_,
                                            c10::cuda::getCurrentCUDAStream().stream());
    // A launch is refused where this program has no code for the GPU, which OpenDevice checks.
    ALLO_CHECK(error == cudaSuccess) << cudaGetErrorString(error);
  }

 private:
  const ParameterLayout layout_;
  const AdamWOptions options_;
  at::Tensor chunks_, partial_norms_, coefficients_;
  Scratch scratch_;
};

}  // namespace

std::unique_ptr<GuardedUpdate> CreateUpdate(const ParameterLayout& layout,
                                            const AdamWOptions& options, Device device) {
  return std::make_unique<CudaUpdate>(layout, options, device);
}

}  // namespace allometry::models::cuda
