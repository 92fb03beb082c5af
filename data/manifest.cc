#include "data/manifest.h"
