// The scheduler over the real store: random faults, cancellations, growing budgets, zombies, and
// two branches that wait for their trunk. After every step the view folded from commits must equal
// the one rebuilt from the rows, and in the end every evaluation of every run must be on its curve
// exactly once. A failing seed names itself.
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "coordinator/schedule/decide.h"
#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

// What training would give: the same for every attempt of a run.
double LossOf(int64_t run_id, int64_t step) {
  return 2 + 1 / std::sqrt(static_cast<double>(step + 10 * run_id));
}

// What a branch waits for, and all that the row says of its trunk.
std::string Blocked(const RunRow& row) {
  const InputRun* const input = row.input(run::InputKind::kTrunk);
  if (input == nullptr || row.run.state() != v1::PENDING) return "";
  const InputRun& trunk = *input;
  if (!trunk.is_to_come || !trunk.root_ids.empty()) return "";
  return absl::StrCat("trunk ", trunk.run_id, " wanted ", trunk.wanted_step);
}

schedule::RunState ToRunState(const RunRow& row) {
  schedule::RunState state;
  state.run_id = row.run.run_id();
  state.sweep_id = row.sweep_id;
  state.priority = row.priority;
  state.ranks = row.run.spec().ranks();
  state.checkpoint_root_id = row.run.checkpoint().root_id();
  state.duration = static_cast<double>(row.run.spec().steps());
  state.blocked = Blocked(row);
  if (row.run.state() == v1::LEASED) {
    state.placement = {row.attempt->lease.attempt(), row.attempt->agent_id, row.attempt->slots};
  }
  return state;
}

