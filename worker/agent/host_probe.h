// Whether hosts answer: asked where a launcher failed without a word of the trainer, because a host
// that lost its power looks just so.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "worker/agent/trainer_process.h"

namespace allometry::agent {

struct AttemptContext;

class HostProbe {
 public:
  // Starts the launcher's probe of each host; null where there is no other host to ask.
  static std::unique_ptr<HostProbe> Start(const AttemptContext& context,
                                          const std::vector<std::string>& hosts);

  // True once each has answered or had kPatienceMs; `now_ns` on the boot clock. Call often.
  bool Done(int64_t now_ns);
  // Those that did not answer, and those that did. Meaningful once Done().
  const std::vector<std::string>& lost() const { return lost_; }
  const std::vector<std::string>& answered() const { return answered_; }

  static constexpr int64_t kPatienceMs = 10'000;

 private:
  struct Asked {
    std::string host;
    std::unique_ptr<TrainerProcess> process;  // null: it has ended
    bool killed = false;
  };

  std::vector<Asked> asked_;
  int64_t kill_at_ns_ = 0;
  std::vector<std::string> lost_, answered_;
};

}  // namespace allometry::agent
