# bench/train.sh compares it with eager PyTorch.
allo_bench(train SOURCES train.cc DEPS allo_models libtorch::cpu absl::str_format)
