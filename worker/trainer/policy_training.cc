#include "worker/trainer/policy_training.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/split_mix.h"
#include "models/actor_critic.h"
#include "models/adamw.h"
#include "models/decode.h"
#include "worker/trainer/agent_features.h"
#include "worker/trainer/agent_world.h"
#include "worker/trainer/attempt_records.h"
#include "worker/trainer/batches.h"
#include "worker/trainer/checkpoint.h"
#include "worker/trainer/curve_log.h"
#include "worker/trainer/dataset_checks.h"
#include "worker/trainer/learner.h"
#include "worker/trainer/learning_rate.h"
#include "worker/trainer/outcome.h"
#include "worker/trainer/play.h"
#include "worker/trainer/policy_agent.h"
#include "worker/trainer/policy_inputs.h"
#include "worker/trainer/reward_gate.h"

namespace allometry::trainer {
namespace {

using run::ExitReason;
using run::Teacher;
using Clock = std::chrono::steady_clock;

// Keys of what is drawn. Part of a run's numbers: do not change.
enum Draw : uint64_t { kTrainingAction = 0x616374, kEvaluationAction = 0x6576616c };

constexpr double kScaleDecay = 0.95;
constexpr double kLeastScale = 0.1;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <class T>
at::Tensor Copied(const std::vector<T>& values, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values.data()), {static_cast<int64_t>(values.size())},
                       at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value))
      .to(type, /*non_blocking=*/false, /*copy=*/true);
}

// What the last update was like.
struct Told {
  double imagined_return = 0, entropy = 0, value_loss = 0, cloning_loss = 0;
};

class PolicyTraining final : public Training {
 public:
  PolicyTraining(TrainingParts parts, ShardWatch shards, std::unique_ptr<PolicyInputs> inputs,
                 AgentFeatures features, Observer observer, std::unique_ptr<AgentWorld> world,
                 std::unique_ptr<PolicyAgent> agent, Progress progress)
      : parts_(std::move(parts)),
        spec_(parts_.spec),
        recipe_(spec_.identity.policy),
        shards_(std::move(shards)),
        inputs_(std::move(inputs)),
        features_(std::move(features)),
        observer_(observer),
        world_(std::move(world)),
        agent_(std::move(agent)),
        progress_(progress),
        curve_(parts_.spool, spec_.identity.batch_tokens, spec_.steps, parts_.progress),
        width_(inputs_->sources.manifest.frames->tokens_per_observation) {}

  int64_t step() const override { return progress_.step; }
  absl::StatusOr<TrainingEnd> Run() override;
  absl::StatusOr<Measurement> Measure(double seconds) override;

 private:
  bool writes() const { return parts_.spool != nullptr; }
  uint64_t Key(Draw draw) const {
    return SplitMix(static_cast<uint64_t>(spec_.identity.seed) ^ draw);
  }
  absl::StatusOr<std::optional<TrainingEnd>> CheckModel();
  absl::Status Update();
  absl::Status Imagine(int64_t update);
  absl::Status Clone(int64_t update);
  absl::Status Evaluate();
  void Log();
  absl::StatusOr<run::CheckpointRecord> Save() {
    if (world_ != nullptr && world_->state_size() > 0) world_->Save(agent_->episodes());
    return WriteCheckpoint(parts_.run_dir, spec_.attempt, progress_, spec_.identity, agent_->layout,
                           {agent_->parameters, agent_->exp_avg, agent_->exp_avg_sq});
  }
  // Of each row an action, drawn from `logits` [rows, actions], and ln of its probability.
  void Act(const at::Tensor& logits, Draw draw, int64_t first_row, int64_t time,
           std::span<uint8_t> actions, std::vector<double>* log_probs) const;

  const TrainingParts parts_;
  const run::RunSpec& spec_;
  const run::PolicyRecipe& recipe_;
  const ShardWatch shards_;
  const std::unique_ptr<PolicyInputs> inputs_;
  const AgentFeatures features_;
  const Observer observer_;
  const std::unique_ptr<AgentWorld> world_;  // of the teachers with roll-outs
  const std::unique_ptr<PolicyAgent> agent_;
  Progress progress_;
  CurveLog curve_;
  const int64_t width_;  // tokens of an observation
  Told told_;
  Checkpoints checkpoints_{parts_, shards_};
};

