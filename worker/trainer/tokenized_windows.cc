#include "worker/trainer/tokenized_windows.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/files.h"
#include "data/dataset_writer.h"
#include "data/generated.h"
#include "data/generated_windows.h"
#include "data/staged_folder.h"
#include "data/tokenized_manifest.h"
#include "data/union.h"
#include "data/windows.h"
#include "worker/trainer/tokenizer_file.h"

namespace allometry::trainer {
namespace {

// Of frames that are encoded together. Part of the tokens: do not change.
constexpr int64_t kGroupFrames = 64;

// A frame from the source's tokens and the codes of its image.
absl::Status PutFrame(const data::Manifest& source, const data::Manifest& tokenized,
                      std::span<const int32_t> from, std::span<const int32_t> codes,
                      std::span<int32_t> to) {
  std::copy(codes.begin(), codes.end(), to.begin());
  const auto rest = static_cast<size_t>(tokenized.frames->tokens_per_frame() -
                                        tokenized.frames->tokens_per_observation);
  return data::RenumberAfterObservation(source, tokenized, from.last(rest), to.last(rest));
}

// ---- generated datasets ----------------------------------------------------------------------

class EncodedSource final : public data::WindowSource {
 public:
  EncodedSource(std::unique_ptr<data::WindowSource> windows,
                std::shared_ptr<const TokenizerFile> file, data::Manifest source,
                data::Manifest tokenized, int64_t window_frames)
      : windows_(std::move(windows)),
        file_(std::move(file)),
        source_(std::move(source)),
        tokenized_(std::move(tokenized)),
        frames_(window_frames) {}

  absl::Status Fill(int64_t first, int64_t count, std::span<int32_t> inputs,
                    std::span<int32_t> targets) const override {
    const data::Frames& old = *source_.frames;
    const int64_t old_frame = old.tokens_per_frame(), frame = tokenized_.frames->tokens_per_frame();
    const int64_t image = old.image_height * old.image_width * old.image_channels;
    const auto context = static_cast<size_t>(frames_ * frame);
    ALLO_CHECK(inputs.size() == static_cast<size_t>(count) * context) << inputs.size();
    std::vector<int32_t> tokens(static_cast<size_t>(frames_ * old_frame)), unused(tokens.size());
    std::vector<uint8_t> images(static_cast<size_t>(frames_ * image));
    const int64_t places = tokenized_.frames->tokens_per_observation;
    std::vector<int32_t> codes(static_cast<size_t>(frames_ * places));
    for (int64_t row = 0; row < count; ++row) {
      ALLO_RETURN_IF_ERROR(windows_->Fill(first + row, 1, tokens, unused));
      ALLO_RETURN_IF_ERROR(windows_->FillImages(first + row, 1, images));
      file_->tokenizer->Encode(images, codes);
      const std::span<int32_t> input = inputs.subspan(row * context, context);
      for (int64_t t = 0; t < frames_; ++t) {
        ALLO_RETURN_IF_ERROR(PutFrame(
            source_, tokenized_, std::span(tokens).subspan(t * old_frame, old_frame),
            std::span(codes).subspan(t * places, places), input.subspan(t * frame, frame)));
      }
      const std::span<int32_t> target = targets.subspan(row * context, context);
      std::copy(input.begin() + 1, input.end(), target.begin());
      target.back() = -1;
    }
    return absl::OkStatus();
  }

  absl::Status FillImages(int64_t first, int64_t count, std::span<uint8_t> images) const override {
    return windows_->FillImages(first, count, images);
  }

