// A stand-in for the CUDA runtime, on host memory (cuda_standin.cc says what it keeps of it).
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

// Whether the variable names this call of this rank: "malloc@1".
bool StandinAsked(const char* variable, const std::string& call);
// Work of a stream, and waiting for all of it.
void StandinEnqueue(cudaStream_t stream, std::function<void()> work);
void StandinWait(cudaStream_t stream);
// Copies pause in their middle, for up to so long.
void StandinSlowCopies(int most_us);
