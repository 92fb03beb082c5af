#include "models/vq_network.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"

namespace allometry::models {
namespace {

using Kind = VqOp::Kind;

constexpr int kMostCodeWidth = 32;

// Collects operations and knows what comes out of the last one.
class Ops {
 public:
  Ops(std::string prefix, int channels, int side)
      : prefix_(std::move(prefix)), channels_(channels), side_(side) {}

  int channels() const { return channels_; }
  int side() const { return side_; }
  std::vector<VqOp> Take() { return std::move(ops_); }

  void Convolve(const std::string& name, int out, int kernel, int stride = 1) {
    side_ /= stride;
    Add({.kind = Kind::kConvolution, .out = out, .kernel = kernel, .stride = stride}, name);
  }
  void Transpose(const std::string& name, int out) {
    side_ *= 2;
    Add({.kind = Kind::kTransposed, .out = out, .kernel = 4, .stride = 2}, name);
  }
  void Norm(Kind kind, const std::string& name) { Add({.kind = kind, .out = channels_}, name); }
  void Apply(Kind kind) { Add({.kind = kind, .out = channels_}, ""); }
  void Positions(const std::string& name) { Norm(Kind::kPositions, name); }
  void Attend(const std::string& name, int heads) {
    Add({.kind = Kind::kAttention, .out = channels_, .heads = heads}, name);
  }
  void ToSide(Kind kind, int side) {
    if (side == side_) return;
    side_ = side;
    Apply(kind);
  }
  void Unpatch(int patch, int out) {
    side_ *= patch;
    Add({.kind = Kind::kUnpatch, .out = out, .stride = patch}, "");
  }

 private:
  void Add(VqOp op, const std::string& name) {
    op.name = name.empty() ? "" : absl::StrCat(prefix_, ".", name);
    op.in = channels_;
    op.side = side_;
    channels_ = op.out;
    ops_.push_back(std::move(op));
  }

