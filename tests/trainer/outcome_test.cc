#include "worker/trainer/outcome.h"

#include <c10/util/Exception.h>

#include <memory>
#include <new>

#include "tests/testing/status_matchers.h"

namespace allometry::trainer {
namespace {

using ::allometry::testing::IsOk;
using run::ExitReason;
using ::testing::HasSubstr;

TEST(OutcomeTest, ReasonStaysWithTheStatusAndTheFirstOneCounts) {
  const absl::Status status = WithReason(ExitReason::kData, absl::NotFoundError("no shard"));
  EXPECT_EQ(ReasonOf(status), ExitReason::kData);
  EXPECT_EQ(status.message(), "no shard");
  EXPECT_EQ(ReasonOf(WithReason(ExitReason::kCheckpoint, status)), ExitReason::kData);
  EXPECT_THAT(WithReason(ExitReason::kData, absl::OkStatus()), IsOk());
}

TEST(OutcomeTest, StatusWithoutAReasonIsABugUnlessTheDiskIsFull) {
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), ExitReason::kBug);
  EXPECT_EQ(ReasonOf(absl::ResourceExhaustedError("x")), ExitReason::kDiskFull);
  EXPECT_EQ(ReasonOf(absl::UnavailableError("x")), ExitReason::kBug);
}

// What a collective says when another rank does not answer: nothing of this program is at fault.
TEST(OutcomeTest, LostPeerIsNodeLost) {
  EXPECT_EQ(ReasonOf(absl::AbortedError("no answer from rank 1 in 600 s")), ExitReason::kNodeLost);
}

TEST(OutcomeTest, MemoryThatRanOutIsOomAndAnythingElseABug) {
  EXPECT_EQ(ReasonOf(FromException(std::bad_alloc())), ExitReason::kOom);
  EXPECT_EQ(ReasonOf(FromException(std::runtime_error("CUDA out of memory. Tried to"))),
            ExitReason::kOom);
  const absl::Status bug = FromException(std::runtime_error("index 3 is out of range"));
  EXPECT_EQ(ReasonOf(bug), ExitReason::kBug);
  EXPECT_EQ(bug.message(), "index 3 is out of range");
}

TEST(OutcomeTest, AllocatorsMessageIsOomWithoutItsBacktrace) {
  absl::Status status;
  try {
    // What LibTorch does where an allocation fails, here one of 2^62 bytes.
    TORCH_CHECK(false,
                "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate "
                "memory: you tried to allocate 4611686018427387904 bytes.");
  } catch (const std::exception& error) {
    status = FromException(error);
  }
  EXPECT_EQ(ReasonOf(status), ExitReason::kOom);
  EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("frame #")));
}

TEST(OutcomeTest, AgreeOnOneRankKeepsReasonAndMessage) {
  const auto collective = comm::Create("self", {});
  ASSERT_THAT(collective, IsOk());
  EXPECT_THAT(Agree(**collective, absl::OkStatus()), IsOk());
  const absl::Status all =
      Agree(**collective, WithReason(ExitReason::kData, absl::NotFoundError("no shard")));
  EXPECT_EQ(ReasonOf(all), ExitReason::kData);
  EXPECT_EQ(all.message(), "no shard");
}

TEST(OutcomeTest, AgreeCutsALongMessageBetweenTwoCharacters) {
  const auto collective = comm::Create("self", {});
  ASSERT_THAT(collective, IsOk());
  std::string message;
  for (int i = 0; i < 2000; ++i) message += "\u00f6";  // two bytes each
  const absl::Status all = Agree(**collective, absl::NotFoundError(message));
  EXPECT_GT(all.message().size(), 2000u);
  EXPECT_EQ(all.message(), message.substr(0, (all.message().size() - 3) / 2 * 2) + "...");
}

}  // namespace
}  // namespace allometry::trainer
