#include "data/trajectories.h"

#include <hdf5.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/files.h"

namespace allometry::data {
namespace {

constexpr unsigned kDeflate = 4;
constexpr int64_t kChunkBytes = 1 << 20;
constexpr int64_t kMostElements = int64_t{1} << 32;

// An HDF5 identifier, given back by the function for its kind.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  bool ok() const { return id_ >= 0; }
  hid_t id() const { return id_; }
  // Closes now, so that a failure to write is seen.
  bool Close() { return close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

// Errors are ours to tell: libhdf5 would print its stack.
void BeQuiet() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

std::string GroupName(int64_t episode) { return absl::StrCat("episode_", episode); }

absl::Status Failed(const std::string& path, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(path, ": HDF5 cannot ", what));
}

template <class T>
hid_t TypeOf();
template <>
hid_t TypeOf<uint8_t>() {
  return H5T_NATIVE_UINT8;
}
template <>
hid_t TypeOf<uint16_t>() {
  return H5T_NATIVE_UINT16;
}
template <>
hid_t TypeOf<int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
hid_t TypeOf<float>() {
  return H5T_NATIVE_FLOAT;
}

absl::Status PutAttribute(hid_t object, const char* name, int64_t value) {
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle attribute(
      H5Acreate2(object, name, H5T_STD_I64LE, space.id(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (attribute.ok() && H5Awrite(attribute.id(), H5T_NATIVE_INT64, &value) >= 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("HDF5 cannot write attribute ", name));
}

// `values` as an array of `shape`, chunked along its first dimension, in the type `stored`.
template <class T>
absl::Status PutArray(hid_t group, const char* name, const std::vector<int64_t>& shape,
                      const std::vector<T>& values, hid_t stored) {
  std::vector<hsize_t> size(shape.begin(), shape.end());
  const int64_t row =
      std::accumulate(shape.begin() + 1, shape.end(), int64_t{sizeof(T)}, std::multiplies<>());
  ALLO_CHECK(row / static_cast<int64_t>(sizeof(T)) * shape[0] ==
             static_cast<int64_t>(values.size()))
      << name << ": " << values.size() << " values for " << absl::StrJoin(shape, " x ");
  std::vector<hsize_t> chunk = size;
  chunk[0] = static_cast<hsize_t>(
      std::clamp<int64_t>(kChunkBytes / row, 1, std::max<int64_t>(1, shape[0])));
  const Handle space(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr),
                     H5Sclose);
  const Handle plan(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  // Without times equal contents give equal files.
  if (H5Pset_obj_track_times(plan.id(), false) < 0 ||
      H5Pset_chunk(plan.id(), static_cast<int>(chunk.size()), chunk.data()) < 0 ||
      H5Pset_deflate(plan.id(), kDeflate) < 0) {
    return absl::UnavailableError("HDF5 without deflate");
  }
  const Handle array(
      H5Dcreate2(group, name, stored, space.id(), H5P_DEFAULT, plan.id(), H5P_DEFAULT), H5Dclose);
  if (array.ok() &&
      H5Dwrite(array.id(), TypeOf<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("HDF5 cannot write ", name));
}

class Writer final : public TrajectoryWriter {
 public:
  Writer(std::string path, Handle file) : path_(std::move(path)), file_(std::move(file)) {}

  absl::Status Append(const Trajectory& t) override {
    const Handle group(
        H5Gcreate2(file_.id(), GroupName(episodes_).c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
        H5Gclose);
    if (!group.ok()) return Failed(path_, absl::StrCat("make group ", GroupName(episodes_)));
    const absl::Status written = PutAll(group.id(), t);
    if (!written.ok()) return Annotate(written, path_);
    ++episodes_;
    steps_ += t.steps();
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    ALLO_RETURN_IF_ERROR(PutAttribute(file_.id(), "total_episodes", episodes_));
    ALLO_RETURN_IF_ERROR(PutAttribute(file_.id(), "total_steps", steps_));
    return file_.Close() ? absl::OkStatus() : Failed(path_, "write the end of the file");
  }

 private:
  absl::Status PutAll(hid_t group, const Trajectory& t) const {
    ALLO_RETURN_IF_ERROR(PutAttribute(group, "id", episodes_));
    ALLO_RETURN_IF_ERROR(PutAttribute(group, "total_steps", t.steps()));
    std::vector<int64_t> shape = {t.steps() + 1};
    shape.insert(shape.end(), t.observation_shape.begin(), t.observation_shape.end());
    const bool narrow = std::all_of(t.observations.begin(), t.observations.end(),
                                    [](uint16_t value) { return value < 256; });
    ALLO_RETURN_IF_ERROR(PutArray(group, "observations", shape, t.observations,
                                  narrow ? H5T_STD_U8LE : H5T_STD_U16LE));
    std::vector<int64_t> actions = {t.steps()};
    if (t.action_dimensions != 1) actions.push_back(t.action_dimensions);
    ALLO_RETURN_IF_ERROR(PutArray(group, "actions", actions, t.actions, H5T_STD_I64LE));
    ALLO_RETURN_IF_ERROR(PutArray(group, "rewards", {t.steps()}, t.rewards, H5T_IEEE_F32LE));
    ALLO_RETURN_IF_ERROR(
        PutArray(group, "terminations", {t.steps()}, t.terminations, H5T_STD_U8LE));
    ALLO_RETURN_IF_ERROR(PutArray(group, "truncations", {t.steps()}, t.truncations, H5T_STD_U8LE));
    if (t.image_shape.empty()) return absl::OkStatus();
    const Handle infos(H5Gcreate2(group, "infos", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    shape = {t.steps() + 1};
    shape.insert(shape.end(), t.image_shape.begin(), t.image_shape.end());
    return PutArray(infos.id(), "images", shape, t.images, H5T_STD_U8LE);
  }

  const std::string path_;
  Handle file_;
  int64_t episodes_ = 0;
  int64_t steps_ = 0;
};

// An array of whole numbers of any type, as T; its shape with it.
template <class T>
absl::StatusOr<std::vector<T>> GetArray(hid_t group, const char* name,
                                        std::vector<int64_t>* shape) {
  const Handle array(H5Dopen2(group, name, H5P_DEFAULT), H5Dclose);
  if (!array.ok()) return absl::InvalidArgumentError(absl::StrCat(name, " is missing"));
  const Handle type(H5Dget_type(array.id()), H5Tclose);
  const H5T_class_t kind = H5Tget_class(type.id());
  // h5py stores booleans as an enumeration over bytes.
  const bool whole = kind == H5T_INTEGER || kind == H5T_ENUM;
  if (!whole && !(std::is_floating_point_v<T> && kind == H5T_FLOAT)) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is not of whole numbers"));
  }
  const Handle space(H5Dget_space(array.id()), H5Sclose);
  std::vector<hsize_t> size(
      static_cast<size_t>(std::max(0, H5Sget_simple_extent_ndims(space.id()))));
  if (size.empty() || H5Sget_simple_extent_dims(space.id(), size.data(), nullptr) < 0) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is not an array"));
  }
  shape->assign(size.begin(), size.end());
  int64_t elements = 1;
  for (const int64_t n : *shape) {
    if (__builtin_mul_overflow(elements, n, &elements) || elements > kMostElements) {
      return absl::InvalidArgumentError(absl::StrFormat("%s has %s elements: too many to hold",
                                                        name, absl::StrJoin(*shape, " x ")));
    }
  }
  std::vector<T> values(static_cast<size_t>(elements));
  const hid_t as = kind == H5T_ENUM ? H5T_NATIVE_INT8 : TypeOf<T>();
  const Handle bytes(kind == H5T_ENUM ? H5Tget_super(type.id()) : H5Tcopy(as), H5Tclose);
  if (kind == H5T_ENUM && sizeof(T) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is an enumeration"));
  }
  if (H5Dread(array.id(), kind == H5T_ENUM ? type.id() : bytes.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT,
              values.data()) < 0) {
    return absl::DataLossError(absl::StrCat(name, " cannot be read"));
  }
  return values;
}

class Reader final : public TrajectoryReader {
 public:
  Reader(std::string path, Handle file, int64_t episodes)
      : path_(std::move(path)), file_(std::move(file)), episodes_(episodes) {}

  int64_t episodes() const override { return episodes_; }

  absl::StatusOr<Trajectory> Read(int64_t episode) const override {
    const std::string name = GroupName(episode);
    const Handle group(H5Gopen2(file_.id(), name.c_str(), H5P_DEFAULT), H5Gclose);
    if (!group.ok()) return Failed(path_, absl::StrCat("open group ", name));
    absl::StatusOr<Trajectory> read = ReadGroup(group.id());
    if (!read.ok()) return Annotate(read.status(), absl::StrCat(path_, ": ", name));
    return read;
  }

 private:
  absl::StatusOr<Trajectory> ReadGroup(hid_t group) const {
    Trajectory t;
    std::vector<int64_t> shape;
    ALLO_ASSIGN_OR_RETURN(t.rewards, GetArray<float>(group, "rewards", &shape));
    const int64_t steps = t.steps();
    const auto check = [&](const char* name, int64_t wanted) {
      if (shape[0] == wanted) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s has %d entries: allowed with %d rewards is %d", name, shape[0], steps, wanted));
    };
    ALLO_ASSIGN_OR_RETURN(const std::vector<int64_t> observations,
                          GetArray<int64_t>(group, "observations", &shape));
    ALLO_RETURN_IF_ERROR(check("observations", steps + 1));
    t.observation_shape.assign(shape.begin() + 1, shape.end());
    for (const int64_t value : observations) {
      if (value < 0 || value > std::numeric_limits<uint16_t>::max()) {
        return absl::InvalidArgumentError(
            absl::StrFormat("observations has %d: allowed is 0 to 65535", value));
      }
      t.observations.push_back(static_cast<uint16_t>(value));
    }
    ALLO_ASSIGN_OR_RETURN(t.actions, GetArray<int64_t>(group, "actions", &shape));
    ALLO_RETURN_IF_ERROR(check("actions", steps));
    if (shape.size() > 2) return absl::InvalidArgumentError("actions has three dimensions");
    t.action_dimensions = shape.size() == 2 ? shape[1] : 1;
    ALLO_ASSIGN_OR_RETURN(t.terminations, GetArray<uint8_t>(group, "terminations", &shape));
    ALLO_RETURN_IF_ERROR(check("terminations", steps));
    ALLO_ASSIGN_OR_RETURN(t.truncations, GetArray<uint8_t>(group, "truncations", &shape));
    ALLO_RETURN_IF_ERROR(check("truncations", steps));
    return t;
  }

  const std::string path_;
  const Handle file_;
  const int64_t episodes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrajectoryWriter>> TrajectoryWriter::Create(
    const std::string& path) {
  BeQuiet();
  Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  if (!file.ok()) return Failed(path, "make the file");
  return std::make_unique<Writer>(path, std::move(file));
}

absl::StatusOr<std::unique_ptr<TrajectoryReader>> TrajectoryReader::Open(const std::string& path) {
  BeQuiet();
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    errno = ENOENT;
    return ErrnoStatus(path, "open");
  }
  Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (!file.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": not an HDF5 file"));
  int64_t episodes = 0;
  while (H5Lexists(file.id(), GroupName(episodes).c_str(), H5P_DEFAULT) > 0) ++episodes;
  if (episodes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has no group episode_0: allowed are files as Minari writes them"));
  }
  return std::make_unique<Reader>(path, std::move(file), episodes);
}

}  // namespace allometry::data
