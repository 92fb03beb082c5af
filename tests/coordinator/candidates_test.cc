// What a sweep could be given next, where its grid reads a tokenizer's tokens.
#include "coordinator/results/candidates.h"

#include <set>
#include <string>

#include "coordinator/sweep/sweep_reader.h"
#include "gmock/gmock.h"
#include "tests/sweep/sweeps.h"
#include "tests/testing/status_matchers.h"

namespace allometry::coordinator {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTokenized[] = R"(name: demo
dataset: walk
model: {frames: 2, sizes: [5k, 10k, 20k, 40k, 80k]}
tokenizer: {grid: 4, codebook: 32, width: 16, steps: 200, batch_images: 16, learning_rate: 2e-3}
training: {batch_sequences: 16, objective: observation, warmup_steps: 10, learning_rate: 3e-3}
budgets: {tokens: [20k, 200k]}
max_epochs: 1000
)";

// With the files that make it a whole manifest.
data::Manifest Walk() {
  data::Manifest manifest = sweep::Walk();
  manifest.documents = 1100;
  const std::string hash = "0123456789abcdef";
  manifest.shards = {
      {"train.npy", "train", "u16", manifest.unique_tokens, 2 * manifest.unique_tokens + 128, hash},
      {"heldout.npy", "heldout", "u16", manifest.heldout_tokens, 2 * manifest.heldout_tokens + 128,
       hash},
      {"train-images.npy", "train", "u8", 20'000, 61'440'128, hash, "images"},
      {"heldout-images.npy", "heldout", "u8", 2'000, 6'144'128, hash, "images"}};
  return manifest;
}

// The whole of it trained.
absl::StatusOr<TrainedSweep> Trained() {
  store::SweepSource source;
  source.file_name = "demo.yaml";
  source.text = kTokenized;
  source.manifest_json = data::ManifestJson(Walk());
  ALLO_ASSIGN_OR_RETURN(const data::Manifest manifest, data::ParseManifest(source.manifest_json));
  ALLO_ASSIGN_OR_RETURN(const sweep::SweepFile file,
                        sweep::ParseSweepFile(source.text, source.file_name));
  ALLO_ASSIGN_OR_RETURN(const sweep::Expansion expansion, sweep::Expand(file, manifest));
  store::StoredSweep stored;
  stored.sweep = expansion.sweep;
  stored.runs = expansion.runs;
  stored.cells = expansion.cells;
  for (v1::Run& run : stored.runs) run.set_state(v1::RUN_SUCCEEDED);
  return ReadTrainedSweep(std::move(stored), source);
}

TEST(CandidatesTest, TheTokenizerIsNeitherPaidAgainNorContinued) {
  ASSERT_OK_AND_ASSIGN(const TrainedSweep sweep, Trained());
  EXPECT_EQ(sweep.sizes.size(), 5u) << "the tokenizer is no size";
  const std::vector<BuiltCandidate> candidates = CandidatesOf(sweep, 10 * sweep.most_flops);
  ASSERT_GT(candidates.size(), 5u);
  int grown = 0, made = 0;
  for (const BuiltCandidate& candidate : candidates) {
    ASSERT_EQ(candidate.expansion.runs.size(), 2u);
    EXPECT_EQ(candidate.expansion.runs[0].stage(), "tokenizer");
    const v1::Run& run = candidate.expansion.runs[1];
    EXPECT_LE(candidate.cell.flops(), candidate.expansion.cells[0].flops());
    bool stored = false;
    for (const v1::Run& old : sweep.stored.runs) stored |= old.key() == run.key();
    grown += stored;
    made += !stored;
    EXPECT_THAT(candidate.cell.note(), HasSubstr(stored ? "continues run " : "a new size"));
    EXPECT_THAT(candidate.cell.note(), Not(EndsWith("continues run 1")));
  }
  EXPECT_GT(grown, 0);
  EXPECT_GT(made, 0);
}

TEST(CandidatesTest, TogetherTheyHaveTheTokenizerOnce) {
  ASSERT_OK_AND_ASSIGN(const TrainedSweep sweep, Trained());
  const std::vector<BuiltCandidate> candidates = CandidatesOf(sweep, 10 * sweep.most_flops);
  std::set<std::string> sizes;
  std::vector<const BuiltCandidate*> chosen;
  for (const BuiltCandidate& candidate : candidates) {
    if (sizes.insert(candidate.candidate.curve).second) chosen.push_back(&candidate);
  }
  ASSERT_GT(chosen.size(), 2u);
  const sweep::Expansion together = CombineCandidates(chosen);
  EXPECT_EQ(together.runs.size(), 1 + chosen.size());
  EXPECT_EQ(together.cells.size(), chosen.size());
  for (const v1::Cell& cell : together.cells) {
    EXPECT_EQ(together.runs[static_cast<size_t>(cell.run_id() - 1)].size(), cell.size());
  }
}

}  // namespace
}  // namespace allometry::coordinator
