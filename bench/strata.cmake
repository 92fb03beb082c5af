allo_bench(bench_strata SOURCES strata.cc DEPS allo_strata absl::str_format)
set_target_properties(bench_strata PROPERTIES OUTPUT_NAME strata)
