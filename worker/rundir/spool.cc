#include "worker/rundir/spool.h"
