// Reading tables of runs: seconds, rows a second and memory for N rows (default 1,000,000).
//   bench/read_csv [rows] [path]     with a path: that file instead
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_format.h"
#include "fitting/data/csv.h"

int main(int argc, char** argv) {
  using namespace allometry::fitting;
  const int64_t rows = argc > 1 ? std::atoll(argv[1]) : 1000000;
  std::string path = argc > 2 ? argv[2] : "";
  const bool made = path.empty();
  if (made) {
    path = (std::filesystem::temp_directory_path() / "allometry_read_csv.csv").string();
    FILE* file = std::fopen(path.c_str(), "w");
    if (file == nullptr) return std::perror(path.c_str()), 1;
    std::fputs("run,params,tokens,val_loss,dataset\n", file);
    for (int64_t i = 0; i < rows; ++i) {
      const double params = 1e7 * std::pow(1.7, i % 10), tokens = 1e8 * (1 + i / 10);
      std::fprintf(file, "run-%lld,%.0f,%.0f,%.6f,%s\n", static_cast<long long>(i % 10), params,
                   tokens, 1.69 + 406 / std::pow(params, .34) + 410 / std::pow(tokens, .28),
                   i % 2 ? "c4" : "pile");
    }
    if (std::fclose(file) != 0) return std::perror(path.c_str()), 1;
  }
  const auto start = std::chrono::steady_clock::now();
  CsvOptions options;
  options.progress = [](int64_t, int64_t) {};
  const auto data = ReadCsv(path, options);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (made) std::filesystem::remove(path);
  if (!data.ok()) {
    std::fprintf(stderr, "%s\n", std::string(data.status().message()).c_str());
    return 1;
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  absl::PrintF("%d rows used of %d in %.3f s, %.3g rows/s, %d MB at most\n", data->used(),
               data->total(), seconds, static_cast<double>(data->total()) / seconds,
               usage.ru_maxrss / 1024);
  return 0;
}
