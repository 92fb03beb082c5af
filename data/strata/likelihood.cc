#include "data/strata/likelihood.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace allometry::strata {
namespace {

constexpr uint64_t kNorthRows = 0xffffffff;
constexpr uint64_t kSouthRows = kNorthRows << 32;
constexpr double kNever = -std::numeric_limits<double>::infinity();

// Whether prefab and mover's place agree with what is seen.
bool Fits(uint64_t tiles, uint64_t mask, uint64_t seen) { return ((tiles ^ seen) & mask) == 0; }

// Floor of a / 4 for coordinates that may be a little below zero.
int SlotOf(int cell) { return (cell + 4 * kWorldSide) / kPrefabSide - kWorldSide; }

Tokenizer TokenizerOf(const Spec& spec) { return *Tokenizer::Create(spec.view, spec.zo); }

std::vector<int32_t> SortedBy(const std::vector<PrefabAppearance>& appearances, uint64_t rows) {
  std::vector<int32_t> order(appearances.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return (appearances[static_cast<size_t>(a)].tiles & rows) <
           (appearances[static_cast<size_t>(b)].tiles & rows);
  });
  return order;
}

}  // namespace

std::vector<PrefabAppearance> AppearancesOf(const World& world) {
  const std::vector<double> chances = world.zipf().Chances();
  std::vector<PrefabAppearance> appearances;
  for (size_t k = 0; k < chances.size(); ++k) {
    const Prefab prefab = world.PrefabOf(static_cast<int64_t>(k));
    const bool moves = prefab.mover != MoverKind::kNone;
    for (int at = 0; at < (moves ? kPrefabSide : 1); ++at) {
      appearances.push_back({.tiles = moves ? prefab.With(at) : prefab.tiles,
                             .prefab = static_cast<int32_t>(k),
                             .at = static_cast<uint8_t>(at),
                             .mover = prefab.mover,
                             .row = prefab.row,
                             .chance = moves ? chances[k] / kPrefabSide : chances[k]});
    }
  }
  return appearances;
}

WindowLikelihood::WindowLikelihood(const World& world)
    : world_(world),
      tokenizer_(TokenizerOf(world.spec())),
      appearances_(AppearancesOf(world)),
      by_north_(SortedBy(appearances_, kNorthRows)),
      by_south_(SortedBy(appearances_, kSouthRows)) {
  Begin();
}

void WindowLikelihood::Begin() {
  phases_.clear();
  for (int y = 0; y < kPrefabSide; ++y) {
    for (int x = 0; x < kPrefabSide; ++x)
      phases_.push_back({.x = x, .y = y, .possible = true, .slots = {}});
  }
  offset_x_ = offset_y_ = 0;
  season_log_ = 0;
  frames_ = 0;
  rewritten_.clear();
}

std::map<WindowLikelihood::Place, WindowLikelihood::VisibleCells> WindowLikelihood::VisibleCellsIn(
    std::span<const uint8_t> view, const Phase& phase, int64_t tokens) const {
  std::map<Place, VisibleCells> seen;
  const int side = world_.view_side(), block = tokenizer_.block();
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      if (y / block * (side / block) + x / block >= tokens) continue;
      const uint8_t tile = view[static_cast<size_t>(y * side + x)];
      if (tile >= kAgent) continue;
      const Place cell = {offset_x_ + x, offset_y_ + y};
      if (const auto found = rewritten_.find(cell); found != rewritten_.end()) {
        ALLO_CHECK(found->second == tile) << "a rewritten cell shows another tile";
        continue;
      }
      const int in_x = cell.first + phase.x, in_y = cell.second + phase.y;
      const Place slot = {SlotOf(in_x), SlotOf(in_y)};
      const int nibble = 4 * ((in_y & 3) * kPrefabSide + (in_x & 3));
      VisibleCells& of_slot = seen[slot];
      of_slot.mask |= uint64_t{15} << nibble;
      of_slot.tiles |= static_cast<uint64_t>(tile) << nibble;
    }
  }
  return seen;
}

void WindowLikelihood::Advance(Slot& slot, int season) const {
  for (Candidate& candidate : slot.candidates) {
    if (candidate.mover == MoverKind::kNone) continue;
    const int turns = MoverTurns(candidate.mover);
    std::array<double, kPrefabSide> next = {};
    for (int at = 0; at < kPrefabSide; ++at) {
      for (int turn = 0; turn < turns; ++turn) {
        next[static_cast<size_t>(MoverNext(candidate.mover, at, season, turn))] +=
            candidate.chance[static_cast<size_t>(at)] / turns;
      }
    }
    candidate.chance = next;
  }
}

