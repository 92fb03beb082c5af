allo_bench(ingest SOURCES ingest.cc
           DEPS allo_coordinator allo_data CLI11::CLI11)
