allo_bench(fit SOURCES fit.cc DEPS allo_fitting benchmark::benchmark absl::str_format Eigen3::Eigen)
allo_bench(coverage SOURCES coverage.cc DEPS allo_fitting absl::str_format Eigen3::Eigen)
allo_bench(read_csv SOURCES read_csv.cc DEPS allo_fitting absl::str_format)
