// libFuzzer: whatever the bytes, ParseSweepFile and Expand return, and a refusal names a line.
//
//   cmake -B build-fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DALLOMETRY_FUZZ=ON
//         -DALLOMETRY_SANITIZE=address
//   cmake --build build-fuzz --target fuzz_sweep_file
//   build-fuzz/tests/fuzz_sweep_file -rss_limit_mb=2048 -timeout=10 NEW_INPUTS tests/sweep/corpus
//
// What it finds becomes a file of tests/sweep/corpus/, which hostile_sweep_file_test replays.
#include <cstddef>
#include <cstdint>

#include "absl/strings/match.h"
#include "base/check.h"
#include "coordinator/sweep/expansion.h"
#include "coordinator/sweep/sweep_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace allometry;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto file = sweep::ParseSweepFile(bytes, "a.yaml");
  if (!file.ok()) {
    ALLO_CHECK(absl::StartsWith(file.status().message(), "a.yaml:")) << file.status();
    return 0;
  }
  data::Manifest manifest;
  manifest.name = file->dataset;
  manifest.vocabulary = 99;
  manifest.unique_tokens = 1'000'000;
  const auto expansion = sweep::Expand(*file, manifest);
  if (!expansion.ok()) {
    ALLO_CHECK(absl::StartsWith(expansion.status().message(), "a.yaml:")) << expansion.status();
    return 0;
  }
  for (const auto& cell : expansion->cells) {
    const auto& run = expansion->runs.at(cell.run_id() - 1);
    ALLO_CHECK(cell.step() >= 1 && cell.step() <= run.spec().steps());
    ALLO_CHECK(cell.step() > run.spec().identity().warmup_steps());
  }
  return 0;
}
