allo_bench(ingest SOURCES ingest.cc
           DEPS allo_coordinator allo_data CLI11::CLI11 SQLite::SQLite3)
# What `allo runs` waits for.
allo_bench(listing SOURCES listing.cc DEPS allo_coordinator allo_data)
# Many open sweeps.
allo_bench(open_sweeps SOURCES open_sweeps.cc DEPS allo_coordinator allo_testing_agent allo_data)
