allo_bench(ingest SOURCES ingest.cc
           DEPS allo_coordinator allo_data CLI11::CLI11 SQLite::SQLite3)
# What `allo runs` waits for.
allo_bench(listing SOURCES listing.cc DEPS allo_coordinator allo_data)
