// Tokens per CPU-second of a whole update (forward, backward, clip, AdamW) on one thread.
//
//   train                          every shape and backend: median and range of five measurements
//   train --list                   the shapes: name layers heads width context vocabulary batch,
//                                  and the floating-point operations of a token
//   train --list-gpu               likewise those for a GPU (bench/gpu_check.py)
//   train --dataset DIR VOCABULARY writes random tokens as dataset DIR/random
//   train --peak                   the instruction set in use (ALLO_ISA forces one) and the
//                                  floating-point operations a second that a core can do with it
//   train SHAPE BACKEND SECONDS    one measurement, one number (bench/train.sh interleaves these
//                                  with the same update in eager PyTorch)
//
// CPU time, not wall time: what another process takes of this core does not count.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "ATen/Parallel.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "bench/fma_peak.h"
#include "models/adamw.h"
#include "models/instruction_set.h"
#include "models/train_step.h"
#include "tests/testing/token_dataset.h"

namespace allometry::models {
namespace {

constexpr int kBatch = 16;
constexpr int64_t kDatasetTokens = 1 << 22;
constexpr int kRepetitions = 5;

struct NamedShape {
  const char* name;
  Shape shape;
};
const NamedShape kShapes[] = {
    {"8k", {"gpt", 1, 1, 16, 64, 256}},     {"36k", {"gpt", 2, 2, 32, 64, 256}},
    {"225k", {"gpt", 4, 4, 64, 128, 256}},  {"0.84M", {"gpt", 4, 4, 128, 128, 256}},
    {"4.8M", {"gpt", 6, 8, 256, 128, 256}},
};

// The same up to GPT-2's smallest, each with as many sequences as keep a GPU busy.
struct GpuShape {
  NamedShape shape;
  int batch;
};
const GpuShape kGpuShapes[] = {
    {kShapes[0], 16},
    {kShapes[1], 16},
    {kShapes[2], 16},
    {kShapes[3], 32},
    {kShapes[4], 64},
    {{"25M", {"gpt", 8, 8, 512, 512, 256}}, 64},
    {{"124M", {"gpt", 12, 12, 768, 1024, 50304}}, 32},
};

double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

class Trainer {
 public:
  Trainer(const Shape& shape, std::unique_ptr<TrainStep> step, const ParameterLayout& layout)
      : shape_(shape), step_(std::move(step)), adamw_(CreateAdamW(layout, {})) {
    for (std::vector<float>* buffer : {&parameters_, &gradient_, &first_, &second_}) {
      buffer->assign(layout.size, 0.0f);
    }
    Initialize(shape, layout, 1, parameters_);
    std::mt19937 random(1);
    std::uniform_int_distribution<int32_t> token(0, shape.vocabulary - 1);
    tokens_.resize(kBatch * shape.context * 8 + 1);
    for (int32_t& id : tokens_) id = token(random);
  }

  absl::Status Update() {
    const size_t size = kBatch * shape_.context, first = update_++ % 8 * size;
    const std::span<const int32_t> tokens(tokens_);
    std::fill(gradient_.begin(), gradient_.end(), 0.0f);
    double loss = 0, norm = 0;
    ALLO_RETURN_IF_ERROR(step_->LossAndGradient(
        parameters_,
        {kBatch, shape_.context, tokens.subspan(first, size), tokens.subspan(first + 1, size)}, 1,
        gradient_, &loss));
    adamw_->Step({parameters_, gradient_, first_, second_}, update_, 1e-4, &norm);
    return absl::OkStatus();
  }

