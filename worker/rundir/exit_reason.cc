#include "worker/rundir/exit_reason.h"
