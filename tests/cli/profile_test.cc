#include "cli/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::cli {
namespace {

using ::allometry::testing::TemporaryFolder;
using ::testing::HasSubstr;

class ProfileTest : public ::testing::Test {
 protected:
  std::string Written(const std::string& text) {
    const std::string path = folder_.Path("allometry.toml");
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    return path;
  }
  std::string Refused(const std::string& text, const std::string& name) {
    return std::string(ReadProfile(Written(text), name).status().message());
  }

  const TemporaryFolder folder_;
};

constexpr char kTwo[] =
    "# where to go\n"
    "profile = \"lab\"\n"
    "\n"
    "[lab]\n"
    "coordinator = \"gpu1:7070\"\n"
    "token_file = \"/home/me/lab token\"\n"
    "[home]\n"
    "data_dir = '/data'\n";

TEST_F(ProfileTest, ANamedProfileOrTheFilesOwnChoice) {
  const std::string file = Written(kTwo);
  const auto chosen = ReadProfile(file, "");
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->name, "lab");
  EXPECT_EQ(chosen->coordinator, "gpu1:7070");
  EXPECT_EQ(chosen->token_file, "/home/me/lab token");
  EXPECT_EQ(chosen->data_dir, "");
  const auto named = ReadProfile(file, "home");
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->coordinator, "");
  EXPECT_EQ(named->data_dir, "/data");
}

TEST_F(ProfileTest, NoFileIsNoProfileUnlessOneIsNamed) {
  const auto none = ReadProfile(folder_.Path("none.toml"), "");
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->name, "");
  EXPECT_EQ(ReadProfile(folder_.Path("none.toml"), "lab").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ProfileTest, MistakesNameTheFileThePlaceAndWhatIsAllowed) {
  EXPECT_THAT(Refused(kTwo, "work"), HasSubstr("has no profile [work]; it has home, lab"));
  EXPECT_THAT(
      Refused("[lab]\ncordinator = \"x\"\n", "lab"),
      HasSubstr("[lab] has an unknown key cordinator; allowed are coordinator, token_file"));
  EXPECT_THAT(Refused("coordinator = \"x\"\n", ""), HasSubstr("unknown key coordinator"));
  EXPECT_THAT(Refused("profile = \"gone\"\n", ""), HasSubstr("has no profile [gone]"));
}

}  // namespace
}  // namespace allometry::cli
