// What a fit reads: points (N, D, C, L), where each came from, and what was left out and why.
//
// A point says that a model of N parameters had loss L (nats per token) after D training tokens,
// at a cost of C FLOPs. Fits go wrong long before any optimiser runs: a diverged run counted as a
// final loss, a warm-up inside the fitted range, a duplicate file, a row that did not parse. So
// an exclusion is a value like any other here, with its reason, and every report prints "used 235
// of 240". And points are hardly ever independent: those of one run share its seed, those of one
// size share its learning rate. `run` and N say which belong together; the intervals need that.
//
// Several counts of the same parameters are common (with or without embeddings) and move the
// exponent a between .46 and .86 (Pearce and Song 2024), so the count's name travels with the
// data, and other counts may travel beside it as Alternatives.
//
// Plain values, no locking: share const, or copy.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"

namespace allometry::fitting {

struct Observation {
  double params = 0;       // N, parameters
  double tokens = 0;       // D, training tokens
  double flops = 0;        // C, training FLOPs; 0 stands for 6 N D
  double loss = 0;         // L, nats per token
  double weight = 1;       // > 0; multiplies the point's term of the objective
  double epochs = 0;       // passes over unique data; 0: not known
  int32_t run = -1;        // index into Observations::runs(); -1: no run label
  int32_t family = -1;     // index into Observations::families(); -1: none
  int64_t line = 0;        // line of the file it came from, from 1; 0: no file
  bool ends_cell = false;  // the point at a planned budget, not one on the way there

  double compute() const { return flops > 0 ? flops : 6 * params * tokens; }
};

struct Exclusion {
  int64_t line = 0;  // 0: not of a file, or a sum over several lines
  std::string reason;
  int64_t points = 1;  // how many observations it removed
};

// Another count of the same models' parameters: params[i] belongs to points()[i].
struct Alternative {
  std::string params_policy;
  std::vector<double> params;
};

// How a table was read: printed above the fit, so that a person sees what was taken for what.
struct ReadSummary {
  struct Column {
    std::string quantity;  // "N", "D", "C", "loss", "run", ...
    std::string header;    // as the file spells it
    std::string unit;      // "x 1e+06", "bits per byte", "nats per token"; "" is the quantity's own
    std::string note;      // "the held-out one", "as asked"
  };
  std::string file;  // "" where the observations are not of a file
  std::string form;  // "comma, decimal point"
  std::vector<Column> columns;
  std::vector<std::string> unread;   // headers of the other columns
  std::vector<std::string> derived;  // "D = C / (6 N) on 12 rows"
  std::string group;                 // with --group: the value whose rows these are
};

class Observations {
 public:
  // Adds a point, interning its labels ("" is no label). Invalid numbers (not finite, or not
  // positive) make an exclusion instead, with the reason; returns whether the point was added.
  bool Add(Observation point, absl::string_view run = "", absl::string_view family = "");
  // Records that points were left out before they came here: "run 7 diverged", "epochs 5.2 > 4".
  // Beyond kListedExclusions those of one reason are only counted, so that ten million bad rows
  // stay a report one can read.
  void Exclude(int64_t line, std::string reason, int64_t points = 1);
  // Excludes the points for which `why` returns a reason.
  void ExcludeIf(const std::function<std::string(const Observation&)>& why);
  // Adds another count of N; params must have one positive value per point.
  void AddAlternative(std::string params_policy, std::vector<double> params);
  // What the reader of the report should know about the data: "D derived as C / (6 N)".
  void AddNote(std::string note) { notes_.push_back(std::move(note)); }
  void Reserve(size_t points) { points_.reserve(points); }

  const std::vector<Observation>& points() const& { return points_; }
  std::vector<Observation> points() && { return std::move(points_); }
  const std::vector<Exclusion>& exclusions() const { return exclusions_; }
  const std::vector<std::string>& runs() const { return runs_; }
  const std::vector<std::string>& families() const { return families_; }
  const std::vector<Alternative>& alternatives() const { return alternatives_; }
  const std::vector<std::string>& notes() const { return notes_; }
  int64_t used() const { return static_cast<int64_t>(points_.size()); }
  int64_t total() const { return used() + excluded_points_; }
  int64_t excluded_points() const { return excluded_points_; }

  ReadSummary read;

  // The name of the count in Observation::params: "paper", "total", "non-embedding", "active".
  std::string params_policy = "as given";

  static constexpr size_t kListedExclusions = 1000;

 private:
  static int32_t Intern(absl::string_view label, std::vector<std::string>& labels,
                        std::unordered_map<std::string, int32_t>& index);

  std::vector<Observation> points_;
  std::vector<Exclusion> exclusions_;
  int64_t excluded_points_ = 0;
  std::vector<std::string> runs_, families_;
  std::unordered_map<std::string, int32_t> run_index_, family_index_;
  std::unordered_map<std::string, size_t> counted_;  // reason -> index of its summed exclusion
  std::vector<Alternative> alternatives_;
  std::vector<std::string> notes_;
};

}  // namespace allometry::fitting
