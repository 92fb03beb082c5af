#include "base/atomic_file.h"

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
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
using ::testing::UnorderedElementsAre;

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

TEST_F(AtomicFileTest, ANameThatIsTakenIsNotWrittenThrough) {
  ASSERT_OK(WriteFileAtomically(folder_.Path("other"), "another's"));
  std::string taken;
  {
    ASSERT_OK_AND_ASSIGN(const auto file, AtomicFile::Create(folder_.Path("x")));
    taken = file->temporary_path();
  }
  // The names that follow, as links to a file that is not to be touched.
  const size_t dot = taken.rfind('.');
  const int number = std::stoi(taken.substr(dot + 1));
  for (int i = 1; i <= 3; ++i) {
    std::filesystem::create_symlink("other", absl::StrCat(taken.substr(0, dot + 1), number + i));
  }
  ASSERT_OK_AND_ASSIGN(const auto file, AtomicFile::Create(folder_.Path("x")));
  ASSERT_OK(file->Append("new"));
  ASSERT_OK(file->Commit());
  EXPECT_THAT(ReadFile(folder_.Path("x")), IsOkAndHolds("new"));
  EXPECT_THAT(ReadFile(folder_.Path("other")), IsOkAndHolds("another's"));
}

TEST_F(AtomicFileTest, WhatAKilledProcessLeftIsRemovedWhatIsBeingWrittenStays) {
  const auto age = [](const std::string& path) {
    std::filesystem::last_write_time(
        path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  };
  for (const char* name : {"x.tmp.1.1", "y.tmp.1.1", "x.tmp"}) {
    ASSERT_OK(WriteFileAtomically(folder_.Path(name), "left"));
    age(folder_.Path(name));
  }
  ASSERT_OK(WriteFileAtomically(folder_.Path("x.tmp.1.2"), "young"));
  ASSERT_OK_AND_ASSIGN(const auto file, AtomicFile::Create(folder_.Path("x")));
  age(file->temporary_path());
  RemoveLeftTemporaries(folder_.Path("x"));
  EXPECT_THAT(Names(),
              UnorderedElementsAre("y.tmp.1.1", "x.tmp", "x.tmp.1.2",
                                   std::filesystem::path(file->temporary_path()).filename()));
}

}  // namespace
}  // namespace allometry