 private:
  const Shape shape_;
  const std::unique_ptr<TrainStep> step_;
  const std::unique_ptr<AdamW> adamw_;
  std::vector<float> parameters_, gradient_, first_, second_;
  std::vector<int32_t> tokens_;
  int64_t update_ = 0;
};

absl::StatusOr<double> TokensPerSecond(const Shape& shape, absl::string_view backend,
                                       double seconds) {
  ALLO_ASSIGN_OR_RETURN(const ParameterLayout layout, LayoutOf(shape));
  std::string chosen;
  ALLO_ASSIGN_OR_RETURN(auto step, CreateTrainStep(backend, shape, layout, Device(), &chosen));
  Trainer trainer(shape, std::move(step), layout);
  for (int i = 0; i < 3; ++i) ALLO_RETURN_IF_ERROR(trainer.Update());
  const double start = CpuSeconds();
  double elapsed = 0;
  int64_t updates = 0;
  for (; elapsed < seconds; ++updates, elapsed = CpuSeconds() - start) {
    ALLO_RETURN_IF_ERROR(trainer.Update());
  }
  return static_cast<double>(updates * kBatch * shape.context) / elapsed;
}

absl::Status Table() {
  ALLO_ASSIGN_OR_RETURN(const InstructionSet set, ChooseInstructionSet());
  absl::PrintF("instruction set %s, at most %.1f GF/s a core\n", set.name,
               1e-9 * bench::FmaPeak(set.name));
  absl::PrintF("%-6s %9s %-10s %12s %24s %10s %8s\n", "shape", "params", "backend", "tokens/s",
               "lowest..highest", "GF/s", "of peak");
  for (const NamedShape& row : kShapes) {
    const int64_t params = CountParams(row.shape).total();
    for (const TrainStepBackend& backend : TrainStepBackends()) {
      if (backend.tokenizers) continue;
      std::vector<double> speeds;
      for (int i = 0; i < kRepetitions; ++i) {
        ALLO_ASSIGN_OR_RETURN(const double speed, TokensPerSecond(row.shape, backend.name, 1.0));
        speeds.push_back(speed);
      }
      std::sort(speeds.begin(), speeds.end());
      const double median = speeds[kRepetitions / 2];
      const double flops = FlopsPerTokenExact(row.shape) * median;
      absl::PrintF("%-6s %9d %-10s %12.0f %24s %10.1f %7.0f%%\n", row.name, params, backend.name,
                   median, absl::StrFormat("%.0f..%.0f", speeds.front(), speeds.back()),
                   1e-9 * flops, 100 * flops / bench::FmaPeak(set.name));
      std::fflush(stdout);
    }
  }
  return absl::OkStatus();
}

absl::Status One(absl::string_view name, absl::string_view backend, absl::string_view duration) {
  double seconds = 0;
  if (!absl::SimpleAtod(duration, &seconds) || !(seconds > 0)) {
    return absl::InvalidArgumentError(absl::StrCat("SECONDS is '", duration, "'"));
  }
  for (const NamedShape& row : kShapes) {
    if (name != row.name) continue;
    ALLO_ASSIGN_OR_RETURN(const double speed, TokensPerSecond(row.shape, backend, seconds));
    absl::PrintF("%.0f\n", speed);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown shape '", name, "': see --list"));
}

void PrintShape(const NamedShape& row, int batch) {
  const Shape& s = row.shape;
  absl::PrintF("%s %d %d %d %d %d %d %.0f\n", row.name, s.layers, s.heads, s.width, s.context,
               s.vocabulary, batch, FlopsPerTokenExact(s));
}

absl::Status WriteDataset(const std::string& data_dir, absl::string_view text) {
  int64_t vocabulary = 0;
  if (!absl::SimpleAtoi(text, &vocabulary) || vocabulary < 2) {
    return absl::InvalidArgumentError(absl::StrCat("VOCABULARY is '", text, "'"));
  }
  std::mt19937 random(1);
  std::vector<uint32_t> tokens(kDatasetTokens);
  for (uint32_t& id : tokens) id = random() % static_cast<uint32_t>(vocabulary);
  return testing::WriteTokenDataset(data_dir, "random", vocabulary, tokens, tokens).status();
}

absl::Status Main(int argc, char** argv) {
  LimitLibTorchToInstructionSet();
  at::set_num_threads(1);
  if (argc == 1) return Table();
  if (argc == 2 && std::string(argv[1]) == "--list") {
    for (const NamedShape& row : kShapes) PrintShape(row, kBatch);
    return absl::OkStatus();
  }
  if (argc == 2 && std::string(argv[1]) == "--list-gpu") {
    for (const GpuShape& row : kGpuShapes) PrintShape(row.shape, row.batch);
    return absl::OkStatus();
  }
  if (argc == 4 && std::string(argv[1]) == "--dataset") return WriteDataset(argv[2], argv[3]);
  if (argc == 2 && std::string(argv[1]) == "--peak") {
    ALLO_ASSIGN_OR_RETURN(const InstructionSet set, ChooseInstructionSet());
    absl::PrintF("%s %.0f\n", set.name, bench::FmaPeak(set.name));
    return absl::OkStatus();
  }
  if (argc == 4) return One(argv[1], argv[2], argv[3]);
  return absl::InvalidArgumentError(
      "usage: train [--list | --list-gpu | --peak | --dataset DIR VOCABULARY |\n"
      "              SHAPE BACKEND SECONDS]");
}

}  // namespace
}  // namespace allometry::models

int main(int argc, char** argv) {
  const absl::Status status = allometry::models::Main(argc, argv);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
