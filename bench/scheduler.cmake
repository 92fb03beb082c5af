allo_bench(scheduler SOURCES scheduler.cc DEPS allo_scheduler absl::strings absl::str_format)
