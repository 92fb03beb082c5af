// The device of a rank. Two definitions: device_cpu.cc in allo-trainer, device_cuda.cc in
// allo-trainer-cuda; so the first loads nothing of CUDA.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "models/guarded_update.h"
#include "models/train_step.h"
#include "run/choices.h"
#include "worker/trainer/batch_feed.h"
#include "worker/trainer/captured_work.h"

namespace allometry::trainer {

struct ComputeDevice {
  models::Device device;
  void* stream = nullptr;  // a cudaStream_t: the one that LibTorch's work is enqueued on
  std::string model;       // "AMD EPYC 7B13 (avx2)", "NVIDIA H200"
};

// Of kCuda, the GPU `index` of those that this process sees.
// FailedPrecondition, in a sentence, where there is none or this executable cannot use it.
// `deterministic` asks LibTorch for deterministic kernels (CPU ones always are).
absl::StatusOr<ComputeDevice> OpenDevice(run::DeviceKind kind, int index, bool deterministic);

// What updates on the device are made of. `wait` bounds what waits for the device.
std::unique_ptr<BatchFeed> CreateFeed(const ComputeDevice& device, WaitUntil wait);
std::unique_ptr<models::GuardedUpdate> CreateUpdate(const ComputeDevice& device,
                                                    const models::ParameterLayout& layout,
                                                    const models::AdamWOptions& options);
// Null where the device has no graphs.
std::unique_ptr<GraphRecorder> CreateRecorder(const ComputeDevice& device);

// The most memory that this rank had so far, in bytes: on a GPU what LibTorch's allocator reserved
// there (the CUDA context, some hundred MB, is not in it); on a CPU the resident set without files
// mapped by all ranks alike, such as LibTorch itself. 0: not known.
int64_t PeakMemoryBytes(const ComputeDevice& device);
// That of a CPU rank.
int64_t PeakHostBytes();
// Gives freed memory back and lets PeakHostBytes begin anew: of what was scratch.
void ForgetPeakHostBytes();

// The CPU. Its model is the processor's name as /proc/cpuinfo has it, or "unknown", and the
// instruction set in use (models/instruction_set.h): virtual machines name processors alike that
// differ in it. An error where ALLO_ISA asks for a set that is not known or not here.
absl::StatusOr<ComputeDevice> OpenCpu();

// What was compiled: "allometry 0.1.0, LibTorch 2.11.0, gcc 12.2.0".
std::string TrainerBuild();

}  // namespace allometry::trainer
