#include "data/trajectories.h"

#include <hdf5.h>
#include <zlib.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "data/hdf5_file.h"
#include "data/import_trajectories.h"
#include "data/verify.h"
#include "data/windows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::data {
namespace {

using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Trajectory Small(int64_t steps) {
  Trajectory t;
  t.observation_shape = {2};
  t.action_dimensions = 2;
  for (int64_t i = 0; i <= steps; ++i) {
    t.observations.push_back(static_cast<uint16_t>(i));
    t.observations.push_back(300);
  }
  for (int64_t i = 0; i < steps; ++i) {
    t.actions.insert(t.actions.end(), {i % 3, 1});
    t.rewards.push_back(0.5f);
    t.terminations.push_back(i + 1 == steps);
    t.truncations.push_back(0);
  }
  return t;
}

TEST(TrajectoriesTest, EpisodesReadBackWithEveryField) {
  TemporaryFolder folder;
  const std::string path = folder.Path("t.hdf5");
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TrajectoryWriter> writer,
                         TrajectoryWriter::Create(path));
    ASSERT_OK(writer->Append(Small(3)));
    ASSERT_OK(writer->Append(Small(5)));
    ASSERT_OK(writer->Finish());
  }
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TrajectoryReader> reader,
                       TrajectoryReader::Open(path));
  EXPECT_EQ(reader->episodes(), 2);
  ASSERT_OK_AND_ASSIGN(const Trajectory t, reader->Read(1));
  const Trajectory wanted = Small(5);
  EXPECT_EQ(t.observations, wanted.observations);
  EXPECT_EQ(t.observation_shape, wanted.observation_shape);
  EXPECT_EQ(t.actions, wanted.actions);
  EXPECT_EQ(t.action_dimensions, 2);
  EXPECT_EQ(t.rewards, wanted.rewards);
  EXPECT_EQ(t.terminations, wanted.terminations);
  EXPECT_EQ(t.truncations, wanted.truncations);

  ImportTrajectoriesOptions import;
  import.name = "small";
  import.file = path;
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, ImportTrajectories(import, folder.path()));
  const Manifest& manifest = made.manifest;
  EXPECT_EQ(manifest.vocabulary, 301 + 3 + 3);
  EXPECT_EQ(manifest.frames->tokens_per_action, 2);
  EXPECT_EQ(manifest.frames->frames_left_out, 2);
  ASSERT_OK_AND_ASSIGN(const TokenDataset dataset, TokenDataset::Open(folder.Path("small")));
  std::vector<int32_t> frame(4);
  ASSERT_OK(dataset.train().Read(4, frame));
  EXPECT_THAT(frame, ::testing::ElementsAre(1, 300, 301 + 1, 304 + 1));
  import.action_ids = 2;
  import.name = "few";
  EXPECT_THAT(ImportTrajectories(import, folder.path()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("2 ids for actions"), HasSubstr("from 3"))));
}

TEST(TrajectoriesTest, AnEpisodeWithoutStepsIsRefusedUnlessFramesAreGiven) {
  TemporaryFolder folder;
  ImportTrajectoriesOptions import;
  import.name = "short";
  import.file = folder.Path("t.hdf5");
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TrajectoryWriter> writer,
                         TrajectoryWriter::Create(import.file));
    for (const int64_t steps : {4, 0, 4}) ASSERT_OK(writer->Append(Small(steps)));
    ASSERT_OK(writer->Finish());
  }
  EXPECT_THAT(ImportTrajectories(import, folder.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has 0 steps")));
  import.frames = 2;
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, ImportTrajectories(import, folder.path()));
  EXPECT_EQ(made.manifest.documents, 4);
}