void WindowLikelihood::Narrow(const VisibleCells& seen, Slot& slot) {
  slot.mass = 0;
  size_t kept = 0;
  for (Candidate& candidate : slot.candidates) {
    double mass = 0;
    const Prefab prefab = {candidate.tiles, candidate.mover, candidate.row};
    for (int at = 0; at < kPrefabSide; ++at) {
      double& chance = candidate.chance[static_cast<size_t>(at)];
      if (chance == 0) continue;
      const uint64_t tiles =
          candidate.mover == MoverKind::kNone ? candidate.tiles : prefab.With(at);
      if (!Fits(tiles, seen.mask, seen.tiles)) chance = 0;
      mass += chance;
    }
    if (mass == 0) continue;
    slot.mass += mass;
    slot.candidates[kept++] = candidate;
  }
  slot.candidates.resize(kept);
}

WindowLikelihood::Slot WindowLikelihood::NewSlot(const VisibleCells& seen) const {
  Slot slot;
  int32_t last = -1;
  const auto add = [&](const PrefabAppearance& appearance) {
    if (!Fits(appearance.tiles, seen.mask, seen.tiles)) return;
    if (appearance.prefab != last) {
      last = appearance.prefab;
      const bool moves = appearance.mover != MoverKind::kNone;
      const uint64_t mover =
          moves ? uint64_t{15} << 4 * (kPrefabSide * appearance.row + appearance.at) : 0;
      slot.candidates.push_back({appearance.tiles & ~mover, appearance.mover, appearance.row, {}});
    }
    slot.candidates.back().chance[appearance.at] = appearance.chance;
    slot.mass += appearance.chance;
  };
  const bool north = (seen.mask & kNorthRows) == kNorthRows;
  if (!north && (seen.mask & kSouthRows) != kSouthRows) {
    for (const PrefabAppearance& appearance : appearances_) add(appearance);
    return slot;
  }
  // Looks of one prefab with equal rows stand together: the order is stable.
  const uint64_t rows = north ? kNorthRows : kSouthRows;
  const std::vector<int32_t>& order = north ? by_north_ : by_south_;
  auto at = std::lower_bound(order.begin(), order.end(), seen.tiles & rows,
                             [&](int32_t i, uint64_t wanted) {
                               return (appearances_[static_cast<size_t>(i)].tiles & rows) < wanted;
                             });
  for (; at != order.end(); ++at) {
    const PrefabAppearance& appearance = appearances_[static_cast<size_t>(*at)];
    if ((appearance.tiles & rows) != (seen.tiles & rows)) break;
    add(appearance);
  }
  return slot;
}

void WindowLikelihood::ObserveIn(Phase& phase, const std::map<Place, VisibleCells>& seen) const {
  // The slots of which most is seen first: a wrong phase ends at the first of them.
  std::vector<std::pair<Place, VisibleCells>> order(seen.begin(), seen.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::popcount(a.second.mask) > std::popcount(b.second.mask);
  });
  for (const auto& [place, of_slot] : order) {
    const auto found = phase.slots.find(place);
    if (found == phase.slots.end()) {
      phase.possible = phase.slots.emplace(place, NewSlot(of_slot)).first->second.mass > 0;
    } else {
      Narrow(of_slot, found->second);
      phase.possible = found->second.mass > 0;
    }
    if (phase.possible) continue;
    phase.slots.clear();
    return;
  }
}

void WindowLikelihood::Observe(std::span<const uint8_t> view, int action, int64_t tokens) {
  ALLO_CHECK(frames_ < kMostFrames && static_cast<int>(view.size()) == world_.view_cells());
  const int side = world_.view_side(), centre = world_.centre(), block = tokenizer_.block();
  if (frames_ > 0) {
    const Effect effect = world_.EffectOf(last_view_, action);
    if (effect.rewrites) {
      rewritten_[{offset_x_ + centre + 1, offset_y_ + centre}] = effect.tile;
    }
    offset_x_ += effect.dx;
    offset_y_ += effect.dy;
  }
  const int season_before = season_;
  if (centre / block * (side / block) + centre / block < tokens) {
    season_ = view[static_cast<size_t>(centre * side + centre)] - kAgent;
    ALLO_CHECK(season_ == 0 || season_ == 1) << "no agent in the middle of the view";
    const double turns = season_ == season_before ? 1 - kSeasonTurns : kSeasonTurns;
    season_log_ += std::log(frames_ == 0 ? 0.5 : turns);
  }
  for (Phase& phase : phases_) {
    if (!phase.possible) continue;
    for (auto& [place, slot] : phase.slots) Advance(slot, season_before);
    ObserveIn(phase, VisibleCellsIn(view, phase, tokens));
  }
  last_view_.assign(view.begin(), view.end());
  ++frames_;
}

double WindowLikelihood::LogProbability() const {
  std::vector<double> logs;
  for (const Phase& phase : phases_) {
    if (!phase.possible) continue;
    double log = 0;
    for (const auto& [place, slot] : phase.slots) log += std::log(slot.mass);
    logs.push_back(log);
  }
  if (logs.empty()) return kNever;
  const double largest = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double log : logs) sum += std::exp(log - largest);
  return season_log_ + largest + std::log(sum / (kPrefabSide * kPrefabSide));
}

}  // namespace allometry::strata
