#include "worker/trainer/checkpoint.h"

#include <array>
#include <filesystem>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "worker/trainer/safetensors.h"

namespace allometry::trainer {
namespace {

constexpr char kFormat[] = "allometry-1";  // stored

// Calls use(name, view, values) for every tensor of a checkpoint.
template <class Float, class Use>
absl::Status ForEachTensor(const models::ParameterLayout& layout, const Buffers<Float>& buffers,
                           Use use) {
  const std::array<std::pair<const char*, std::span<Float>>, 3> kinds = {{
      {"", buffers.parameters},
      {"optimizer.exp_avg.", buffers.exp_avg},
      {"optimizer.exp_avg_sq.", buffers.exp_avg_sq},
  }};
  for (const auto& [prefix, buffer] : kinds) {
    for (const models::ParameterView& view : layout.views) {
      ALLO_RETURN_IF_ERROR(
          use(absl::StrCat(prefix, view.name), view,
              buffer.subspan(static_cast<size_t>(view.offset), static_cast<size_t>(view.size))));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> IntegerOf(const SafetensorsFile& file, const std::string& key) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, file.MetadataValue(key));
  int64_t value;
  if (!absl::SimpleAtoi(text, &value) || value < 0) {
    return absl::DataLossError(absl::StrCat("metadata ", key, " is '", text, "', not a count"));
  }
  return value;
}

absl::StatusOr<double> DoubleOf(const SafetensorsFile& file, const std::string& key) {
  ALLO_ASSIGN_OR_RETURN(const std::string text, file.MetadataValue(key));
  double value;
  if (!absl::SimpleAtod(text, &value)) {
    return absl::DataLossError(absl::StrCat("metadata ", key, " is '", text, "', not a number"));
  }
  return value;
}

absl::StatusOr<Progress> ReadProgress(const SafetensorsFile& file) {
  Progress progress;
  ALLO_ASSIGN_OR_RETURN(progress.step, IntegerOf(file, "step"));
  ALLO_ASSIGN_OR_RETURN(progress.tokens, IntegerOf(file, "tokens"));
  ALLO_ASSIGN_OR_RETURN(progress.train_loss_sum, DoubleOf(file, "train_loss_sum"));
  ALLO_ASSIGN_OR_RETURN(progress.train_loss_count, IntegerOf(file, "train_loss_count"));
  return progress;
}

run::Identity TrunkOf(run::Identity identity) {
  identity.schedule = run::Schedule::kConstant;
  identity.decay_begin = 0;
  identity.decay_end = 0;
  identity.final_rate_fraction = 0;
  return identity;
}

absl::Status CheckBelongs(const SafetensorsFile& file, int64_t step,
                          const run::Identity& identity) {
  ALLO_ASSIGN_OR_RETURN(const std::string format, file.MetadataValue("format"));
  if (format != kFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat("its format is '", format, "'; this trainer reads ", kFormat));
  }
  ALLO_ASSIGN_OR_RETURN(const std::string owner, file.MetadataValue("identity"));
  if (owner == run::IdentityJson(identity)) return absl::OkStatus();
  if (owner != run::IdentityJson(TrunkOf(identity))) {
    return absl::FailedPreconditionError(absl::StrCat(
        "it is of another run: ", owner, "; this run is ", run::IdentityJson(identity)));
  }
  if (step > identity.decay_begin) {
    return absl::FailedPreconditionError(
        absl::StrCat("it is of step ", step, " of the trunk; this run's rate falls from step ",
                     identity.decay_begin, " on, so it branches off there or before"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Progress> ReadVerified(const std::string& path, const run::StartCheckpoint& start,
                                      const run::Identity& identity,
                                      const models::ParameterLayout& layout,
                                      const Buffers<float>& buffers) {
  ALLO_ASSIGN_OR_RETURN(const std::string hash, HashFileHex(path));
  if (hash != start.hash) {
    return absl::DataLossError(absl::StrCat("its hash is ", hash, ", it should be ", start.hash));
  }
  ALLO_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  ALLO_RETURN_IF_ERROR(CheckBelongs(file, start.step, identity));
  ALLO_ASSIGN_OR_RETURN(const Progress progress, ReadProgress(file));
  if (progress.step != start.step) {
    return absl::FailedPreconditionError(
        absl::StrCat("it is of step ", progress.step, ", run.json says ", start.step));
  }
  if (file.tensor_count() != 3 * layout.views.size()) {
    return absl::DataLossError(
        absl::StrCat("it has ", file.tensor_count(), " tensors, not ", 3 * layout.views.size()));
  }
  ALLO_RETURN_IF_ERROR(
      ForEachTensor(layout, buffers,
                    [&](const std::string& name, const models::ParameterView& view,
                        std::span<float> values) { return file.Read(name, view.shape, values); }));
  return progress;
}

}  // namespace

absl::StatusOr<run::CheckpointRecord> WriteCheckpoint(const std::string& run_dir, int attempt,
                                                      const Progress& progress,
                                                      const run::Identity& identity,
                                                      const models::ParameterLayout& layout,
                                                      const Buffers<const float>& buffers) {
  const Metadata metadata = {
      {"format", kFormat},
      {"step", absl::StrCat(progress.step)},
      {"tokens", absl::StrCat(progress.tokens)},
      {"identity", run::IdentityJson(identity)},
      {"train_loss_sum", absl::StrFormat("%.17g", progress.train_loss_sum)},
      {"train_loss_count", absl::StrCat(progress.train_loss_count)},
  };
  std::vector<NamedTensor> tensors;
  ALLO_RETURN_IF_ERROR(ForEachTensor(
      layout, buffers,
      [&](std::string name, const models::ParameterView& view, std::span<const float> values) {
        tensors.push_back({std::move(name), view.shape, values});
        return absl::OkStatus();
      }));

  run::CheckpointRecord record;
  record.step = progress.step;
  record.file = run::CheckpointFile(attempt, progress.step);
  const std::string path = absl::StrCat(run_dir, "/", record.file);
  ALLO_RETURN_IF_ERROR(WriteSafetensors(path, metadata, tensors));
  ALLO_ASSIGN_OR_RETURN(record.hash, HashFileHex(path));
  std::error_code error;
  record.bytes = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error) return absl::UnavailableError(absl::StrCat(path, ": size: ", error.message()));
  return record;
}

absl::StatusOr<Progress> ReadCheckpoint(const std::string& run_dir,
                                        const run::StartCheckpoint& start,
                                        const run::Identity& identity,
                                        const models::ParameterLayout& layout,
                                        const Buffers<float>& buffers) {
  const std::string name =
      start.run_id == 0 ? start.file : absl::StrCat("../run-", start.run_id, "/", start.file);
  absl::StatusOr<Progress> progress =
      ReadVerified(absl::StrCat(run_dir, "/", name), start, identity, layout, buffers);
  if (!progress.ok()) return Annotate(progress.status(), absl::StrCat("checkpoint ", name));
  return progress;
}

}  // namespace allometry::trainer
