// Settings and properties of a run that are one of a few words. Each is an enum with one table of
// names; the names are what run.json, messages, the database, run keys and sweep files hold.
//
// To add a choice: an enumerator, a row of its table, and the code that acts on it. The names are
// stored: never change one.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace allometry::run {

template <class Enum>
struct Choice {
  Enum value;
  const char* name;
};

// The shape of the learning rate over the updates (worker/trainer/learning_rate.h).
enum class Schedule { kConstant, kWsd, kCosine };
inline constexpr Choice<Schedule> kSchedules[] = {
    {Schedule::kConstant, "constant"}, {Schedule::kWsd, "wsd"}, {Schedule::kCosine, "cosine"}};
constexpr absl::Span<const Choice<Schedule>> ChoicesOf(Schedule) { return kSchedules; }

// Of matrix products.
enum class Precision { kFp32, kTf32, kBf16 };
inline constexpr Choice<Precision> kPrecisions[] = {
    {Precision::kFp32, "fp32"}, {Precision::kTf32, "tf32"}, {Precision::kBf16, "bf16"}};
constexpr absl::Span<const Choice<Precision>> ChoicesOf(Precision) { return kPrecisions; }

// The update rule.
enum class UpdateRule { kAdamW };
inline constexpr Choice<UpdateRule> kUpdateRules[] = {{UpdateRule::kAdamW, "adamw"}};
constexpr absl::Span<const Choice<UpdateRule>> ChoicesOf(UpdateRule) { return kUpdateRules; }

// The kind of device that a run's ranks need.
enum class DeviceKind { kCpu, kCuda };
inline constexpr Choice<DeviceKind> kDeviceKinds[] = {{DeviceKind::kCpu, "cpu"},
                                                      {DeviceKind::kCuda, "cuda"}};
constexpr absl::Span<const Choice<DeviceKind>> ChoicesOf(DeviceKind) { return kDeviceKinds; }

// How a model is told where a token stands in its window (models/positions.h).
enum class Positions { kAbsolute, kFrameSlot, kRotary };
inline constexpr Choice<Positions> kPositions[] = {{Positions::kAbsolute, "absolute"},
                                                   {Positions::kFrameSlot, "frame-slot"},
                                                   {Positions::kRotary, "rotary"}};
constexpr absl::Span<const Choice<Positions>> ChoicesOf(Positions) { return kPositions; }

// What a run makes: a trained model, a tokenizer of images, measures of the quality of another
// run's checkpoints, or a policy.
enum class RunKind { kTrain, kTokenizer, kEvaluate, kPolicy };
inline constexpr Choice<RunKind> kRunKinds[] = {{RunKind::kTrain, "train"},
                                                {RunKind::kTokenizer, "tokenizer"},
                                                {RunKind::kEvaluate, "evaluate"},
                                                {RunKind::kPolicy, "policy"}};
constexpr absl::Span<const Choice<RunKind>> ChoicesOf(RunKind) { return kRunKinds; }

// What a run reads of another run: a checkpoint of its trunk to start from, its tokenizer,
// checkpoints to evaluate, or a checkpoint as the model that a policy is trained in.
enum class InputKind { kTrunk, kTokenizer, kCheckpoint, kModel };
inline constexpr Choice<InputKind> kInputKinds[] = {{InputKind::kTrunk, "trunk"},
                                                    {InputKind::kTokenizer, "tokenizer"},
                                                    {InputKind::kCheckpoint, "checkpoint"},
                                                    {InputKind::kModel, "model"}};
constexpr absl::Span<const Choice<InputKind>> ChoicesOf(InputKind) { return kInputKinds; }

// The stage of a sweep that a run or cell belongs to. The grid has no name. Stopping has no runs of
// its own: its decisions add cells of the grid.
enum class Stage { kGrid, kLadder, kStopping, kTokenizer, kEvaluate, kPolicy };
inline constexpr Choice<Stage> kStages[] = {{Stage::kGrid, ""},
                                            {Stage::kLadder, "ladder"},
                                            {Stage::kStopping, "stopping"},
                                            {Stage::kTokenizer, "tokenizer"},
                                            {Stage::kEvaluate, "evaluate"},
                                            {Stage::kPolicy, "policy"}};
constexpr absl::Span<const Choice<Stage>> ChoicesOf(Stage) { return kStages; }

// What a policy is trained by (worker/trainer/policy_training.h).
enum class Teacher { kImagination, kReal, kCloning, kRandom };
inline constexpr Choice<Teacher> kTeachers[] = {{Teacher::kImagination, "imagination"},
                                                {Teacher::kReal, "real"},
                                                {Teacher::kCloning, "cloning"},
                                                {Teacher::kRandom, "random"}};
constexpr absl::Span<const Choice<Teacher>> ChoicesOf(Teacher) { return kTeachers; }

template <class T>
concept IsChoice = requires(T value) {
  ChoicesOf(value);
};

template <IsChoice Enum>
constexpr const char* NameOf(Enum value) {
  for (const Choice<Enum>& choice : ChoicesOf(value)) {
    if (choice.value == value) return choice.name;
  }
  return "";
}

// Unset: no row has this name.
template <IsChoice Enum>
constexpr std::optional<Enum> Parse(absl::string_view name) {
  for (const Choice<Enum>& choice : ChoicesOf(Enum())) {
    if (name == choice.name) return choice.value;
  }
  return std::nullopt;
}

// "constant, wsd, cosine"
template <IsChoice Enum>
std::string NamesOf() {
  std::string names;
  for (const Choice<Enum>& choice : ChoicesOf(Enum())) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", choice.name);
  }
  return names;
}

}  // namespace allometry::run
