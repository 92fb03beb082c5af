allo_bench(scheduler SOURCES scheduler.cc DEPS allo_schedule absl::strings absl::str_format)
