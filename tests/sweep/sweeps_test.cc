// The sweep files of this repository are read and expanded, each against a dataset of its name.
#include "tests/sweep/sweeps.h"

#include <filesystem>
#include <set>
#include <string>

#include "base/files.h"
#include "coordinator/sweep/sweep_reader.h"
#include "data/generated.h"
#include "data/union_name.h"
#include "proto/run_choices.h"
#include "tests/testing/status_matchers.h"

namespace allometry::sweep {
namespace {

using ::testing::Ge;

TEST(SweepsTest, EveryFileOfTheFolderIsASweep) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(ALLO_SOURCE_DIR) + "/sweeps")) {
    if (entry.path().extension() != ".yaml") continue;
    ASSERT_OK_AND_ASSIGN(const std::string yaml, ReadFile(entry.path().string()));
    ASSERT_OK_AND_ASSIGN(const SweepFile file,
                         ParseSweepFile(yaml, entry.path().filename().string()));
    data::Manifest manifest = Words();
    // Datasets of frames that are recorded have the layout of generated ones.
    const std::string outcomes = file.objective == "world" ? ",outcomes=1" : "";
    const bool is_text = data::IsGenerated(file.dataset) && !data::IsUnion(file.dataset);
    const std::string generated = is_text           ? file.dataset
                                  : file.frames > 0 ? "strata:view=8,zo=64" + outcomes
                                                    : "";
    if (!generated.empty()) {
      ASSERT_OK_AND_ASSIGN(manifest, data::GeneratedManifest(generated));
    }
    if (file.tokenizer) {
      ASSERT_OK_AND_ASSIGN(
          manifest, data::GeneratedManifest("strata:view=16,pixels=32,frames=16" + outcomes));
      manifest.kind = data::DatasetKind::kTrajectories;
    }
    manifest.name = file.dataset;
    EXPECT_OK(Expand(file, manifest)) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 1);
}

TEST(SweepsTest, TheExampleOfTheDocumentationIsASweep) {
  ASSERT_OK_AND_ASSIGN(const std::string page,
                       ReadFile(std::string(ALLO_SOURCE_DIR) + "/docs/sweep-file.md"));
  const size_t begin = page.find("```yaml\n");
  ASSERT_NE(begin, std::string::npos);
  const std::string yaml = page.substr(begin + 8, page.find("```", begin + 8) - begin - 8);
  ASSERT_OK_AND_ASSIGN(const SweepFile file, ParseSweepFile(yaml, "docs/sweep-file.md"));
  data::Manifest manifest = Words();
  manifest.name = file.dataset;
  EXPECT_OK(Expand(file, manifest));
}

// The demo: eight sizes with a decay branch at each of six budgets, the largest size on two slots.
TEST(SweepsTest, QuickstartIsEightSizesOverSixBudgets) {
  ASSERT_OK_AND_ASSIGN(const std::string yaml,
                       ReadFile(std::string(ALLO_SOURCE_DIR) + "/sweeps/quickstart.yaml"));
  ASSERT_OK_AND_ASSIGN(const SweepFile file, ParseSweepFile(yaml, "sweeps/quickstart.yaml"));
  data::Manifest manifest = Words();
  manifest.name = file.dataset;
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, Expand(file, manifest));
  std::set<int64_t> sizes_of_runs;
  for (const auto& run : expansion.runs) sizes_of_runs.insert(run.n_params());
  ASSERT_EQ(sizes_of_runs.size(), 8u);
  std::set<int> depths;
  for (const auto& run : expansion.runs) depths.insert(run.spec().identity().shape().layers());
  EXPECT_EQ(depths.size(), 1u);  // one family: N alone tells the sizes apart
  EXPECT_GE(file.context, 16);
  EXPECT_EQ(file.budgets.size(), 6u);
  EXPECT_EQ(file.budgets.front().value, 8e10);
  EXPECT_EQ(file.budgets.back().value, 2.56e12);
  EXPECT_EQ(file.max_epochs, 2);
  for (size_t i = 1; i < expansion.runs.size(); ++i) {
    EXPECT_GE(expansion.runs[i].n_params(), expansion.runs[i - 1].n_params());
    EXPECT_LE(expansion.runs[i].spec().identity().learning_rate(),
              expansion.runs[i - 1].spec().identity().learning_rate());
  }
  EXPECT_EQ(expansion.runs.front().spec().ranks(), 1);
  EXPECT_EQ(expansion.runs.back().spec().ranks(), 2);
  // A frontier needs a minimum over sizes at three budgets or more.
  int budgets_with_five_sizes = 0;
  for (const Budget& budget : file.budgets) {
    int sizes = 0;
    for (const v1::Cell& cell : expansion.cells) sizes += cell.asked_flops() == budget.value;
    budgets_with_five_sizes += sizes >= 5;
  }
  EXPECT_THAT(budgets_with_five_sizes, Ge(3));
}

// Its header says what it costs; the dataset is large enough for every cell.
TEST(SweepsTest, WsdIsFourTrunksWithFourBranchesEach) {
  ASSERT_OK_AND_ASSIGN(const std::string yaml,
                       ReadFile(std::string(ALLO_SOURCE_DIR) + "/sweeps/wsd.yaml"));
  ASSERT_OK_AND_ASSIGN(const SweepFile file, ParseSweepFile(yaml, "sweeps/wsd.yaml"));
  data::Manifest manifest = Words();
  manifest.name = file.dataset;
  manifest.vocabulary = 96;
  ASSERT_OK_AND_ASSIGN(const Expansion expansion, Expand(file, manifest));
  ASSERT_EQ(expansion.runs.size(), 20u);
  EXPECT_EQ(expansion.cells.size(), 16u);
  int64_t shared = 0, separate = 0;
  int trunks = 0;
  for (const v1::Run& run : expansion.runs) {
    const v1::RunInput* trunk = TrunkOf(run.spec());
    shared += run.spec().steps() - (trunk == nullptr ? 0 : trunk->step());
    trunks += IsTrunk(run.spec());
  }
  for (const v1::Cell& cell : expansion.cells) separate += cell.step();
  EXPECT_EQ(trunks, 4);
  EXPECT_EQ(shared, 29'284);
  EXPECT_EQ(separate, 45'874);
}

}  // namespace
}  // namespace allometry::sweep
