#include "worker/agent/dataset_list.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::PatternedTokens;
using ::allometry::testing::TemporaryFolder;
using ::allometry::testing::WriteTokenDataset;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DatasetListTest : public ::testing::Test {
 protected:
  DatasetListTest() {
    for (const std::string name : {"one", "two"}) {
      EXPECT_THAT(WriteTokenDataset(folder_.path(), name, 16, PatternedTokens(600, 16),
                                    PatternedTokens(90, 16)),
                  IsOk());
    }
    shard_ = folder_.path() + "/one/" + data::ReadManifest(folder_.path(), "one")->shards[0].file;
    EXPECT_THAT(list_.Refresh(), IsOk());
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const v1::Dataset& dataset : list_.offered()) names.push_back(dataset.name());
    return names;
  }
  const TemporaryFolder folder_;
  std::string shard_;
  DatasetList list_{folder_.path()};
};

TEST_F(DatasetListTest, OffersWhatIsThere) {
  EXPECT_THAT(Names(), ElementsAre("one", "two"));
  EXPECT_THAT(list_.offered()[0].hash(), SizeIs(16));
  EXPECT_THAT(list_.refused(), IsEmpty());
}

TEST_F(DatasetListTest, AfterADataFailureWhatIsDamagedIsNotOfferedUntilRepaired) {
  std::filesystem::copy_file(shard_, shard_ + ".good");
  std::filesystem::resize_file(shard_, 100);
  EXPECT_THAT(list_.Refresh(), IsOk());
  EXPECT_THAT(Names(), ElementsAre("one", "two")) << "not looked at without a reason";
  list_.Suspect();
  EXPECT_THAT(list_.Refresh(), IsOk());
  EXPECT_THAT(Names(), ElementsAre("two"));
  EXPECT_THAT(list_.refused(), ElementsAre(HasSubstr("has 100 bytes, the manifest says")));
  EXPECT_THAT(list_.Refresh(), IsOk());
  EXPECT_THAT(Names(), ElementsAre("two")) << "still damaged";
  std::filesystem::rename(shard_ + ".good", shard_);
  EXPECT_THAT(list_.Refresh(), IsOk());
  EXPECT_THAT(Names(), ElementsAre("one", "two"));
  EXPECT_THAT(list_.refused(), IsEmpty());
}

TEST_F(DatasetListTest, ANewDatasetIsOfferedOnlyWithItsFiles) {
  DatasetList fresh(folder_.path());
  std::filesystem::remove(shard_);
  EXPECT_THAT(fresh.Refresh(), IsOk());
  EXPECT_THAT(fresh.offered(), SizeIs(1));
  EXPECT_THAT(fresh.refused(), ElementsAre(HasSubstr(shard_)));
}

}  // namespace
}  // namespace allometry::agent
