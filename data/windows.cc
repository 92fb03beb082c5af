#include "data/windows.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/files.h"
#include "base/split_mix.h"

namespace allometry::data {

// Unmapped on destruction. The file must not shrink while it is mapped: datasets are never
// rewritten in place.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path) {
    // A pipe in the place of a shard would wait for its writer.
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return ErrnoStatus(path, "open");
    struct stat info {};
    absl::Status status;
    if (fstat(fd, &info) != 0) {
      status = ErrnoStatus(path, "stat");
    } else if (!S_ISREG(info.st_mode)) {
      status = absl::DataLossError(path + ": a file is expected, and this is none");
    } else if (info.st_size == 0) {
      status = absl::DataLossError(path + ": empty file");
    }
    if (!status.ok()) {
      close(fd);
      return status;
    }
    const size_t size = static_cast<size_t>(info.st_size);
    void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    const absl::Status mapped =
        data == MAP_FAILED ? ErrnoStatus(path, "memory-map") : absl::OkStatus();
    close(fd);
    ALLO_RETURN_IF_ERROR(mapped);
    return MappedFile(data, size);
  }
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != nullptr) munmap(data_, size_);
  }

  absl::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  MappedFile(void* data, size_t size) : data_(data), size_(size) {}
  void* data_;
  size_t size_;
};

namespace {

// A shard's file against its manifest entry; the header where they agree.
absl::StatusOr<NpyHeader> CheckShard(const Manifest& manifest, const Shard& shard,
                                     absl::string_view bytes, TokenDataset::Check check) {
  if (static_cast<int64_t>(bytes.size()) != shard.bytes) {
    return absl::DataLossError(
        absl::StrFormat("%d bytes, the manifest says %d", bytes.size(), shard.bytes));
  }
  absl::StatusOr<NpyHeader> header = ParseNpyArrayHeader(bytes);
  if (!header.ok()) return absl::DataLossError(header.status().message());
  std::vector<int64_t> shape = {shard.tokens};
  if (shard.role == "images") {
    shape.insert(shape.end(), {manifest.frames->image_height, manifest.frames->image_width,
                               manifest.frames->image_channels});
  }
  if (NameOf(header->type) != shard.dtype || header->shape != shape) {
    return absl::DataLossError(absl::StrFormat(
        "%s %s of %s, the manifest says %s of %s", absl::StrJoin(header->shape, " x "), shard.role,
        NameOf(header->type), absl::StrJoin(shape, " x "), shard.dtype));
  }
  const int64_t size = header->offset + header->count * BytesOf(header->type);
  if (size != shard.bytes) {
    return absl::DataLossError(
        absl::StrFormat("%d bytes where its header means %d", shard.bytes, size));
  }
  if (check == TokenDataset::Check::kHashes && HashHex(bytes) != shard.hash) {
    return absl::DataLossError(
        absl::StrFormat("its hash is %s, the manifest says %s", HashHex(bytes), shard.hash));
  }
  return header;
}

// Widens `out.size()` ids and returns the largest.
template <class Word>
uint32_t CopyIds(const std::byte* data, std::span<int32_t> out) {
  uint32_t largest = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    Word word;
    std::memcpy(&word, data + i * sizeof(Word), sizeof(word));
    largest = std::max(largest, static_cast<uint32_t>(word));
    out[i] = static_cast<int32_t>(word);
  }
  return largest;
}

uint32_t CopyIds(TokenType type, const std::byte* data, std::span<int32_t> out) {
  switch (type) {
    case TokenType::kU8:
      return CopyIds<uint8_t>(data, out);
    case TokenType::kU16:
      return CopyIds<uint16_t>(data, out);
    case TokenType::kU32:
      return CopyIds<uint32_t>(data, out);
  }
  ALLO_CHECK(false) << "unknown token type";
  return 0;
}

// Window number `position` into row `row` of the two matrices.
absl::Status FillRow(const TokenStream& stream, int64_t context, int64_t position, int64_t row,
                     std::span<int32_t> inputs, std::span<int32_t> targets) {
  const int64_t first = position * context;
  const size_t at = static_cast<size_t>(row * context);
  const size_t length = static_cast<size_t>(context);
  ALLO_RETURN_IF_ERROR(stream.Read(first, inputs.subspan(at, length)));
  const std::span<int32_t> target = targets.subspan(at, length);
  std::copy_n(inputs.begin() + static_cast<ptrdiff_t>(at) + 1, context - 1, target.begin());
  return stream.Read(first + context, target.last(1));
}

