#include "worker/rundir/run_spec.h"
