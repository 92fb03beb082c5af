// What every row of the table must do, on one rank: here without a launcher.
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/comm/collective.h"
#ifdef ALLO_COMM_CUDA_RUNTIME
#include <cuda_runtime_api.h>
#endif

namespace allometry::comm {

// In test names, instead of the row's bytes.
void PrintTo(const Backend& backend, std::ostream* os) { *os << backend.name; }

namespace {

bool HasGpu() {
#ifdef ALLO_COMM_CUDA_RUNTIME
  int gpus = 0;
  return cudaGetDeviceCount(&gpus) == cudaSuccess && gpus > 0;
#else
  return false;
#endif
}

// Floats where the backend wants them.
class Buffer {
 public:
  Buffer(bool on_gpu, std::vector<float> values) : on_gpu_(on_gpu), values_(std::move(values)) {
#ifdef ALLO_COMM_CUDA_RUNTIME
    if (!on_gpu) return;
    EXPECT_EQ(cudaMalloc(&gpu_, values_.size() * sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(gpu_, values_.data(), values_.size() * sizeof(float), cudaMemcpyDefault),
              cudaSuccess);
#endif
  }
  std::span<float> span() {
    return {on_gpu_ ? static_cast<float*>(gpu_) : values_.data(), values_.size()};
  }
  std::vector<float> Read() {
#ifdef ALLO_COMM_CUDA_RUNTIME
    if (on_gpu_) {
      EXPECT_EQ(cudaMemcpy(values_.data(), gpu_, values_.size() * sizeof(float), cudaMemcpyDefault),
                cudaSuccess);
    }
#endif
    return values_;
  }

 private:
  const bool on_gpu_;
  std::vector<float> values_;
  void* gpu_ = nullptr;
};

class ConformanceTest : public testing::TestWithParam<Backend> {
 protected:
  static bool IsNccl() { return std::string(GetParam().name) == "nccl"; }
};

TEST_P(ConformanceTest, OneRankKeepsItsValues) {
  Options options;
  options.on_gpu = IsNccl();
  if (IsNccl() && !HasGpu()) {
    const auto refused = Create("nccl", options);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.status().message()),
                testing::AllOf(testing::HasSubstr("there is no GPU on this machine"),
                               testing::HasSubstr("use the collective mpi or self")));
    return;
  }
  auto created = Create(GetParam().name, options);
  ASSERT_TRUE(created.ok()) << created.status();
  Collective& collective = **created;
  EXPECT_EQ(collective.rank(), 0);
  EXPECT_EQ(collective.world_size(), 1);

  Buffer buffer(options.on_gpu, {1.5f, -2.25f, 1e-30f});
  std::vector<double> scalars = {0.1, 1e300};
  std::string text = "bytes";
  ASSERT_TRUE(collective.AllReduceSum(buffer.span(), {}).ok());
  ASSERT_TRUE(collective.AllReduceSum(std::span(scalars)).ok());
  ASSERT_TRUE(collective.Broadcast(std::as_writable_bytes(std::span(text)), 0).ok());
  ASSERT_TRUE(collective.Barrier().ok());
  EXPECT_EQ(buffer.Read(), (std::vector<float>{1.5f, -2.25f, 1e-30f}));
  EXPECT_EQ(scalars, (std::vector<double>{0.1, 1e300}));
  EXPECT_EQ(text, "bytes");
}

TEST_P(ConformanceTest, AbortEndsTheProcessWithItsExitCode) {
  if (IsNccl() && !HasGpu()) GTEST_SKIP() << "there is no GPU on this machine";
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        Options options;
        options.on_gpu = IsNccl();
        auto created = Create(GetParam().name, options);
        if (created.ok()) (*created)->Abort(75);
      },
      testing::ExitedWithCode(75), "");
}

INSTANTIATE_TEST_SUITE_P(Table, ConformanceTest,
                         testing::ValuesIn(Backends().begin(), Backends().end()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(RegistryTest, UnknownNameListsTheKnownOnes) {
  const auto created = Create("smoke-signals", {});
  EXPECT_EQ(created.status().code(), absl::StatusCode::kNotFound);
  for (const Backend& backend : Backends()) {
    EXPECT_THAT(std::string(created.status().message()), testing::HasSubstr(backend.name));
  }
}

TEST(RegistryTest, HostBackendsAreToldApartFromGpuMemory) {
  Options options;
  options.on_gpu = true;
  for (const Backend& backend : Backends()) {
    if (std::string(backend.name) != "mpi") continue;
    EXPECT_EQ(backend.create(options).status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(RegistryTest, SelfRefusesAJobOfSeveralRanks) {
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  EXPECT_EQ(LaunchedRanks(), 2);
  EXPECT_EQ(Create("self", {}).status().code(), absl::StatusCode::kFailedPrecondition);
  unsetenv("OMPI_COMM_WORLD_SIZE");
  EXPECT_EQ(LaunchedRanks(), 1);
}

}  // namespace
}  // namespace allometry::comm