std::string Describe(const schedule::ClusterState& state) {
  std::string text;
  for (const auto& [id, run] : state.runs) {
    absl::StrAppend(&text, id, " sweep ", run.sweep_id, " priority ", run.priority, " ranks ",
                    run.ranks, " root ", run.checkpoint_root_id, " steps ", run.duration,
                    " blocked '", run.blocked, "'");
    if (run.placement.has_value()) {
      absl::StrAppend(&text, " attempt ", run.placement->attempt, " on ", run.placement->agent_id);
      for (const v1::Slot& slot : run.placement->slots) absl::StrAppend(&text, " ", slot.device());
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

// A trainer and its agent: makes records from a step on.
struct Trainer {
  Trainer(const Attempt& started, uint64_t seed)
      : attempt(started), spool(started.lease), step(started.spec.start().step()), random(seed) {}

  // Up to `count` more steps: a train point every ten, the evaluations, now and then a checkpoint.
  std::vector<v1::Record> Train(int count) {
    std::vector<v1::Record> records;
    const int64_t run_id = attempt.lease.run_id();
    for (; count > 0 && step < attempt.spec.steps(); --count) {
      ++step;
      if (step % 10 == 0) records.push_back(spool.Point(step, "train", LossOf(run_id, step)));
      for (const int64_t evaluation : attempt.spec.evaluation_steps()) {
        if (evaluation == step) {
          records.push_back(spool.Point(step, "heldout", LossOf(run_id, step)));
        }
      }
      const auto& asked = attempt.spec.checkpoint_steps();
      const bool must = std::find(asked.begin(), asked.end(), step) != asked.end();
      if (must || random() % 25 == 0) records.push_back(spool.Checkpoint(step));
    }
    return records;
  }

  Attempt attempt;
  Spool spool;
  int64_t step;
  v1::RecordBatch last;
  std::mt19937_64 random;
};

class StoreSimulation : public StoreFixture {
 protected:
  // A trunk of 80 steps, and branches from its checkpoints at 40 and 80.
  static void AddTrunkAndBranches(Submission& submission) {
    v1::RunSpec trunk = MakeSpec(80, {20, 79});
    for (const int64_t step : {40, 80}) trunk.add_checkpoint_steps(step);
    submission.new_runs.push_back(MakeRun("key-trunk", "g", trunk));
    for (const int64_t begin : {40, 80}) {
      const std::string key = absl::StrCat("key-branch-", begin);
      v1::RunSpec branch = MakeSpec(begin + 20, {begin + 10, begin + 20});
      branch.mutable_identity()->set_schedule("wsd");
      branch.mutable_identity()->set_decay_begin(begin);
      v1::RunInput& input = *branch.add_inputs();
      input.set_kind("trunk");
      input.set_run_key("key-trunk");
      input.set_step(begin);
      submission.new_runs.push_back(MakeRun(key, "g", branch));
      submission.new_cells.push_back(MakeCell(key, "g", begin + 20));
    }
  }

  void Begin(uint64_t seed) {
    random_.seed(seed);
    options_.committed = [this](absl::Span<const RunRow> rows) {
      for (const RunRow& row : rows) Put(row);
    };
    Reopen();
    Submission submission = MakeSubmission({"a", "b", "c", "d", "e", "f"});
    submission.new_runs[5].mutable_spec()->set_ranks(2);
    AddTrunkAndBranches(submission);
    ASSERT_OK(store_->Submit(submission));
    AddAgent("p", 2);
    AddAgent("q", 3);
  }

  void AddAgent(const std::string& id, int slots) {
    const v1::RegisterRequest request = MakeAgent(id, "host-" + id, "root-" + id, slots);
    ASSERT_OK(store_->RegisterAgent(request, {}));
    schedule::AgentState& agent = view_.agents[id];
    agent.agent_id = id;
    agent.host = request.host();
    agent.run_root_id = request.run_root_id();
    agent.slots.assign(request.slots().begin(), request.slots().end());
    agent.live = true;
  }

  void Put(const RunRow& row) {
    if (row.run.state() == v1::PENDING || row.run.state() == v1::LEASED) {
      schedule::RunState state = ToRunState(row);
      view_.runs[state.run_id] = std::move(state);
    } else {
      view_.runs.erase(row.run.run_id());
    }
  }

  void CompareWithRows() {
    schedule::ClusterState rebuilt;
    ASSERT_OK_AND_ASSIGN(const std::vector<RunRow> rows, store_->OpenRuns());
    for (const RunRow& row : rows) {
      rebuilt.runs[row.run.run_id()] = ToRunState(row);
    }
    ASSERT_EQ(Describe(view_), Describe(rebuilt));
  }

  void StartWhatIsDecided() {
    for (const schedule::Assignment& start : schedule::Decide(view_, 0).assignments) {
      auto attempt = store_->StartAttempt(start.run_id, start.agent_id, start.slots);
      ASSERT_OK(attempt);
      if (const auto old = trainers_.find(start.run_id); old != trainers_.end()) {
        zombies_.push_back(std::move(old->second));
        trainers_.erase(old);
      }
      trainers_.emplace(start.run_id, Trainer(*attempt, random_()));
    }
  }

  void Send(Trainer& trainer, const std::vector<v1::Record>& records) {
    trainer.last = trainer.spool.Batch(records);
    const v1::RecordAck ack = Append(trainer.last);
    ASSERT_FALSE(ack.stale()) << ack.message();
    ASSERT_EQ(ack.durable_sequence(), trainer.spool.sequence());
  }

  // One step of the run's trainer, or a fault. `faults` off: only progress.
  void Advance(int64_t run_id, Trainer& trainer, bool faults) {
    const v1::Lease lease = trainer.attempt.lease;
    switch (faults ? random_() % 16 : 15) {
      case 0:
        ASSERT_OK(store_->ExpireLease(lease));
        if (GetRun(run_id).state() == v1::PENDING && random_() % 2 == 0) {
          ASSERT_OK(store_->ReturnLease(lease));
        }
        return;
      case 1: {
        v1::GivenBack given_back;
        *given_back.mutable_lease() = lease;
        ASSERT_OK(store_->GiveBack(given_back));
        return;
      }
      case 2:
        Send(trainer, {trainer.spool.Exit(v1::KILLED, trainer.step)});
        return;
      case 3:
        Send(trainer, {trainer.spool.Exit(v1::PREEMPTED, trainer.step)});
        return;
      case 4:
        if (trainer.attempt.spec.has_start()) {
          Send(trainer, {trainer.spool.Exit(v1::CHECKPOINT, trainer.step)});
        }
        return;
      case 5:
        ASSERT_OK(store_->Cancel("grid", {run_id}));
        Send(trainer, {trainer.spool.Exit(v1::CANCELLED_BY_USER, trainer.step)});
        return;
      case 6:
        if (trainer.last.records_size() > 0) {
          ASSERT_FALSE(Append(trainer.last).stale());
        }
        return;
      default:
        Send(trainer, trainer.Train(1 + static_cast<int>(random_() % 30)));
        if (trainer.step == trainer.attempt.spec.steps()) {
          Send(trainer, {trainer.spool.Exit(v1::SUCCEEDED, trainer.step)});
        }
    }
  }

  void ZombieWrites() {
    if (zombies_.empty()) return;
    Trainer& zombie = zombies_[random_() % zombies_.size()];
    for (const v1::Record& record :
         {zombie.spool.Point(20, "heldout", -1), zombie.spool.Checkpoint(90),
          zombie.spool.Exit(v1::SUCCEEDED, 100)}) {
      ASSERT_TRUE(Append(zombie.spool.Batch({record})).stale());
    }
  }

  void GrowABudget() {
    ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));
    const v1::Run& run = stored.runs[random_() % stored.runs.size()];
    const int64_t steps = run.spec().steps() + 50;
    Submission more = MakeSubmission({});
    more.sweep.set_sweep_id(stored.sweep.sweep_id());
    more.sweep.set_priority(static_cast<int32_t>(random_() % 3));
    more.based_on = stored.newest_expansion;
    more.changed_runs.push_back({run.run_id(), run.spec()});
    more.changed_runs[0].spec.set_steps(steps);
    more.changed_runs[0].spec.add_evaluation_steps(steps);
    more.new_cells.push_back(MakeCell(run.key(), run.size(), steps));
    ASSERT_OK(store_->Submit(more));
  }

  void Step(bool faults) {
    ASSERT_NO_FATAL_FAILURE(StartWhatIsDecided());
    std::vector<int64_t> live;
    for (const auto& [id, run] : view_.runs) {
      if (run.placement.has_value()) live.push_back(id);
    }
    if (!live.empty()) {
      const int64_t id = live[random_() % live.size()];
      ASSERT_NO_FATAL_FAILURE(Advance(id, trainers_.at(id), faults));
    }
    if (random_() % 10 == 0) {
      ASSERT_NO_FATAL_FAILURE(ZombieWrites());
    }
    if (faults && random_() % 40 == 0) {
      ASSERT_NO_FATAL_FAILURE(GrowABudget());
    }
    if (random_() % 10 == 0) {
      ASSERT_OK(store_->Retry("grid", {}));
    }
    if (random_() % 10 == 0) {
      ASSERT_OK(store_->DeletableCheckpoints("root-p"));
    }
    ASSERT_NO_FATAL_FAILURE(CompareWithRows());
  }

  void CheckCurves() {
    ASSERT_OK_AND_ASSIGN(const StoredSweep stored, store_->GetSweep("grid"));
    for (const v1::Run& run : stored.runs) {
      EXPECT_EQ(run.state(), v1::RUN_SUCCEEDED) << run.run_id() << " " << run.reason();
      ASSERT_OK_AND_ASSIGN(const std::vector<CurvePoint> heldout,
                           store_->Curve(run.run_id(), "heldout"));
      ASSERT_EQ(heldout.size(), static_cast<size_t>(run.spec().evaluation_steps_size()));
      for (size_t i = 0; i < heldout.size(); ++i) {
        EXPECT_EQ(heldout[i].step, run.spec().evaluation_steps(static_cast<int>(i)));
        EXPECT_EQ(heldout[i].value, LossOf(run.run_id(), heldout[i].step));
      }
      ASSERT_OK_AND_ASSIGN(const std::vector<CurvePoint> train,
                           store_->Curve(run.run_id(), "train"));
      // Every tenth step; of a branch at least those behind its trunk's checkpoint.
      const int64_t begin = run.spec().identity().decay_begin();
      std::set<int64_t> steps;
      for (const CurvePoint& point : train) EXPECT_TRUE(steps.insert(point.step).second);
      for (int64_t step = begin / 10 * 10 + 10; step <= run.spec().steps(); step += 10) {
        EXPECT_EQ(steps.count(step), 1u) << "run " << run.run_id() << " at " << step;
      }
      EXPECT_LE(static_cast<int64_t>(train.size()), run.spec().steps() / 10);
    }
    for (const v1::Cell& cell : stored.cells) EXPECT_TRUE(cell.done());
  }

  std::mt19937_64 random_;
  schedule::ClusterState view_;
  std::map<int64_t, Trainer> trainers_;
  std::vector<Trainer> zombies_;
};

class StoreSimulationTest : public StoreSimulation,
                            public ::testing::WithParamInterface<uint64_t> {};

TEST_P(StoreSimulationTest, EveryPointIsThereOnceAndTheViewIsTheRows) {
  SCOPED_TRACE(absl::StrCat("seed ", GetParam()));
  ASSERT_NO_FATAL_FAILURE(Begin(GetParam()));
  for (int step = 0; step < 200; ++step) ASSERT_NO_FATAL_FAILURE(Step(/*faults=*/true));
  ASSERT_OK(store_->Retry("grid", {}));
  for (int step = 0; step < 2000 && !view_.runs.empty(); ++step) {
    ASSERT_NO_FATAL_FAILURE(Step(/*faults=*/false));
  }
  CheckCurves();
  store_.reset();
}

INSTANTIATE_TEST_SUITE_P(Seeds, StoreSimulationTest, ::testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace allometry::store
