#include "cli/measure.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "base/json_shape.h"
#include "cli/child.h"
#include "cli/scratch_folder.h"
#include "nlohmann/json.hpp"
#include "proto/run_choices.h"
#include "proto/run_conversion.h"
#include "run/run_spec.h"
#include "worker/launch/failure_line.h"
#include "worker/launch/launcher.h"
#include "worker/launch/tmpdir.h"

namespace allometry::cli {
namespace {

using Json = nlohmann::ordered_json;
constexpr double kTimeoutS = 300;  // of one group of trainers

std::string CpuModel() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (absl::StartsWith(line, "model name")) return line;
  }
  return "unknown";
}

std::string CacheFile() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return absl::StrCat(cache, "/allometry/measured.json");
  const char* home = std::getenv("HOME");
  return absl::StrCat(home != nullptr ? home : "/tmp", "/.cache/allometry/measured.json");
}

std::string TrainerOf(const v1::RunSpec& spec) {
  return absl::StrCat(FolderOfThisProgram(), DeviceOf(spec) == run::DeviceKind::kCuda
                                                 ? "/allo-trainer-cuda"
                                                 : "/allo-trainer");
}

// The run without what changes no speed.
v1::RunSpec WhatCosts(const v1::RunSpec& spec) {
  v1::RunSpec costs = spec;
  v1::RunIdentity& identity = *costs.mutable_identity();
  identity.clear_dataset();
  identity.clear_dataset_hash();
  identity.clear_tokenizer_hash();
  identity.clear_seed();
  identity.clear_learning_rate();
  identity.clear_warmup_steps();
  identity.clear_schedule();
  identity.clear_decay_begin();
  identity.clear_decay_end();
  identity.clear_final_rate_fraction();
  identity.clear_objective_seed();
  identity.clear_optimizer();
  costs.clear_steps();
  costs.clear_evaluation_steps();
  costs.clear_checkpoint_every_s();
  costs.clear_checkpoint_steps();
  costs.clear_start();
  costs.clear_inputs();
  return costs;
}

// One shape to be measured, and the runs that have it.
struct Shape {
  std::string key;  // of the cache
  v1::RunSpec spec;
  std::string size;
  std::vector<std::string> run_keys;
};

cost::RunCost FromJson(const Json& json, const std::string& source) {
  cost::RunCost cost;
  cost.start_s = json.value("start_s", 0.0);
  cost.update_s = json.value("update_s", 0.0);
  cost.evaluation_s = json.value("evaluation_s", 0.0);
  cost.checkpoint_s = json.value("checkpoint_s", 0.0);
  cost.memory_bytes = json.value("peak_memory_bytes", 0.0);
  cost.source = source;
  return cost;
}

// The cache file; anything that is no such object counts as empty, and is replaced.
Json ReadCache() {
  const absl::StatusOr<std::string> text = ReadFile(CacheFile());
  if (!text.ok() || !CheckJsonShape(*text).ok()) return Json::object();
  Json cache = Json::parse(*text, nullptr, false);
  return cache.is_object() ? cache : Json::object();
}

class Measuring {
 public:
  Measuring(const MeasureOptions& options, std::string scratch)
      : options_(options), scratch_(std::move(scratch)) {}

  // Adds a JSON object for each shape that could be measured.
  void Measure(const std::vector<Shape>& shapes, MeasuredCosts* result,
               std::map<std::string, Json>* found) {
    std::map<int, std::vector<const Shape*>> by_ranks;
    for (const Shape& shape : shapes) by_ranks[std::max(1, shape.spec.ranks())].push_back(&shape);
    for (const auto& [ranks, of_ranks] : by_ranks) {
      const size_t at_once = std::max(1, options_.slots / ranks);
      for (size_t begin = 0; begin < of_ranks.size() && !HeldSignals::received();
           begin += at_once) {
        std::vector<const Shape*> group;
        for (size_t i = 0; i < at_once; ++i) {
          // Copies of those before fill the slots that would be idle.
          group.push_back(begin + i < of_ranks.size() ? of_ranks[begin + i]
                                                      : group[i % (of_ranks.size() - begin)]);
        }
        MeasureGroup(group, std::min(at_once, of_ranks.size() - begin), result, found);
      }
    }
  }

