#include "data/hdf5_file.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <type_traits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "data/file_kind.h"
#include "data/hdf5_chunks.h"

namespace allometry::data {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 28;  // of one array: an episode has less
constexpr int64_t kMostChunkBytes = int64_t{1} << 28;
constexpr int64_t kPiece = 1 << 20;  // elements read at once
// Deflate makes at most 1032 bytes of one. Values that were never written take no room at all, so
// small files may hold small arrays of them.
constexpr int64_t kMostBytesOfOne = 1032;
constexpr int64_t kUnwrittenBytes = 1 << 20;

constexpr H5Z_filter_t kFilters[] = {H5Z_FILTER_DEFLATE, H5Z_FILTER_SHUFFLE, H5Z_FILTER_FLETCHER32};

constexpr char kSignature[] = "\x89HDF\r\n\x1A\n";

absl::Status Refuse(const std::string& path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(path, " ", why));
}

std::string NameOfType(hid_t type) {
  const size_t bits = 8 * H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return absl::StrCat(H5Tget_sign(type) == H5T_SGN_NONE ? "uint" : "int", bits);
    case H5T_FLOAT:
      return absl::StrCat("float", bits);
    case H5T_ENUM:
      return "enumerations";
    case H5T_STRING:
      return "strings";
    case H5T_BITFIELD:
      return "bit fields";
    case H5T_OPAQUE:
      return "opaque bytes";
    case H5T_COMPOUND:
      return "structures";
    case H5T_REFERENCE:
      return "references";
    case H5T_VLEN:
      return "sequences of varying length";
    case H5T_ARRAY:
      return "arrays";
    default:
      return "an unknown type";
  }
}

// Integers of up to 64 bits, enumerations of them and, where `floats`, floating-point numbers.
absl::Status CheckType(const std::string& path, hid_t type, bool floats) {
  const H5T_class_t kind = H5Tget_class(type);
  const Hdf5Handle base(kind == H5T_ENUM ? H5Tget_super(type) : H5Tcopy(type), H5Tclose);
  const bool whole = base.ok() && H5Tget_class(base.id()) == H5T_INTEGER;
  const bool number = whole || (floats && kind == H5T_FLOAT);
  if (number && H5Tget_size(type) <= 8) return absl::OkStatus();
  std::string advice;
  if (kind == H5T_FLOAT) advice = ": make numbers of classes of them first";
  return Refuse(path, absl::StrCat("is of ", NameOfType(type), ", not of whole numbers", advice));
}

// The extent, where a file of `file_bytes` can hold it.
absl::StatusOr<std::vector<int64_t>> CheckExtent(const std::string& path, hid_t array, hid_t type,
                                                 int64_t file_bytes) {
  const Hdf5Handle space(H5Dget_space(array), H5Sclose);
  const int dimensions = space.ok() ? H5Sget_simple_extent_ndims(space.id()) : -1;
  std::vector<hsize_t> size(static_cast<size_t>(std::max(0, dimensions)));
  if (size.empty() || H5Sget_simple_extent_dims(space.id(), size.data(), nullptr) < 0) {
    return Refuse(path, "is one value, not an array");
  }
  // Also of the rows, so that an array without rows has a row that can be counted.
  int64_t elements = 1;
  for (const hsize_t n : size) {
    const auto factor = static_cast<int64_t>(std::max<hsize_t>(1, n));
    if (n > static_cast<hsize_t>(kMostElements) ||
        __builtin_mul_overflow(elements, factor, &elements) || elements > kMostElements) {
      return Refuse(path, absl::StrFormat("has %s numbers: allowed are %d in one array",
                                          absl::StrJoin(size, " x "), kMostElements));
    }
  }
  const int64_t bytes = elements * static_cast<int64_t>(H5Tget_size(type));
  if ((bytes - kUnwrittenBytes) / kMostBytesOfOne > file_bytes) {
    return Refuse(path, absl::StrFormat("has %s numbers, %d bytes, more than a file of %d bytes "
                                        "can hold: the file is damaged or cut off",
                                        absl::StrJoin(size, " x "), bytes, file_bytes));
  }
  return std::vector<int64_t>(size.begin(), size.end());
}