 private:
  const std::unique_ptr<data::WindowSource> windows_;
  const std::shared_ptr<const TokenizerFile> file_;
  const data::Manifest source_, tokenized_;
  const int64_t frames_;  // of a window
};

absl::StatusOr<data::WindowSources> OpenEncoded(std::shared_ptr<const TokenizerFile> file,
                                                const data::Manifest& manifest,
                                                const data::Manifest& tokenized,
                                                const data::WindowOptions& options) {
  const int64_t window_frames = options.context / tokenized.frames->tokens_per_frame();
  data::WindowOptions of_source = options;
  of_source.context = window_frames * manifest.frames->tokens_per_frame();
  ALLO_ASSIGN_OR_RETURN(data::WindowSources sources, data::OpenGenerated(manifest.name, of_source));
  for (std::unique_ptr<data::WindowSource>* split : {&sources.train, &sources.heldout}) {
    *split = std::make_unique<EncodedSource>(std::move(*split), file, manifest, tokenized,
                                             window_frames);
  }
  sources.manifest = tokenized;
  return sources;
}

// ---- datasets of files -----------------------------------------------------------------------

// The tokens of a split, in groups, to the writer.
absl::Status EncodeSplit(const TokenizerFile& file, const data::Manifest& source,
                         const data::Manifest& tokenized, const data::TokenStream& tokens,
                         const data::ImageStream& images, const std::string& split,
                         data::DatasetWriter& writer) {
  const int64_t old_frame = source.frames->tokens_per_frame();
  const int64_t frame = tokenized.frames->tokens_per_frame();
  const int64_t places = tokenized.frames->tokens_per_observation;
  std::vector<uint8_t> pixels(static_cast<size_t>(kGroupFrames * images.bytes_per_frame()));
  std::vector<int32_t> codes(static_cast<size_t>(kGroupFrames * places));
  std::vector<int32_t> old_tokens(static_cast<size_t>(kGroupFrames * old_frame));
  std::vector<int32_t> new_tokens(static_cast<size_t>(kGroupFrames * frame));
  for (int64_t first = 0; first < images.frames(); first += kGroupFrames) {
    const int64_t count = std::min(kGroupFrames, images.frames() - first);
    // The last group is filled up with black images.
    std::fill(pixels.begin(), pixels.end(), uint8_t{0});
    images.Read(first, count, std::span(pixels).first(count * images.bytes_per_frame()));
    ALLO_RETURN_IF_ERROR(
        tokens.Read(first * old_frame, std::span(old_tokens).first(count * old_frame)));
    file.tokenizer->Encode(pixels, codes);
    for (int64_t t = 0; t < count; ++t) {
      ALLO_RETURN_IF_ERROR(PutFrame(source, tokenized,
                                    std::span(old_tokens).subspan(t * old_frame, old_frame),
                                    std::span(codes).subspan(t * places, places),
                                    std::span(new_tokens).subspan(t * frame, frame)));
    }
    const std::vector<uint32_t> written(new_tokens.begin(), new_tokens.begin() + count * frame);
    ALLO_RETURN_IF_ERROR(writer.Append(split, written));
  }
  return absl::OkStatus();
}

absl::Status MakeTokens(const TokenizerFile& file, const std::string& dataset_dir,
                        const data::Manifest& tokenized, const std::string& folder) {
  ALLO_ASSIGN_OR_RETURN(const data::TokenDataset dataset, data::TokenDataset::Open(dataset_dir));
  data::DatasetWriter writer(folder, data::NarrowestType(tokenized.vocabulary));
  ALLO_RETURN_IF_ERROR(writer.Open());
  ALLO_RETURN_IF_ERROR(EncodeSplit(file, dataset.manifest(), tokenized, dataset.train(),
                                   dataset.train_images(), "train", writer));
  ALLO_RETURN_IF_ERROR(EncodeSplit(file, dataset.manifest(), tokenized, dataset.heldout(),
                                   dataset.heldout_images(), "heldout", writer));
  return writer.Finish(tokenized).status();
}

// Whether the folder holds just these tokens, whole.
bool HoldsTokens(const std::string& folder, const data::Manifest& tokenized) {
  const auto found = data::TokenDataset::Open(folder, data::TokenDataset::Check::kHashes);
  return found.ok() && found->manifest().tokenizer_hash == tokenized.tokenizer_hash &&
         found->manifest().source == tokenized.source &&
         found->manifest().vocabulary == tokenized.vocabulary &&
         found->manifest().unique_tokens == tokenized.unique_tokens &&
         found->manifest().heldout_tokens == tokenized.heldout_tokens;
}

}  // namespace

absl::StatusOr<data::WindowSources> OpenTokenized(const std::string& run_dir,
                                                  const std::string& data_dir,
                                                  const run::RunInput& input,
                                                  const data::Manifest& manifest,
                                                  const data::WindowOptions& options) {
  ALLO_ASSIGN_OR_RETURN(TokenizerFile read, ReadTokenizer(run_dir, input));
  const auto file = std::make_shared<const TokenizerFile>(std::move(read));
  const models::Shape& shape = file->shape;
  ALLO_ASSIGN_OR_RETURN(data::Manifest tokenized,
                        data::TokenizedManifest(manifest, {.tokens_per_observation = shape.context,
                                                           .codes = shape.vocabulary,
                                                           .tokenizer_hash = file->hash}));
  const data::Frames& frames = *manifest.frames;
  if (frames.image_height != shape.image_height || frames.image_width != shape.image_width ||
      frames.image_channels != shape.image_channels) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "dataset %s has images of %d x %d x %d; the tokenizer's are %d x %d x %d", manifest.name,
        frames.image_height, frames.image_width, frames.image_channels, shape.image_height,
        shape.image_width, shape.image_channels));
  }
  if (manifest.kind == data::DatasetKind::kUnion) {
    // Each member's tokens are made once, whichever unions it is in.
    return data::OpenMembers(
        tokenized, options,
        [&](const std::string& member,
            const data::WindowOptions& own) -> absl::StatusOr<data::WindowSources> {
          ALLO_ASSIGN_OR_RETURN(const data::Manifest found, data::FindManifest(data_dir, member));
          return OpenTokenized(run_dir, data_dir, input, found, own);
        });
  }
  if (!manifest.has_files()) return OpenEncoded(file, manifest, tokenized, options);

  // By hashes alone: runs of several sweeps may have the same file from different runs.
  tokenized.source = absl::StrFormat("dataset %s (%s) through tokenizer %s", manifest.name,
                                     manifest.hash, file->hash);
  tokenized.generator = "allo-trainer";
  const std::string folder =
      absl::StrFormat("%s/../tokens/%s-%s", run_dir, manifest.hash, file->hash);
  ALLO_RETURN_IF_ERROR(MakeDirectories(folder));
  {
    ALLO_ASSIGN_OR_RETURN(const data::FolderLock lock, data::FolderLock::Acquire(folder));
    if (!HoldsTokens(folder, tokenized)) {
      ALLO_RETURN_IF_ERROR(
          MakeTokens(*file, absl::StrCat(data_dir, "/", manifest.name), tokenized, folder));
    }
  }
  return data::OpenWindows(folder, options);
}

}  // namespace allometry::trainer
