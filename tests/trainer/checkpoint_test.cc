#include "worker/trainer/checkpoint.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "base/files.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "worker/trainer/safetensors.h"

namespace allometry::trainer {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    identity_.shape = {"gpt", 2, 2, 8, 4, 10};
    identity_.dataset = "d";
    identity_.batch_tokens = 8;
    identity_.learning_rate = 0.1;
    layout_ = *models::LayoutOf({"gpt", 2, 2, 8, 4, 10});
    parameters_.resize(static_cast<size_t>(layout_.size));
    std::iota(parameters_.begin(), parameters_.end(), 0.5f);
    exp_avg_.assign(parameters_.size(), 1e-40f);  // denormal
    exp_avg_sq_.assign(parameters_.size(), -2.0f);
    std::filesystem::create_directories(folder_.Path("attempt-3"));
  }
  absl::StatusOr<run::CheckpointRecord> Write() {
    return WriteCheckpoint(folder_.path(), 3, progress_, identity_, layout_,
                           {parameters_, exp_avg_, exp_avg_sq_});
  }

  testing::TemporaryFolder folder_;
  run::Identity identity_;
  models::ParameterLayout layout_;
  std::vector<float> parameters_, exp_avg_, exp_avg_sq_;
  const Progress progress_ = {1200, 9600, 0.1 + 0.2, 7};
};

TEST_F(CheckpointTest, EverythingComesBackBitForBit) {
  ASSERT_OK_AND_ASSIGN(const run::CheckpointRecord record, Write());
  EXPECT_EQ(record.step, 1200);
  EXPECT_EQ(record.file, "attempt-3/checkpoint-000000001200.safetensors");
  EXPECT_EQ(record.hash, *HashFileHex(folder_.Path(record.file)));

  std::vector<float> parameters(parameters_.size()), exp_avg(parameters_.size()),
      exp_avg_sq(parameters_.size());
  ASSERT_OK_AND_ASSIGN(const Progress progress,
                       ReadCheckpoint(folder_.path(), {3, 1200, record.file, record.hash},
                                      identity_, layout_, {parameters, exp_avg, exp_avg_sq}));
  EXPECT_EQ(progress.step, 1200);
  EXPECT_EQ(progress.tokens, 9600);
  EXPECT_EQ(progress.train_loss_sum, 0.1 + 0.2);
  EXPECT_EQ(progress.train_loss_count, 7);
  EXPECT_EQ(parameters, parameters_);
  EXPECT_EQ(exp_avg, exp_avg_);
  EXPECT_EQ(exp_avg_sq, exp_avg_sq_);
}

TEST_F(CheckpointTest, TensorsHaveNanoGptsNamesAndShapes) {
  ASSERT_OK_AND_ASSIGN(const run::CheckpointRecord record, Write());
  ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                       SafetensorsFile::Open(folder_.Path(record.file)));
  std::vector<float> values(3 * 8 * 8);
  EXPECT_THAT(file.Read("transformer.h.1.attn.c_attn.weight", {24, 8}, values), IsOk());
  EXPECT_THAT(file.Read("optimizer.exp_avg.transformer.h.1.attn.c_attn.weight", {24, 8}, values),
              IsOk());
  values.resize(10 * 8);
  EXPECT_THAT(file.Read("transformer.wte.weight", {10, 8}, values), IsOk());
  EXPECT_EQ(*file.MetadataValue("step"), "1200");
  EXPECT_EQ(*file.MetadataValue("identity"), run::IdentityJson(identity_));
}

TEST_F(CheckpointTest, AnotherShapesCheckpointIsRefused) {
  ASSERT_OK_AND_ASSIGN(const run::CheckpointRecord record, Write());
  // The same identity in words, another layout: what a hand-made file could do.
  const models::ParameterLayout layout = *models::LayoutOf({"gpt", 1, 2, 8, 4, 10});
  std::vector<float> buffer(static_cast<size_t>(layout.size));
  EXPECT_THAT(ReadCheckpoint(folder_.path(), {3, 1200, record.file, record.hash}, identity_, layout,
                             {buffer, buffer, buffer}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("tensors, not")));
}

}  // namespace
}  // namespace allometry::trainer