void CheckSpans(int64_t count, int64_t context, std::span<int32_t> inputs,
                std::span<int32_t> targets) {
  const size_t elements = static_cast<size_t>(count * context);
  ALLO_CHECK(count >= 0 && inputs.size() == elements && targets.size() == elements)
      << count << " windows of " << context << " need two spans of that size, not " << inputs.size()
      << " and " << targets.size();
}

absl::Status CheckWindows(const Manifest& manifest, absl::string_view split, int64_t tokens,
                          int64_t context) {
  if (context < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("context %d: allowed is 1 token or more", context));
  }
  if (WindowsPerEpoch(tokens, context) >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("dataset %s: the %s split has %d tokens, one window of context %d needs %d",
                      manifest.name, split, tokens, context, context + 1));
}

}  // namespace

absl::Status TokenStream::Read(int64_t first, std::span<int32_t> out) const {
  ALLO_CHECK(first >= 0 && first + static_cast<int64_t>(out.size()) <= size_)
      << "tokens " << first << " to " << first + static_cast<int64_t>(out.size()) << " of "
      << size_;
  auto piece = std::upper_bound(pieces_.begin(), pieces_.end(), first,
                                [](int64_t at, const Piece& p) { return at < p.end; });
  while (!out.empty()) {
    const size_t length = std::min(out.size(), static_cast<size_t>(piece->end - first));
    const int64_t offset = (first - piece->begin) * BytesOf(piece->type);
    const uint32_t largest = CopyIds(piece->type, piece->data + offset, out.first(length));
    if (largest >= vocabulary_) {
      return absl::DataLossError(absl::StrFormat("%s: token id %d, the vocabulary has %d ids",
                                                 piece->path, largest, vocabulary_));
    }
    out = out.subspan(length);
    first += static_cast<int64_t>(length);
    ++piece;
  }
  return absl::OkStatus();
}

void ImageStream::Read(int64_t first, int64_t count, std::span<uint8_t> out) const {
  ALLO_CHECK(first >= 0 && count >= 0 && first + count <= frames_ &&
             static_cast<int64_t>(out.size()) == count * bytes_per_frame_)
      << "images " << first << " to " << first + count << " of " << frames_ << " into "
      << out.size() << " bytes";
  auto piece = std::upper_bound(pieces_.begin(), pieces_.end(), first,
                                [](int64_t at, const Piece& p) { return at < p.end; });
  while (count > 0) {
    const int64_t taken = std::min(count, piece->end - first);
    const auto bytes = static_cast<size_t>(taken * bytes_per_frame_);
    std::memcpy(out.data(), piece->data + (first - piece->begin) * bytes_per_frame_, bytes);
    out = out.subspan(bytes);
    first += taken;
    count -= taken;
    ++piece;
  }
}

TokenDataset::TokenDataset() = default;
TokenDataset::TokenDataset(TokenDataset&&) noexcept = default;
TokenDataset& TokenDataset::operator=(TokenDataset&&) noexcept = default;
TokenDataset::~TokenDataset() = default;

absl::StatusOr<TokenDataset> TokenDataset::Open(const std::string& dataset_dir, Check check) {
  TokenDataset dataset;
  ALLO_ASSIGN_OR_RETURN(dataset.manifest_, ReadManifestFile(dataset_dir));
  if (!dataset.manifest_.has_files()) {
    return absl::FailedPreconditionError(
        absl::StrCat(dataset_dir, ": a generated dataset has no shards to open"));
  }
  dataset.train_.vocabulary_ = dataset.manifest_.vocabulary;
  dataset.heldout_.vocabulary_ = dataset.manifest_.vocabulary;
  for (const Shard& shard : dataset.manifest_.shards) {
    const std::string path = absl::StrCat(dataset_dir, "/", shard.file);
    ALLO_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
    const absl::StatusOr<NpyHeader> header =
        CheckShard(dataset.manifest_, shard, file.bytes(), check);
    if (!header.ok()) return Annotate(header.status(), path);
    dataset.Add(shard, *header,
                reinterpret_cast<const std::byte*>(file.bytes().data()) + header->offset, path);
    dataset.files_.push_back(std::move(file));
  }
  return dataset;
}

void TokenDataset::Add(const Shard& shard, const NpyHeader& header, const std::byte* data,
                       std::string path) {
  const bool train = shard.split == "train";
  if (shard.role == "tokens") {
    TokenStream& stream = train ? train_ : heldout_;
    stream.pieces_.push_back({.data = data,
                              .type = header.type,
                              .begin = stream.size_,
                              .end = stream.size_ + header.count,
                              .path = std::move(path)});
    stream.size_ += header.count;
  } else if (shard.role == "images") {
    ImageStream& stream = train ? train_images_ : heldout_images_;
    stream.pieces_.push_back(
        {.data = data, .begin = stream.frames_, .end = stream.frames_ + shard.tokens});
    stream.frames_ += shard.tokens;
    stream.bytes_per_frame_ = manifest_.frames->image_height * manifest_.frames->image_width *
                              manifest_.frames->image_channels;
  }
}