TEST(TrajectoriesTest, WhatIsNotSuchAFileIsRefused) {
  TemporaryFolder folder;
  EXPECT_THAT(TrajectoryReader::Open(folder.Path("no.hdf5")).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no.hdf5")));
  ASSERT_OK(WriteFileAtomically(folder.Path("text"), "hello, a line of text"));
  EXPECT_THAT(TrajectoryReader::Open(folder.Path("text")).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is text")));
  EXPECT_THAT(TrajectoryReader::Open("/dev/zero").status(),
              StatusIs(kInvalid, HasSubstr("a device")));
  EXPECT_THAT(TrajectoryReader::Open(folder.path()).status(),
              StatusIs(kInvalid, HasSubstr("a folder")));
}

// A file of `Small` episodes in which a test then puts something else, by the C library, as another
// program might have written it.
class StrangeFileTest : public ::testing::Test {
 protected:
  static constexpr hsize_t kSteps = 4;

  StrangeFileTest() : path_(folder_.Path("t.hdf5")) {
    options_.name = "x";
    options_.file = path_;
    const auto writer = TrajectoryWriter::Create(path_);
    EXPECT_OK(writer.status());
    for (int i = 0; i < 3; ++i) EXPECT_OK((*writer)->Append(Small(kSteps)));
    EXPECT_OK((*writer)->Finish());
  }
  // Calls change(file) with the file open for writing.
  void Change(const std::function<void(hid_t)>& change) {
    const Hdf5Handle file(H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    ASSERT_TRUE(file.ok());
    change(file.id());
  }
  // Puts `values` of `stored`, given as `memory`, in the place of an array; without values its
  // extent alone.
  void Replace(const std::string& array, hid_t stored, std::vector<hsize_t> shape, hid_t memory,
               const void* values, hid_t plan = H5P_DEFAULT) {
    Change([&](hid_t file) {
      H5Ldelete(file, array.c_str(), H5P_DEFAULT);
      const Hdf5Handle space(
          shape.empty() ? H5Screate(H5S_SCALAR)
                        : H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
          H5Sclose);
      const Hdf5Handle made(
          H5Dcreate2(file, array.c_str(), stored, space.id(), H5P_DEFAULT, plan, H5P_DEFAULT),
          H5Dclose);
      ASSERT_TRUE(made.ok()) << array;
      if (values != nullptr) {
        ASSERT_GE(H5Dwrite(made.id(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0) << array;
      }
    });
  }
  void SetNumber(const char* attribute, int64_t value) {
    Change([&](hid_t file) {
      H5Adelete(file, attribute);
      const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
      const Hdf5Handle made(
          H5Acreate2(file, attribute, H5T_STD_I32BE, space.id(), H5P_DEFAULT, H5P_DEFAULT),
          H5Aclose);
      H5Awrite(made.id(), H5T_NATIVE_INT64, &value);
    });
  }
  absl::StatusOr<MadeDataset> Import() {
    options_.replace = true;
    return ImportTrajectories(options_, folder_.path());
  }
  absl::StatusOr<Trajectory> ReadFirst() {
    const auto reader = TrajectoryReader::Open(path_);
    if (!reader.ok()) return reader.status();
    return (*reader)->Read(0);
  }

  TemporaryFolder folder_;
  const std::string path_;
  ImportTrajectoriesOptions options_;
};

TEST_F(StrangeFileTest, EpisodesAfterAGapAreTaken) {
  Change(
      [](hid_t file) { H5Lmove(file, "episode_1", file, "episode_28", H5P_DEFAULT, H5P_DEFAULT); });
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, Import());
  EXPECT_EQ(made.from, "3 episodes");
  EXPECT_THAT(made.left_out, IsEmpty());
  EXPECT_THAT(made.notes, ElementsAre(HasSubstr("number 1, 3 to 27")));
  EXPECT_EQ(made.manifest.documents, 3);
}

TEST_F(StrangeFileTest, EpisodesInTheOrderOfTheirNumbers) {
  Change([](hid_t file) {
    H5Lmove(file, "episode_0", file, "episode_10", H5P_DEFAULT, H5P_DEFAULT);
    H5Lmove(file, "episode_1", file, "episode_9", H5P_DEFAULT, H5P_DEFAULT);
  });
  ASSERT_OK_AND_ASSIGN(const auto reader, TrajectoryReader::Open(path_));
  EXPECT_EQ(reader->name(0), "episode_2");
  EXPECT_EQ(reader->name(1), "episode_9");
  EXPECT_EQ(reader->name(2), "episode_10");
}

TEST_F(StrangeFileTest, TotalsThatTheFileStatesAreCompared) {
  Change([](hid_t file) { H5Ldelete(file, "episode_1", H5P_DEFAULT); });
  EXPECT_THAT(Import().status(),
              StatusIs(kInvalid, AllOf(HasSubstr("total_episodes is 3, it has 2 episodes"),
                                       HasSubstr("number 1"), HasSubstr("--incomplete"))));
  options_.reader.incomplete = true;
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, Import());
  EXPECT_EQ(made.from, "2 episodes");
  EXPECT_THAT(made.left_out, ElementsAre(HasSubstr("total_episodes is 3")));
  options_.reader.incomplete = false;
  SetNumber("total_episodes", 2);
  EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr("total_steps is 12")));
  SetNumber("total_steps", 8);
  EXPECT_OK(Import().status());
}

TEST_F(StrangeFileTest, WhatElseIsInTheRootIsSaidToBeLeftOut) {
  Change([](hid_t file) {
    for (const char* name : {"metadata", "episode_07", "episode_x"}) {
      H5Gclose(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
  });
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, Import());
  EXPECT_THAT(made.left_out, ElementsAre("in its root episode_07, episode_x, metadata"));
}

TEST_F(StrangeFileTest, OtherLayoutsAreNamed) {
  const auto rename = [&](const char* to) {
    Change([&](hid_t file) {
      for (const char* name : {"episode_1", "episode_2"}) H5Ldelete(file, name, H5P_DEFAULT);
      H5Lmove(file, "episode_0", file, to, H5P_DEFAULT, H5P_DEFAULT);
    });
  };
  rename("data");
  EXPECT_THAT(Import().status(),
              StatusIs(kInvalid, AllOf(HasSubstr("but data"), HasSubstr("robomimic"))));
  Change(
      [&](hid_t file) { H5Lmove(file, "data", file, "observations", H5P_DEFAULT, H5P_DEFAULT); });
  EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr("D4RL")));
}