void PolicyTraining::Act(const at::Tensor& logits, Draw draw, int64_t first_row, int64_t time,
                         std::span<uint8_t> actions, std::vector<double>* log_probs) const {
  const at::Tensor rows = logits.contiguous();
  const auto count = static_cast<size_t>(rows.size(1));
  for (size_t row = 0; row < actions.size(); ++row) {
    const std::span<const float> law(rows.const_data_ptr<float>() + row * count, count);
    const double u = models::Uniform(Key(draw), static_cast<uint64_t>(first_row) + row,
                                     static_cast<uint64_t>(time));
    const int action = models::SampleToken(law, u);
    actions[row] = static_cast<uint8_t>(action);
    if (log_probs == nullptr) continue;
    const double top = *std::max_element(law.begin(), law.end());
    double sum = 0;
    for (const float logit : law) sum += std::exp(logit - top);
    log_probs->push_back(law[static_cast<size_t>(action)] - top - std::log(sum));
  }
}

absl::Status PolicyTraining::Imagine(int64_t update) {
  const int64_t rows = recipe_.starts, steps = recipe_.horizon;
  const auto b = static_cast<size_t>(rows);
  std::vector<int32_t> seen(b * static_cast<size_t>(width_));
  std::vector<uint8_t> actions(b), ended(b), ends;
  std::vector<double> reward(b), rewards, log_probs;
  std::vector<int64_t> taken;
  std::vector<at::Tensor> xs;
  ALLO_RETURN_IF_ERROR(world_->Begin(update, seen));
  for (int64_t t = 0; t < steps; ++t) {
    ALLO_ASSIGN_OR_RETURN(const at::Tensor x, features_.X(seen));
    xs.push_back(x);
    Act(agent_->actor_critic->Logits(x), kTrainingAction, (update - 1) * rows, t, actions,
        &log_probs);
    ALLO_RETURN_IF_ERROR(world_->Step(actions, reward, ended, seen));
    taken.insert(taken.end(), actions.begin(), actions.end());
    rewards.insert(rewards.end(), reward.begin(), reward.end());
    ends.insert(ends.end(), ended.begin(), ended.end());
  }
  ALLO_ASSIGN_OR_RETURN(const at::Tensor last, features_.X(seen));
  xs.push_back(last);
  const at::Tensor all = at::cat(xs);
  const at::Tensor host = agent_->actor_critic->Values(all).to(at::kDouble).contiguous();
  const std::span<const double> values(host.const_data_ptr<double>(), b * (steps + 1));
  const std::vector<double> returns =
      models::LambdaReturns(rewards, ends, values, rows, recipe_.discount, recipe_.lambda);
  const std::vector<double> weights = models::ReachWeights(ends, rows);
  const auto range = static_cast<float>(models::QuantileRange(returns));
  float& scale = agent_->return_scale();
  scale = update == 1 ? range : static_cast<float>(kScaleDecay * scale + (1 - kScaleDecay) * range);
  const double divisor = std::max<double>(kLeastScale, scale);
  std::vector<double> advantages(returns.size());
  for (size_t i = 0; i < returns.size(); ++i) advantages[i] = (returns[i] - values[i]) / divisor;

  models::RollOut roll_out;
  roll_out.actions = Copied(taken, at::kLong);
  roll_out.old_log_probs = Copied(log_probs, at::kFloat);
  roll_out.advantages = Copied(advantages, at::kFloat);
  roll_out.returns = Copied(returns, at::kFloat);
  roll_out.weights = Copied(weights, at::kFloat);
  const at::Tensor x = all.narrow(0, 0, rows * steps);
  for (int pass = 0; pass < recipe_.passes; ++pass) {
    const models::ActorCriticLosses losses = agent_->actor_critic->Gradient(
        x, roll_out, {.entropy = recipe_.entropy, .clip = recipe_.clip});
    agent_->Update((update - 1) * recipe_.passes + pass + 1,
                   LearningRateAt(spec_.identity, update));
    if (pass > 0) continue;
    told_.entropy = losses.entropy.item<double>();
    told_.value_loss = losses.value.item<double>();
  }
  told_.imagined_return = 0;
  for (size_t i = 0; i < rewards.size(); ++i) {
    told_.imagined_return += weights[i] * rewards[i] / static_cast<double>(rows);
  }
  return absl::OkStatus();
}