// That reading the array opens no other file, runs no plugin and needs no buffer of any size.
absl::Status CheckStorage(const std::string& path, hid_t array, hid_t type) {
  const Hdf5Handle plan(H5Dget_create_plist(array), H5Pclose);
  if (!plan.ok()) return Refuse(path, "has a storage that cannot be read");
  if (H5Pget_external_count(plan.id()) != 0) {
    return Refuse(path,
                  "keeps its numbers in another file (external storage): allowed is a file "
                  "that holds all of them; rewrite it, for example with h5repack");
  }
  const H5D_layout_t layout = H5Pget_layout(plan.id());
  if (layout == H5D_VIRTUAL) {
    return Refuse(path,
                  "is a virtual dataset over other files: allowed is a file that holds all "
                  "of its numbers; copy it into one, for example with h5py");
  }
  const int filters = H5Pget_nfilters(plan.id());
  for (int i = 0; i < filters; ++i) {
    char name[64] = "";
    unsigned flags = 0, config = 0;
    size_t values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(plan.id(), static_cast<unsigned>(i), &flags, &values,
                                               nullptr, sizeof(name), name, &config);
    if (std::find(std::begin(kFilters), std::end(kFilters), filter) != std::end(kFilters)) continue;
    name[sizeof(name) - 1] = '\0';
    return Refuse(path, absl::StrFormat("is stored with filter %d (%s): allowed are gzip, shuffle "
                                        "and fletcher32; rewrite it: h5repack -f GZIP=4 OLD NEW",
                                        filter, name));
  }
  if (layout != H5D_CHUNKED) return absl::OkStatus();
  hsize_t chunk[H5S_MAX_RANK] = {};
  const int dimensions = H5Pget_chunk(plan.id(), H5S_MAX_RANK, chunk);
  auto bytes = static_cast<int64_t>(H5Tget_size(type));
  for (int i = 0; i < dimensions; ++i) {
    if (chunk[i] > static_cast<hsize_t>(kMostChunkBytes) ||
        __builtin_mul_overflow(bytes, static_cast<int64_t>(chunk[i]), &bytes) ||
        bytes > kMostChunkBytes) {
      return Refuse(path,
                    absl::StrFormat("is stored in chunks of more than %d bytes", kMostChunkBytes));
    }
  }
  return dimensions > 0 ? absl::OkStatus() : Refuse(path, "has chunks that cannot be read");
}

std::string NameOfLink(hid_t at, const char* name, const H5L_info_t& info) {
  if (info.type == H5L_TYPE_SOFT || info.type == H5L_TYPE_EXTERNAL) {
    std::string value(std::min<size_t>(info.u.val_size, 4096), '\0');
    const char *file = nullptr, *object = value.c_str();
    if (H5Lget_val(at, name, value.data(), value.size(), H5P_DEFAULT) < 0) return "a link";
    if (info.type == H5L_TYPE_SOFT) {
      return absl::StrFormat("a soft link to '%s'", absl::Utf8SafeCHexEscape(value.c_str()));
    }
    if (H5Lunpack_elink_val(value.data(), value.size(), nullptr, &file, &object) < 0)
      return "a link";
    return absl::StrFormat("an external link to '%s' in '%s'", absl::Utf8SafeCHexEscape(object),
                           absl::Utf8SafeCHexEscape(file));
  }
  return "a link of another kind";
}

herr_t CollectName(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

absl::StatusOr<std::vector<std::string>> NamesIn(hid_t group) {
  std::vector<std::string> names;
  hsize_t next = 0;
  if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &next, CollectName, &names) < 0) {
    return absl::DataLossError("its names cannot be read");
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string DescribeObject(hid_t object) {
  if (H5Iget_type(object) == H5I_GROUP) {
    const absl::StatusOr<std::vector<std::string>> names = NamesIn(object);
    if (!names.ok()) return "a group";
    std::vector<std::string> first = *names;
    if (first.size() > 8) first.resize(8);
    for (std::string& name : first) name = absl::Utf8SafeCHexEscape(name);
    return absl::StrCat("a group of ", first.empty() ? "nothing" : absl::StrJoin(first, ", "),
                        names->size() > first.size() ? " ..." : "");
  }
  if (H5Iget_type(object) != H5I_DATASET) return "neither a group nor an array";
  const Hdf5Handle type(H5Dget_type(object), H5Tclose), space(H5Dget_space(object), H5Sclose);
  std::vector<hsize_t> size(
      static_cast<size_t>(std::max(0, H5Sget_simple_extent_ndims(space.id()))));
  if (!size.empty()) H5Sget_simple_extent_dims(space.id(), size.data(), nullptr);
  if (size.empty()) return absl::StrCat("one value of ", NameOfType(type.id()));
  return absl::StrCat("an array of ", absl::StrJoin(size, " x "), " ", NameOfType(type.id()));
}

}  // namespace