TEST_F(StrangeFileTest, AnObservationOfADictSpaceIsChosen) {
  Change([](hid_t file) {
    for (const char* episode : {"episode_0", "episode_1", "episode_2"}) {
      const Hdf5Handle group(H5Gopen2(file, episode, H5P_DEFAULT), H5Gclose);
      H5Lmove(group.id(), "observations", group.id(), "image", H5P_DEFAULT, H5P_DEFAULT);
      const Hdf5Handle dict(
          H5Gcreate2(group.id(), "observations", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
      H5Lmove(group.id(), "image", dict.id(), "image", H5P_DEFAULT, H5P_DEFAULT);
      H5Gclose(H5Gcreate2(dict.id(), "state", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
  });
  EXPECT_THAT(
      Import().status(),
      StatusIs(kInvalid, AllOf(HasSubstr("episode_0/observations is a group of image, state"),
                               HasSubstr("--observations observations/NAME"))));
  options_.reader.observations = "observations/image";
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, Import());
  EXPECT_THAT(made.manifest.generator, HasSubstr("--observations observations/image"));
  EXPECT_EQ(made.manifest.frames->tokens_per_observation, 2);
  options_.reader.observations = "observations/depth";
  EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr("observations/depth is missing")));
  options_.reader.observations = "../t";
  EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr(".. is missing")));
}

TEST_F(StrangeFileTest, FlagsOfEveryWholeTypeAreRead) {
  const uint8_t flags[kSteps] = {0, 1, 0, 1};
  const std::vector<uint8_t> wanted(flags, flags + kSteps);
  for (const hid_t base :
       {H5T_STD_I8LE, H5T_STD_U8LE, H5T_STD_I16LE, H5T_STD_I16BE, H5T_STD_U16LE, H5T_STD_I32LE,
        H5T_STD_I32BE, H5T_STD_U32LE, H5T_STD_I64LE, H5T_STD_I64BE, H5T_STD_U64LE}) {
    Replace("episode_0/terminations", base, {kSteps}, H5T_NATIVE_UINT8, flags);
    ASSERT_OK_AND_ASSIGN(Trajectory read, ReadFirst());
    EXPECT_EQ(read.terminations, wanted) << H5Tget_size(base);
    // As h5py keeps booleans, over any base; members' values are given in the base type.
    const Hdf5Handle type(H5Tenum_create(base), H5Tclose);
    std::string stored;
    for (const int64_t value : {0, 1}) {
      int64_t member = value;
      H5Tconvert(H5T_NATIVE_INT64, base, 1, &member, nullptr, H5P_DEFAULT);
      H5Tenum_insert(type.id(), value == 0 ? "FALSE" : "TRUE", &member);
    }
    for (const uint8_t flag : flags) {
      int64_t member = flag;
      H5Tconvert(H5T_NATIVE_INT64, base, 1, &member, nullptr, H5P_DEFAULT);
      stored.append(reinterpret_cast<const char*>(&member), H5Tget_size(base));
    }
    Replace("episode_0/terminations", type.id(), {kSteps}, type.id(), stored.data());
    ASSERT_OK_AND_ASSIGN(read, ReadFirst());
    EXPECT_EQ(read.terminations, wanted) << "enumeration over " << H5Tget_size(base);
  }
}

