// Any bytes through every reader of files that a user gives: none may crash, and a refusal says
// something. For the fuzzer and for the test that replays and mutates files.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "absl/strings/string_view.h"
#include "base/check.h"
#include "data/documents.h"
#include "data/manifest.h"
#include "data/npy.h"
#include "data/token_file.h"
#include "data/trajectories.h"

namespace allometry::data {

inline constexpr absl::string_view kReaders = "nmbxtjh";

// `reader` is a letter of kReaders; `path` is written over.
inline void OpenBytes(char reader, absl::string_view bytes, const std::string& path) {
  const auto said = [](const absl::Status& status) {
    ALLO_CHECK(status.ok() || !status.message().empty());
  };
  if (reader == 'n') {
    const auto header = ParseNpyFront(bytes);
    said(header.status());
    if (header.ok()) {
      ALLO_CHECK(header->offset >= 10 && header->offset <= static_cast<int64_t>(bytes.size()));
      ALLO_CHECK(header->count >= 0 && header->count < int64_t{1} << 56);
    }
    return said(ParseNpyHeader(bytes).status());
  }
  if (reader == 'm') {
    const auto manifest = ParseManifest(bytes);
    said(manifest.status());
    if (manifest.ok()) said(ParseManifest(ManifestJson(*manifest)).status());
    return;
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (reader == 'b' || reader == 'x') {
    const auto file = InputFile::Open(path);
    if (!file.ok()) return said(file.status());
    constexpr int64_t kVocabulary = 50257;
    const auto layout = LayoutOfTokens(*file, reader == 'b' ? "auto" : "i64", kVocabulary);
    if (!layout.ok()) return said(layout.status());
    const auto read = ReadTokens(*file, *layout, kVocabulary, [](std::span<const uint32_t> ids) {
      for (const uint32_t id : ids) ALLO_CHECK(id < kVocabulary);
      return absl::OkStatus();
    });
    return said(read);
  }
  if (reader == 't' || reader == 'j') {
    return said(ReadCorpus(path, reader == 't' ? "auto" : "jsonl").status());
  }
  const auto trajectories = TrajectoryReader::Open(path);
  if (!trajectories.ok()) return said(trajectories.status());
  for (int64_t i = 0; i < (*trajectories)->episodes() && i < 4; ++i) {
    const auto episode = (*trajectories)->Read(i);
    said(episode.status());
    if (!episode.ok()) continue;
    ALLO_CHECK(static_cast<int64_t>(episode->terminations.size()) == episode->steps());
    ALLO_CHECK(static_cast<int64_t>(episode->actions.size()) ==
               episode->steps() * episode->action_dimensions);
  }
}

}  // namespace allometry::data
