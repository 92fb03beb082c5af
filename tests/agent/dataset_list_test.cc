#include "worker/agent/dataset_list.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"

namespace allometry::agent {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::PatternedTokens;
using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::allometry::testing::WriteTokenDataset;
using ::testing::AllOf;
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
    Settle(list_);
  }
  // Until every file that must be was read.
  static void Settle(DatasetList& list) {
    EXPECT_THAT(list.Refresh(), IsOk());
    for (int i = 0; i < 3000 && list.verifying(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      if (!list.Poll()) continue;
      EXPECT_THAT(list.Refresh(), IsOk());
    }
    EXPECT_FALSE(list.verifying());
  }
  static void Overwrite(const std::string& path, char byte) {
    const auto bytes = static_cast<size_t>(std::filesystem::file_size(path));
    std::ofstream(path, std::ios::binary) << std::string(bytes, byte);
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const v1::Dataset& dataset : list_.offered()) names.push_back(dataset.name());
    return names;
  }
  const TemporaryFolder folder_;
  std::string shard_;
  DatasetList list_{folder_.path(), folder_.path() + "/verified"};
};

TEST_F(DatasetListTest, OffersWhatIsThere) {
  EXPECT_THAT(Names(), ElementsAre("one", "two"));
  EXPECT_THAT(list_.offered()[0].hash(), SizeIs(16));
  EXPECT_THAT(list_.refused(), IsEmpty());
}

TEST_F(DatasetListTest, AShardOfTheRightSizeWithOtherBytesIsNotOfferedUntilRepaired) {
  std::filesystem::copy_file(shard_, shard_ + ".good");
  Overwrite(shard_, 'x');
  EXPECT_THAT(list_.CheckUnchanged("one"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("changed since it was verified")));
  EXPECT_THAT(list_.CheckUnchanged("two"), IsOk());
  EXPECT_THAT(list_.Refresh(), IsOk());
  EXPECT_THAT(Names(), ElementsAre("two")) << "not before it was read";
  Settle(list_);
  EXPECT_THAT(Names(), ElementsAre("two"));
  EXPECT_THAT(list_.refused(), ElementsAre(AllOf(HasSubstr(shard_), HasSubstr("has the hash"))));
  Settle(list_);
  EXPECT_THAT(Names(), ElementsAre("two")) << "still damaged";
  std::filesystem::rename(shard_ + ".good", shard_);
  Settle(list_);
  EXPECT_THAT(Names(), ElementsAre("one", "two"));
  EXPECT_THAT(list_.refused(), IsEmpty());
}

TEST_F(DatasetListTest, AChangeThatKeepsTheTimeOfTheContentsIsSeenToo) {
  const auto time = std::filesystem::last_write_time(shard_);
  Overwrite(shard_, 'x');
  std::filesystem::last_write_time(shard_, time);
  Settle(list_);
  EXPECT_THAT(Names(), ElementsAre("two"));
}

TEST_F(DatasetListTest, AShortShardAndAMissingOneAreNamed) {
  std::filesystem::resize_file(shard_, 100);
  Settle(list_);
  EXPECT_THAT(list_.refused(), ElementsAre(HasSubstr("has 100 bytes, the manifest says")));
  std::filesystem::remove(shard_);
  Settle(list_);
  EXPECT_THAT(list_.refused(), ElementsAre(HasSubstr(shard_)));
  EXPECT_THAT(Names(), ElementsAre("two"));
}

TEST_F(DatasetListTest, NothingIsOfferedWhileTheDataDirIsGone) {
  const std::string away = folder_.path() + "-away";
  std::filesystem::rename(folder_.path(), away);
  EXPECT_THAT(list_.Refresh(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(folder_.path())));
  EXPECT_THAT(Names(), IsEmpty());
  std::filesystem::rename(away, folder_.path());
  EXPECT_THAT(list_.Refresh(), IsOk());
  EXPECT_FALSE(list_.verifying()) << "the same files";
  EXPECT_THAT(Names(), ElementsAre("one", "two"));
}

TEST_F(DatasetListTest, AFolderThatIsReplacedIsAnotherDataset) {
  const std::string before = list_.offered()[0].hash();
  std::filesystem::rename(folder_.Path("one"), folder_.Path(".one.old"));
  EXPECT_THAT(list_.Refresh(), IsOk());
  EXPECT_THAT(Names(), ElementsAre("two"));
  EXPECT_THAT(WriteTokenDataset(folder_.path(), "one", 16, PatternedTokens(900, 16),
                                PatternedTokens(90, 16)),
              IsOk());
  EXPECT_THAT(list_.CheckUnchanged("one"), IsOk()) << "not in the list yet";
  Settle(list_);
  EXPECT_THAT(Names(), ElementsAre("one", "two"));
  EXPECT_NE(list_.offered()[0].hash(), before);
}

TEST_F(DatasetListTest, WhatWasVerifiedIsRememberedUntilItIsSuspected) {
  DatasetList next(folder_.path(), folder_.path() + "/verified");
  EXPECT_THAT(next.Refresh(), IsOk());
  EXPECT_FALSE(next.verifying()) << "it reads again what another life read";
  EXPECT_THAT(next.offered(), SizeIs(2));
  next.Suspect();
  EXPECT_THAT(next.Refresh(), IsOk());
  EXPECT_TRUE(next.verifying());
  EXPECT_THAT(next.offered(), IsEmpty());
  Settle(next);
  EXPECT_THAT(next.offered(), SizeIs(2));
}

TEST_F(DatasetListTest, AMemoryThatIsNoJsonOfOursIsNothing) {
  for (const std::string text : {"", "{", "[1]", "{\"a\": 3}", "{\"a\": {\"hash\": 1}}",
                                 "{\"a\": {\"hash\": \"b\", \"identity\": [1, 2, 3, 4, \"\"]}}"}) {
    ASSERT_THAT(WriteFileAtomically(folder_.path() + "/verified", text), IsOk());
    DatasetList list(folder_.path(), folder_.path() + "/verified");
    Settle(list);
    EXPECT_THAT(list.offered(), SizeIs(2)) << text;
  }
}

TEST_F(DatasetListTest, ABadNeighbourIsNamedAndHidesNothing) {
  ASSERT_THAT(MakeDirectories(folder_.path() + "/half"), IsOk());
  ASSERT_THAT(WriteFileAtomically(folder_.path() + "/half/dataset.json", "{\"version\": "), IsOk());
  std::filesystem::copy(folder_.path() + "/one", folder_.path() + "/one-copy");
  Settle(list_);
  EXPECT_THAT(Names(), ElementsAre("one", "two"));
  EXPECT_THAT(list_.refused(),
              ElementsAre(AllOf(HasSubstr("half"), HasSubstr("is not offered")),
                          AllOf(HasSubstr("one-copy"), HasSubstr("rename the folder"))));
}

}  // namespace
}  // namespace allometry::agent
