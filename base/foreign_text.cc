#include "base/foreign_text.h"

#include <cstdint>
#include <streambuf>

#include "absl/strings/str_format.h"

namespace allometry {
namespace {

uint8_t Byte(absl::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }
bool Continues(uint8_t byte) { return (byte & 0xc0) == 0x80; }

// Bytes of the character that begins with `lead`; 0: none does.
size_t LengthOf(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  if (lead >= 0xf0 && lead < 0xf5) return 4;
  return 0;
}

// The character at `at`; 0 bytes: none is there.
struct Character {
  uint32_t code = 0;
  size_t bytes = 0;
};
Character CharacterAt(absl::string_view text, size_t at) {
  const uint8_t lead = Byte(text, at);
  const size_t length = LengthOf(lead);
  if (length == 0 || at + length > text.size()) return {};
  if (length == 1) return {lead, 1};
  uint32_t code = lead & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if (!Continues(Byte(text, at + i))) return {};
    code = code << 6 | (Byte(text, at + i) & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return {};
  return {code, length};
}

bool IsObeyed(uint32_t code) {
  if (code == '\n' || code == '\t') return false;
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
         code == 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

// Whether the end of the text may be the beginning of a character: how many bytes of it.
size_t UnfinishedAtEnd(absl::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const uint8_t byte = Byte(text, text.size() - back);
    if (Continues(byte)) continue;
    return LengthOf(byte) > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::string Shortened(absl::string_view text, size_t max_bytes) {
  constexpr absl::string_view kMore = "...";
  if (text.size() <= max_bytes) return std::string(text);
  size_t keep = max_bytes > kMore.size() ? max_bytes - kMore.size() : 0;
  while (keep > 0 && Continues(Byte(text, keep))) --keep;
  return absl::StrCat(text.substr(0, keep), kMore.substr(0, max_bytes));
}

std::string Printable(absl::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Character character = CharacterAt(text, at);
    if (character.bytes == 0) {
      absl::StrAppendFormat(&shown, "\\x%02x", Byte(text, at));
      ++at;
      continue;
    }
    if (!IsObeyed(character.code)) {
      shown.append(text.data() + at, character.bytes);
    } else if (character.code < 0x100) {
      absl::StrAppendFormat(&shown, "\\x%02x", character.code);
    } else {
      absl::StrAppendFormat(&shown, "\\u%04x", character.code);
    }
    at += character.bytes;
  }
  return shown;
}

// Holds back the beginning of a character until its end comes.
class PrintableStream::Buffer : public std::streambuf {
 public:
  explicit Buffer(std::streambuf* to) : to_(to) {}
  std::streambuf* to() const { return to_; }
  bool Finish() {
    const std::string rest = Printable(held_);
    held_.clear();
    return Put(rest);
  }

 protected:
  int_type overflow(int_type c) override {
    if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
    const char one = traits_type::to_char_type(c);
    return xsputn(&one, 1) == 1 ? c : traits_type::eof();
  }
  std::streamsize xsputn(const char* bytes, std::streamsize count) override {
    held_.append(bytes, static_cast<size_t>(count));
    const size_t unfinished = UnfinishedAtEnd(held_);
    const std::string rest = held_.substr(held_.size() - unfinished);
    held_.resize(held_.size() - unfinished);
    const bool written = Put(Printable(held_));
    held_ = rest;
    return written ? count : 0;
  }
  int sync() override { return to_->pubsync(); }

 private:
  bool Put(const std::string& text) {
    const auto size = static_cast<std::streamsize>(text.size());
    return to_->sputn(text.data(), size) == size;
  }

  std::streambuf* const to_;
  std::string held_;
};

PrintableStream::PrintableStream(std::ostream& stream)
    : stream_(stream), buffer_(std::make_unique<Buffer>(stream.rdbuf())) {
  const std::ios::iostate state = stream_.rdstate();
  stream_.rdbuf(buffer_.get());
  stream_.clear(state);
}

PrintableStream::~PrintableStream() {
  const std::ios::iostate state = stream_.rdstate();
  const bool finished = buffer_->Finish();
  stream_.rdbuf(buffer_->to());
  stream_.clear(finished ? state : state | std::ios::badbit);
}

void PrintableStream::WriteAsIs(std::ostream& stream, absl::string_view bytes) {
  auto* const filter = dynamic_cast<Buffer*>(stream.rdbuf());
  std::streambuf* const to = filter == nullptr ? stream.rdbuf() : filter->to();
  const bool finished = filter == nullptr || filter->Finish();
  const auto size = static_cast<std::streamsize>(bytes.size());
  if (!finished || to->sputn(bytes.data(), size) != size) stream.setstate(std::ios::badbit);
}

}  // namespace allometry
