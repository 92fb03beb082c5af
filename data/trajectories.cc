#include "data/trajectories.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/files.h"
#include "data/hdf5_file.h"

namespace allometry::data {
namespace {

constexpr unsigned kDeflate = 4;
constexpr int64_t kChunkBytes = 1 << 20;

std::string GroupName(int64_t episode) { return absl::StrCat("episode_", episode); }

absl::Status Failed(const std::string& path, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(path, ": HDF5 cannot ", what));
}

absl::Status SyncFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(path, "open");
  const absl::Status status = fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(path, "sync");
  close(fd);
  return status;
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
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(
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
  const Hdf5Handle space(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr),
                         H5Sclose);
  const Hdf5Handle plan(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  // Without times equal contents give equal files.
  if (H5Pset_obj_track_times(plan.id(), false) < 0 ||
      H5Pset_chunk(plan.id(), static_cast<int>(chunk.size()), chunk.data()) < 0 ||
      H5Pset_deflate(plan.id(), kDeflate) < 0) {
    return absl::UnavailableError("HDF5 without deflate");
  }
  const Hdf5Handle array(
      H5Dcreate2(group, name, stored, space.id(), H5P_DEFAULT, plan.id(), H5P_DEFAULT), H5Dclose);
  if (array.ok() &&
      H5Dwrite(array.id(), TypeOf<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("HDF5 cannot write ", name));
}

class Writer final : public TrajectoryWriter {
 public:
  Writer(std::string path, Hdf5Handle file) : path_(std::move(path)), file_(std::move(file)) {}

  absl::Status Append(const Trajectory& t) override {
    const Hdf5Handle group(
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
    if (!file_.Close()) return Failed(path_, "write the end of the file");
    return SyncFile(path_);
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
    const Hdf5Handle infos(H5Gcreate2(group, "infos", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                           H5Gclose);
    shape = {t.steps() + 1};
    shape.insert(shape.end(), t.image_shape.begin(), t.image_shape.end());
    return PutArray(infos.id(), "images", shape, t.images, H5T_STD_U8LE);
  }

  const std::string path_;
  Hdf5Handle file_;
  int64_t episodes_ = 0;
  int64_t steps_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TrajectoryWriter>> TrajectoryWriter::Create(
    const std::string& path) {
  PrepareHdf5();
  Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  if (!file.ok()) return Failed(path, "make the file");
  return std::make_unique<Writer>(path, std::move(file));
}

}  // namespace allometry::data