void PrepareHdf5() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state(0);
}

absl::StatusOr<Hdf5File> Hdf5File::Open(const std::string& path) {
  PrepareHdf5();
  ALLO_ASSIGN_OR_RETURN(InputFile input, InputFile::Open(path));
  // The signature is at byte 0, 512, 1024, 2048 and so on (HDF5 file format, section II.A).
  bool signed_file = false;
  for (int64_t at = 0; at < input.bytes() && !signed_file; at = at == 0 ? 512 : 2 * at) {
    char bytes[sizeof(kSignature) - 1] = {};
    ALLO_ASSIGN_OR_RETURN(const size_t got, input.ReadAt(at, bytes));
    signed_file = absl::string_view(bytes, got) == kSignature;
  }
  if (!signed_file) {
    ALLO_ASSIGN_OR_RETURN(const std::string front, input.Front());
    const std::optional<FileKind> kind = KindOfFront(front, path);
    const std::string is = kind.has_value()       ? absl::StrCat(kind->name, ", ")
                           : LooksLikeText(front) ? "text, "
                                                  : "";
    return absl::InvalidArgumentError(absl::StrCat(path, " is ", is, "not an HDF5 file"));
  }
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // One plain file, whatever driver it says that it was written with.
  H5Pset_fapl_sec2(access.id());
  const std::string by_number = absl::StrFormat("/proc/self/fd/%d", input.fd());
  Hdf5Handle file(H5Fopen(by_number.c_str(), H5F_ACC_RDONLY, access.id()), H5Fclose);
  if (!file.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path,
                     ": not an HDF5 file that can be read: it is damaged, cut off, or a "
                     "program is writing it"));
  }
  return Hdf5File(std::move(input), std::move(file));
}

absl::StatusOr<std::vector<std::string>> Hdf5File::Names() const { return NamesIn(file_.id()); }

absl::StatusOr<Hdf5Handle> Hdf5File::OpenObject(const std::string& path) const {
  Hdf5Handle at(H5Gopen2(file_.id(), "/", H5P_DEFAULT), H5Gclose);
  std::string so_far;
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    const std::string name(part);
    absl::StrAppend(&so_far, so_far.empty() ? "" : "/", name);
    H5L_info_t link;
    if (name == "." || !at.ok() || H5Iget_type(at.id()) != H5I_GROUP ||
        H5Lget_info(at.id(), name.c_str(), &link, H5P_DEFAULT) < 0) {
      return Refuse(so_far, "is missing");
    }
    if (link.type != H5L_TYPE_HARD) {
      return Refuse(so_far, absl::StrFormat("is %s: allowed is data in the file itself, without "
                                            "soft and external links",
                                            NameOfLink(at.id(), name.c_str(), link)));
    }
    Hdf5Handle next(H5Oopen(at.id(), name.c_str(), H5P_DEFAULT), H5Oclose);
    if (!next.ok()) return absl::DataLossError(absl::StrCat(so_far, " cannot be opened"));
    at = std::move(next);
  }
  return at;
}

std::string Hdf5File::Describe(const std::string& path) const {
  const absl::StatusOr<Hdf5Handle> object = OpenObject(path);
  return object.ok() ? DescribeObject(object->id()) : std::string(object.status().message());
}

std::optional<int64_t> Hdf5File::Number(const std::string& group, const char* attribute) const {
  const absl::StatusOr<Hdf5Handle> object = OpenObject(group);
  if (!object.ok() || H5Aexists(object->id(), attribute) <= 0) return std::nullopt;
  const Hdf5Handle opened(H5Aopen(object->id(), attribute, H5P_DEFAULT), H5Aclose);
  if (!opened.ok()) return std::nullopt;
  const Hdf5Handle type(H5Aget_type(opened.id()), H5Tclose);
  const Hdf5Handle space(H5Aget_space(opened.id()), H5Sclose);
  int64_t value = 0;
  if (H5Tget_class(type.id()) != H5T_INTEGER || H5Tget_size(type.id()) > 8 ||
      H5Sget_simple_extent_npoints(space.id()) != 1 ||
      H5Aread(opened.id(), H5T_NATIVE_INT64, &value) < 0) {
    return std::nullopt;
  }
  return value;
}