absl::Status PolicyTraining::Clone(int64_t update) {
  const data::Manifest& manifest = inputs_->sources.manifest;
  const int64_t frame = manifest.frames->tokens_per_frame();
  const int64_t context = inputs_->model.identity.shape.context;
  const int64_t rows = recipe_.starts;
  const int64_t first_action = data::ActionSegments(manifest).front().begin;
  std::vector<int32_t> windows(static_cast<size_t>(rows * context)), targets(windows.size());
  ALLO_RETURN_IF_ERROR(
      WithReason(ExitReason::kData,
                 inputs_->sources.train->Fill((update - 1) * rows, rows, windows, targets)));
  std::vector<int32_t> seen;
  std::vector<int64_t> actions;
  for (auto at = windows.begin(); at != windows.end(); at += frame) {
    seen.insert(seen.end(), at, at + width_);
    actions.push_back(at[width_] - first_action);
  }
  ALLO_ASSIGN_OR_RETURN(const at::Tensor x, features_.X(seen));
  told_.cloning_loss = agent_->actor_critic->CloningGradient(x, Copied(actions, at::kLong));
  agent_->Update(update, LearningRateAt(spec_.identity, update));
  return absl::OkStatus();
}

absl::Status PolicyTraining::Update() {
  const int64_t update = progress_.step + 1;
  switch (recipe_.teacher) {
    case Teacher::kImagination:
      ALLO_RETURN_IF_ERROR(WithReason(ExitReason::kData, Imagine(update)));
      break;
    case Teacher::kReal:
      ALLO_RETURN_IF_ERROR(WithReason(ExitReason::kEnvironment, Imagine(update)));
      break;
    case Teacher::kCloning:
      ALLO_RETURN_IF_ERROR(Clone(update));
      break;
    case Teacher::kRandom:
      break;
  }
  progress_.step = update;
  progress_.tokens += spec_.identity.batch_tokens;
  Log();
  return absl::OkStatus();
}

void PolicyTraining::Log() {
  const int64_t step = progress_.step;
  if (step % spec_.log_every != 0) return;
  if (recipe_.teacher == Teacher::kCloning) {
    curve_.Add(step, "train", told_.cloning_loss);
  } else if (recipe_.teacher != Teacher::kRandom) {
    curve_.Add(step, "imagined_return", told_.imagined_return);
    curve_.Add(step, "rollout_reward", told_.imagined_return / recipe_.horizon);
    curve_.Add(step, "entropy", told_.entropy);
    curve_.Add(step, "value_loss", told_.value_loss);
  }
}

