#include "base/output_folder.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry {
namespace {

namespace fs = std::filesystem;
using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OutputFolderTest : public ::testing::Test {
 protected:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  // Made with one file in it.
  std::unique_ptr<OutputFolder> Make(const std::string& text) {
    absl::StatusOr<std::unique_ptr<OutputFolder>> folder = OutputFolder::Create(path_);
    EXPECT_OK(folder.status());
    EXPECT_OK(WriteFileAtomically((*folder)->temporary_path() + "/file", text));
    return *std::move(folder);
  }

  const allometry::testing::TemporaryFolder folder_;
  const std::string path_ = folder_.Path("set");
};

TEST_F(OutputFolderTest, IsThereWholeAfterCommitAndNotBefore) {
  {
    const std::unique_ptr<OutputFolder> folder = Make("one");
    EXPECT_FALSE(fs::exists(path_));
    ASSERT_OK(folder->Commit(false));
  }
  EXPECT_THAT(ReadFile(path_ + "/file"), IsOkAndHolds("one"));
  EXPECT_THAT(Names(), ElementsAre("set"));
}

TEST_F(OutputFolderTest, WithoutCommitTheOldOneStays) {
  ASSERT_OK(Make("old")->Commit(false));
  { Make("new"); }
  EXPECT_THAT(ReadFile(path_ + "/file"), IsOkAndHolds("old"));
  EXPECT_THAT(Names(), ElementsAre("set"));
}

TEST_F(OutputFolderTest, ReplacesOnlyWhenAsked) {
  ASSERT_OK(Make("old")->Commit(false));
  EXPECT_THAT(Make("new")->Commit(false), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(ReadFile(path_ + "/file"), IsOkAndHolds("old"));
  ASSERT_OK(Make("new")->Commit(true));
  EXPECT_THAT(ReadFile(path_ + "/file"), IsOkAndHolds("new"));
  EXPECT_THAT(Names(), ElementsAre("set"));
}

TEST_F(OutputFolderTest, BehindALinkTheTargetIsReplaced) {
  fs::create_directory(folder_.Path("real"));
  fs::create_directory_symlink("real", path_);
  ASSERT_OK(Make("new")->Commit(true));
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_THAT(ReadFile(folder_.Path("real") + "/file"), IsOkAndHolds("new"));
}

TEST_F(OutputFolderTest, AFolderThatCannotBeMadeIsAnError) {
  ASSERT_OK(WriteFileAtomically(folder_.Path("file"), "x"));
  EXPECT_THAT(OutputFolder::Create(folder_.Path("file") + "/set"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Names(), ElementsAre("file"));
}

}  // namespace
}  // namespace allometry