absl::StatusOr<TrainWindows> TrainWindows::Create(const TokenDataset& dataset, int64_t context,
                                                  int64_t seed) {
  const int64_t tokens = dataset.train().size();
  ALLO_RETURN_IF_ERROR(CheckWindows(dataset.manifest(), "train", tokens, context));
  TrainWindows windows;
  windows.stream_ = dataset.train();
  windows.context_ = context;
  windows.windows_per_epoch_ = WindowsPerEpoch(tokens, context);
  windows.seed_ = seed;
  return windows;
}

int64_t TrainWindows::Position(int64_t window) const {
  ALLO_CHECK(window >= 0) << window;
  const auto size = static_cast<uint64_t>(windows_per_epoch_);
  const auto g = static_cast<uint64_t>(window);
  return static_cast<int64_t>(
      KeyedPermutation(static_cast<uint64_t>(seed_), g / size, size, g % size));
}

absl::Status TrainWindows::Fill(int64_t first_window, int64_t count, std::span<int32_t> inputs,
                                std::span<int32_t> targets) const {
  CheckSpans(count, context_, inputs, targets);
  for (int64_t row = 0; row < count; ++row) {
    ALLO_RETURN_IF_ERROR(
        FillRow(stream_, context_, Position(first_window + row), row, inputs, targets));
  }
  return absl::OkStatus();
}

double TrainWindows::Epochs(int64_t tokens) const {
  return static_cast<double>(tokens) / static_cast<double>(windows_per_epoch_ * context_);
}

absl::StatusOr<HeldoutWindows> HeldoutWindows::Create(const TokenDataset& dataset, int64_t context,
                                                      int64_t count) {
  const int64_t tokens = dataset.heldout().size();
  ALLO_RETURN_IF_ERROR(CheckWindows(dataset.manifest(), "heldout", tokens, context));
  if (count < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("evaluation windows %d: allowed is 1 or more", count));
  }
  HeldoutWindows windows;
  windows.stream_ = dataset.heldout();
  windows.context_ = context;
  windows.available_ = WindowsPerEpoch(tokens, context);
  windows.count_ = std::min(count, windows.available_);
  return windows;
}

absl::Status HeldoutWindows::Fill(int64_t first_window, int64_t count, std::span<int32_t> inputs,
                                  std::span<int32_t> targets) const {
  CheckSpans(count, context_, inputs, targets);
  ALLO_CHECK(first_window >= 0 && first_window + count <= count_)
      << "windows " << first_window << " to " << first_window + count << " of " << count_;
  for (int64_t row = 0; row < count; ++row) {
    // 128 bits: the product of two counts.
    const auto position =
        static_cast<int64_t>(static_cast<unsigned __int128>(first_window + row) *
                             static_cast<uint64_t>(available_) / static_cast<uint64_t>(count_));
    ALLO_RETURN_IF_ERROR(FillRow(stream_, context_, position, row, inputs, targets));
  }
  return absl::OkStatus();
}

uint64_t KeyedPermutation(uint64_t seed, uint64_t epoch, uint64_t size, uint64_t index) {
  ALLO_CHECK(index < size && size <= uint64_t{1} << 62) << index << " of " << size;
  if (size == 1) return 0;
  const int bits = std::max(2, static_cast<int>(std::bit_width(size - 1)));
  const int left_bits = bits / 2;
  const int right_bits = bits - left_bits;
  const uint64_t left_mask = (uint64_t{1} << left_bits) - 1;
  const uint64_t right_mask = (uint64_t{1} << right_bits) - 1;
  const uint64_t key = SplitMix(SplitMix(seed) + epoch);
  uint64_t value = index;
  do {
    uint64_t left = value >> right_bits;
    uint64_t right = value & right_mask;
    // Each half in turn takes a hash of the other, so every round can be undone: a bijection.
    for (uint64_t round = 0; round < 8; round += 2) {
      left ^= SplitMix(right + SplitMix(key + round)) & left_mask;
      right ^= SplitMix(left + SplitMix(key + round + 1)) & right_mask;
    }
    value = left << right_bits | right;
  } while (value >= size);
  return value;
}

}  // namespace allometry::data
