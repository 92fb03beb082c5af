#include "tests/coordinator/chaos_agent.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/records.h"

namespace allometry::testing {
namespace {

constexpr int64_t kCallTimeout = 15;  // steps
constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kTrainEvery = 10;  // updates between points
constexpr int kMostRecords = 24;     // of a batch

}  // namespace

double LossAt(int64_t run_id, int64_t step) {
  return 2 + 1 / std::sqrt(static_cast<double>(step + 10 * run_id));
}

// --- Network

int64_t UnreliableNetwork::Delay() {
  if (reliable_) return 1;
  switch (random_() % 20) {
    case 0:
      return 100 + static_cast<int64_t>(random_() % 100);  // longer than a lease
    case 1:
    case 2:
    case 3:
      return 5 + static_cast<int64_t>(random_() % 15);
    default:
      return 1 + static_cast<int64_t>(random_() % 3);
  }
}

void UnreliableNetwork::Send(std::function<void()> deliver) {
  const unsigned fate = reliable_ ? 99 : static_cast<unsigned>(random_() % 100);
  if (fate < 10) return;
  if (fate < 25) under_way_.emplace(now_ + Delay(), deliver);
  under_way_.emplace(now_ + Delay(), std::move(deliver));
}

void UnreliableNetwork::Step() {
  ++now_;
  while (!under_way_.empty() && under_way_.begin()->first <= now_) {
    const std::function<void()> deliver = std::move(under_way_.begin()->second);
    under_way_.erase(under_way_.begin());
    deliver();
  }
}

// --- Agent

ChaosAgent::ChaosAgent(std::string name, int slots, v1::Dataset dataset,
                       const CoordinatorCalls& calls, UnreliableNetwork& network,
                       const FakeClock& clock, std::mt19937_64& random)
    : name_(std::move(name)),
      dataset_(std::move(dataset)),
      calls_(calls),
      network_(network),
      clock_(clock),
      random_(random) {
  for (int i = 0; i < slots; ++i) {
    v1::Slot& slot = slots_.emplace_back();
    slot.set_host(name_);
    slot.set_device(absl::StrCat("cpu:", i));
  }
}

void ChaosAgent::Step() {
  ++now_;
  for (auto& [token, held] : held_) {
    if (!held.ended && clock_.BootNanos() >= held.deadline_ns) End(held, v1::LEASE_LOST);
    if (!held.ended) Train(held);
    if (Chance(2)) SendSpool(held);
  }
  if (in_flight_ && now_ < call_until_) return;
  if (Chance(2)) Call();
}

void ChaosAgent::Crash() {
  for (const auto& [token, held] : held_) {
    v1::GivenBack& given_back = given_back_.emplace_back();
    *given_back.mutable_lease() = held.hold.lease();
    given_back.set_reason(v1::AGENT_LOST);
  }
  held_.clear();
  registered_ = false;
  in_flight_ = false;
  ++call_;  // answers to the life before go nowhere
}

std::vector<int64_t> ChaosAgent::Running() const {
  std::vector<int64_t> runs;
  for (const auto& [token, held] : held_) {
    if (!held.ended && clock_.BootNanos() < held.deadline_ns) {
      runs.push_back(held.hold.lease().run_id());
    }
  }
  return runs;
}

void ChaosAgent::Call() {
  in_flight_ = true;
  call_until_ = now_ + kCallTimeout;
  const int64_t call = ++call_;
  if (!registered_) {
    v1::RegisterRequest request;
    request.set_agent_id(name_);
    request.set_host(name_);
    request.set_run_root_id("root-of-" + name_);
    request.mutable_slots()->Add(slots_.begin(), slots_.end());
    *request.add_datasets() = dataset_;
    request.mutable_given_back()->Add(given_back_.begin(), given_back_.end());
    network_.Send([this, call, request] {
      network_.Send(
          [this, call, response = calls_.enroll(request)] { OnRegistered(call, response); });
    });
    return;
  }
  v1::HeartbeatRequest request;
  request.set_agent_id(name_);
  *request.add_datasets() = dataset_;
  std::set<std::string> busy;
  for (const auto& [token, held] : held_) {
    v1::HeldAttempt& attempt = *request.add_held();
    *attempt.mutable_lease() = held.hold.lease();
    attempt.set_last_sequence(held.spool.size());
    attempt.set_ended(held.ended);
    if (held.ended) continue;
    for (const v1::Slot& slot : held.hold.slots()) busy.insert(slot.device());
  }
  for (const v1::Slot& slot : slots_) {
    if (busy.count(slot.device()) == 0) *request.add_free_slots() = slot;
  }
  network_.Send([this, call, request, asked_ns = clock_.BootNanos()] {
    network_.Send([this, call, asked_ns, response = calls_.heartbeat(request)] {
      OnHeartbeat(call, asked_ns, response);
    });
  });
}

void ChaosAgent::OnRegistered(int64_t call, const absl::StatusOr<v1::RegisterResponse>& response) {
  if (call != call_ || !in_flight_) return;
  in_flight_ = false;
  if (!response.ok()) return;
  registered_ = true;
  given_back_.clear();
}

void ChaosAgent::OnHeartbeat(int64_t call, int64_t asked_ns,
                             const absl::StatusOr<v1::HeartbeatResponse>& response) {
  if (call != call_ || !in_flight_) return;
  in_flight_ = false;
  if (!response.ok()) {
    if (absl::IsNotFound(response.status())) registered_ = false;
    return;
  }
  std::set<std::string> wanted;
  std::set<std::string> devices;
  bool twice = false;
  for (const v1::Hold& hold : response->hold()) {
    wanted.insert(hold.lease().token());
    const auto known = held_.find(hold.lease().token());
    if (known != held_.end() && known->second.ended) continue;  // its devices are free
    for (const v1::Slot& slot : hold.slots()) twice |= !devices.insert(slot.device()).second;
  }
  devices_given_twice_ += twice;
  std::erase_if(held_, [&](const auto& entry) { return wanted.count(entry.first) == 0; });
  for (const v1::Hold& hold : response->hold()) Take(hold, asked_ns);
}

void ChaosAgent::Take(const v1::Hold& hold, int64_t asked_ns) {
  const int64_t deadline_ns = asked_ns + hold.lease_ms() * kNsPerMs;
  const auto known = held_.find(hold.lease().token());
  if (known != held_.end()) {
    known->second.deadline_ns = deadline_ns;
    if (!known->second.ended && (hold.preempt() || hold.cancel())) {
      End(known->second, hold.cancel() ? v1::CANCELLED_BY_USER : v1::PREEMPTED);
    }
    return;
  }
  if (!hold.has_spec() || !DevicesAreFree(hold)) return;
  Held& held = held_[hold.lease().token()];
  held.hold = hold;
  held.step = hold.spec().start().step();
  held.deadline_ns = deadline_ns;
}

bool ChaosAgent::DevicesAreFree(const v1::Hold& hold) const {
  for (const auto& [token, held] : held_) {
    if (held.ended) continue;
    for (const v1::Slot& mine : held.hold.slots()) {
      for (const v1::Slot& asked : hold.slots()) {
        if (mine.device() == asked.device()) return false;
      }
    }
  }
  return true;
}

v1::Record& ChaosAgent::AddRecord(Held& held) {
  v1::Record& record = held.spool.emplace_back();
  record.set_sequence(held.spool.size());
  return record;
}

void ChaosAgent::Train(Held& held) {
  const v1::RunSpec& spec = held.hold.spec();
  const v1::Lease& lease = held.hold.lease();
  for (int update = 0; update < 2 && held.step < spec.steps(); ++update) {
    const int64_t step = ++held.step;
    const auto point = [&](const char* series) {
      v1::Record& record = AddRecord(held);
      record = PointAt(record.sequence(), step, series, LossAt(lease.run_id(), step));
    };
    if (step % kTrainEvery == 0) point("train");
    if (std::binary_search(spec.evaluation_steps().begin(), spec.evaluation_steps().end(), step)) {
      point("heldout");
    }
    if (Chance(20)) {
      v1::Record& record = AddRecord(held);
      record = CheckpointAt(record.sequence(), lease.attempt(), step, "root-of-" + name_);
    }
  }
  if (held.step == spec.steps()) End(held, v1::SUCCEEDED);
}

void ChaosAgent::End(Held& held, v1::ExitReason reason) {
  held.ended = true;
  v1::Record& record = AddRecord(held);
  record = ExitWith(record.sequence(), reason, held.step);
}

void ChaosAgent::SendSpool(const Held& held) {
  if (!registered_ || held.acked == held.spool.size()) return;
  v1::RecordBatch batch;
  *batch.mutable_lease() = held.hold.lease();
  // Some that were acknowledged, some that may be under way already, and sometimes a gap.
  const auto acked = static_cast<int64_t>(held.acked);
  const auto first = std::clamp<int64_t>(acked - 4 + static_cast<int64_t>(random_() % 8), 0,
                                         static_cast<int64_t>(held.spool.size()) - 1);
  for (size_t i = static_cast<size_t>(first);
       i < held.spool.size() && batch.records_size() < kMostRecords; ++i) {
    *batch.add_records() = held.spool[i];
  }
  network_.Send([this, batch] {
    network_.Send(
        [this, token = batch.lease().token(), ack = calls_.append(batch)] { OnAck(token, ack); });
  });
}

void ChaosAgent::OnAck(const std::string& token, const absl::StatusOr<v1::RecordAck>& ack) {
  if (!ack.ok()) return;
  if (ack->stale()) ++refused_;
  const auto held = held_.find(token);
  if (held == held_.end()) return;
  if (ack->stale()) {
    held_.erase(held);
    return;
  }
  held->second.acked = std::max(held->second.acked, ack->durable_sequence());
}

}  // namespace allometry::testing
