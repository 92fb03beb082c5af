#include "base/atomic_file.h"

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

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::ElementsAre;

class AtomicFileTest : public ::testing::Test {
 protected:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  const allometry::testing::TemporaryFolder folder_;
};

TEST_F(AtomicFileTest, PiecesAreThereTogetherAfterCommit) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<AtomicFile> file,
                       AtomicFile::Create(folder_.Path("x")));
  ASSERT_OK(file->Append("one "));
  ASSERT_OK(file->Append("two"));
  EXPECT_THAT(ReadFile(folder_.Path("x")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ReadFile(file->temporary_path()), IsOkAndHolds("one two"));
  ASSERT_OK(file->Commit());
  EXPECT_THAT(ReadFile(folder_.Path("x")), IsOkAndHolds("one two"));
  EXPECT_THAT(Names(), ElementsAre("x"));
}

TEST_F(AtomicFileTest, WithoutCommitTheOldFileStaysAlone) {
  ASSERT_OK(WriteFileAtomically(folder_.Path("x"), "old"));
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<AtomicFile> file,
                         AtomicFile::Create(folder_.Path("x")));
    ASSERT_OK(file->Append("new"));
  }
  EXPECT_THAT(ReadFile(folder_.Path("x")), IsOkAndHolds("old"));
  EXPECT_THAT(Names(), ElementsAre("x"));
}

}  // namespace
}  // namespace allometry
