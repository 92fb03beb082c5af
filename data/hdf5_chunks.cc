#include "data/hdf5_chunks.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data/hdf5_file.h"

namespace allometry::data {
namespace {

// How many bytes a zlib stream holds, counted up to `enough`.
int64_t InflatedBytes(const std::vector<Bytef>& stream, int64_t enough) {
  std::vector<Bytef> sink(1 << 16);
  z_stream state{};
  if (inflateInit(&state) != Z_OK) return 0;
  state.next_in = const_cast<Bytef*>(stream.data());
  state.avail_in = static_cast<uInt>(stream.size());
  int64_t bytes = 0;
  for (int status = Z_OK; status == Z_OK && bytes < enough;) {
    state.next_out = sink.data();
    state.avail_out = static_cast<uInt>(sink.size());
    status = inflate(&state, Z_NO_FLUSH);
    bytes += static_cast<int64_t>(sink.size() - state.avail_out);
  }
  inflateEnd(&state);
  return bytes;
}

}  // namespace

absl::Status CheckChunks(const std::string& path, hid_t array, hid_t type, int64_t most_bytes) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(path, " ", why, ": the file is damaged"));
  };
  const Hdf5Handle plan(H5Dget_create_plist(array), H5Pclose);
  const Hdf5Handle space(H5Dget_space(array), H5Sclose);
  hsize_t chunk[H5S_MAX_RANK] = {}, size[H5S_MAX_RANK] = {}, offset[H5S_MAX_RANK] = {};
  const int dimensions = H5Pget_chunk(plan.id(), H5S_MAX_RANK, chunk);
  if (dimensions <= 0 || H5Sget_simple_extent_dims(space.id(), size, nullptr) != dimensions) {
    return refuse("has chunks that cannot be read");
  }
  auto chunk_bytes = static_cast<int64_t>(H5Tget_size(type));
  for (int i = 0; i < dimensions; ++i) chunk_bytes *= static_cast<int64_t>(chunk[i]);
  int deflate = -1;
  for (int i = 0; i < H5Pget_nfilters(plan.id()); ++i) {
    unsigned flags = 0, config = 0;
    size_t values = 0;
    if (H5Pget_filter2(plan.id(), static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr,
                       &config) == H5Z_FILTER_DEFLATE) {
      deflate = i;
    }
  }
  if (std::any_of(size, size + dimensions, [](hsize_t n) { return n == 0; })) {
    return absl::OkStatus();
  }
  std::vector<Bytef> stored;
  for (;;) {
    unsigned skipped = 0;  // filters, a bit each
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    if (H5Dget_chunk_info_by_coord(array, offset, &skipped, &address, &bytes) < 0 ||
        bytes > static_cast<hsize_t>(2 * most_bytes)) {
      return refuse("has chunks that cannot be read");
    }
    if (address != HADDR_UNDEF) {  // otherwise never written
      auto held = static_cast<int64_t>(bytes);
      if (deflate >= 0 && (skipped >> deflate & 1) == 0) {
        stored.resize(bytes);
        uint32_t mask = 0;
        if (H5Dread_chunk(array, H5P_DEFAULT, offset, &mask, stored.data()) < 0) {
          return refuse("has chunks that cannot be read");
        }
        held = InflatedBytes(stored, chunk_bytes);
      }
      if (held < chunk_bytes) {
        return refuse(
            absl::StrFormat("has a chunk of %d bytes where one has %d", held, chunk_bytes));
      }
    }
    int dimension = dimensions - 1;
    while (dimension >= 0 && (offset[dimension] += chunk[dimension]) >= size[dimension]) {
      offset[dimension--] = 0;
    }
    if (dimension < 0) return absl::OkStatus();
  }
}

}  // namespace allometry::data
