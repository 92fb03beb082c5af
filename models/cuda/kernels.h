// The optimizer's update on a GPU: the gradient's norm, clipping, AdamW and the bf16 copy, over all
// tensors of the flat buffers in three launches.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "models/update_numbers.h"

namespace allometry::models::cuda {

// A piece of the flat buffers whose elements agree on weight decay.
struct Chunk {
  int64_t begin = 0;  // in elements
  int32_t size = 0;   // at most kChunkElements
  int32_t decays = 0;
};
inline constexpr int kChunkElements = 4096;
inline constexpr int kNormBlocks = 256;

// What one update does to every element, worked out on the device from its loss and its norm.
struct Coefficients {
  float gradient_scale;     // of clipping
  float rate;               // learning rate / (1 - beta1^t)
  float decay;              // parameters that decay are multiplied by this
  float second_correction;  // 1 / sqrt(1 - beta2^t)
  int32_t applies;          // 0: the update is refused
};

// All pointers are to memory of the GPU; elements are those of the trained layout.
struct Buffers {
  float* parameters;
  const float* gradient;
  float* first_moment;
  float* second_moment;
  uint16_t* rounded;  // null: no bf16 copy
  int64_t size;
};
struct Scratch {
  const Chunk* chunks;
  int chunk_count;
  double* partial_norms;  // [kNormBlocks]
  Coefficients* coefficients;
};

// Enqueues the update on `stream`. The same inputs give the same bits: sums have a fixed order.
cudaError_t EnqueueUpdate(const AdamWOptions& options, const Buffers& buffers,
                          const UpdateInputs* inputs, UpdateReport* report, const Scratch& scratch,
                          cudaStream_t stream);

}  // namespace allometry::models::cuda