absl::Status PolicyTraining::Evaluate() {
  ALLO_ASSIGN_OR_RETURN(
      const auto environment,
      environments::Create(recipe_.environment, static_cast<int>(recipe_.episodes)));
  const auto act = [this](const Moment& now, std::span<uint8_t> actions) -> absl::Status {
    ALLO_ASSIGN_OR_RETURN(const at::Tensor x, features_.X(now.tokens));
    Act(agent_->actor_critic->Logits(x), kEvaluationAction, 0, now.time, actions, nullptr);
    return absl::OkStatus();
  };
  ALLO_ASSIGN_OR_RETURN(const Played played, Play(*environment, observer_, width_, 0, act));
  LogReturns(played, inputs_->returns, progress_.step, curve_);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<TrainingEnd>> PolicyTraining::CheckModel() {
  if (recipe_.teacher != Teacher::kImagination || !recipe_.gate || progress_.step != 0) {
    return std::nullopt;
  }
  const absl::StatusOr<RewardGate> gate =
      MeasureRewards(inputs_->model, inputs_->sources, spec_.step_backend);
  if (!gate.ok()) return WithReason(ExitReason::kData, gate.status());
  if (gate->passes()) return std::nullopt;
  return TrainingEnd{
      ExitReason::kUnfitModel,
      absl::StrCat("the world model foresees too little for a policy to be trained "
                   "in it: ",
                   gate->Text(), "; train it longer or on more data, or set imagine.gate: false"),
      0};
}

absl::StatusOr<TrainingEnd> PolicyTraining::Run() {
  ALLO_RETURN_IF_ERROR(RecordExecutionConfig(parts_, recipe_.starts, "policy"));
  ALLO_ASSIGN_OR_RETURN(const std::optional<TrainingEnd> unfit, CheckModel());
  if (unfit.has_value()) return *unfit;
  checkpoints_.Begin(progress_.step);
  while (progress_.step < spec_.steps) {
    ALLO_RETURN_IF_ERROR(Update());
    const int64_t step = progress_.step;
    const auto is_among = [step](const std::vector<int64_t>& steps) {
      return std::binary_search(steps.begin(), steps.end(), step);
    };
    if (is_among(spec_.evaluation_steps)) {
      ALLO_RETURN_IF_ERROR(WithReason(ExitReason::kEnvironment, Evaluate()));
    }
    const bool done = step == spec_.steps;
    const LeaseCommand command = CommandOf(parts_);
    const bool asked = is_among(spec_.checkpoint_steps);
    ALLO_RETURN_IF_ERROR(checkpoints_.WriteIfDue(
        step, done || asked || command != LeaseCommand::kNone, [this] { return Save(); }));
    ALLO_RETURN_IF_ERROR(curve_.FlushIfDue(step));
    if (done) break;
    if (const auto end = EndBy(command, step)) return *end;
  }
  return TrainingEnd{ExitReason::kSucceeded, "", progress_.step};
}

absl::StatusOr<Measurement> PolicyTraining::Measure(double seconds) {
  const Clock::time_point begin = Clock::now();
  Measurement measured;
  measured.step_backend = "policy";
  const std::clock_t cpu = std::clock();
  while (measured.updates == 0 || SecondsSince(begin) < seconds) {
    ALLO_RETURN_IF_ERROR(Update());
    ++measured.updates;
  }
  const auto updates = static_cast<double>(measured.updates);
  measured.update_s = SecondsSince(begin) / updates;
  measured.update_cpu_s = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC / updates;
  Clock::time_point start = Clock::now();
  ALLO_RETURN_IF_ERROR(WithReason(ExitReason::kEnvironment, Evaluate()));
  measured.evaluation_s = SecondsSince(start);
  if (writes()) {
    start = Clock::now();
    ALLO_RETURN_IF_ERROR(checkpoints_.WriteNow(progress_.step, [this] { return Save(); }));
    measured.checkpoint_s = SecondsSince(start);
  }
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  measured.peak_memory_bytes = static_cast<int64_t>(usage.ru_maxrss) * 1024;
  measured.measuring_s = SecondsSince(begin);
  return measured;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Training>> CreatePolicyTraining(TrainingParts parts) {
  const run::RunSpec& spec = parts.spec;
  const run::PolicyRecipe& recipe = spec.identity.policy;
  ShardWatch shards = ShardWatch::Of(parts.data_dir, spec.identity.dataset);
  absl::StatusOr<std::unique_ptr<PolicyInputs>> read = ReadPolicyInputs(parts);
  if (!read.ok()) return WithReason(ExitReason::kData, read.status());
  std::unique_ptr<PolicyInputs> inputs = *std::move(read);
  const TokenizerFile* tokenizer = inputs->tokenizer ? &*inputs->tokenizer : nullptr;
  absl::StatusOr<AgentFeatures> features =
      AgentFeatures::Of(inputs->sources.manifest, tokenizer, inputs->model);
  if (!features.ok()) return WithReason(ExitReason::kData, features.status());

  // Started here even where only evaluations need it: what is wrong with it is known at once.
  const bool is_real = recipe.teacher == Teacher::kReal;
  auto environment =
      environments::Create(recipe.environment, is_real ? static_cast<int>(recipe.starts) : 1);
  if (!environment.ok()) return WithReason(ExitReason::kEnvironment, environment.status());
  const environments::Interface interface = (*environment)->interface();
  absl::StatusOr<Observer> observer =
      Observer::Create(interface, inputs->sources.manifest, tokenizer);
  if (!observer.ok()) return WithReason(ExitReason::kEnvironment, observer.status());

  std::unique_ptr<AgentWorld> world;
  if (is_real) {
    world = CreateRealWorld(*std::move(environment), *observer,
                            inputs->sources.manifest.frames->frames_per_episode);
  } else if (recipe.teacher == Teacher::kImagination) {
    auto imagined = CreateImaginedWorld(inputs->model, inputs->sources,
                                        {.rows = recipe.starts,
                                         .burn = recipe.burn,
                                         .horizon = recipe.horizon,
                                         .seed = spec.identity.seed});
    if (!imagined.ok()) return WithReason(ExitReason::kData, imagined.status());
    world = *std::move(imagined);
  }
  auto agent = std::make_unique<PolicyAgent>(
      models::ActorCriticShape{
          .features = features->features(), .actions = interface.actions, .width = recipe.width},
      spec.identity, world == nullptr ? 0 : world->state_size());
  Progress progress;
  if (spec.start.has_value()) {
    absl::StatusOr<Progress> restored =
        ReadCheckpoint(parts.run_dir, *spec.start, spec.identity, agent->layout,
                       {agent->parameters, agent->exp_avg, agent->exp_avg_sq});
    if (!restored.ok()) return WithReason(ExitReason::kCheckpoint, restored.status());
    progress = *restored;
    if (world != nullptr && world->state_size() > 0) {
      ALLO_RETURN_IF_ERROR(WithReason(ExitReason::kEnvironment, world->Restore(agent->episodes())));
    }
  }
  return std::make_unique<PolicyTraining>(std::move(parts), std::move(shards), std::move(inputs),
                                          *std::move(features), *std::move(observer),
                                          std::move(world), std::move(agent), progress);
}

}  // namespace allometry::trainer
