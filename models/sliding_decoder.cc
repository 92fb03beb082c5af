#include "models/sliding_decoder.h"

#include "absl/strings/str_format.h"

namespace allometry::models {

absl::Status SlidingDecoder::Begin(std::span<const float> parameters, int rows) {
  if (frames_ < 2) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a context of %d frames: allowed is 2 or more", frames_));
  }
  ALLO_RETURN_IF_ERROR(decoder_.Begin(parameters, rows, frames_ * frame_tokens_));
  parameters_ = parameters;
  rows_ = rows;
  length_ = 0;
  rows_tokens_.assign(static_cast<size_t>(rows), {});
  return absl::OkStatus();
}

absl::Status SlidingDecoder::Append(std::span<const int32_t> tokens, int n) {
  if (n > frame_tokens_ - length_ % frame_tokens_) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d tokens behind %d of a frame of %d: allowed are those up to its end", n,
                        length_ % frame_tokens_, frame_tokens_));
  }
  if (length_ == frames_ * frame_tokens_) ALLO_RETURN_IF_ERROR(DropOldestFrame());
  ALLO_RETURN_IF_ERROR(decoder_.Append(tokens, n));
  for (int row = 0; row < rows_; ++row) {
    const auto from = tokens.subspan(static_cast<size_t>(row) * n, n);
    rows_tokens_[row].insert(rows_tokens_[row].end(), from.begin(), from.end());
  }
  length_ += n;
  return absl::OkStatus();
}

absl::Status SlidingDecoder::DropOldestFrame() {
  std::vector<int32_t> prompt;
  for (std::vector<int32_t>& row : rows_tokens_) {
    row.erase(row.begin(), row.begin() + frame_tokens_);
    prompt.insert(prompt.end(), row.begin(), row.end());
  }
  length_ -= frame_tokens_;
  ALLO_RETURN_IF_ERROR(decoder_.Begin(parameters_, rows_, frames_ * frame_tokens_));
  return decoder_.Append(prompt, length_);
}

}  // namespace allometry::models
