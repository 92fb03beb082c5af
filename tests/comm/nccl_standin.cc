// NCCL as worker/comm/nccl.cc calls it, on host memory and the stand-in for the CUDA runtime
// (tests/testing/cuda_standin.h), so that it runs unchanged under mpirun where there is no GPU.
// Kept of the real one is what errors depend on:
//
//   * A communicator is in progress until all ranks have come.
//   * A peer whose sockets close is an asynchronous error, and work that waits for it never ends.
//     A peer that hangs is work that never ends, without an error. Abort ends such work.
//   * Finalize and Destroy of a communicator whose work does not end hang.
//
// Ranks of one host: rank 0 listens on an abstract Unix socket, whose name is the unique id, adds
// up in the order of ranks and sends the sum back.
//
//   STANDIN_FAIL=unique_id@0   this call fails on this rank: unique_id or init
//   STANDIN_HANG=init@1        this rank's set-up does not end
#include "tests/comm/nccl_standin.h"

#include <cuda_runtime_api.h>
#include <nccl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/cuda_standin.h"

namespace {

sockaddr_un AddressOf(const ncclUniqueId& id) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, id.internal, 32);  // byte 0: an abstract name
  return address;
}
constexpr socklen_t kAddressBytes = offsetof(sockaddr_un, sun_path) + 1 + 32;

int listener = -1;
ncclComm_t latest = nullptr;

}  // namespace

struct ncclComm {
  ncclComm(int own_rank, int ranks) : rank(own_rank), size(ranks), sockets(ranks, -1) {}

  const int rank, size;
  std::vector<int> sockets;  // rank 0: of each other rank; otherwise [0]: of rank 0
  std::atomic<ncclResult_t> state = ncclInProgress;
  std::atomic<bool> aborted = false;
  cudaStream_t stream = nullptr;  // of the last call

  void Connect(const ncclUniqueId& id) {
    if (StandinAsked("STANDIN_HANG", "init")) return;
    if (rank == 0) {
      for (int i = 1; i < size; ++i) {
        const int socket = accept(listener, nullptr, nullptr);
        int peer = 0;
        if (socket < 0 || recv(socket, &peer, sizeof peer, MSG_WAITALL) != sizeof peer) {
          state = ncclSystemError;
          return;
        }
        sockets[peer] = socket;
      }
    } else {
      const sockaddr_un address = AddressOf(id);
      const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (connect(socket, reinterpret_cast<const sockaddr*>(&address), kAddressBytes) != 0 ||
          send(socket, &rank, sizeof rank, MSG_NOSIGNAL) != sizeof rank) {
        state = ncclSystemError;
        return;
      }
      sockets[0] = socket;
    }
    state = ncclSuccess;
  }

  void Hang() {
    while (!aborted) usleep(1000);
  }
  // False, after which the work never ends, where the peer is gone.
  bool Exchange(bool sends, int peer, void* data, size_t bytes) {
    for (char* at = static_cast<char*>(data); bytes > 0;) {
      const ssize_t done =
          sends ? send(sockets[peer], at, bytes, MSG_NOSIGNAL) : recv(sockets[peer], at, bytes, 0);
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) {
        if (!aborted) state = ncclRemoteError;
        Hang();
        return false;
      }
      at += done;
      bytes -= static_cast<size_t>(done);
    }
    return true;
  }

  template <class T>
  void Sum(T* values, size_t count) {
    const size_t bytes = count * sizeof(T);
    if (rank != 0) {
      (void)(Exchange(true, 0, values, bytes) && Exchange(false, 0, values, bytes));
      return;
    }
    std::vector<T> theirs(count);
    for (int peer = 1; peer < size; ++peer) {
      if (!Exchange(false, peer, theirs.data(), bytes)) return;
      for (size_t i = 0; i < count; ++i) values[i] += theirs[i];
    }
    for (int peer = 1; peer < size; ++peer) {
      if (!Exchange(true, peer, values, bytes)) return;
    }
  }
  void Broadcast(char* data, size_t bytes, int root) {
    if (rank != 0) {
      (void)Exchange(rank == root, 0, data, bytes);
      return;
    }
    if (root != 0 && !Exchange(false, root, data, bytes)) return;
    for (int peer = 1; peer < size; ++peer) {
      if (peer != root && !Exchange(true, peer, data, bytes)) return;
    }
  }
  void Close() {
    for (const int socket : sockets) {
      if (socket >= 0) shutdown(socket, SHUT_RDWR);
    }
  }
};

void StandinVanish() { latest->Close(); }

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = 22'803;
  return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (StandinAsked("STANDIN_FAIL", "unique_id")) return ncclSystemError;
  if (getrandom(id->internal, 32, 0) != 32) return ncclSystemError;
  const sockaddr_un address = AddressOf(*id);
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool listens =
      bind(listener, reinterpret_cast<const sockaddr*>(&address), kAddressBytes) == 0 &&
      listen(listener, 64) == 0;
  return listens ? ncclSuccess : ncclSystemError;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (StandinAsked("STANDIN_FAIL", "init")) return ncclSystemError;
  if (config->blocking != 0) return ncclInvalidUsage;
  *comm = latest = new ncclComm(rank, size);
  std::thread([comm = *comm, id] { comm->Connect(id); }).detach();
  return ncclInProgress;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  *state = comm->state;
  return ncclSuccess;
}
ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  if (from != to || op != ncclSum) return ncclInvalidUsage;
  comm->stream = stream;
  StandinEnqueue(stream, [=] {
    type == ncclFloat32 ? comm->Sum(static_cast<float*>(to), count)
                        : comm->Sum(static_cast<double*>(to), count);
  });
  return comm->state;
}
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  if (from != to || type != ncclUint8) return ncclInvalidUsage;
  comm->stream = stream;
  StandinEnqueue(stream, [=] { comm->Broadcast(static_cast<char*>(to), count, root); });
  return comm->state;
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  StandinWait(comm->stream);
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  StandinWait(comm->stream);
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->aborted = true;
  comm->Close();
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclSystemError:
      return "unhandled system error";
    default:
      return "invalid usage";
  }
}
const char* ncclGetLastError(ncclComm_t) { return "the stand-in's last words"; }

}  // extern "C"