 private:
  void MeasureGroup(const std::vector<const Shape*>& group, size_t distinct, MeasuredCosts* result,
                    std::map<std::string, Json>* found) {
    std::vector<launch::Command> programs;
    std::vector<std::string> sizes;
    for (size_t i = 0; i < group.size(); ++i) {
      const absl::StatusOr<launch::Command> program = Program(*group[i], i);
      if (!program.ok()) {
        result->problems.push_back(std::string(program.status().message()));
        return;
      }
      programs.push_back(*program);
      if (i < distinct) sizes.push_back(group[i]->size);
    }
    if (options_.progress != nullptr) {
      options_.progress(
          absl::StrFormat("measuring %s on %d slots", absl::StrJoin(sizes, ", "), options_.slots));
    }
    const auto ended = RunTogether(programs, scratch_, kTimeoutS);
    if (!ended.ok()) {
      result->problems.push_back(std::string(ended.status().message()));
      return;
    }
    for (size_t i = 0; i < distinct; ++i) {
      const ChildResult& child = (*ended)[i];
      Json json;
      if (CheckJsonShape(child.output).ok()) json = Json::parse(child.output, nullptr, false);
      if (child.exit_code != 0 || !json.is_object() || !json.contains("measuring_s")) {
        result->problems.push_back(WhyNot(*group[i], child));
        continue;
      }
      json["start_s"] = std::max(0.0, child.seconds - json.value("measuring_s", 0.0));
      json["size"] = group[i]->size;
      json["side_by_side"] = group.size();
      (*found)[group[i]->key] = json;
    }
  }

  static std::string WhyNot(const Shape& shape, const ChildResult& child) {
    if (child.timed_out) {
      return absl::StrFormat("%s was not measured: not done in %g s", shape.size, kTimeoutS);
    }
    const std::string words = launch::FailureLine(child.errors);
    return absl::StrFormat("%s was not measured: the trainer ended with code %d%s", shape.size,
                           child.exit_code, words.empty() ? "" : ": " + words);
  }

  absl::StatusOr<launch::Command> Program(const Shape& shape, size_t place) const {
    const std::string run_dir = absl::StrCat(scratch_, "/run-", place);
    ALLO_RETURN_IF_ERROR(MakeDirectories(run_dir));
    ALLO_ASSIGN_OR_RETURN(const run::RunSpec spec, ToRunSpec(shape.spec));
    ALLO_RETURN_IF_ERROR(run::WriteRunSpec(run_dir, spec));
    const size_t ranks = static_cast<size_t>(std::max(1, shape.spec.ranks()));
    launch::Job job;
    job.program = {TrainerOf(shape.spec),
                   run_dir,
                   "--data-dir",
                   options_.data_dir,
                   "--leased",
                   "--measure",
                   absl::StrCat(options_.seconds, "s")};
    job.device_kind = spec.device;
    job.hosts.emplace_back();
    for (size_t i = 0; i < ranks; ++i) {
      job.hosts[0].devices.push_back(absl::StrCat(place * ranks + i));
    }
    job.environment = {{"OMP_NUM_THREADS", "1"}, {"MKL_NUM_THREADS", "1"}};
    job.settings.is_root = geteuid() == 0;
    ALLO_ASSIGN_OR_RETURN(const launch::Launcher* mpirun,
                          launch::FindLauncher("mpirun", /*in_slurm=*/false));
    return launch::MakeCommand(*mpirun, job);
  }

  const MeasureOptions& options_;
  const std::string scratch_;
};