TEST_F(StrangeFileTest, OtherTypesAreRefusedInEveryArray) {
  const Hdf5Handle string(H5Tcopy(H5T_C_S1), H5Tclose), text(H5Tcopy(H5T_C_S1), H5Tclose),
      opaque(H5Tcreate(H5T_OPAQUE, 3), H5Tclose), structure(H5Tcreate(H5T_COMPOUND, 16), H5Tclose),
      sequence(H5Tvlen_create(H5T_NATIVE_INT), H5Tclose), wide(H5Tcopy(H5T_STD_I64LE), H5Tclose);
  H5Tset_size(string.id(), 64);
  H5Tset_size(text.id(), H5T_VARIABLE);
  H5Tinsert(structure.id(), "a", 0, H5T_NATIVE_INT);
  const hsize_t nine = 9;
  const Hdf5Handle array(H5Tarray_create2(H5T_NATIVE_INT, 1, &nine), H5Tclose);
  H5Tset_size(wide.id(), 32);
  const struct {
    hid_t type;
    const char* name;
  } kTypes[] = {{string.id(), "strings"},       {text.id(), "strings"},
                {opaque.id(), "opaque bytes"},  {structure.id(), "structures"},
                {sequence.id(), "sequences"},   {array.id(), "arrays"},
                {wide.id(), "int256"},          {H5T_STD_B32LE, "bit fields"},
                {H5T_STD_REF_OBJ, "references"}};
  for (const char* name : {"observations", "actions", "rewards", "terminations", "truncations"}) {
    const std::string place = absl::StrCat("episode_0/", name);
    for (const auto& type : kTypes) {
      Replace(place, type.type, {kSteps + (*name == 'o' ? 1u : 0u)}, 0, nullptr);
      EXPECT_THAT(ReadFirst().status(),
                  StatusIs(kInvalid, AllOf(HasSubstr(absl::StrCat(place, " is of ", type.name)),
                                           HasSubstr("not of whole numbers"))));
    }
    if (*name != 'r') {
      Replace(place, H5T_IEEE_F64LE, {kSteps}, 0, nullptr);
      EXPECT_THAT(ReadFirst().status(), StatusIs(kInvalid, HasSubstr("float64")));
    }
    for (const H5S_class_t space : {H5S_SCALAR, H5S_NULL}) {
      Change([&](hid_t file) {
        H5Ldelete(file, place.c_str(), H5P_DEFAULT);
        const Hdf5Handle one(H5Screate(space), H5Sclose);
        H5Dclose(H5Dcreate2(file, place.c_str(), H5T_STD_U8LE, one.id(), H5P_DEFAULT, H5P_DEFAULT,
                            H5P_DEFAULT));
      });
      EXPECT_THAT(ReadFirst().status(), StatusIs(kInvalid, HasSubstr("is one value")));
    }
    const std::vector<uint8_t> right(2 * (kSteps + 1), 1);
    Replace(place, H5T_STD_U8LE,
            *name == 'o' ? std::vector<hsize_t>{kSteps + 1, 2} : std::vector<hsize_t>{kSteps},
            H5T_NATIVE_UINT8, right.data());
    ASSERT_OK(ReadFirst().status());
  }
}

TEST_F(StrangeFileTest, NumbersOutsideWhatIsAllowedAreNamed) {
  const int64_t large[kSteps + 1] = {1, 2, 70000, 4, 5}, negative[kSteps + 1] = {1, 2, -3, 4, 5};
  Replace("episode_0/observations", H5T_STD_I64LE, {kSteps + 1}, H5T_NATIVE_INT64, large);
  EXPECT_THAT(ReadFirst().status(),
              StatusIs(kInvalid, HasSubstr("observations has 70000: allowed is 0 to 65535")));
  Replace("episode_0/observations", H5T_STD_I64LE, {kSteps + 1}, H5T_NATIVE_INT64, negative);
  EXPECT_THAT(ReadFirst().status(), StatusIs(kInvalid, HasSubstr("has -3")));
  Replace("episode_0/observations", H5T_STD_U16LE, {kSteps + 1}, H5T_NATIVE_INT64, negative);
  Replace("episode_0/terminations", H5T_STD_I64LE, {kSteps}, H5T_NATIVE_INT64, large);
  EXPECT_FALSE(ReadFirst().ok());
}

