allo_bench(bench_chaos SOURCES chaos.cc DEPS allo_testing_deployment CLI11::CLI11)
set_target_properties(bench_chaos PROPERTIES OUTPUT_NAME chaos)