std::vector<Shape> DistinctShapes(absl::Span<const v1::Run> runs, int slots,
                                  MeasuredCosts* result) {
  const char* instruction_set = std::getenv("ALLO_ISA");  // that trainers are forced to
  const std::string machine =
      absl::StrCat(CpuModel(), " x", std::thread::hardware_concurrency(), ", ", slots, " slots",
                   instruction_set != nullptr ? instruction_set : "");
  std::map<std::string, std::string> trainers;  // path -> hash; empty: it is not there
  std::vector<Shape> shapes;
  std::map<std::string, size_t> place;
  bool waits_for_tokenizer = false;
  for (const v1::Run& run : runs) {
    const v1::RunSpec& spec = run.spec();
    if (cost::WorkOf(run).updates == 0) continue;
    if (EvaluatedOf(spec) != nullptr) continue;  // it trains nothing: its cost is by the pace
    if (KindOf(spec) == run::RunKind::kPolicy) continue;  // what it needs is not there yet
    if (!spec.identity().tokenizer_key().empty()) {
      waits_for_tokenizer = true;
      continue;
    }
    const std::string trainer = TrainerOf(spec);
    if (!trainers.contains(trainer)) {
      trainers[trainer] = HashFileHex(trainer).value_or("");
      if (trainers[trainer].empty()) {
        result->problems.push_back(
            absl::StrCat("nothing was measured with ", trainer, ": it is not there"));
      }
    }
    if (trainers[trainer].empty()) continue;
    const std::string key = HashHex(
        absl::StrCat(trainers[trainer], "\n", machine, "\n", WhatCosts(spec).SerializeAsString()));
    const auto [found, is_new] = place.try_emplace(key, shapes.size());
    if (is_new) shapes.push_back({key, spec, run.size(), {}});
    shapes[found->second].run_keys.push_back(run.key());
  }
  if (waits_for_tokenizer) {
    result->problems.push_back(
        "the runs that read a tokenizer's tokens were not measured: it is not trained yet");
  }
  return shapes;
}

}  // namespace

MeasuredCosts MeasureRuns(absl::Span<const v1::Run> runs, const MeasureOptions& options) {
  MeasuredCosts result;
  const std::vector<Shape> shapes = DistinctShapes(runs, options.slots, &result);
  Json cache = ReadCache();
  std::vector<Shape> missing;
  const auto put = [&](const Shape& shape, const Json& json, const std::string& source) {
    for (const std::string& key : shape.run_keys) result.costs[key] = FromJson(json, source);
  };
  for (const Shape& shape : shapes) {
    const auto known = cache.find(shape.key);
    if (options.remember && known != cache.end() && known->is_object()) {
      put(shape, *known, "cached");
      ++result.cached;
    } else {
      missing.push_back(shape);
    }
  }
  if (missing.empty() || !options.measure) return result;

  if (const absl::Status usable = launch::CheckTmpdir(); !usable.ok()) {
    result.problems.push_back(absl::StrCat("nothing was measured: ", usable.message()));
    return result;
  }
  const HeldSignals held;  // until the folder is removed
  std::map<std::string, Json> found;
  {
    const auto scratch = ScratchFolder::Make("allo-plan");
    if (!scratch.ok()) {
      result.problems.push_back(std::string(scratch.status().message()));
      return result;
    }
    Measuring(options, (*scratch)->path()).Measure(missing, &result, &found);
  }
  for (const Shape& shape : missing) {
    const auto measured = found.find(shape.key);
    if (measured == found.end()) continue;
    put(shape, measured->second, "measured");
    ++result.measured;
    cache[shape.key] = measured->second;
  }
  // Only a convenience: the next plan measures again where it cannot be kept.
  const std::string file = CacheFile();
  const absl::Status kept = MakeDirectories(std::filesystem::path(file).parent_path().string());
  if (kept.ok()) WriteFileAtomically(file, cache.dump(1)).IgnoreError();
  return result;
}

}  // namespace allometry::cli