TEST_F(StrangeFileTest, NothingOutsideTheFileIsRead) {
  ASSERT_OK(WriteFileAtomically(folder_.Path("secret"), std::string(100, 's')));
  const Hdf5Handle plan(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_external(plan.id(), folder_.Path("secret").c_str(), 0, 100);
  Replace("episode_0/terminations", H5T_STD_U8LE, {kSteps}, 0, nullptr, plan.id());
  EXPECT_THAT(ReadFirst().status(), StatusIs(kInvalid, HasSubstr("external storage")));

  const std::string other = folder_.Path("other.hdf5");
  std::filesystem::copy_file(path_, other);
  const auto link = [&](const std::function<void(hid_t)>& make, const std::string& place) {
    Change([&](hid_t file) {
      H5Ldelete(file, place.c_str(), H5P_DEFAULT);
      make(file);
    });
  };
  link(
      [&](hid_t file) {
        H5Lcreate_external(other.c_str(), "episode_1/terminations", file, "episode_0/terminations",
                           H5P_DEFAULT, H5P_DEFAULT);
      },
      "episode_0/terminations");
  EXPECT_THAT(ReadFirst().status(),
              StatusIs(kInvalid, AllOf(HasSubstr("an external link to"), HasSubstr("other.hdf5"))));
  link(
      [&](hid_t file) {
        H5Lcreate_soft("/episode_1/terminations", file, "episode_0/terminations", H5P_DEFAULT,
                       H5P_DEFAULT);
      },
      "episode_0/terminations");
  EXPECT_THAT(ReadFirst().status(),
              StatusIs(kInvalid, HasSubstr("a soft link to '/episode_1/terminations'")));
  link(
      [&](hid_t file) {
        H5Lcreate_external(other.c_str(), "/episode_1", file, "episode_0", H5P_DEFAULT,
                           H5P_DEFAULT);
      },
      "episode_0");
  EXPECT_THAT(ReadFirst().status(), StatusIs(kInvalid, HasSubstr("episode_0 is an external link")));
}

TEST_F(StrangeFileTest, VirtualDatasetsAreRefused) {
  const hsize_t size = kSteps;
  const Hdf5Handle space(H5Screate_simple(1, &size, nullptr), H5Sclose);
  const Hdf5Handle plan(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  ASSERT_GE(H5Pset_virtual(plan.id(), space.id(), folder_.Path("other").c_str(), "x", space.id()),
            0);
  Replace("episode_0/truncations", H5T_STD_U8LE, {size}, 0, nullptr, plan.id());
  EXPECT_THAT(ReadFirst().status(), StatusIs(kInvalid, HasSubstr("virtual dataset")));
}

TEST_F(StrangeFileTest, FiltersOtherThanOursAreNamed) {
  const Hdf5Handle plan(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  const hsize_t chunk = kSteps;
  H5Pset_chunk(plan.id(), 1, &chunk);
  H5Pset_scaleoffset(plan.id(), H5Z_SO_INT, 0);
  Replace("episode_0/truncations", H5T_STD_U8LE, {kSteps}, 0, nullptr, plan.id());
  EXPECT_THAT(ReadFirst().status(),
              StatusIs(kInvalid, AllOf(HasSubstr("filter 6"), HasSubstr("h5repack"))));
  // What h5py's compression="gzip", shuffle=True, fletcher32=True gives.
  const Hdf5Handle usual(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(usual.id(), 1, &chunk);
  H5Pset_shuffle(usual.id());
  H5Pset_deflate(usual.id(), 4);
  H5Pset_fletcher32(usual.id());
  const uint8_t flags[kSteps] = {0, 0, 0, 1};
  Replace("episode_0/truncations", H5T_STD_U8LE, {kSteps}, H5T_NATIVE_UINT8, flags, usual.id());
  ASSERT_OK_AND_ASSIGN(const Trajectory read, ReadFirst());
  EXPECT_THAT(read.truncations, ElementsAre(0, 0, 0, 1));
}

TEST_F(StrangeFileTest, ExtentsThatAFileOfThisSizeCannotHoldAreRefused) {
  for (const std::vector<hsize_t>& shape : {std::vector<hsize_t>{hsize_t{1} << 40},
                                            {kSteps + 1, hsize_t{1} << 50},
                                            {kSteps + 1, hsize_t{1} << 26},
                                            {0, hsize_t{1} << 50},
                                            {hsize_t{1} << 33, hsize_t{1} << 28, 2}}) {
    Replace("episode_0/observations", H5T_STD_U8LE, shape, 0, nullptr);
    EXPECT_THAT(ReadFirst().status(), StatusIs(kInvalid, HasSubstr("episode_0/observations has")));
  }
  // Values that nobody wrote are those of the fill value.
  Replace("episode_0/observations", H5T_STD_U8LE, {kSteps + 1, 3}, 0, nullptr);
  ASSERT_OK_AND_ASSIGN(const Trajectory read, ReadFirst());
  EXPECT_EQ(read.observations, std::vector<uint16_t>(15));
  // A chunk is read as a whole.
  Change([](hid_t file) {
    H5Ldelete(file, "episode_0/truncations", H5P_DEFAULT);
    const Hdf5Handle plan(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    const hsize_t chunk = hsize_t{1} << 31, size = kSteps, most = H5S_UNLIMITED;
    H5Pset_chunk(plan.id(), 1, &chunk);
    const Hdf5Handle space(H5Screate_simple(1, &size, &most), H5Sclose);
    const hid_t made = H5Dcreate2(file, "episode_0/truncations", H5T_STD_U8LE, space.id(),
                                  H5P_DEFAULT, plan.id(), H5P_DEFAULT);
    ASSERT_GE(made, 0);
    H5Dclose(made);
  });
  EXPECT_THAT(ReadFirst().status(), StatusIs(kInvalid, HasSubstr("in chunks of more than")));
}

// The library would read on behind the chunk's bytes.
TEST_F(StrangeFileTest, AChunkThatIsShorterThanItsExtentIsRefused) {
  constexpr hsize_t kChunk = 4096;
  for (const bool deflated : {true, false}) {
    Change([&](hid_t file) {
      H5Ldelete(file, "episode_0/truncations", H5P_DEFAULT);
      const Hdf5Handle plan(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
      const hsize_t size = kSteps, most = H5S_UNLIMITED;
      H5Pset_chunk(plan.id(), 1, &kChunk);
      H5Pset_deflate(plan.id(), 4);
      const Hdf5Handle space(H5Screate_simple(1, &size, &most), H5Sclose);
      const Hdf5Handle made(H5Dcreate2(file, "episode_0/truncations", H5T_STD_U8LE, space.id(),
                                       H5P_DEFAULT, plan.id(), H5P_DEFAULT),
                            H5Dclose);
      ASSERT_TRUE(made.ok());
      Bytef stored[100] = {};
      uLongf bytes = sizeof(stored);
      const Bytef values[kSteps] = {};
      ASSERT_EQ(compress(stored, &bytes, values, kSteps), Z_OK);
      const hsize_t first = 0;
      // A set bit of the mask: that filter was skipped.
      ASSERT_GE(H5Dwrite_chunk(made.id(), H5P_DEFAULT, deflated ? 0 : 1, &first, bytes, stored), 0);
    });
    EXPECT_THAT(ReadFirst().status(),
                StatusIs(kInvalid, AllOf(HasSubstr("episode_0/truncations has a chunk of "),
                                         HasSubstr("where one has 4096"))))
        << deflated;
  }
}

TEST_F(StrangeFileTest, ACutOffFileIsRefused) {
  const auto size = std::filesystem::file_size(path_);
  for (const auto part : {size - 1, size / 2, size / 10, decltype(size){100}}) {
    std::filesystem::resize_file(path_, part);
    EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr("cut off"))) << part;
  }
}

TEST_F(StrangeFileTest, AFailedReplacementLeavesTheOldDataset) {
  ASSERT_OK_AND_ASSIGN(const MadeDataset old, Import());
  options_.frames = 5;
  EXPECT_FALSE(Import().ok());
  ASSERT_OK_AND_ASSIGN(const Manifest there, VerifyDataset(folder_.Path("x")));
  EXPECT_EQ(there.hash, old.manifest.hash);
}

}  // namespace
}  // namespace allometry::data
