// libFuzzer: whatever the bytes, the readers of files that users give return. The first byte says
// which reader (open_bytes.h).
//
//   cmake -B build-fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DALLOMETRY_FUZZ=ON
//         -DALLOMETRY_SANITIZE=address
//   cmake --build build-fuzz --target fuzz_data
//   build-fuzz/tests/fuzz_data -rss_limit_mb=2048 -timeout=10 NEW_INPUTS
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "tests/data/open_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace allometry::data;
  if (size == 0) return 0;
  static const std::string path = absl::StrCat("/tmp/allometry-fuzz-", getpid());
  const char reader = kReaders[data[0] % kReaders.size()];
  OpenBytes(reader, {reinterpret_cast<const char*>(data) + 1, size - 1}, path);
  return 0;
}
