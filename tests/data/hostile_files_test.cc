// Good files with bytes changed, cut off, doubled: every reader returns. Under AddressSanitizer in
// `make check`; tests/data/fuzz_data.cc looks for more.
#include <algorithm>
#include <string>

#include "base/files.h"
#include "base/split_mix.h"
#include "gtest/gtest.h"
#include "tests/data/open_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"

namespace allometry::data {
namespace {

using ::allometry::testing::TemporaryFolder;

// The `round`-th change of `good`, the same each time.
std::string Changed(std::string bytes, uint64_t round) {
  uint64_t state = SplitMix(round);
  const auto next = [&](size_t below) {
    state = SplitMix(state);
    return below == 0 ? 0 : static_cast<size_t>(state % below);
  };
  const size_t changes = 1 + next(4);
  for (size_t i = 0; i < changes && !bytes.empty(); ++i) {
    const size_t at = next(bytes.size());
    switch (next(6)) {
      case 0:
        bytes[at] ^= static_cast<char>(1u << next(8));
        break;
      case 1:
        bytes[at] = static_cast<char>(next(256));
        break;
      case 2:
        bytes.replace(at, 8, std::string(8, next(2) == 0 ? '\xFF' : '\0'));
        break;
      case 3:
        bytes.resize(at);
        break;
      case 4:
        bytes.insert(at, bytes.substr(next(bytes.size()), next(64)));
        break;
      default:
        bytes.erase(at, next(16));
    }
  }
  return bytes;
}

class HostileFilesTest : public ::testing::Test {
 protected:
  void Mutate(char reader, const std::string& good, uint64_t rounds) {
    OpenBytes(reader, good, folder_.Path("good"));
    for (uint64_t round = 0; round < rounds; ++round) {
      SCOPED_TRACE(round);
      OpenBytes(reader, Changed(good, round), folder_.Path("changed"));
    }
  }
  TemporaryFolder folder_;
};

TEST_F(HostileFilesTest, Npy) {
  Mutate('n', EncodeNpy(TokenType::kU16, std::vector<uint32_t>{1, 2, 3}), 20'000);
}

TEST_F(HostileFilesTest, TokenFiles) {
  const std::string npy = EncodeNpy(TokenType::kU16, std::vector<uint32_t>{1, 2, 3});
  std::string llmc(1024, '\0');
  llmc.replace(0, 12, std::string("\x88\xD8\x34\x01\x01\0\0\0\x03\0\0\0", 12));
  for (const char reader : {'b', 'x'}) {
    Mutate(reader, npy, 2000);
    Mutate(reader, llmc + std::string("\1\0\2\0\3\0", 6), 2000);
    Mutate(reader, std::string(64, '\x07'), 2000);
  }
}

TEST_F(HostileFilesTest, Manifests) {
  const std::vector<uint32_t> tokens = {0, 1, 0};
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, allometry::testing::WriteTokenDataset(
                                                    folder_.path(), "a", 2, tokens, tokens));
  Mutate('m', ManifestJson(manifest), 20'000);
}

TEST_F(HostileFilesTest, Texts) {
  Mutate('t', "A paragraph.\n\nAnother \xC3\xA9ne.\r\n\r\n{\"text\": \"x\"}\n", 5000);
  Mutate('j', "{\"text\": \"one\", \"id\": [1, {}]}\n{\"text\": \"two\"}\n", 5000);
}

TEST_F(HostileFilesTest, Trajectories) {
  const std::string path = folder_.Path("t.hdf5");
  ASSERT_OK_AND_ASSIGN(const auto writer, TrajectoryWriter::Create(path));
  Trajectory t;
  t.observation_shape = {2};
  t.observations = {1, 2, 3, 4, 5, 6};
  t.actions = {0, 1};
  t.rewards = {0, 1};
  t.terminations = {0, 1};
  t.truncations = {0, 0};
  ASSERT_OK(writer->Append(t));
  ASSERT_OK(writer->Finish());
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(path));
  Mutate('h', good, 3000);
}

}  // namespace
}  // namespace allometry::data
