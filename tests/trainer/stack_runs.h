// Starts stacks of runs and reads back what each of them wrote.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/trainer/trainer_process.h"

namespace allometry::trainer {

// Of one run in a stack: its curve and the hash of its last checkpoint.
struct Trained {
  Curve curve;
  std::string hash;
  bool operator==(const Trained&) const = default;
};

// `Fixture` is TrainerTest or of its kind.
template <class Fixture>
class StackRuns : public Fixture {
 protected:
  using Runs = std::vector<std::pair<std::string, run::RunSpec>>;

  // Runs that differ in seed and learning rate.
  run::RunSpec Spec(int i) const {
    run::RunSpec spec = this->spec_;
    spec.identity.seed = 7 + i;
    spec.identity.learning_rate = 1e-2 / (1 + i);
    return spec;
  }
  std::string Dir(const std::string& name) const { return this->folder_.Path(name); }

  std::unique_ptr<TrainerProcess> StartStack(const Runs& runs,
                                             const std::vector<std::string>& flags = {}) {
    std::vector<std::string> arguments = {this->executable_};
    for (const auto& [name, spec] : runs) {
      const absl::Status written = run::WriteRunSpec(Dir(name), spec);
      ALLO_CHECK(written.ok()) << written;
      arguments.push_back(Dir(name));
    }
    arguments.insert(arguments.end(), {"--data-dir", this->data_dir_});
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return std::make_unique<TrainerProcess>(arguments, this->folder_.Path("log"));
  }
  void TrainStack(const Runs& runs, const std::vector<std::string>& flags = {}) {
    const auto stack = StartStack(runs, flags);
    ASSERT_EQ(stack->Wait(), 0) << stack->Log();
  }

  SpoolContents Spool(const std::string& name, int attempt = 1) {
    this->run_dir_ = Dir(name);
    return this->ReadSpool(attempt);
  }
  run::ExitReason ReasonOf(const std::string& name, int attempt = 1) {
    const auto exits = Spool(name, attempt).template All<run::ExitRecord>();
    EXPECT_EQ(exits.size(), 1u) << name;
    return exits.empty() ? run::ExitReason::kBug : exits[0].reason;
  }
  Trained Of(const std::string& name, int attempt = 1) {
    const SpoolContents spool = Spool(name, attempt);
    Trained trained;
    spool.MergeInto(&trained.curve, 1 << 30);
    const auto checkpoints = spool.template All<run::CheckpointRecord>();
    if (!checkpoints.empty()) trained.hash = checkpoints.back().hash;
    return trained;
  }

  // Two runs, killed once each has a checkpoint of its own step, and continued in each other's
  // place, have the bits of two that were not.
  void ExpectStackResumesWithItsBits(int64_t steps) {
    this->spec_.steps = steps;
    this->spec_.evaluation_steps = {1, 100, steps / 2, steps};
    this->spec_.log_every = 7;
    TrainStack({{"whole-a", Spec(0)}, {"whole-b", Spec(1)}});
    run::RunSpec specs[] = {Spec(0), Spec(1)};
    const std::string names[] = {"a", "b"}, whole[] = {"whole-a", "whole-b"};
    specs[0].checkpoint_every_s = 0.03;
    specs[1].checkpoint_every_s = 0.05;
    {
      const auto killed = StartStack({{names[0], specs[0]}, {names[1], specs[1]}});
      this->run_dir_ = Dir(names[1]);
      ASSERT_TRUE(this->WaitUntil(*killed, 1, [](const SpoolContents& spool) {
        const auto checkpoints = spool.All<run::CheckpointRecord>();
        return !checkpoints.empty() && checkpoints.back().step > 100;
      })) << killed->Log();
      killed->Kill();
      EXPECT_EQ(killed->Wait(), -SIGKILL);
    }
    Curve merged[2];
    for (int i = 0; i < 2; ++i) {
      const SpoolContents spool = Spool(names[i]);
      ASSERT_TRUE(spool.All<run::ExitRecord>().empty());
      const run::CheckpointRecord start = spool.All<run::CheckpointRecord>().back();
      spool.MergeInto(&merged[i], start.step);
      specs[i].attempt = 2;
      specs[i].start = this->StartFrom(1, start);
    }
    TrainStack({{names[1], specs[1]}, {names[0], specs[0]}});
    for (int i = 0; i < 2; ++i) {
      Spool(names[i], 2).MergeInto(&merged[i], steps);
      EXPECT_EQ(merged[i], Of(whole[i]).curve);
      EXPECT_EQ(Of(names[i], 2).hash, Of(whole[i]).hash);
    }
  }
};

}  // namespace allometry::trainer