  const std::string prefix_;
  int channels_;
  int side_;
  std::vector<VqOp> ops_;
};

// How often the side is halved without coming below the grid's.
int Halvings(const Shape& shape) {
  int halvings = 0;
  for (int side = shape.image_height; side / 2 >= GridSide(shape); side /= 2) ++halvings;
  return halvings;
}

// ---- vqvae ----------------------------------------------------------------------------------

void PlainResidual(Ops& ops, const std::string& name) {
  const int channels = ops.channels();
  ops.Apply(Kind::kKeep);
  ops.Apply(Kind::kRelu);
  ops.Convolve(name + ".in", channels / 2, 3);
  ops.Apply(Kind::kRelu);
  ops.Convolve(name + ".out", channels, 1);
  ops.Apply(Kind::kAdd);
}

std::vector<VqOp> VqvaeEncoder(const Shape& shape) {
  Ops ops("encoder", shape.image_channels, shape.image_height);
  const int halvings = Halvings(shape);
  for (int i = 0; i < halvings; ++i) {
    ops.Convolve(absl::StrCat("down_", i), i == 0 && halvings > 1 ? shape.width / 2 : shape.width,
                 4, 2);
    ops.Apply(Kind::kRelu);
  }
  ops.Convolve("wide", shape.width, 3);
  for (int i = 0; i < shape.layers; ++i) PlainResidual(ops, absl::StrCat("residual_", i));
  ops.Apply(Kind::kRelu);
  ops.ToSide(Kind::kPool, GridSide(shape));
  ops.Convolve("code", CodeWidth(shape), 1);
  return ops.Take();
}

std::vector<VqOp> VqvaeDecoder(const Shape& shape) {
  Ops ops("decoder", CodeWidth(shape), GridSide(shape));
  const int halvings = Halvings(shape);
  ops.Convolve("wide", shape.width, 3);
  ops.ToSide(Kind::kResize, shape.image_height >> halvings);
  for (int i = 0; i < shape.layers; ++i) PlainResidual(ops, absl::StrCat("residual_", i));
  ops.Apply(Kind::kRelu);
  if (halvings == 0) ops.Convolve("image", shape.image_channels, 3);
  for (int left = halvings; left > 0; --left) {
    const int out = left == 1 ? shape.image_channels : left == 2 ? shape.width / 2 : shape.width;
    ops.Transpose(absl::StrCat("up_", halvings - left), out);
    if (left > 1) ops.Apply(Kind::kRelu);
  }
  return ops.Take();
}

// ---- vqgan ----------------------------------------------------------------------------------

void NormedConvolution(Ops& ops, const std::string& name, int out) {
  ops.Norm(Kind::kGroupNorm, name + ".norm");
  ops.Apply(Kind::kSilu);
  ops.Convolve(name, out, 3);
}

void NormedResiduals(Ops& ops, const std::string& name, int count) {
  for (int i = 0; i < count; ++i) {
    const int channels = ops.channels();
    ops.Apply(Kind::kKeep);
    NormedConvolution(ops, absl::StrCat(name, ".", i, ".in"), channels);
    NormedConvolution(ops, absl::StrCat(name, ".", i, ".out"), channels);
    ops.Apply(Kind::kAdd);
  }
}

void Bottom(Ops& ops, int heads) {
  NormedResiduals(ops, "before", 1);
  ops.Apply(Kind::kKeep);
  ops.Norm(Kind::kGroupNorm, "attention.norm");
  ops.Attend("attention", heads);
  ops.Apply(Kind::kAdd);
  NormedResiduals(ops, "after", 1);
}

// After `halved` of `halvings` halvings: h/4, h/2 and h towards the smallest.
int ChannelsAt(const Shape& shape, int halved, int halvings) {
  return std::max(shape.width / 4, shape.width >> std::min(30, halvings - halved));
}

std::vector<VqOp> VqganEncoder(const Shape& shape) {
  Ops ops("encoder", shape.image_channels, shape.image_height);
  const int halvings = Halvings(shape);
  ops.Convolve("image", ChannelsAt(shape, 0, halvings), 3);
  for (int i = 0; i < halvings; ++i) {
    NormedResiduals(ops, absl::StrCat("stage_", i), shape.layers);
    ops.Convolve(absl::StrCat("down_", i), ChannelsAt(shape, i + 1, halvings), 4, 2);
  }
  Bottom(ops, shape.heads);
  ops.ToSide(Kind::kPool, GridSide(shape));
  NormedConvolution(ops, "code", CodeWidth(shape));
  return ops.Take();
}

std::vector<VqOp> VqganDecoder(const Shape& shape) {
  Ops ops("decoder", CodeWidth(shape), GridSide(shape));
  const int halvings = Halvings(shape);
  ops.Convolve("wide", shape.width, 3);
  ops.ToSide(Kind::kResize, shape.image_height >> halvings);
  Bottom(ops, shape.heads);
  for (int i = halvings; i-- > 0;) {
    ops.ToSide(Kind::kDouble, 2 * ops.side());
    ops.Convolve(absl::StrCat("up_", i), ChannelsAt(shape, i, halvings), 3);
    NormedResiduals(ops, absl::StrCat("stage_", i), shape.layers);
  }
  NormedConvolution(ops, "image", shape.image_channels);
  return ops.Take();
}

// ---- vit-vq ---------------------------------------------------------------------------------

int Patch(const Shape& shape) {
  return (shape.image_height + GridSide(shape) - 1) / GridSide(shape);
}

void Transformer(Ops& ops, const Shape& shape) {
  const int width = ops.channels();
  ops.Positions("positions");
  for (int i = 0; i < shape.layers; ++i) {
    const std::string block = absl::StrCat("h.", i);
    ops.Apply(Kind::kKeep);
    ops.Norm(Kind::kLayerNorm, block + ".ln_1");
    ops.Attend(block + ".attention", shape.heads);
    ops.Apply(Kind::kAdd);
    ops.Apply(Kind::kKeep);
    ops.Norm(Kind::kLayerNorm, block + ".ln_2");
    ops.Convolve(block + ".up", 4 * width, 1);
    ops.Apply(Kind::kGelu);
    ops.Convolve(block + ".down", width, 1);
    ops.Apply(Kind::kAdd);
  }
  ops.Norm(Kind::kLayerNorm, "ln");
}

std::vector<VqOp> VitEncoder(const Shape& shape) {
  Ops ops("encoder", shape.image_channels, shape.image_height);
  ops.ToSide(Kind::kResize, Patch(shape) * GridSide(shape));
  ops.Convolve("patch", shape.width, Patch(shape), Patch(shape));
  Transformer(ops, shape);
  ops.Convolve("code", CodeWidth(shape), 1);
  return ops.Take();
}

std::vector<VqOp> VitDecoder(const Shape& shape) {
  Ops ops("decoder", CodeWidth(shape), GridSide(shape));
  ops.Convolve("wide", shape.width, 1);
  Transformer(ops, shape);
  ops.Convolve("patch", Patch(shape) * Patch(shape) * shape.image_channels, 1);
  ops.Unpatch(Patch(shape), shape.image_channels);
  ops.ToSide(Kind::kResize, shape.image_height);
  return ops.Take();
}

struct Networks {
  const char* family;
  std::vector<VqOp> (*encoder)(const Shape&);
  std::vector<VqOp> (*decoder)(const Shape&);
};
constexpr Networks kNetworks[] = {
    {"vqvae", &VqvaeEncoder, &VqvaeDecoder},
    {"vqgan", &VqganEncoder, &VqganDecoder},
    {"vit-vq", &VitEncoder, &VitDecoder},
};

const Networks& NetworksOf(const Shape& shape) {
  for (const Networks& row : kNetworks) {
    if (shape.family == row.family) return row;
  }
  ALLO_CHECK(false) << shape.family;
  return kNetworks[0];
}

absl::Status FieldError(const char* field, int64_t value, const std::string& allowed) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s %d is not allowed: %s", field, value, allowed));
}

}  // namespace

int GridSide(const Shape& shape) {
  return static_cast<int>(std::lround(std::sqrt(static_cast<double>(shape.context))));
}

