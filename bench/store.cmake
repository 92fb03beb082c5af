allo_bench(bench_store SOURCES store.cc DEPS allo_store absl::strings absl::str_format)
set_target_properties(bench_store PROPERTIES OUTPUT_NAME store)
