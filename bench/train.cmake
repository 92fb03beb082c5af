# bench/train.sh compares it with eager PyTorch.
allo_bench(train SOURCES train.cc fma_peak.cc DEPS allo_models allo_data libtorch::cpu absl::str_format)
# One update of a preset's sequence: seconds and memory.
allo_bench(presets SOURCES presets.cc DEPS allo_presets allo_models libtorch::cpu absl::str_format)
# Two ranks on a busy machine.
if(MPI_CXX_FOUND)
  allo_bench(ranks SOURCES ranks.cc
    DEPS allo_run allo_data nlohmann_json::nlohmann_json absl::str_format GTest::gtest)
  add_dependencies(ranks allo-trainer)
endif()
