// The kernels' machine code, by a measure that needs no clock: instructions per unit of work,
// counted by callgrind. Values do not tell a kernel that keeps its sums in registers from one that
// moves them through memory; this does.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "models/instruction_set.h"
#include "tests/testing/child_process.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::models {
namespace {

struct Bound {
  const char* set;
  const char* kernel;
  const char* unit;
  // A quarter above what GCC 12 makes of it.
  double instructions;
};
constexpr Bound kBounds[] = {
    {"avx2", "product", "multiply-add", 0.33},
    {"avx2", "product_transposed", "multiply-add", 0.33},
    {"avx2", "product_half_panel", "multiply-add", 0.35},
    {"avx2", "attention", "multiply-add", 0.45},
    {"avx2", "rows", "element", 20},
    {"baseline", "product", "multiply-add", 1.15},
    {"baseline", "product_transposed", "multiply-add", 1.15},
    {"baseline", "product_half_panel", "multiply-add", 1.19},
    {"baseline", "attention", "multiply-add", 1.41},
    {"baseline", "rows", "element", 48},
};

void PrintTo(const Bound& bound, std::ostream* out) { *out << bound.set << " " << bound.kernel; }

// 0 where it is not there.
int64_t NumberAfter(const std::string& text, const std::string& label) {
  const size_t at = text.find(label);
  return at == std::string::npos ? 0 : std::atoll(text.c_str() + at + label.size());
}

class InstructionCountTest : public ::testing::TestWithParam<Bound> {
 protected:
  struct Counted {
    int64_t instructions = 0;  // of the whole process
    int64_t units = 0;         // of one repetition
  };
  Counted Count(const Bound& bound, int repetitions) {
    const std::string log = folder_.Path(absl::StrCat("log-", repetitions));
    allometry::testing::ChildProcess valgrind;
    valgrind.Start({"valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                    absl::StrCat(ALLO_KERNEL_WORK_DIR "/kernel_work_", bound.set), bound.kernel,
                    absl::StrCat(repetitions)},
                   log);
    const int code = valgrind.Wait();
    const std::string text = *ReadFile(log);
    EXPECT_EQ(code, 0) << text;
    const Counted counted = {NumberAfter(text, "Collected : "), NumberAfter(text, "units ")};
    EXPECT_GT(counted.instructions, 0) << text;
    EXPECT_GT(counted.units, 0) << text;
    return counted;
  }

  allometry::testing::TemporaryFolder folder_;
};

TEST_P(InstructionCountTest, AKernelKeepsItsSumsInRegisters) {
  if (std::system("valgrind --version > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "valgrind is not installed (cmake/install_packages.sh installs it)";
  }
  const Bound& bound = GetParam();
  for (const InstructionSet& set : InstructionSets()) {
    if (!set.here && set.name == std::string(bound.set)) {
      GTEST_SKIP() << "this CPU has no " << bound.set;
    }
  }
  constexpr int kMore = 3;
  const Counted once = Count(bound, 1), more = Count(bound, 1 + kMore);
  ASSERT_GT(once.units, 0);
  const double each = static_cast<double>(more.instructions - once.instructions) / kMore /
                      static_cast<double>(once.units);
  std::printf("%s %s: %.3f instructions per %s, allowed are %.3f\n", bound.set, bound.kernel, each,
              bound.unit, bound.instructions);
  EXPECT_LE(each, bound.instructions);
  EXPECT_GT(each, 0);
}

INSTANTIATE_TEST_SUITE_P(Kernels, InstructionCountTest, ::testing::ValuesIn(kBounds),
                         [](const ::testing::TestParamInfo<Bound>& info) {
                           return absl::StrCat(info.param.set, "_", info.param.kernel);
                         });

}  // namespace
}  // namespace allometry::models