template <class T>
absl::StatusOr<std::vector<int64_t>> Hdf5File::ReadPieces(
    const std::string& path, const std::function<absl::Status(std::span<const T>)>& use) const {
  constexpr bool kFloats = std::is_same_v<T, float>;
  ALLO_ASSIGN_OR_RETURN(const Hdf5Handle array, OpenObject(path));
  if (H5Iget_type(array.id()) != H5I_DATASET) {
    return Refuse(path, absl::StrFormat("is %s, not an array", DescribeObject(array.id())));
  }
  const Hdf5Handle type(H5Dget_type(array.id()), H5Tclose);
  ALLO_RETURN_IF_ERROR(CheckType(path, type.id(), kFloats));
  ALLO_RETURN_IF_ERROR(CheckStorage(path, array.id(), type.id()));
  ALLO_ASSIGN_OR_RETURN(const std::vector<int64_t> shape,
                        CheckExtent(path, array.id(), type.id(), input_.bytes()));
  if (const Hdf5Handle plan(H5Dget_create_plist(array.id()), H5Pclose);
      H5Pget_layout(plan.id()) == H5D_CHUNKED) {
    ALLO_RETURN_IF_ERROR(CheckChunks(path, array.id(), type.id(), kMostChunkBytes));
  }
  const int64_t row =
      std::accumulate(shape.begin() + 1, shape.end(), int64_t{1}, std::multiplies<>());
  if (row == 0) return shape;
  const Hdf5Handle space(H5Dget_space(array.id()), H5Sclose);
  std::vector<hsize_t> start(shape.size(), 0), count(shape.begin(), shape.end());
  const int64_t rows = std::max<int64_t>(1, kPiece / row);
  std::vector<T> piece;
  for (int64_t first = 0; first < shape[0]; first += rows) {
    start[0] = static_cast<hsize_t>(first);
    count[0] = static_cast<hsize_t>(std::min(rows, shape[0] - first));
    const hsize_t elements = static_cast<hsize_t>(row) * count[0];
    const Hdf5Handle memory(H5Screate_simple(1, &elements, nullptr), H5Sclose);
    piece.assign(elements, 0);
    if (H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, start.data(), nullptr, count.data(),
                            nullptr) < 0 ||
        H5Dread(array.id(), kFloats ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT64, memory.id(), space.id(),
                H5P_DEFAULT, piece.data()) < 0) {
      return absl::DataLossError(absl::StrCat(path, " cannot be read: the file is damaged"));
    }
    ALLO_RETURN_IF_ERROR(use(piece));
  }
  return shape;
}

template <class T>
absl::StatusOr<Hdf5Array<T>> Hdf5File::WholeNumbers(const std::string& path) const {
  Hdf5Array<T> array;
  const auto narrow = [&](std::span<const int64_t> piece) {
    for (const int64_t number : piece) {
      if (number < std::numeric_limits<T>::min() || number > std::numeric_limits<T>::max()) {
        return Refuse(
            path, absl::StrFormat("has %d: allowed is %d to %d", number,
                                  std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
      }
      array.values.push_back(static_cast<T>(number));
    }
    return absl::OkStatus();
  };
  ALLO_ASSIGN_OR_RETURN(array.shape, ReadPieces<int64_t>(path, narrow));
  return array;
}

template absl::StatusOr<Hdf5Array<uint8_t>> Hdf5File::WholeNumbers(const std::string&) const;
template absl::StatusOr<Hdf5Array<uint16_t>> Hdf5File::WholeNumbers(const std::string&) const;
template absl::StatusOr<Hdf5Array<int64_t>> Hdf5File::WholeNumbers(const std::string&) const;

absl::StatusOr<Hdf5Array<float>> Hdf5File::Numbers(const std::string& path) const {
  Hdf5Array<float> array;
  ALLO_ASSIGN_OR_RETURN(array.shape, ReadPieces<float>(path, [&](std::span<const float> piece) {
                          array.values.insert(array.values.end(), piece.begin(), piece.end());
                          return absl::OkStatus();
                        }));
  return array;
}

}  // namespace allometry::data
