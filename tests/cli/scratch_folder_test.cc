#include "cli/scratch_folder.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::cli {
namespace {

using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ScratchFolderTest : public ::testing::Test {
 protected:
  ScratchFolderTest() { setenv("TMPDIR", folder_.path().c_str(), 1); }
  ~ScratchFolderTest() override { unsetenv("TMPDIR"); }
  std::vector<std::string> Folders() const {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      paths.push_back(entry.path().string());
    }
    return paths;
  }
  const testing::TemporaryFolder folder_;
};

TEST_F(ScratchFolderTest, IsRemovedWithTheObjectAndLeavesThoseInUse) {
  ASSERT_OK_AND_ASSIGN(const auto first, ScratchFolder::Make("allo-plan"));
  {
    ASSERT_OK_AND_ASSIGN(const auto second, ScratchFolder::Make("allo-plan"));
    EXPECT_OK(WriteFileAtomically(second->path() + "/errors-0", "x"));
    EXPECT_THAT(Folders(), UnorderedElementsAre(first->path(), second->path()));
  }
  EXPECT_THAT(Folders(), UnorderedElementsAre(first->path()));
}

TEST_F(ScratchFolderTest, WhatAKilledProgramLeftIsRemovedByTheNextOne) {
  const pid_t child = fork();
  if (child == 0) {
    const auto made = ScratchFolder::Make("allo-plan");
    if (made.ok()) WriteFileAtomically((*made)->path() + "/errors-0", "x").IgnoreError();
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(Folders(), SizeIs(1));
  // Of another name, and so of another program.
  ASSERT_OK(MakeDirectories(folder_.Path("allo-planner")));
  { ASSERT_OK_AND_ASSIGN(const auto next, ScratchFolder::Make("allo-plan")); }
  EXPECT_THAT(Folders(), UnorderedElementsAre(folder_.Path("allo-planner")));
}

}  // namespace
}  // namespace allometry::cli