int CodeWidth(const Shape& shape) { return std::min(shape.width, kMostCodeWidth); }

absl::Status ValidateVq(const Shape& shape) {
  const Family* family = FindFamily(shape.family);
  if (family == nullptr || !family->tokenizer) {
    return absl::InvalidArgumentError(
        absl::StrCat("family '", shape.family, "' is no tokenizer of images"));
  }
  const struct {
    const char* name;
    int value;
  } fields[] = {{"layers", shape.layers},
                {"heads", shape.heads},
                {"width", shape.width},
                {"context", shape.context},
                {"vocabulary", shape.vocabulary},
                {"image_height", shape.image_height},
                {"image_channels", shape.image_channels}};
  for (const auto& field : fields) {
    if (field.value < 1) return FieldError(field.name, field.value, "it must be 1 or more");
  }
  const int grid = GridSide(shape);
  if (grid * grid != shape.context) {
    return FieldError("context", shape.context, "a tokenizer gives a square grid of codes");
  }
  if (shape.width % 8 != 0) return FieldError("width", shape.width, "it must be a multiple of 8");
  if (shape.width % shape.heads != 0) {
    return FieldError("heads", shape.heads, absl::StrCat("it must divide width ", shape.width));
  }
  if (shape.image_width != shape.image_height) {
    return FieldError(
        "image_width", shape.image_width,
        absl::StrCat("images must be square, and they are ", shape.image_height, " high"));
  }
  if (shape.image_height < grid) {
    return FieldError("image_height", shape.image_height,
                      absl::StrCat("a grid of ", grid, " needs at least as many pixels"));
  }
  const int unit = 1 << Halvings(shape);
  if (!family->has_patches && shape.image_height % unit != 0) {
    return FieldError("image_height", shape.image_height,
                      absl::StrCat("for a grid of ", grid, " it must be a multiple of ", unit));
  }
  return absl::OkStatus();
}

std::vector<VqOp> VqEncoder(const Shape& shape) { return NetworksOf(shape).encoder(shape); }
std::vector<VqOp> VqDecoder(const Shape& shape) { return NetworksOf(shape).decoder(shape); }

std::vector<VqTensor> TensorsOf(const VqOp& op) {
  const int64_t in = op.in, out = op.out, window = int64_t{op.kernel} * op.kernel;
  const int64_t places = int64_t{op.side} * op.side;
  switch (op.kind) {
    case Kind::kConvolution:
      return {{op.name + ".weight",
               {out, in, op.kernel, op.kernel},
               in * window,
               out * in * window * places},
              {op.name + ".bias", {out}}};
    case Kind::kTransposed:
      // A place that comes out is reached by every second row and column of the window.
      return {{op.name + ".weight",
               {in, out, op.kernel, op.kernel},
               in * window / 4,
               out * in * window * places / 4},
              {op.name + ".bias", {out}}};
    case Kind::kGroupNorm:
    case Kind::kLayerNorm:
      return {{op.name + ".weight", {in}, 1}, {op.name + ".bias", {in}}};
    case Kind::kPositions:
      return {{op.name + ".weight", {in, op.side, op.side}, in}};
    case Kind::kAttention:
      return {{op.name + ".qkv.weight", {3 * in, in}, in, 3 * in * in * places},
              {op.name + ".qkv.bias", {3 * in}},
              {op.name + ".out.weight", {in, in}, in, in * in * places},
              {op.name + ".out.bias", {in}}};
    default:
      return {};
  }
}

std::vector<VqTensor> VqTensors(const Shape& shape) {
  std::vector<VqTensor> tensors;
  for (const std::vector<VqOp>& network : {VqEncoder(shape), VqDecoder(shape)}) {
    for (const VqOp& op : network) {
      for (VqTensor& tensor : TensorsOf(op)) tensors.push_back(std::move(tensor));
    }
  }
  return tensors;
}

double VqFlopsPerImage(const Shape& shape) {
  double multiply_adds = 0;
  for (const VqTensor& tensor : VqTensors(shape)) {
    multiply_adds += static_cast<double>(tensor.multiply_adds);
  }
  for (const std::vector<VqOp>& network : {VqEncoder(shape), VqDecoder(shape)}) {
    for (const VqOp& op : network) {
      if (op.kind != Kind::kAttention) continue;
      const double places = static_cast<double>(op.side) * op.side;
      multiply_adds += 2 * places * places * op.in;  // scores, and what they weigh
    }
  }
  const double distances = static_cast<double>(shape.context) * shape.vocabulary * CodeWidth(shape);
  return 6 * multiply_adds + 2 * distances;
}

double VqActivationBytes(const Shape& shape) {
  double floats = 2.0 * shape.context * shape.vocabulary;
  for (const std::vector<VqOp>& network : {VqEncoder(shape), VqDecoder(shape)}) {
    for (const VqOp& op : network) floats += 1.0 * op.out * op.side * op.side;
  }
  return 4 * floats;
}

}  // namespace allometry::models
