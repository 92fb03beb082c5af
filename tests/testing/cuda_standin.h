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
// Captures what is enqueued on the stream, and on those that come to follow it by an event, instead
// of doing it. The end says cudaErrorStreamCaptureUnjoined where the stream does not follow what
// another one has; a call that would wait while it lasts fails. Replay enqueues what was captured.
void StandinBeginCapture(cudaStream_t stream);
cudaError_t StandinEndCapture(cudaStream_t stream);
void StandinReplay(cudaStream_t stream);
// Copies pause in their middle, for up to so long.
void StandinSlowCopies(int most_us);
