#include "data/file_kind.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/utf8.h"

namespace allometry::data {
namespace {

struct Mark {
  size_t offset;
  std::string_view bytes;
  const char* name;
  const char* advice;  // FILE stands for the path
};

using namespace std::literals;

constexpr char kToJsonLines[] =
    "write its column of text as JSON Lines, in Python: import pandas; "
    "pandas.read_parquet('FILE').to_json('FILE.jsonl', orient='records', lines=True)";
constexpr char kToText[] = "convert it to plain text first";
constexpr char kUnpack[] = "unpack it first and give the files inside";
constexpr char kTokenIds[] = "token ids are imported by 'allo data import-bin', text is not in it";

// No shorter than three bytes: token ids have no mark, and must not look like one by chance.
constexpr Mark kMarks[] = {
    {0,
     "\xFD"
     "7zXZ\0"sv,
     "compressed by xz", "unpack it first: xz -dk FILE"},
    {0, "\x28\xB5\x2F\xFD"sv, "compressed by zstd", "unpack it first: zstd -d FILE"},
    {0, "\x04\x22\x4D\x18"sv, "compressed by lz4", "unpack it first: lz4 -d FILE"},
    {0, "BZh"sv, "compressed by bzip2", "unpack it first: bzip2 -dk FILE"},
    {0, "\x1F\x8B\x08"sv, "compressed by gzip", "unpack it first: gzip -dk FILE"},
    {0, "\x1F\x9D\x90"sv, "compressed by compress", "unpack it first: gzip -dk FILE"},
    {0, "\x89LZO\0\r\n\x1A\n"sv, "compressed by lzop", "unpack it first: lzop -d FILE"},
    {0, "LZIP\x01"sv, "compressed by lzip", "unpack it first: lzip -dk FILE"},
    {0, "\x5D\0\0\x80\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv, "compressed by lzma",
     "unpack it first: xz -dk --format=lzma FILE"},
    {0, "\xFF\x06\0\0sNaPpY"sv, "compressed by snappy", "unpack it first"},
    {0, "7z\xBC\xAF\x27\x1C"sv, "a 7z archive", kUnpack},
    {0, "Rar!\x1A\x07"sv, "a RAR archive", kUnpack},
    {0, "MSCF\0\0\0\0"sv, "a CAB archive", kUnpack},
    {0, "!<arch>\n"sv, "an ar archive or Debian package", kUnpack},
    {0, "070701"sv, "a cpio archive", kUnpack},
    {0, "\xED\xAB\xEE\xDB"sv, "an RPM package", kUnpack},
    {257, "ustar"sv, "a tar archive", "unpack it first and give the files inside: tar -xf FILE"},
    {0, "PK\x03\x04"sv, "a zip archive", kUnpack},
    {0, "PK\x05\x06"sv, "an empty zip archive", kUnpack},
    {0, "PAR1"sv, "a Parquet file", kToJsonLines},
    {0, "PARE"sv, "an encrypted Parquet file", kToJsonLines},
    {0, "ARROW1\0\0"sv, "an Arrow file", "write its column of text as JSON Lines first"},
    {0, "FEA1"sv, "a Feather file", "write its column of text as JSON Lines first"},
    {0, "\xFF\xFF\xFF\xFF\x10\0\0\0"sv, "an Arrow stream", nullptr},
    {0, "ORC"sv, "an ORC file", "write its column of text as JSON Lines first"},
    {0, "Obj\x01"sv, "an Avro file", "write its column of text as JSON Lines first"},
    {0, "\x93NUMPY"sv, "a NumPy array (.npy)", kTokenIds},
    {0, "\x89HDF\r\n\x1A\n"sv, "an HDF5 file",
     "trajectories are imported by 'allo data import-hdf5'"},
    {0, "SQLite format 3\0"sv, "an SQLite database", kToText},
    {0, "GGUF"sv, "a model in GGUF", "a model is no data"},
    {0, "\x80\x02}"sv, "a pickled Python object", kToText},
    {0, "\x80\x02]"sv, "a pickled Python object", kToText},
    {0, "\x80\x02\x8A"sv, "a PyTorch file", "a model is no data"},
    {0, "\x80\x03}"sv, "a pickled Python object", kToText},
    {0, "\x80\x03]"sv, "a pickled Python object", kToText},
    {0, "\x80\x04\x95"sv, "a pickled Python object", kToText},
    {0, "\x80\x05\x95"sv, "a pickled Python object", kToText},
    {0, "MMIDIDX\0\0"sv, "the index of a Megatron dataset",
     "its ids are in the .bin file beside it: allo data import-bin --dtype ..."},
    {0, "%PDF-"sv, "a PDF", "take its text first: pdftotext FILE"},
    {0, "%!PS-Adobe"sv, "a PostScript file", kToText},
    {0, "{\\rtf"sv, "a rich-text file (RTF)", kToText},
    {0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv, "an old Office document", kToText},
    {0, "\x89PNG\r\n\x1A\n"sv, "a PNG image", kToText},
    {0, "\xFF\xD8\xFF"sv, "a JPEG image", kToText},
    {0, "GIF87a"sv, "a GIF image", kToText},
    {0, "GIF89a"sv, "a GIF image", kToText},
    {0, "RIFF"sv, "a RIFF file (WAV, AVI or WebP)", kToText},
    {0, "OggS\0"sv, "an Ogg file", kToText},
    {0, "fLaC"sv, "a FLAC file", kToText},
    {4, "ftyp"sv, "an MP4 file", kToText},
    {0,
     "\x7F"
     "ELF"sv,
     "a program or library (ELF)", kToText},
    {0, "\xCA\xFE\xBA\xBE"sv, "a Java class", kToText},
    {0, "\0asm"sv, "a WebAssembly module", kToText},
    {0, "MZ\x90\0"sv, "a Windows program", kToText},
    // 20240520 and 20240801, little-endian.
    {0, "\x88\xD8\x34\x01"sv, "a token file of llm.c", kTokenIds},
    {0, "\xA1\xD9\x34\x01"sv, "a token file of llm.c", kTokenIds},
};

std::string Quoted(const char* advice, absl::string_view path) {
  return absl::StrReplaceAll(advice, {{"FILE", path}});
}

// What a zip archive is used for.
FileKind KindOfZip(absl::string_view front, FileKind zip) {
  const absl::string_view name = front.size() > 30 ? front.substr(30, 200) : absl::string_view();
  if (absl::StrContains(name, ".npy")) {
    return {"several NumPy arrays in a zip archive (.npz)",
            "write the array of ids alone, with numpy.save: 'allo data import-bin' reads that"};
  }
  if (absl::StrContains(name, "[Content_Types].xml") || absl::StartsWith(name, "word/") ||
      absl::StartsWith(name, "mimetype")) {
    return {"an office document or e-book", kToText};
  }
  if (absl::StrContains(name, "data.pkl")) return {"a PyTorch file", "a model is no data"};
  return zip;
}

// Of markup, which is text: what begins with it after spaces, in any case of letters.
std::optional<FileKind> KindOfMarkup(absl::string_view front) {
  absl::ConsumePrefix(&front, "\xEF\xBB\xBF");
  const std::string begin =
      absl::AsciiStrToLower(absl::StripLeadingAsciiWhitespace(front).substr(0, 64));
  const char* advice =
      "its tags would be learned as text: take them out first, or pass --encoding bytes to keep "
      "them";
  for (const char* mark : {"<!doctype html", "<html", "<head>", "<body"}) {
    if (absl::StartsWith(begin, mark)) return FileKind{"HTML", advice};
  }
  if (absl::StartsWith(begin, "<?xml")) return FileKind{"XML", advice};
  return std::nullopt;
}

}  // namespace

std::optional<FileKind> KindOfFront(absl::string_view front, absl::string_view path) {
  for (const Mark& mark : kMarks) {
    if (front.size() < mark.offset + mark.bytes.size() ||
        front.substr(mark.offset, mark.bytes.size()) !=
            absl::string_view(mark.bytes.data(), mark.bytes.size())) {
      continue;
    }
    // Words that plain text may begin with count only where what follows is none.
    const bool letters = std::all_of(mark.bytes.begin(), mark.bytes.end(),
                                     [](char c) { return absl::ascii_isalnum(c); });
    if (letters && mark.offset == 0 && LooksLikeText(front)) continue;
    FileKind kind = {mark.name, Quoted(mark.advice != nullptr ? mark.advice : kToJsonLines, path)};
    return absl::StartsWith(kind.name, "a zip") ? KindOfZip(front, kind) : kind;
  }
  return KindOfMarkup(front);
}

bool LooksLikeText(absl::string_view front) {
  if (front.size() < 16) return false;
  const size_t invalid = FirstInvalidUtf8(front);
  if (invalid != absl::string_view::npos && invalid + 4 <= front.size()) return false;
  return std::none_of(front.begin(), front.end(), [](char c) {
    return absl::ascii_iscntrl(c) && !absl::ascii_isspace(c) && c != '\x1B';
  });
}

}  // namespace allometry::data
